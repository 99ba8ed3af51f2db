"""Full disclosure: everything the edge receives stays on its disk, within a budget; the oldest leaves first.

`push` never waits and never fails; `store` writes what was pushed and returns when it is on the disk. `run`
calls it every second in a thread: a slow, full or broken disk stops neither screening nor the outbox, and
kill -9 at any point loses less than 2 s.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.records import Head, Kind, Record, boot_key
from edge.segments import lead_bits
from edge.shelf import Shelf
from models.ecg import Clock, Counts, Gap, Marker, SampleBlock, StreamItem
from models.wire import compress

logger = logging.getLogger(__name__)

STORE_S = 1.0
DAY_S = 86_400.0
AGED_S = 600.0  # between two looks for files that are too old
WAITING = 20_000  # blocks that wait for a disk that fails; 10 min of frames may leave reassembly at once
HEADROOM = 100_000_000  # bytes of the disk that are the outbox's
SQUEEZED_S = 3600.0  # so long a disk that was full is called that
NO_ROOM = {errno.ENOSPC, errno.EDQUOT}

Item = SampleBlock | Gap | Marker


@dataclass(slots=True)
class Run:
    """Blocks that follow each other, of one head, with the same leads off and the same leads silent."""

    head: Head
    lead_off: int
    silent: int  # bit i: lead i is off and nothing but 0, as a lead without samples is
    first: int
    counts: list[Counts]
    clock: Clock
    last: int

    @classmethod
    def of(cls, block: SampleBlock, clock: Clock) -> Run:
        off = lead_bits(block)
        silent = sum(1 << i for i, row in enumerate(block.counts) if off >> i & 1 and not row.any())
        return cls(Head.of(block), off, silent, block.first, [block.counts], clock, block.last)

    def joins(self, other: Run) -> bool:
        """Takes the other in where it goes on with this one."""
        mine, its = (self.head, self.lead_off, self.silent), (other.head, other.lead_off, other.silent)
        if mine != its or other.first != self.last + 1:
            return False
        self.counts += other.counts
        self.clock, self.last = other.clock, other.last
        return True

    def records(self, first: int, count: int) -> Iterator[Record]:
        """This stretch of it in records of about one second."""
        counts = np.concatenate(self.counts, axis=1)[:, first - self.first :][:, :count]
        for piece in np.array_split(counts, max(1, round(count / self.head.fs)), axis=1):
            yield Record(
                kind=Kind.SAMPLES,
                first=first,
                count=piece.shape[1],
                lead_off=self.lead_off,
                clock=self.clock,
                payload=compress(piece),
            )
            first += piece.shape[1]


@dataclass(frozen=True, slots=True)
class Status:
    """How the recorder is, for the heartbeat."""

    state: str  # "off" | "ok" | "full": the disk, not the budget | "failed: " and why
    bytes: int = 0
    oldest: int | None = None  # sample
    oldest_utc: float | None = None  # Unix seconds

    def fields(self) -> dict[str, Any]:
        return {
            "recorder": self.state,
            "recorder_bytes": self.bytes,
            "recorder_oldest": self.oldest,
            "recorder_oldest_utc": self.oldest_utc,
        }


class Recorder:
    """Keeps blocks, gaps and markers in `folder`, in files of `max_bytes` together; 0 keeps nothing. Files
    whose samples are all older than `days` leave.

    `push` and `status` belong to one thread, `store` may be called from any.
    """

    def __init__(
        self, folder: Path, max_bytes: int, headroom: int = HEADROOM, days: float | None = None
    ) -> None:
        self.status = Status("ok" if max_bytes else "off")
        self._on = max_bytes > 0
        self._shelf = Shelf(folder, max_bytes, headroom)
        self._waiting: deque[tuple[Item, Clock]] = deque()
        self._given_up = 0  # items
        self._age_s = None if days is None else days * DAY_S
        self._aged_at = float("-inf")  # monotonic s: looked for old files
        self._clock = Clock()
        self._clocked: tuple[tuple[str, int], float] = (
            ("", 0),
            0.0,
        )  # boot and sample from which on to ask again
        self._lock = threading.Lock()

    def push(self, item: StreamItem, clock: Callable[[int], Clock]) -> None:
        """What the edge received; `clock` tells when a sample was, and is asked once a second."""
        if not self._on or not isinstance(item, Item):
            return
        boot, due = self._clocked
        if boot != (item.patch_id, item.boot_id):
            self._clock, due = Clock(), 0.0
        if isinstance(item, SampleBlock) and item.last >= due:
            self._clock, due = clock(item.last), item.last + item.fs
        self._clocked = (item.patch_id, item.boot_id), due
        self._waiting.append((item, self._clock))
        while len(self._waiting) > WAITING:
            self._waiting.popleft()
            self._given_up += 1
            self._say("failed: the disk is too slow")

    async def run(self) -> None:
        """Stores what was pushed, every second, for ever."""
        while True:
            await asyncio.sleep(STORE_S)
            await asyncio.to_thread(self.store)

    def store(self) -> None:
        """What was pushed is on the disk when this returns, or waits for the next call; never fails."""
        with self._lock:
            batch = self._drained()
            if not batch:
                return
            try:
                homeless = self._kept(batch)
                self._age_out()
                oldest = self._shelf.oldest()
            except OSError as error:
                self._shelf.abandon()
                self._waiting.extendleft(reversed(batch))
                self._say(f"failed: {error.strerror or error}")
            except Exception as error:  # ours to repair; a patient is screened all the same
                logger.exception("the recorder cannot keep %d blocks", len(batch))
                self._shelf.abandon()
                self._say(f"failed: {error!r}")
            else:
                self._waiting.extendleft(reversed(homeless))
                squeezed = self._shelf.squeezed_at
                full = squeezed is not None and time.monotonic() - squeezed < SQUEEZED_S
                self._say("full" if full else "ok", self._shelf.bytes, *oldest)

    def close(self) -> None:
        self.store()
        with self._lock:
            self._shelf.close()

    def _age_out(self) -> None:
        if self._age_s is not None and time.monotonic() - self._aged_at > AGED_S:
            self._shelf.expire(time.time() - self._age_s)
            self._aged_at = time.monotonic()

    def _drained(self) -> list[tuple[Item, Clock]]:
        batch = []
        with contextlib.suppress(IndexError):  # `push` may give up the oldest meanwhile
            while True:
                batch.append(self._waiting.popleft())
        return batch

    def _kept(self, batch: list[tuple[Item, Clock]]) -> list[tuple[Item, Clock]]:
        """On the disk, at the cost of the oldest where it is full; what is there is not written again.

        Returns the gaps and markers of a boot whose samples never came.
        """
        while True:
            try:
                homeless = [left for thing in _runs(batch) for left in self._keep(thing, batch)]
                self._shelf.sync()
            except OSError as error:
                self._shelf.abandon()
                if error.errno not in NO_ROOM or not self._shelf.squeeze():
                    raise
            else:
                return homeless

    def _keep(
        self, thing: Run | tuple[Gap | Marker, Clock], batch: list[tuple[Item, Clock]]
    ) -> list[tuple[Item, Clock]]:
        if isinstance(thing, Run):
            self._keep_samples(thing)
            return []
        item, clock = thing
        head = self._head_of(item, batch)
        if head is None:
            return [(item, clock)]
        record = Record(
            kind=Kind.GAP if isinstance(item, Gap) else Kind.MARKER,
            first=item.first,
            count=item.count if isinstance(item, Gap) else 0,
            clock=clock,
            payload=(item.reason if isinstance(item, Gap) else item.source).encode(),
        )
        self._shelf.turn_to(head, item.first // head.hour_samples)
        if not self._shelf.knows(record):
            self._shelf.append(record)
        return []

    def _keep_samples(self, run: Run) -> None:
        size = run.head.hour_samples
        for hour in range(run.first // size, run.last // size + 1):
            self._shelf.turn_to(run.head, hour)
            for first, count in self._shelf.fresh(
                max(run.first, hour * size), min(run.last, (hour + 1) * size - 1)
            ):
                for record in run.records(first, count):
                    self._shelf.append(record)

    def _head_of(self, item: Gap | Marker, batch: Iterable[tuple[Item, Clock]]) -> Head | None:
        """Of the item's boot: as its samples say that came with it, or those on the disk."""
        for other, _ in batch:
            if isinstance(other, SampleBlock) and (other.patch_id, other.boot_id) == (
                item.patch_id,
                item.boot_id,
            ):
                return Head.of(other)
        return self._shelf.head_of(boot_key(item.patch_id, item.boot_id))

    def _say(
        self, state: str, size: int | None = None, oldest: int | None = None, utc: float | None = None
    ) -> None:
        """The new status; a change is logged once."""
        before = self.status
        self.status = replace(before, state=state) if size is None else Status(state, size, oldest, utc)
        if state == before.state:
            return
        if state.startswith("failed"):
            logger.error("the recorder %s; screening goes on without it", state)
        elif before.state.startswith("failed"):
            logger.warning("the recorder goes on; blocks given up: %d", self._given_up)
            self._given_up = 0
        if state == "full":
            logger.warning("the recorder's disk is full: the oldest recordings make room for the newest")


def _runs(batch: Iterable[tuple[Item, Clock]]) -> Iterator[Run | tuple[Gap | Marker, Clock]]:
    """The items in their order, blocks that follow each other as one run."""
    run: Run | None = None
    for item, clock in batch:
        if isinstance(item, SampleBlock):
            more = Run.of(item, clock)
            if run is not None and run.joins(more):
                continue
            if run is not None:
                yield run
            run = more
            continue
        if run is not None:
            yield run
        run = None
        yield item, clock
    if run is not None:
        yield run
