"""A question about ECGs and its answer as it may be shown: a language model's words, held to the evidence.

    asked = Consultation(Small(), readings)
    for sentence in asked.stream("Any premature beats?"): ...
    answer = asked.answer("Where?")

The ECGs are read once, questions stand alone. The model writes under `held`: only sentences that the evidence
holds. All the same a sentence is shown after its check; what did not hold or lacks is said by the template,
and counted. Intervals are the localizer's: the model understood what was asked for.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from models.anyecg.chat.held import allowed
from models.anyecg.chat.plans import ECTOPIC, Plan, parse
from models.anyecg.chat.prompt import dates, text
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat, Rule, UnfinishedError
from models.anyecg.chat.wording import REPORT
from models.anyecg.grounding import check, ground

UNCLEAR = Plan("decline", "unclear")
TOO_SLOW = "The language model was too slow to understand the question in its time; ask again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What is shown of an answer, and how it came about."""

    plan: Plan
    sentences: tuple[str, ...]
    written: tuple[str, ...]  # by the model, before any check
    claims: int  # of what the model wrote
    replaced: int  # its sentences that did not hold
    added: int  # sentences it had left out
    finished: bool  # False: its time was over, the template said the rest
    seconds: float
    model: str

    @property
    def text(self) -> str:
        return "\n".join(self.sentences)


class Understanding:
    """What questions mean, whatever was found: a model that can understands them of ECGs that are not
    shown, and no finding sways it."""

    def __init__(self, chat: Chat, readings: Sequence[Reading]) -> None:
        unseen = [np.zeros((1, r.features.shape[1]), dtype=np.float32) for r in readings]
        self._chat = chat
        self._state = chat.prompt(unseen, dates([r.evidence for r in readings])) if chat.apart else None

    def plan(self, question: str, until: float | None = None) -> str | None:
        """The plan's line; None: it is for the answer to say."""
        if self._state is None:
            return None
        return next(self._chat.ask(self._state, question, until=until), str(UNCLEAR))


class Consultation:
    """ECGs that were read, about which anything may be asked."""

    def __init__(self, chat: Chat, readings: Sequence[Reading]) -> None:
        self.ecgs = tuple(reading.evidence for reading in readings)
        self._chat = chat
        self._state = chat.prompt([r.features for r in readings], [text(e) for e in self.ecgs])
        self._understanding = Understanding(chat, readings)

    def answer(self, question: str, within_s: float | None = None) -> Answer:
        """Complete and in the template's order; after `within_s` seconds the template says the rest."""
        begun = time.monotonic()
        until = None if within_s is None else begun + within_s
        lines: list[str] = []
        finished = True
        try:
            lines.extend(self._lines(question, until))
        except UnfinishedError:
            finished = False
        return self._answer(lines, begun, finished=finished)

    def stream(self, question: str, within_s: float | None = None) -> Generator[str, None, Answer]:
        """Each sentence after its check, then what the model left out; returns how it came about.

        Raises:
            UnfinishedError: its time was over before it had understood the question.
        """
        begun = time.monotonic()
        until = None if within_s is None else begun + within_s
        plan, finished = UNCLEAR, True
        lines: list[str] = []
        shown: list[str] = []
        try:
            for line in self._lines(question, until):
                lines.append(line)
                if len(lines) == 1:
                    plan = _plan(line)
                elif line not in shown and check(line, plan, self.ecgs).supported:
                    shown.append(line)
                    yield line
                elif not shown:  # how an answer begins, the template knows
                    shown.append(ground([], plan, self.ecgs).sentences[0])
                    yield shown[0]
        except UnfinishedError as error:  # what is not said by then lacks, and is said by the template
            if not lines:
                raise UnfinishedError(TOO_SLOW) from error
            finished = False
        whole = ground(shown, plan, self.ecgs).sentences
        before = {sentence.removeprefix(REPORT) for sentence in shown}
        yield from (sentence for sentence in whole if sentence.removeprefix(REPORT) not in before)
        return self._answer(lines, begun, finished=finished)

    def _answer(self, lines: Sequence[str], begun: float, *, finished: bool) -> Answer:
        """Of what the model wrote: its plan, if it came to one, and sentences."""
        plan, written = _plan(lines[0]) if lines else UNCLEAR, lines[1:]
        held = ground(written, plan, self.ecgs)
        return Answer(
            plan=plan,
            sentences=held.sentences,
            written=tuple(written),
            claims=sum(checked.claims for checked in held.checked),
            replaced=held.replaced,
            added=held.added,
            finished=finished,
            seconds=round(time.monotonic() - begun, 3),
            model=self._chat.model,
        )

    def _lines(self, question: str, until: float | None) -> Iterator[str]:
        """The plan and the sentences."""
        meant = self._understanding.plan(question, until)

        def held(lines: Sequence[str]) -> Rule:
            return allowed(lines, self.ecgs) if lines else meant

        yield from self._chat.ask(self._state, question, allow=held, until=until)


def _plan(line: str) -> Plan:
    """What the model understood; a line that is no plan understood nothing."""
    return parse(line) or UNCLEAR


def abstained(answer: Answer, readings: Sequence[Reading]) -> str | None:
    """Why nothing is said of the heart, None where something is."""
    if answer.plan.task == "decline":
        return "not understood" if answer.plan == UNCLEAR else f"declined: {answer.plan.subject}"
    asked = [r.evidence for r in readings if answer.plan.ecg in {None, r.evidence.letter}]
    if not any(ecg.value("ANALYSED") for ecg in asked):
        return "too noisy"
    return None


def wanted(plan: Plan) -> frozenset[str] | None:
    """The labels that a plan asks for; None: whatever there is."""
    if plan.subject is None or plan.task in {"measure", "compare", "decline"}:
        return None
    return frozenset({"V", "S"} if plan.subject == ECTOPIC else {plan.subject})
