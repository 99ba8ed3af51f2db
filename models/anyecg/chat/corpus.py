"""Conversations about ECGs that a language model is trained on, drawn from the readings.

Stage 1 asks for reports, stage 2 everything that can be asked of one ECG, stage 3 of several too. Before
them, in stage 0, a model that has never read a sentence learns what questions mean, of ECGs it is not shown.
A conversation is a function of its stage, the seed and its place. Patients of the held-out fold are in none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import TypeVar

import numpy as np

from models.anyecg.chat.answers import UNSEEN, answer, unseen
from models.anyecg.chat.asked.grammar import Part
from models.anyecg.chat.asking import Asker
from models.anyecg.chat.eyes import Floats
from models.anyecg.chat.invented import Placed, altered, invented
from models.anyecg.chat.prompt import LONGEST, as_read, dates, text
from models.anyecg.chat.readings import Reading
from models.anyecg.evidence import Evidence
from models.errors import UsageError

T = TypeVar("T")
STAGES = (0, 1, 2, 3)
MEANT = 8  # questions of a conversation in stage 0, or without evidence
WITHHELD = 0.25  # share of the conversations without evidence, where a round says no other
ALTERED, INVENTED = 0.2, 0.2  # share of the ECGs, where evidence is given
TURNS = (0.45, 0.2, 0.12, 0.08, 0.06, 0.04, 0.03, 0.02)  # of one turn, two, ...
REPORTS = 2  # turns at most, where nothing else is asked
SEVERAL = (0.5, 0.25, 0.12, 0.08, 0.05)  # of two ECGs, three, ..., where there are several
SEVERAL_SHARE = 0.6  # of stage 3
ONE_PATIENT = 0.75  # of conversations about several
DATED, SHIFTED = 0.5, 0.4  # share of conversations with dates; of ECGs that do not begin with second 0
ROOM, ASKED = LONGEST - 250, 700  # tokens of a conversation and, at least, of its turns, as estimated


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """Questions about one or more ECGs, and what is to be said.

    An answer is the plan's line and the sentences, a line each.
    """

    ecgs: tuple[Floats, ...]  # (second, D) content tokens of each
    evidence: tuple[str, ...] | None  # of each, as the prompt gives it; None: withheld
    turns: tuple[tuple[str, str], ...]  # (question, answer)


@dataclass(frozen=True, slots=True)
class Ecg:
    """What is known of it, and its content tokens."""

    evidence: Evidence
    features: Floats


class Corpus:
    """Readings as an endless stream of conversations, in wordings of one part; patients of the fold
    `held_out` are in none. UsageError without a reading to train on."""

    def __init__(self, readings: Sequence[Reading], held_out: int | None = 0, part: Part = "train") -> None:
        self._part: Part = part
        apart = {r.patient for r in readings if held_out is not None and r.fold == held_out}
        known = [r for r in readings if r.patient not in apart]
        if not known:
            raise UsageError(f"No reading outside fold {held_out}: prepare more, or hold another fold out.")
        self._by_patient = _grouped((r.patient, r) for r in known)
        self._groups = {
            label: _grouped((r.patient, r) for r in some)
            for label, some in _grouped((label, r) for r in known for label in _held(r)).items()
        }
        self._thresholds = {
            f.label: f.threshold for r in known for f in r.evidence.findings if f.threshold is not None
        }
        self._width = known[0].features.shape[1]

    def draw(self, stage: int, size: int, *seed: int, withheld: float = WITHHELD) -> list[Conversation]:
        """`size` conversations of a stage, which replays what earlier ones ask; a share without evidence."""
        if stage not in STAGES:
            raise ValueError(f"stage {stage}; there are 0, 1, 2 and 3.")
        dice = [Random(f"{stage} {seed} {i}") for i in range(size)]
        return [self._conversation(stage, rng, withheld) if stage else self._meant(rng) for rng in dice]

    def texts(self, size: int, *seed: int) -> Iterator[str]:
        """What is written in `size` conversations, half of them questions alone, for a tokenizer to learn."""
        for conversation in (*self.draw(0, size // 2, *seed), *self.draw(STAGES[-1], size // 2, *seed)):
            yield from conversation.evidence or ()
            for question, said in conversation.turns:
                yield from (as_read(question), said)

    def _meant(self, rng: Random) -> Conversation:
        """Questions, each answered by its plan alone: many for the price of one about an ECG."""
        ecgs = self._ecgs(rng, self._count(rng), real=False)
        asker = Asker(STAGES[-1], [ecg.evidence for ecg in ecgs], withheld=False, part=self._part)
        asked = (asker.draw(rng) for _ in range(MEANT))
        return Conversation(
            ecgs=tuple(np.zeros((1, self._width), dtype=np.float32) for _ in ecgs),
            evidence=dates([ecg.evidence for ecg in ecgs]),
            turns=tuple((question, str(plan)) for plan, question in asked),
        )

    def _count(self, rng: Random) -> int:
        """Of the ECGs of stage 3."""
        return rng.choices(range(2, 7), SEVERAL)[0] if rng.random() < SEVERAL_SHARE else 1

    def _conversation(self, stage: int, rng: Random, share: float) -> Conversation:
        withheld = rng.random() < share
        count = self._count(rng) if stage == STAGES[-1] else 1
        ecgs, room = _fitting(self._ecgs(rng, count, real=withheld))
        asker = Asker(stage, [ecg.evidence for ecg in ecgs], withheld, self._part)
        return Conversation(
            ecgs=tuple(ecg.features for ecg in ecgs),
            evidence=None if withheld else tuple(text(ecg.evidence) for ecg in ecgs),
            turns=tuple(_turns(rng, asker, room)),
        )

    def _ecgs(self, rng: Random, count: int, *, real: bool) -> list[Ecg]:
        readings = self._readings(rng, count)
        dates = _dates(rng, count)
        return [self._ecg(rng, r, i, dates[i], real=real) for i, r in enumerate(readings)]

    def _ecg(self, rng: Random, reading: Reading, place: int, date: str | None, *, real: bool) -> Ecg:
        dice, evidence, features = rng.random(), reading.evidence, reading.features
        if (
            not real and dice < ALTERED + INVENTED
        ):  # the content tokens would say otherwise: they are withheld, and facts are copied
            evidence = altered(evidence, rng) if dice < ALTERED else invented(rng, self._thresholds)
            features = np.zeros((math.ceil(evidence.end), self._width), dtype=np.float32)
        shift = 0.0 if rng.random() >= SHIFTED else float(rng.randint(1, rng.choice((60, 900, 7200))))
        return Ecg(Placed(place, shift, date).of(evidence), features)

    def _readings(self, rng: Random, count: int) -> list[Reading]:
        """Balanced by what they hold, then by patient; several of one patient, as far as there are."""
        group = self._groups[rng.choice(sorted(self._groups))]
        patient = rng.choice(sorted(group))
        first = rng.choice(group[patient])
        if count == 1:
            return [first]
        same = [r for r in self._by_patient[patient] if r is not first]
        if len(same) + 1 >= count and rng.random() < ONE_PATIENT:
            some = [first, *rng.sample(same, count - 1)]
        else:
            some = [first, *(self._readings(rng, 1)[0] for _ in range(count - 1))]
        rng.shuffle(some)
        return some


def _fitting(ecgs: list[Ecg]) -> tuple[list[Ecg], int]:
    """The first ones, as many as leave room for what is asked, and how many tokens that has."""
    room = ROOM
    for i, ecg in enumerate(ecgs):
        size = len(ecg.features) + _tokens(text(ecg.evidence))
        if room - size < ASKED:
            return ecgs[:i], room
        room -= size
    return ecgs, room


def _turns(rng: Random, asker: Asker, room: int) -> Iterator[tuple[str, str]]:
    """As many as drawn, as far as they fit; one at least. What is seen alone is soon said: many."""
    wanted = MEANT if asker.withheld else rng.choices(range(1, 9), TURNS)[0]
    wanted = min(wanted, REPORTS) if asker.stage == 1 else wanted
    said = 0
    while not said or (said < wanted and room > 0):
        turn = _turn(rng, asker)
        if (size := sum(map(_tokens, turn))) <= room:
            said, room = said + 1, room - size
            yield turn
        elif said:
            return


def _turn(rng: Random, asker: Asker) -> tuple[str, str]:
    """A question and its answer, after the plan's line."""
    plan, question = asker.draw(rng)
    if asker.withheld and plan.task in UNSEEN:  # in one wording: what is learned is to see
        said = unseen(plan, asker.ecgs)
    else:
        said = answer(plan, asker.ecgs, rng)
    return question, "\n".join([str(plan), *said])


def _dates(rng: Random, count: int) -> list[str | None]:
    """Of all, of some or of none."""
    if rng.random() >= DATED:
        return [None] * count
    day = datetime(2000, 1, 1) + timedelta(minutes=rng.randrange(30 * 365 * 24 * 60))  # noqa: DTZ001
    form = rng.choice(("%Y-%m-%d", "%Y-%m-%d", "%Y-%m-%d %H:%M"))
    days = [day + timedelta(minutes=rng.randrange(rng.choice((1440, 60 * 1440)))) for _ in range(count)]
    lacks = rng.random() < 0.15
    return [None if lacks and rng.random() < 0.5 else day.strftime(form) for day in days]


def _held(reading: Reading) -> Sequence[str]:
    """The labels found, or that nothing was."""
    return [fact.label for fact in reading.evidence.findings] or ["nothing"]


def _grouped(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    out: dict[str, list[T]] = {}
    for key, item in pairs:
        out.setdefault(key, []).append(item)
    return out


def _tokens(written: str) -> int:
    """About how many tokens it takes, rather too many: digits stand alone."""
    return 4 + sum(c.isdigit() for c in written) + len(written) // 3
