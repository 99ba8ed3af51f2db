"""The recorder's folder: one file is open for appending, and the oldest leave when there is no room.

Any method may raise OSError; `abandon()` then begins anew from what is on disk, where a torn tail is cut off.
"""

from __future__ import annotations

import contextlib
import errno
import io
import logging
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge.ledger import Evicted, note
from edge.records import Head, Kind, Page, Record, Scan, boot_key, encode, encode_head, pages, scan
from models.ecg import Mask, mask_to_spans
from models.errors import PayloadError

logger = logging.getLogger(__name__)

SHARE = 8  # a file is at most this part of the budget: the newest one never has to leave
FOREIGN = Scan(end=-1)  # of a later anyECG: it stays as it is
HEAD_EVERY = 128 * 1024  # bytes, about 10 min: a damaged head costs no hour


class Shelf:
    """Files of at most `max_bytes` in all, leaving `headroom` bytes of the disk to others.

    `turn_to` a head and an hour, then `append` records and `sync`; `fresh` and `knows` say what is there.
    """

    def __init__(self, folder: Path, max_bytes: int, headroom: int) -> None:
        self.bytes = 0
        self.squeezed_at: float | None = None  # monotonic seconds: when the disk itself was full
        self._folder = folder
        self._max_bytes = max_bytes
        self._headroom = headroom
        self._sizes: dict[Page, int] | None = None
        self._page: Page | None = None  # the open one
        self._head: Head | None = None
        self._file: io.FileIO | None = None
        self._hour = -1
        self._held: Mask = np.zeros(0, dtype=np.bool_)  # of the hour's samples: on disk
        self._noted: list[Record] = []  # gaps and markers of the hour
        self._dirty = False
        self._oldest: tuple[tuple[Page, bool], tuple[int, float | None]] | None = None

    def turn_to(self, head: Head, hour: int) -> None:
        """Open the file of this hour, or begin one."""
        if self._file is not None and (head, hour) == (self._head, self._hour):
            return
        self.sync()
        self.close()
        boot = boot_key(head.patch_id, head.boot_id)
        self._head, self._hour = head, hour
        self._held, self._noted = np.zeros(head.hour_samples, dtype=np.bool_), []
        last: Page | None = None
        for page in [page for page in sorted(self._listed()) if (page.hour, page.boot) == (hour, boot)]:
            found = self._mended(page)
            for record in found.records:
                self._remember(record)
            last = page if found.head == head or not found.end else None
        if last is None:
            last = self._next(hour, boot)
        self._open(last)

    def fresh(self, first: int, last: int) -> tuple[tuple[int, int], ...]:
        """The (first, count) spans of this stretch of the open hour that are not on disk yet."""
        base = self._hour * len(self._held)
        return mask_to_spans(~self._held[first - base : last + 1 - base], first)

    def knows(self, record: Record) -> bool:
        """Whether a gap or marker is on disk, or a gap lies within one that is."""
        return any(
            r.kind is record.kind
            and r.payload == record.payload
            and r.first <= record.first
            and r.last >= record.last
            for r in self._noted
        )

    def append(self, record: Record) -> None:
        assert self._page is not None
        assert self._head is not None
        if self._size() > self._max_bytes // SHARE:
            page = self._next(self._hour, self._page.boot)
            self.sync()
            self.close()
            self._open(page)
        data = encode(record)
        if self._size() == 0 or self._size() // HEAD_EVERY != (self._size() + len(data)) // HEAD_EVERY:
            data = encode_head(self._head) + data
        self._write(data)
        self._remember(record)

    def sync(self) -> None:
        """What was appended is on the disk when this returns."""
        if self._file is not None and self._dirty:
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        self._file = self._page = None

    def abandon(self) -> None:
        """After an error: nothing is open, and what is on disk is looked at again."""
        self.close()
        self._sizes = self._oldest = None
        self._dirty = False

    def head_of(self, boot: str) -> Head | None:
        """How the newest readable file of a boot was recorded."""
        for page in sorted(self._listed(), reverse=True):
            if page.boot == boot and (head := self._scanned(page).head):
                return head
        return None

    def oldest(self) -> tuple[int | None, float | None]:
        """The first sample of the oldest file, and when it was (Unix seconds)."""
        sizes = self._listed()
        if not sizes:
            return None, None
        page = min(sizes)
        key = page, page == self._page  # once it is closed, its clock has settled
        if self._oldest is None or self._oldest[0] != key:
            found = self._scanned(page)
            if not found.samples:
                return None, None
            first = found.samples[0].first
            self._oldest = key, (first, found.utc(first))
        return self._oldest[1]

    def evict(self, why: str) -> bool:
        """Delete the oldest file that is neither open nor the newest; False where there is none."""
        leaves = self._leaving()
        if leaves:
            self._give_up(leaves[0], self._scanned(leaves[0]), why)
        return bool(leaves)

    def expire(self, before: float) -> None:
        """Delete the files whose every sample is older (Unix seconds); one whose clock is unknown stays."""
        for page in self._leaving():
            found = self._scanned(page)
            ends = [found.utc(record.last) for record in found.samples]
            if ends and all(utc is not None and utc < before for utc in ends):
                self._give_up(page, found, "it is older than the days it is kept")

    def _leaving(self) -> list[Page]:
        """What may be given up, the oldest first."""
        sizes = self._listed()
        return sorted(page for page in sizes if page not in {self._page, max(sizes)})

    def _give_up(self, page: Page, found: Scan, why: str) -> None:
        lost = _evicted(page, found, self._listed()[page], why)
        logger.warning("the recorder gives up %s: %s", _in_words(lost), why)
        noted = False
        with contextlib.suppress(OSError):  # no room even for a line: it is there once the file is gone
            note(self._folder, lost)
            noted = True
        (self._folder / page.name).unlink(missing_ok=True)
        self.bytes -= self._listed().pop(page)
        if not noted:
            note(self._folder, lost)

    def squeeze(self) -> bool:
        """The disk is full: make room at the cost of the oldest; False where nothing is left to give."""
        self.squeezed_at = time.monotonic()
        return self.evict("the disk is full")

    def _write(self, data: bytes) -> None:
        assert self._file is not None
        assert self._page is not None
        while self.bytes + len(data) > self._max_bytes and self.evict("the budget is used up"):
            pass
        while self._free() < len(data):
            if not self.squeeze():
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._dirty = True
        if self._file.write(data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._listed()[self._page] += len(data)
        self.bytes += len(data)

    def _free(self) -> int:
        """Bytes of the disk that may still be used; the headroom is at most a tenth of it."""
        disk = os.statvfs(self._folder)
        headroom = min(self._headroom, disk.f_blocks * disk.f_frsize // 10)
        return disk.f_bavail * disk.f_frsize - headroom

    def _size(self) -> int:
        assert self._page is not None
        return self._listed()[self._page]

    def _listed(self) -> dict[Page, int]:
        if self._sizes is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sizes = {page: (self._folder / page.name).stat().st_size for page in pages(self._folder)}
            self.bytes = sum(self._sizes.values())
        return self._sizes

    def _next(self, hour: int, boot: str) -> Page:
        number = max((page.number for page in self._listed()), default=0) + 1
        return Page(number, hour, boot)

    def _open(self, page: Page) -> None:
        path = self._folder / page.name
        begins = not path.exists()
        self._file = path.open("ab", buffering=0)
        self._page = page
        self._listed().setdefault(page, 0)
        if begins:
            _sync_folder(self._folder)

    def _mended(self, page: Page) -> Scan:
        """The file, without what a kill or a full disk left behind its last whole record."""
        found, sizes = self._scanned(page), self._listed()
        torn = sizes[page] - found.end
        if torn and found != FOREIGN:
            logger.warning("the recorder's %s ends in %d torn bytes: they are cut off", page.name, torn)
            os.truncate(self._folder / page.name, found.end)
            sizes[page] -= torn
            self.bytes -= torn
        return found

    def _scanned(self, page: Page) -> Scan:
        try:
            return scan((self._folder / page.name).read_bytes())
        except PayloadError as error:
            logger.warning("the recorder's %s cannot be read: %s", page.name, error)
            return FOREIGN

    def _remember(self, record: Record) -> None:
        if record.kind is Kind.SAMPLES:
            begin = record.first - self._hour * len(self._held)
            self._held[begin : begin + record.count] = True
        else:
            self._noted.append(record)


def _evicted(page: Page, found: Scan, size: int, why: str) -> Evicted:
    samples = sorted(found.samples, key=lambda record: record.first)
    first, last = (samples[0], samples[-1]) if samples else (None, None)
    return Evicted(
        boot=page.boot,
        patch_id=found.head.patch_id if found.head else None,
        boot_id=found.head.boot_id if found.head else None,
        first=first.first if first else None,
        last=last.last if last else None,
        from_utc=found.utc(first.first) if first else None,
        to_utc=found.utc(last.last) if last else None,
        size=size,
        why=why,
        at=time.time(),
    )


def _in_words(lost: Evicted) -> str:
    when = [
        "?" if utc is None else datetime.fromtimestamp(utc, UTC).isoformat(timespec="seconds")
        for utc in (lost.from_utc, lost.to_utc)
    ]
    return f"samples {lost.first} to {lost.last} of patch {lost.patch_id} ({when[0]} to {when[1]})"


def _sync_folder(folder: Path) -> None:
    """The name of a new file is on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
