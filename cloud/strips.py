"""Strips that are asked about or reported, and what the language model is told and shown of them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from string import ascii_lowercase

from cloud.config import RuleConfig
from cloud.reading import between, read
from cloud.store import Episode, Store
from models.anyecg.chat.eyes import Eyes
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.stretches import in_order
from models.anyecg.evidence import Evidence, Span
from models.anyecg.localizer import Localizer
from models.ecg import Segment

Hands = frozenset[str | None]  # ids of all who had a patch; None is nobody
KEPT = 32  # readings in memory; any of them can be made again from the store


@dataclass(frozen=True, slots=True)
class Strip:
    """What of an episode is wanted: samples, both included, the parts that hold them, and the rules in
    force for each."""

    episode: Episode
    first: int
    last: int
    parts: tuple[Segment, ...]
    rules: tuple[RuleConfig, ...] = ()

    @property
    def bounds(self) -> Span:
        """Seconds of the patch's own clock."""
        return self.first / self.episode.fs, (self.last + 1) / self.episode.fs

    @property
    def date(self) -> str | None:
        """Of its first sample, by the clinic's clock; None where it is not known."""
        utc = self.episode.utc(self.first)
        return None if utc is None else f"{datetime.fromtimestamp(utc, UTC).astimezone():%Y-%m-%d %H:%M}"


def one_heart(worn: Iterable[tuple[str, Hands]]) -> bool:
    """Whether ECGs, each of a patch and of those who had it meanwhile, are known to be of one: of one
    patient, or of one patch that is on nobody."""
    patches, hands = zip(*worn, strict=True)
    people = frozenset[str | None]().union(*hands)
    return len(people) == 1 and (None not in people or len(set(patches)) == 1)


def dates(strips: Sequence[Strip]) -> list[str | None]:
    """Of several strips of one heart, as far as they tell the order."""
    return in_order([strip.episode.utc(strip.first) for strip in strips], [strip.date for strip in strips])


class Readings:
    """Strips of the store as the language model is told and shown them; the newest are kept."""

    def __init__(self, store: Store, localizer: Localizer, eyes: Eyes, rules: RuleConfig) -> None:
        self._store, self._localizer, self._eyes, self._rules = store, localizer, eyes, rules
        self._kept: OrderedDict[tuple[object, ...], Reading] = OrderedDict()
        self._lock = threading.Lock()

    def strip(self, episode: Episode, first: int, last: int) -> Strip:
        """Of the samples that have come of it, those from `first` to `last`."""
        parts = tuple(between(self._store.parts(episode.id), first, last))
        own = (self._store.patient_rules.of_part(part.id, self._rules) for part in parts)
        return Strip(episode, first, last, parts, tuple(force.thresholds for force in own))

    def of(self, strip: Strip) -> Reading:
        """As the first of those asked about; RecordingError where none of its samples is held."""
        key = (strip.first, strip.last, strip.rules, *(part.id for part in strip.parts))
        with self._lock:
            reading = self._kept.pop(key, None)
        reading = reading or read(strip.parts, self._localizer, self._eyes, strip.rules, bounds=strip.bounds)
        with self._lock:
            self._kept[key] = reading
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return reading


def placed(reading: Reading, place: int, date: str | None) -> Reading:
    """The reading as the one at `place`, with its date."""
    return replace(reading, evidence=lettered(reading.evidence, place, date))


def lettered(known: Evidence, place: int, date: str | None) -> Evidence:
    """What is known of an ECG, as of the one at `place`."""
    letter = ascii_lowercase[place]
    facts = tuple(replace(fact, id=letter + fact.id[1:]) for fact in known.facts)
    return replace(known, letter=letter, facts=facts, date=date)
