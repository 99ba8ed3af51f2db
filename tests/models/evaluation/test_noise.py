from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.errors import RecordingError
from models.evaluation.noise import Noise, noisy, read_noise, signal_power
from models.formats import write_wfdb
from models.recordings import Recording, make_recording

FS = 100.0


def sine(amplitude: float, seconds: int = 60, leads: int = 1) -> Recording:
    x = amplitude * np.sin(2 * np.pi * 5 * np.arange(seconds * FS) / FS)
    return make_recording("sine", FS, ["II", "V1"][:leads], np.rint(np.stack([x] * leads)), [1.0] * leads)


def white(snr_db: float) -> Noise:
    x = np.random.default_rng(0).normal(0, 300, (2, 25_000)).astype(np.float32)
    return Noise(microvolts=x, fs=250.0, snr_db=snr_db)


def test_a_sine_has_the_power_of_a_sine() -> None:
    assert signal_power(sine(1000).counts.astype(np.float32), FS) == pytest.approx([500_000], rel=1e-3)


@pytest.mark.parametrize("snr_db", [0.0, 6.0, 12.0])
def test_noise_is_as_loud_as_asked_for(snr_db: float) -> None:
    clean = sine(1000, seconds=100)
    added = (noisy(clean, white(snr_db)).counts - clean.counts).astype(np.float64)
    assert 10 * np.log10(500_000 / np.mean(added**2)) == pytest.approx(snr_db, abs=0.3)


def test_leads_hear_channels_of_their_own_and_the_same_every_time() -> None:
    clean = sine(1000, leads=2)
    once, again = noisy(clean, white(6)), noisy(clean, white(6))
    np.testing.assert_array_equal(once.counts, again.counts)
    first, second = once.counts - clean.counts
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_what_was_not_measured_stays_unmeasured(ramp: Recording) -> None:
    spoilt = noisy(ramp, white(0))
    assert (spoilt.gaps, spoilt.lead_off) == (ramp.gaps, ramp.lead_off)
    assert not spoilt.counts[:, 1000:1200].any()
    assert not spoilt.counts[1, 3000:3100].any()
    assert spoilt.counts[0, 3000:3100].any()


def test_only_the_minutes_for_testing_are_read(tmp_path: Path) -> None:
    counts = np.arange(25 * 60)[None] * 10
    write_wfdb(make_recording("em", 1.0, ["ECG"], counts, [1.0]), tmp_path / "em")
    write_wfdb(make_recording("ma", 1.0, ["ECG"], counts[:, :600], [1.0]), tmp_path / "ma")
    assert read_noise(tmp_path, "em", 6).microvolts[0, 0] == 12_000
    assert read_noise(tmp_path, "ma", 6).microvolts.shape == (1, 600)
    with pytest.raises(RecordingError, match="no noise record bw"):
        read_noise(tmp_path, "bw", 6)
