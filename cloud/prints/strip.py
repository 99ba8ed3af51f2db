"""The one calibrated strip: SVG whose unit is a millimetre, wrapped into rows, the same bytes every time.

It looks as `<ecg-strip>` on the page does (`cloud/console/static/strip.js`). Text is DejaVu Sans Mono, which
typst carries: every letter is as wide as the next, so that a chip fits its words wherever it is drawn.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cloud.console.views import REVIEW, WORDING, moment
from cloud.prints import marks
from cloud.prints.ink import FONT, Ink, escape, fit, hatched, line, number, rect, text, width_of, wrapped
from cloud.prints.tracing import Tracing
from models.ecg import mask_to_spans
from models.errors import UsageError

SPEEDS = (25.0, 50.0)  # mm/s
GAINS = (5.0, 10.0, 20.0)  # mm/mV
WIDTH_MM = 185.0  # between the margins of an upright A4 page
HEIGHT_MM = 240.0  # the tallest row that a page holds
PULSE_S = 0.2  # of the calibration, 1 mV high
MARGIN = 2.0  # mm before the pulse
FOOT = 8.0  # mm for the time axis
HEAD = 2.0  # mm between what the strip says of itself and the first row
NARROWEST_MM = 120.0  # of a whole picture, for its words
ROOM_MV = 0.3  # above and below the signal of a lead
MOST_MV = (5.0, 4.0, 3.0, 2.0, 1.5, 1.0, 0.5)  # the first that fits; beyond it is cut off, and said to be
FEW = 6  # leads; where there are more, a name lies on its pulse
HUNDREDTHS = 100  # of a millimetre: the unit of a trace
DOT = 10  # hundredths: the finest column that paper needs
PER_COLUMN = 4  # samples that a column keeps: first, lowest, highest, last

Whole = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How large a strip is drawn."""

    speed: float = 25.0  # mm/s
    gain: float = 10.0  # mm/mV
    width_mm: float = WIDTH_MM  # of a row, at most

    def __post_init__(self) -> None:
        if self.speed not in SPEEDS or self.gain not in GAINS:
            raise UsageError(
                f"A strip has 25 or 50 mm/s and 5, 10 or 20 mm/mV, not {self.speed:g} and {self.gain:g}."
            )

    @property
    def left(self) -> float:
        """Room of the calibration pulse, whole squares of 5 mm."""
        return 5.0 * math.ceil((2 * MARGIN + PULSE_S * self.speed) / 5)

    @property
    def row_s(self) -> float:
        """Seconds in a row of whole squares."""
        return 5.0 * math.floor((self.width_mm - self.left) / 5) / self.speed


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An SVG of its own; `says` is what a reader who cannot see it is told."""

    svg: str
    width_mm: float
    height_mm: float
    says: str


@dataclass(frozen=True, slots=True)
class _Lead:
    """Where a lead's signal lies in its row, mm."""

    name: str
    millivolts: npt.NDArray[np.float64]
    top: float
    zero: float
    bottom: float


@dataclass(frozen=True, slots=True)
class _Row:
    body: str
    width: float
    height: float
    cut: float | None  # mV above and below zero, beyond which some of the signal lies
    says: str


def draw(tracing: Tracing, style: Style | None = None) -> Picture:
    """The whole strip as one picture, with what it says of itself above and the wording beneath."""
    style = style or Style()
    rows = list(_rows(tracing, style))
    width = max(NARROWEST_MM, *(row.width for row in rows))
    body, y = [], 0.0
    for said, size in ((named(tracing), 2.8), (_scale(tracing, style, rows), 2.6)):
        for words in wrapped(said, width, size):
            y += size + 1.4
            body.append(text(0, y - 0.8, words, size, bold=size > 2.6))
    y += HEAD
    for row in rows:
        body.append(f'<g transform="translate(0 {number(y)})">{row.body}</g>')
        y += row.height
    for said in (marks.thresholds(tracing.findings), f"{REVIEW}.", WORDING):
        for words in wrapped(said, width, 2.4):
            y += 3.8
            body.append(text(0, y - 0.4, words, 2.4, Ink.QUIET))
    return _picture("".join(body), width, y + 1, _described(tracing))


def pieces(tracing: Tracing, style: Style | None = None) -> list[Picture]:
    """A picture a row, for pages that break between them and say the rest themselves."""
    return [_picture(row.body, row.width, row.height, row.says) for row in _rows(tracing, style or Style())]


def named(tracing: Tracing) -> str:
    """Whose strip it is, and of when."""
    begin, end = tracing.seconds
    when = moment(tracing.clock.utc(tracing.first))
    return f"Patch {tracing.patch_id} · {when} · {begin:.1f} s to {end:.1f} s of the recording"


def scale(tracing: Tracing, style: Style) -> str:
    """How it is drawn: what makes millimetres seconds and millivolts, and what does not show."""
    return _scale(tracing, style, _rows(tracing, style))


def _scale(tracing: Tracing, style: Style, rows: Iterable[_Row]) -> str:
    lost = int(tracing.missing.sum()) / tracing.fs
    cut = [row.cut for row in rows if row.cut is not None]
    said = [
        f"{style.speed:g} mm/s · {style.gain:g} mm/mV · unfiltered, as recorded at {tracing.fs:g} Hz",
        "pulse 1 mV, 0.2 s",
        *([f"{lost:.1f} s missing"] if lost else []),
        *([f"cut off beyond ±{min(cut):.1f} mV"] if cut else []),
    ]
    return " · ".join(said)


def _described(tracing: Tracing) -> str:
    begin, end = tracing.seconds
    counts = Counter(f.label for f in tracing.findings)
    found = ", ".join(f"{n} {label}" for label, n in sorted(counts.items())) or "nothing marked"
    lost = int(tracing.missing.sum()) / tracing.fs
    return f"ECG of patch {tracing.patch_id}, {end - begin:.0f} s: {found}; {lost:.1f} s missing"


def _rows(tracing: Tracing, style: Style) -> Iterator[_Row]:
    per_row = max(1, round(style.row_s * tracing.fs))
    for place, first in enumerate(range(tracing.first, tracing.last + 1, per_row)):
        yield _row(tracing.cut(first, first + per_row - 1), style, place)


def _row(tracing: Tracing, style: Style, place: int) -> _Row:
    lanes = marks.lanes(tracing.findings, tracing.fs)
    top = marks.LANE * (max(lanes.values(), default=0) + 1)
    leads, limit = _fitted(tracing, style, top)
    bottom = leads[-1].bottom
    seconds = tracing.counts.shape[1] / tracing.fs
    width = style.left + 5.0 * math.ceil(seconds * style.speed / 5 - 1e-6)
    ends = style.left, style.left + seconds * style.speed
    space = marks.Space(left=style.left, right=ends[1], top=top, bottom=bottom, speed=style.speed)
    cut = [float(np.abs(lead.millivolts).max(initial=0)) > limit for lead in leads]
    body = [
        _grid(width, top, bottom, leads[0].zero),
        *marks.drawn(tracing, lanes, space),
        *_holes(tracing, tracing.lead_off, space, "lead off"),
        *(_pulse(lead, style) for lead in leads),
        *(
            _clipped(trace, lead, ends, f"r{place}l{i}") if cut[i] else trace
            for i, (lead, trace) in enumerate((lead, _trace(tracing, lead, style)) for lead in leads)
        ),
        *_holes(tracing, tracing.gaps, space, "missing"),
        *(_name(lead) for lead in leads),
        *_axis(tracing, style, bottom),
    ]
    return _Row("".join(body), width, bottom + FOOT, limit if any(cut) else None, _described(tracing))


def _leads(tracing: Tracing, style: Style, top: float, limit: float) -> list[_Lead]:
    """As high as the row's signal needs, in whole squares; every zero lies on a bold line."""
    out = []
    least = _squares(style.gain + (4 if len(tracing.leads) <= FEW else 0))  # the pulse, the name above it
    for name, row, uv in zip(tracing.leads, tracing.counts, tracing.uv_per_count, strict=True):
        millivolts = row.astype(np.float64) * (uv / 1000)
        highest, lowest = millivolts.max(initial=0.0), millivolts.min(initial=0.0)
        above = max(least, _squares(min(highest + ROOM_MV, limit) * style.gain))
        below = _squares(min(ROOM_MV - lowest, limit) * style.gain)
        out.append(_Lead(name, millivolts, top, top + above, top + above + below))
        top += above + below
    return out


def _fitted(tracing: Tracing, style: Style, top: float) -> tuple[list[_Lead], float]:
    """The leads, and from how many millivolts on they are cut off, above and below zero, to fit a page."""
    for limit in MOST_MV:
        leads = _leads(tracing, style, top, limit)
        if leads[-1].bottom + FOOT <= HEIGHT_MM:
            break
    return leads, limit


def _squares(millimetres: float) -> float:
    return 5.0 * max(1, math.ceil(millimetres / 5 - 1e-9))


# -- what is drawn ------------------------------------------------------------------------------------------


def _grid(width: float, top: float, bottom: float, zero: float) -> str:
    """1 mm fine, 5 mm bold; one bold line is the row's own left edge, one the first lead's zero."""
    paths: dict[bool, list[str]] = {False: [], True: []}
    for n in range(round(width) + 1):
        paths[n % 5 == 0].append(f"M{n} {number(top)}V{number(bottom)}")
    for n in range(round(bottom - top) + 1):
        paths[round(top + n - zero) % 5 == 0].append(f"M0 {number(top + n)}H{number(width)}")
    fine, bold = (
        f'<path class="{name}" d="{"".join(paths[which])}" stroke="{ink}" stroke-width="{thick}"/>'
        for which, name, ink, thick in ((False, "mm", Ink.FINE, 0.1), (True, "mm5", Ink.BOLD, 0.2))
    )
    return rect(0, top, width, bottom - top, Ink.PAPER) + fine + bold


def _pulse(lead: _Lead, style: Style) -> str:
    wide, high = PULSE_S * style.speed, style.gain
    foot = (style.left - wide) / 2
    up = f"v{number(-high)}h{number(wide)}v{number(high)}"
    path = f"M0.5 {number(lead.zero)}H{number(foot)}{up}H{number(style.left - 0.5)}"
    return f'<path class="pulse" d="{path}" fill="none" stroke="{Ink.TRACE}" stroke-width="0.25"/>'


def _trace(tracing: Tracing, lead: _Lead, style: Style) -> str:
    """Line pieces between the gaps, in hundredths of a millimetre from the row's left edge and the zero."""
    there = mask_to_spans(~tracing.missing, 0)
    step = style.speed / tracing.fs * HUNDREDTHS
    paths = []
    for begin, count in there:
        x = np.rint(np.arange(begin, begin + count) * step).astype(np.int64)
        y = np.rint(lead.millivolts[begin : begin + count] * (-style.gain * HUNDREDTHS)).astype(np.int64)
        paths.append(_path(*columns(x, y)))
    unit = 1 / HUNDREDTHS
    return (
        f'<path class="trace" transform="translate({number(style.left)} {number(lead.zero)}) scale({unit:g})"'
        f' d="{"".join(paths)}" fill="none" stroke="{Ink.TRACE}" stroke-width="25" stroke-linejoin="bevel"/>'
    )


def columns(x: Whole, y: Whole) -> tuple[Whole, Whole]:
    """The same line with at most four points a column, where there are more samples than paper shows.

    First, lowest, highest, last: without the first and the last an upstroke breaks into dashes.
    """
    column = x // DOT
    starts = np.flatnonzero(np.diff(column, prepend=column[0] - 1))
    if len(x) <= PER_COLUMN * len(starts):
        return x, y
    ends = np.append(starts[1:], len(x)) - 1
    points = [
        (x[starts], y[starts]),
        (x[starts], np.minimum.reduceat(y, starts)),
        (x[starts], np.maximum.reduceat(y, starts)),
        (x[ends], y[ends]),
    ]
    return np.stack([p[0] for p in points], axis=1).ravel(), np.stack([p[1] for p in points], axis=1).ravel()


def _path(x: Whole, y: Whole) -> str:
    """A move and then steps: half the length of absolute points, and whole numbers lose nothing."""
    if len(x) == 1:
        return f"M{x[0]} {y[0]}h1"
    steps = np.stack([np.diff(x), np.diff(y)], axis=1).ravel().tolist()
    return f"M{x[0]} {y[0]}l" + " ".join(map(str, steps))


def _clipped(trace: str, lead: _Lead, ends: tuple[float, float], name: str) -> str:
    paper = rect(ends[0], lead.top, ends[1] - ends[0], lead.bottom - lead.top)
    return f'<clipPath id="{name}">{paper}</clipPath><g clip-path="url(#{name})">{trace}</g>'


def _holes(
    tracing: Tracing, spans: Iterable[tuple[int, int]], space: marks.Space, word: str
) -> Iterator[str]:
    """A gap covers the paper; what was reported off was recorded, and is hatched beneath its trace."""
    ink, cover = (Ink.MISSING, Ink.PAPER) if word == "missing" else (Ink.OFF, None)
    for first, count in spans:
        inside = max(first, tracing.first), min(first + count, tracing.last + 1)
        if inside[0] < inside[1]:
            x0, x1 = (space.x(i, tracing) for i in inside)
            words = f"{word} {count / tracing.fs:.1f} s"
            yield hatched(x0, x1, space.top, space.bottom, ink, words, cover)


def _name(lead: _Lead) -> str:
    said = fit(lead.name, 30.0, 3.0)
    paper = rect(0.6, lead.top + 0.6, width_of(said, 3.0) + 1.2, 3.8, Ink.PAPER)
    return paper + text(1.2, lead.top + 3.6, said, 3.0, bold=True)


def _axis(tracing: Tracing, style: Style, bottom: float) -> Iterator[str]:
    """A tick a second of the patch's own clock, as on the page, and the time of day where the row begins."""
    begin, end = tracing.seconds
    for second in range(math.ceil(begin - 1e-9), math.floor(end + 1e-9) + 1):
        x = style.left + (second - begin) * style.speed
        yield line(x, bottom, x, bottom + 1.2, Ink.QUIET, 0.2)
        if second < end - 0.4:
            yield text(x + 0.6, bottom + 3, f"{second} s", 2.2, Ink.QUIET)
    yield text(0, bottom + 6.4, instant(tracing.clock.utc(tracing.first)), 2.2, Ink.QUIET)


def instant(unix: float | None) -> str:
    """`moment` with tenths of a second."""
    if unix is None:
        return moment(None)
    tenths = round(unix * 10)
    day, time, offset = moment(tenths // 10).split(" ")
    return f"{day} {time}.{tenths % 10} {offset}"


def _picture(body: str, width: float, height: float, says: str) -> Picture:
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{number(width)}mm" height="{number(height)}mm"'
        f' viewBox="0 0 {number(width)} {number(height)}" font-family="{FONT}" role="img">'
        f"<title>{escape(says)}</title>{rect(0, 0, width, height, '#fff')}{body}</svg>\n"
    )
    return Picture(svg=svg, width_mm=width, height_mm=height, says=says)
