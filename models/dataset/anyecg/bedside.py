"""Questions about clinical 12-lead ECGs, and two visits of one patient compared, from their statements.

A finding that is not stated is called absent only where nothing stated shares a word with it: an
anterior infarction does not answer for a lateral one. Dates stand in the question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from random import Random

from models.dataset.anyecg.findings import clinical_reference, finding, findings, rhythm_words
from models.dataset.anyecg.questions import Asked
from models.dataset.anyecg.reports import FEWER_LEADS
from models.dataset.anyecg.rows import Row, one_ecg, row, several_ecgs
from models.dataset.anyecg.sources import CLINICAL
from models.dataset.anyecg.wordings import (
    CLINICAL_RHYTHM,
    STATEMENT,
    VISIT_ALL,
    VISIT_GONE,
    VISIT_NEW,
    VISIT_RHYTHM,
    VISIT_SAME,
    ask,
)
from models.dataset.clinical import Clinical, rhythm
from models.dataset.statements import RHYTHMS

STATED, ABSENT = 3, 3  # questions an ECG
NORMAL = "normal ECG"
_RHYTHM_NAMES = frozenset(finding(source, s) for source in CLINICAL for s in RHYTHMS)


def clinical_questions(ecg: Clinical, names: Sequence[str], seed: int) -> Iterator[Row]:
    """Rhythm, and whether a finding is there; `names` are all findings its database states."""
    rng = Random(f"{seed}/{ecg.record}/questions")
    evidence = {"from": "statements", "statements": list(ecg.statements)}
    words, stated = rhythm_words(ecg), findings(ecg)
    if words:
        for leads in (ecg.leads, rng.choice(FEWER_LEADS)):
            brief, question = ask(rng, CLINICAL_RHYTHM)
            answer = words if brief else f"The ECG shows {words}."
            reference = clinical_reference(ecg, leads)
            yield row("question", "rhythm", None, [reference], one_ecg(question, rng), answer, evidence)
    if not stated:
        return
    there = [name for name in stated if name != NORMAL]
    absent = [name for name in names if _unrelated(name, ecg, stated)]
    for name in (*rng.sample(there, min(STATED, len(there))), *rng.sample(absent, min(ABSENT, len(absent)))):
        brief, question = ask(rng, STATEMENT, name=name)
        answer = _yes_no(name, name in stated, brief=brief)
        reference = clinical_reference(ecg, ecg.leads)
        yield row("question", "finding", None, [reference], one_ecg(question, rng), answer, evidence)


def names_of(ecgs: Sequence[Clinical]) -> list[str]:
    """Every finding stated of any of the ECGs, in alphabetical order."""
    named = {finding(ecg.source, statement) for ecg in ecgs for statement in ecg.statements}
    return sorted(name for name in named if name and name != NORMAL)


def visits(earlier: Clinical, later: Clinical, seed: int) -> Iterator[Row]:
    """Two dated ECGs of one patient: rhythm, and what is new, gone or shared."""
    rng = Random(f"{seed}/{earlier.record}/{later.record}/visits")
    before, after = findings(earlier), findings(later)
    if not before or not after:
        return
    titles = [f"ECG of {ecg.recorded.replace('T', ' ')}" for ecg in (earlier, later)]
    ecgs = [clinical_reference(ecg, ecg.leads) for ecg in (earlier, later)]
    evidence = {"from": "statements", "earlier": before, "later": after}
    for said in _visit_questions(earlier, later, before, after, rng):
        question = several_ecgs(titles, said.question)
        yield row("comparison", said.kind, said.label, ecgs, question, said.answer, evidence)


def _visit_questions(
    earlier: Clinical, later: Clinical, before: list[str], after: list[str], rng: Random
) -> Iterator[Asked]:
    new = [name for name in after if name not in before]
    gone = [name for name in before if name not in after]
    same = [name for name in after if name in before]
    first, second = rhythm_words(earlier), rhythm_words(later)
    if first and second:
        changed = f"Unchanged: {first}." if first == second else f"First {first}, later {second}."
        yield from (Asked("visit rhythm", None, wording, changed) for wording in VISIT_RHYTHM)
    for kind, wordings, listed in (
        ("visit new", VISIT_NEW, new),
        ("visit gone", VISIT_GONE, gone),
        ("visit shared", VISIT_SAME, same),
    ):
        yield from (Asked(kind, None, wording, _listed(listed)) for wording in rng.sample(wordings, 2))
    days = (date.fromisoformat(later.recorded[:10]) - date.fromisoformat(earlier.recorded[:10])).days
    apart = "The same day" if not days else f"{days} day{'s' if days > 1 else ''} apart"
    parts = [apart, f"new: {_listed(new)}", f"no longer stated: {_listed(gone)}", f"both: {_listed(same)}"]
    summary = ". ".join(part[:1].upper() + part[1:].rstrip(".") for part in parts) + "."
    yield from (Asked("visit summary", None, wording, summary) for wording in VISIT_ALL)


def _listed(names: Sequence[str]) -> str:
    text = ", ".join(names) or "none"
    return f"{text[:1].upper()}{text[1:]}."


def _unrelated(name: str, ecg: Clinical, stated: Sequence[str]) -> bool:
    words = set(name.lower().split())
    if any(words & set(other.lower().split()) for other in stated):
        return False
    return name not in _RHYTHM_NAMES or rhythm(ecg) is not None


def _yes_no(name: str, there: bool, *, brief: bool) -> str:
    if brief:
        return "yes" if there else "no"
    return f"Yes, {name}." if there else f"No, nothing is stated of {name}."
