from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anyecg.shapes import ABSOLUTE, BEFORE, QRS, SHIFT, WIDTH, aligned, cut, describe

TRUE = np.arange(1, 13) * 100


def train(heights: np.ndarray | float = 1.0, leads: int = 2) -> np.ndarray:
    """(lead, sample): at every 100th sample a QRS with a steep rise and an S wave."""
    t = np.arange(1300)[None] - TRUE[:, None]
    beats = np.exp(-0.5 * (t / 2.5) ** 2) - 0.5 * np.exp(-0.5 * ((t - 7) / 3.0) ** 2)
    x = (np.broadcast_to(heights, 12)[:, None] * beats).sum(axis=0)
    return np.stack([x * (1 - 0.4 * i) for i in range(leads)]).astype(np.float32)


@pytest.mark.parametrize("leads", [1, 2])
def test_marks_that_scatter_come_to_lie_on_the_same_place_of_every_beat(leads: int) -> None:
    jitter = np.asarray([0, 3, -3, 1, 0, -2, 2, 0, -1, 0, 3, 0])
    assert np.ptp(aligned(train(leads=leads), TRUE + jitter) - TRUE) == 0


def test_a_beat_upside_down_is_aligned_by_its_shape() -> None:
    heights = np.where(np.arange(12) == 5, -1.0, 1.0)
    jitter = np.where(np.arange(12) == 5, 2, 0)
    np.testing.assert_array_equal(aligned(train(heights), TRUE + jitter), TRUE)


def test_a_mark_moves_by_no_more_than_31_ms_and_stays_inside() -> None:
    far = TRUE + np.where(np.arange(12) == 4, 12, 0)
    assert np.abs(aligned(train(), far) - far).max() <= SHIFT
    edges = np.asarray([0, 1, 2, 1298, 1299])
    moved = aligned(train(), edges)
    assert moved.min() >= 0
    assert moved.max() < 1300


def test_two_beats_have_no_usual_one_and_stay_where_they_are() -> None:
    assert aligned(train(), np.asarray([101, 203])).tolist() == [101, 203]


def test_a_beat_is_cut_around_its_peak() -> None:
    x = train()
    beats = cut(x, TRUE)
    assert beats.shape == (12, 2, WIDTH)
    assert beats[3, :, BEFORE].tolist() == x[:, 400].tolist()
    assert beats[:, 0].argmax(axis=1).tolist() == [BEFORE] * 12


def test_outside_the_stretch_a_beat_is_zero() -> None:
    beats = cut(np.ones((1, 300), dtype=np.float32), np.asarray([0, 299]))
    assert beats[0, 0].tolist() == [0.0] * BEFORE + [1.0] * (WIDTH - BEFORE)
    assert beats[1, 0].tolist() == [1.0] * (BEFORE + 1) + [0.0] * (WIDTH - BEFORE - 1)


def test_the_usual_beat_does_not_differ_from_itself() -> None:
    shapes, numbers = describe(cut(train(), TRUE))
    np.testing.assert_allclose(shapes[:, :, 1], 0, atol=1e-6)
    np.testing.assert_allclose(numbers[:, :, [0, 2]], 1, atol=1e-4)  # correlations
    np.testing.assert_allclose(numbers[:, :, [3, 4, 6, 8, 10]], 0, atol=1e-6)  # ratios and differences


def test_a_beat_twice_as_tall_has_the_usual_shape_and_twice_the_norm() -> None:
    beats = cut(train(np.where(np.arange(12) == 5, 2.0, 1.0)), TRUE)
    _, numbers = describe(beats)
    norm = np.linalg.norm(beats[4, 0, QRS])
    assert numbers[5, 0, 0] == pytest.approx(1, abs=1e-4)
    assert numbers[5, 0, 3] == pytest.approx(np.log((2 * norm + 0.02) / (norm + 0.02)), abs=1e-4)


def test_a_wide_beat_among_narrow_ones_shows_in_area_slope_and_width() -> None:
    x = train(np.where(np.arange(12) == 5, 0.0, 1.0), leads=1)
    x[0] += np.exp(-0.5 * ((np.arange(1300) - 600) / 10) ** 2).astype(np.float32)
    _, numbers = describe(cut(x, TRUE))
    area, slope, width = numbers[5, 0, [6, 8, 10]]
    assert area > 0.5
    assert slope < -0.5
    assert width > 0.2
    assert numbers[5, 0, 0] < 0.9


def test_another_usual_beat_changes_what_compares_and_nothing_else() -> None:
    beats = cut(train(), TRUE)
    shapes, numbers = describe(beats)
    others, compared = describe(beats, usual=np.roll(beats[0], 5, axis=-1))
    np.testing.assert_array_equal(others[:, :, 0], shapes[:, :, 0])
    np.testing.assert_array_equal(compared[:, :, list(ABSOLUTE)], numbers[:, :, list(ABSOLUTE)])
    assert (compared[:, :, 0] < numbers[:, :, 0]).all()


@given(
    seed=st.integers(0, 999),
    peaks=st.lists(st.integers(0, 599), min_size=1, max_size=12).map(sorted),
    leads=st.integers(1, 12),
    height=st.sampled_from([0.0, 1e-6, 1.0, 4.0]),
)
def test_any_beats_are_described_in_finite_numbers(
    seed: int, peaks: list[int], leads: int, height: float
) -> None:
    x = np.clip(np.random.default_rng(seed).normal(0, height, (leads, 600)), -4, 4).astype(np.float32)
    at = aligned(x, np.asarray(peaks))
    shapes, numbers = describe(cut(x, at))
    assert shapes.shape == (len(peaks), leads, 2, WIDTH)
    assert numbers.shape == (len(peaks), leads, 11)
    assert (shapes.dtype, numbers.dtype) == (np.float32, np.float32)
    assert np.isfinite(shapes).all()
    assert np.abs(numbers).max() <= 3
