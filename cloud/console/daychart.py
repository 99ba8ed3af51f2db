"""A day's rows as paths of SVG: x is the minute of the day, y falls from the top.

The pictures are stretched to the width there is, so the words are the page's;
looks are the style sheet's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from cloud.prints.chart import scale_of
from cloud.prints.minutes import Minute
from cloud.prints.stays import Day
from models.anyecg.evidence import Span

TALL = 100.0  # units of a curve's height
RIBBON = 10.0  # units of a ribbon's height
LEAST = 1.5  # units: what is there at all can be seen
LEAST_MIN = 3.0  # an episode is as wide at least
MOST_BEATS = 10  # a minute: a ribbon of early beats is at least so high
RR_TOP_MS = 2000.0  # a longer one is drawn at the top
RR_STEP_MS = 10.0  # as exactly as RR intervals are drawn
RR_PER_MINUTE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Curves:
    """Paths by name, and what the axis of rates says."""

    width: float  # minutes in the day: 1440, or an hour less or more
    levels: list[int]  # /min, from the top down
    paths: dict[str, str]
    most: dict[str, int]  # highest of V and S in a minute
    intervals: int  # RR intervals of the tachogram


def curves(day: Day, end: float) -> Curves:
    """`end`, Unix seconds, is the end of the calendar's day; `day` may be shorter."""
    minutes, width = day.minutes, (end - day.begin) / 60
    low, high = scale_of([rate for m in minutes for rate in (m.hr_min, m.hr_max) if rate is not None])

    def x(unix: float) -> float:
        return (unix - day.begin) / 60

    def y(bpm: float) -> float:
        return (high - bpm) / (high - low) * TALL

    most = {
        name: max((getattr(m, key) for m in minutes), default=0) for name, key in (("v", "n_v"), ("s", "n_s"))
    }
    ribbons: dict[str, Callable[[Minute], float]] = {
        "af": lambda m: m.af_s / 60,
        "v": lambda m: m.n_v / max(MOST_BEATS, most["v"]),
        "s": lambda m: m.n_s / max(MOST_BEATS, most["s"]),
        "missing": lambda m: m.missing_s / 60,
        "unreadable": lambda m: m.unreadable_s / 60,
    }
    paths = {name: _bars(minutes, x, share) for name, share in ribbons.items()}
    paths["band"] = "".join(
        _box(x(m.begin), y(m.hr_max), 1.1, max(0.8, y(m.hr_min) - y(m.hr_max)))
        for m in minutes
        if m.hr_min is not None and m.hr_max is not None
    )
    paths["mean"] = _line(minutes, x, y)
    paths["unheard"] = "".join(_box(x(a), 0, x(b) - x(a), RIBBON) for a, b in day.unheard)
    paths["ahead"] = _box(x(day.end), 0, width - x(day.end), TALL) if end > day.end else ""
    paths["hours"] = "".join(f"M{at} 0V{TALL:.0f}" for at in range(180, round(width), 180))
    levels = list(range(high, low - 1, -20))
    paths["levels"] = "".join(f"M0 {y(bpm):.1f}H{width:.0f}" for bpm in levels)
    intervals = [(x(at), ms) for stay in day.stays for at, ms in stay.intervals()]
    paths["rr"] = _dots(intervals)
    paths["episodes"] = _spans((stay.span for stay in day.stays), x)
    paths["symptoms"] = _ticks(x(symptom.at) for symptom in day.symptoms)
    return Curves(width=width, levels=levels, paths=paths, most=most, intervals=len(intervals))


def ticks(day: Day, moments: Iterable[float]) -> str:
    """A stroke at each of them, Unix seconds."""
    return _ticks((moment - day.begin) / 60 for moment in moments)


def _ticks(places: Iterable[float]) -> str:
    return "".join(f"M{place:.1f} 0V{RIBBON:.0f}" for place in places)


def _spans(spans: Iterable[Span], x: Callable[[float], float]) -> str:
    """As long as they last, or as can be seen."""
    return "".join(_box(x(a), 0, max(LEAST_MIN, x(b) - x(a)), RIBBON) for a, b in spans)


def _box(x: float, y: float, wide: float, tall: float) -> str:
    return f"M{x:.1f} {y:.1f}h{wide:.1f}v{tall:.1f}h{-wide:.1f}z"


def _bars(minutes: Sequence[Minute], x: Callable[[float], float], share: Callable[[Minute], float]) -> str:
    bars = ((m.begin, min(1.0, share(m)) * RIBBON) for m in minutes)
    return "".join(
        _box(x(begin), RIBBON - tall, 1.1, tall)
        for begin, tall in ((begin, max(LEAST, tall)) for begin, tall in bars if tall > 0)
    )


def _line(minutes: Sequence[Minute], x: Callable[[float], float], y: Callable[[float], float]) -> str:
    """Through the means; where a minute has none, or is not there, it breaks."""
    out, last = [], None
    for known, group in groupby(minutes, key=lambda m: m.hr_mean is not None):
        for m in group if known else ():
            joined = last is not None and m.begin - last < 90
            assert m.hr_mean is not None
            out.append(f"{'L' if joined else 'M'}{x(m.begin) + 0.5:.1f} {y(m.hr_mean):.1f}")
            out.append("" if joined else "h0.1")
            last = m.begin
        last = last if known else None
    return "".join(out)


def _dots(intervals: Iterable[tuple[float, float]]) -> str:
    """Each place once, however many beats fall on it."""
    most = round(RR_TOP_MS / RR_STEP_MS)
    places = {(round(at * RR_PER_MINUTE), min(most, round(ms / RR_STEP_MS))) for at, ms in intervals}
    return "".join(f"M{at / RR_PER_MINUTE:.1f} {TALL * (1 - rr / most):.1f}h0" for at, rr in sorted(places))
