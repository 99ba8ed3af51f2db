"""What a patient told, and what the heart did within a minute of it. That one made the other is not said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from cloud.console.views import moment
from cloud.prints.events import gravity
from cloud.prints.figures import Heart
from cloud.prints.minutes import Minute
from cloud.prints.stays import Stay
from cloud.prints.typeset import Block, heading, note, table
from cloud.symptoms import NEAR_S, Symptom
from models.verdicts import LABELS


def told(symptoms: Sequence[Symptom], stays: Sequence[Stay], minutes: Sequence[Minute]) -> Iterator[Block]:
    """A row a symptom; a patient's words are only ever a string."""
    yield heading("Symptoms and rhythm")
    if not symptoms:
        yield note("The patient told of none here.")
        return
    yield table(
        {"Felt": "left", "Symptom": "left", "Note": "wide", "Within a minute of it": "wide"},
        [[moment(s.at), s.kind, s.note, rhythm(s, stays, minutes)] for s in symptoms],
    )
    yield note("Times are the patient's. What is beside a symptom in time need not be its cause.")


def rhythm(symptom: Symptom, stays: Sequence[Stay], minutes: Sequence[Minute]) -> str:
    """What was found and measured there; else what the edge estimated; else that nothing is known."""
    near = symptom.at - NEAR_S, symptom.at + NEAR_S
    stays = [stay for stay in stays if stay.span[0] < near[1] and stay.span[1] > near[0]]
    read = sum((stay.heart(near) for stay in stays), Heart())
    if read.analysed_s:
        return f"{_found(near, stays)}; {_rate(read)}; {read.analysed_s:.0f} of {2 * NEAR_S:.0f} s analysed"
    rows = [row for row in minutes if row.begin < near[1] and row.begin + 60 > near[0]]
    return _estimated(rows) if rows else "nothing is known of that time"


def _found(near: tuple[float, float], stays: Sequence[Stay]) -> str:
    counts: Counter[str] = Counter()
    for stay in stays:
        for event in stay.events():
            first, last = stay.utc(event.finding.first / event.fs), stay.utc(event.finding.last / event.fs)
            counts[event.finding.label] += first <= near[1] and last >= near[0]
    labels = sorted((label for label, count in counts.items() if count), key=gravity)
    return (
        ", ".join(f"{counts[label]} \N{MULTIPLICATION SIGN} {LABELS[label].plain}" for label in labels)
        or "nothing found"
    )


def _rate(read: Heart) -> str:
    if read.mean is None:
        return "rate not measured"
    if read.slowest is None or read.fastest is None:
        return f"mean rate {read.mean:.0f} /min"
    return f"rate {read.slowest.bpm:.0f} to {read.fastest.bpm:.0f} /min"


def _estimated(rows: Sequence[Minute]) -> str:
    """By the minutes that touch it."""
    rates = [rate for row in rows for rate in (row.hr_min, row.hr_max) if rate is not None]
    rate = f"rate {min(rates):.0f} to {max(rates):.0f} /min" if rates else "rate not measured"
    v, s, af = sum(row.n_v for row in rows), sum(row.n_s for row in rows), sum(row.af_s for row in rows)
    dark = sum(row.missing_s + row.unreadable_s for row in rows)
    return (
        f"not analysed here; by the edge's screener {rate}, {v} V, {s} S, AF {af:.0f} s, "
        f"{dark:.0f} of {60 * len(rows)} s without signal"
    )
