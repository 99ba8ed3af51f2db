"""Noise as patients make it, laid over clean signal piece by piece, with the answer it deserves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import Microvolts
from models.signals.conditioning import resample
from models.signals.rpeaks import band_passed

Floats = npt.NDArray[np.float64]
Noise = tuple[float, Sequence[Microvolts]]  # fs, and for each kind (channel, sample)

BAND = (1.0, 30.0)  # Hz, in which signal and noise are weighed
PIECE_S = 2.0
UNREADABLE_DB, READABLE_DB = -1.0, 4.0  # local signal to noise; between them nobody is asked
SNR_DB = (-14.0, 18.0)
FLAT_SHARE = 0.05  # of the spoilt windows hold a flat stretch
KINDS = (0.45, 0.15, 0.18, 0.10, 0.12)  # recorded, gait, muscle, bumps, wandering


def spoilt(
    rng: np.random.Generator, lead: npt.NDArray[Any], fs: float, noise: Noise
) -> tuple[Floats, Floats]:
    """(signal, per piece of 2 s 1 unreadable, 0 readable, nan between) with one to three bursts."""
    clean = lead.astype(np.float64)
    power = _power(clean, fs)
    added = np.zeros(len(clean))
    for _ in range(rng.choice([1, 1, 2, 3])):
        length = _length(rng, len(clean), fs)
        start = int(rng.integers(len(clean) - length + 1))
        added[start : start + length] += _loud(rng, _burst(rng, length, fs, noise), fs, power)
    flat = np.zeros(len(clean), dtype=np.bool_)
    if rng.random() < FLAT_SHARE:
        length = min(len(clean) - 1, int(rng.uniform(2, 6) * fs))
        start = int(rng.integers(len(clean) - length))
        flat[start : start + length] = True
    signal = clean + added
    signal[flat] = signal[flat][0] if flat.any() else 0.0
    inside = _pieces(band_passed(added[None], fs, BAND)[0] ** 2, fs).mean(axis=1)
    local = 10 * np.log10(power / (inside + 1e-9))
    answer = np.where(local < UNREADABLE_DB, 1.0, np.where(local > READABLE_DB, 0.0, np.nan))
    return signal, np.where(_pieces(flat, fs).mean(axis=1) > 0.5, 1.0, answer)


def _pieces(x: npt.NDArray[Any], fs: float) -> npt.NDArray[Any]:
    n = min(len(x), int(PIECE_S * fs))
    return x[: len(x) // n * n].reshape(-1, n)


def _power(clean: Floats, fs: float) -> float:
    """(usual peak to peak)^2 / 8, in the band."""
    tenths = np.array_split(band_passed(clean[None], fs, BAND)[0], 10)
    return float(np.median([np.ptp(part) for part in tenths]) ** 2 / 8 + 1e-9)


def _length(rng: np.random.Generator, n: int, fs: float) -> int:
    seconds = rng.choice([rng.uniform(1, 4), rng.uniform(3, 10), n / fs])
    return int(np.clip(seconds * fs, 0.5 * fs, n))


def _loud(rng: np.random.Generator, burst: Floats, fs: float, power: float) -> Floats:
    inside = float((band_passed(burst[None], fs, BAND) ** 2).mean()) + 1e-12
    burst = burst * np.sqrt(power / inside * 10 ** (-rng.uniform(*SNR_DB) / 10))
    if rng.random() < 0.5:  # half fade in and out
        ramp = np.arange(len(burst))
        burst = burst * np.minimum(1.0, np.minimum(ramp, ramp[::-1]) / (0.1 * fs))
    return np.asarray(burst)


def _burst(rng: np.random.Generator, n: int, fs: float, noise: Noise) -> Floats:
    makers: tuple[Callable[[], Floats], ...] = (
        lambda: _recorded(rng, n, fs, noise),
        lambda: _gait(rng, n, fs),
        lambda: _muscle(rng, n, fs),
        lambda: _bumps(rng, n, fs),
        lambda: np.cumsum(rng.normal(size=n)) + rng.uniform(0, 5) * rng.normal(size=n),
    )
    return makers[rng.choice(len(makers), p=KINDS)]()


def _recorded(rng: np.random.Generator, n: int, fs: float, noise: Noise) -> Floats:
    """Electrode motion, one time in five baseline wander."""
    rate, kinds = noise
    channels = kinds[int(rng.random() < 0.2)]
    length = int(n * rate / fs) + 2
    start = int(rng.integers(channels.shape[1] - length))
    return resample(channels[rng.integers(len(channels)), start : start + length], rate, fs)[:n]


def _gait(rng: np.random.Generator, n: int, fs: float) -> Floats:
    t, step = np.arange(n) / fs, rng.uniform(1.2, 3.2)
    wobble = np.cumsum(rng.normal(0, 0.3 / np.sqrt(fs), n))
    fall = rng.uniform(0.2, 1.2)
    x = np.zeros(n)
    for k in range(1, 9):
        x += (
            rng.normal() / k**fall * np.sin(2 * np.pi * k * step * t + k * wobble + rng.uniform(0, 2 * np.pi))
        )
    return x * (1 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.1, 0.5) * t + rng.uniform(0, 2 * np.pi)))


def _muscle(rng: np.random.Generator, n: int, fs: float) -> Floats:
    low, high = rng.uniform(8, 20), min(rng.uniform(30, 120), 0.45 * fs)
    x = band_passed(rng.normal(size=(1, n)), fs, (low, high))[0]
    halves = np.arange(0, n / fs + 1, 0.5)
    return np.asarray(x * np.exp(np.interp(np.arange(n) / fs, halves, rng.normal(0, 0.6, len(halves)))))


def _bumps(rng: np.random.Generator, n: int, fs: float) -> Floats:
    """Steps that decay, and spikes."""
    x = np.zeros(n)
    for _ in range(rng.integers(1, 2 + int(3 * n / fs))):
        at, height = int(rng.integers(n)), rng.normal()
        if rng.random() < 0.5:
            x[at:] += height * np.exp(-np.arange(n - at) / fs / rng.uniform(0.05, 1.0))
        else:
            width = max(1, int(rng.uniform(0.01, 0.2) * fs))
            x[at : at + width] += height * np.hanning(width + 2)[1:-1][: n - at]
    return x
