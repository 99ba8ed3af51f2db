"""Hand-made truth and hand-made verdicts, 100 samples a second, so that every count is known."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count, pairwise
from random import Random
from typing import Any

import numpy as np
import pytest

from models.anyecg.chat.answers import UNSEEN, answer, unseen
from models.anyecg.chat.invented import Placed, invented
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.prompt import answering, as_read, text
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat
from models.anyecg.chat.strips import Truth
from models.anyecg.chat.tokenizer import ANSWER, ECG, EVIDENCE, QUESTION, Tokenizer, learn
from models.anyecg.evidence import Evidence, evidence_of
from models.dataset.annotated import Annotated, Rhythm
from models.evaluation.served import SaidBeat, SaidEpisode, Served
from models.recordings import Recording, make_recording
from models.verdicts import Finding, Measurements, Quality, Screening

FS = 100.0

MakeTruth = Callable[..., Annotated]
MakeServed = Callable[..., Served]


def make_truth(
    beats: dict[int, str] | None = None,
    rhythms: tuple[tuple[int, int, str], ...] = (),
    record: str = "a",
) -> Annotated:
    """Beats as sample -> WFDB symbol, rhythms as (first, last, WFDB name)."""
    marks = sorted((beats or {}).items())
    return Annotated(
        record=record,
        patient=record,
        source="hand",
        fs=FS,
        leads=("II",),
        microvolts=np.empty((1, 0), dtype=np.float32),
        beats=np.asarray([at for at, _ in marks], dtype=np.int64),
        symbols=np.asarray([symbol for _, symbol in marks], dtype=np.str_),
        rhythms=tuple(Rhythm(first=a, last=b, name=name) for a, b, name in rhythms),
        labelled=frozenset({"beats"} if marks else ()) | frozenset({"rhythm"} if rhythms else ()),
    )


def make_served(
    beats: dict[int, str] | None = None,
    episodes: tuple[SaidEpisode, ...] = (),
    windows: tuple[Screening, ...] = (),
    unreadable: tuple[tuple[int, int], ...] = (),
    samples: int = 6000,
) -> Served:
    return Served(
        fs=FS,
        samples=samples,
        models=("hand/1",),
        beats=tuple(SaidBeat(r=at, label=label) for at, label in sorted((beats or {}).items())),
        episodes=episodes,
        windows=windows,
        unreadable=unreadable,
    )


def make_episode(
    label: str, first: int, last: int, *, said: int | None = None, alarm: bool = True
) -> SaidEpisode:
    heard = last if said is None else said
    return SaidEpisode(label=label, first=first, last=last, evident=first, said=heard, alarm=alarm)


def make_window(
    first: int,
    *,
    flagged: bool,
    readable: bool = True,
    score: float = 0.5,
    rules: tuple[str, ...] = (),
    af: float = 0.0,
) -> Screening:
    """Ten seconds."""
    return Screening(
        first=first,
        last=first + 999,
        scores={"abnormal": score, "AFIB": af},
        quality=Quality(readable=readable),
        flagged=flagged,
        rules=rules,
        model="hand/1",
    )


@pytest.fixture
def truth() -> MakeTruth:
    return make_truth


@pytest.fixture
def served() -> MakeServed:
    return make_served


@pytest.fixture
def episode() -> Callable[..., SaidEpisode]:
    return make_episode


@pytest.fixture
def window() -> Callable[..., Screening]:
    return make_window


@pytest.fixture
def ramp() -> Recording:
    """Two leads of a minute that count their samples, the second one upwards from 10,000."""
    counts = np.stack([np.arange(6000), np.arange(10_000, 16_000)]).astype(np.int32)
    missing = np.zeros(counts.shape, dtype=np.bool_)
    missing[:, 1000:1200] = True
    missing[1, 3000:3100] = True
    return make_recording("ramp", FS, ["II", "V1"], counts, [5.0, 5.0], missing=missing)


# -- a language model that says what a test lets it say ------------------------------------------------------

Speak = Callable[[str, "list[Evidence]", bool], str]
MakeReading = Callable[..., Reading]
WIDTH = 4
DATE = r" \d{4}-\d\d-\d\d"
SIGHTS = count(1)  # no two readings look the same


def make_reading(
    beats: dict[float, str] | None = None,
    rhythms: tuple[tuple[float, float, str], ...] | None = None,
    *,
    patient: str = "p",
    record: str = "r",
    fold: int = 0,
    seconds: float = 30.0,
    missed: float = 0.0,
    truth: Truth | None = None,
    date: str | None = None,
) -> Reading:
    """As served, and as experts say unless `truth` says otherwise; its content tokens are its own."""
    marks = sorted((beats or {}).items())
    found = [(label, at - 0.05, at + 0.05) for at, label in marks if label != "N"]
    found += [(name, a, b) for a, b, name in rhythms or () if name != "N"]
    findings = [_finding(label, a, b) for label, a, b in found]
    apart = [b - a for (a, _), (b, _) in pairwise(marks)]
    rate = 60 * len(apart) / sum(apart) if apart else None
    measured = Measurements(
        beats=len(marks),
        heart_rate_mean=rate,
        heart_rate_min=rate,
        heart_rate_max=rate,
        rr_median=60_000 / rate if rate else None,
        pr=None,
        qrs=90.0,
        qt=400.0,
        analysed_s=seconds - missed,
        not_analysed_s=missed,
    )
    kept = [] if missed == seconds else findings
    evidence = evidence_of(0, ("II",), (0.0, seconds), kept, measured, FS, beats=marks, date=date)
    return Reading(
        evidence=evidence,
        features=np.full((math.ceil(seconds), WIDTH), next(SIGHTS), dtype=np.float32),
        record=record,
        patient=patient,
        fold=fold,
        truth=truth or Truth(beats=None if beats is None else tuple(marks), rhythms=rhythms),
    )


def _finding(label: str, first_s: float, last_s: float) -> Finding:
    return Finding(
        segment_id="s",
        label=label,
        first=round(first_s * FS),
        last=round(last_s * FS) - 1,
        leads=("II",),
        probability=0.9,
        evidence={"threshold": 0.5},
    )


class Scripted:
    """A decoder that reads its prompt back and goes on with the answer that `speak` gives.

    `speak(question, ECGs given, whether evidence is among them)`. It knows the ECGs of `held` by their
    evidence, without evidence by their content tokens.
    """

    width = WIDTH

    def __init__(self, words: Tokenizer, speak: Speak, held: Sequence[Reading]) -> None:
        self._words, self._speak = words, speak
        placed = [Placed(i, 0.0, None).of(reading.evidence) for reading in held for i in range(3)]
        self._by_text = {_bare(text(ecg)): ecg for ecg in placed}
        self._by_sight = {_look(r.features): r.evidence for r in held}
        self._answers: dict[object, list[int]] = {}

    def connect(self, content: Any) -> Any:
        edge = np.zeros((1, WIDTH), dtype=np.float32)
        return np.concatenate([edge, content, edge])

    def nothing(self) -> Any:
        return (), np.zeros((0, WIDTH))

    def read(self, ids: Any, given: Any, cache: Any) -> tuple[Any, Any]:
        before, sights = cache
        read = (*before, *ids.tolist())
        sights = sights if given is None else given
        logits = np.zeros(self._words.size, dtype=np.float32)
        mark = self._words.one(ANSWER)
        if mark in read:
            at = read.index(mark) + 1
            asked = read[:at], _look(sights)
            if asked not in self._answers:
                self._answers[asked] = self._answered(read[:at], sights)
            wanted, said = self._answers[asked], list(read[at:])
            fits = wanted[: len(said)] == said
            logits[wanted[len(said)] if fits and len(said) < len(wanted) else wanted[-1]] = 20.0
        return logits, (read, sights)

    def _answered(self, read: tuple[int, ...], sights: Any) -> list[int]:
        question = self._words.decode(read[read.index(self._words.one(QUESTION)) + 1 : -1])
        ecgs = list(self._ecgs(read))
        told = bool(ecgs)
        seen = [] if told else [self._by_sight[_look(sights)]]
        return answering(self._words, self._speak(question, ecgs or seen, told))

    def _ecgs(self, read: tuple[int, ...]) -> Iterator[Evidence]:
        marks = [self._words.one(name) for name in (ECG, EVIDENCE, QUESTION)]
        ends = [i for i, token in enumerate(read) if token in marks]
        for first, last in pairwise(ends):
            if read[first] == marks[1]:
                told = self._words.decode(read[first + 1 : last])
                date = re.search(DATE, told)
                ecg = self._by_text[_bare(re.sub(DATE, "", told))]
                yield replace(ecg, date=date[0].strip() if date else None)


def _bare(written: str) -> str:
    return " ".join(written.split())


def _look(features: Any) -> tuple[float, float]:
    return float(np.abs(features).sum()), float(np.abs(features).max())


def truthful(plans: dict[str, Plan]) -> Speak:
    """Understands the questions of `plans`, declines others, and says what the template would say."""

    known = {as_read(question): plan for question, plan in plans.items()}

    def speak(question: str, ecgs: list[Evidence], told: bool) -> str:
        plan = known.get(question, Plan("decline", "other"))
        say = answer if told or plan.task not in UNSEEN else unseen
        return "\n".join([str(plan), *say(plan, ecgs)])

    return speak


@pytest.fixture(scope="session")
def words() -> Tokenizer:
    texts = [text(invented(Random(i), {})) for i in range(40)]
    said = [line for i in range(40) for line in answer(Plan("report"), [invented(Random(i), {})])]
    return learn([*texts, *said, "How many premature beats? Where?"])


@pytest.fixture(name="make_reading", scope="session")
def make_reading_fixture() -> MakeReading:
    """`make(beats, rhythms, patient=..., seconds=30, missed=0, truth=None)`, beats as second -> label."""
    return make_reading


@pytest.fixture(scope="session")
def scripted(words: Tokenizer, unruly: type[Chat]) -> Callable[[Speak, Sequence[Reading]], Chat]:
    return lambda speak, held: unruly(Scripted(words, speak, held), words, model="scripted/1")


@pytest.fixture(scope="session")
def knowing() -> Callable[[dict[str, Plan]], Speak]:
    return truthful
