"""What is asked in a conversation of the corpus: a plan that its ECGs can answer, and a question for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

from models.anyecg.chat.answers import UNSEEN
from models.anyecg.chat.asked.grammar import Part
from models.anyecg.chat.plans import ECTOPIC, SUBJECTS, Plan
from models.anyecg.chat.questions import ask, off_topic
from models.anyecg.evidence import Evidence

OFF_TOPIC = 0.2  # share of the turns
FOUND_SHARE = 0.5  # of the subjects are something found
ALL = 0.25  # of questions where there are several: share about all of them
TASKS: Mapping[str, float] = {  # how often each is asked of one ECG
    "report": 2.0,
    "findings": 1.5,
    "rhythm": 1.5,
    "locate": 2.5,
    "present": 2.0,
    "count": 2.0,
    "burden": 1.0,
    "when": 1.5,
    "sure": 1.0,
    "measure": 2.5,
    "regular": 0.7,
    "quality": 1.2,
    "limits": 0.5,
    "about": 0.7,
}
COMPARE, TOO_FEW = 8.0, 0.3  # how often a comparison is, of several ECGs and of a single one
BLIND = (*UNSEEN, "limits")  # what is asked without evidence
LONG = frozenset({"report", "findings"})  # not of more than
FEW = 2  # ECGs at once


@dataclass(frozen=True, slots=True)
class Asker:
    """Of ECGs in a stage; without evidence only what content tokens tell is asked."""

    stage: int
    ecgs: Sequence[Evidence]
    withheld: bool
    part: Part = "train"  # of the wordings

    def draw(self, rng: Random) -> tuple[Plan, str]:
        """A plan and a question for it."""
        if rng.random() < OFF_TOPIC:
            question, plan = off_topic(rng, self.part)
            return plan, question
        plan = self._plan(rng)
        while not self._answerable(plan):
            plan = self._plan(rng)
        letters = [ecg.letter for ecg in self.ecgs]
        dates = [ecg.date[:10] for ecg in self.ecgs if ecg.date]
        return plan, ask(plan, rng, self.part, letters, dates if len(dates) == len(letters) else ())

    def _plan(self, rng: Random) -> Plan:
        several = len(self.ecgs) > 1
        if self.stage == 1:
            return Plan("report")
        compare = 0.0 if self.withheld or self.stage == 2 else COMPARE if several else TOO_FEW
        tasks = {**TASKS, "compare": compare}
        task = rng.choices([*tasks], [*tasks.values()])[0]
        letter = None
        if several and task not in {"compare", "limits"} and rng.random() >= ALL:
            letter = rng.choice(self.ecgs).letter
        return Plan(task, self._subject(task, rng), letter)

    def _subject(self, task: str, rng: Random) -> str | None:
        subjects = SUBJECTS[task]
        if not subjects:
            return None
        held = {fact.label for ecg in self.ecgs for fact in ecg.findings}
        held |= {ECTOPIC} if held & {"V", "S"} else set()
        found = [subject for subject in subjects if subject in held]
        return rng.choice(found if found and rng.random() < FOUND_SHARE else subjects)

    def _answerable(self, plan: Plan) -> bool:
        about = sum(plan.ecg in {None, ecg.letter} for ecg in self.ecgs)
        return (plan.task in BLIND or not self.withheld) and (plan.task not in LONG or about <= FEW)
