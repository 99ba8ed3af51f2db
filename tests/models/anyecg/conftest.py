"""Evidence of ECGs drawn at random: any length, findings of every label, numbers that may be missing."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest

from models.anyecg.chat.plans import SUBJECTS, Plan
from models.anyecg.evidence import Evidence, evidence_of
from models.recordings import LEADS
from models.verdicts import LABELS, DecidedBy, Finding, Kind, Measurements

FS = 250.0
MakeEcg = Callable[..., Evidence]


def finding(label: str, first_s: float, last_s: float, probability: float | None = 0.9) -> Finding:
    return Finding(
        segment_id="s",
        label=label,
        first=round(first_s * FS),
        last=round(last_s * FS) - 1,
        leads=("II",),
        probability=probability,
        evidence={} if probability is None else {"threshold": 0.5},
    )


def measurements(**numbers: float | None) -> Measurements:
    """Of a minute at 72/min, all of it analysed, but for what is given."""
    usual: dict[str, float | None] = {
        "beats": 72,
        "heart_rate_mean": 72.2,
        "heart_rate_min": 60.4,
        "heart_rate_max": 88.0,
        "rr_median": 830.0,
        "pr": 160.0,
        "qrs": 92.0,
        "qt": 380.0,
        "analysed_s": 60.0,
        "not_analysed_s": 0.0,
    }
    return Measurements(**(usual | numbers))  # type: ignore[arg-type]


def drawn(rng: Random, place: int = 0) -> Evidence:
    start = rng.choice((0.0, 0.0, 37.5, 600.0))
    seconds = round(rng.uniform(5, 300), 1)
    beats = []
    kinds = rng.choice(("N", "NNNNNNNNVS", "NNNNNNNNVS"))
    at, spread = start + rng.random(), rng.choice((0.01, 0.12, 0.6))
    while at < start + seconds:
        beats.append((round(at, 3), rng.choice(kinds)))
        at += 0.8 + rng.uniform(-spread, spread)
    findings = [finding(kind, t - 0.05, t + 0.06, round(rng.random(), 2)) for t, kind in beats if kind != "N"]
    for label in rng.sample([name for name in LABELS if name not in {"N", "V", "S"}], rng.randrange(5)):
        ruled = LABELS[label].decided_by is DecidedBy.RULE
        for _ in range(rng.randint(1, 9)):
            first = start + rng.uniform(-2, seconds)
            long = 0.1 if LABELS[label].kind is Kind.BEAT else rng.uniform(0.5, 20)
            findings.append(finding(label, first, first + long, None if ruled else rng.random()))
    missed = rng.choice((0.0, 0.0, round(rng.uniform(0, seconds), 1), seconds))
    numbers = {
        name: rng.choice((None, low, rng.uniform(low, high), rng.uniform(low, high)))
        for name, low, high in (
            ("heart_rate_mean", 30, 200),
            ("heart_rate_min", 20, 150),
            ("heart_rate_max", 40, 300),
            ("rr_median", 300, 2000),
            ("pr", 80, 300),
            ("qrs", 60, 200),
            ("qt", 250, 600),
        )
    }
    measured = measurements(beats=len(beats), analysed_s=seconds - missed, not_analysed_s=missed, **numbers)
    return evidence_of(
        place,
        tuple(rng.sample([*LEADS, "Chest strap"], rng.randint(1, 12))),
        (start, round(start + seconds, 1)),
        findings,
        measured,
        FS,
        beats=beats,
        date=rng.choice((None, "2024-02-29", "2023-01-05 07:30", "yesterday")),
    )


def plans() -> list[Plan]:
    return [Plan(task, subject) for task, subjects in SUBJECTS.items() for subject in subjects or (None,)]


@pytest.fixture(scope="session")
def make_finding() -> Callable[..., Finding]:
    """`make(label, first_s, last_s, probability=0.9)`; None: decided by rule."""
    return finding


@pytest.fixture(scope="session")
def make_ecg() -> MakeEcg:
    """`make(*findings, place=0, beats=(), leads=("II", "V1"), date=None, seconds=60, dark=(), **numbers)`."""

    def make(
        *findings: Finding,
        place: int = 0,
        beats: tuple[tuple[float, str], ...] = (),
        leads: tuple[str, ...] = ("II", "V1"),
        date: str | None = None,
        start: float = 0.0,
        seconds: float = 60.0,
        dark: tuple[tuple[float, float], ...] = (),
        **numbers: float | None,
    ) -> Evidence:
        bounds = (start, start + seconds)
        return evidence_of(
            place, leads, bounds, findings, measurements(**numbers), FS, beats=beats, dark=dark, date=date
        )

    return make


@pytest.fixture(scope="session")
def draw_ecgs() -> Callable[[Random, int], list[Evidence]]:
    """`draw(rng, count)`: so many ECGs at random."""
    return lambda rng, count: [drawn(rng, place) for place in range(count)]


@pytest.fixture(scope="session")
def all_plans() -> list[Plan]:
    """Every task with every subject."""
    return plans()
