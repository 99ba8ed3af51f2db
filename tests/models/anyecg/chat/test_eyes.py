"""Content tokens: one a second, the localizer's own, of any length and any leads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anyecg.chat.eyes import Eyes, make_encoder
from models.anyecg.localizer import WEIGHTS, OnnxNets
from models.errors import RecordingError
from models.recordings import Recording
from models.signals.conditioning import condition

FS = 250.0


@pytest.fixture(scope="module")
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture(scope="module")
def signal(excerpt: Recording) -> np.ndarray:
    return (excerpt.counts * np.asarray(excerpt.uv_per_count)[:, None]).astype(np.float32)


def beating(fs: float, samples: int, leads: int) -> np.ndarray:
    t = np.arange(samples) / fs
    beat = 900 * np.exp(-0.5 * ((t % 0.8 - 0.3) / 0.012) ** 2)
    noise = np.random.default_rng(0).normal(0, 10, (leads, samples))
    return (np.stack([beat / (1 + i) for i in range(leads)]) + noise).astype(np.float32)


@settings(max_examples=12)
@given(st.integers(2, 20_000), st.sampled_from([125.0, 250.0, 360.0, 500.0]), st.integers(1, 3))
def test_any_length_rate_and_number_of_leads_gives_a_token_a_second(
    samples: int, fs: float, leads: int
) -> None:
    tokens = Eyes().see(beating(fs, samples, leads), fs, ("MLII", "V1", "?")[:leads])
    assert tokens.dtype == np.float32
    assert abs(len(tokens) - np.ceil(samples / fs)) <= 1  # resampled to 128 Hz
    assert np.isfinite(tokens).all()


def test_what_is_seen_are_the_localizers_tokens_by_second_standardized(
    tmp_path: Path, excerpt: Recording, signal: np.ndarray
) -> None:
    strip = signal[:, : round(20 * excerpt.fs)]
    nowhere = np.zeros(strip.shape[1], dtype=np.bool_)
    make_encoder(
        WEIGHTS / "dense.onnx", tmp_path / "encoder.onnx", [(strip, excerpt.fs, excerpt.leads, nowhere)]
    )
    seen = Eyes(tmp_path / "encoder.onnx").see(strip, excerpt.fs, excerpt.leads)
    x, gain = condition(strip, excerpt.fs)
    _, _, tokens = OnnxNets().dense(x, np.asarray([14]), gain)
    seconds = tokens.reshape(20, 4, -1)
    wanted = np.concatenate([seconds.mean(axis=1), seconds.max(axis=1)], axis=1)
    usual = wanted.mean(axis=0), np.maximum(wanted.std(axis=0), 0.01)
    np.testing.assert_allclose(seen, (wanted - usual[0]) / usual[1], atol=2e-2)


def test_a_long_signal_is_seen_in_stretches_that_share_context(
    eyes: Eyes, excerpt: Recording, signal: np.ndarray
) -> None:
    fs, leads = excerpt.fs, excerpt.leads
    seen = eyes.see(signal[:, : round(150 * fs)], fs, leads)
    assert len(seen) == 150
    alone = eyes.see(signal[:, round(30 * fs) : round(90 * fs)], fs, leads)
    np.testing.assert_array_equal(seen[45:75], alone[15:45])
    whole = eyes.see(signal[:, : round(60 * fs)], fs, leads)
    np.testing.assert_array_equal(seen[:45], whole[:45])


def test_leads_are_read_in_any_order(eyes: Eyes) -> None:
    x = beating(FS, round(12 * FS), 2)
    seen = eyes.see(x, FS, ("MLII", "V1"))
    np.testing.assert_allclose(eyes.see(x[::-1], FS, ("V1", "MLII")), seen, atol=1e-3)


def test_a_zeroed_ecg_has_tokens_that_tell_of_no_beat(eyes: Eyes) -> None:
    flat = eyes.see(np.zeros((1, round(30 * FS)), dtype=np.float32), FS, ("MLII",))
    heart = eyes.see(beating(FS, round(30 * FS), 1), FS, ("MLII",))
    assert np.isfinite(flat).all()
    assert np.ptp(flat[10:20], axis=0).max() < 1e-3
    assert np.abs(flat[15] - heart[15]).max() > 1


def test_missing_samples_are_held_not_read_as_a_jump(eyes: Eyes) -> None:
    x = beating(FS, round(20 * FS), 1)
    missing = np.zeros(x.shape[1], dtype=np.bool_)
    missing[round(8 * FS) : round(12 * FS)] = True
    gone = np.where(missing, np.float32(5000), x)
    seen = eyes.see(gone, FS, ("MLII",), missing)
    np.testing.assert_allclose(seen, eyes.see(np.where(missing, 0, x), FS, ("MLII",), missing), atol=1e-3)


def test_nothing_to_see_and_a_missing_encoder_are_said(eyes: Eyes, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sample"):
        eyes.see(np.zeros((1, 0), dtype=np.float32), FS, ("MLII",))
    with pytest.raises(RecordingError, match="missing"):
        Eyes(tmp_path / "encoder.onnx")
