"""Annotated records as networks are trained on them: filtered at the networks' rate, every label a code.

Times are seconds from the record's start. What a database does not annotate is unknown, never normal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import SINUS, Annotated
from models.ecg import Microvolts
from models.signals.conditioning import NETWORK_FS, filtered

Codes = npt.NDArray[np.int8]
Seconds = npt.NDArray[np.float64]

# beats, in the order of the networks' outputs; UNKNOWN: a beat of which nobody said the class
N, S, V, F = 0, 1, 2, 3
UNKNOWN = -1
KINDS = {
    **dict.fromkeys("NLRBnej", N),
    **dict.fromkeys("AaJS", S),
    **dict.fromkeys("VEr", V),
    "F": F,
}  # AAMI EC57: escape beats are N; paced, fusion of paced, unclassifiable and unannotated beats are UNKNOWN
# morphology of a beat; UNKNOWN where the database does not tell it apart
PLAIN, LBBB, RBBB, PACED = 0, 1, 2, 3
MORPHOLOGY = {"L": LBBB, "R": RBBB, "/": PACED, "N": PLAIN, "A": PLAIN, "e": PLAIN, "j": PLAIN}
# rhythm of a sample at NETWORK_FS
SINUS_RHYTHM, OTHER_RHYTHM, AF, VF, VT = 0, 1, 2, 3, 4
NOT_VF, NOT_AF = -2, -3  # only this is known: no fibrillation of the ventricles; nor of the atria
RHYTHMS = {**dict.fromkeys(SINUS, SINUS_RHYTHM), "AFIB": AF, "AFL": AF, "VFL": VF, "VT": VT}
CONSECUTIVE_S = 1.5  # between beats this close to each other there is no VF
TELLS_MORPHOLOGY = frozenset({"mitdb"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One record: `signal` is filtered (0.5-40 Hz, microvolts), `rhythm` holds a code for every sample."""

    record: str
    patient: str
    source: str
    leads: tuple[str, ...]
    signal: Microvolts  # float32 (lead, sample at NETWORK_FS)
    beats: Seconds
    kinds: Codes
    morphology: Codes
    beats_known: bool  # every beat is marked (outside VF)
    rhythm: Codes

    @property
    def seconds(self) -> float:
        return int(self.signal.shape[1]) / NETWORK_FS


def track_of(record: Annotated) -> Track:
    """The record as a track; beats of a strip without annotated ones are left out."""
    signal = filtered(record.microvolts, record.fs)
    beats = record.beats / record.fs
    tells = record.source in TELLS_MORPHOLOGY
    return Track(
        record=record.record,
        patient=record.patient,
        source=record.source,
        leads=record.leads,
        signal=signal,
        beats=beats,
        kinds=np.asarray([KINDS.get(s, UNKNOWN) for s in record.symbols], dtype=np.int8),
        morphology=np.asarray(
            [MORPHOLOGY.get(s, UNKNOWN) if tells else UNKNOWN for s in record.symbols], dtype=np.int8
        ),
        beats_known=record.source in {"mitdb", "svdb", "cpsc2021", "qtdb"},
        rhythm=_rhythm_codes(record, beats, signal.shape[1]),
    )


def _rhythm_codes(record: Annotated, beats: Seconds, length: int) -> Codes:
    codes = np.full(length, UNKNOWN, dtype=np.int8)
    if record.source in {"svdb", "qtdb"}:
        codes[:] = NOT_VF
    elif record.source == "cudb-vf":
        for a, b in pairwise(beats):
            if b - a <= CONSECUTIVE_S:
                codes[round(a * NETWORK_FS) : round(b * NETWORK_FS)] = NOT_VF
    weak = {"N": NOT_AF} if record.source in {"afpdb", "cpsc2021"} else {}
    for span in record.rhythms:
        first, end = (round(at / record.fs * NETWORK_FS) for at in (span.first, span.last + 1))
        codes[first:end] = weak.get(span.name, RHYTHMS.get(span.name, OTHER_RHYTHM))
    return codes


def data_hash(tracks: Iterable[Track]) -> str:
    """Hex SHA-256 of the records' names, signals, beats and labels, in order."""
    digest = hashlib.sha256()
    for track in tracks:
        digest.update(track.record.encode())
        for array in (track.signal, track.beats, track.kinds, track.morphology, track.rhythm):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def fold_by_record(path: Path, tracks: Sequence[Track], folds: int, seed: int) -> dict[str, int]:
    """Which fold leaves a record out, written to `path` for whoever evaluates; nothing without folds."""
    fold_of = dict(zip((t.record for t in tracks), folds_of(tracks, folds, seed).tolist(), strict=True))
    if not folds:
        return fold_of
    path.write_text(json.dumps(fold_of, indent=1) + "\n")
    return fold_of


def folds_of(tracks: Sequence[Track], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """(track,) fold of each, whole patients dealt out source by source, those with AF, VF or VT first."""
    rng = np.random.default_rng(seed)
    rare: dict[tuple[str, str], int] = {}
    for t in tracks:
        key = (t.source, t.patient)
        rare[key] = max(rare.get(key, UNKNOWN), int(t.rhythm.max(initial=UNKNOWN)))
    keys = sorted(rare)
    order = dict(zip(keys, rng.permutation(len(keys)).tolist(), strict=True))
    dealt = sorted(keys, key=lambda k: (k[0], -max(rare[k], OTHER_RHYTHM), order[k]))
    fold: dict[str, int] = {}
    for i, (_, patient) in enumerate(dealt):
        fold.setdefault(patient, i % max(1, folds))  # a patient of two databases stays on one side
    return np.asarray([fold[t.patient] for t in tracks])
