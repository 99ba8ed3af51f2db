"""The gate never silences: asystole and fibrillation look flat or noisy, and reach the cloud all the same."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from cloud.analysis import Analysis
from edge.intake import Intake
from edge.screening import WindowScreener
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.recordings import Recording, RecordingSource, make_recording
from models.screener.runtime import Screener
from models.verdicts import Alert, Finding, Priority, Report, Screening

Verdict = Finding | Report | Alert


Networks = tuple[Screener, Localizer]


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Screener(), Localizer()


def through(networks: Networks, recording: Recording) -> tuple[list[Screening], list[Segment], list[Verdict]]:
    """What the edge saw, what it sent, and what the cloud made of it."""
    intake, analysis = Intake(WindowScreener(networks[0])), Analysis(networks[1])
    seen: list[Screening] = []
    sent: list[Segment] = []
    said: list[Verdict] = []
    for item in RecordingSource(recording).blocks():
        for output in intake.push(item):
            if isinstance(output, Segment):
                sent.append(output)
                said += analysis.push(output)
            elif isinstance(output, Screening):
                seen.append(output)
    return seen, sent, said


def asystole(excerpt: Recording, standstill_s: float, *, lead_off: bool) -> Recording:
    """15 s of real beats before the first ectopic one, then nothing but 8 uV of sensor noise."""
    beats = excerpt.counts[:, : round(15 * excerpt.fs)]
    count = round(standstill_s * excerpt.fs)
    noise = np.rint(np.random.default_rng(0).normal(0, 8.0 / 5.0, (1, count))).astype(np.int32)
    missing = np.zeros((1, beats.shape[1] + count), dtype=np.bool_)
    missing[:, beats.shape[1] :] = lead_off
    counts = np.concatenate([beats, noise], axis=1)
    return make_recording("asystole", excerpt.fs, ["MLII"], counts, [5.0], missing=missing)


def test_a_made_asystole_with_sensor_noise_reaches_the_cloud_and_alerts(
    networks: Networks, excerpt: Recording
) -> None:
    seen, sent, said = through(networks, asystole(excerpt, 40, lead_off=False))
    assert any("asystole" in screening.rules for screening in seen)
    assert any(not screening.quality.readable and screening.flagged for screening in seen)
    assert sent
    alerts = [verdict for verdict in said if isinstance(verdict, Alert)]
    assert ("PAUSE", Priority.HIGH) in {(alert.label, alert.priority) for alert in alerts}
    assert alerts[-1].at < round(15 * excerpt.fs) + round(6 * excerpt.fs)
    assert "electrode" not in alerts[-1].rule


def test_a_lead_that_fades_alerts_all_the_same_and_says_that_the_baseline_moved(
    networks: Networks, excerpt: Recording
) -> None:
    _, _, said = through(networks, excerpt)
    (pause,) = (v for v in said if isinstance(v, Alert) and v.label == "PAUSE")
    assert pause.priority is Priority.HIGH
    assert re.search(r"the baseline moved by \d\.\d mV: check the electrode", pause.rule)


def test_an_alert_about_a_standstill_does_not_wait_for_its_end(
    networks: Networks, excerpt: Recording
) -> None:
    recording = asystole(excerpt, 40, lead_off=False)
    intake, analysis = Intake(WindowScreener(networks[0])), Analysis(networks[1])
    for item in RecordingSource(recording).blocks():
        for output in intake.push(item):
            verdicts = analysis.push(output) if isinstance(output, Segment) else []
            if any(isinstance(verdict, Alert) for verdict in verdicts):
                assert output.last < recording.counts.shape[1] - 10 * recording.fs
                return
    pytest.fail("no alert")


def test_samples_that_never_came_are_no_asystole(networks: Networks, excerpt: Recording) -> None:
    seen, _, said = through(networks, asystole(excerpt, 40, lead_off=True))
    assert not any(screening.rules for screening in seen)
    assert not any(isinstance(verdict, Alert) for verdict in said)


def test_the_fibrillation_of_cu01_reaches_the_cloud_and_alerts(
    networks: Networks, ecg_data: Path, tmp_path: Path
) -> None:
    import wfdb

    with tarfile.open(ecg_data / "more" / "cudb-vf.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    record = wfdb.rdrecord(str(ecg_data / "cudb" / "cu01"), physical=False)
    episodes = (tmp_path / "cudb-vf" / "vf_episodes.csv").read_text(encoding="utf-8").splitlines()
    header = episodes[0].split(",")
    rows = [dict(zip(header, row.split(","), strict=True)) for row in episodes[1:]]
    vf = next(row for row in rows if row["record"].startswith("cu01"))
    onset = int(float(next(value for key, value in vf.items() if "start" in key)))
    counts = (record.d_signal.T - np.array(record.baseline)[:, None]).astype(np.int32)
    recording = make_recording("cu01", record.fs, ["ECG"], counts, [1000 / record.adc_gain[0]])
    seen, sent, said = through(networks, recording)
    inside = [screening for screening in seen if screening.first >= onset]
    assert np.mean([screening.flagged for screening in inside]) > 0.9
    covered = sum(part.last + 1 - max(part.first, onset) for part in sent if part.last >= onset)
    assert covered > 0.9 * (recording.counts.shape[1] - onset)
    assert any(isinstance(verdict, Alert) and verdict.priority is Priority.HIGH for verdict in said)
