"""The template's sentences for any plan: what a language model is trained to say, and what replaces a
sentence of it that does not hold.

An answer depends on plan and facts alone: no text of a question, no free text of an ECG reaches it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random

from models.anyecg.chat import statements as about
from models.anyecg.chat.comparison import Sentence, compare, named
from models.anyecg.chat.names import ANY, ANY_RHYTHM, CLINICAL, NOT_ASSESSED, UNREADABLE
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.slots import Claim
from models.anyecg.chat.wording import REPORT, say
from models.anyecg.evidence import Evidence, Fact
from models.verdicts import LABELS, Kind

UNSEEN = ("rhythm", "present", "findings", "report")  # tasks that the ECG tokens alone may answer
_GENERAL = {"limits", "unassessed", "too_few"}  # of no ECG in particular


def answer(plan: Plan, ecgs: Sequence[Evidence], rng: Random | None = None) -> tuple[str, ...]:
    """The sentences, in the canonical wording or with `rng` in any; a report begins with `Report: `.

    `plan.ecg` asks about one of the ECGs; an answer names its ECG where more than one is given. A comparison
    is of all of them. Every sentence cites facts, except those of the paper's localization grammar, of what
    is not assessed or declined, and of length and leads.
    """
    return _said(plan, claims(plan, ecgs), rng)


def unseen(plan: Plan, ecgs: Sequence[Evidence], rng: Random | None = None) -> tuple[str, ...]:
    """What ECG tokens alone may say: uncertain sentences without numbers or citations.

    `ecgs` are the truth that the model does not read. ValueError for a task that is not in UNSEEN.
    """
    if plan.task not in UNSEEN:
        raise ValueError(f"'{plan}' needs the evidence; without it only {', '.join(UNSEEN)} are answered.")
    return _said(plan, _each(_seen(plan), plan, ecgs), rng)


def possibly_seen(plan: Plan, letters: Sequence[str]) -> tuple[Claim, ...]:
    """All that may be said of ECGs of which nothing but their tokens is known, whatever they show."""
    if plan.task in {"limits", "decline"}:
        return tuple(claim for said in claims(plan, ()) for claim in said)
    if plan.task not in UNSEEN:
        return ()
    if plan.subject in NOT_ASSESSED:
        return (Claim(kind="unassessed", label=plan.subject),)
    labels, denied = _looked_for(plan)
    there = [Claim(kind="seen", label=label) for label in labels]
    every = (Claim(kind="blurred"), Claim(kind="unseen", label=denied), *there)
    if len(letters) == 1:
        return every
    wanted = [letter for letter in letters if plan.ecg in {None, letter}]
    return tuple(replace(claim, ecgs=(letter,)) for letter in wanted for claim in every)


def claims(plan: Plan, ecgs: Sequence[Evidence]) -> tuple[Sentence, ...]:
    """What the template says, as claims, sentence by sentence: all that an answer to the plan may hold."""
    if plan.task == "decline":
        return ((Claim(kind=f"decline_{plan.subject}"),),)
    if plan.task == "limits":
        return ((Claim(kind="limits"),),)
    if plan.task == "compare":
        return tuple(compare(plan.subject or "ALL", ecgs))
    return _each(_TASKS[plan.task], plan, ecgs)


def _said(plan: Plan, sentences: Sequence[Sentence], rng: Random | None) -> tuple[str, ...]:
    texts = [say(*sentence, rng=rng) for sentence in sentences]
    return (REPORT + texts[0], *texts[1:]) if plan.task == "report" else tuple(texts)


Teller = Callable[[Evidence, str], list[Sentence]]


def _each(tell: Teller, plan: Plan, ecgs: Sequence[Evidence]) -> tuple[Sentence, ...]:
    """Of each ECG asked about; what is of none in particular is said once, last."""
    wanted = [ecg for ecg in ecgs if plan.ecg in {None, ecg.letter}]
    if not wanted:
        return ((Claim(kind="no_ecg", ecgs=(plan.ecg or "a",)),),)
    said: list[Sentence] = []
    for ecg in wanted:
        for sentence in tell(ecg, plan.subject or ""):
            one = len(ecgs) == 1 or sentence[0].kind in _GENERAL
            said.append(sentence if one else tuple(named(claim, ecg) for claim in sentence))
    said.sort(key=lambda sentence: sentence[0].kind in _GENERAL)
    return tuple(dict.fromkeys(said))


def _report(ecg: Evidence, _: str) -> list[Sentence]:
    clinical = _findings_of(ecg, CLINICAL)
    rhythm = about.rhythm(ecg, ANY_RHYTHM if clinical else ANY)
    rates = [about.measured(ecg, name) for name in ("RATE", "SLOWEST", "FASTEST")]
    return [
        (*rhythm, rates[0], *(claim for claim in rates[1:] if claim.kind == "value")),
        *((about.found(fact),) for fact in _findings_of(ecg, (*CLINICAL, *UNREADABLE))),
        tuple(about.measured(ecg, name) for name in ("PR", "QRS", "QT")),
        *((claim,) for claim in about.caveats(ecg) if claim not in rhythm),
        (Claim(kind="limits"),),
    ]


def _findings(ecg: Evidence, _: str) -> list[Sentence]:
    facts = _findings_of(ecg, (*CLINICAL, *UNREADABLE))
    told: list[Sentence] = [(about.spans(fact),) for fact in facts]
    if not _findings_of(ecg, CLINICAL):
        return [tuple(about.denied(ecg, ANY)), *told, *((claim,) for claim in about.strange(ecg))]
    return [*told, *((claim,) for claim in about.slow_runs(ecg)), *_caveats(ecg)]


def _caveats(ecg: Evidence) -> list[Sentence]:
    """What an answer that denies nothing lacks without them."""
    return [(claim,) for claim in about.caveats(ecg)]


def _findings_of(ecg: Evidence, labels: Sequence[str]) -> list[Fact]:
    return [fact for label in labels for fact in about.found_of(ecg, label)]


def _rhythm(ecg: Evidence, _: str) -> list[Sentence]:
    rhythms = about.rhythms(ecg)
    doubts = about.caveats(ecg) if rhythms else about.strange(ecg)
    other = any(claim.kind == "runs" or LABELS[claim.label or ""].kind is Kind.RHYTHM for claim in rhythms)
    sinus = [] if other else [Claim(kind="unassessed", label="SINUS")]
    told = tuple(about.rhythm(ecg, ANY_RHYTHM))
    return [told, *((claim,) for claim in (about.regularity(ecg), *doubts, *sinus))]


def _denied(ecg: Evidence, label: str) -> list[Sentence]:
    """A denial, and that a part is unfamiliar."""
    doubts = [] if label == "UNFAMILIAR" else about.strange(ecg)
    return [tuple(about.denied(ecg, label)), *((claim,) for claim in doubts)]


def _of_findings(tell: Callable[[Evidence, str], list[Claim]]) -> Teller:
    """Tells of a label's findings, or that it is not assessed, or that there are none."""

    def told(ecg: Evidence, label: str) -> list[Sentence]:
        if label in NOT_ASSESSED:
            return [(Claim(kind="unassessed", label=label),)]
        if not about.found_of(ecg, label):
            return _denied(ecg, label)
        caveats = about.missed(ecg) if label == "UNFAMILIAR" else about.caveats(ecg)
        return [(claim,) for claim in (*tell(ecg, label), *caveats)]

    return told


def _locate(ecg: Evidence, label: str) -> list[Sentence]:
    """The paper's `No X Found` stands alone only where all was analysed and familiar."""
    if label in NOT_ASSESSED or about.found_of(ecg, label) or not about.was_analysed(ecg):
        return _of_findings(_located)(ecg, label)
    denied = _denied(ecg, label)
    if denied[0][0].kind == "untold":
        return denied
    doubts = [said for said in denied if said[0].kind != "absent"]
    return [(Claim(kind="unlocated", label=label),), *doubts]


def _located(ecg: Evidence, label: str) -> list[Claim]:
    where = about.located(ecg, label)
    return [where, *(about.counted_from(ecg) if where.kind == "located" else [])]


def _measure(ecg: Evidence, name: str) -> list[Sentence]:
    if name == "BEATS" and not about.was_analysed(ecg):
        return [(about.nothing(ecg),)]
    return [(about.measured(ecg, name),), *([] if name in NOT_ASSESSED else _caveats(ecg))]


def _quality(ecg: Evidence, _: str) -> list[Sentence]:
    analysed, rest = about.was_analysed(ecg), about.strange(ecg)
    if analysed and not rest:
        rest = about.familiar(ecg)
    told = [about.analysed(ecg), *about.missed(ecg)] if analysed else [about.nothing(ecg)]
    told += [about.found(fact) for fact in _findings_of(ecg, UNREADABLE)]
    return [(claim,) for claim in (*told, *rest)]


def _seen(plan: Plan) -> Teller:
    """What the ECG tokens may show of a plan's subject."""
    labels, denied = _looked_for(plan)

    def told(ecg: Evidence, _: str) -> list[Sentence]:
        if plan.subject in NOT_ASSESSED:
            return [(Claim(kind="unassessed", label=plan.subject),)]
        if not about.was_analysed(ecg):
            return [(Claim(kind="blurred"),)]
        seen = [label for label in labels if about.found_of(ecg, label)]
        said = [Claim(kind="seen", label=label) for label in seen] or [Claim(kind="unseen", label=denied)]
        return [(claim,) for claim in said]

    return told


def _looked_for(plan: Plan) -> tuple[Sequence[str], str]:
    """(what may be seen, what is denied where nothing is)."""
    if plan.task == "present":
        return (plan.subject or "",), plan.subject or ""
    return (("AFIB",), "AFIB") if plan.task == "rhythm" else (CLINICAL, ANY)


_TASKS: Mapping[str, Teller] = {
    "report": _report,
    "findings": _findings,
    "rhythm": _rhythm,
    "locate": _locate,
    "present": _of_findings(lambda ecg, label: [about.total(ecg, label, "present")]),
    "count": _of_findings(lambda ecg, label: [about.total(ecg, label, "count")]),
    "burden": _of_findings(lambda ecg, label: [about.burden(ecg, label)]),
    "when": _of_findings(lambda ecg, label: [about.found(fact) for fact in about.found_of(ecg, label)]),
    "sure": _of_findings(lambda ecg, label: [about.sure(fact) for fact in about.found_of(ecg, label)]),
    "measure": _measure,
    "regular": lambda ecg, _: [(about.regularity(ecg),), *_caveats(ecg)],
    "quality": _quality,
    "about": lambda ecg, _: [(about.about(ecg),)],
}
