from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.ecg import Window
from models.recordings import Recording, open_recording
from models.signals.conditioning import resample
from models.signals.quality import assess, never_silence

FS = 360.0


def window(
    x: np.ndarray,
    *,
    fs: float = FS,
    missing: np.ndarray | None = None,
    lead_off: frozenset[str] = frozenset(),
    leads: tuple[str, ...] = ("MLII",),
) -> Window:
    gone = np.zeros(x.shape[-1], dtype=np.bool_) if missing is None else missing
    x = np.where(gone, 0, np.atleast_2d(x)).astype(np.float32)
    return Window(first=0, fs=fs, leads=leads, microvolts=x, missing=gone, lead_off=lead_off)


def beats(excerpt: Recording, start_s: float = 50.0, length_s: float = 10.0) -> np.ndarray:
    first = round(start_s * FS)
    return excerpt.counts[0, first : first + round(length_s * FS)] * 5.0


def sensor_noise(seconds: float, uv: float = 8.0) -> np.ndarray:
    return np.random.default_rng(3).normal(0, uv, round(seconds * FS))


def test_beats_are_readable_and_no_rule_speaks(excerpt: Recording) -> None:
    good = window(beats(excerpt))
    assert assess(good).readable
    assert assess(good).reasons == {}
    assert never_silence(good) == ()


@pytest.mark.parametrize("uv", [5.0, 10.0])
def test_beats_and_then_only_sensor_noise_is_an_asystole(excerpt: Recording, uv: float) -> None:
    x = np.concatenate([beats(excerpt, length_s=5), sensor_noise(5, uv)])
    assert never_silence(window(x)) == ("asystole",)


@pytest.mark.parametrize("uv", [0.0, 5.0, 10.0])
def test_a_window_flat_from_end_to_end_is_an_asystole(uv: float) -> None:
    assert never_silence(window(sensor_noise(10, uv))) == ("asystole",)


def test_a_lead_reported_off_is_unreadable_and_no_asystole(excerpt: Recording) -> None:
    x = np.concatenate([beats(excerpt, length_s=5), sensor_noise(5)])
    off = window(x, lead_off=frozenset({"MLII"}))
    assert never_silence(off) == ()
    assert not assess(off).readable
    assert assess(off).reasons == {"MLII": ("lead off",)}


def test_a_missing_stretch_is_no_asystole(excerpt: Recording) -> None:
    missing = np.zeros(3600, dtype=np.bool_)
    missing[1500:] = True
    gap = window(beats(excerpt), missing=missing)
    assert never_silence(gap) == ()
    assert assess(gap).reasons == {"MLII": ("missing",)}
    assert never_silence(window(beats(excerpt), missing=np.ones(3600, dtype=np.bool_))) == ()


def test_an_asystole_is_seen_although_samples_are_missing_elsewhere(excerpt: Recording) -> None:
    x = np.concatenate([beats(excerpt, length_s=5), sensor_noise(5)])
    missing = np.zeros(3600, dtype=np.bool_)
    missing[300:700] = True
    assert never_silence(window(x, missing=missing)) == ("asystole",)


def test_a_made_fibrillation_is_chaos_and_even_noise_is_not() -> None:
    rng = np.random.default_rng(4)
    phase = 2 * np.pi * np.cumsum(5 + 0.5 * np.sin(np.arange(3600) / 300)) / FS
    assert never_silence(window(400 * np.sin(phase) + rng.normal(0, 20, 3600))) == ("chaos",)
    assert "chaos" not in never_silence(window(rng.normal(0, 500, 3600)))


def test_a_flat_a_stuck_and_a_shaken_lead_are_named_so(excerpt: Recording) -> None:
    assert assess(window(sensor_noise(10, 1.0))).reasons == {"MLII": ("flat",)}
    stuck = beats(excerpt)
    stuck[1000:1800] = 5115.0
    assert assess(window(stuck)).reasons == {"MLII": ("saturated",)}
    shaken = np.cumsum(np.random.default_rng(5).normal(0, 60, 3600))
    assert assess(window(shaken)).reasons == {"MLII": ("noise",)}


def test_one_readable_lead_makes_the_window_readable(excerpt: Recording) -> None:
    both = np.stack([beats(excerpt), sensor_noise(10, 1.0)])
    quality = assess(window(both, leads=("MLII", "V1")))
    assert quality.readable
    assert quality.reasons == {"V1": ("flat",)}


@pytest.mark.parametrize("samples", [1, 50, 700, 1500])
def test_a_short_last_window_is_judged_without_error(excerpt: Recording, samples: int) -> None:
    short = window(beats(excerpt)[:samples])
    assert never_silence(short) == ()
    assert assess(short).reasons.keys() <= {"MLII"}


def test_the_fibrillation_of_cu01_is_chaos(ecg_data: Path) -> None:
    recording = open_recording(ecg_data / "cudb" / "cu01")
    x = recording.counts[0] * recording.uv_per_count[0]
    onset, end, hop = 53546, x.shape[0], 1250  # the VF mark in its annotations
    starts = range(-(-onset // hop) * hop, end - 2500 + 1, hop)
    flagged = [never_silence(window(x[s : s + 2500], fs=250.0, leads=("ECG",))) == ("chaos",) for s in starts]
    assert len(flagged) > 50
    assert np.mean(flagged) >= 0.9


def test_sinus_rhythm_is_not_flagged(ecg_data: Path) -> None:
    recording = open_recording(ecg_data / "mitdb" / "101")
    x = recording.counts[0, : 3600 * 30] * 5.0
    assert [never_silence(window(part)) for part in np.split(x, 30)] == [()] * 30


@given(
    seconds=st.floats(2, 10),
    fs=st.sampled_from([100.0, 128.0, 250.0, 360.0, 500.0, 1000.0]),
    gone=st.tuples(st.floats(0, 1), st.floats(0, 0.5)),
    seed=st.integers(0, 9),
)
@settings(max_examples=40)
def test_any_window_is_judged_alike_twice_and_its_score_agrees_with_its_reasons(
    seconds: float, fs: float, gone: tuple[float, float], seed: int
) -> None:
    n = round(seconds * fs)
    missing = np.zeros(n, dtype=np.bool_)
    missing[round(gone[0] * n) : round((gone[0] + gone[1]) * n)] = True
    x = np.random.default_rng(seed).normal(0, 200, (2, n)).cumsum(axis=1)
    one = window(x, fs=fs, missing=missing, leads=("I", "II"))
    assert assess(one) == assess(one)
    quality = assess(one)
    assert quality.score.keys() == {"I", "II"}
    assert all(0 <= score <= 1 for score in quality.score.values())
    assert {lead for lead, score in quality.score.items() if score >= 0.5} == quality.reasons.keys()


@pytest.mark.parametrize("fs", [100.0, 128.0, 250.0, 500.0, 1000.0])
@pytest.mark.parametrize("seconds", [3.0, 6.0, 10.0])
def test_beats_are_readable_at_any_rate_and_length(excerpt: Recording, fs: float, seconds: float) -> None:
    x = resample(beats(excerpt, length_s=seconds), FS, fs)
    assert assess(window(x, fs=fs)).readable


def test_more_noise_is_never_more_readable(excerpt: Recording) -> None:
    walk = np.cumsum(np.random.default_rng(5).normal(0, 1, 3600))
    scores = [assess(window(beats(excerpt) + k * walk)).score["MLII"] for k in (30, 60, 120, 240)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < scores[-1]


@pytest.mark.parametrize("fs", [100.0, 250.0, 500.0, 1000.0])
def test_what_must_not_be_silenced_is_flagged_at_any_rate(excerpt: Recording, fs: float) -> None:
    stop = np.concatenate([beats(excerpt, length_s=5), sensor_noise(5)])
    assert never_silence(window(resample(stop, FS, fs), fs=fs)) == ("asystole",)
    t = np.arange(round(10 * fs)) / fs
    assert never_silence(window(400 * np.sin(2 * np.pi * (5 * t + 0.3 * np.sin(t))), fs=fs)) == ("chaos",)


def test_ventricular_beats_and_fibrillating_atria_stay_readable(ecg_data: Path) -> None:
    for record, start_s in (("208", 100), ("119", 300), ("201", 30), ("223", 600)):
        recording = open_recording(ecg_data / "mitdb" / record)
        first = round(start_s * FS)
        x = recording.counts[0, first : first + 3600 * 6] * 5.0
        assert all(assess(window(part)).readable for part in np.split(x, 6)), record
