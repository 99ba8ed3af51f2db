"""The clock: late frames never move it, a fast patch is measured as fast."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.clock import ClockEstimator
from models.ecg import Arrival, Clock, SampleBlock

FS, N, T0 = 250.0, 60, 1_700_000_000.0


def frame(first: int, *, rate: float, ppm: float, delay: float) -> Arrival:
    """A frame of a patch whose clock runs `ppm` fast and takes `rate` samples a second of its time."""
    real = T0 + (first + N - 1) / rate / (1 + ppm * 1e-6)
    return Arrival(
        patch_id="p",
        boot_id=1,
        first=first,
        last=first + N - 1,
        sampled_at=first / rate,
        heard_at=real + delay,
    )


def listen(
    minutes: float, *, rate: float = FS, ppm: float = 0.0, seed: int = 0
) -> tuple[ClockEstimator, int]:
    rng = np.random.default_rng(seed)
    clock, first = ClockEstimator(wall=lambda: 0.0), 0
    while first < minutes * 60 * rate:
        delay = 0.02 + rng.exponential(0.04) + (2.0 if rng.random() < 0.02 else 0.0)
        clock.hear(frame(first, rate=rate, ppm=ppm, delay=delay))
        first += N
    return clock, first


@given(st.floats(-60, 60), st.integers(0, 99))
@settings(max_examples=8)
def test_half_an_hour_with_a_drifting_crystal_stays_within_its_bound(ppm: float, seed: int) -> None:
    clock, end = listen(30, ppm=ppm, seed=seed)
    now = clock.at(end - 1)
    for sample in (end - 1, end - round(600 * FS)):
        truth = T0 + sample / FS / (1 + ppm * 1e-6)
        utc = now.utc(sample)
        assert utc is not None
        assert now.error_s is not None
        assert abs(utc - truth) < max(0.06, now.error_s)


def test_a_patch_played_four_times_as_fast_has_four_times_the_rate() -> None:
    clock, end = listen(1, rate=4 * FS)
    assert clock.at(end - 1).fs == pytest.approx(4 * FS, rel=1e-6)
    assert clock.at(end - 1).utc(end) == pytest.approx(T0 + end / (4 * FS), abs=0.06)


def test_backfill_after_an_outage_does_not_move_the_clock() -> None:
    clock, end = listen(1)
    before = clock.at(end - 1).utc(end)
    for first in range(end, end + 100 * N, N):  # a minute late, all at once
        clock.hear(frame(first, rate=FS, ppm=0, delay=60.0))
    assert clock.at(end - 1).utc(end) == pytest.approx(before, abs=1e-3)


def test_a_computer_whose_clock_is_set_tells_the_new_time_at_once() -> None:
    ahead = [0.0]
    clock = ClockEstimator(wall=lambda: ahead[0])
    for first in range(0, round(600 * FS), N):
        clock.hear(frame(first, rate=FS, ppm=0, delay=0.02))
    for ahead[0] in (0.0, 3 * 3600.0, -7.0, 0.3):
        assert clock.at(0).utc(1000) == pytest.approx(T0 + ahead[0] + 1000 / FS, abs=0.05)


def test_the_arrival_of_the_last_sample_is_remembered() -> None:
    clock, _ = listen(0.1)
    counts = np.zeros((1, N), dtype=np.int32)
    block = SampleBlock(
        patch_id="p",
        boot_id=1,
        first=N,
        fs=FS,
        leads=("II",),
        counts=counts,
        uv_per_count=(1.0,),
        received_at=T0,
    )
    clock.push(block)
    assert clock.at(2 * N - 1).received_at == T0


def test_a_recording_keeps_the_clock_of_its_header() -> None:
    recorded = Clock(utc_0=5.0, fs=FS, error_s=1.0, quality="recording")
    assert ClockEstimator(recorded).at(250) == recorded
    assert ClockEstimator().at(250).utc(250) is None
