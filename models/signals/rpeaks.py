"""R peaks: one function for the trend at the edge and for the findings in the cloud.

After Pan and Tompkins, IEEE Trans Biomed Eng 32(3):230-236, 1985 (band-pass, slope energy, moving
integration, adaptive threshold, search back, refractory time, T-wave test), with four deviations:
- filters are zero-phase and the threshold looks both ways, so no state runs along the signal and a beat is
  decided by what lies within 5 s of it (beyond, only the median amplitude of the stretch bounds it);
- the energy is that of the band-passed signal and of its slope, the square of its envelope: slope alone
  takes tall P waves and noise for beats;
- the threshold is a share of a low quantile of the surrounding beats' amplitudes, so that a run of large
  ventricular beats does not hide the small ones after it;
- the small neighbour of a beat is dropped on both sides: T waves after it, tall P waves before it.

Measured on all of MIT-BIH DS1 (lead 0, cut into 45 s stretches, tolerance 150 ms, flutter left out), gross:
sensitivity 99.83 %, positive predictive value 99.68 % (the flutter record 207 left out: the same);
both leads 99.89 and 99.60 %. The constants were chosen on these records.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from models.ecg import Mask, Microvolts

Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]

BAND = (6.0, 20.0)  # Hz, to find a beat
PEAK_BAND = (3.0, 30.0)  # Hz, to place it: the steep end of a wide beat is no R peak
PEAK_S = 0.08
SLOPE_RATE = 70.0  # rad/s, about 11 Hz: where slope / SLOPE_RATE is as large as the signal
INTEGRATE_S = 0.10
REFRACTORY_S = 0.20
THRESHOLD = 0.40  # of the local level
SEARCH_BACK = 0.50  # of that threshold, in an interval of 1.6 times the usual one
LONG_RR = 1.6
T_WAVE_S, P_WAVE_S = 0.36, 0.30
SMALL = 0.5  # of the neighbour's amplitude: a P or T wave, where it is also below
LOW = 0.8  # of the local level
BLOCK_S = 1.2  # nearly always holds a beat
CONTEXT_S = 5.0
QUANTILE = 30.0  # per cent, of the blocks' amplitudes within the context
LEAST_SHARE = 0.4  # the local level is at least this share of the stretch's median amplitude
FLOOR_UV = 40.0  # and at least this: a QRS complex under about 80 uV peak to peak is no beat
STEP_S = 0.1  # grid of the local level


@cache
def _filter(band: tuple[float, float], fs: float) -> Floats:
    return signal.butter(2, band, "bandpass", fs=fs, output="sos")


def r_peaks(microvolts: Microvolts, fs: float, missing: Mask | None = None) -> Offsets:
    """Ascending sample offsets of the R peaks in a stretch (lead, sample) in microvolts; int64.

    Leads add their energies. Nothing is found inside `missing` samples. A peak is where a lead's
    3-30 Hz signal is largest within 80 ms, whatever the polarity.
    """
    none = np.zeros(0, dtype=np.int64)
    if microvolts.shape[1] < fs * REFRACTORY_S or (missing is not None and missing.all()):
        return none
    whole = _bridged(microvolts, missing)
    amplitude = envelope(band_passed(whole, fs), fs)
    near, _ = signal.find_peaks(amplitude, distance=max(1, round(REFRACTORY_S * fs)), height=FLOOR_UV / 8)
    if missing is not None:
        near = near[~missing[near]]
    if not len(near):
        return none
    level = _local_level(amplitude, fs)[np.minimum(near // _step(fs), len(amplitude) // _step(fs) - 1)]
    beats = _without_p_and_t(near, amplitude[near], level, fs)
    beats = _searched_back(beats, near, amplitude[near], level, fs)
    return _at_the_peak(near[beats], whole, fs)


def band_passed(x: npt.NDArray[np.floating], fs: float, band: tuple[float, float] = BAND) -> Floats:
    """(lead, sample) in the band of the QRS complex, zero-phase."""
    padding = min(x.shape[1] - 1, round(fs))
    return signal.sosfiltfilt(_filter(band, fs), x, axis=-1, padlen=padding)


def envelope(x: Floats, fs: float) -> Floats:
    """(sample,) of the band-passed leads: root of their energy and their slope's over 100 ms."""
    slope = np.gradient(x, axis=-1) * (fs / SLOPE_RATE)
    energy = (x**2 + slope**2).sum(axis=0) / 2
    smooth = ndimage.uniform_filter1d(energy, max(1, round(INTEGRATE_S * fs)), mode="nearest")
    return np.sqrt(np.maximum(smooth, 0.0))  # a running sum may end a hair below zero


def _bridged(microvolts: Microvolts, missing: Mask | None) -> Floats:
    """A straight line through missing samples, for the filter only: a step would ring like a beat."""
    x = microvolts.astype(np.float64)
    if missing is not None and missing.any():
        here, gone = np.flatnonzero(~missing), np.flatnonzero(missing)
        for lead in x:
            lead[gone] = np.interp(gone, here, lead[here])
    return x


def _step(fs: float) -> int:
    return max(1, round(STEP_S * fs))


def _local_level(amplitude: Floats, fs: float) -> Floats:
    """The usual QRS amplitude around every 0.1 s."""
    steps = max(1, len(amplitude) // _step(fs))
    peaks = np.maximum.reduceat(amplitude, np.arange(steps) * _step(fs))
    peaks = ndimage.maximum_filter1d(peaks, round(BLOCK_S / STEP_S), mode="nearest")
    every = peaks[::2]  # half the points say the same and the filter takes half the time
    size = min(len(every), round(CONTEXT_S / STEP_S))
    level = ndimage.percentile_filter(every, QUANTILE, size=size, mode="nearest").repeat(2)[:steps]
    return np.maximum(level, max(FLOOR_UV, LEAST_SHARE * float(np.median(peaks))))


def _without_p_and_t(at: Offsets, height: Floats, level: Floats, fs: float) -> list[int]:
    """Indices into `at` of the peaks over the threshold that are not a larger neighbour's P or T wave."""

    def belongs(small: int, large: int) -> bool:
        return bool(height[small] < SMALL * height[large] and height[small] < LOW * level[small])

    kept: list[int] = []
    for i in np.flatnonzero(height >= THRESHOLD * level).tolist():
        apart = (at[i] - at[kept[-1]]) / fs if kept else np.inf
        if apart < T_WAVE_S and belongs(i, kept[-1]):
            continue
        if apart < P_WAVE_S and belongs(kept[-1], i):
            kept.pop()
        kept.append(i)
    return kept


def _searched_back(beats: list[int], at: Offsets, height: Floats, level: Floats, fs: float) -> list[int]:
    """`beats`, and in each overlong interval the largest peaks over the lowered threshold."""
    rr = np.diff(at[beats])
    if len(rr) < 2:
        return beats
    found = []
    for i in np.flatnonzero(rr > LONG_RR * ndimage.median_filter(rr, 9, mode="nearest")).tolist():
        a, b = beats[i], beats[i + 1]
        between = np.arange(a + 1, b)
        apart = (at[between] - at[a] > T_WAVE_S * fs) & (at[b] - at[between] > P_WAVE_S * fs)
        loud = height[between] >= SEARCH_BACK * THRESHOLD * level[between]
        if (apart & loud).any():
            found.append(int(between[np.argmax(np.where(apart & loud, height[between], 0.0))]))
    return _searched_back(sorted(beats + found), at, height, level, fs) if found else beats


def _at_the_peak(near: Offsets, whole: Floats, fs: float) -> Offsets:
    half = round(PEAK_S * fs)
    size = np.abs(band_passed(whole, fs, PEAK_BAND)).max(axis=0)
    starts = np.maximum(near - half, 0)
    found = [a + int(np.argmax(size[a : b + half + 1])) for a, b in zip(starts, near, strict=True)]
    return np.unique(np.asarray(found, dtype=np.int64))
