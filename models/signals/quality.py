"""Can a window be read, and does it show what must never be silenced?

`assess` gives the reasons lead by lead; `never_silence` finds asystole and ventricular fibrillation, which
look flat or noisy, so it never asks `assess`. Pure functions over one window.

Thresholds were chosen on development data, never on the wearable motion set:
- noise: how alike the beats are is the only index. On 10 s pieces of CinC 2017 strips it calls 72 % of the
  noisy ones noise, 3.8 % of the others (AF and other rhythms 3.5 %; these strips have noisy pieces too)
  and 0.2 % of MIT-BIH DS1. Kurtosis and RR variability separate as well, but call arrhythmia noise.
- chaos: flags 93 % of the windows wholly inside the VF of 24 CUDB records, 0.03 % of DS1 windows in sinus
  rhythm, 0.6 % of all DS1 (most from the flutter of record 207), but also 36 % of the windows of CUDB outside
  its VF marks (much unmarked VT) and 54 % of pure electrode motion (NSTDB `em`): movement that hides every
  beat may reach the cloud as chaos. asystole: 0.05 % of DS1, where the lead had lost the signal.
- on the wearable motion set, of the windows of grade 1, 2, 3 and 4 throughout, 0, 1, 29 and 93 % are
  unreadable, and 0, 1, 0 and 98 % chaos (an earlier rule's false chaos there led to the leakage, whose
  threshold was then chosen on CUDB and NSTDB).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.ecg import Mask, Window, mask_to_spans
from models.signals.conditioning import hold_missing
from models.signals.rpeaks import band_passed, r_peaks
from models.verdicts import Quality

Floats = npt.NDArray[np.float64]

BAND = (1.0, 30.0)  # Hz
MISSING_SHARE = 0.2
FLAT_UV = 20.0  # peak to peak within 1 s, in the band
FLAT_SHARE = 0.5  # of the seconds
RAIL_UV = 1000.0  # from the median: what stays there is a rail, not a baseline
RAIL_RUN_S, RAIL_S = 0.1, 1.0  # stretches of exactly the extreme value, and how much of them is too much
BEAT_S = (0.2, 0.3)  # before and after the R peak
ALIKE = 0.84  # correlation of a beat with the two most like it; the median over beats
PAUSE_S = 3.0
PIECE_S = 2.0
CHAOS_PIECES = 2
CHAOS_UV = 150.0  # peak to peak
CHAOS_KURTOSIS = 1.5  # excess; a QRS complex makes 3 to 30, a sine -1.5
CHAOS_LEAKAGE = 0.74  # 0 is a sine; movement is mostly above
CHAOS_HZ = 10.0  # mean frequency: VF has 2 to 7, even noise in the band 15


def assess(window: Window) -> Quality:
    """Readable if one lead has nothing against it; leads with nothing against them are not in `reasons`."""
    reasons = {lead: _reasons(window, i) for i, lead in enumerate(window.leads)}
    readable = any(not why for why in reasons.values())
    return Quality(readable=readable, reasons={lead: why for lead, why in reasons.items() if why})


def never_silence(window: Window) -> tuple[str, ...]:
    """`asystole` and `chaos`, whatever the quality; leads reported off and missing samples say nothing.

    asystole: 3 s without a QRS complex in samples that were measured. A window flat from end to end counts:
    an edge that starts in the middle of an asystole has seen no beat.
    chaos: in two pieces of 2 s a lead is large, without peaks and near a sine (VF filter leakage: Kuo S,
    Dillman R, Computers in Cardiology 1978, 347-349).
    """
    leads = [i for i, lead in enumerate(window.leads) if lead not in window.lead_off]
    if not leads or window.missing.all():
        return ()
    x = window.microvolts[leads]
    chaos = any(_chaotic(lead, window.missing, window.fs) for lead in x)
    pause = not chaos and _paused(window, r_peaks(x, window.fs, window.missing))
    return ("asystole",) * pause + ("chaos",) * chaos


def _reasons(window: Window, i: int) -> tuple[str, ...]:
    if window.leads[i] in window.lead_off:
        return ("lead off",)
    if window.missing.mean() > MISSING_SHARE:
        return ("missing",)
    raw = hold_missing(window.microvolts[i : i + 1], window.missing)
    x = band_passed(raw, window.fs, BAND)[0]
    if _flat(x, window.fs):
        return ("flat",)
    if _saturated(raw[0], window.fs):
        return ("saturated",)
    beats = r_peaks(window.microvolts[i : i + 1], window.fs, window.missing)
    return ("noise",) if _likeness(x, beats, window.fs) < ALIKE else ()


def _flat(x: Floats, fs: float) -> bool:
    seconds = _pieces(x, fs, 1.0)
    return bool((np.ptp(seconds, axis=1) < FLAT_UV).mean() >= FLAT_SHARE)


def _saturated(raw: npt.NDArray[np.float32], fs: float) -> bool:
    """More than 1 s stuck at the largest or the smallest value, far from the median."""
    median = float(np.median(raw))
    stuck = 0
    for rail in (raw.max(), raw.min()):
        if abs(float(rail) - median) > RAIL_UV:
            stuck += sum(n for _, n in mask_to_spans(raw == rail, 0) if n >= RAIL_RUN_S * fs)
    return stuck > RAIL_S * fs


def _likeness(x: Floats, beats: npt.NDArray[np.int64], fs: float) -> float:
    """Median over beats of the mean correlation with the two most like them; 1 with fewer than 3 beats.

    The most like and not a template: ectopic beats are alike among themselves, movement is like nothing.
    """
    before, after = (round(s * fs) for s in BEAT_S)
    whole = beats[(beats >= before) & (beats < len(x) - after)]
    if len(whole) < 3:
        return 1.0
    shapes = x[whole[:, None] + np.arange(-before, after)]
    shapes = shapes - shapes.mean(axis=1, keepdims=True)
    shapes /= np.maximum(np.linalg.norm(shapes, axis=1, keepdims=True), 1e-9)
    alike = shapes @ shapes.T
    np.fill_diagonal(alike, -1.0)
    return float(np.median(np.sort(alike, axis=1)[:, -2:].mean(axis=1)))


def _paused(window: Window, beats: npt.NDArray[np.int64]) -> bool:
    """3 s of measured samples in a row between two beats, or between a beat and an end of the window."""
    count = window.microvolts.shape[1]
    silent = ~window.missing
    silent[beats] = False
    return any(n >= min(PAUSE_S * window.fs, count + 1) for _, n in mask_to_spans(silent, 0))


def _chaotic(lead: npt.NDArray[np.float32], missing: Mask, fs: float) -> bool:
    if len(lead) < CHAOS_PIECES * PIECE_S * fs:
        return False
    x = _pieces(band_passed(hold_missing(lead[None], missing), fs, BAND)[0], fs, PIECE_S)
    measured = _pieces(missing, fs, PIECE_S).mean(axis=1) < 0.1
    x = x - x.mean(axis=1, keepdims=True)
    kurtosis = (x**4).mean(axis=1) / np.maximum((x**2).mean(axis=1) ** 2, 1e-9) - 3
    large = np.ptp(x, axis=1) > CHAOS_UV
    waves = np.array([_near_a_sine(piece, fs) for piece in x])
    return int((measured & large & (kurtosis < CHAOS_KURTOSIS) & waves).sum()) >= CHAOS_PIECES


def _near_a_sine(x: Floats, fs: float) -> bool:
    """Little is left when the signal half a mean period later is added: nothing of a sine, 0.8 of beats."""
    half = int(np.pi * np.abs(x).sum() / max(float(np.abs(np.diff(x)).sum()), 1e-9) + 0.5)
    if not fs / (2 * CHAOS_HZ) <= half < len(x):
        return False
    now, later = x[:-half], x[half:]
    return float(np.abs(now + later).sum()) < CHAOS_LEAKAGE * float((np.abs(now) + np.abs(later)).sum())


def _pieces(x: npt.NDArray[np.generic], fs: float, length_s: float) -> npt.NDArray[np.generic]:
    """(piece, sample): whole pieces of the length, at least one, the rest left out."""
    n = max(1, min(len(x), round(length_s * fs)))
    return x[: len(x) // n * n].reshape(-1, n)
