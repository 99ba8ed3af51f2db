"""Evidence that no strip has: real facts altered, and facts made up, of every kind in every number.

A language model shall copy the facts it is given, not remember those of the strips it learned from. What an
ECG shows would contradict invented facts: whoever uses them zeroes its content tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise
from random import Random
from string import ascii_lowercase

from models.anyecg.chat.names import ASSESSED
from models.anyecg.evidence import Evidence, Fact, Span, evidence_of
from models.verdicts import LABELS, DecidedBy, Finding, Kind, Measurements

LEADS = (("MLII",), ("MLII", "V1"), ("II",), ("I",), ("I", "II"), ("ECG1", "ECG2"), ("V5", "MLII"), ("ECG",))
FS = 1000.0  # Hz, of the samples in which findings are made up
QUIET = 0.3  # share without any finding
GONE = 0.2  # share of intervals that could not be measured
LASTING = tuple(
    label for label in ASSESSED if LABELS[label].kind is not Kind.BEAT and label not in {"NOISE", "LEADOFF"}
)
DARK = ("NOISE", "LEADOFF", None)  # None: no sample came, which is no finding
FAR_S = 3.5  # between beats farther apart something was not read
RARE = 0.22  # how probable each lasting label is where anything was found
Beats = list[tuple[float, str]]


@dataclass(frozen=True, slots=True)
class Placed:
    """Where an ECG stands among those of a question, which second it begins with, and its date."""

    place: int = 0
    shift: float = 0.0  # s
    date: str | None = None

    def of(self, ecg: Evidence) -> Evidence:
        """The same facts under this letter, on this clock."""
        letter = ascii_lowercase[self.place]

        def later(span: Span) -> Span:
            return round(span[0] + self.shift, 1), round(span[1] + self.shift, 1)

        start, end = later((ecg.start, ecg.end))
        return replace(
            ecg,
            letter=letter,
            start=start,
            end=end,
            date=self.date,
            facts=tuple(
                replace(fact, id=f"{letter}{i}", spans=tuple(later(span) for span in fact.spans))
                for i, fact in enumerate(ecg.facts, start=1)
            ),
            beats=tuple((round(at + self.shift, 3), kind) for at, kind in ecg.beats),
            dark=tuple(later(span) for span in ecg.dark),
        )


def altered(ecg: Evidence, rng: Random) -> Evidence:
    """The facts at another pace, with other intervals, some findings taken away, V and S perhaps exchanged.

    `ecg` begins with second 0.
    """
    pace = rng.uniform(0.7, 1.4)
    gone = {fact.label for fact in ecg.findings if rng.random() < 0.2}
    other = {"V": "S", "S": "V"} if rng.random() < 0.3 else {}
    kept = [fact for fact in ecg.facts if fact.label not in gone]
    facts = sorted(
        (_repaced(replace(f, label=other.get(f.label, f.label)), pace, rng) for f in kept), key=_order
    )
    beats = tuple(
        (round(at * pace, 3), "N" if kind in gone else other.get(kind, kind)) for at, kind in ecg.beats
    )
    renamed = tuple(replace(f, id=f"{ecg.letter}{i}") for i, f in enumerate(facts, start=1))
    dark = tuple((round(a * pace, 1), round(b * pace, 1)) for a, b in ecg.dark)
    return replace(ecg, end=round(ecg.end * pace, 1), facts=renamed, beats=beats, dark=dark)


def _order(fact: Fact) -> int:
    return 1 + list(LABELS).index(fact.label) if fact.label in LABELS else 0  # stable among quantities


def _repaced(fact: Fact, pace: float, rng: Random) -> Fact:
    spans = tuple((round(a * pace, 1), round(b * pace, 1)) for a, b in fact.spans)
    chances = fact.chances and _chances(rng, fact.threshold or 0.1, fact.count)
    return replace(fact, spans=spans, chances=chances, value=_repaced_value(fact, pace, rng))


def _repaced_value(fact: Fact, pace: float, rng: Random) -> float | None:
    if fact.value is None or (fact.label in {"PR", "QRS", "QT"} and rng.random() < GONE):
        return None
    match fact.label:
        case "BEATS":
            return fact.value
        case "RATE" | "SLOWEST" | "FASTEST":
            return round(fact.value / pace)
        case "PR" | "QRS" | "QT":
            return round(fact.value * rng.uniform(0.75, 1.3))
        case "NOT_ANALYSED":
            return round(fact.value * pace, 1)
        case _:
            return round(fact.value * pace)


def invented(rng: Random, thresholds: Mapping[str, float]) -> Evidence:
    """Made up; `thresholds` of the labels whose findings carry one."""
    seconds = round(rng.choice((10.0, rng.uniform(10, 60), rng.uniform(5, 120))), 1)
    dark = _dark(rng, seconds)
    beats = [beat for beat in _beats(rng, seconds) if not any(a <= beat[0] < b for _, (a, b) in dark)]
    unread = sum(b - a for _, (a, b) in dark)
    findings = [_finding(label, span, thresholds, rng) for label, span in dark if label]
    if unread < seconds:
        spans = [(kind, (at - 0.05, at + 0.05)) for at, kind in beats if kind != "N"] + _lasting(rng, seconds)
        findings += [_finding(label, span, thresholds, rng) for label, span in spans]
    measured = _measured(rng, beats, seconds - unread, unread, any(f.label == "AFIB" for f in findings))
    unseen = [span for _, span in dark]
    return evidence_of(0, rng.choice(LEADS), (0.0, seconds), findings, measured, FS, beats=beats, dark=unseen)


def _dark(rng: Random, seconds: float) -> list[tuple[str | None, Span]]:
    """What cannot be read, and how it is called."""
    dice = rng.random()
    if dice < 0.65:
        return []
    if dice < 0.7:
        return [(rng.choice(DARK), (0.0, seconds))]
    count = rng.choice((1, 1, 1, 2, 3))
    cuts = sorted(round(rng.uniform(0, seconds), 1) for _ in range(2 * count))
    return [(rng.choice(DARK), (a, b)) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if a < b]


def _beats(rng: Random, seconds: float) -> Beats:
    """R peaks at a rate, more or less regular, some of them early and of another kind."""
    rr, unsteady = (
        60 / rng.choice((rng.uniform(45, 110), rng.uniform(22, 200))),
        rng.choice((0.02, 0.05, 0.2)),
    )
    often = {kind: rng.choice((0, 0, 0.03, 0.15, 0.5)) for kind in ("V", "S")}
    often["F"] = rng.choice((0, 0, 0, 0.05, 0.15))
    out, at = [], rng.uniform(0, rr)
    while at < seconds:
        kind = next((k for k in rng.sample([*often], 3) if rng.random() < often[k]), "N")
        out.append((round(at, 3), kind))
        at += max(0.25, rr * rng.gauss(1, unsteady) * (1.0 if kind == "N" else 1.3))
    return out


def _lasting(rng: Random, seconds: float) -> list[tuple[str, Span]]:
    """Rhythms, pauses and what is unfamiliar, each in one piece or some."""
    if rng.random() < QUIET:
        return []
    out: list[tuple[str, Span]] = []
    for label in LASTING:
        if rng.random() < RARE:
            pieces = rng.choice((1, 1, 1, 2, 3, 5))
            cuts = sorted(rng.uniform(0, seconds) for _ in range(2 * pieces))
            if pieces == 1 and rng.random() < 0.4:
                cuts = [0.0, seconds]
            out += [(label, (a, b)) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if b - a >= 0.2]
    return out


def _finding(label: str, span: Span, thresholds: Mapping[str, float], rng: Random) -> Finding:
    threshold = thresholds.get(label)
    sure = LABELS[label].decided_by is DecidedBy.NETWORK and label not in {"UNFAMILIAR", "PACED"}
    return Finding(
        segment_id="",
        label=label,
        first=round(max(0.0, span[0]) * FS),
        last=round(span[1] * FS) - 1,
        leads=(),
        probability=rng.uniform(threshold or 0.1, 1.0) if sure else None,
        evidence={} if threshold is None else {"threshold": threshold},
    )


def _chances(rng: Random, threshold: float, count: int) -> Span:
    low = rng.uniform(min(threshold, 1.0), 1.0)
    return round(low, 2), round(low if count == 1 else rng.uniform(low, 1.0), 2)


def _measured(rng: Random, beats: Beats, read: float, unread: float, fibrillates: bool) -> Measurements:
    """Rates as the beats give them; intervals as a heart may have them, or not measured."""
    apart = [b - a for (a, _), (b, _) in pairwise(beats)]
    rr = sorted(seconds for seconds in apart if seconds < FAR_S)
    eights = len(rr) >= 8
    mean = sum(rr) / len(rr) if rr else None

    def some(low: float, high: float) -> float | None:
        return round(rng.uniform(low, high), 1) if rr and rng.random() >= GONE else None

    return Measurements(
        beats=len(beats),
        heart_rate_mean=60 / mean if mean else None,
        heart_rate_min=60 / (mean * rng.uniform(1.0, 1.4)) if mean and eights else None,
        heart_rate_max=60 / (mean * rng.uniform(0.7, 1.0)) if mean and eights else None,
        rr_median=1000 * rr[len(rr) // 2] if rr else None,
        pr=None if fibrillates else some(90, 320),
        qrs=some(60, 190),
        qt=some(260, 560),
        analysed_s=round(read, 3),
        not_analysed_s=round(unread, 3),
    )
