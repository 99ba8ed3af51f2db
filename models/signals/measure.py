"""P-QRS-T boundaries and the intervals between them, by neurokit2 (imported inside: it costs seconds).

The method is `prominence` (Emrich J et al., EUSIPCO 2024) of `neurokit2.ecg_delineate`: on 45 s of the
excerpt (360 Hz, 74 beats) it takes 0.02 s and finds every QRS boundary; `dwt` takes 0.4 s and misses 15 to
19 %. Its boundaries lie inside the hand-marked ones, so each is moved by the median error on every second
record of LUDB here (lead II). On the other 67 records the mean absolute error of a record's median is 11 ms
for PR, 12 ms for QRS and 13 ms for QT. Nothing is measured on missing samples.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import Mask, Microvolts
from models.signals.conditioning import hold_missing
from models.signals.rpeaks import PEAK_BAND, band_passed

Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]

BAND = (0.5, 40.0)  # Hz
MIN_BEATS = 3
ESTIMATE_MS = (-60.0, 80.0)  # QRS onset and offset from the R peak where they cannot be found
SHIFT_MS = {"P_Onsets": -10.0, "R_Onsets": -12.0, "R_Offsets": 14.0, "T_Offsets": -12.0}
PR_MS, QRS_MS, QT_MS = (80.0, 400.0), (50.0, 250.0), (200.0, 700.0)  # outside, a boundary was mistaken
SPREAD_MS = 30.0  # median absolute deviation over the beats beyond which there is no one interval
AROUND_S = (0.3, 0.6)  # before and after the R peak: what must have been measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Intervals:
    """Medians in ms, None where they cannot be measured, and the QRS complex of every beat."""

    pr_ms: float | None
    qrs_ms: float | None
    qt_ms: float | None
    onsets: Offsets  # sample offset of each beat's QRS onset
    offsets: Offsets
    estimated: Mask  # True where onset and offset are R - 60 ms and R + 80 ms


def measure_intervals(
    microvolts: Microvolts,
    fs: float,
    r_offsets: Offsets,
    *,
    missing: Mask | None = None,
    beats: Mask | None = None,
) -> Intervals:
    """Intervals of a stretch (lead, sample) with its R peaks, on the lead with the tallest beats.

    The medians are over `beats` (beat,), all by default: give the normal ones, where known. A median needs
    three beats, and half of all to agree. PR is also found where there is no P wave (6 of 13 LUDB records
    without one): in atrial fibrillation the caller leaves it out.
    """
    gone = np.zeros(microvolts.shape[1], dtype=np.bool_) if missing is None else missing
    found = _boundaries(microvolts, fs, r_offsets, gone)
    ms = {name: (at - r_offsets) * 1000.0 / fs + SHIFT_MS[name] for name, at in found.items()}
    onset, offset = ms["R_Onsets"], ms["R_Offsets"]
    with np.errstate(invalid="ignore"):
        sound = (onset < 0) & (offset > 0) & _within(offset - onset, QRS_MS)
    used = sound if beats is None else sound & beats
    count = microvolts.shape[1]
    return Intervals(
        pr_ms=_median((onset - ms["P_Onsets"])[used], PR_MS),
        qrs_ms=_median((offset - onset)[used], QRS_MS),
        qt_ms=_median((ms["T_Offsets"] - onset)[used], QT_MS),
        onsets=_samples(np.where(sound, onset, ESTIMATE_MS[0]), r_offsets, fs, count),
        offsets=_samples(np.where(sound, offset, ESTIMATE_MS[1]), r_offsets, fs, count),
        estimated=~sound,
    )


def _boundaries(microvolts: Microvolts, fs: float, r: Offsets, gone: Mask) -> dict[str, Floats]:
    """Sample offsets per kind of boundary and beat, NaN where there is none."""
    nowhere = {name: np.full(len(r), np.nan) for name in SHIFT_MS}
    whole = whole_beats(r, gone, fs)
    if whole.sum() < MIN_BEATS:
        return nowhere
    x = hold_missing(microvolts, gone)
    tallest = np.argmax(np.median(np.abs(band_passed(x, fs, PEAK_BAND))[:, r[whole]], axis=1))
    waves = _delineate(band_passed(x, fs, BAND)[tallest], fs, r[whole])
    for name, at in nowhere.items():
        known = waves[f"ECG_{name}"]  # without the first beat's where that is sample 0: neurokit2 drops it
        at[np.flatnonzero(whole)[whole.sum() - len(known) :]] = known
    return nowhere


def whole_beats(r: Offsets, gone: Mask, fs: float) -> Mask:
    """(beat,): True where the beat and its surroundings were measured."""
    before, after = (round(s * fs) for s in AROUND_S)
    lost = np.concatenate([[0], np.cumsum(gone)])
    ends = np.minimum(r + after, len(gone))
    return np.asarray(
        (r >= before) & (r + after <= len(gone)) & (lost[ends] == lost[np.maximum(r - before, 0)])
    )


def _delineate(x: Floats, fs: float, r: Offsets) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # neurokit2 warns of every wave that it does not find
        import neurokit2

        _, waves = neurokit2.ecg_delineate(x, r, sampling_rate=fs, method="prominence")
    return dict(waves)


def _within(ms: Floats, limits: tuple[float, float]) -> Mask:
    return np.asarray((ms >= limits[0]) & (ms <= limits[1]))


def _median(ms: Floats, limits: tuple[float, float]) -> float | None:
    """None unless three values lie within the limits, are half of all, and agree."""
    good = ms[_within(ms, limits)]
    if len(good) < max(MIN_BEATS, len(ms) / 2):
        return None
    median = float(np.median(good))
    return median if float(np.median(np.abs(good - median))) <= SPREAD_MS else None


def _samples(ms: Floats, r: Offsets, fs: float, count: int) -> Offsets:
    return np.clip(r + np.rint(ms * fs / 1000).astype(np.int64), 0, count - 1)
