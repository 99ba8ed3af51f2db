"""What the recorder holds of a stretch that the cloud asks for, cut into minutes at a resolution."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from edge.recorded import Boot, Recorded
from edge.records import Head
from models.commands import PullRange
from models.ecg import Clock, Counts, Gap, Mask, SampleBlock, mask_to_spans, read_only
from models.ranges import GapSpan, Pulled, reduced
from models.signals.windows import minute_of

Stretch = tuple[Boot, int, int]  # samples, both included


def stretches(recorded: Recorded, patch_id: str, pull: PullRange) -> list[Stretch]:
    """What of each boot of the patch is asked for; moments take in the minutes that they touch.

    Empty where nothing of it was ever recorded. What was recorded and has left again is in it.
    """
    boots = [boot for boot in recorded.boots() if boot[0] == patch_id]
    if pull.first is not None and pull.last is not None:
        return [(boot, pull.first, pull.last) for boot in boots if boot[1] == pull.boot_id]
    found = []
    for boot in boots:
        assert pull.begin is not None
        assert pull.end is not None
        first, end = recorded.sample_at(boot, pull.begin), recorded.sample_at(boot, pull.end)
        known = recorded.known(boot)
        if first is None or end is None or known is None:
            continue
        low, high = known
        if first > high or end <= low:
            continue
        fs = recorded.head(boot).fs
        begin, after = minute_of(max(first, low), fs)[0], minute_of(min(end - 1, high), fs)[1]
        found.append((boot, max(begin, low), min(after - 1, high)))
    return found


def minutes(recorded: Recorded, stretch: Stretch, resolution: int) -> Iterator[Pulled]:
    """In order; a minute that was recorded in two ways is two."""
    boot, first, last = stretch
    head = recorded.head(boot)
    clock = recorded.clock(boot, first)
    minute = _Minute(head, first, _last(first, last, head.fs))
    for item in recorded.read(boot, first, last):
        at = item.first
        while at <= item.last:
            if isinstance(item, SampleBlock) and not minute.takes(item):
                if at > minute.first:
                    yield minute.pulled(at - 1, resolution, clock)
                minute = _Minute(Head.of(item), at, _last(at, last, item.fs))
            minute.take(item, at)
            at = minute.last + 1
            if at <= item.last + 1:
                yield minute.pulled(minute.last, resolution, clock)
                minute = _Minute(minute.head, at, _last(at, last, minute.head.fs))


@dataclass(slots=True)
class _Minute:
    """One that is being put together."""

    head: Head
    first: int
    last: int
    counts: Counts = field(init=False)
    off: Mask = field(init=False)
    gaps: list[GapSpan] = field(default_factory=list)

    def __post_init__(self) -> None:
        count = max(0, self.last + 1 - self.first)
        self.counts = np.zeros((len(self.head.leads), count), dtype=np.int32)
        self.off = np.zeros(count, dtype=np.bool_)

    def takes(self, block: SampleBlock) -> bool:
        return Head.of(block) == self.head

    def take(self, item: SampleBlock | Gap, at: int) -> None:
        """What lies in it of the item, from sample `at` on."""
        end = min(item.last, self.last)
        if isinstance(item, Gap):
            self.gaps.append((at, end + 1 - at, item.reason))
            return
        here = slice(at - self.first, end + 1 - self.first)
        self.counts[:, here] = item.counts[:, at - item.first : end + 1 - item.first]
        self.off[here] = bool(item.lead_off)

    def pulled(self, last: int, resolution: int, clock: Clock) -> Pulled:
        count = last + 1 - self.first
        missing = np.zeros(count, dtype=np.bool_)
        for begin, length, _ in self.gaps:
            missing[begin - self.first : begin - self.first + length] = True
        return Pulled(
            patch_id=self.head.patch_id,
            boot_id=self.head.boot_id,
            first=self.first,
            last=last,
            fs=self.head.fs,
            leads=self.head.leads,
            resolution=resolution,
            counts=read_only(reduced(self.counts[:, :count], missing, resolution)),
            uv_per_count=self.head.uv_per_count,
            gaps=tuple(self.gaps),
            lead_off=mask_to_spans(self.off[:count], self.first),
            clock=clock,
        )


def _last(at: int, last: int, fs: float) -> int:
    return min(last, minute_of(at, fs)[1] - 1)
