"""Stretches of recordings that are asked about: named, found, cut out, and each read once.

    desk = Desk(Small(), read)
    consultation, readings = desk.consult([reference("mitdb/208@60-90")])

Times are in seconds of the recording, in what is asked for and in what is answered.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase

from models.anyecg.chat.batch import MOST, EcgRef
from models.anyecg.chat.consultation import Consultation
from models.anyecg.chat.invented import Placed
from models.anyecg.chat.prompt import LONGEST
from models.anyecg.chat.readings import Read, Reading
from models.anyecg.chat.runtime import MOST_TOKENS, Chat
from models.errors import RecordingError, UsageError
from models.evaluation.served import cut
from models.recordings import EXCERPT, Recording, lead_name, open_recording

LEAST_S = 2.0
FACTS = 200  # tokens, at least about, of what is found of an ECG
SLACK_S = 0.1  # a stretch ends with the recording where its rounded length is given
EXCERPT_OF = "mitdb/208"
OTHERS = "These ECGs are of different records: a difference between them need be no change of one heart."
OPEN, KEPT, HEARD = 4, 64, 4  # recordings, readings and consultations that are kept


@dataclass(frozen=True, slots=True)
class Stretch:
    """Samples of a recording, both included, and the leads by their index."""

    record: str  # as it can be opened
    first: int
    last: int
    leads: tuple[int, ...]
    seconds: float


def reference(text: str, leads: Sequence[str] | None = None) -> EcgRef:
    """Of `RECORD`, `RECORD@FROM-TO`, `RECORD@FROM-` or `RECORD@-TO`; UsageError where it is none."""
    folder, slash, name = text.rpartition("/")
    record, at, span = name.rpartition("@")
    begin, end = _span(text, record, span) if at else (None, None)
    record = folder + slash + record if at else text
    if not record:
        raise UsageError("An ECG without a record; give RECORD, or RECORD@FROM-TO.")
    return EcgRef(
        record=record,
        start=float(begin or 0),
        end=None if end is None else float(end),
        leads=None if leads is None else tuple(leads),
    )


def _span(text: str, record: str, span: str) -> tuple[str | None, str | None]:
    number = r"(\d+(?:\.\d*)?|\.\d+)?"
    found = re.fullmatch(f"{number}-{number}", span)
    if found is None or not any(found.groups()):
        raise UsageError(
            f"{text}: after @ come seconds of the recording, FROM-TO, for example {record or 'RECORD'}@60-90."
        )
    if not all(math.isfinite(float(second or 0)) for second in found.groups()):
        raise UsageError(f"{text}: no recording is that long.")
    return found[1], found[2]


def stretch_of(recording: Recording, asked: EcgRef) -> Stretch:
    """RecordingError where the recording has no such seconds or leads."""
    whole, name = recording.duration_s, asked.record
    end = whole if asked.end is None else asked.end
    if asked.start >= end:
        raise RecordingError(f"{name}: {asked.start:g} s is not before {end:g} s; it lasts {whole:g} s.")
    if end > whole + SLACK_S:
        raise RecordingError(f"{name} lasts {whole:g} s; {asked.start:g}-{end:g} s goes beyond its end.")
    first, after = round(asked.start * recording.fs), round(min(end, whole) * recording.fs)
    if after - first < LEAST_S * recording.fs:
        seconds = (after - first) / recording.fs
        raise RecordingError(f"{name}: {seconds:g} s are too short; {LEAST_S:g} s are the least.")
    leads = _leads(recording, asked)
    return Stretch(asked.record, first, after - 1, leads, (after - first) / recording.fs)


def _leads(recording: Recording, asked: EcgRef) -> tuple[int, ...]:
    if asked.leads is None:
        return tuple(range(len(recording.leads)))
    wanted = list(dict.fromkeys(lead_name(lead) for lead in asked.leads))
    for lead in wanted:
        if lead not in recording.leads:
            raise RecordingError(f"{asked.record} has no lead {lead}; it has {', '.join(recording.leads)}.")
    return tuple(recording.leads.index(lead) for lead in wanted)


class Desk:
    """ECGs on which a language model is consulted; what was opened or read is kept for a while.

    `read` is told the record as folds name it, "mitdb/208". A record that is not in the current folder may be
    in `folder`. `say` hears of each ECG that is about to be read.
    """

    def __init__(
        self, chat: Chat, read: Read, folder: Path = Path(), say: Callable[[str], None] = lambda _: None
    ) -> None:
        self._chat, self._network, self._folder, self._say = chat, read, folder, say
        self._open = lru_cache(OPEN)(open_recording)
        self._read = lru_cache(KEPT)(self._read_now)
        self._consult = lru_cache(HEARD)(self._consult_now)

    def consult(self, asked: Sequence[EcgRef]) -> tuple[Consultation, Sequence[Reading]]:
        """RecordingError or UsageError before anything is read, where what is asked for is not there."""
        return self._consult(tuple(asked))

    def _consult_now(self, asked: tuple[EcgRef, ...]) -> tuple[Consultation, Sequence[Reading]]:
        if not 1 <= len(asked) <= MOST:
            raise UsageError(f"{len(asked)} ECGs at once; one to {MOST} can be asked about together.")
        refs = [ref.model_copy(update={"record": self._found(ref.record)}) for ref in asked]
        stretches = [stretch_of(self._open(ref.record), ref) for ref in refs]
        _short_enough(stretches)
        begun = [self._begin(stretch) for stretch in stretches]
        one = len({stretch.record for stretch in stretches}) == 1
        dates = in_order(begun, [_date(utc) for utc in begun]) if one else [None] * len(begun)
        readings = [self._placed(i, stretch, dates[i]) for i, stretch in enumerate(stretches)]
        return Consultation(self._chat, readings), readings

    def _found(self, record: str) -> str:
        """Where it is; as it was given where it is nowhere."""
        paths = [] if record == EXCERPT else [Path(record), self._folder / record]
        for path in (path for path in paths if path.name):
            header, edf = (path.with_name(f"{path.name}.{kind}") for kind in ("hea", "edf"))
            if header.is_file() or path.is_file():
                return str(path)
            if edf.is_file():
                return str(edf)
        return record

    def _begin(self, stretch: Stretch) -> float | None:
        """UTC."""
        recording = self._open(stretch.record)
        return None if recording.start_utc is None else recording.start_utc + stretch.first / recording.fs

    def _placed(self, place: int, stretch: Stretch, date: str | None) -> Reading:
        recording = self._open(stretch.record)
        start = stretch.first / recording.fs
        span = f"{start:g}-{start + stretch.seconds:g} s"
        self._say(f"Reading ECG {ascii_lowercase[place]}: {stretch.record}, {span}.")
        reading = self._read(stretch)
        evidence = Placed(place, start, date).of(reading.evidence)
        return replace(reading, start=round(start, 3), evidence=evidence)

    def _read_now(self, stretch: Stretch) -> Reading:
        recording = self._open(stretch.record)
        return self._network(
            cut(recording, stretch.first, stretch.last, stretch.leads), _name(stretch.record, recording)
        )


def _name(record: str, recording: Recording) -> str:
    """As folds of a training name it."""
    return EXCERPT_OF if record == EXCERPT else f"{Path(record).resolve().parent.name}/{recording.patch_id}"


def _date(utc: float | None) -> str | None:
    return None if utc is None else f"{datetime.fromtimestamp(utc, UTC):%Y-%m-%d %H:%M}"


def in_order(utcs: Sequence[float | None], dates: Sequence[str | None]) -> list[str | None]:
    """The dates of several ECGs as far as they tell the order: none where two are alike, or turned about by a
    clock that goes back."""
    both = zip(utcs, dates, strict=True)
    known = [date for _, date in sorted((utc, date) for utc, date in both if utc is not None and date)]
    told = len(dates) > 1 and all(a < b for a, b in pairwise(known))
    return list(dates) if told else [None] * len(dates)


def room(ecgs: int) -> int:
    """Seconds that so many ECGs may last together, about."""
    return LONGEST - MOST_TOKENS - FACTS * ecgs


def _short_enough(stretches: Sequence[Stretch]) -> None:
    """Before much time is spent on reading what the language model has no room for."""
    seconds, most = sum(stretch.seconds for stretch in stretches), room(len(stretches))
    if seconds > most:
        many = "This ECG lasts" if len(stretches) == 1 else "These ECGs last together"
        raise UsageError(f"{many} {seconds:.0f} s; {most} s are the most: give a stretch, RECORD@FROM-TO.")
