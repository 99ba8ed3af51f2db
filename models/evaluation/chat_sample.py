"""Which readings are asked about: held out, spread evenly over what experts said; and each one's stranger."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from random import Random
from typing import TypeVar

from models.anyecg.chat.readings import Reading
from models.errors import RecordingError
from models.evaluation.chat_facts import Facts, annotated

Item = TypeVar("Item")
HELD_OUT = 0  # the fold whose patients neither the language model nor its eyes learned from
LENGTH_S = 5.0  # two strips this near in length are as good as equally long
QUALITY = 0.1  # difference of the shares that could not be analysed


def held_out(readings: Sequence[Reading], fold: int = HELD_OUT) -> list[Reading]:
    """Those of the fold; of a patient with a record in another fold none."""
    learned = {reading.patient for reading in readings if reading.fold != fold}
    found = [reading for reading in readings if reading.fold == fold and reading.patient not in learned]
    if not found:
        raise RecordingError(f"No reading of fold {fold}; prepare more of them: anyecg train chat.")
    return found


def drawn(readings: Sequence[Reading], size: int, seed: int) -> list[Reading]:
    """`size` of them (all where there are fewer): one of each kind of truth in turn."""
    return in_turn(readings, _kind, size, Random(seed))


def in_turn(items: Sequence[Item], key: Callable[[Item], Hashable], size: int, rng: Random) -> list[Item]:
    """One of each group in turn, so that rare ones weigh as much as frequent ones."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(repr(key(item)), []).append(item)
    waiting = [rng.sample(groups[name], len(groups[name])) for name in sorted(groups)]
    out: list[Item] = []
    while any(waiting) and len(out) < size:
        out += [group.pop() for group in waiting if group]
    return out[:size]


def truth_of(reading: Reading) -> Facts:
    """What experts said of it; nothing where the signal was spoilt after they had spoken."""
    return Facts() if spoilt(reading) else annotated(reading.truth, seconds_of(reading))


def spoilt(reading: Reading) -> bool:
    return reading.truth is not None and reading.truth.spoilt is not None


def seconds_of(reading: Reading) -> float:
    return reading.evidence.end - reading.evidence.start


def strangers(readings: Sequence[Reading], among: Sequence[Reading], seed: int) -> list[Reading | None]:
    """For each reading one of another patient, of equal quality, similar length and as much annotated."""
    rng = Random(seed)
    return [_stranger(reading, among, rng) for reading in readings]


def _stranger(reading: Reading, others: Sequence[Reading], rng: Random) -> Reading | None:
    fitting = [other for other in others if other.patient != reading.patient and _alike(reading, other)]
    if not fitting:
        return None
    nearest = min(_apart(reading, other) for other in fitting)
    return rng.choice([o for o in fitting if _apart(reading, o) <= max(nearest, LENGTH_S)])


def _alike(a: Reading, b: Reading) -> bool:
    return abs(_dark(a) - _dark(b)) <= QUALITY and _told(a) == _told(b)


def _apart(a: Reading, b: Reading) -> float:
    return abs(seconds_of(a) - seconds_of(b))


def _dark(reading: Reading) -> float:
    """The share that could not be analysed."""
    return (reading.evidence.value("NOT_ANALYSED") or 0.0) / seconds_of(reading)


def _told(reading: Reading) -> tuple[bool, ...]:
    """Which facts experts stated."""
    facts = truth_of(reading)
    return facts.rhythm is not None, facts.rate is not None, facts.ectopy is not None


def _kind(reading: Reading) -> tuple[str | None, ...]:
    facts = truth_of(reading)
    return facts.rhythm, facts.ectopy
