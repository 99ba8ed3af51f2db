"""Questions about one strip whose answers are computed from its annotations, brief or in a sentence.

Each asker takes a strip and gives a question with its answer, or None where the annotations do not
settle it. A rate is 60 (n - 1) / (last - first) over the strip's beats, rounded to 1/min.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from random import Random
from typing import Any

from models.dataset.anyecg.classes import FINDABLE, Findable, assessed, found, plural
from models.dataset.anyecg.rows import Row, one_ecg, row
from models.dataset.anyecg.timeline import Strip, Timeline, clear
from models.dataset.anyecg.wordings import (
    BURDEN,
    COUNT,
    LONGEST,
    ORDER,
    PRESENT,
    RATE,
    REGULAR,
    RHYTHM,
    RUN,
    WHEN,
    ask,
)

STRIPS = 40  # looked at a recording
ASKED = 4  # questions a strip, at most
REGULAR_SHARE, IRREGULAR_SHARE = 0.10, 0.25  # largest departure from the median RR; between them not asked
FEWEST_BEATS = 5
SINUS_ANNOTATED = frozenset({"mitdb", "cinc2017", "vfdb"})  # elsewhere N only means "none of the others"
_SINUS, _PACED = "sinus rhythm", "paced rhythm"
_RHYTHM_NAMES = {
    "N": _SINUS,
    "P": _PACED,
    **{mark: item.names[0] for item in FINDABLE.values() if item.kind == "rhythm" for mark in item.marks},
}


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the answer the annotations give, and what that rests on."""

    kind: str
    label: str | None  # the class it speaks of
    question: str
    answer: str
    evidence: dict[str, Any] = field(default_factory=dict)


Asker = Callable[[Strip, Random], Asked | None]


def questions(timeline: Timeline, seed: int) -> Iterator[Row]:
    rng = Random(f"{seed}/{timeline.record}/questions")
    for _ in range(min(STRIPS, max(1, int(timeline.seconds // 30)))):
        strip = clear(timeline, rng)
        asked = [said for asker in rng.sample(ASKERS, len(ASKERS)) if (said := asker(strip, rng))]
        for said in asked[:ASKED]:
            question = one_ecg(said.question, rng)
            ecgs = [strip.reference()]
            yield row("question", said.kind, said.label, ecgs, question, said.answer, said.evidence)


def mean_rate(strip: Strip) -> int | None:
    """Beats per minute from the first to the last beat, or None where beats are unknown or too few."""
    beats = strip.beats_s
    if not strip.beats_known or not strip.edges_clear or len(beats) < FEWEST_BEATS:
        return None
    return round(60 * (len(beats) - 1) / (beats[-1] - beats[0]))


def count(item: Findable, strip: Strip) -> int | None:
    """Beats of the class in the strip; None where the annotations leave it open."""
    if not strip.edges_clear or found(item, strip) is None:
        return None
    return sum(symbol in item.marks for symbol in strip.symbols)


def one_rhythm(strip: Strip) -> str | None:
    """The plain name of the rhythm that fills the strip."""
    names = {rhythm.name for rhythm, _, _ in strip.rhythms()}
    if len(names) != 1 or not strip.rhythm_known():
        return None
    name = names.pop()
    if name == "N" and strip.timeline.source not in SINUS_ANNOTATED:
        return None
    return _RHYTHM_NAMES.get(name)


def beats_of(number: int) -> str:
    return f"{number} beat" if number == 1 else f"{number} beats"


def _rate(strip: Strip, rng: Random) -> Asked | None:
    rate = mean_rate(strip)
    if rate is None:
        return None
    brief, question = ask(rng, RATE)
    beats = strip.beats_s
    long = (
        f"{len(beats)} beats lie between {beats[0]:.1f}s and {beats[-1]:.1f}s: the mean rate is {rate}/min."
    )
    return Asked("rate", None, question, f"{rate}/min" if brief else long, {"beats": len(beats)})


def _count(strip: Strip, rng: Random) -> Asked | None:
    item = FINDABLE[rng.choice(("V", "S"))]
    number = count(item, strip)
    if number is None:
        return None
    name, total = plural(rng.choice(item.names)), len(strip.symbols)
    brief, question = ask(rng, COUNT, name=name)
    long = f"{name}: {number} of {beats_of(total)}."
    return Asked("count", item.label, question, str(number) if brief else long, {"beats": total})


def _burden(strip: Strip, rng: Random) -> Asked | None:
    item = FINDABLE[rng.choice(("V", "S"))]
    number, total = count(item, strip), len(strip.symbols)
    if not number or total < 10:
        return None
    name, share = plural(rng.choice(item.names)), round(100 * number / total)
    brief, question = ask(rng, BURDEN, name=name)
    long = f"{number} of {total} beats, {share} %."
    return Asked("burden", item.label, question, f"{share} %" if brief else long, {"n": number})


def _regular(strip: Strip, rng: Random) -> Asked | None:
    if mean_rate(strip) is None:
        return None
    intervals = sorted(b - a for a, b in pairwise(strip.beats_s))
    median = intervals[len(intervals) // 2]
    departure = max(intervals[-1] - median, median - intervals[0]) / median
    if REGULAR_SHARE < departure < IRREGULAR_SHARE:
        return None
    regular = departure <= REGULAR_SHARE
    brief, question = ask(rng, REGULAR)
    word = "regular" if regular else "irregular"
    long = f"{word.capitalize()}: the intervals run from {intervals[0]:.2f} s to {intervals[-1]:.2f} s."
    evidence = {"median_rr": round(median, 3), "departure": round(departure, 3)}
    return Asked("regular", None, question, ("yes" if regular else "no") if brief else long, evidence)


def _present(strip: Strip, rng: Random) -> Asked | None:
    item = rng.choice(assessed(strip.timeline.source))
    spans = found(item, strip)
    if spans is None or (not spans and rng.random() < 0.5):  # most classes are absent most of the time
        return None
    name = plural(rng.choice(item.names))
    brief, question = ask(rng, PRESENT, name=name)
    where = ", ".join(f"{a:.1f}s-{b:.1f}s" for a, b in spans)
    long = f"Yes, {name}: {where}." if spans else f"No, this strip shows no {name}."
    answer = ("yes" if spans else "no") if brief else long
    return Asked("present", item.label, question, answer, {"spans": len(spans)})


def _longest(strip: Strip, rng: Random) -> Asked | None:
    if mean_rate(strip) is None:
        return None
    (length, at), (second, _) = sorted(
        ((b - a, a) for a, b in pairwise(strip.beats_s)), reverse=True
    )[:2]  # fmt: skip
    if length - second < 0.05:  # no single one is the longest
        return None
    brief, question = ask(rng, LONGEST)
    long = f"The longest interval is {length:.1f} s, from {at:.1f}s to {at + length:.1f}s."
    return Asked(
        "longest RR", None, question, f"{length:.1f} s" if brief else long, {"second": round(second, 3)}
    )


def _order(strip: Strip, rng: Random) -> Asked | None:
    ventricular, supra = FINDABLE["V"], FINDABLE["S"]
    if not count(ventricular, strip) or not count(supra, strip):
        return None
    times = {
        name: next(t for t, s in zip(strip.beats_s, strip.symbols, strict=True) if s in item.marks)
        for name, item in (("ventricular", ventricular), ("supraventricular", supra))
    }
    first, second = sorted(times, key=lambda name: times[name])
    brief, question = ask(rng, ORDER)
    long = f"The {first} one, at {times[first]:.1f}s; the first {second} one follows at {times[second]:.1f}s."
    return Asked("order", None, question, first if brief else long)


def _rhythm(strip: Strip, rng: Random) -> Asked | None:
    name = one_rhythm(strip)
    if name is None:
        return None
    brief, question = ask(rng, RHYTHM)
    return Asked("rhythm", None, question, name if brief else f"The strip shows {name} throughout.")


def _run(strip: Strip, rng: Random) -> Asked | None:
    item = FINDABLE["V"]
    if not count(item, strip):
        return None
    runs = [len(list(group)) for wanted, group in groupby(strip.symbols, item.marks.__contains__) if wanted]
    longest = max(runs)
    words = {1: "singly", 2: "in a couplet"}.get(longest, f"in a run of {longest}")
    brief, question = ask(rng, RUN)
    long = f"At most {beats_of(longest)} in a row: premature ventricular beats occur {words}."
    return Asked("run", item.label, question, str(longest) if brief else long)


def _when(strip: Strip, rng: Random) -> Asked | None:
    item = FINDABLE[rng.choice(("V", "S", "F"))]
    if not count(item, strip):
        return None
    at = next(t for t, s in zip(strip.beats_s, strip.symbols, strict=True) if s in item.marks)
    name = rng.choice(item.names)
    brief, question = ask(rng, WHEN, name=name)
    long = f"The first {name} is at {at:.1f}s."
    return Asked("when", item.label, question, f"{at:.1f}s" if brief else long)


ASKERS: tuple[Asker, ...] = (
    *(_rate, _count, _burden, _regular, _present, _longest, _order, _rhythm, _run, _when),
)
