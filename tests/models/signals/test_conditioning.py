from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.signals.conditioning import (
    CLIP,
    FLOOR_UV,
    NETWORK_FS,
    condition,
    filtered,
    hold_missing,
    resample,
    scaled,
)

FS = 250.0


def ecg(height_uv: float = 1000.0, seconds: float = 10.0, fs: float = FS) -> np.ndarray:
    """(1, sample): an R wave of this height every 0.8 s."""
    t = np.arange(round(seconds * fs)) / fs
    return (height_uv * np.exp(-0.5 * (((t - 0.4) % 0.8 - 0.4) / 0.02) ** 2)).astype(np.float32)[None]


def spikes(heights: list[float]) -> np.ndarray:
    """(1, sample at 128 Hz): one sample of each height in the middle of each second, in microvolts."""
    x = np.zeros((1, len(heights) * 128), dtype=np.float32)
    x[0, 64::128] = heights
    return x


@pytest.mark.parametrize("height", [100.0, 1000.0, 4000.0])
def test_gain_is_the_log_of_the_usual_r_wave_in_millivolts(height: float) -> None:
    x, gain = scaled(spikes([height] * 10))
    assert x.max() == pytest.approx(1)
    assert gain.tolist() == pytest.approx([np.log(height / 1000)])


def test_a_louder_ecg_has_the_same_shape_and_a_larger_gain() -> None:
    (x, gain), (loud, its) = condition(ecg(800), FS), condition(ecg(1600), FS)
    np.testing.assert_allclose(loud, x, atol=1e-4)
    assert its[0] - gain[0] == pytest.approx(np.log(2), abs=1e-4)


def test_the_usual_r_wave_is_a_median_that_one_artefact_does_not_move() -> None:
    x, gain = scaled(spikes([500.0] * 9 + [9000.0]))
    assert gain.tolist() == pytest.approx([np.log(0.5)])
    assert x[0, 64] == pytest.approx(1)


def test_what_is_over_four_times_the_usual_r_wave_is_clipped() -> None:
    x, _ = scaled(np.concatenate([spikes([500.0] * 9), spikes([9000.0]), spikes([-9000.0])], axis=1))
    assert x.max() == CLIP == 4
    assert x.min() == -CLIP


def test_a_dead_lead_is_not_blown_up() -> None:
    x, gain = scaled(spikes([2.0] * 10))
    assert x.max() == pytest.approx(2 / FLOOR_UV)
    assert gain.tolist() == pytest.approx([np.log(FLOOR_UV / 1000)])


def test_each_lead_has_its_own_scale() -> None:
    both = np.concatenate([ecg(1000), ecg(300)])
    x, gain = condition(both, FS)
    np.testing.assert_allclose(x[0], x[1], atol=1e-3)
    assert gain[0] - gain[1] == pytest.approx(np.log(1000 / 300), abs=1e-3)
    for i in (0, 1):
        alone, own = condition(both[i : i + 1], FS)
        np.testing.assert_allclose(alone[0], x[i], atol=1e-5)
        assert own[0] == pytest.approx(gain[i])


@pytest.mark.parametrize("offset", [5000.0, -32768.0])
def test_a_constant_offset_changes_nothing(offset: float) -> None:
    (x, gain), (moved, its) = condition(ecg(), FS), condition(ecg() + np.float32(offset), FS)
    np.testing.assert_allclose(moved, x, atol=1e-3)
    np.testing.assert_allclose(its, gain, atol=1e-3)


def test_missing_samples_are_held_and_their_values_do_not_matter() -> None:
    missing = np.zeros(2500, dtype=np.bool_)
    missing[1050:1450] = True
    dark, rail = (np.where(missing, value, ecg()).astype(np.float32) for value in (0, 30_000))
    np.testing.assert_array_equal(condition(dark, FS, missing)[0], condition(rail, FS, missing)[0])
    assert np.abs(condition(rail, FS, missing)[0][0, 560:690]).max() < 0.15


def test_the_last_sample_is_held_and_before_the_first_the_first() -> None:
    missing = np.asarray([1, 1, 0, 0, 1, 1, 0, 1], dtype=np.bool_)
    x = np.arange(8.0)[None]
    assert hold_missing(x, missing).tolist() == [[2, 2, 2, 3, 3, 3, 6, 6]]
    assert hold_missing(x, np.ones(8, dtype=np.bool_)) is x


def test_wander_and_muscle_are_filtered_and_the_peak_stays_in_place() -> None:
    t = np.arange(2500) / FS
    dirty = ecg() + (2000 * np.sin(2 * np.pi * 0.1 * t) + 300 * np.sin(2 * np.pi * 60 * t)).astype(np.float32)
    clean, found = filtered(ecg(), FS), filtered(dirty, FS)
    middle = slice(256, -256)
    assert np.abs(found - clean)[:, middle].max() < 150
    assert np.abs(clean[0, 128 * 2 : 128 * 3]).argmax() == pytest.approx(51, abs=1)  # 2.4 s


@pytest.mark.parametrize("fs", [100.0, 130.0, 250.0, 360.0, 500.0, 1000.0])
def test_any_rate_becomes_the_networks_rate(fs: float) -> None:
    x = filtered(ecg(fs=fs), fs)
    assert x.shape == (1, 1280)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x, filtered(ecg(fs=NETWORK_FS), NETWORK_FS), atol=60)
    assert resample(np.full((1, 500), 7.0), fs, NETWORK_FS) == pytest.approx(7.0, abs=0.01)


@settings(max_examples=40)
@given(
    seconds=st.floats(2, 15),
    fs=st.sampled_from([100.0, 128.0, 250.0, 333.3, 500.0]),
    leads=st.integers(1, 3),
    height=st.sampled_from([0.0, 1.0, 1e3, 1e6]),
    lost=st.floats(0, 1),
    seed=st.integers(0, 99),
)
def test_anything_becomes_finite_and_within_the_clip(
    seconds: float, fs: float, leads: int, height: float, lost: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    count = int(np.ceil(seconds * fs))
    x = rng.normal(0, height, (leads, count)).astype(np.float32)
    y, gain = condition(x, fs, rng.random(count) < lost)
    assert y.dtype == gain.dtype == np.float32
    assert gain.shape == (leads,)
    assert y.shape[0] == leads
    assert y.shape[1] == pytest.approx(seconds * NETWORK_FS, abs=2.5)
    assert np.abs(y).max() <= CLIP
    assert np.isfinite(gain).all()
