"""Strips of development records: where events are and where none is, some spoilt, with what experts said.

What is drawn of a record follows from its name and the seed alone.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.anyecg.chat.eyes import Signal
from models.dataset.annotated import Annotated, cinc2017, cpsc2021, cudb_vf, mitdb, nstdb, svdb, vfdb
from models.dataset.atrial import afpdb
from models.ecg import Mask, Microvolts, boot_id_of, read_only, spans_to_mask
from models.evaluation.beats import AAMI
from models.evaluation.noise import Noise, noisy
from models.recordings import Recording, make_recording

SIZE = 2400  # strips, of which a record of each database gives so many:
SHARES: Mapping[str, int] = {"mitdb": 24, "svdb": 10, "cpsc2021": 20, "cudb-vf": 8, "vfdb": 20, "afpdb": 3}
CINC_EVERY = 5  # of the strips of CinC 2017 one in so many is taken
LEAST_S = 9.0
EVENT_SHARE = 0.6  # of a record's strips are laid over an event, the kinds it holds in turn
LENGTHS = ((0.25, 10, 11), (0.55, 10, 41), (0.15, 40, 61), (0.05, 60, 121))  # share, s, s
EVENTS: Mapping[str, str] = {
    **{symbol: label for symbol, label in AAMI.items() if label in {"V", "S"}},
    **dict.fromkeys(("AFIB", "AFL"), "AFIB"),
    **{name: name for name in ("VT", "B", "T", "SVTA")},
    "VFL": "VF",
}
PAUSE_S = 2.5
EVERY_BEAT = frozenset({"mitdb", "svdb", "cpsc2021"})  # elsewhere beats are unaudited or not all marked
SPOILT: Mapping[str, float] = {"noise": 0.09, "gap": 0.04, "lead off": 0.04, "flat": 0.03}  # share of strips
SNR_DB = (-12.0, -6.0, 0.0, 6.0)
Samples = tuple[int, int]  # first, count


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What experts said of a strip, in seconds from its start; None: nobody did."""

    beats: tuple[tuple[float, str], ...] | None  # every one: N, S, V, F, Q, or ? where nobody said the class
    rhythms: tuple[tuple[float, float, str], ...] | None  # WFDB names; unknown in between
    spoilt: tuple[str, float, float] | None = None  # noise, gap, lead off or flat: made so, from when to when


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    """A stretch of a record as a recording of its own: nothing of what surrounds it is known."""

    recording: Recording
    record: str
    patient: str
    start: float  # s of the record
    truth: Truth


def records(data: Path, size: int = SIZE) -> Iterator[tuple[Annotated, int]]:
    """Each record, and how many of about `size` strips it gives."""
    for read in (mitdb, svdb, cpsc2021, cudb_vf, vfdb, afpdb):
        for record in read(data):
            yield record, _count(record.record, SHARES[record.source] * size / SIZE)
    for _, strip in cinc2017(data):
        count = _count(strip.record, size / SIZE / CINC_EVERY)
        if count and strip.microvolts.shape[1] >= LEAST_S * strip.fs:
            yield strip, count


def signals(data: Path, folds: Mapping[str, int], held_out: int = 0, size: int = 400) -> Iterator[Signal]:
    """Of strips of the records that were learned with a fold held out: what an encoder is made with."""
    for record, count in records(data, size):
        if folds.get(record.record) != held_out:
            for strip in strips_of(record, count, data, 1):
                r = strip.recording
                missing = spans_to_mask(r.gaps, 0, r.counts.shape[1])
                yield r.counts.astype(np.float32), r.fs, r.leads, missing


def _count(record: str, expected: float) -> int:
    """A whole number whose mean over records is `expected`."""
    return int(expected + zlib.crc32(record.encode()) / 2**32)


def strips_of(record: Annotated, count: int, data: Path, seed: int) -> Iterator[Strip]:
    """`count` strips; `data` holds the noise."""
    rng = np.random.default_rng([seed, zlib.crc32(record.record.encode())])
    events = events_of(record)
    kinds = sorted(events)
    for i in range(count):
        at = None
        if kinds and rng.random() < EVENT_SHARE:
            at = float(rng.choice(events[kinds[i % len(kinds)]]))
        whole = record.microvolts.shape[1] / record.fs
        seconds = min(_seconds(rng), whole)
        start = rng.uniform(0, whole - seconds) if at is None else at - rng.uniform(0.05, 0.95) * seconds
        strip = _cut(record, min(max(0.0, start), whole - seconds), seconds, _leads(rng, record), i)
        yield _spoilt(strip, rng, data)


def events_of(record: Annotated) -> dict[str, list[float]]:
    """Seconds at which something happens, by what: beats, onsets and ends of rhythms, pauses."""
    out: dict[str, list[float]] = {}
    for at, symbol in zip((record.beats / record.fs).tolist(), record.symbols.tolist(), strict=True):
        if symbol in EVENTS:
            out.setdefault(EVENTS[symbol], []).append(at)
    for rhythm in record.rhythms:
        if rhythm.name in EVENTS:
            middle = (rhythm.first + rhythm.last) / 2
            out.setdefault(EVENTS[rhythm.name], []).extend(
                at / record.fs for at in (rhythm.first, middle, rhythm.last)
            )
    if record.source in EVERY_BEAT:
        beats = (record.beats / record.fs).tolist()
        quiet = [(a + b) / 2 for a, b in pairwise(beats) if b - a >= PAUSE_S]
        out |= {"PAUSE": quiet} if quiet else {}
    return out


def _seconds(rng: np.random.Generator) -> float:
    _, low, high = LENGTHS[int(rng.choice(len(LENGTHS), p=[share for share, _, _ in LENGTHS]))]
    return float(rng.integers(low, high))


def _leads(rng: np.random.Generator, record: Annotated) -> list[int]:
    """Both in half of the strips, one of them in the others."""
    every = list(range(len(record.leads)))
    return every if len(every) == 1 or rng.random() < 0.5 else [int(rng.choice(every))]


def _cut(record: Annotated, start: float, seconds: float, leads: list[int], number: int) -> Strip:
    first = round(start * record.fs)
    last = min(first + round(seconds * record.fs), record.microvolts.shape[1])
    recording = make_recording(
        f"{record.record}-{number}",
        record.fs,
        [record.leads[i] for i in leads],
        np.rint(record.microvolts[leads, first:last]),
        [1.0] * len(leads),
    )
    return Strip(
        recording=recording,
        record=record.record,
        patient=record.patient,
        start=round(first / record.fs, 3),
        truth=Truth(beats=_beats(record, first, last), rhythms=_rhythms(record, first, last)),
    )


def _beats(record: Annotated, first: int, last: int) -> tuple[tuple[float, str], ...] | None:
    if record.source not in EVERY_BEAT:
        return None
    rows = zip(record.beats.tolist(), record.symbols.tolist(), strict=True)
    inside = [(at, symbol) for at, symbol in rows if first <= at < last]
    return tuple(
        (round((at - first) / record.fs, 3), "?" if symbol == "?" else AAMI.get(symbol, "Q"))
        for at, symbol in inside
    )


def _rhythms(record: Annotated, first: int, last: int) -> tuple[tuple[float, float, str], ...] | None:
    spans = [(max(first, r.first), min(last, r.last + 1), r.name) for r in record.rhythms]
    inside = tuple(
        (round((a - first) / record.fs, 1), round((b - first) / record.fs, 1), name)
        for a, b, name in spans
        if a < b
    )
    return inside if "rhythm" in record.labelled else None


def _spoilt(strip: Strip, rng: np.random.Generator, data: Path) -> Strip:
    """As it is, or spoilt in a part of it, or in all of it."""
    what = str(rng.choice(["", *SPOILT], p=[1 - sum(SPOILT.values()), *SPOILT.values()]))
    if not what:
        return strip
    recording, whole = strip.recording, strip.recording.duration_s
    wholly = what == "flat" or (what == "noise" and rng.random() < 0.3)
    seconds = whole if wholly else rng.uniform(0.15, 0.7) * whole
    start = rng.uniform(0, whole - seconds)
    span = round(start * recording.fs), round(seconds * recording.fs)
    if what == "noise":
        changed = _with_noise(recording, span, rng, data)
    elif what == "lead off":
        changed = _with_leads_off(recording, span, rng)
    else:
        changed = _silent(recording, span, missing=what == "gap")
    said = (what, round(start, 1), round(start + seconds, 1))
    return replace(strip, recording=changed, truth=replace(strip.truth, spoilt=said))


def _with_noise(recording: Recording, span: Samples, rng: np.random.Generator, data: Path) -> Recording:
    fs, microvolts = _noise(data, "bw" if rng.random() < 0.25 else "em")
    noise = Noise(microvolts=microvolts, fs=fs, snr_db=float(rng.choice(SNR_DB)))
    loud = noisy(recording, noise).counts
    return _changed(recording, np.where(_mask(recording, span), loud, recording.counts))


def _silent(recording: Recording, span: Samples, *, missing: bool) -> Recording:
    """A gap, or a line without anything on it."""
    quiet = _changed(recording, np.where(_mask(recording, span), 0, recording.counts))
    return replace(quiet, gaps=(span,)) if missing else quiet


def _with_leads_off(recording: Recording, span: Samples, rng: np.random.Generator) -> Recording:
    """All leads reported off, and what electrodes in the air give: a little noise."""
    air = np.rint(rng.normal(0, 3, recording.counts.shape))
    quiet = _changed(recording, np.where(_mask(recording, span), air, recording.counts))
    return replace(quiet, lead_off=tuple((lead, *span) for lead in recording.leads))


def _mask(recording: Recording, span: Samples) -> Mask:
    return spans_to_mask([span], 0, recording.counts.shape[1])


def _changed(recording: Recording, counts: npt.NDArray[Any]) -> Recording:
    kept = read_only(counts.astype(np.int32))
    return replace(recording, counts=kept, boot_id=boot_id_of(kept))


@lru_cache(maxsize=2)
def _noise(data: Path, kind: str) -> tuple[float, Microvolts]:
    return nstdb(data, kind, "train")
