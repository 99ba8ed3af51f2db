"""How a question is put: openings and endings, what is said before it, letter case, a slip of the finger."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random
from typing import Any

from models.anyecg.chat.asked.grammar import Part, choose, fill, lines, table
from models.anyecg.chat.asked.words import everyday, made_up

PLAIN = {"ask": 0.6, "tell": 0.45, "noun": 0.35, "note": 0.75, "clause": 0.0}  # how often without a frame
_ENDING, _CHATTER, _TYPO = 0.12, 0.1, 0.06
_TASK_ENDING = 0.6  # of the endings, where the task has its own
_REQUEST = re.compile(
    r"(could|can|would|will|do|any|are|is|has|does|did|have|how|what|which|when|where|who)\b"
)
_MAKES = {"burden": "count", "measure": "count", "regular": "present"}  # tasks with the endings of others


def framed(rng: Random, form: str, text: str, part: Part) -> str:
    """`how many there are` as `could you tell me how many there are`."""
    if rng.random() < PLAIN[form]:
        return text
    frames = table("frames")
    # A test may know the openings of training, never its templates.
    shared = part == "train" or rng.random() < 0.5
    frame = choose(rng, rng.choice(lines(frames["train" if shared else "test"][form])))
    return fill(frame, {"x": text, "name": _family(rng)})


def punctuated(rng: Random, form: str, text: str) -> str:
    if text[-1:] in "?.!" or not text:
        return text
    asks = form in ("ask", "note", "noun") or _REQUEST.match(text.lower()) is not None
    marks = ("?", "?", "?", "?", "", ".") if asks and "? " not in text else (".", ".", "", "")
    return text + rng.choice(marks[:5] if form == "ask" else marks)


def finished(rng: Random, text: str, task: str, part: Part) -> str:
    """With an ending, chatter before it, upper or lower case, and in training a slip now and then."""
    if text and rng.random() < _ENDING:
        text = f"{_upper(text)}{'' if text[-1] in '?.!' else '.'} {_ending(rng, task)}{rng.choice(('.', ''))}"
    if text and rng.random() < _CHATTER:
        text = f"{_upper(_chatter(rng, part))}{rng.choice(('. ', '. ', ', ', '! '))}{_upper(text)}"
    if part == "train" and rng.random() < _TYPO:
        text = slip(rng, text)
    return _cased(rng, text)


def slip(rng: Random, text: str) -> str:
    """One long word with two letters swapped, one lost or one doubled."""
    words = list(re.finditer(r"[A-Za-z]{5,}", text))
    if not words:
        return text
    word = rng.choice(words)
    at = word.start() + rng.randrange(1, len(word[0]) - 1)
    kind = rng.randrange(3)
    if kind == 0:
        return text[:at] + text[at + 1] + text[at] + text[at + 2 :]
    return text[:at] + text[at + 1 :] if kind == 1 else text[:at] + text[at] + text[at:]


def small(rng: Random, part: Part) -> Mapping[str, str]:
    """What any template may need: a number, an age, a surname, an everyday noun, a made-up word."""
    return {
        "name": _family(rng),
        "age": str(rng.randrange(18, 99)),
        "digit": str(rng.randrange(1, 20)),
        "word": everyday(rng, part),
        "blur": made_up(rng),
    }


def refilled(rng: Random, template: str, part: Part, more: Mapping[str, str]) -> str:
    """Filled slot by slot, so that two of the same kind differ."""
    return re.sub(r"\{(\w+)\}", lambda match: {**small(rng, part), **more}[match[1]], template)


def _ending(rng: Random, task: str) -> str:
    endings: Mapping[str, Any] = table("frames")["endings"]
    own = _MAKES.get(task, task)
    return choose(
        rng, rng.choice(lines(endings[own if own in endings and rng.random() < _TASK_ENDING else "any"]))
    )


def _chatter(rng: Random, part: Part) -> str:
    return refilled(rng, choose(rng, rng.choice(lines(table("frames")["chatter"][part]))), part, {})


def _family(rng: Random) -> str:
    return choose(rng, rng.choice(lines(table("declined")["fill"]["name"])))


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cased(rng: Random, text: str) -> str:
    kind = rng.random()
    if kind < 0.6:
        return _upper(text)
    if kind < 0.88:
        return text
    return text.lower() if kind < 0.98 else text.upper()
