"""What was measured and found of an ECG, as numbered facts: all that a sentence about it may rest on.

A fact is cited by its id, `[a4]`: the letter is the ECG's place among those asked about, the number the place
in its list. Quantities always have the same numbers, findings follow in the order of `verdicts.LABELS`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import ascii_lowercase

from models.verdicts import LABELS, Finding, Measurements

Span = tuple[float, float]
MOST_ECGS = len(ascii_lowercase)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A number of `Measurements`, how it is called and counted."""

    name: str
    plain: str
    unit: str
    digits: int = 0


QUANTITIES: Mapping[str, Quantity] = {
    q.name: q
    for q in (
        Quantity(name="ANALYSED", plain="analysed", unit="s"),
        Quantity(name="NOT_ANALYSED", plain="not analysed", unit="s", digits=1),
        Quantity(name="BEATS", plain="beats", unit=""),
        Quantity(name="RATE", plain="mean rate", unit="/min"),
        Quantity(name="SLOWEST", plain="lowest rate", unit="/min"),
        Quantity(name="FASTEST", plain="highest rate", unit="/min"),
        Quantity(name="RR", plain="median RR interval", unit="ms"),
        Quantity(name="PR", plain="PR interval", unit="ms"),
        Quantity(name="QRS", plain="QRS duration", unit="ms"),
        Quantity(name="QT", plain="QT interval", unit="ms"),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing known. A quantity has a `value` (None: it could not be measured, and that is known too), a
    finding has `spans`, in seconds of its ECG's own clock, one an event, in order."""

    id: str
    label: str  # a key of QUANTITIES or of LABELS
    value: float | None = None
    spans: tuple[Span, ...] = ()
    chances: Span | None = None  # lowest and highest probability; None: decided by rule
    threshold: float | None = None

    @property
    def count(self) -> int:
        return len(self.spans)

    @property
    def seconds(self) -> float:
        """How long in all."""
        return sum(last - first for first, last in self.spans)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The facts of one ECG, which lasts from `start` to `end` s of its own clock."""

    letter: str
    leads: tuple[str, ...]
    start: float
    end: float
    facts: tuple[Fact, ...]
    beats: tuple[tuple[float, str], ...] = ()  # (s of the R peak, N, S, V or F), in order
    dark: tuple[Span, ...] = ()  # in which nothing was read, whatever the reason
    date: str | None = None  # as the question gives it

    def fact(self, label: str) -> Fact | None:
        """The fact of a label; None where nothing of the kind was found."""
        return next((fact for fact in self.facts if fact.label == label), None)

    def value(self, name: str) -> float | None:
        """Of a quantity."""
        fact = self.fact(name)
        return None if fact is None else fact.value

    @property
    def findings(self) -> tuple[Fact, ...]:
        return tuple(fact for fact in self.facts if fact.label in LABELS)


def evidence_of(
    place: int,
    leads: tuple[str, ...],
    bounds: Span,
    findings: Iterable[Finding],
    measured: Measurements,
    fs: float,
    *,
    beats: Iterable[tuple[float, str]] = (),
    dark: Iterable[Span] = (),
    date: str | None = None,
) -> Evidence:
    """The evidence of the ECG at `place` among those asked about (0 is `a`).

    `bounds` are its first and last second; findings outside are left out, those across an edge are clipped.
    Sample 0 of the findings is second 0. ValueError beyond 26 ECGs.
    """
    if place >= MOST_ECGS:
        raise ValueError(f"{place + 1} ECGs at once; {MOST_ECGS} is the most.")
    letter = ascii_lowercase[place]
    values = {
        "ANALYSED": measured.analysed_s,
        "NOT_ANALYSED": measured.not_analysed_s,
        "BEATS": measured.beats,
        "RATE": measured.heart_rate_mean,
        "SLOWEST": measured.heart_rate_min,
        "FASTEST": measured.heart_rate_max,
        "RR": measured.rr_median,
        "PR": measured.pr,
        "QRS": measured.qrs,
        "QT": measured.qt,
    }
    facts = [
        Fact(id=f"{letter}{i}", label=name, value=None if x is None else round(x, QUANTITIES[name].digits))
        for i, (name, x) in enumerate(values.items(), start=1)
    ]
    groups: dict[str, list[tuple[Span, Finding]]] = {}
    for finding in findings:
        first, last = max(bounds[0], finding.first / fs), min(bounds[1], (finding.last + 1) / fs)
        if first < last:
            groups.setdefault(finding.label, []).append(((round(first, 1), round(last, 1)), finding))
    for label in (label for label in LABELS if label in groups):
        rows = sorted(groups[label], key=lambda row: row[0])
        facts.append(_found(f"{letter}{len(facts) + 1}", label, rows))
    inside = tuple(beat for beat in beats if bounds[0] <= beat[0] < bounds[1])
    return Evidence(
        letter=letter,
        leads=leads,
        start=bounds[0],
        end=bounds[1],
        facts=tuple(facts),
        beats=inside,
        dark=tuple(dark),
        date=date,
    )


def _found(ident: str, label: str, rows: list[tuple[Span, Finding]]) -> Fact:
    sure = [f.probability for _, f in rows if f.probability is not None]
    return Fact(
        id=ident,
        label=label,
        spans=tuple(span for span, _ in rows),
        chances=(round(min(sure), 2), round(max(sure), 2)) if sure else None,
        threshold=rows[0][1].evidence.get("threshold"),
    )
