"""What the gate learns from: windows of 10 s, their indices, and whether they can be read.

Readable: the strips of CinC 2017 but the noisy ones, MIT-BIH DS1, SVDB, CPSC 2021, VFDB and the leads of the
acceptable ECGs of CinC 2011, arrhythmia with four times the weight. Unreadable: the noisy strips. Piece by
piece: strips, DS1 and SVDB with noise. The wearable set is never touched.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import Annotated, cinc2017, cpsc2021, mitdb, nstdb, svdb, vfdb
from models.dataset.noisy import cinc2011
from models.evaluation.abnormal import Truth
from models.quality.bursts import Noise, spoilt
from models.signals.indices import indices
from models.signals.windows import WINDOW_S

Floats = npt.NDArray[np.float64]
LEAST_S = 2.0  # of a window
ABNORMAL = 4.0
WEIGHTS = {  # of a whole strip, else of a window, or of one spoilt piece
    "strip N": 10.0,
    "strip A": 10.0,
    "strip O": 8.0,
    "strip ~": 50.0,
    "mitdb": 0.25,
    "mitdb, lead 1": 0.1,
    "svdb": 0.25,
    "cpsc2021": 0.3,
    "vfdb": 0.3,
    "cinc2011": 0.1,
    "spoilt": 0.5,
}
HOPS_S = {"mitdb": 5.0, "svdb": 15.0, "cpsc2021": 20.0, "vfdb": 5.0}
SPOILT_EACH = {"cinc2017": 3, "mitdb": 120, "svdb": 30}  # windows a record
SHORT = 0.2  # of the spoilt windows are 2 to 10 s long


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One window of one lead."""

    kind: str  # a key of WEIGHTS
    record: str
    patient: str
    abnormal: bool
    indices: Floats  # (piece, index)
    answer: Floats  # (piece,) 1 unreadable, 0 readable, nan not asked

    @property
    def weight(self) -> float:
        return WEIGHTS[self.kind] * (ABNORMAL if self.abnormal else 1.0)


def rows(data: Path, seed: int = 0) -> Iterator[Row]:
    """Every row, in the same order and the same for a seed."""
    fs, motion = nstdb(data, "em", "train")
    noise = (fs, (motion, nstdb(data, "bw", "train")[1]))
    for kind, strip in cinc2017(data):
        yield from _strip(kind, strip)
        yield from _spoilt(strip, noise, seed) if kind != "~" else ()
    for record in (*mitdb(data), *svdb(data)):
        yield from _holter(record, seed)
        yield from _spoilt(record, noise, seed)
    for record in (*cpsc2021(data), *vfdb(data)):
        yield from _holter(record, seed)
    for ecg in cinc2011(data):
        if ecg.acceptable:
            for lead in ecg.microvolts:
                yield _row("cinc2011", ecg.record, ecg.record, lead, ecg.fs, 0.0)


def windows(length: int, fs: float, hop_s: float = WINDOW_S) -> list[tuple[int, int]]:
    """(first, end) of 10 s windows; a rest of 2 s or more gets a last one that ends with the record."""
    size, hop = round(WINDOW_S * fs), round(hop_s * fs)
    if length <= size:
        return [(0, length)]
    starts = list(range(0, length - size + 1, hop))
    rest = length - size - starts[-1]
    return [(a, a + size) for a in (*starts, *([length - size] if rest >= LEAST_S * fs else []))]


def _strip(kind: str, strip: Annotated) -> Iterator[Row]:
    for a, b in windows(strip.microvolts.shape[1], strip.fs):
        lead = strip.microvolts[0, a:b]
        yield _row(f"strip {kind}", strip.record, strip.patient, lead, strip.fs, float(kind == "~"))


def _holter(record: Annotated, seed: int) -> Iterator[Row]:
    """Both leads of MIT-BIH, of the others one at random."""
    rng, truth = _rng(record, seed), Truth(record)
    for a, b in windows(record.microvolts.shape[1], record.fs, HOPS_S[record.source]):
        abnormal = truth(a, b - 1) is True
        for lead in (0, 1) if record.source == "mitdb" else (int(rng.integers(len(record.leads))),):
            kind = "mitdb, lead 1" if record.source == "mitdb" and lead else record.source
            x = record.microvolts[lead, a:b]
            yield _row(kind, record.record, record.patient, x, record.fs, 0.0, abnormal)


def _spoilt(record: Annotated, noise: Noise, seed: int) -> Iterator[Row]:
    rng = _rng(record, seed + 1)
    for _ in range(SPOILT_EACH[record.source]):
        seconds = rng.uniform(LEAST_S, WINDOW_S) if rng.random() < SHORT else WINDOW_S
        size, length = round(seconds * record.fs), record.microvolts.shape[1]
        if length <= size:
            continue
        start, lead = int(rng.integers(length - size)), int(rng.integers(len(record.leads)))
        signal, answer = spoilt(rng, record.microvolts[lead, start : start + size], record.fs, noise)
        yield _row("spoilt", record.record, record.patient, signal, record.fs, answer)


def _row(
    kind: str,
    record: str,
    patient: str,
    lead: npt.NDArray[Any],
    fs: float,
    answer: float | Floats,
    abnormal: bool = False,
) -> Row:
    found = indices(lead, fs, np.zeros(len(lead), dtype=np.bool_))
    told = np.atleast_1d(np.asarray(answer, dtype=np.float64))
    told = np.concatenate([told, np.full(len(found), told[-1])])[: len(found)]
    return Row(kind=kind, record=record, patient=patient, abnormal=abnormal, indices=found, answer=told)


def _rng(record: Annotated, seed: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(record.record.encode()), seed])
