"""What experts said of a recording, without its samples, and strips cut from it.

Rows of the dataset point at signals and never copy them: a `Strip` is a stretch of a recording's
annotations, and `Strip.reference` says where its samples are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import Annotated, Rhythm

HOLE_S = 4.0  # annotators left no beat out for this long: fibrillation, flutter waves or noise
WITHOUT_QRS = frozenset({"VFL"})
EDGE_S = 0.15  # a QRS this near to an edge is cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """An annotated recording without its samples; indices as in `Annotated`."""

    record: str
    patient: str
    source: str
    fs: float  # Hz
    leads: tuple[str, ...]
    length: int  # samples
    beats: npt.NDArray[np.int64]  # (beat,) R peaks
    symbols: npt.NDArray[np.str_]  # (beat,) WFDB symbols
    rhythms: tuple[Rhythm, ...]  # ascending
    beats_known: bool  # every beat and its class was annotated by experts
    holes: tuple[tuple[int, int], ...]  # stretches whose beats nobody annotated
    blocked: npt.NDArray[np.int64]  # atrial premature waves that were not conducted: no beat, no normality

    @property
    def seconds(self) -> float:
        return self.length / self.fs


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """Samples `first` to `last`, both included, of some leads of a recording."""

    timeline: Timeline
    first: int
    last: int
    leads: tuple[str, ...]

    @property
    def start(self) -> float:
        """Seconds from the start of the recording."""
        return self.first / self.timeline.fs

    @property
    def end(self) -> float:
        return (self.last + 1) / self.timeline.fs

    @property
    def seconds(self) -> float:
        return self.end - self.start

    @property
    def inside(self) -> slice:
        """The beats whose R peak lies in the strip, as a slice of `timeline.beats`."""
        low, high = np.searchsorted(self.timeline.beats, [self.first, self.last + 1])
        return slice(int(low), int(high))

    @property
    def beats_s(self) -> list[float]:
        """R peaks in seconds from the start of the strip."""
        return [float(b - self.first) / self.timeline.fs for b in self.timeline.beats[self.inside]]

    @property
    def symbols(self) -> list[str]:
        return [str(symbol) for symbol in self.timeline.symbols[self.inside]]

    @property
    def beats_known(self) -> bool:
        """Every beat of the strip is annotated."""
        return self.timeline.beats_known and not any(
            a <= self.last and b >= self.first for a, b in self.timeline.holes
        )

    @property
    def edges_clear(self) -> bool:
        """No QRS is cut by an edge: a count of what is seen is a count of what is annotated."""
        return not self.at_edges()

    def at_edges(self) -> list[str]:
        """Symbols of the beats within 0.15 s of an edge, inside or outside."""
        near = round(EDGE_S * self.timeline.fs)
        beats = self.timeline.beats
        bounds = np.searchsorted(
            beats, [self.first - near, self.first + near, self.last - near, self.last + near]
        )
        low, high = self.timeline.symbols[bounds[0] : bounds[1]], self.timeline.symbols[bounds[2] : bounds[3]]
        return [str(symbol) for symbol in (*low, *high)]

    def rhythms(self) -> list[tuple[Rhythm, int, int]]:
        """Each rhythm that overlaps the strip, with its first and last sample in it."""
        return [
            (rhythm, max(rhythm.first, self.first), min(rhythm.last, self.last))
            for rhythm in self.timeline.rhythms
            if rhythm.first <= self.last and rhythm.last >= self.first
        ]

    def rhythm_known(self) -> bool:
        """Annotated rhythms cover the strip from edge to edge."""
        pieces = self.rhythms()
        if not pieces or pieces[0][1] > self.first or pieces[-1][2] < self.last:
            return False
        return all(b[1] <= a[2] + 1 for a, b in pairwise(pieces))

    def reference(self) -> dict[str, Any]:
        """Where the samples are: start included, end excluded, in seconds of the recording."""
        return {
            "record": self.timeline.record,
            "start": round(self.start, 4),
            "end": round(self.end, 4),
            "leads": list(self.leads),
        }


def timeline_of(record: Annotated, blocked: Iterable[int] = ()) -> Timeline:
    known = "beats" in record.labelled
    length = int(record.microvolts.shape[1])
    return Timeline(
        record=record.record,
        patient=record.patient,
        source=record.source,
        fs=record.fs,
        leads=record.leads,
        length=length,
        beats=record.beats,
        symbols=record.symbols,
        rhythms=record.rhythms,
        beats_known=known,
        holes=_holes(record, length) if known else (),
        blocked=np.asarray(sorted(blocked), dtype=np.int64),
    )


def _holes(record: Annotated, length: int) -> tuple[tuple[int, int], ...]:
    marks = [0, *(int(beat) for beat in record.beats), length - 1]
    silent = [(a, b) for a, b in pairwise(marks) if b - a > HOLE_S * record.fs]
    return (*silent, *((r.first, r.last) for r in record.rhythms if r.name in WITHOUT_QRS))


def cut(timeline: Timeline, start: float, seconds: float, leads: tuple[str, ...]) -> Strip | None:
    """The strip of `seconds` s from `start` s, or None where the recording does not hold it."""
    first = round(start * timeline.fs)
    last = first + round(seconds * timeline.fs) - 1
    if first < 0 or last >= timeline.length:
        return None
    return Strip(timeline=timeline, first=first, last=last, leads=leads)


def whole(timeline: Timeline, leads: tuple[str, ...]) -> Strip:
    return Strip(timeline=timeline, first=0, last=timeline.length - 1, leads=leads)


def clear(timeline: Timeline, rng: Random) -> Strip:
    """A strip from anywhere whose edges cut no QRS, if a few tries find one."""
    strips = (anywhere(timeline, rng) for _ in range(4))
    first = next(strips)
    return first if first.edges_clear else next((s for s in strips if s.edges_clear), first)


def some_leads(timeline: Timeline, rng: Random) -> tuple[str, ...]:
    """All leads in half of the strips, one of them in the others."""
    if len(timeline.leads) == 1 or rng.random() < 0.5:
        return timeline.leads
    return (rng.choice(timeline.leads),)


def some_seconds(timeline: Timeline, rng: Random, longest: float = 60.0) -> float:
    """A length of 10 s to `longest`, in whole seconds, as far as the recording goes."""
    if timeline.seconds <= 10:
        return timeline.seconds
    return float(rng.randint(10, max(10, int(min(longest, timeline.seconds)))))


def anywhere(timeline: Timeline, rng: Random, longest: float = 60.0) -> Strip:
    """A strip from anywhere in the recording."""
    seconds = some_seconds(timeline, rng, longest)
    start = rng.random() * (timeline.seconds - seconds)
    leads = some_leads(timeline, rng)
    return cut(timeline, start, seconds, leads) or whole(timeline, leads)
