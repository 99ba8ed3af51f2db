"""Recordings through the serving code, one after the other or spread over processes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

from models.evaluation.served import Serve, Served, zeroed
from models.recordings import Recording

Item = TypeVar("Item")


def serve_each(
    items: Iterable[tuple[Item, Recording]], serve: Serve, jobs: int = 1
) -> Iterator[tuple[Item, Served, Served]]:
    """(item, what was said of its recording, what the same code said of zeroes), in order.

    Zeroes of one length and the same leads are served only once: what is said of them cannot differ.
    """
    waiting: deque[tuple[Item, Future[Served], Future[Served]]] = deque()
    blind: dict[object, Future[Served]] = {}
    with _executor(jobs) as executor:
        for item, recording in items:
            key = (recording.fs, recording.leads, recording.counts.shape)
            if key not in blind:
                blind[key] = executor.submit(serve, zeroed(recording))
            waiting.append((item, executor.submit(serve, recording), blind[key]))
            if len(waiting) > 2 * jobs:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())


def _done(item: Item, served: Future[Served], blind: Future[Served]) -> tuple[Item, Served, Served]:
    return item, served.result(), blind.result()


def _executor(jobs: int) -> Executor:
    if jobs == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"))
