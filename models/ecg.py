"""The nouns of the stream: what a patch measured, what it failed to measure, and what is sent on.

Sample index is time: `first` and `last` are inclusive indices counted from the boot of the patch,
and every threshold, refractory time and padding counts samples. Wall time lives only in `Clock`.
Arrays are read-only. This module needs numpy and the standard library, nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.verdicts import Screening

Counts = npt.NDArray[np.int32]
Microvolts = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_A = TypeVar("_A", bound=npt.NDArray[Any])


def make_id(*fields: object) -> str:
    """The first 26 characters of the base32 (RFC 4648) of a SHA-256 over the fields, one a line.

    No id depends on wall time or a counter, so a replay, a restart and a redelivery agree on it.
    """
    digest = hashlib.sha256("\n".join(str(f) for f in fields).encode()).digest()
    return base64.b32encode(digest).decode()[:26]


def sha256_of(counts: Counts) -> str:
    """Hex SHA-256 of the decoded samples: little-endian int32, lead after lead."""
    return hashlib.sha256(np.ascontiguousarray(counts, dtype="<i4").tobytes()).hexdigest()


def boot_id_of(counts: Counts) -> int:
    """A recording's boot id: CRC-32 of its samples (little-endian int32, lead after lead)."""
    return zlib.crc32(np.ascontiguousarray(counts, dtype="<i4").tobytes())


def read_only(array: _A) -> _A:
    """The array, contiguous and frozen, so that stages can share it without copies."""
    frozen = np.ascontiguousarray(array).view()
    frozen.setflags(write=False)
    return frozen  # type: ignore[return-value]


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleBlock:
    """Consecutive samples of every lead, as the device counted them, baseline removed."""

    patch_id: str
    boot_id: int
    first: int
    fs: float  # nominal Hz; the measured rate lives in the Clock
    leads: tuple[str, ...]
    counts: Counts  # int32 (lead, sample)
    uv_per_count: tuple[float, ...]  # microvolts, one per lead
    received_at: float | None = None  # Unix seconds; None for a replay
    sampled_at: float | None = None  # the patch's own monotonic clock at `first`, seconds
    lead_off: frozenset[str] = frozenset()

    @property
    def last(self) -> int:
        return self.first + int(self.counts.shape[1]) - 1


class GapReason(StrEnum):
    """Why samples will not come."""

    EVICTED = "evicted"  # the patch's ring, or the edge's recorder, no longer holds it
    TOO_LONG = "too long"  # longer than what is backfilled before live goes on
    UNANSWERED = "unanswered"  # the patch did not deliver what it should hold
    NOT_RECORDED = "not recorded"  # the edge's recorder never had it, or was killed before it was on disk
    CORRUPT = "corrupt"  # it is on the edge's disk and cannot be read


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """Samples that were measured or due, and will not come: data, never interpolated."""

    patch_id: str
    boot_id: int
    first: int
    count: int
    reason: GapReason

    @property
    def last(self) -> int:
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """The patient's button."""

    patch_id: str
    boot_id: int
    first: int
    source: str = "button"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchStatus:
    """What the patch says of itself; `ring_first` and `ring_last` are the samples it still holds."""

    patch_id: str
    boot_id: int
    battery_mv: int
    lead_off: frozenset[str]
    ring_first: int
    ring_last: int
    overruns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """A live frame as it came; its samples leave in a block once all before them are there, or given up."""

    patch_id: str
    boot_id: int
    first: int
    last: int
    sampled_at: float  # the patch's own monotonic clock at `first`, seconds
    heard_at: float  # this computer's, which nobody sets, seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordingEnd:
    """The source's own end (end of a recording, the patch's STOP indication): the only thing that flushes."""

    patch_id: str
    boot_id: int
    last: int


StreamItem = SampleBlock | Gap | Marker | PatchStatus | Arrival | RecordingEnd


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """10 s of signal to be judged, or less at the very end of a recording."""

    first: int
    fs: float  # Hz
    leads: tuple[str, ...]
    microvolts: Microvolts  # float32 (lead, sample); 0 where missing
    missing: Mask  # (sample,)
    lead_off: frozenset[str] = frozenset()  # leads reported off anywhere in it

    @property
    def last(self) -> int:
        return self.first + int(self.microvolts.shape[1]) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Clock:
    """When the samples were taken: UTC of sample i = utc_0 + i / fs."""

    utc_0: float | None = None  # Unix seconds of sample 0 of the boot; None = unknown
    fs: float | None = None  # measured samples per second of UTC
    error_s: float | None = None  # bound of the error of utc_0 + i / fs, seconds
    quality: str = "none"  # "none" | "recording" (its header) | "arrival" (measured at the edge)
    received_at: float | None = None  # Unix seconds at which the last sample reached the edge

    def utc(self, sample: int) -> float | None:
        """Unix seconds of a sample, None where the clock is unknown."""
        if self.utc_0 is None or self.fs is None:
            return None
        return self.utc_0 + sample / self.fs


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One part of an episode, stored, sent and acknowledged on its own."""

    id: str
    patch_id: str
    boot_id: int
    episode_id: str  # the id of the episode's part 0
    part: int
    final: bool
    continues: str | None  # the episode before, where that one ended at 5 min while still open
    opened_by: str  # "screener" | "marker"
    first: int
    fs: float  # nominal Hz
    leads: tuple[str, ...]
    counts: Counts  # int32 (lead, sample); 0 inside a gap
    uv_per_count: tuple[float, ...]
    gaps: tuple[tuple[int, int], ...] = ()  # (first, count), absolute sample indices
    lead_off: tuple[tuple[int, int], ...] = ()  # (first, count) where any lead was reported off
    markers: tuple[int, ...] = ()
    screenings: tuple[Screening, ...] = ()  # of the windows that end in this part
    clock: Clock = Clock()

    @property
    def last(self) -> int:
        return self.first + int(self.counts.shape[1]) - 1

    @property
    def sha256(self) -> str:
        return sha256_of(self.counts)

    @property
    def microvolts(self) -> Microvolts:
        """float32 (lead, sample)."""
        scale = np.asarray(self.uv_per_count, dtype=np.float32)[:, None]
        return self.counts.astype(np.float32) * scale

    @property
    def missing(self) -> Mask:
        """(sample,): True where no sample came."""
        return spans_to_mask(self.gaps, self.first, self.counts.shape[1])


def segment_id(patch_id: str, boot_id: int, first: int, last: int) -> str:
    return make_id(patch_id, boot_id, first, last)


def row_id(patch_id: str, boot_id: int, first: int) -> str:
    return make_id("trend", patch_id, boot_id, first)


def spans_to_mask(spans: Iterable[tuple[int, int]], first: int, count: int) -> Mask:
    """(count,): True where one of the (first, count) spans covers sample `first` + i."""
    mask = np.zeros(count, dtype=np.bool_)
    for start, length in spans:
        mask[max(0, start - first) : max(0, start - first + length)] = True
    return mask


def mask_to_spans(mask: Mask, first: int) -> tuple[tuple[int, int], ...]:
    """The (first, count) spans of the True stretches; `first` is the index of mask[0]."""
    edges = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0))
    return tuple((first + int(a), int(b - a)) for a, b in zip(edges[::2], edges[1::2], strict=True))
