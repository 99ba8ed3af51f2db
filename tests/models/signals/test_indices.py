from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.recordings import Recording
from models.signals.conditioning import resample
from models.signals.indices import INDICES, indices

FS = 360.0


def clean(excerpt: Recording) -> np.ndarray:
    first = round(50 * FS)
    return excerpt.counts[0, first : first + round(10 * FS)].astype(np.float32) * 5


def of(x: np.ndarray, fs: float = FS) -> np.ndarray:
    return indices(x.astype(np.float32), fs, np.zeros(len(x), dtype=np.bool_))


def test_ten_seconds_are_five_pieces_of_every_index(excerpt: Recording) -> None:
    assert of(clean(excerpt)).shape == (5, len(INDICES))


def test_beats_are_alike_and_noise_is_not(excerpt: Recording) -> None:
    likeness, residue = INDICES.index("likeness"), INDICES.index("residue")
    beats = of(clean(excerpt))
    noise = of(np.random.default_rng(1).normal(0, 300, 3600))
    assert beats[:, likeness].min() > 0.85 > noise[:, likeness].max()
    assert beats[:, residue].max() < noise[:, residue].min()


@pytest.mark.parametrize("gain", [0.5, 3.0])
def test_the_gain_changes_nothing(excerpt: Recording, gain: float) -> None:
    np.testing.assert_allclose(of(clean(excerpt) * gain), of(clean(excerpt)), atol=0.05)


def test_polarity_changes_nothing(excerpt: Recording) -> None:
    np.testing.assert_allclose(of(-clean(excerpt)), of(clean(excerpt)), atol=1e-6)


@pytest.mark.parametrize("fs", [128.0, 250.0, 1000.0])
def test_the_rate_changes_little(excerpt: Recording, fs: float) -> None:
    other = of(resample(clean(excerpt), FS, fs), fs)
    assert np.median(np.abs(other - of(clean(excerpt)))) < 0.05


@given(
    seconds=st.floats(0.5, 10),
    fs=st.sampled_from([100.0, 125.0, 130.0, 250.0, 497.5, 500.0, 1000.0]),
    kind=st.sampled_from(["flat", "white", "walk", "spike", "sine"]),
)
@settings(max_examples=40)
def test_any_length_rate_and_signal_gives_numbers(seconds: float, fs: float, kind: str) -> None:
    n = max(1, round(seconds * fs))
    rng = np.random.default_rng(n)
    signals = {
        "flat": np.zeros(n),
        "white": rng.normal(0, 100, n),
        "walk": np.cumsum(rng.normal(0, 50, n)),
        "spike": np.where(np.arange(n) == n // 2, 5000.0, 0.0),
        "sine": 1000 * np.sin(np.arange(n) / fs * 30),
    }
    assert np.isfinite(of(signals[kind], fs)).all()
