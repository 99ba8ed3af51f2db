"""Numbers of a stretch that a report is made of, from the evidence that the store keeps.

Rates are as the analyst measures them (`cloud.analyst`): means of 8 RR intervals with nothing dark in them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from cloud.analyst import RR_BEATS
from models.anyecg.evidence import Evidence, Span

ROUNDED_S = 0.05  # evidence says its dark spans to a tenth of a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """A heart rate over 8 intervals and when they began."""

    bpm: float
    at: float  # seconds, on whatever clock was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart:
    """What was measured of the beats; `+` joins stretches that do not touch."""

    analysed_s: float = 0.0
    dark_s: float = 0.0  # came, and could not be read
    beats: int = 0
    intervals: int = 0
    interval_ms: float = 0.0  # in all
    slowest: Rate | None = None
    fastest: Rate | None = None

    @property
    def mean(self) -> float | None:
        """/min"""
        return 60_000.0 * self.intervals / self.interval_ms if self.intervals else None

    def __add__(self, other: Heart) -> Heart:
        return Heart(
            analysed_s=self.analysed_s + other.analysed_s,
            dark_s=self.dark_s + other.dark_s,
            beats=self.beats + other.beats,
            intervals=self.intervals + other.intervals,
            interval_ms=self.interval_ms + other.interval_ms,
            slowest=min(_known(self.slowest, other.slowest), key=lambda rate: rate.bpm, default=None),
            fastest=max(_known(self.fastest, other.fastest), key=lambda rate: rate.bpm, default=None),
        )


def heart(known: Evidence, within: Span, when: Callable[[float], float] = float) -> Heart:
    """Of what was read between two seconds of the patch's own clock; `when` makes such a second a time."""
    begin, end = max(within[0], known.start), min(within[1], known.end)
    if end <= begin:
        return Heart()
    dark_s = shared(known.dark, (begin, end))
    read = intervals(known, (begin, end))
    rr = np.array([length for _, length in read])
    slowest = fastest = None
    if len(rr) >= RR_BEATS:
        eights = np.convolve(rr, np.full(RR_BEATS, 1 / RR_BEATS), mode="valid")
        slowest, fastest = (
            Rate(bpm=60_000.0 / float(eights[i]), at=when(read[i][0]))
            for i in (int(eights.argmax()), int(eights.argmin()))
        )
    return Heart(
        analysed_s=end - begin - dark_s,
        dark_s=dark_s,
        beats=sum(begin <= second < end for second, _ in known.beats),
        intervals=len(rr),
        interval_ms=float(rr.sum()),
        slowest=slowest,
        fastest=fastest,
    )


def intervals(known: Evidence, within: Span) -> list[tuple[float, float]]:
    """(when it begins in s of the patch's own clock, ms) of each RR interval within, without what is dark."""
    at = [second for second, _ in known.beats if within[0] <= second < within[1]]
    return [(a, 1000.0 * (b - a)) for a, b in pairwise(at) if not _dark_between(known.dark, a, b)]


def shared(spans: Iterable[Span], within: Span) -> float:
    """Seconds of the spans, of which no two overlap, that lie within."""
    return sum(max(0.0, min(b, within[1]) - max(a, within[0])) for a, b in spans)


def united(spans: Iterable[Span]) -> list[Span]:
    """The same stretches, joined where they overlap or touch."""
    out: list[Span] = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], end)
        else:
            out.append((begin, end))
    return out


def _dark_between(dark: Sequence[Span], first: float, last: float) -> bool:
    return any(a < last - ROUNDED_S and b > first + ROUNDED_S for a, b in dark)


def _known(*rates: Rate | None) -> list[Rate]:
    return [rate for rate in rates if rate is not None]
