"""Strips of 10 to 60 s drawn from annotated records, each with the question where one type occurs.

Two ways to place a positive strip: `paper`, as anyECG-chat's dataset does (arXiv 2506.00942), so that the
event's interval begins within 2 s; and `anywhere`. Two of three strips last 10 s. What is drawn follows from
the names of record, type and protocol alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from models.dataset.annotated import Annotated
from models.dataset.anyecg.intervals import Span, clipped, target_spans
from models.evaluation.beats import AAMI
from models.evaluation.folder import Case
from models.evaluation.rhythms import known_spans, spans_of
from models.evaluation.served import Served, cut
from models.recordings import Recording

BEAT_TYPES: Mapping[str, frozenset[str]] = {
    "V": frozenset(s for s, label in AAMI.items() if label == "V"),
    "S": frozenset(s for s, label in AAMI.items() if label == "S"),
    "L": frozenset("L"),
    "R": frozenset("R"),
}
RHYTHM_TYPES: Mapping[str, tuple[str, ...]] = {"AFIB": ("AFIB", "AFL")}
TYPES = (*BEAT_TYPES, *RHYTHM_TYPES)
PROTOCOLS = ("paper", "anywhere")
SHORT_S, LONG_S = 10, 60
LONG_SHARE = 1 / 3
EARLY_S = 2.0
DRAWS = 40  # to find a strip without the type


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A question and its true answer, in seconds from the strip's start."""

    record: str
    kind: str  # of TYPES
    protocol: str
    first: int
    last: int
    fs: float
    leads: tuple[int, ...]
    answer: tuple[Span, ...]

    @property
    def seconds(self) -> float:
        return (self.last + 1 - self.first) / self.fs


def strips_of(case: Case, count: int, leads: tuple[int, ...] | None = None) -> Iterator[Strip]:
    """Up to `count` positive and as many negative strips by type and protocol; nothing of what is not
    annotated. Without `leads` every other strip has the first lead alone."""
    for protocol in PROTOCOLS:
        for kind in _answerable(case.truth):
            rng = np.random.default_rng(zlib.crc32(f"{case.truth.record} {kind} {protocol}".encode()))
            drawn = [*_positives(case, kind, protocol, count, rng), *_negatives(case, kind, count, rng)]
            every = tuple(range(len(case.recording.leads)))
            for i, (first, last) in enumerate(drawn):
                yield Strip(
                    record=case.truth.record,
                    kind=kind,
                    protocol=protocol,
                    first=first,
                    last=last,
                    fs=case.truth.fs,
                    leads=leads or (every if i % 2 else every[:1]),
                    answer=_answer(case.truth, kind, first, last),
                )


def alone(recording: Recording, strip: Strip) -> Recording:
    """The strip as a recording of its own: nothing of what surrounds it is known."""
    return cut(recording, strip.first, strip.last, strip.leads)


def said_spans(served: Served, kind: str) -> tuple[Span, ...]:
    """The served answer: the paper's interval rule around the beats said, or the episodes said."""
    end = served.samples / served.fs
    if kind in RHYTHM_TYPES:
        return clipped(
            [
                (e.first / served.fs, (e.last + 1) / served.fs)
                for e in served.episodes
                if e.label in RHYTHM_TYPES[kind]
            ],
            0.0,
            end,
        )
    said = [beat for beat in served.beats if beat.readable]
    wanted = [beat.label == kind or beat.morphology == kind for beat in said]
    return target_spans([beat.r / served.fs for beat in said], wanted, 0.0, end)


def _answerable(truth: Annotated) -> list[str]:
    beats = [*BEAT_TYPES] if "beats" in truth.labelled else []
    return beats + ([*RHYTHM_TYPES] if known_spans(truth) else [])


def _answer(truth: Annotated, kind: str, first: int, last: int) -> tuple[Span, ...]:
    start, end = first / truth.fs, (last + 1) / truth.fs
    if kind in RHYTHM_TYPES:
        spans = spans_of(truth, *RHYTHM_TYPES[kind])
        return clipped([(a / truth.fs, (b + 1) / truth.fs) for a, b in spans], start, end)
    targets = np.isin(truth.symbols, list(BEAT_TYPES[kind])).tolist()
    return target_spans((truth.beats / truth.fs).tolist(), targets, start, end)


def _positives(
    case: Case, kind: str, protocol: str, count: int, rng: np.random.Generator
) -> Iterator[tuple[int, int]]:
    """Strips over events drawn at random, without doubles."""
    truth, length = case.truth, case.recording.counts.shape[1]
    events = _events(truth, kind)
    if not events:
        return
    for i in rng.permutation(len(events))[:count]:
        begins, at = events[int(i)]
        seconds = _seconds(rng)
        back = rng.uniform(0, EARLY_S) if protocol == "paper" else rng.uniform(0.05, 0.95) * seconds
        start = begins if protocol == "paper" else at
        placed = _placed(start - back * truth.fs, seconds, truth.fs, length)
        if placed and _answer(truth, kind, *placed):
            yield placed


def _events(truth: Annotated, kind: str) -> list[tuple[int, int]]:
    """(where its interval begins, the event itself), samples: for a beat the R peak before it and its own."""
    if kind in RHYTHM_TYPES:
        return [(first, first) for first, _ in spans_of(truth, *RHYTHM_TYPES[kind])]
    where = np.flatnonzero(np.isin(truth.symbols, list(BEAT_TYPES[kind])))
    return [(int(truth.beats[max(0, i - 1)]), int(truth.beats[i])) for i in where.tolist()]


def _negatives(case: Case, kind: str, count: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    truth, length = case.truth, case.recording.counts.shape[1]
    found = 0
    for _ in range(DRAWS):
        seconds = _seconds(rng)
        placed = _placed(rng.uniform(0, length), seconds, truth.fs, length)
        if found < count and placed and not _answer(truth, kind, *placed):
            found += 1
            yield placed


def _seconds(rng: np.random.Generator) -> int:
    return int(rng.integers(SHORT_S, LONG_S + 1)) if rng.random() < LONG_SHARE else SHORT_S


def _placed(start: float, seconds: int, fs: float, length: int) -> tuple[int, int] | None:
    """Moved into the record; None where that is too short."""
    samples = round(seconds * fs)
    if samples > length:
        return None
    first = min(max(0, round(start)), length - samples)
    return first, first + samples - 1
