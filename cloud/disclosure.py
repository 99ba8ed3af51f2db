"""Full disclosure as it is drawn: a time as columns of 0.1 s, each with what lay there or why nothing does.

The pyramid has three levels: samples, columns, minutes. Columns are painted from whatever is here, pulled
stretches and parts of episodes, coarse ones first; a column that several of them know is as high as all say.
What is nowhere here is unknown until the edge has answered for that time; then it was evicted there, or not
recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import Clock, Counts, GapReason, Mask, Segment, spans_to_mask
from models.ranges import Pulled, reduced

COLUMN_S = 0.1
PER_MINUTE = 600
NOTHING = -32768  # in a column without a value
STATES = ("unknown", "held", "missing", *(str(reason) for reason in GapReason))
UNKNOWN, HELD, MISSING = range(3)
NOT_RECORDED, EVICTED = (STATES.index(str(why)) for why in (GapReason.NOT_RECORDED, GapReason.EVICTED))

Span = tuple[float, float]  # Unix seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One lead of a stretch."""

    first: int  # samples, both included
    last: int
    fs: float  # nominal Hz
    resolution: int
    microvolts: npt.NDArray[np.float32]  # a value per sample, or two per pair
    gaps: tuple[tuple[int, int, int], ...]  # first, count, state
    clock: Clock

    def column(self, sample: npt.ArrayLike, begin: float) -> npt.NDArray[np.float64]:
        """Where samples lie, in columns from a Unix time on."""
        assert self.clock.utc_0 is not None
        assert self.clock.fs is not None
        seconds = self.clock.utc_0 - begin + np.asarray(sample) / self.clock.fs
        return np.asarray(seconds / COLUMN_S, dtype=np.float64)

    def pairs(self) -> tuple[Counts, Mask, float]:
        """Ordered pairs of about a column each, which of them hold nothing, and the samples one covers."""
        missing = spans_to_mask([gap[:2] for gap in self.gaps], self.first, self.last + 1 - self.first)
        per_value = 1.0
        if self.resolution > 1:
            missing = np.repeat(_all_of(missing, self.resolution), 2)
            per_value = self.resolution / 2
        together = max(2, round(COLUMN_S * self.fs / per_value))
        whole = np.round(self.microvolts)[None].astype(np.int32)
        return reduced(whole, missing, together)[0], _all_of(missing, together), together * per_value


def pieces(pulled: Sequence[Pulled], parts: Sequence[Segment], lead: str) -> list[Piece]:
    """Of one lead, of all that have it, the coarsest first."""
    out = [
        Piece(
            first=one.first,
            last=one.last,
            fs=one.fs,
            resolution=one.resolution,
            microvolts=_lead(one.counts, one.leads, one.uv_per_count, lead),
            gaps=tuple((first, count, STATES.index(str(why))) for first, count, why in one.gaps),
            clock=one.clock,
        )
        for one in pulled
        if lead in one.leads
    ]
    out += [
        Piece(
            first=part.first,
            last=part.last,
            fs=part.fs,
            resolution=1,
            microvolts=_lead(part.counts, part.leads, part.uv_per_count, lead),
            gaps=tuple((first, count, MISSING) for first, count in part.gaps),
            clock=part.clock,
        )
        for part in parts
        if lead in part.leads
    ]
    return out


class Columns:
    """From a Unix time on, so many minutes."""

    def __init__(self, begin: float, minutes: int) -> None:
        count = minutes * PER_MINUTE
        self.begin = begin
        self.states = np.zeros(count, dtype=np.int8)
        self._low = np.full(count, np.inf)
        self._high = np.full(count, -np.inf)
        self._rises = np.ones(count, dtype=np.bool_)  # the least came first

    def paint(self, piece: Piece) -> None:
        """What the piece knows, beside what is here already."""
        whole = np.zeros(len(self.states), dtype=np.int8)
        self._mark(whole, piece, piece.first, piece.last + 1, HELD)
        for first, count, state in piece.gaps:
            self._mark(whole, piece, first, first + count, state, wholly=True)
        pairs, gone, samples = piece.pairs()
        at = piece.first + samples * (np.arange(len(gone)) + 0.5)
        where = np.floor(piece.column(at, self.begin)).astype(int)
        inside = ~gone & (where >= 0) & (where < len(whole))
        where, early, late = where[inside], pairs[::2][inside], pairs[1::2][inside]
        np.minimum.at(self._low, where, np.minimum(early, late))
        np.maximum.at(self._high, where, np.maximum(early, late))
        self._rises[where] = early <= late
        whole[where] = HELD
        better = (self.states != HELD) & (whole != UNKNOWN)
        self.states[better] = whole[better]

    def outline(self, summary: Mapping[str, Any], lead: str) -> None:
        """A row of `Ranges.summaries`: as much as a minute's extremes and state need."""
        ends = [round((summary[edge] - self.begin) / COLUMN_S) for edge in ("utc", "until_utc")]
        first, after = max(0, ends[0]), min(len(self.states), ends[1])
        if first >= after:
            return
        whole = np.full(after - first, HELD, dtype=np.int8)
        at = 0
        for why, seconds in summary["summary"]["gaps"].items():
            count = round(seconds / COLUMN_S)
            whole[at : at + count] = STATES.index(why)
            at += count
        here = self.states[first:after]
        here[here != HELD] = whole[here != HELD]
        peaks = summary["summary"]["peaks"].get(lead)
        if peaks:
            middle = (first + after) // 2
            self._low[middle] = min(self._low[middle], peaks[0])
            self._high[middle] = max(self._high[middle], peaks[1])

    def runs(self, minute: int) -> list[tuple[int, int, str]]:
        """(first column, count, state) of a minute."""
        row = self.states[minute * PER_MINUTE : (minute + 1) * PER_MINUTE]
        edges = [0, *(np.flatnonzero(np.diff(row)) + 1).tolist(), PER_MINUTE]
        return [(a, b - a, STATES[row[a]]) for a, b in pairwise(edges)]

    def answered(self, spans: Sequence[Span], evicted: Sequence[Span]) -> None:
        """The edge has sent all that it has of these times: what is still unknown made room there for what
        was newer, or was not recorded."""
        unknown = self.states == UNKNOWN
        self.states[self._within(spans) & unknown] = NOT_RECORDED
        self.states[self._within(evicted) & unknown] = EVICTED

    def hide(self, spans: Sequence[Span]) -> None:
        """All but these times."""
        others = ~self._within(spans)
        self._low[others], self._high[others], self.states[others] = np.inf, -np.inf, UNKNOWN

    def _within(self, spans: Sequence[Span]) -> Mask:
        inside = np.zeros(len(self.states), dtype=np.bool_)
        for begin, end in spans:
            first, after = (max(0, round((edge - self.begin) / COLUMN_S)) for edge in (begin, end))
            inside[first:after] = True
        return inside

    def ordered(self) -> npt.NDArray[np.int16]:
        """(2 * column,): microvolts, the earlier of least and greatest first; NOTHING where no value is."""
        empty = np.isinf(self._low)
        low, high = (np.clip(np.where(empty, 0, v), -32767, 32767) for v in (self._low, self._high))
        both = np.stack([np.where(self._rises, low, high), np.where(self._rises, high, low)], axis=1)
        both[empty] = NOTHING
        return both.reshape(-1).astype("<i2")

    def minutes(self) -> list[tuple[int | None, int | None, str]]:
        """(least, greatest, state) of each minute: the rarest state that is not "held" says what is amiss."""
        out: list[tuple[int | None, int | None, str]] = []
        for at in range(0, len(self.states), PER_MINUTE):
            here = slice(at, at + PER_MINUTE)
            low, high = self._low[here].min(), self._high[here].max()
            held = bool(np.isfinite(low))
            out.append((int(low) if held else None, int(high) if held else None, _worst(self.states[here])))
        return out

    def _mark(
        self,
        states: npt.NDArray[np.int8],
        piece: Piece,
        first: int,
        after: int,
        state: int,
        *,
        wholly: bool = False,
    ) -> None:
        ends = piece.column([first, after], self.begin)
        low, high = (np.ceil(ends[0]), np.floor(ends[1])) if wholly else np.round(ends)
        states[max(0, int(low)) : max(0, int(high))] = state


def _worst(states: npt.NDArray[np.int8]) -> str:
    """Of a minute: why most of what is not held is not; "held" where all is."""
    counts = np.bincount(states, minlength=len(STATES))
    lacking = counts.copy()
    lacking[HELD] = 0
    if lacking.sum() < PER_MINUTE / 60:  # a second
        return STATES[HELD]
    return STATES[int(lacking.argmax())]


def _all_of(mask: Mask, together: int) -> Mask:
    """Of every so many: whether all are."""
    room = -len(mask) % together
    rows = np.pad(mask, (0, room), constant_values=True).reshape(-1, together)
    return np.asarray(rows.all(axis=1))


def _lead(
    counts: Counts, leads: tuple[str, ...], uv_per_count: tuple[float, ...], lead: str
) -> npt.NDArray[np.float32]:
    at = leads.index(lead)
    return np.asarray(counts[at] * uv_per_count[at], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Every sample of a short time, as one boot recorded it."""

    boot_id: int
    first: int  # samples, both included
    last: int
    fs: float  # nominal Hz
    leads: tuple[str, ...]
    counts: Counts  # int32 (lead, sample); 0 where missing
    uv_per_count: tuple[float, ...]
    missing: Mask
    off: Mask  # any lead was reported off
    complete: bool  # what is missing is known to be nowhere

    @classmethod
    def of(cls, whole: Sequence[Pulled | Segment], begin: float, end: float) -> Strip | None:
        """From pieces with every sample: of the longest, and of those alike; None where none is."""
        head = max(whole, key=lambda one: one.last - one.first, default=None)
        if head is None or head.clock.utc_0 is None or head.clock.fs is None:
            return None
        first, after = (round((edge - head.clock.utc_0) * head.clock.fs) for edge in (begin, end))
        count = after - first
        counts = np.zeros((len(head.leads), count), dtype="<i4")
        missing, known = np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.bool_)
        off = np.zeros(count, dtype=np.bool_)
        for one in whole:
            if _alike(one) != _alike(head) or one.last < first or one.first >= after:
                continue
            a, b = max(first, one.first), min(after, one.last + 1)
            here, there = slice(a - first, b - first), slice(a - one.first, b - one.first)
            held = ~spans_to_mask([gap[:2] for gap in one.gaps], one.first, one.last + 1 - one.first)[there]
            counts[:, here] = np.where(held, one.counts[:, there], counts[:, here])
            missing[here] &= ~held
            known[here] = True
            off |= spans_to_mask(one.lead_off, first, count)
        return cls(
            boot_id=head.boot_id,
            first=first,
            last=after - 1,
            fs=head.fs,
            leads=head.leads,
            counts=counts,
            uv_per_count=head.uv_per_count,
            missing=missing,
            off=off,
            complete=bool(known.all()),
        )


def _alike(piece: Pulled | Segment) -> tuple[object, ...]:
    return piece.boot_id, piece.leads, piece.uv_per_count
