"""Indices of signal quality, 2 s at a time, in the light of the window around them.

After Li Q, Mark RG, Clifford GD, Physiol Meas 29:15-32, 2008 (agreement of two detectors, shares of power,
kurtosis) and Orphanidou C et al., IEEE J Biomed Health Inform 19:832-838, 2015 (likeness of beats), with two
deviations for the sake of arrhythmia: a beat is compared with the two most like it and not with the usual
beat, and nothing measures how regular the rhythm is. None depends on the gain.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, signal

from models.ecg import Mask
from models.signals.conditioning import hold_missing, resample
from models.signals.rpeaks import r_peaks

Floats = npt.NDArray[np.float64]
Offsets = npt.NDArray[np.int64]

RATE = 200.0  # Hz, of everything below; lengths in samples
PIECE = 400
PAD = 200
LOW, WIDE, QRS, HIGH = (0.5, 40.0), (1.0, 30.0), (5.0, 20.0), (15.0, 40.0)  # Hz
BEFORE, AFTER, NARROW, GUARD = 40, 60, 20, 24  # around an R peak
POWERS = (0.5, 1.5, 3.0, 5.0, 8.0, 12.0, 18.0, 25.0, 40.0)  # Hz, edges of the shares
NEUTRAL = (0.9, 0.1, -6.0, -6.0)  # of the comparisons, where there is no second beat
STEEP = 0.35  # of the 98th percentile, for the second detector
STILL = 0.004  # of a QRS complex, from one sample to the next
ENOUGH = 20  # samples away from beats
TINY = 1e-9

_COMPARED = ("likeness", "apart", "high residue", "residue")
_LOCAL = (
    *(*_COMPARED, "agreement", "background", "loud background"),
    *(f"{a:g}-{b:g} Hz" for a, b in pairwise(POWERS)),
    *("spread", "largest", "turns", "still", "kurtosis", "skewness", "rate"),
)
_WHOLE = (*_COMPARED, "least likeness", "agreement", "background", "rate", "unevenness")
INDICES = (*_LOCAL, *(f"window's {name}" for name in _WHOLE))


class _Beats(NamedTuple):
    """The beats that lie whole in the window, each against the two most like it."""

    at: Offsets
    compared: Floats  # (4, beat): mean correlation, |log amplitude| from the two nearest amplitudes, and
    # once the two are subtracted, log power over squared amplitude in 15-40 Hz and in 1-30 Hz
    size: float  # median peak to peak of the QRS complexes


def indices(lead: npt.NDArray[np.floating[Any]], fs: float, missing: Mask) -> Floats:
    """(piece, index) of one lead (sample,) of 0.5 s or more, columns as in `INDICES`; a piece is 2 s."""
    found = r_peaks(np.asarray(lead, dtype=np.float32)[None], fs, missing)
    held = hold_missing(lead, missing)
    low, wide, qrs, high = _bands(resample(held - np.median(held), fs, RATE))
    at = np.minimum(np.rint(found * (RATE / fs)).astype(np.int64), len(low) - 1)
    beats, n = _beats(at, wide, high), len(_pieces(low))
    agreement, agreement_whole = _agreement(at, _steep(wide), n)
    background, loud, background_whole = _background(at, qrs, beats.size)
    rate = _per_piece(at, n) / (min(PIECE, len(low)) / RATE)
    usual = np.median(beats.compared, axis=1) if len(beats.at) else np.asarray(NEUTRAL)
    least = np.sort(beats.compared[0])[len(beats.at) // 5] if len(beats.at) else usual[0]
    of_beats = _by_piece(beats.compared, beats.at, n, usual)
    local = [*of_beats, agreement, background, loud, *_powers(low), *_statistics(low, wide, beats.size)]
    whole = [*usual, least, agreement_whole, background_whole]
    whole += [np.log(len(at) * RATE / len(low) + 0.3), _unevenness(wide, beats.size)]
    return np.stack([*local, np.log(rate + 0.3), *(np.full(n, value) for value in whole)], axis=1)


def _pieces(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    n = min(PIECE, len(x))
    return x[: len(x) // n * n].reshape(-1, n)


@cache
def _gains(length: int) -> Floats:
    """(band, frequency): what a Butterworth filter of order 2 leaves, there and back."""
    hz = np.maximum(np.fft.rfftfreq(length, 1 / RATE), TINY)
    return np.stack([1 / (1 + (a / hz) ** 4) / (1 + (hz / b) ** 4) for a, b in (LOW, WIDE, QRS, HIGH)])


def _bands(y: Floats) -> Floats:
    """(band, sample): zero-phase, beyond the ends the signal turned about its end points."""
    pad = min(PAD, len(y) - 1)
    longer = np.pad(y, pad, mode="reflect", reflect_type="odd")
    passed = np.fft.irfft(np.fft.rfft(longer) * _gains(len(longer)), n=len(longer))
    return np.asarray(passed[:, pad : pad + len(y)])


def _beats(at: Offsets, wide: Floats, high: Floats) -> _Beats:
    whole = at[(at >= BEFORE) & (at < len(wide) - AFTER)]
    spans = whole[:, None] + np.arange(-BEFORE, AFTER)
    shapes = wide[spans]
    amplitude = np.ptp(shapes[:, BEFORE - NARROW : BEFORE + NARROW + 1], axis=1) + TINY
    size = float(np.median(amplitude)) if len(whole) else float(np.ptp(wide)) + TINY
    if len(whole) < 2:
        return _Beats(whole, np.repeat(np.asarray(NEUTRAL)[:, None], len(whole), axis=1), size)
    logs = np.log(amplitude)
    unit = shapes - shapes.mean(axis=1, keepdims=True)
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), TINY)
    nearest, unlike = _two_nearest(1 - unit @ unit.T)
    rows = (
        1 - unlike,
        _two_nearest(np.abs(logs[:, None] - logs))[1],
        _residue(high[spans], nearest, amplitude),
        _residue(shapes, nearest, amplitude),
    )
    return _Beats(whole, np.stack(rows), size)


def _two_nearest(distance: Floats) -> tuple[Offsets, Floats]:
    """(row, 2) columns of the two smallest of each row but itself, and their mean; one where there is one."""
    np.fill_diagonal(distance, np.inf)
    count = min(2, len(distance) - 1)
    nearest = np.argpartition(distance, count - 1, axis=1)[:, :count]
    return nearest, np.take_along_axis(distance, nearest, axis=1).mean(axis=1)


def _residue(shapes: Floats, nearest: Offsets, amplitude: Floats) -> Floats:
    left = shapes - shapes[nearest].mean(axis=1)
    return np.asarray(np.log(((left**2).mean(axis=1) + TINY) / amplitude**2))


def _steep(wide: Floats) -> Offsets:
    """The second detector: where the signal moves fastest, by a threshold for the whole window."""
    moves = ndimage.uniform_filter1d(np.abs(np.diff(wide, prepend=wide[0])), 16)
    at = int(0.98 * (len(moves) - 1))
    peaks, _ = signal.find_peaks(moves, height=STEEP * np.partition(moves, at)[at], distance=56)
    return np.asarray(peaks, dtype=np.int64)


def _agreement(at: Offsets, others: Offsets, n: int) -> tuple[Floats, float]:
    """Share of both detectors' beats that the other has within 120 ms: per piece, and of all."""
    close = np.abs(at[:, None] - others) <= GUARD
    both, every = np.concatenate([at, others]), len(at) + len(others)
    shared = np.concatenate([close.any(axis=1), close.any(axis=0)])
    local = (_per_piece(both[shared], n) + 1) / (_per_piece(both, n) + 1)
    return local, float((shared.sum() + 1) / (every + 1))


def _background(at: Offsets, qrs: Floats, size: float) -> tuple[Floats, Floats, float]:
    """Log of the 5-20 Hz envelope away from beats over the QRS size: its median and 95th percentile."""
    envelope = np.sqrt(np.maximum(ndimage.uniform_filter1d(qrs**2, 20), 0.0))
    beside = np.zeros(len(qrs) + 1)
    np.add.at(beside, np.maximum(at - GUARD, 0), 1)
    np.add.at(beside, np.minimum(at + GUARD + 1, len(qrs)), -1)
    away = np.cumsum(beside)[:-1] == 0
    local = _pieces(away)
    local = local | (local.sum(axis=1, keepdims=True) <= ENOUGH)
    ascending = np.sort(np.where(local, _pieces(envelope), np.inf), axis=1)
    count, row = local.sum(axis=1), np.arange(len(local))
    half, most = (ascending[row, (count * q).astype(np.int64)] for q in (0.5, 0.95))
    whole = np.median(envelope[away] if away.sum() > ENOUGH else envelope)
    return _log(half / size), _log(most / size), float(_log(whole / size))


@cache
def _shares(length: int) -> tuple[Floats, Floats]:
    """Hann window, and (frequency, share) which frequencies each share adds up."""
    hz = np.fft.rfftfreq(length, 1 / RATE)
    held = [(hz >= a) & (hz < b) for a, b in pairwise(POWERS)]
    return signal.windows.hann(length, sym=False), np.stack(held, axis=1).astype(np.float64)


def _powers(low: Floats) -> Floats:
    pieces = _pieces(low)
    hann, held = _shares(pieces.shape[1])
    power = np.abs(np.fft.rfft((pieces - pieces.mean(axis=1, keepdims=True)) * hann)) ** 2 @ held
    return np.asarray(np.log10(power / (power.sum(axis=1, keepdims=True) + TINY) + 1e-4).T)


def _statistics(low: Floats, wide: Floats, size: float) -> tuple[Floats, ...]:
    """Spread, largest, turns, still, kurtosis and skewness."""
    loud, narrow = _pieces(low), _pieces(wide)
    moves = np.diff(narrow, axis=1)
    centred = narrow - narrow.mean(axis=1, keepdims=True)
    squares = centred * centred
    power = squares.mean(axis=1) + TINY
    return (
        _log(loud.std(axis=1) / size),
        _log(np.abs(loud).max(axis=1) / size),
        (moves[:, 1:] * moves[:, :-1] < 0).mean(axis=1),
        (np.abs(moves) < STILL * size).mean(axis=1),
        np.log1p((squares * squares).mean(axis=1) / power**2),
        np.abs((squares * centred).mean(axis=1)) / power**1.5,
    )


def _unevenness(wide: Floats, size: float) -> float:
    spread = _pieces(wide).std(axis=1)
    return float(np.log((spread.max() + TINY) / (spread.min() + 1e-3 * size)))


def _log(ratio: npt.ArrayLike) -> Floats:
    return np.asarray(np.log(np.asarray(ratio) + 1e-4))


def _per_piece(at: Offsets, n: int) -> Floats:
    return np.bincount(np.minimum(at // PIECE, n - 1), minlength=n).astype(np.float64)


def _by_piece(x: Floats, at: Offsets, n: int, usual: Floats) -> Floats:
    """(row, piece): mean over the piece's beats, the usual where it has none."""
    held = np.minimum(at // PIECE, n - 1) == np.arange(n)[:, None]
    count = held.sum(axis=1)
    return np.where(count > 0, (x @ held.T) / np.maximum(count, 1), usual[:, None])
