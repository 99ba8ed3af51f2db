"""A fusion beat is a mixture of the usual and the ventricular beat of the same patient."""

from __future__ import annotations

import numpy as np
import pytest

from models.anyecg.fusion import SHARE, SHIFT, Floats, fused, ventricular_shares

BEAT_S, RATE = 0.8, 128
NORMAL, WIDE = (0.025, 1.0), (0.07, -1.6)  # width in seconds, height


def qrs(t: Floats, form: tuple[float, float], late: float = 0.0) -> Floats:
    width, height = form
    return np.asarray(height * np.exp(-0.5 * ((t - late) / width) ** 2), dtype=np.float32)


def stretch(
    shares: list[float], *, late: float = 0.0, noise: float = 0.01
) -> tuple[Floats, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """(lead, sample) of beats with so much of the ventricular one in each, on two leads; and their peaks."""
    peaks = np.rint((1 + BEAT_S * np.arange(len(shares))) * RATE).astype(np.int64)
    t = np.arange(peaks[-1] + RATE, dtype=np.float32) / RATE
    x = np.zeros((2, len(t)), dtype=np.float32)
    for peak, share in zip(peaks, shares, strict=True):
        own = late if 0 < share < 1 else 0.0
        beat = (1 - share) * qrs(t - peak / RATE, NORMAL) + share * qrs(t - peak / RATE, WIDE, own)
        x += np.asarray([beat, 0.5 * beat])
    x += np.random.default_rng(0).normal(0, noise, x.shape).astype(np.float32)
    return x, peaks


MIXED = [0, 0, 1, 0, 0, 0.5, 0, 1, 0, 0, 0.1, 0]


def chances(shares: list[float]) -> Floats:
    """P(V) as a network gives it that knows no fusion beats."""
    return np.asarray([0.95 if share == 1 else 0.05 for share in shares], dtype=np.float32)


def test_the_share_of_the_ventricular_beat_is_measured() -> None:
    found = ventricular_shares(*stretch(MIXED), chances(MIXED))
    assert found[5] == pytest.approx(0.5, abs=0.05)
    assert found[2] == pytest.approx(1, abs=0.05)
    assert np.flatnonzero(fused(found)).tolist() == [5]


def test_a_ventricular_beat_that_the_network_missed_is_no_fusion_beat() -> None:
    sure = chances(MIXED)
    sure[7] = 0.3
    others = [*MIXED, 0, 1, 0]
    found = ventricular_shares(*stretch(others), np.append(sure, chances([0, 1, 0])))
    assert found[7] == pytest.approx(1, abs=0.05)
    assert not fused(found)[7]


def test_the_ventricular_wavefront_may_come_earlier_or_later() -> None:
    for late in (-SHIFT / RATE, SHIFT / RATE):
        found = ventricular_shares(*stretch(MIXED, late=late), chances(MIXED))
        assert found[5] == pytest.approx(0.5, abs=0.1)


def test_a_beat_that_differs_in_another_way_is_no_fusion_beat() -> None:
    x, peaks = stretch(MIXED)
    t = np.arange(x.shape[1]) / RATE
    aberrant = 0.8 * np.exp(-0.5 * ((t - peaks[8] / RATE - 0.05) / 0.015) ** 2)
    found = ventricular_shares(
        (x + np.asarray([aberrant, -aberrant])).astype(np.float32), peaks, chances(MIXED)
    )
    assert found[8] < SHARE


def test_noise_that_a_mixture_does_not_explain_makes_no_fusion_beat() -> None:
    plain = [0.0 if 0 < share < 1 else share for share in MIXED] * 4
    found = ventricular_shares(*stretch(plain, noise=0.3), chances(plain))
    assert not (found[np.asarray(plain) == 0] >= SHARE).any()


@pytest.mark.parametrize("only", [[0.5, 1, 1, 1, 1, 0], [0, 0, 0, 0.5, 0, 1]])
def test_without_some_of_both_kinds_nothing_is_told(only: list[float]) -> None:
    assert not ventricular_shares(*stretch(only), chances(only)).any()


def test_ventricular_beats_that_look_like_the_usual_ones_tell_nothing() -> None:
    x, peaks = stretch([0.0] * len(MIXED))
    assert not ventricular_shares(x, peaks, chances(MIXED)).any()


def test_a_stretch_without_beats_has_no_shares() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert ventricular_shares(np.zeros((1, 400), np.float32), none, np.zeros(0, np.float32)).shape == (0,)
