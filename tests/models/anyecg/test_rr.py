from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anyecg.rr import AROUND, lag_irregularity, rr_numbers, rr_tokens

REGULAR = np.arange(60) * 0.8
BEATS = st.lists(st.floats(-5, 80), max_size=60).map(
    lambda beats: np.sort(np.asarray(beats, dtype=np.float64))
)


def after(intervals: list[float] | np.ndarray) -> np.ndarray:
    """Beats with these intervals, the first at 0.1 s."""
    return 0.1 + np.concatenate([[0.0], np.cumsum(intervals)])


def test_beats_every_800_ms_are_zero_in_every_number() -> None:
    numbers = rr_numbers(REGULAR)
    assert numbers.shape == (60, 10)
    np.testing.assert_allclose(numbers, 0, atol=1e-6)


def test_a_faster_regular_heart_differs_in_the_absolute_intervals_alone() -> None:
    numbers = rr_numbers(REGULAR / 2)
    np.testing.assert_allclose(numbers[:, :2], np.log(0.5), atol=1e-6)
    np.testing.assert_allclose(numbers[:, 2:], 0, atol=1e-6)


def test_an_early_beat_with_a_pause_after_it() -> None:
    """Intervals of 0.8 s, then 0.5 s and 1.1 s: the beat between these two."""
    early = rr_numbers(after([0.8] * 8 + [0.5, 1.1] + [0.8] * 8))[9]
    before, behind = np.log(0.5 / 0.8), np.log(1.1 / 0.8)
    expected = [before, behind, before, behind, before, behind, before - behind, before, before, 0]
    np.testing.assert_allclose(early, expected, atol=1e-6)


def test_intervals_are_held_between_200_ms_and_3_s() -> None:
    numbers = rr_numbers(after([0.8] * 5 + [30.0] + [0.01] + [0.8] * 5))
    assert numbers[6, 0] == pytest.approx(np.log(3 / 0.8))
    assert numbers[7, 0] == pytest.approx(np.log(0.2 / 0.8))


def test_tokens_say_where_beats_are_and_which_interval_they_lie_in() -> None:
    tokens = rr_tokens(np.asarray([0.1, 0.9, 1.7, 2.5]), 12)
    assert np.flatnonzero(tokens[:, 4]).tolist() == [0, 3, 6, 10]
    assert np.flatnonzero(tokens[:, 5]).tolist() == list(
        range(10)
    )  # the last middle before 2.5 s is at 2.375
    np.testing.assert_allclose(tokens[:, :4], 0, atol=1e-6)


def test_tokens_carry_the_interval_the_next_one_the_one_before_and_the_median() -> None:
    """Intervals 0.8, 0.8, 0.5, 1.0: token 7 (1.875 s) lies in the third, from 1.7 to 2.2 s."""
    token = rr_tokens(after([0.8, 0.8, 0.5, 1.0]), 16)[7]
    expected = [np.log(0.5 / 0.8), np.log(1.0 / 0.5), np.log(0.5 / 0.8), np.log(0.5 / 0.8), 0, 1]
    np.testing.assert_allclose(token, expected, atol=1e-6)


def test_two_beats_are_marked_and_tell_no_interval() -> None:
    tokens = rr_tokens(np.asarray([0.3, 1.1]), 8)
    assert np.flatnonzero(tokens[:, 4]).tolist() == [1, 4]
    assert not tokens[:, [0, 1, 2, 3, 5]].any()


def test_regular_rhythm_bigeminy_and_trigeminy_are_not_irregular() -> None:
    for intervals in ([0.8], [0.5, 1.1], [0.8, 0.5, 1.1]):
        beats = after(intervals * (60 // len(intervals)))
        irregular = lag_irregularity(beats, np.zeros(len(beats), dtype=np.bool_))
        np.testing.assert_allclose(irregular, 0, atol=1e-6)


def test_intervals_without_order_are_irregular() -> None:
    """As of atrial fibrillation: intervals with a coefficient of variation of 0.24."""
    beats = after(np.exp(np.random.default_rng(0).normal(np.log(0.7), 0.24, 200)))
    irregular = lag_irregularity(beats, np.zeros(len(beats), dtype=np.bool_))
    assert irregular[AROUND:-AROUND].min() > 0.12


def test_ventricular_beats_do_not_make_a_regular_rhythm_irregular() -> None:
    rng = np.random.default_rng(0)
    early = np.arange(60) % 7 == 3
    beats = REGULAR - early * rng.uniform(0.1, 0.4, 60)
    np.testing.assert_allclose(lag_irregularity(beats, early), 0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 12])
def test_a_few_beats_are_not_judged(count: int) -> None:
    """Nine pairs of intervals are wanted at each lag: 13 beats at lag 3."""
    beats = np.cumsum(np.random.default_rng(0).uniform(0.3, 1.5, count))
    irregular = lag_irregularity(beats, np.zeros(count, dtype=np.bool_))
    assert irregular.shape == (count,)
    assert np.isnan(irregular).all()


def test_thirteen_beats_are_judged() -> None:
    assert not np.isnan(lag_irregularity(REGULAR[:13], np.zeros(13, dtype=np.bool_))).any()


@given(beats=BEATS, seed=st.integers(0, 99))
def test_any_beats_give_finite_numbers_of_the_promised_shapes(beats: np.ndarray, seed: int) -> None:
    ventricular = np.random.default_rng(seed).random(len(beats)) < 0.3
    numbers, tokens = rr_numbers(beats), rr_tokens(beats, 40)
    irregular = lag_irregularity(beats, ventricular)
    assert (numbers.shape, tokens.shape, irregular.shape) == ((len(beats), 10), (40, 6), (len(beats),))
    assert {numbers.dtype, tokens.dtype, irregular.dtype} == {np.dtype(np.float32)}
    assert np.abs(numbers).max(initial=0) <= 2
    assert np.abs(tokens).max() <= 2
    assert not np.isinf(irregular).any()
    assert not (irregular < 0).any()
