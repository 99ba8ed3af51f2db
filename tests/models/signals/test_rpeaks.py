from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.recordings import Recording, open_recording
from models.signals.rpeaks import r_peaks


def stretch(recording: Recording, start_s: float, length_s: float) -> np.ndarray:
    first = round(start_s * recording.fs)
    counts = recording.counts[:, first : first + round(length_s * recording.fs)]
    return counts.astype(np.float32) * np.asarray(recording.uv_per_count, np.float32)[:, None]


def test_noise_and_a_flat_line_hold_no_beats() -> None:
    noise = np.random.default_rng(1).normal(0, 10, (1, 3600)).astype(np.float32)
    assert len(r_peaks(noise, 360.0)) == 0
    assert len(r_peaks(np.full((1, 3600), 700, np.float32), 360.0)) == 0
    assert len(r_peaks(np.zeros((1, 3), np.float32), 360.0)) == 0


def test_turning_the_lead_over_finds_the_same_beats(excerpt: Recording) -> None:
    x = stretch(excerpt, 20, 30)
    assert np.array_equal(r_peaks(x, 360.0), r_peaks(-x, 360.0))
    assert len(r_peaks(x, 360.0)) > 40


def test_small_beats_after_a_large_one_are_found() -> None:
    x = np.random.default_rng(2).normal(0, 5, (1, 3600))
    at = np.arange(200, 3600, 300)
    for i, r in enumerate(at):
        x[0] += (1800 if i % 2 else 500) * np.exp(-(((np.arange(3600) - r) / (14 if i % 2 else 5)) ** 2))
    found = r_peaks(x.astype(np.float32), 360.0)
    assert np.abs(found - at).max() <= 4


def test_no_beat_is_found_in_missing_samples_nor_at_their_edges(excerpt: Recording) -> None:
    x = stretch(excerpt, 20, 10)
    whole = r_peaks(x, 360.0)
    missing = np.zeros(x.shape[1], dtype=np.bool_)
    missing[1000:2000] = True
    found = r_peaks(np.where(missing, 0, x), 360.0, missing)
    assert not missing[found].any()
    assert set(found) <= set(whole)
    outside = whole[(whole < 900) | (whole > 2100)]
    assert set(outside) <= set(found)
    assert len(r_peaks(x, 360.0, np.ones_like(missing))) == 0


def test_a_beat_does_not_depend_on_where_the_stretch_begins(excerpt: Recording) -> None:
    a, b = r_peaks(stretch(excerpt, 100, 45), 360.0), r_peaks(stretch(excerpt, 110, 45), 360.0) + 3600
    both = (3600 + 1800, 45 * 360 - 1800)
    inside = [set(p[(p > both[0]) & (p < both[1])].tolist()) for p in (a, b)]
    assert inside[0] == inside[1]
    assert len(inside[0]) > 40


@pytest.mark.parametrize("name", ["mitdb/208", "mitdb/119", "svdb/820"])
def test_annotated_beats_are_found_within_150_ms(ecg_data: Path, name: str) -> None:
    wfdb = pytest.importorskip("wfdb")
    recording = open_recording(ecg_data / name)
    beats = wfdb.rdann(str(ecg_data / name), "atr", sampto=round(300 * recording.fs))
    truth = np.array([s for s, y in zip(beats.sample, beats.symbol, strict=True) if y in "NLRAaJSVFejE"])
    found = r_peaks(stretch(recording, 0, 300), recording.fs)
    near = np.abs(truth[:, None] - found[None]) <= 0.15 * recording.fs
    assert near.any(axis=1).mean() >= 0.99
    assert near.any(axis=0).mean() >= 0.98
