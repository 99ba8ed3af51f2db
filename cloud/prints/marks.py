"""Findings on a strip: a rail over the span and a chip that says what it is and how sure.

Beats have the lane at the paper; what lasts has a lane above and no tint, or it would drown the beats within.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from cloud.prints.ink import Ink, number, rect, text, width_of
from cloud.prints.tracing import Tracing
from models.verdicts import LABELS, Finding, Kind

LANE = 5.5  # mm: a rail and its chip
CHIP, SIZE, PAD = 4.0, 2.5, 0.9  # mm
RAIL = 0.7  # mm
APART = 0.7  # mm between chips
ASTRAY = 12.0  # mm from its span's begin: a chip further off would be taken for another's

Lanes = Mapping[tuple[str, int], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """The paper of a row, mm; `speed` in mm/s."""

    left: float
    right: float
    top: float
    bottom: float
    speed: float

    def x(self, sample: int, tracing: Tracing) -> float:
        """Left edge of a sample."""
        return self.left + (sample - tracing.first) / tracing.fs * self.speed


def lanes(findings: Sequence[Finding], fs: float) -> dict[tuple[str, int], int]:
    """Lane 0 for what is shorter than a second; above it, lanes in which what lasts does not overlap."""
    ends: list[int] = []
    out = {}
    for finding in findings:
        key = finding.label, finding.first
        if finding.last + 1 - finding.first <= fs:
            out[key] = 0
            continue
        free = next((i for i, end in enumerate(ends) if end < finding.first), len(ends))
        ends[free : free + 1] = [finding.last]
        out[key] = free + 1
    return out


def sure(finding: Finding) -> str:
    """Never bare: a probability beside its label, or that a rule decided."""
    return "by rule" if finding.probability is None else f"{finding.probability:.2f}"


def thresholds(findings: Sequence[Finding]) -> str:
    """What the probabilities on a strip are to be held against; nothing where no network decided."""
    known = {
        f.label: f"{f.label} {float(f.evidence['threshold']):.2f}"
        for f in findings
        if f.probability is not None and "threshold" in f.evidence
    }
    return (
        f"Probability from which a finding is told: {', '.join(known[k] for k in sorted(known))}"
        if known
        else ""
    )


def is_technical(label: str) -> bool:
    return LABELS[label].kind is Kind.TECHNICAL


def drawn(tracing: Tracing, lane_of: Lanes, space: Space) -> Iterator[str]:
    free: dict[int, float] = {}  # right end of the last chip in a lane
    for finding in tracing.findings:
        lane, technical = lane_of[finding.label, finding.first], is_technical(finding.label)
        x0 = max(space.left, space.x(finding.first, tracing))
        x1 = min(space.right, space.x(finding.last + 1, tracing))
        if lane == 0 or technical:
            ink, opacity = (Ink.DULL, 0.16) if technical else (Ink.TINT, 0.11)
            yield rect(x0, space.top, x1 - x0, space.bottom - space.top, ink, opacity=opacity)
        rail = space.top - 0.5 - lane * LANE - RAIL
        ink = Ink.QUIET if technical else Ink.RAIL
        yield rect(x0, rail, x1 - x0, RAIL, ink)
        for words in _words(finding, technical):
            wide = width_of(words, SIZE) + 2 * PAD
            at = min(max(x0, free.get(lane, 0.0)), space.right - wide)
            if at >= free.get(lane, 0.0) and at <= x0 + ASTRAY and at >= 0:
                yield _chip(at, rail - CHIP - 0.1, wide, words, ink)
                free[lane] = at + wide + APART
                break


def _words(finding: Finding, technical: bool) -> tuple[str, ...]:
    """What a chip says, and what it says where there is less room; without room the rail still says it."""
    if technical:
        return f"{finding.label} {LABELS[finding.label].plain}", finding.label
    return f"{finding.label} {sure(finding)}", finding.label


def _chip(x: float, y: float, wide: float, words: str, ink: str) -> str:
    box = f'<rect class="chip" x="{number(x)}" y="{number(y)}" width="{number(wide)}" height="{number(CHIP)}"'
    return f'{box} rx="0.8" fill="{ink}"/>' + text(x + PAD, y + 2.9, words, SIZE, Ink.ON_RAIL, bold=True)
