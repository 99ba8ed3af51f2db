"""Signal as the networks see it: one rate, one band, one robust scale.

Pure functions over one stretch with fixed context (itself): nothing depends on stream history,
so any chunking, speed or restart conditions a window identically.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import signal

from models.ecg import Mask, Microvolts

NETWORK_FS = 128.0  # Hz, the rate every network runs at
BAND = (0.5, 40.0)  # Hz
CLIP = 4.0  # in units of the typical R wave
FLOOR_UV = 20.0  # a lead flatter than this is not blown up to R-wave size


@cache
def _ratio(fs: float, target: float) -> tuple[int, int]:
    ratio = Fraction(target / fs).limit_denominator(1000)
    return ratio.numerator, ratio.denominator


@cache
def _band(fs: float) -> npt.NDArray[np.float64]:
    return signal.butter(2, BAND, "bandpass", fs=fs, output="sos")


def resample(x: npt.NDArray[Any], fs: float, target: float) -> npt.NDArray[np.float64]:
    """(..., sample) at `fs` Hz to `target` Hz, polyphase; edges padded with the end values."""
    up, down = _ratio(fs, target)
    return signal.resample_poly(np.asarray(x, dtype=np.float64), up, down, axis=-1, padtype="line")


def hold_missing(x: npt.NDArray[Any], missing: Mask) -> npt.NDArray[Any]:
    """The last sample held through missing stretches, for filters only: what is shown stays missing."""
    if not missing.any() or missing.all():
        return x
    index = np.where(missing, -1, np.arange(x.shape[-1]))
    index = np.maximum.accumulate(index)
    index[index < 0] = int(np.argmin(missing))
    return x[..., index]


def filtered(microvolts: Microvolts, fs: float, missing: Mask | None = None) -> Microvolts:
    """float32 (lead, sample at NETWORK_FS), microvolts: zero-phase Butterworth of order 2, 0.5-40 Hz."""
    x = np.asarray(microvolts, dtype=np.float64)
    if missing is not None:
        x = hold_missing(x, missing)
    x = resample(x - np.median(x, axis=-1, keepdims=True), fs, NETWORK_FS)
    x = signal.sosfiltfilt(_band(NETWORK_FS), x, axis=-1, padlen=min(x.shape[-1] - 1, 256))
    return np.asarray(x, dtype=np.float32)


def scaled(x: Microvolts) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """(signal with an R wave of about 1, gain) of filtered leads (..., sample): the networks' input.

    A lead is divided by the median over 1 s blocks of max|x|, at least 20 uV so that noise on a dead lead
    stays small, and clipped to +-4. Gain (...,) is the log of that R wave in millivolts: amplitude is kept.
    """
    block = int(NETWORK_FS)
    blocks = max(1, x.shape[-1] // block)
    peaks = np.abs(x[..., : blocks * block]).reshape(*x.shape[:-1], blocks, -1).max(axis=-1)
    usual = np.maximum(np.median(peaks, axis=-1), FLOOR_UV)
    y = np.clip(x / usual[..., None], -CLIP, CLIP)
    return y.astype(np.float32), np.log(usual / 1000).astype(np.float32)


def condition(
    microvolts: Microvolts, fs: float, missing: Mask | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """`filtered`, then `scaled`: what the networks see of a stretch (lead, sample) in microvolts."""
    return scaled(filtered(microvolts, fs, missing))
