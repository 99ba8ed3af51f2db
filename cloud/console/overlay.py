"""Usual beats drawn over each other, lead by lead: paths in millimetres for the compare page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cloud.prints.ink import number
from models.anyecg.shapes import WIDTH
from models.anyecg.usual import FINER, FS, UsualBeat

MM_PER_S = 100.0
GAINS = (20.0, 10.0, 5.0)  # mm/mV: the first whose tallest lead fits
HIGHEST_MM = 75.0
ROOM_MM = 2.5
STEP_MM = MM_PER_S / FS
WIDTH_MM = 5.0 * math.ceil(FINER * WIDTH * STEP_MM / 5) + 5.0  # the last square has room for the letters


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One ECG's usual beat in a lead, and where its letter stands."""

    letter: str
    path: str
    y: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A lead: a millimetre grid and the traces over it; a unit is a millimetre."""

    lead: str
    height: float
    fine: str
    bold: str
    traces: tuple[Trace, ...]
    width: float = WIDTH_MM


def panels(beats: Mapping[str, UsualBeat]) -> tuple[float, list[Panel]]:
    """(mm/mV of all of them, a panel a lead that any beat has), by the letters of the beats."""
    leads = list(dict.fromkeys(lead for beat in beats.values() for lead in beat.leads))
    spans = {lead: _span(beats, lead) for lead in leads}
    tallest = max((high - low for low, high in spans.values()), default=0.0)
    gain = next((g for g in GAINS if g * tallest + 2 * ROOM_MM <= HIGHEST_MM), GAINS[-1])
    return gain, [_panel(beats, lead, spans[lead], gain) for lead in leads]


def _span(beats: Mapping[str, UsualBeat], lead: str) -> tuple[float, float]:
    """Lowest and highest millivolt, with zero between them."""
    rows = [beat.of([lead])[0] for beat in beats.values() if lead in beat.leads]
    return min(0.0, *(float(row.min()) for row in rows)) / 1000, max(
        0.0, *(float(row.max()) for row in rows)
    ) / 1000


def _panel(beats: Mapping[str, UsualBeat], lead: str, span: tuple[float, float], gain: float) -> Panel:
    zero = 5.0 * math.ceil((span[1] * gain + ROOM_MM) / 5)
    height = zero + 5.0 * math.ceil((ROOM_MM - span[0] * gain) / 5)
    fine, bold = ("".join(_lines(height, bold=which)) for which in (False, True))
    traces = []
    for letter, beat in beats.items():
        if lead in beat.leads:
            y = zero - beat.of([lead])[0].astype(np.float64) / 1000 * gain
            points = (f"{number(i * STEP_MM)} {number(float(v))}" for i, v in enumerate(y))
            traces.append(Trace(letter=letter, path="M" + "L".join(points), y=float(y[-1])))
    return Panel(lead=lead, height=height, fine=fine, bold=bold, traces=tuple(_apart(traces)))


def _lines(height: float, *, bold: bool) -> list[str]:
    down = [f"M{n} 0V{number(height)}" for n in range(round(WIDTH_MM) + 1) if (n % 5 == 0) is bold]
    return down + [f"M0 {n}H{number(WIDTH_MM)}" for n in range(round(height) + 1) if (n % 5 == 0) is bold]


def _apart(traces: list[Trace]) -> list[Trace]:
    """Letters that stand 3 mm apart at least, each near its trace's end."""
    out: list[Trace] = []
    for trace in sorted(traces, key=lambda one: one.y):
        least = out[-1].y + 3.0 if out else 3.0
        out.append(Trace(letter=trace.letter, path=trace.path, y=max(trace.y, least)))
    return out
