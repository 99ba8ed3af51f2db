"""Which ECG is meant, in words: `in this strip`, `the second ECG`, `ECG b`, `the one of 2024-05-01`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date
from random import Random

from models.anyecg.chat.asked.grammar import choose, fill, lines, table

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "MLII")
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six"}
_DATED = 0.5  # of the references to an ECG with a date
_ISO = 0.7


@dataclass(frozen=True, slots=True)
class Places:
    """The ECGs given (letters in order, ISO dates or none) and the one asked about (None: all of them)."""

    rng: Random
    letters: Sequence[str]
    dates: Sequence[str]
    ecg: str | None
    thing: str = ""  # what is called so instead of an ECG

    @property
    def several(self) -> bool:
        return len(self.letters) > 1

    def slots(self, wanted: Collection[str]) -> dict[str, str]:
        """Of those wanted: `ecg`, `ecgs`, `this` (for a verb in the singular), `here` (with its preposition),
        `between` (what is compared)."""
        made = {"this": self.this, "here": self.here, "between": self.between}
        filled = {name: made[name]() for name in made if name in wanted}
        return {**self._nouns(), **filled} if {"ecg", "ecgs"} & set(wanted) else filled

    def this(self) -> str:
        if self.ecg:
            return self.that(self.ecg)
        return self._of("this_all" if self.several else "this_single")

    def here(self) -> str:
        if self.ecg:
            return f"in {self.that(self.ecg)}"
        return self._of("all" if self.several else "single")

    def that(self, letter: str) -> str:
        """One ECG among those given."""
        place = self.letters.index(letter)
        shown = self.dates[place] if self.dates else None
        if shown and list(self.dates).count(shown) == 1 and self.rng.random() < _DATED:
            return self._of("dated", date=_written(self.rng, shown))
        last = self.several and place == len(self.letters) - 1 and self.rng.random() < 0.2
        return self._of(
            "one_of",
            nth="last" if last else ORDINALS[place],
            letter=letter,
            LETTER=letter.upper(),
            number=str(place + 1),
        )

    def between(self) -> str:
        if self.several and self.rng.random() < 0.5:
            ends = {"first": self.that(self.letters[0]), "last": self.that(self.letters[-1])}
            return self._of("between_two", **ends)
        return self._of("between")

    def around(self, text: str, when: str) -> str:
        """A question with its ECG named `before` or `after` it."""
        assert self.ecg is not None
        return self._of(when, x=text, that=self.that(self.ecg))

    def _of(self, name: str, **slots: str) -> str:
        template = choose(self.rng, self.rng.choice(lines(table("frames")["places"][name])))
        return fill(template, {**self._nouns(), "lead": self.rng.choice(_LEADS), **slots})

    def _nouns(self) -> dict[str, str]:
        noun = self.thing or self.rng.choice(lines(table("frames")["nouns"]["one"]))
        count = _NUMBERS.get(len(self.letters), str(len(self.letters)))
        return {"ecg": noun, "ecgs": f"{noun}s", "n": count}


def _written(rng: Random, iso: str) -> str:
    """A date as people write it."""
    if rng.random() < _ISO:
        return iso
    day = date.fromisoformat(iso)
    month = day.strftime("%B")
    return f"{day.day} {month} {day.year}" if rng.random() < 0.5 else f"{month} {day.day}, {day.year}"
