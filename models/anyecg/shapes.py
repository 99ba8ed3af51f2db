"""Beats as the beat classifier sees them: cut out, beside the usual beat, and in numbers. numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

Floats = npt.NDArray[np.float32]

BEFORE, AFTER = 58, 54  # samples at 128 Hz around the R peak: 453 ms before, 422 ms after
WIDTH = BEFORE + AFTER
QRS = slice(BEFORE - 14, BEFORE + 16)  # 110 ms before to 125 ms after
P_WAVE = slice(BEFORE - 44, BEFORE - 10)  # 344 to 78 ms before
SHIFT = 4  # samples
ABSOLUTE = (5, 7, 9)  # of the numbers: those that do not compare with the usual beat
TINY = 1e-4


def cut(signal: Floats, peaks: npt.NDArray[np.int64]) -> Floats:
    """(beat, lead, 112) around each peak of a scaled stretch (lead, sample at 128 Hz); 0 outside it."""
    return around(signal, peaks, BEFORE, AFTER)


def aligned(signal: Floats, peaks: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Peaks moved by up to 31 ms to where the QRS correlates best with the sequence's median beat.

    Marks scatter, people's and networks' alike; a beat that is compared with the usual one must lie on it.
    """
    if len(peaks) < 3:
        return peaks
    wide = around(signal, peaks, BEFORE - QRS.start + SHIFT, QRS.stop - BEFORE + SHIFT)
    views = sliding_window_view(wide, QRS.stop - QRS.start, axis=2)  # (beat, lead, shift, sample)
    usual = np.median(views[:, :, SHIFT], axis=0)
    usual = usual - usual.mean(axis=1, keepdims=True)
    match = np.einsum("blsn,ln->bs", views, usual)
    size = np.sqrt(((views - views.mean(axis=3, keepdims=True)) ** 2).sum(axis=(1, 3)))
    best = np.argmax(np.abs(match) / np.maximum(size, TINY), axis=1)
    return np.asarray(np.clip(peaks + best - SHIFT, 0, signal.shape[1] - 1), dtype=np.int64)


def around(signal: Floats, peaks: npt.NDArray[np.int64], before: int, after: int) -> Floats:
    """(beat, lead, before + after); 0 outside the stretch."""
    padded = np.pad(signal, ((0, 0), (before, after)))
    index = peaks[:, None] + np.arange(before + after)
    return np.asarray(padded[:, index].transpose(1, 0, 2), dtype=np.float32)


def describe(beats: Floats, *, usual: Floats | None = None) -> tuple[Floats, Floats]:
    """(shapes (beat, lead, 2, 112), numbers (beat, lead, 11)) of cut beats.

    `usual` (lead, 112) is the beat they are compared with, the sequence's median beat by default. Numbers:
    correlation with it (QRS, P region, whole), log ratio of the QRS's norm and of the P region's deviation;
    log area, log steepest slope and width in time, each over the beat's height and less the usual beat's.
    """
    median = np.median(beats, axis=0) if usual is None else usual
    numbers = np.stack(
        [
            *(correlation(beats, median, part) for part in (QRS, P_WAVE, slice(None))),
            _log_ratio(np.linalg.norm(beats[..., QRS], axis=-1), np.linalg.norm(median[..., QRS], axis=-1)),
            _log_ratio(beats[..., P_WAVE].std(axis=-1), median[..., P_WAVE].std(axis=-1)),
            *(x for mine, its in zip(_form(beats), _form(median), strict=True) for x in (mine, mine - its)),
        ],
        axis=-1,
    )
    shapes = np.stack([np.arcsinh(beats), np.arcsinh(beats - median)], axis=2)
    return shapes.astype(np.float32), np.clip(numbers, -3, 3).astype(np.float32)


def correlation(beats: Floats, median: Floats, part: slice) -> Floats:
    """(beat, lead) of a part of cut beats with that part of another (lead, 112); 0 where one is flat."""
    a, b = beats[..., part], median[..., part]
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.maximum(norms, TINY))


def _log_ratio(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.log((a + 0.02) / (b + 0.02)))


def _form(beats: Floats) -> tuple[Floats, Floats, Floats]:
    """Log area and log steepest slope over the height; how far the energy spreads, in tenths of a second."""
    height = np.ptp(beats, axis=-1) + 0.05
    area = np.log(np.abs(beats[..., QRS]).mean(axis=-1) / height + 0.02)
    slope = np.log(np.abs(np.diff(beats, axis=-1)).max(axis=-1) / height + 0.02)
    energy = beats**2 + 1e-6
    t = np.arange(beats.shape[-1], dtype=np.float32) / 12.8
    total = energy.sum(axis=-1)
    centre = (energy * t).sum(axis=-1) / total
    spread = np.sqrt((energy * (t - centre[..., None]) ** 2).sum(axis=-1) / total)
    return area, slope, spread
