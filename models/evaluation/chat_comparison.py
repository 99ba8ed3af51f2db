"""Two ECGs of one patient compared: against the evidence given, and against what experts said of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from models.anyecg.chat.answers import answer
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.questions import ask
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.wording import Claim, facts, read
from models.anyecg.evidence import Evidence
from models.evaluation.chat_facts import RATE_BPM, constant, near
from models.evaluation.chat_runs import Run, Runs, Said
from models.evaluation.chat_sample import truth_of
from models.evaluation.judged import Figures, ratio

SUBJECTS = ("RATE", "RHYTHM", "V", "S", "ALL")
DATES = ("2024-01-05", "2024-03-09")  # of every other pair
SERIES = {"value_series": {"RATE": "rate"}, "count_series": {"V": "v", "S": "s"}}
CHANGES = {"value_up": 1, "value_down": -1, "value_same": 0}
LETTERS = ("a", "b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A pair of ECGs, what was asked of them and what was said."""

    plan: Plan
    readings: tuple[Reading, Reading]  # whose truth counts
    ecgs: tuple[Evidence, ...]  # that were given
    said: Said


def pairs(readings: Sequence[Reading], size: int, seed: int) -> list[tuple[Reading, Reading]]:
    """Up to `size` pairs, each of another patient as far as there are any; first those that experts know."""
    rng = Random(seed)
    of_patient: dict[str, list[Reading]] = {}
    for reading in readings:
        of_patient.setdefault(reading.patient, []).append(reading)
    groups = [rng.sample(some, len(some)) for some in of_patient.values() if len(some) > 1]
    found = [(some[i], some[i + 1]) for i in range(0, 100, 2) for some in groups if i + 1 < len(some)]
    found.sort(key=lambda pair: sum(truth_of(reading).rate is None for reading in pair))
    return [_dated(pair) if i % 2 else pair for i, pair in enumerate(found[:size])]


def compared(runs: Runs, run: Run, given: Sequence[tuple[Reading, Reading]], seed: int) -> list[Compared]:
    """Each pair asked about one of SUBJECTS, in a wording that was never learned."""
    out = []
    for i, pair in enumerate(given):
        room = runs.room(run, pair)
        plan, question = worded(i, seed, [ecg.date for ecg in room.ecgs if ecg.date])
        out.append(Compared(plan=plan, readings=pair, ecgs=room.ecgs, said=room.ask(question)))
    return out


def worded(i: int, seed: int, dates: Sequence[str]) -> tuple[Plan, str]:
    """What is asked of a pair, the subjects in turn."""
    plan = Plan("compare", SUBJECTS[i % len(SUBJECTS)])
    return plan, ask(plan, Random(f"{seed} compare {i}"), "test", LETTERS, dates)


def comparison_figures(rows: Sequence[Compared]) -> Figures:
    """Shares of the template's facts that were said, and of the numbers that experts bear out."""
    made = [answer(row.plan, row.ecgs) for row in rows]
    said = [row.said.sentences for row in rows]
    return {
        "written": _of(made, [row.said.written for row in rows]),
        "served": _of(made, said),
        "understood": ratio(sum(row.said.plan == row.plan for row in rows), len(rows)),
        "annotations": _right(rows, said),
        "template": _right(rows, made),
        "questions": len(rows),
    }


def blind_comparison(rows: Sequence[Compared]) -> Figures:
    """The most frequent rate, counts and way of a change."""
    best = constant([truth_of(reading) for row in rows for reading in row.readings])
    wanted = [(name, true) for row, sentences in _made(rows) for name, true, _ in _numbers(row, sentences)]
    hits = [near(name, getattr(best, name), true) for name, true in wanted]
    ways = [way for row in rows if (way := _way(row)) is not None]
    return {
        "numbers": ratio(sum(hits), len(hits)),
        "changes": ratio(max(map(ways.count, (1, -1))), len(ways)),
    }


def _dated(pair: tuple[Reading, Reading]) -> tuple[Reading, Reading]:
    first, second = (
        replace(reading, evidence=replace(reading.evidence, date=date))
        for reading, date in zip(pair, DATES, strict=True)
    )
    return first, second


def _made(rows: Sequence[Compared]) -> Iterable[tuple[Compared, Sequence[str]]]:
    return ((row, answer(row.plan, row.ecgs)) for row in rows)


def _of(made: Sequence[Sequence[str]], said: Sequence[Sequence[str]]) -> Figures:
    """`facts`: share of the template's that were said; `supported`: share of what was said that are its."""
    wanted, told = [facts(sentences) for sentences in made], [facts(sentences) for sentences in said]
    both = sum(len(a & b) for a, b in zip(wanted, told, strict=True))
    return {
        "facts": ratio(both, sum(len(a) for a in wanted)),
        "supported": ratio(both, sum(len(b) for b in told)),
    }


def _right(rows: Sequence[Compared], said: Sequence[Sequence[str]]) -> Figures:
    """Of the numbers asked for that experts know, and of the rates that truly change, how many are right."""
    hits = wanted = changes = changed = 0
    for (row, made), sentences in zip(_made(rows), said, strict=True):
        told = {(name, letter): mine for name, mine, letter in _series(sentences)}
        for name, true, letter in _numbers(row, made):
            wanted += 1
            hits += near(name, told.get((name, letter)), true)
        way = _way(row)
        if way is not None:
            changed += 1
            changes += way in {CHANGES[c.kind] for c in _claims(sentences) if _of_rate(c)}
    return {
        "numbers": ratio(hits, wanted),
        "changes": ratio(changes, changed),
        "known": wanted,
        "changed": changed,
    }


def _numbers(row: Compared, made: Sequence[str]) -> Iterable[tuple[str, float, str]]:
    """(fact, its true value, letter) of the numbers that the question asks for."""
    true = dict(zip(LETTERS, (truth_of(reading) for reading in row.readings), strict=True))
    for name, _, letter in _series(made):
        value = getattr(true[letter], name)
        if value is not None:
            yield name, value, letter


def _series(sentences: Iterable[str]) -> Iterable[tuple[str, float | None, str]]:
    for claim in _claims(sentences):
        name = SERIES.get(claim.kind, {}).get(claim.label or "")
        if name is not None:
            yield from ((name, mine, letter) for mine, letter in zip(claim.numbers, claim.ecgs, strict=True))


def _way(row: Compared) -> int | None:
    """Whether the rate truly rises or falls; None where it was not asked for, is unknown or hardly does."""
    before, after = (truth_of(reading).rate for reading in row.readings)
    if row.plan.subject not in {"RATE", "ALL"} or before is None or after is None:
        return None
    return None if abs(after - before) <= RATE_BPM else 1 if after > before else -1


def _of_rate(claim: Claim) -> bool:
    return claim.kind in CHANGES and claim.label == "RATE"


def _claims(sentences: Iterable[str]) -> Iterable[Claim]:
    return (claim for sentence in sentences for claim in read(sentence) or ())
