"""Words that no question about an ECG is about: everyday nouns, made-up words, keyboard noise, sums."""

from __future__ import annotations

from functools import cache
from random import Random

from models.anyecg.chat.asked.grammar import Part, table

_OPEN, _HELD = 0.15, 0.2  # of the syllables without an onset or a coda, of the keys held down


@cache
def _list(name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(table("words")[name].split()))


def everyday(rng: Random, part: Part) -> str:
    """`cheese`; the two parts share none."""
    return rng.choice(_list(part))


def made_up(rng: Random) -> str:
    """`brolfing`: a word of one to three syllables that is none."""
    return "".join(_syllable(rng) for _ in range(rng.choice((1, 2, 2, 3))))


def noise(rng: Random) -> str:
    """What a hand or a sleeve leaves on a keyboard."""
    row, count = rng.choice(_list("rows")), rng.randrange(3, 12)
    if rng.random() < _HELD:
        return rng.choice(row) * count
    return "".join(rng.choice(row) for _ in range(count))


def arithmetic(rng: Random) -> str:
    """`12 + 7`."""
    return f"{rng.randrange(1, 200)} {rng.choice(_list('signs'))} {rng.randrange(1, 200)}"


def _syllable(rng: Random) -> str:
    onset = "" if rng.random() < _OPEN else rng.choice(_list("onsets"))
    coda = "" if rng.random() < _OPEN else rng.choice(_list("codas"))
    return onset + rng.choice(_list("cores")) + coda
