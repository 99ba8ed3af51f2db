from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from models.recordings import Recording
from models.screener.labels import LABELS
from models.screener.runtime import WEIGHTS, Scores, Screener


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener()


@pytest.fixture(scope="module")
def ecg() -> tuple[np.ndarray, float]:
    """45 s of something with R waves, (1, sample) in microvolts at 250 Hz."""
    fs = 250.0
    t = np.arange(round(45 * fs)) / fs
    rng = np.random.default_rng(0)
    beat = 1000 * np.exp(-0.5 * ((t % 0.83 - 0.3) / 0.012) ** 2) + 150 * np.sin(2 * np.pi * 0.3 * t)
    return (beat + rng.normal(0, 10, len(t)))[None].astype(np.float32), fs


def test_the_same_stretch_scores_the_same_twice(screener: Screener, ecg: tuple[np.ndarray, float]) -> None:
    once, again = screener.run(*ecg), Screener().run(*ecg)
    assert once.window == again.window
    np.testing.assert_array_equal(once.tokens, again.tokens)


def test_two_equal_leads_score_like_one(screener: Screener, ecg: tuple[np.ndarray, float]) -> None:
    microvolts, fs = ecg
    one, two = screener.run(microvolts, fs), screener.run(np.repeat(microvolts, 2, axis=0), fs)
    assert one.window == pytest.approx(two.window, abs=1e-5)
    np.testing.assert_allclose(one.tokens, two.tokens, atol=1e-5)


def test_scores_are_probabilities_with_a_token_per_third_of_a_second(
    screener: Screener, ecg: tuple[np.ndarray, float]
) -> None:
    scores = screener.run(*ecg)
    assert scores.tokens.shape == (141, len(LABELS))  # 4500 samples at 100 Hz, 32 a token, the last one begun
    assert scores.tokens.dtype == np.float32
    assert ((scores.tokens >= 0) & (scores.tokens <= 1)).all()
    assert 0 <= scores.window <= 1


def test_two_seconds_are_enough_and_less_is_refused(
    screener: Screener, ecg: tuple[np.ndarray, float]
) -> None:
    microvolts, fs = ecg
    assert screener.run(microvolts[:, : round(2 * fs)], fs).tokens.shape == (7, len(LABELS))
    with pytest.raises(ValueError, match="the screener needs 2"):
        screener.run(microvolts[:, : round(1.9 * fs)], fs)


def test_a_missing_stretch_is_held_and_not_taken_for_signal(
    screener: Screener, ecg: tuple[np.ndarray, float]
) -> None:
    microvolts, fs = ecg
    missing = np.zeros(microvolts.shape[1], dtype=np.bool_)
    missing[2000:2500] = True
    rail = np.where(missing, 5000.0, microvolts).astype(np.float32)
    dark = np.where(missing, 0.0, microvolts).astype(np.float32)
    assert screener.run(rail, fs, missing).window == screener.run(dark, fs, missing).window


def test_the_weights_say_what_they_are(screener: Screener) -> None:
    assert screener.labels == LABELS
    assert set(screener.token_thresholds) == set(LABELS)
    assert set(screener.beat_thresholds) == {"S", "V"}
    assert 0 < screener.threshold < 1
    assert screener.token_s == 0.32
    assert screener.model.startswith("screener/1 ")
    assert float(screener.metadata["fs"]) == 100
    assert len(screener.metadata["data_sha256"]) == 64
    assert "held-out" in json.loads(screener.metadata["chosen"])
    assert WEIGHTS.stat().st_size < 2_000_000


def test_a_beat_takes_the_likelier_token_when_it_lies_near_the_edge(screener: Screener) -> None:
    tokens = np.zeros((3, len(LABELS)), dtype=np.float32)
    tokens[1, 0], tokens[1, 1] = 0.2, 0.9
    scores = Scores(window=0.5, tokens=tokens, token_s=0.32)
    near, far, inside = screener.beat_probabilities(scores, [0.30, 0.20, 0.48])
    assert near.tolist() == inside.tolist() == pytest.approx([0.2, 0.9])
    assert far.tolist() == [0, 0]


def test_ectopic_beats_of_the_excerpt_are_flagged(screener: Screener, excerpt: Recording) -> None:
    """Wiring, not accuracy: the excerpt's record was learned."""
    scale = np.asarray(excerpt.uv_per_count, dtype=np.float32)[:, None]
    microvolts = (excerpt.counts * scale).astype(np.float32)
    size = round(10 * excerpt.fs)
    firsts = range(0, microvolts.shape[1] - size, size)
    flagged = [
        screener.run(microvolts[:, a : a + size], excerpt.fs).window >= screener.threshold for a in firsts
    ]
    assert np.mean(flagged) > 0.9


def test_the_runtime_imports_nothing_heavy() -> None:
    code = (
        "import sys, models.screener.runtime;"
        "print([m for m in ('torch', 'pandas', 'wfdb', 'sklearn', 'matplotlib', 'onnx') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
