"""Whether the node does its work: the store takes, the broker is there, the analysis does not stand still."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

from cloud.memory import Memory
from cloud.store import Store
from cloud.worker import Worker

logger = logging.getLogger(__name__)

HEAD_S = 3600.0  # between two notes of the audit chain's head
KEPT_S = 2.0  # an answer: whoever asks more often does not make the store write more often

Check = Callable[[], str | None]  # what is wrong, in words; None: nothing


class Health:
    """May be asked from any thread."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._lock = threading.Lock()
        self._asked_at = float("-inf")  # monotonic s
        self._failing: dict[str, str] = {}

    def failing(self) -> dict[str, str]:
        """Check -> what is wrong; empty where the node is ready. As it was at most KEPT_S ago."""
        with self._lock:
            if time.monotonic() - self._asked_at > KEPT_S:
                found = {name: _asked(name, check) for name, check in self._checks.items()}
                self._failing = {name: wrong for name, wrong in found.items() if wrong is not None}
                self._asked_at = time.monotonic()
            return dict(self._failing)


def _asked(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # a check that cannot be made has failed
        logger.warning("readiness: %s: %r", name, error)
        return "It cannot be checked; the log says why."


def writable(memory: Memory) -> Check:
    """A row is written and on the disk."""

    def check() -> None:
        with memory.writing() as db:
            db.execute("insert or replace into pulse values (1, ?)", [time.time()])

    return check


class HeadNote:
    """Notes the head of the audit chain beside the store, and knows when it last could."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted_at: float | None = None  # monotonic s

    def note(self) -> None:
        try:
            self._store.note_head(now=time.time())
            self._noted_at = time.monotonic()
        except Exception:  # patients come first, the next note is an hour away
            logger.exception("the head of the audit could not be noted")

    def wrong(self) -> str | None:
        """A `Check`."""
        if self._noted_at is not None and time.monotonic() - self._noted_at < 2 * HEAD_S:
            return None
        return "The head of the audit chain has not been noted for two hours."


def standing_still(workers: Sequence[Worker], longest_s: float) -> str | None:
    """Workers that ended, or are at one part for longer than that."""
    ended = sum(not worker.is_alive() for worker in workers)
    stuck = sum(worker.busy_s > longest_s for worker in workers)
    if ended or stuck:
        return (
            f"Of {len(workers)} workers {ended} ended and {stuck} are longer than {longest_s:g} s at a part."
        )
    return None
