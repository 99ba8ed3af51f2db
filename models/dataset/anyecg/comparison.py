"""Two to six strips of one patient compared: counts, rates and rhythms, and how they change.

The strips stand in the order of time where they are of one recording, each under its time in it.
Strips of different recordings carry no time, and no answer speaks of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from random import Random

from models.dataset.anyecg.classes import FINDABLE, Findable, assessed, events, found, plural
from models.dataset.anyecg.questions import Asked, count, mean_rate, one_rhythm
from models.dataset.anyecg.rows import Row, row, several_ecgs
from models.dataset.anyecg.timeline import Strip, Timeline, cut, some_leads
from models.dataset.anyecg.wordings import (
    COMPARE_COUNT,
    COMPARE_FASTEST,
    COMPARE_MOST,
    COMPARE_RATE,
    COMPARE_RHYTHM,
    COMPARE_WHICH,
    say,
)

CHANGES = 20  # of rhythm, a recording
TRIES = 60  # groups of strips looked at a patient
SECONDS = (10, 15, 20, 30)
MOST_STRIPS = 6
CLEAR_COUNT, CLEAR_RATE = 2, 3  # what the first must have more than the second to be called the first

Strips = Sequence[Strip]
Events = list[list[tuple[int, int]]]
Happened = Mapping[str, Events]  # by record
Comparer = Callable[[Strips, Random], Asked | None]


def comparison(timelines: Sequence[Timeline], seed: int) -> Iterator[Row]:
    """Rows over the recordings of one patient."""
    rng = Random(f"{seed}/{timelines[0].patient}/comparison")
    longest = max(timeline.seconds for timeline in timelines)
    happened = {line.record: _happened(line) for line in timelines}
    for _ in range(min(TRIES, int(len(timelines) * longest // 20))):
        strips = _group(timelines, happened, rng)
        if len(strips) < 2:
            continue
        for comparer in (_rhythm, *rng.sample(COMPARERS, len(COMPARERS)), _which):
            if said := comparer(strips, rng):
                yield _row(strips, said)
                break


def rhythm_changes(timeline: Timeline, seed: int) -> Iterator[Row]:
    """The strip before a change of rhythm and the one after it, where both rhythms last 10 s.

    As many neighbouring strips lie within one rhythm: being neighbours must not give the answer away.
    """
    rng = Random(f"{seed}/{timeline.record}/changes")
    shortest = SECONDS[0] * timeline.fs
    lasting = [(a, a.last + 1 - a.first >= shortest) for a in timeline.rhythms]
    changes = [(a, b) for (a, long), (b, too) in pairwise(lasting) if long and too and a.name != b.name]
    for a, b in rng.sample(changes, min(CHANGES, len(changes))):
        lengths = ((r.last + 1 - r.first) / timeline.fs for r in (a, b))
        seconds = float(min(rng.choice(SECONDS), *(int(length) for length in lengths)))
        leads = some_leads(timeline, rng)
        end, onset = (a.last + 1) / timeline.fs, b.first / timeline.fs
        for pair in ((end - seconds, onset), (end - 2 * seconds, end - seconds)):
            strips = [strip for start in pair if (strip := cut(timeline, start, seconds, leads))]
            if len(strips) == 2 and (said := _rhythms(strips, rng) or _which(strips, rng)):
                yield _row(strips, said)


def _row(strips: Strips, said: Asked) -> Row:
    question = several_ecgs(_titles(strips), said.question)
    ecgs = [strip.reference() for strip in strips]
    return row("comparison", said.kind, said.label, ecgs, question, said.answer, said.evidence)


def _group(timelines: Sequence[Timeline], happened: Happened, rng: Random) -> list[Strip]:
    """Strips of equal length that do not overlap, of one recording in two groups of three."""
    seconds, many = float(rng.choice(SECONDS)), rng.choice((2, 2, 2, 3, 4, 5, MOST_STRIPS))
    chosen = [rng.choice(timelines)] if rng.random() < 2 / 3 else list(timelines)
    leads = some_leads(chosen[0], rng)
    strips: list[Strip] = []
    for _ in range(6 * many):
        timeline = rng.choice(chosen)
        start = _start(timeline, happened[timeline.record], seconds, rng)
        strip = cut(timeline, start, seconds, leads) if set(leads) <= set(timeline.leads) else None
        clear = strip is not None and (strip.edges_clear or not timeline.beats_known)
        if strip and clear and not any(_overlap(strip, other) for other in strips):
            strips.append(strip)
        if len(strips) == many:
            break
    return sorted(strips, key=lambda strip: (strip.timeline.record, strip.first))


def _happened(timeline: Timeline) -> Events:
    """The events of each class that occurs in the recording."""
    return [some for item in assessed(timeline.source) if (some := events(item, timeline))]


def _start(timeline: Timeline, happened: Events, seconds: float, rng: Random) -> float:
    """Anywhere, or up to, across or from the edge of an event, so that there is something to compare."""
    start = rng.random() * max(timeline.seconds - seconds, 0.0)
    if happened and rng.random() < 0.5:
        edge = rng.choice(rng.choice(happened))[rng.randrange(2)] / timeline.fs
        start = edge - seconds * rng.choice((1.0, rng.random(), 0.0))
    return min(max(start, 0.0), max(timeline.seconds - seconds, 0.0))


def _overlap(a: Strip, b: Strip) -> bool:
    return a.timeline is b.timeline and a.first <= b.last and b.first <= a.last


def _titles(strips: Strips) -> list[str]:
    if len({strip.timeline.record for strip in strips}) > 1:
        return [f"Strip {n}" for n in range(1, len(strips) + 1)]
    return [f"Strip {n}, {_clock(strip.start)}" for n, strip in enumerate(strips, 1)]


def _clock(seconds: float) -> str:
    whole = int(seconds)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d} into the recording"


def _named(item: Findable, rng: Random) -> str:
    return plural(rng.choice(item.names))


def _counts(strips: Strips, rng: Random) -> tuple[Findable, list[int]] | None:
    """Counts of V or S in each strip, where all are known and one is not zero."""
    item = FINDABLE[rng.choice(("V", "S"))]
    counts = [number for strip in strips if (number := count(item, strip)) is not None]
    return (item, counts) if len(counts) == len(strips) and any(counts) else None


def _count(strips: Strips, rng: Random) -> Asked | None:
    known = _counts(strips, rng)
    if known is None:
        return None
    item, counts = known
    listed = ", ".join(f"strip {n}: {number}" for n, number in enumerate(counts, 1))
    change = ""
    if len(counts) == 2:
        more = counts[1] - counts[0]
        change = " No change." if not more else f" {abs(more)} {'more' if more > 0 else 'fewer'} in strip 2."
    question = say(rng, COMPARE_COUNT, name=_named(item, rng))
    return Asked("counts", item.label, question, listed.capitalize() + "." + change, {"counts": counts})


def _most(strips: Strips, rng: Random) -> Asked | None:
    known = _counts(strips, rng)
    if known is None or len(strips) < 3:
        return None
    item, counts = known
    best = _clear_first(counts, CLEAR_COUNT)
    if best is None:
        return None
    question = say(rng, COMPARE_MOST, name=_named(item, rng))
    answer = f"Strip {best + 1}, with {counts[best]}."
    return Asked("most", item.label, question, answer, {"counts": counts})


def _rates(strips: Strips) -> list[int] | None:
    rates = [rate for strip in strips if (rate := mean_rate(strip)) is not None]
    return rates if len(rates) == len(strips) else None


def _rate(strips: Strips, rng: Random) -> Asked | None:
    rates = _rates(strips)
    if rates is None or len(strips) != 2:
        return None
    faster = rates[1] - rates[0]
    change = f"{abs(faster)}/min {'faster' if faster > 0 else 'slower'}" if faster else "no change"
    answer = f"From {rates[0]}/min in strip 1 to {rates[1]}/min in strip 2: {change}."
    return Asked("rates", None, say(rng, COMPARE_RATE), answer, {"rates": rates})


def _fastest(strips: Strips, rng: Random) -> Asked | None:
    rates = _rates(strips)
    best = _clear_first(rates, CLEAR_RATE) if rates and len(strips) > 2 else None
    if rates is None or best is None:
        return None
    answer = f"Strip {best + 1}, with {rates[best]}/min."
    return Asked("fastest", None, say(rng, COMPARE_FASTEST), answer, {"rates": rates})


def _clear_first(numbers: Sequence[int], margin: int) -> int | None:
    """The index of the largest, where it is larger than the next by the margin."""
    ranked = sorted(range(len(numbers)), key=lambda index: -numbers[index])
    return ranked[0] if numbers[ranked[0]] - numbers[ranked[1]] >= margin else None


def _rhythm(strips: Strips, rng: Random) -> Asked | None:
    """Mostly where it changes: in most recordings it is the same all the time."""
    said = _rhythms(strips, rng)
    return said if said and (len(set(said.evidence["rhythms"])) > 1 or rng.random() < 0.1) else None


def _rhythms(strips: Strips, rng: Random) -> Asked | None:
    names = [name for strip in strips if (name := one_rhythm(strip))]
    if len(names) != len(strips):
        return None
    listed = ", ".join(f"strip {n}: {name}" for n, name in enumerate(names, 1))
    answer = f"{names[0].capitalize()} in all." if len(set(names)) == 1 else f"{listed.capitalize()}."
    return Asked("rhythms", None, say(rng, COMPARE_RHYTHM), answer, {"rhythms": names})


def _which(strips: Strips, rng: Random) -> Asked | None:
    item = rng.choice(assessed(strips[0].timeline.source))
    spans = [found(item, strip) for strip in strips]
    if None in spans or not any(spans) or (all(spans) and rng.random() < 0.6):
        return None
    there = [str(n) for n, span in enumerate(spans, 1) if span]
    absent = [str(n) for n, span in enumerate(spans, 1) if not span]
    question = say(rng, COMPARE_WHICH, name=_named(item, rng))
    answer = f"{_strips(there)}; not in {_strips(absent).lower()}." if absent else "In all of them."
    return Asked("which", item.label, question, answer, {"present": [bool(span) for span in spans]})


def _strips(numbers: Sequence[str]) -> str:
    listed = ", ".join(numbers[:-1]) + " and " + numbers[-1] if len(numbers) > 1 else numbers[0]
    return f"Strip{'s' if len(numbers) > 1 else ''} {listed}"


COMPARERS: tuple[Comparer, ...] = (_count, _most, _rate, _fastest, _which)
