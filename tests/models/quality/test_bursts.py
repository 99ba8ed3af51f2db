from __future__ import annotations

import numpy as np
import pytest

from models.quality.bursts import spoilt

FS = 250.0
NOISE = (360.0, [np.random.default_rng(k).normal(0, 100, (2, 5000)).astype(np.float32) for k in range(2)])


def beats(seconds: float = 10.0) -> np.ndarray:
    t = np.arange(round(seconds * FS)) / FS
    return 1000 * np.exp(-(((t % 0.8) - 0.4) ** 2) / 0.0004)


@pytest.mark.parametrize("seconds", [2.0, 3.3, 7.0, 10.0])
def test_every_piece_has_an_answer_or_is_not_asked(seconds: float) -> None:
    for seed in range(40):
        signal, answer = spoilt(np.random.default_rng(seed), beats(seconds), FS, NOISE)
        assert np.isfinite(signal).all()
        assert len(answer) == max(1, int(seconds / 2))
        assert set(answer[np.isfinite(answer)]) <= {0.0, 1.0}


def test_a_loud_piece_is_unreadable_and_an_untouched_one_readable() -> None:
    loud, still = [], []
    for seed in range(60):
        signal, answer = spoilt(np.random.default_rng(seed), beats(), FS, NOISE)
        change = np.abs(signal - beats()).reshape(5, -1).max(axis=1)
        loud += change[answer == 1].tolist()
        still += answer[change < 1].tolist()
    assert min(loud) > 100
    assert set(still) == {0.0}


def test_the_same_seed_spoils_alike() -> None:
    one, other = (spoilt(np.random.default_rng(7), beats(), FS, NOISE) for _ in range(2))
    np.testing.assert_array_equal(one[0], other[0])
