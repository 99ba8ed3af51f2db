from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models.recordings import Recording, open_recording
from models.signals.measure import measure_intervals
from models.signals.rpeaks import r_peaks

FS = 360.0
pytest.importorskip("neurokit2")


def heart(
    seconds: int = 20, pr: float = 0.16, qrs: float = 0.09, qt: float = 0.40
) -> tuple[np.ndarray, np.ndarray]:
    """A made ECG at 60/min of Gaussian waves; the intervals are those between the waves' feet (2.5 sd)."""
    t = np.arange(round(seconds * FS)) / FS
    x = np.random.default_rng(6).normal(0, 3, len(t))
    r = np.arange(0.6, seconds - 0.7, 1.0)
    for at in r:
        onset = at - qrs / 2
        for centre, width, height in (
            (onset - pr + 0.05, 0.05 / 2.5, 120),
            (at, qrs / 2 / 2.5, 1200),
            (onset + qt - 0.09, 0.09 / 2.5, 300),
        ):
            x += height * np.exp(-(((t - centre) / width) ** 2) / 2)
    return x[None].astype(np.float32), np.rint(r * FS).astype(np.int64)


def hand_marked(record: Path) -> tuple[float, float]:
    """Median QRS and QT in ms of lead II, from LUDB's marks: `(` onset, a wave's letter, `)` offset."""
    wfdb = pytest.importorskip("wfdb")
    marks = wfdb.rdann(str(record), "ii")
    at, kind = marks.sample * 2.0, "".join(marks.symbol)  # 500 Hz
    qrs = [at[i + 1] - at[i - 1] for i in range(1, len(kind) - 1) if kind[i - 1 : i + 2] == "(N)"]
    qt = [at[i + 4] - at[i - 1] for i in range(1, len(kind) - 4) if kind[i - 1 : i + 5] == "(N)(t)"]
    return float(np.median(qrs)), float(np.median(qt))


def test_intervals_agree_with_the_hand_marks_of_ludb(ecg_data: Path) -> None:
    errors, abstained = [], 0
    records = sorted((ecg_data / "ludb" / "data").glob("*.hea"), key=lambda path: int(path.stem))[::6]
    for path in records:
        recording = open_recording(path)
        lead = recording.leads.index("II")
        x = recording.counts[lead : lead + 1].astype(np.float32) * recording.uv_per_count[lead]
        m = measure_intervals(x, recording.fs, r_peaks(x, recording.fs))
        if m.qrs_ms is None or m.qt_ms is None:
            abstained += 1
            continue
        qrs, qt = hand_marked(path.with_suffix(""))
        errors.append((abs(m.qrs_ms - qrs), abs(m.qt_ms - qt)))
    assert len(records) > 20
    assert abstained <= 3
    assert np.mean(errors, axis=0).max() <= 20


def test_a_longer_pr_and_qt_are_measured_as_longer() -> None:
    short, long = (measure_intervals(*_arguments(pr, qt)) for pr, qt in ((0.14, 0.36), (0.24, 0.46)))
    assert short.pr_ms is not None
    assert long.pr_ms is not None
    assert short.qt_ms is not None
    assert long.qt_ms is not None
    assert long.pr_ms - short.pr_ms == pytest.approx(100, abs=15)
    assert long.qt_ms - short.qt_ms == pytest.approx(100, abs=15)


def _arguments(pr: float, qt: float) -> tuple[np.ndarray, float, np.ndarray]:
    x, r = heart(pr=pr, qt=qt)
    return x, FS, r


def test_every_beat_of_the_excerpt_has_a_qrs_span_around_its_peak(excerpt: Recording) -> None:
    x = excerpt.counts[:, : 45 * 360].astype(np.float32) * 5
    r = r_peaks(x, FS)
    m = measure_intervals(x, FS, r)
    assert len(m.onsets) == len(m.offsets) == len(m.estimated) == len(r)
    assert (m.onsets < r).all()
    assert (m.offsets > r).all()
    assert m.estimated.mean() < 0.1
    assert m.qrs_ms is not None
    assert 60 < m.qrs_ms < 150


def test_too_few_beats_give_estimated_spans_and_no_intervals() -> None:
    x, r = heart(4)
    m = measure_intervals(x, FS, r[:2])
    assert (m.pr_ms, m.qrs_ms, m.qt_ms) == (None, None, None)
    assert m.estimated.all()
    assert (r[:2] - m.onsets).tolist() == [22, 22]
    assert (m.offsets - r[:2]).tolist() == [29, 29]
    none = measure_intervals(x, FS, r[:0])
    assert (none.qrs_ms, len(none.onsets)) == (None, 0)


def test_beats_beside_missing_samples_are_estimated() -> None:
    x, r = heart()
    missing = np.zeros(x.shape[1], dtype=np.bool_)
    missing[r[7] + 60 : r[9] - 60] = True
    m = measure_intervals(np.where(missing, 0, x), FS, r, missing=missing)
    assert np.flatnonzero(m.estimated[1:-1] != m.estimated[2]).tolist() == [6, 7, 8]
    assert m.qrs_ms is not None


def test_medians_are_over_the_chosen_beats_only() -> None:
    x, r = heart()
    chosen = np.zeros(len(r), dtype=np.bool_)
    assert measure_intervals(x, FS, r, beats=chosen).qrs_ms is None
    chosen[3:8] = True
    assert measure_intervals(x, FS, r, beats=chosen).qrs_ms is not None


@pytest.mark.parametrize("seed", range(5))
def test_noise_is_measured_without_error_or_warning(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 200, (2, 3600)).astype(np.float32)
    r = np.unique(rng.integers(0, 3600, 12)).astype(np.int64)
    m = measure_intervals(x, FS, r)
    assert (m.onsets >= 0).all()
    assert (m.offsets < 3600).all()


def test_a_wave_that_begins_at_the_very_first_sample_costs_no_other_beat_its_boundaries() -> None:
    """neurokit2 leaves out what lies at sample 0; cut anywhere before the first beat, one cut does that."""
    x, r = heart(pr=0.28)
    whole = measure_intervals(x, FS, r)
    for cut in range(int(r[0] - 0.3 * FS)):
        part = measure_intervals(x[:, cut:], FS, r - cut)
        np.testing.assert_allclose(part.onsets[1:] + cut, whole.onsets[1:], atol=2)
