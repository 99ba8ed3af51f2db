"""What the recorder kept, read back: blocks bit for bit, and a Gap with its reason for whatever is not there.

Reads beside a recorder that writes. Clocks come with the records, as they were known when these were written.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from pathlib import Path

from edge.ledger import Evicted, evicted_of
from edge.records import Head, Kind, Page, Record, Scan, boot_key, pages, scan
from models.commands import PullRange
from models.ecg import Clock, Gap, GapReason, Marker, SampleBlock, read_only
from models.errors import PayloadError, RecordingError
from models.wire import decompress

SETTLED_S = 600.0  # a clock is unknown until live frames come, and better known after some minutes of them

Boot = tuple[str, int]  # patch_id, boot_id
Told = tuple[int, int, GapReason]  # first, last, why nothing is there


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the disk holds of one boot."""

    head: Head  # of its newest file
    first: int  # samples
    last: int
    samples: int  # that are there
    files: int
    size: int  # bytes
    damaged: int  # places


class Recorded:
    """A recorder's folder.

    Raises:
        RecordingError: there is nothing of what is asked for, or a later anyECG wrote it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def boots(self) -> list[Boot]:
        """Every boot of which a file can be read, oldest first."""
        out: dict[str, Boot] = {}
        for page in pages(self.folder):
            if page.boot not in out and (head := self._scan(page).head):
                out[page.boot] = head.patch_id, head.boot_id
        return list(out.values())

    def head(self, boot: Boot) -> Head:
        """How the boot's first readable file was recorded."""
        for page in self._pages(boot):
            if head := self._scan(page).head:
                return head
        raise RecordingError(f"{self.folder} holds nothing of patch {boot[0]}, boot {boot[1]}.")

    def extent(self, boot: Boot) -> tuple[int, int] | None:
        """The first and the last sample that are there; None where only gaps and markers are left."""
        mine = self._pages(boot)
        first, last = self._edge(mine, min), self._edge(mine[::-1], max)
        return None if first is None or last is None else (first, last)

    def known(self, boot: Boot) -> tuple[int, int] | None:
        """The first and the last sample that are there, or were before they were evicted."""
        gone = [one for one in self.evicted() if one.boot == boot_key(*boot)]
        ends = [end for one in gone for end in (one.first, one.last) if end is not None]
        ends += self.extent(boot) or ()
        return (min(ends), max(ends)) if ends else None

    def held(self, boot: Boot) -> Held | None:
        """None where no sample is left. Looks at every file of the boot: about 10 ms an hour."""
        mine = self._pages(boot)
        found = [self._scan(page) for page in mine]
        there = self.extent(boot)
        if there is None:
            return None
        return Held(
            head=next(one.head for one in reversed(found) if one.head),
            first=there[0],
            last=there[1],
            samples=sum(record.count for one in found for record in one.samples),
            files=len(mine),
            size=sum(one.end for one in found),
            damaged=sum(len(one.damaged) for one in found),
        )

    def gone(self, patch_id: str, pull: PullRange) -> list[tuple[float, float]]:
        """What was evicted of a patch between the two moments of a pull, Unix seconds."""
        if pull.begin is None or pull.end is None:
            return []
        return [
            (max(one.from_utc, pull.begin), min(one.to_utc, pull.end))
            for one in self.evicted()
            if one.patch_id == patch_id and one.from_utc is not None and one.to_utc is not None
            if one.from_utc < pull.end and one.to_utc >= pull.begin
        ]

    def evicted(self) -> list[Evicted]:
        return evicted_of(self.folder)

    def read(self, boot: Boot, first: int, last: int) -> Iterator[SampleBlock | Gap]:
        """Every sample from `first` to `last` exactly once, in a block or in a Gap; an hour in memory."""
        at, told = first, list[Told]()
        for hour, found in self._hours(boot, first, last):
            told += _told(found, hour)
            samples = ((one.head, record) for one in found for record in one.samples if record.last >= first)
            for head, record in sorted(samples, key=lambda pair: pair[1].first):
                if record.first > last or record.last < at:
                    continue
                block = _block(head, record) if head else None
                if block is None:
                    told.append((record.first, record.last, GapReason.CORRUPT))
                    continue
                yield from self._gaps(boot, at, block.first - 1, told)
                yield _cut(block, at, last)
                at = block.last + 1
        yield from self._gaps(boot, at, last, told)

    def markers(self, boot: Boot, first: int, last: int) -> list[Marker]:
        records = [r for _, found in self._hours(boot, first, last) for one in found for r in one.records]
        return [
            Marker(patch_id=boot[0], boot_id=boot[1], first=record.first, source=record.payload.decode())
            for record in sorted(records, key=lambda record: record.first)
            if record.kind is Kind.MARKER and first <= record.first <= last
        ]

    def clock(self, boot: Boot, sample: int) -> Clock:
        """The boot's clock as it was known ten minutes after this sample, or last before that."""
        head = self.head(boot)
        settled = sample + round(SETTLED_S * head.fs)
        mine = [page for page in self._pages(boot) if page.hour <= settled // head.hour_samples]
        for page in reversed(mine):
            if known := self._timed(page):
                return _latest(known, lambda record: record.first <= settled).clock
        return Clock()

    def sample_at(self, boot: Boot, utc: float) -> int | None:
        """The first sample at or after a Unix time; None where the boot's clock was not known."""
        mine = self._pages(boot)
        begun = bisect_right(
            mine, utc, key=lambda page: _utc(next(iter(self._timed(page)), Record(kind=Kind.GAP)))
        )
        known = self._timed(mine[max(0, begun - 1)]) if mine else []
        if not known:
            return None
        near = _latest(known, lambda record: _utc(record) <= utc)
        clock = self.clock(boot, near.first)  # which knows better when that was
        assert clock.utc_0 is not None
        assert clock.fs is not None
        return math.ceil((utc - clock.utc_0) * clock.fs - 1e-6)  # a rounded time names its own sample

    def _hours(self, boot: Boot, first: int, last: int) -> Iterator[tuple[range, list[Scan]]]:
        """(its samples, its files) of each hour of the stretch and the one before, whose gaps reach here."""
        size = self.head(boot).hour_samples
        mine = [page for page in self._pages(boot) if page.hour <= last // size]
        before = max((page.hour for page in mine if page.hour < first // size), default=0)
        for hour, of_hour in groupby(
            (page for page in mine if page.hour >= before), key=lambda page: page.hour
        ):
            yield range(hour * size, (hour + 1) * size), [self._scan(page) for page in of_hour]

    def _gaps(self, boot: Boot, first: int, last: int, told: Sequence[Told]) -> Iterator[Gap]:
        """The stretch as gaps: why the patch had nothing, else what became of it here."""
        if first > last:
            return
        why = sorted(told, key=lambda one: one[2] is GapReason.CORRUPT)
        if not any(begin <= first and last <= end for begin, end, _ in why):
            key = boot_key(*boot)
            gone = [one for one in self.evicted() if one.boot == key]
            why += [
                (e.first, e.last, GapReason.EVICTED)
                for e in gone
                if e.first is not None and e.last is not None
            ]
        inside = {edge for begin, end, _ in why for edge in (begin, end + 1) if first < edge <= last}
        pieces = [
            (a, b, next((reason for begin, end, reason in why if begin <= a <= end), GapReason.NOT_RECORDED))
            for a, b in pairwise(sorted({first, last + 1} | inside))
        ]
        for reason, alike in groupby(pieces, key=lambda piece: piece[2]):
            spans = list(alike)
            begin, end = spans[0][0], spans[-1][1]
            yield Gap(patch_id=boot[0], boot_id=boot[1], first=begin, count=end - begin, reason=reason)

    def _edge(self, in_order: list[Page], edge: Callable[[Iterable[int]], int]) -> int | None:
        for _, of_hour in groupby(in_order, key=lambda page: page.hour):
            samples = [record for page in of_hour for record in self._scan(page).samples]
            if samples:
                return edge(sample for record in samples for sample in (record.first, record.last))
        return None

    def _pages(self, boot: Boot) -> list[Page]:
        """In the order of their samples."""
        mine = [page for page in pages(self.folder) if page.boot == boot_key(*boot)]
        return sorted(mine, key=lambda page: (page.hour, page.number))

    def _timed(self, page: Page) -> list[Record]:
        """The records of a file that know when they were, in the order of their samples."""
        known = [record for record in self._scan(page).records if record.clock.utc(0) is not None]
        return sorted(known, key=lambda record: record.first)

    def _scan(self, page: Page) -> Scan:
        try:
            return scan((self.folder / page.name).read_bytes())
        except FileNotFoundError:  # evicted meanwhile
            return Scan()
        except PayloadError as error:
            raise RecordingError(f"{self.folder / page.name} cannot be read. {error}") from error


def _told(found: Iterable[Scan], hour: range) -> Iterator[Told]:
    """What the files of an hour say of samples they do not hold."""
    for one in found:
        for before, after in one.damaged:
            begin, end = (
                before if before is not None else hour[0] - 1,
                after if after is not None else hour[-1] + 1,
            )
            yield begin + 1, end - 1, GapReason.CORRUPT
        for record in one.records:
            if record.kind is Kind.GAP:
                yield record.first, record.last, GapReason(record.payload.decode())


def _latest(records: Sequence[Record], holds: Callable[[Record], bool]) -> Record:
    return next((record for record in reversed(records) if holds(record)), records[0])


def _utc(record: Record) -> float:
    return record.clock.utc(record.first) or 0.0


def _block(head: Head, record: Record) -> SampleBlock | None:
    """None where the samples cannot be read for all their right CRC."""
    try:
        counts = decompress(record.payload, len(head.leads), record.count)
    except PayloadError:
        return None
    return SampleBlock(
        patch_id=head.patch_id,
        boot_id=head.boot_id,
        first=record.first,
        fs=head.fs,
        leads=head.leads,
        counts=read_only(counts),
        uv_per_count=head.uv_per_count,
        lead_off=frozenset(lead for i, lead in enumerate(head.leads) if record.lead_off >> i & 1),
    )


def _cut(block: SampleBlock, first: int, last: int) -> SampleBlock:
    """What of the block lies in the stretch."""
    begin, end = max(block.first, first), min(block.last, last)
    if (begin, end) == (block.first, block.last):
        return block
    return replace(
        block, first=begin, counts=read_only(block.counts[:, begin - block.first : end + 1 - block.first])
    )
