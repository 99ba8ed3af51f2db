"""The trend of a heart's rate over hours as a small SVG: episodes as bars, the edge's minutes as a band."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from cloud.console.views import moment
from cloud.prints.ink import FONT, Ink, escape, line, number, rect, text
from cloud.prints.minutes import Minute
from cloud.prints.strip import Picture
from models.anyecg.evidence import Span

WIDTH, LEFT, TOP = 185.0, 22.0, 4.0  # mm
PLOT = 52.0  # mm, of the rates
RIBBON, BETWEEN = 4.0, 2.5  # mm
LEAST_MM = 0.6  # an episode is seen also where it is shorter than a pixel
BAND = "#ccd4d7"
OVERLAP = 0.1  # mm: no seam shows between two minutes
DAY_S = 86_400
TICKS_S = (600, 1800, 3600, 2 * 3600, 4 * 3600, 12 * 3600, DAY_S, 2 * DAY_S, 7 * DAY_S, 28 * DAY_S)
NO_ROWS = "no minute rows: between the episodes nothing is known here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """An episode: Unix seconds, rates in /min."""

    span: Span
    low: float | None
    mean: float | None
    high: float | None
    af: tuple[Span, ...]


def rates_chart(begin: float, end: float, bars: Sequence[Bar], minutes: Sequence[Minute]) -> Picture:
    """Between two moments, Unix seconds."""
    known = [rate for bar in bars for rate in (bar.low, bar.high) if rate is not None]
    known += [rate for row in minutes for rate in (row.hr_min, row.hr_max) if rate is not None]
    low, high = scale_of(known)

    def x(unix: float) -> float:
        return LEFT + (min(max(unix, begin), end) - begin) / (end - begin) * (WIDTH - LEFT)

    def y(bpm: float) -> float:
        return TOP + (high - bpm) / (high - low) * PLOT

    body = [
        rect(LEFT, TOP, WIDTH - LEFT, PLOT, Ink.PAPER),
        *_levels(low, high, y),
        *_ticks(begin, end, x),
        *_band(minutes, x, y),
        *_drawn(bars, x, y),
        *_ribbons(bars, minutes, x),
    ]
    if not minutes:
        body.append(text(LEFT + 2, TOP + 4, NO_ROWS, 2.6, Ink.QUIET))
    height = TOP + PLOT + 7 + 3 * (RIBBON + BETWEEN)
    says = f"Heart rate of {len(bars)} episodes and {len(minutes)} minutes, {moment(begin)} to {moment(end)}"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(WIDTH)}mm" height="{number(height)}mm"'
        f' viewBox="0 0 {number(WIDTH)} {number(height)}" font-family="{FONT}" role="img">'
        f"<title>{escape(says)}</title>{''.join(body)}</svg>\n"
    )
    return Picture(svg=svg, width_mm=WIDTH, height_mm=height, says=says)


def scale_of(rates: Sequence[float]) -> tuple[int, int]:
    """Lowest and highest of an axis of rates, /min, that holds them all."""
    return 20 * math.floor(min([40.0, *rates]) / 20), 20 * math.ceil(max([120.0, *rates]) / 20)


def _levels(low: int, high: int, y: Callable[[float], float]) -> Iterator[str]:
    for bpm in range(low, high + 1, 20):
        yield line(LEFT, y(bpm), WIDTH, y(bpm), Ink.FINE, 0.2)
        yield text(LEFT - 6, y(bpm) + 0.9, f"{bpm:3d}", 2.2, Ink.QUIET)
    yield text(0, TOP + 0.9, "Rate, /min", 2.2, Ink.QUIET)


def _ticks(begin: float, end: float, x: Callable[[float], float]) -> Iterator[str]:
    step = next((step for step in TICKS_S if (end - begin) / step <= 9), TICKS_S[-1])
    foot = TOP + PLOT
    at = math.ceil(begin / step) * step
    while at <= end:
        yield line(x(at), TOP, x(at), foot + 1.2, Ink.BOLD, 0.2)
        day, time, _ = moment(at).split(" ")
        if x(at) < WIDTH - 10:
            said = f"{day[5:]} {time[:5]}" if step < DAY_S < end - begin else time[:5]
            yield text(x(at) + 0.5, foot + 3, said if step < DAY_S else day[5:], 2.2, Ink.QUIET)
        at += step


def _band(
    minutes: Sequence[Minute], x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    """Lowest to highest of each minute; a minute without a rate is left out, not bridged."""
    for row in minutes:
        a, b = x(row.begin), x(row.begin + 60)
        if row.hr_min is not None and row.hr_max is not None:
            tall = max(0.3, y(row.hr_min) - y(row.hr_max))
            yield rect(a, y(row.hr_max), b - a + OVERLAP, tall, BAND)
        if row.hr_mean is not None:
            yield rect(a, y(row.hr_mean) - 0.15, b - a + OVERLAP, 0.3, Ink.TEXT)


def _drawn(bars: Sequence[Bar], x: Callable[[float], float], y: Callable[[float], float]) -> Iterator[str]:
    for bar in bars:
        a, wide = _place(bar.span, x)
        if bar.low is not None and bar.high is not None:
            yield rect(a, y(bar.high), wide, max(0.3, y(bar.low) - y(bar.high)), Ink.RAIL, opacity=0.55)
        if bar.mean is not None:
            yield rect(a - 0.6, y(bar.mean) - 0.2, wide + 1.2, 0.4, Ink.TRACE)


def _ribbons(bars: Sequence[Bar], minutes: Sequence[Minute], x: Callable[[float], float]) -> Iterator[str]:
    """What came; what the edge could not read or did not get; atrial fibrillation."""
    top = TOP + PLOT + 7
    lost = [(row.begin, row.begin + 60) for row in minutes if row.missing_s + row.unreadable_s >= 30]
    af = [span for bar in bars for span in bar.af]
    af += [(row.begin, row.begin + 60) for row in minutes if row.af_s >= 30]
    for name, spans, ink in (
        ("Episodes", [bar.span for bar in bars], Ink.RAIL),
        ("No signal", lost, Ink.OFF),
        ("AF", af, Ink.TRACE),
    ):
        yield text(0, top + 3, name, 2.4, Ink.QUIET)
        yield rect(LEFT, top, WIDTH - LEFT, RIBBON, Ink.PAPER)
        for span in spans:
            a, wide = _place(span, x)
            yield rect(a, top, wide, RIBBON, ink)
        top += RIBBON + BETWEEN


def _place(span: Span, x: Callable[[float], float]) -> tuple[float, float]:
    a, b = x(span[0]), x(span[1])
    return a, max(LEAST_MM, b - a)
