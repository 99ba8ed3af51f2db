"""One strip at a time: its report, as the cloud asks for it, and where things are, in words never learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from models.anyecg.chat.plans import Plan
from models.anyecg.chat.questions import ask
from models.anyecg.chat.readings import Reading
from models.anyecg.evidence import Evidence
from models.evaluation.chat_facts import NONE, Facts, answered, joined
from models.evaluation.chat_runs import Run, Runs, Said
from models.evaluation.chat_sample import truth_of

REPORT = Plan("report")
QUESTION = "Write a report."  # as cloud/reporter.py asks
LOCATED = ("V", "S", "AFIB")  # what is looked for in every strip whose annotations can tell
SEEN = {"AFIB": Plan("rhythm"), "V": Plan("present", "V"), "S": Plan("present", "S")}  # by the eyes alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What was said of one ECG in one run."""

    ecg: Evidence  # that was given, or would have been
    report: Said
    located: Mapping[str, Said] = field(default_factory=dict)
    seen: Mapping[str, Said] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A strip's answers, and the reading whose truth they are held to."""

    answers: Answers
    reading: Reading


def answers_of(runs: Runs, run: Run, reading: Reading, seed: int, *, reports_only: bool) -> Answers:
    """All that is asked of a strip, in the same words whatever the run."""
    room = runs.room(run, [reading])

    def said(plan: Plan) -> Said:
        return room.ask(worded(plan, reading, seed))

    blind = run is Run.EVIDENCE_REMOVED
    labels = () if reports_only or blind else LOCATED
    return Answers(
        ecg=room.ecgs[0],
        report=room.ask(QUESTION),
        located={label: said(Plan("locate", label)) for label in labels},
        seen={label: said(plan) for label, plan in SEEN.items()} if blind else {},
    )


def worded(plan: Plan, reading: Reading, seed: int) -> str:
    """A question in a wording of the part that is never learned."""
    return ask(plan, Random(f"{seed} {reading.record} {reading.start} {plan}"), "test")


def facts_seen(answers: Answers) -> Facts:
    """Rhythm (fibrillation or none) and ectopy, each asked for alone."""
    there = {label: answered(said.sentences, label) for label, said in answers.seen.items()}
    beats = [label for label in ("V", "S") if there[label]]
    known = there["V"] is not None and there["S"] is not None
    return Facts(rhythm=_fibrillation(there["AFIB"]), ectopy=joined(beats) if known else None)


def truth_to_see(reading: Reading) -> Facts:
    """Of what is asked for alone, what experts said."""
    facts = truth_of(reading)
    known = None if facts.rhythm is None else "AFIB" in facts.rhythm.split()
    return Facts(rhythm=_fibrillation(known), ectopy=facts.ectopy)


def _fibrillation(there: bool | None) -> str | None:
    return None if there is None else "AFIB" if there else NONE
