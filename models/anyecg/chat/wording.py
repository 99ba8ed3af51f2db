"""Claims as sentences and sentences as claims, by the one table `forms.FORMS`.

`read(say(claim)) == (claim,)` for every wording. A sentence is one or more claims, joined by `; `; what
differs from the table in a single character cannot be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from random import Random
from string import Formatter

from models.anyecg.chat.forms import FORMS
from models.anyecg.chat.slots import SLOTS, Claim, Form, Parts

__all__ = ["FOOTER", "REPORT", "Claim", "facts", "pattern", "read", "say"]

FOOTER = "AI-generated, not yet reviewed. Decision support, not a diagnosis."  # added once, by the caller
REPORT = "Report: "  # what a report's first sentence begins with
_JOIN = "; "
_WHO = re.compile("ECG ([a-z]): ")
_NAMING = {"ecg", "series", "order"}  # slots of forms that name their ECGs themselves


def say(*claims: Claim, rng: Random | None = None) -> str:
    """The sentence of one or more claims: in the canonical wording, or with `rng` in any.

    `ECG b: ` in front stands for all claims of the sentence whose wording names no ECG. ValueError where
    these are of different ECGs, or where one is of a form that stands alone (`slots.Form.bare`).
    """
    texts = []
    for claim in claims:
        wordings = FORMS[claim.kind].wordings
        texts.append(_clause(claim, wordings[0] if rng is None else rng.choice(wordings)))
    return _sentence(claims, texts)


def pattern(*claims: Claim) -> str:
    """A regular expression of all that `say` may make of these claims."""
    written = [[_clause(claim, wording) for wording in FORMS[claim.kind].wordings] for claim in claims]
    who, stop = _around(claims)
    if not who:
        written[0] = [_capital(text) for text in written[0]]
    texts = ["(?:" + "|".join(map(re.escape, some)) + ")" for some in written]
    return who + re.escape(_JOIN).join(texts) + re.escape(stop)


def read(sentence: str) -> tuple[Claim, ...] | None:
    """The claims of a sentence, None where it is not one of the table's. `Report: ` may come first."""
    text = sentence.removeprefix(REPORT)
    who = _WHO.match(text)
    claims: list[Claim] = []
    texts: list[str] = []
    for part in text[who.end() if who else 0 :].removesuffix(".").split(_JOIN):
        found = _reading(part, capital=not claims and not who)
        if found is None:
            return None
        claim, written = found
        claims.append(replace(claim, ecgs=(who[1],)) if who and not _names_ecgs(claim.kind) else claim)
        texts.append(written)
    try:
        return tuple(claims) if _sentence(claims, texts) == text else None
    except ValueError:
        return None


def facts(sentences: Iterable[str]) -> set[tuple[object, ...]]:
    """What sentences say, whatever the wording and the citations; those that cannot be read say nothing."""
    return {
        (c.kind, c.label, c.numbers, c.times, c.leads, c.ecgs, c.dates, c.denied)
        for sentence in sentences
        for c in read(sentence) or ()
    }


def _sentence(claims: Sequence[Claim], texts: Sequence[str]) -> str:
    who, stop = _around(claims)
    return _capital(who + _JOIN.join(texts)) + stop


def _around(claims: Sequence[Claim]) -> tuple[str, str]:
    """What stands before and after the clauses of a sentence."""
    letters = {claim.ecgs for claim in claims if not _names_ecgs(claim.kind)}
    bare = any(FORMS[claim.kind].bare for claim in claims)
    if len(letters) > 1 or (bare and len(claims) > 1):
        raise ValueError("these claims are not of one sentence")
    return "".join(f"ECG {letter}: " for ecgs in letters for letter in ecgs), "" if bare else "."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _reading(text: str, *, capital: bool) -> tuple[Claim, str] | None:
    """The claim written as `text`, and its text without a sentence's capital."""
    texts = {text, text[:1].lower() + text[1:]} if capital else {text}
    for kind, wording in _telling(text):
        for candidate in texts:
            match = _pattern(wording).fullmatch(candidate)
            claim = _claim(kind, FORMS[kind], wording, match) if match else None
            if claim and _clause(claim, wording) == candidate:
                return claim, candidate
    return None


def _telling(text: str) -> Iterator[tuple[str, str]]:
    """(kind, wording) of those whose longest words stand in the text: few are worth a full match."""
    bare = text.lower()
    return ((kind, wording) for kind, wording, words in _longest() if words in bare)


@cache
def _longest() -> tuple[tuple[str, str, str], ...]:
    return tuple(
        (kind, wording, max((words.lower() for words, _ in _pieces(wording)), key=len))
        for kind, form in FORMS.items()
        for wording in form.wordings
    )


def _clause(claim: Claim, wording: str) -> str:
    form = FORMS[claim.kind]
    return "".join(
        literal + (SLOTS[slot].write(claim, form) if slot else "") for literal, slot in _pieces(wording)
    )


def _claim(kind: str, form: Form, wording: str, match: re.Match[str]) -> Claim:
    parts = Parts()
    for _, slot in _pieces(wording):
        reader = SLOTS[slot].read if slot else None
        if slot and reader:
            reader(match[slot], parts)
    return Claim(
        kind=kind,
        label=parts.label,
        numbers=tuple(parts.named[name] for name in form.numbers) or parts.series,
        times=tuple(parts.times),
        leads=parts.leads,
        ecgs=tuple(parts.ecgs),
        dates=parts.dates,
        cites=parts.cites,
    )


def _names_ecgs(kind: str) -> bool:
    return any(slot in _NAMING for _, slot in _pieces(FORMS[kind].wordings[0]))


@cache
def _pieces(wording: str) -> tuple[tuple[str, str | None], ...]:
    """(text, the slot after it)."""
    return tuple((literal, slot) for literal, slot, _, _ in Formatter().parse(wording))


@cache
def _pattern(wording: str) -> re.Pattern[str]:
    return re.compile(
        "".join(
            re.escape(literal) + (f"(?P<{slot}>{SLOTS[slot].pattern})" if slot else "")
            for literal, slot in _pieces(wording)
        )
    )
