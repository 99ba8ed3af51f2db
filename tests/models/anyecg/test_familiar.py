from __future__ import annotations

import json

import numpy as np
import pytest

from models.anyecg.familiar import QUANTILE, WINDOW, Familiar


@pytest.fixture(scope="module")
def learned_windows() -> np.ndarray:
    """(window, channel) of which two channels always move together."""
    x = np.random.default_rng(0).normal(size=(2000, 6))
    x[:, 1] = 3 * x[:, 0] + 0.1 * x[:, 1] + 5
    return x.astype(np.float32)


@pytest.fixture(scope="module")
def familiar(learned_windows: np.ndarray) -> Familiar:
    return Familiar.of(learned_windows)


def steady(window: np.ndarray, tokens: int = 60) -> np.ndarray:
    return np.broadcast_to(window, (tokens, len(window))).astype(np.float32)


def test_what_was_learned_is_usual_and_one_in_200_over_the_threshold(
    familiar: Familiar, learned_windows: np.ndarray
) -> None:
    strange = np.asarray([familiar.strangeness(steady(w, WINDOW))[0] for w in learned_windows])
    assert np.median(strange) == pytest.approx(1, abs=0.01)
    assert (strange > familiar.threshold).mean() == pytest.approx(1 - QUANTILE, abs=0.002)


def test_what_breaks_the_rule_of_the_channels_is_strange(
    familiar: Familiar, learned_windows: np.ndarray
) -> None:
    usual = learned_windows[0].copy()
    broken = usual + np.asarray([2, -6, 0, 0, 0, 0], dtype=np.float32)
    assert familiar.strangeness(steady(broken))[30] > familiar.threshold
    along = usual + np.asarray([0.5, 1.5, 0, 0, 0, 0], dtype=np.float32)
    assert familiar.strangeness(steady(along))[30] < familiar.threshold


def test_a_strange_half_is_strange_in_its_own_tokens(familiar: Familiar) -> None:
    tokens = np.concatenate([steady(familiar.mean, 100), steady(familiar.mean + 40, 100)])
    strange = familiar.strangeness(tokens)
    assert strange.shape == (200,)
    assert strange[: 100 - WINDOW].max() < familiar.threshold < strange[100 + WINDOW :].min()


@pytest.mark.parametrize("count", [1, 8, WINDOW - 1, WINDOW, WINDOW + 1, 500])
def test_any_number_of_tokens_is_judged_and_a_short_stretch_as_one_window(
    familiar: Familiar, count: int
) -> None:
    tokens = np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32)
    strange = familiar.strangeness(tokens)
    assert strange.shape == (count,)
    assert np.isfinite(strange).all()
    if count <= WINDOW:
        np.testing.assert_array_equal(strange, strange[0])
    expected = familiar.strangeness(tokens[:WINDOW])[0]
    assert strange[0] == pytest.approx(expected, rel=1e-5)


def test_metadata_keeps_the_judgement(familiar: Familiar, learned_windows: np.ndarray) -> None:
    again = Familiar.from_metadata(json.loads(json.dumps(familiar.to_metadata())))
    for window in learned_windows[:20]:
        mine, its = familiar.strangeness(steady(window)), again.strangeness(steady(window))
        np.testing.assert_allclose(mine, its, atol=2e-3)
    assert again.threshold == pytest.approx(familiar.threshold, abs=1e-4)
