"""The notation of the tables: `(a|b)` is one of both, `{slot}` is filled in, `*` takes the plural."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Literal

Part = Literal["train", "test"]
_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")
_AN = re.compile(r"[aeioAEIO]|u(?!ni)|[FHLMNRSX](?![a-z])")  # a PVC, an SVES, an AV block, a uniform one


@cache
def table(name: str) -> Mapping[str, Any]:
    """A table of this folder."""
    return tomllib.loads((Path(__file__).parent / f"{name}.toml").read_text(encoding="utf-8"))


@cache
def lines(text: str) -> tuple[str, ...]:
    """The templates of a block, one a line."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def choose(rng: Random, template: str) -> str:
    """The template with every choice made."""
    while "(" in template:
        made = _CHOICE.sub(lambda match: rng.choice(match[1].split("|")), template)
        if made == template:
            break
        template = made
    return " ".join(template.split())  # a choice may be nothing


def variants(template: str) -> Iterator[str]:
    """The template with its choices made in every way."""
    found = _CHOICE.search(template)
    if found is None:
        yield " ".join(template.split())
        return
    for option in found[1].split("|"):
        yield from variants(template[: found.start()] + option + template[found.end() :])


def fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with its slots filled. KeyError for a slot that nothing fills."""
    return _SLOT.sub(lambda match: slots[match[1]], template)


@cache
def slots_of(template: str) -> frozenset[str]:
    return frozenset(_SLOT.findall(template))


def article(name: str) -> str:
    return f"{'an' if _AN.match(name) else 'a'} {name}"


def singular(name: str) -> str:
    return name.replace("*", "")


def plural(name: str) -> str:
    """`beat* from the atria` as `beats from the atria`."""
    return re.sub(r"(\S*)\*", lambda match: _plural(match[1]), name)


def _plural(word: str) -> str:
    if word.endswith("stimulus"):
        return "stimuli"
    if re.search(r"(s|x|ch|sh)$", word):
        return f"{word}es"
    return f"{word[:-1]}ies" if re.search(r"[^aeiou]y$", word) else f"{word}s"


def third(act: str) -> str:
    """`the heart race~` as `the heart races`."""
    return re.sub(r"(\S+)~", lambda m: f"{m[1]}es" if re.search(r"(o|s|x|ch|sh)$", m[1]) else f"{m[1]}s", act)


def progressive(act: str) -> str:
    """`the heart race~` as `the heart racing`."""
    return re.sub(r"(\S+)~", lambda match: _ing(match[1]), act)


def _ing(verb: str) -> str:
    if re.search(r"[^aeiou][aeiou]p$", verb):
        verb += "p"
    return f"{verb[:-1]}ing" if verb.endswith("e") else f"{verb}ing"
