"""The five runs: what a language model says of ECGs as served, and with a part of it taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial

import numpy as np

from models.anyecg.chat.consultation import UNCLEAR, Consultation, Understanding
from models.anyecg.chat.held import allowed_unseen
from models.anyecg.chat.invented import Placed
from models.anyecg.chat.plans import Plan, parse
from models.anyecg.chat.prompt import TooLongError
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat, Rule, State, UnfinishedError
from models.anyecg.evidence import Evidence
from models.evaluation.chat_sample import seconds_of

Zeroed = Callable[[Reading], Reading]  # as served of zeroes: the same leads and length


class Run(StrEnum):
    """What the model is given."""

    SERVED = "served"
    ZEROED = "zeroed"  # the waveform, at the input: nothing is measured, found or seen
    EXCHANGED = "exchanged"  # the waveform, for that of another patient
    TOKENS_ZEROED = "tokens_zeroed"  # the evidence is as served, the eyes are shut
    EVIDENCE_REMOVED = "evidence_removed"  # the eyes are open; no sentence can be checked


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer; `written` is the model's own, `sentences` are what is shown of it."""

    plan: Plan
    written: tuple[str, ...]
    sentences: tuple[str, ...]
    replaced: int = 0
    added: int = 0
    finished: bool = True
    seconds: float = 0.0


Ask = Callable[[str], Said]
SILENT = Said(plan=UNCLEAR, written=(), sentences=(), finished=False)  # no room for so much


@dataclass(frozen=True, slots=True)
class Room:
    """ECGs given in one of the runs, about which anything may be asked."""

    ask: Ask
    ecgs: tuple[Evidence, ...]  # what may be said


@dataclass(frozen=True, slots=True)
class Seen:
    """ECGs of which the model has the content tokens alone."""

    chat: Chat
    state: State
    understanding: Understanding
    letters: Sequence[str]


class Runs:
    """Gives ECGs to a language model in each of the runs."""

    def __init__(self, chat: Chat, zeroed: Zeroed) -> None:
        self._chat, self._read_zeroes = chat, zeroed
        self._zeroes: dict[tuple[tuple[str, ...], float], Reading] = {}

    def room(self, run: Run, readings: Sequence[Reading]) -> Room:
        """The readings of an exchanged run are those of the others already."""
        given = [_placed(self._given(run, reading), i, reading) for i, reading in enumerate(readings)]
        ecgs = tuple(reading.evidence for reading in given)
        try:
            if run is Run.EVIDENCE_REMOVED:
                state = self._chat.prompt([reading.features for reading in given], None)
                seen = Seen(self._chat, state, Understanding(self._chat, given), [e.letter for e in ecgs])
                return Room(partial(_unchecked, seen), ecgs)
            return Room(partial(_answered, Consultation(self._chat, given)), ecgs)
        except TooLongError:
            return Room(lambda _: SILENT, ecgs)

    def _given(self, run: Run, reading: Reading) -> Reading:
        if run is Run.TOKENS_ZEROED:
            return replace(reading, features=np.zeros_like(reading.features))
        if run is not Run.ZEROED:
            return reading
        key = (reading.evidence.leads, seconds_of(reading))
        if key not in self._zeroes:
            self._zeroes[key] = self._read_zeroes(reading)
        return self._zeroes[key]


def _placed(reading: Reading, place: int, dated: Reading) -> Reading:
    """Under the letter of its place, with the date that was asked with."""
    return replace(reading, evidence=Placed(place, 0.0, dated.evidence.date).of(reading.evidence))


def _answered(asked: Consultation, question: str) -> Said:
    try:
        answer = asked.answer(question)
    except TooLongError:
        return SILENT
    return Said(
        plan=answer.plan,
        written=answer.written,
        sentences=answer.sentences,
        replaced=answer.replaced,
        added=answer.added,
        finished=answer.finished,
        seconds=answer.seconds,
    )


def _unchecked(seen: Seen, question: str) -> Said:
    """Word for word: there is nothing to check it against. Only what eyes alone may say can be said."""
    lines: list[str] = []
    finished = True
    try:
        meant = seen.understanding.plan(question)

        def held(lines: Sequence[str]) -> Rule:
            return allowed_unseen(lines, seen.letters) if lines else meant

        lines.extend(seen.chat.ask(seen.state, question, allow=held))
    except TooLongError:
        return SILENT
    except UnfinishedError:
        finished = False
    plan = (parse(lines[0]) if lines else None) or UNCLEAR
    return Said(plan=plan, written=tuple(lines[1:]), sentences=tuple(lines[1:]), finished=finished)
