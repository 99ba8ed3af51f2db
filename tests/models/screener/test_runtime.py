from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from models.recordings import Recording
from models.screener.labels import LABELS
from models.screener.runtime import WEIGHTS, Screener

FS = 250.0
LEADS = ("MLII", "V1")


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener()


@pytest.fixture(scope="module")
def ecg() -> np.ndarray:
    """45 s of something with R waves, (2, sample) in microvolts at 250 Hz."""
    t = np.arange(round(45 * FS)) / FS
    rng = np.random.default_rng(0)
    beat = 1000 * np.exp(-0.5 * ((t % 0.83 - 0.3) / 0.012) ** 2) + 150 * np.sin(2 * np.pi * 0.3 * t)
    noise = rng.normal(0, 10, (2, len(t)))
    return (np.stack([beat, -0.6 * beat]) + noise).astype(np.float32)


def test_the_same_stretch_scores_the_same_twice(screener: Screener, ecg: np.ndarray) -> None:
    once, again = screener.run(ecg, FS, LEADS), Screener().run(ecg, FS, LEADS)
    assert once.window == again.window
    np.testing.assert_array_equal(once.tokens, again.tokens)


def test_two_equal_leads_score_like_one(screener: Screener, ecg: np.ndarray) -> None:
    lead, twice = ecg[:1], ecg[[0, 0]]
    one, two = screener.run(lead, FS, ("II",)), screener.run(twice, FS, ("II", "II"))
    assert one.window == pytest.approx(two.window, abs=1e-5)
    np.testing.assert_allclose(one.tokens, two.tokens, atol=1e-5)


def test_the_order_of_leads_does_not_matter_and_their_number_is_free(
    screener: Screener, ecg: np.ndarray
) -> None:
    here, there = screener.run(ecg, FS, LEADS), screener.run(ecg[::-1], FS, LEADS[::-1])
    assert here.window == pytest.approx(there.window, abs=1e-5)
    many = screener.run(np.tile(ecg, (6, 1)), FS, tuple(f"lead {i}" for i in range(12)))
    assert 0 <= many.window <= 1


def test_a_lead_without_a_standard_name_is_taken(screener: Screener, ecg: np.ndarray) -> None:
    unknown, other = screener.run(ecg, FS, ("ECG1", "ECG2")), screener.run(ecg, FS, ("?", "patch"))
    assert unknown.window == other.window


def test_scores_are_probabilities_with_a_token_every_quarter_of_a_second(
    screener: Screener, ecg: np.ndarray
) -> None:
    scores = screener.run(ecg, FS, LEADS)
    assert scores.token_s == 0.25
    assert scores.tokens.shape == (180, len(LABELS))
    assert scores.tokens.dtype == np.float32
    assert ((scores.tokens >= 0) & (scores.tokens <= 1)).all()
    assert 0 <= scores.window <= 1


def test_two_seconds_are_enough_and_less_is_refused(screener: Screener, ecg: np.ndarray) -> None:
    assert screener.run(ecg[:, :500], FS, LEADS).tokens.shape == (8, len(LABELS))
    assert screener.run(ecg[:, :510], FS, LEADS).tokens.shape == (9, len(LABELS))  # the last one begun
    with pytest.raises(ValueError, match=r"1\.90 s of signal; the screener needs 2"):
        screener.run(ecg[:, :475], FS, LEADS)


def test_a_missing_stretch_is_held_and_not_taken_for_signal(screener: Screener, ecg: np.ndarray) -> None:
    missing = np.zeros(ecg.shape[1], dtype=np.bool_)
    missing[2000:2500] = True
    rail = np.where(missing, 5000.0, ecg).astype(np.float32)
    dark = np.where(missing, 0.0, ecg).astype(np.float32)
    assert screener.run(rail, FS, LEADS, missing).window == screener.run(dark, FS, LEADS, missing).window


@pytest.mark.parametrize("level", [0.0, 5000.0])
def test_a_flat_line_has_a_score(screener: Screener, level: float) -> None:
    flat = screener.run(np.full((1, 2500), level, dtype=np.float32), FS, ("II",))
    assert 0 <= flat.window <= 1
    assert np.isfinite(flat.tokens).all()


def test_the_weights_say_what_they_are(screener: Screener) -> None:
    assert screener.labels == LABELS
    assert 0 < screener.threshold < 1
    assert screener.model.startswith(f"screener/{screener.metadata['version']} ")
    assert screener.token_s == 0.25
    assert float(screener.metadata["fs"]) == 128
    assert screener.metadata["chosen"]
    assert WEIGHTS.stat().st_size < 3_000_000


def test_windows_of_the_excerpt_do_not_all_score_the_same(screener: Screener, excerpt: Recording) -> None:
    """Wiring, not accuracy: `anyecg evaluate screener` says how good the scores are."""
    microvolts = (excerpt.counts * np.asarray(excerpt.uv_per_count)[:, None]).astype(np.float32)
    size = round(10 * excerpt.fs)
    firsts = range(0, microvolts.shape[1] - size, size)
    scores = [screener.run(microvolts[:, a : a + size], excerpt.fs, excerpt.leads) for a in firsts]
    assert len({score.window for score in scores}) > len(firsts) / 2
    assert np.ptp([score.tokens for score in scores], axis=0).max() > 1e-3


def test_the_runtime_imports_nothing_heavy() -> None:
    code = (
        "import sys, models.screener.runtime;"
        "print([m for m in ('torch', 'pandas', 'wfdb', 'sklearn', 'matplotlib', 'onnx') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
