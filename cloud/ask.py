"""Questions about one to six strips: read, answered by the language model, each sentence after its check.

    asking = Asking(store, readings, chat, turns, budget_s)
    for line in asking.stream(Asked(episodes=[ID], question="Any premature beats?")): ...

A line is a JSON object; see `Asking.stream`. What is wrong with a request is said before the first line.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from string import ascii_lowercase
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from cloud.citations import Cited, cites
from cloud.store import Episode, Store
from cloud.strips import Hands, Readings, Strip, dates, one_heart, placed
from cloud.turns import PATIENCE_S, Turns, apart
from models.anyecg.chat.consultation import Answer, Consultation
from models.anyecg.chat.runtime import Chat
from models.anyecg.chat.stretches import room
from models.anyecg.evidence import Evidence
from models.anyecg.grounding import check
from models.errors import AnyEcgError, UsageError

logger = logging.getLogger(__name__)

MOST = 6  # strips at once
LONGEST = 500  # characters of a question
SLOW_S = 5.0  # beyond budget and patience: no line for so long, and the answer is given up
LEAST_S = 1.0  # of a span
LATEST_S = 1e9  # after its boot a patch has no samples: 30 years
TEMPLATE_SAID = "The language model did not come to its end; the template said the rest."
OTHERS = "These strips are not known to be of one patient: a difference is no change of one heart."

Line = dict[str, Any]


class UnknownEpisodeError(AnyEcgError):
    """There is no such episode."""


class Stretch(BaseModel):
    """A part of an episode, in seconds of the patch's own clock."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    episode: str
    begin: float = Field(alias="from", ge=0, le=LATEST_S, allow_inf_nan=False)
    end: float = Field(alias="to", gt=0, le=LATEST_S, allow_inf_nan=False)


class Asked(BaseModel):
    """What is asked, about which episodes or parts of them, in the order of their letters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    episodes: tuple[str | Stretch, ...] = Field(min_length=1, max_length=MOST)
    question: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST)]


class Asking:
    """Answers questions."""

    def __init__(self, store: Store, readings: Readings, chat: Chat, turns: Turns, budget_s: float) -> None:
        self._store, self._readings, self._chat = store, readings, chat
        self._turns, self._budget_s = turns, budget_s

    def stream(
        self, asked: Asked, worn_by: Callable[[Episode], Hands] = lambda _: frozenset({None})
    ) -> Iterator[Line]:
        """Lines by their `type`, as they come; `worn_by` says who had the patch of an episode meanwhile:

            {"type": "ecgs", "ecgs": [{"ecg", "episode", "patch_id", "from_s", "to_s"}], "caution"}
            {"type": "waiting", "before": how many}
            {"type": "read", "ecg": letter}
            {"type": "sentence", "text", "cites": see `cloud.citations.cites`}
            {"type": "end", "plan", "model", "claims", "replaced", "added", "finished", "seconds", "note"}
            {"type": "error", "detail": a sentence}

        Raises:
            UnknownEpisodeError, BusyError, UsageError: before the first line.
        """
        strips = [self._strip(wanted) for wanted in asked.episodes]
        _short_enough(strips)
        self._turns.refuse_if_full()
        one = one_heart((strip.episode.patch_id, worn_by(strip.episode)) for strip in strips)
        return self._safely(strips, asked.question, one=one)

    def _strip(self, wanted: str | Stretch) -> Strip:
        ident = wanted if isinstance(wanted, str) else wanted.episode
        episode = self._store.episode(ident)
        if episode is None:
            raise UnknownEpisodeError(f"There is no episode {ident}.")
        if episode.deleted_at is not None:
            raise UsageError(f"Samples of episode {ident} were deleted by rule: it cannot be read any more.")
        first, last = episode.first, episode.last
        if isinstance(wanted, Stretch):
            first = max(first, round(wanted.begin * episode.fs))
            last = min(last, round(wanted.end * episode.fs) - 1)
            if last + 1 - first < LEAST_S * episode.fs:
                raise UsageError(_too_little(wanted, episode))
        return self._readings.strip(episode, first, last)

    def _safely(self, strips: Sequence[Strip], question: str, *, one: bool) -> Iterator[Line]:
        """What fails on the way is the last line."""
        silence = max(PATIENCE_S, self._budget_s) + SLOW_S
        try:
            yield from apart(self._lines(strips, question, one=one), silence)
        except AnyEcgError as error:
            yield {"type": "error", "detail": str(error)}
        except Exception:  # whatever a language model does, who asked is told
            logger.exception("a question could not be answered")
            yield {"type": "error", "detail": "The question could not be answered; the log says why."}

    def _lines(self, strips: Sequence[Strip], question: str, *, one: bool) -> Iterator[Line]:
        yield _named(strips) | {"caution": None if one else OTHERS}
        if not self._turns.free:
            yield {"type": "waiting", "before": self._turns.waiting}
        with self._turns.taken():
            yield from self._answer(strips, question, dates(strips) if one else [None] * len(strips))

    def _answer(self, strips: Sequence[Strip], question: str, said: Sequence[str | None]) -> Iterator[Line]:
        readings = []
        for place, (strip, date) in enumerate(zip(strips, said, strict=True)):
            readings.append(placed(self._readings.of(strip), place, date))
            yield {"type": "read", "ecg": ascii_lowercase[place]}
        begun = time.monotonic()
        asked = Consultation(self._chat, readings)
        cited = [Cited.of(reading) for reading in readings]
        answer = yield from _sentences(asked.stream(question, self._budget_s), cited)
        yield _end(answer, asked.ecgs, time.monotonic() - begun)


def _too_little(wanted: Stretch, episode: Episode) -> str:
    held = f"{episode.first / episode.fs:.1f} to {(episode.last + 1) / episode.fs:.1f} s"
    asked = f"{wanted.begin:g} to {wanted.end:g} s"
    return f"Episode {episode.id} lasts from {held}; of {asked} it holds too little to be read."


def _short_enough(strips: Sequence[Strip]) -> None:
    """Before a turn is spent on reading what the language model has no room for."""
    seconds = sum(end - begin for begin, end in (strip.bounds for strip in strips))
    if seconds > (most := room(len(strips))):
        raise UsageError(f"{seconds:.0f} s are asked about, {most} s are the most: ask about parts of them.")


def _sentences(spoken: Generator[str, None, Answer], cited: Sequence[Cited]) -> Generator[Line, None, Answer]:
    """Lines of an answer as it comes; returns how it came about."""
    while True:
        try:
            sentence = next(spoken)
        except StopIteration as end:
            answer: Answer = end.value
            return answer
        yield {"type": "sentence", "text": sentence, "cites": cites(sentence, cited)}


def _named(strips: Sequence[Strip]) -> Line:
    ecgs = [
        {
            "ecg": ascii_lowercase[place],
            "episode": strip.episode.id,
            "patch_id": strip.episode.patch_id,
            "from_s": strip.bounds[0],
            "to_s": strip.bounds[1],
        }
        for place, strip in enumerate(strips)
    ]
    return {"type": "ecgs", "ecgs": ecgs}


def _end(answer: Answer, ecgs: Sequence[Evidence], seconds: float) -> Line:
    """How the answer came about; what was replaced is logged."""
    counts = {"claims": answer.claims, "replaced": answer.replaced, "added": answer.added}
    for sentence in answer.written:
        checked = check(sentence, answer.plan, ecgs)
        if not checked.supported:
            logger.warning("an answer: replaced %r: %s", sentence, checked.why)
    logger.info("an answer by %s in %.1f s: %s", answer.model, seconds, counts)
    return {
        "type": "end",
        "plan": str(answer.plan),
        "model": answer.model,
        **counts,
        "finished": answer.finished,
        "seconds": round(seconds, 3),
        "note": None if answer.finished else TEMPLATE_SAID,
    }
