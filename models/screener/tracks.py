"""Annotated records as the screener is trained on them: 100 Hz signal, and targets for any stretch of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import SINUS, Annotated, cinc2017, cpsc2021, cudb_vf, mitdb, svdb, vfdb
from models.ecg import Microvolts
from models.screener.labels import FUSION, LABELS, NEIGHBOUR_S, SUPRAVENTRICULAR, TOKEN, TOKEN_S, VENTRICULAR
from models.signals.conditioning import NETWORK_FS, resample
from models.signals.rpeaks import r_peaks

Floats = npt.NDArray[np.float32]
OTHER_BEAT, S_BEAT, V_BEAT, F_BEAT = 0, 1, 2, 3
NOT_VF, UNKNOWN, SINUS_RHYTHM, OTHER_RHYTHM, AF, VF = -2, -1, 0, 1, 2, 3  # NOT_VF: otherwise unknown
NON_SINUS_S = 2.0  # this much makes a window abnormal
FUSION_WEIGHT = 3.0  # fusion beats are few and look nearly normal
PAUSE_S = 2.5
SLOW, FAST = 50.0, 120.0  # beats per minute
CONSECUTIVE_S = 1.5  # between beats this close to each other there is no VF
AF_SHARE = 0.2  # CPSC windows with less AF than this, but some, are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Track:
    """One record: times are seconds from its start, `rhythm` has a code for every sample at 100 Hz."""

    record: str
    patient: str
    source: str
    signal: Microvolts  # float32 (lead, sample at 100 Hz), not yet conditioned
    beats: npt.NDArray[np.float64]
    kinds: npt.NDArray[np.int8]  # of the beats
    classes_known: bool
    rhythm: npt.NDArray[np.int8]

    @property
    def seconds(self) -> float:
        return int(self.signal.shape[1]) / NETWORK_FS


@dataclass(frozen=True, slots=True)
class Targets:
    """What a stretch should answer; `known` is the weight in the loss, 0 where nobody said."""

    tokens: Floats  # (token, label), 0 or 1
    known: Floats  # (token, label)
    abnormal: float  # 1, 0, or nan where the window cannot be judged


def track_of(record: Annotated) -> Track:
    signal = resample(record.microvolts, record.fs, NETWORK_FS).astype(np.float32)
    beats = record.beats / record.fs
    if not len(beats):  # to judge its rate
        beats = r_peaks(record.microvolts, record.fs) / record.fs
    kinds = np.zeros(len(beats), dtype=np.int8)
    if "beats" in record.labelled:
        kinds[np.isin(record.symbols, list(SUPRAVENTRICULAR))] = S_BEAT
        kinds[np.isin(record.symbols, list(VENTRICULAR))] = V_BEAT
        kinds[record.symbols == FUSION] = F_BEAT
    return Track(
        record=record.record,
        patient=record.patient,
        source=record.source,
        signal=signal,
        beats=beats,
        kinds=kinds,
        classes_known="beats" in record.labelled,
        rhythm=_rhythm_codes(record, beats, signal.shape[1]),
    )


def _rhythm_codes(record: Annotated, beats: npt.NDArray[np.float64], length: int) -> npt.NDArray[np.int8]:
    codes = np.full(length, UNKNOWN, dtype=np.int8)
    if record.source == "svdb":
        codes[:] = NOT_VF
    elif record.source == "cudb-vf":
        for a, b in pairwise(beats):
            if b - a <= CONSECUTIVE_S:
                codes[round(a * NETWORK_FS) : round(b * NETWORK_FS)] = NOT_VF
    code = {**dict.fromkeys(SINUS, SINUS_RHYTHM), "AFIB": AF, "AFL": AF, "VFL": VF}
    for span in record.rhythms:
        first, end = (round(at / record.fs * NETWORK_FS) for at in (span.first, span.last + 1))
        codes[first:end] = code.get(span.name, OTHER_RHYTHM)
    return codes


def development_tracks(data: Path) -> Iterator[Track]:
    """Every record the screener learns from; of CinC 2017 the normal and AF strips."""
    for record in (*mitdb(data), *svdb(data), *cpsc2021(data), *cudb_vf(data), *vfdb(data)):
        yield track_of(record)
    for kind, strip in cinc2017(data):
        if kind in {"N", "A"} and strip.microvolts.shape[1] >= 10 * strip.fs:
            yield track_of(strip)


def data_hash(tracks: Iterable[Track]) -> str:
    """Hex SHA-256 of the records' names, signals, beats and rhythms, in order."""
    digest = hashlib.sha256()
    for track in tracks:
        digest.update(track.record.encode())
        for array in (track.signal, track.beats, track.kinds, track.rhythm):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def folds_of(tracks: Sequence[Track], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """(track,) fold of each, whole patients dealt out source by source, those with AF or VF first."""
    rng = np.random.default_rng(seed)
    rare: dict[tuple[str, str], int] = {}
    for t in tracks:
        key = (t.source, t.patient)
        rare[key] = max(rare.get(key, UNKNOWN), int(t.rhythm.max(initial=UNKNOWN)))
    keys = sorted(rare)
    order = dict(zip(keys, rng.permutation(len(keys)).tolist(), strict=True))
    dealt = sorted(keys, key=lambda k: (k[0], -max(rare[k], OTHER_RHYTHM), order[k]))
    fold = {key: i % folds for i, key in enumerate(dealt)}
    return np.asarray([fold[t.source, t.patient] for t in tracks])


def targets(track: Track, start: float, length: int, stretch: float = 1.0) -> Targets:
    """Of `length` samples that begin `start` seconds into the record and were slowed down by 1/`stretch`."""
    seconds = length / NETWORK_FS
    a, b = np.searchsorted(track.beats, (start, start + seconds * stretch))
    beats, kinds = (track.beats[a:b] - start) / stretch, track.kinds[a:b]
    count = -(-length // TOKEN)
    middles = start + (np.arange(count) + 0.5) * TOKEN_S * stretch
    at = np.minimum((middles * NETWORK_FS).astype(np.int64), len(track.rhythm) - 1)
    codes = track.rhythm[at]
    tokens = np.zeros((count, len(LABELS)), dtype=np.float32)
    tokens[_held(beats[kinds == S_BEAT], count), 0] = 1.0
    tokens[_held(beats[kinds >= V_BEAT], count), 1] = 1.0
    tokens[:, 2] = codes == AF
    tokens[:, 3] = codes == VF
    tokens[:, 4] = codes > SINUS_RHYTHM
    known = np.repeat((codes >= SINUS_RHYTHM)[:, None], len(LABELS), axis=1).astype(np.float32)
    known[:, :2] = (track.classes_known & (codes != VF))[:, None]
    known[_held(beats[kinds == F_BEAT], count), 1] = FUSION_WEIGHT
    known[:, 3] = codes != UNKNOWN
    return Targets(tokens, known, _abnormal(track, codes, beats, kinds, seconds))


def _held(beats: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Tokens that hold these beats, or lie within 60 ms of one."""
    near = np.concatenate([beats - NEIGHBOUR_S, beats + NEIGHBOUR_S])
    return np.clip((near / TOKEN_S).astype(np.int64), 0, count - 1)


def _abnormal(
    track: Track,
    codes: npt.NDArray[np.int8],
    beats: npt.NDArray[np.float64],
    kinds: npt.NDArray[np.int8],
    seconds: float,
) -> float:
    non_sinus = codes > SINUS_RHYTHM
    if (kinds > OTHER_BEAT).any() or non_sinus.sum() * TOKEN_S >= NON_SINUS_S:
        if track.source == "cpsc2021" and non_sinus.mean() < AF_SHARE:
            return float("nan")
        return 1.0
    if (not track.classes_known and (codes < SINUS_RHYTHM).any()) or (
        track.source == "cpsc2021" and non_sinus.any()
    ):
        return float("nan")
    gaps = np.diff(np.concatenate([[0.0], beats, [seconds]]))
    rate = 60.0 / np.diff(beats).mean() if len(beats) > 1 else 0.0
    return float(gaps.max() >= PAUSE_S or not SLOW <= rate <= FAST)
