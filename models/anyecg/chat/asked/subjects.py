"""What is asked for, under one of its names: the slots it fills, with verbs that agree."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from random import Random

from models.anyecg.chat.asked.grammar import (
    Part,
    article,
    choose,
    lines,
    plural,
    progressive,
    singular,
    table,
    third,
)

_EPISODES = {
    "rhythm": "(episode|episode|run|stretch|bout|spell|period|phase)*",
    "technical": "(stretch|period|section|part|episode)*",
}
_UNSEEN = 0.15  # of the names in a test
_ONE, _MASS = 0.25, 0.8  # how often `any` takes the singular, and an uncountable name stays one


def slots(rng: Random, label: str, part: Part) -> dict[str, str]:
    """Of a label of names.toml."""
    row = table("names")[label]
    drawn = _name(rng, row, part)
    filled = named(rng, drawn, _EPISODES.get(row["kind"], _EPISODES["rhythm"]))
    if row["kind"] == "rhythm":
        filled["state"] = drawn if "*" not in drawn else choose(rng, rng.choice(_masses(label)))
    if "acts" in row:
        act = choose(rng, rng.choice(lines(row["acts"])))
        filled |= {"act": act.replace("~", ""), "acts": third(act), "acting": progressive(act)}
    return filled


def quantity(rng: Random, name: str, part: Part) -> dict[str, str]:
    """Of a quantity of quantities.toml."""
    return {"q": singular(_name(rng, table("quantities")[name], part))}


def named(rng: Random, name: str, episode: str = _EPISODES["rhythm"]) -> dict[str, str]:
    """The slots of one name; a name without `*` is counted in episodes."""
    counted = name if "*" in name else f"{choose(rng, episode)} of {name}"
    in_episodes = counted != name and rng.random() >= _MASS
    whole = "*" in name or in_episodes
    many = whole and rng.random() >= _ONE
    shown = counted if whole else name
    return {
        "any": plural(shown) if many else singular(shown),
        "topic": plural(shown) if many else singular(shown),
        "kind": singular(name),
        "many": plural(counted),
        "one": singular(counted),
        "a": article(singular(counted if whole else name)) if whole else name,
        **_VERBS[many],
    }


_VERBS: Mapping[bool, Mapping[str, str]] = {
    True: {"are": "are", "were": "were", "do": "do", "have": "have", "s": ""},
    False: {"are": "is", "were": "was", "do": "does", "have": "has", "s": "s"},
}


def _name(rng: Random, row: Mapping[str, str], part: Part) -> str:
    unseen = part == "test" and rng.random() < _UNSEEN
    return choose(rng, rng.choice(lines(row["unseen" if unseen else "names"])))


@cache
def _masses(label: str) -> tuple[str, ...]:
    return tuple(line for line in lines(table("names")[label]["names"]) if "*" not in line)
