"""Can a window be read, and does it show what must never be silenced?

`assess` gives the reasons lead by lead; `never_silence` finds asystole and ventricular fibrillation, which
look flat or noisy, so it never asks `assess`. Pure functions over one window.

Thresholds were chosen on development data, never on the wearable motion set. Measured by
`models.evaluation.quality` and, for patients not learned from, by the folds of `models.quality.fit`:
- noise (folds): 90.3 % of the noisy strips of CinC 2017 at 4.9 % of the normal, 4.7 % of the AF and 5.4 % of
  the other ones; of MIT-BIH DS1 windows with an arrhythmia 1.6 % on lead 0 and 1.1 % with two leads, of
  normal ones 0.2 and 0.04 %. Most that the shipped network gates are in 207 (flutter), 108, 203.
- wearable (never learned from): 0, 0, 0 and 96.5 % of the windows of grade 1, 2, 3 and 4 throughout (grade 4
  on Ag/AgCl 100 %, textile 70 %, none on chrome-nickel), and of 2 s alone 2.8, 11, 58 and 95.0 %. A window is
  often readable around 2 s of grade 4 in its middle: 73 % of these are gated, 0 % around grade 1.
- CinC 2011: unacceptable against acceptable AUROC 0.966 by the worst lead (half was learned). PTB-XL: ECGs
  with a note about noise against those without 0.58.
- chaos: 94.8 % of the windows wholly inside the VF of CUDB, 0.5 % of all DS1 on lead 0 (most from the flutter
  of 207) and 12 % of pure electrode motion (NSTDB `em`, minutes 20-30), but also 35 % of CUDB outside its VF
  marks (much unmarked VT) and 81 % of grade 4: movement may reach the cloud as chaos. 4.8 % of the VF windows
  are unreadable without a rule. asystole: 0.1 % of DS1, where the lead had lost the signal.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.ecg import Mask, Window, mask_to_spans
from models.signals.conditioning import hold_missing
from models.signals.gate import shipped
from models.signals.indices import indices
from models.signals.rpeaks import band_passed, r_peaks
from models.verdicts import Quality

Floats = npt.NDArray[np.float64]

BAND = (1.0, 30.0)  # Hz
MISSING_SHARE = 0.2
FLAT_UV = 20.0  # peak to peak within 1 s, in the band
FLAT_SHARE = 0.5  # of the seconds
RAIL_UV = 1000.0  # from the median: what stays there is a rail, not a baseline
RAIL_RUN_S, RAIL_S = 0.1, 1.0  # stretches of exactly the extreme value, and how much of them is too much
LEAST_S = 0.5  # less says nothing
PAUSE_S = 3.0
PIECE_S = 2.0
CHAOS_PIECES = 2
CHAOS_UV = 150.0  # peak to peak
CHAOS_KURTOSIS = 1.5  # excess; a QRS complex makes 3 to 30, a sine -1.5
CHAOS_LEAKAGE = 0.74  # 0 is a sine; movement is mostly above
CHAOS_PEAK_S, CHAOS_ROUGH = 0.02, 0.96  # leakage, and a fiftieth of the peaks a second
CHAOS_HZ = 10.0  # mean frequency: VF has 2 to 7, even noise in the band 15


def assess(window: Window) -> Quality:
    """Readable if one lead has nothing against it; leads with nothing against them are not in `reasons`.

    `score` of each lead is 0 to 1: from 0.5 on the gate calls it noise, and 1 is any other reason.
    """
    reasons, score = {}, {}
    for i, lead in enumerate(window.leads):
        why = _unmeasured(window, i)
        odds = np.inf if why else noise_odds(window.microvolts[i], window.fs, window.missing)
        reasons[lead] = why or (("noise",) if odds >= 0 else ())
        score[lead] = round(float(1 / (1 + np.exp(-odds))), 4)
    readable = any(not why for why in reasons.values())
    return Quality(
        readable=readable, reasons={lead: why for lead, why in reasons.items() if why}, score=score
    )


def noise_odds(lead: npt.NDArray[np.float32], fs: float, missing: Mask) -> float:
    """Log odds that a lead (sample,) is unreadable, 0 at the threshold; -inf where it is too short to tell.

    The mean over pieces of 2 s, each in proportion to what of it was measured.
    """
    if len(lead) < LEAST_S * fs or missing.all():
        return -np.inf
    odds = piece_odds(lead, fs, missing)
    edges = np.minimum(np.rint(np.arange(len(odds) + 1) * PIECE_S * fs), len(lead)).astype(np.int64)
    measured = np.diff(np.concatenate([[0], np.cumsum(~missing)])[edges])
    return float(odds @ measured / max(1, measured.sum()))


def piece_odds(lead: npt.NDArray[np.float32], fs: float, missing: Mask) -> Floats:
    """(piece,) log odds that 2 s cannot be read, of a lead (sample,) of 0.5 s or more; 0 at the threshold."""
    return shipped()(indices(lead, fs, missing)) - shipped().threshold


def never_silence(window: Window, beats: npt.NDArray[np.int64] | None = None) -> tuple[str, ...]:
    """`asystole` and `chaos`, whatever the quality; leads reported off and missing samples say nothing.

    `beats`, where already known, are the `r_peaks` of the leads that are on.
    asystole: 3 s without a QRS complex in samples that were measured. A window flat from end to end counts:
    an edge that starts in the middle of an asystole has seen no beat.
    chaos: in two pieces of 2 s a lead is large, without peaks and near a sine (VF filter leakage: Kuo S,
    Dillman R, Computers in Cardiology 1978, 347-349).
    """
    leads = [i for i, lead in enumerate(window.leads) if lead not in window.lead_off]
    if not leads or window.missing.all():
        return ()
    x = window.microvolts[leads]
    if any(_chaotic(lead, window.missing, window.fs) for lead in x):
        return ("chaos",)
    found = r_peaks(x, window.fs, window.missing) if beats is None else beats
    return ("asystole",) * _paused(window, found)


def _unmeasured(window: Window, i: int) -> tuple[str, ...]:
    """Why there is nothing to read, whatever the gate would say."""
    if window.leads[i] in window.lead_off:
        return ("lead off",)
    if window.missing.mean() > MISSING_SHARE:
        return ("missing",)
    raw = hold_missing(window.microvolts[i : i + 1], window.missing)
    if _flat(band_passed(raw, window.fs, BAND)[0], window.fs):
        return ("flat",)
    return ("saturated",) if _saturated(raw[0], window.fs) else ()


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
    """Little is left when the signal half a mean period later is added: nothing of a sine, 0.8 of beats.

    The smoother it is, the more may be left: movement of an electrode has many small peaks, VF few.
    """
    moves = np.diff(x)
    half = int(np.pi * np.abs(x).sum() / max(float(np.abs(moves).sum()), 1e-9) + 0.5)
    if not fs / (2 * CHAOS_HZ) <= half < len(x):
        return False
    now, later = x[:-half], x[half:]
    left = float(np.abs(now + later).sum() / max(float((np.abs(now) + np.abs(later)).sum()), 1e-9))
    peaks = np.count_nonzero(moves[1:] * moves[:-1] < 0) / 2 / (len(x) / fs)
    return bool(left < min(CHAOS_LEAKAGE, CHAOS_ROUGH - CHAOS_PEAK_S * peaks))


def _pieces(x: npt.NDArray[np.generic], fs: float, length_s: float) -> npt.NDArray[np.generic]:
    """(piece, sample): whole pieces of the length, at least one, the rest left out."""
    n = max(1, min(len(x), round(length_s * fs)))
    return x[: len(x) // n * n].reshape(-1, n)
