"""Strips of records with what experts said of them, read once, kept, and taken up again after a kill."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.anyecg.chat.readings import Reading, load, prepare
from models.anyecg.chat.strips import EVENTS, Strip, events_of, strips_of
from models.anyecg.evidence import evidence_of
from models.dataset.annotated import Annotated, Rhythm, mitdb, svdb
from models.errors import RecordingError
from models.recordings import Recording
from models.verdicts import Finding, Measurements

FOLDS = {"mitdb/1": 0, "mitdb/2": 1, "svdb/1": 2}


def annotated(record: str, seconds: float = 200.0) -> Annotated:
    """A beat a second, the 50th ventricular, a pause of 3 s after the 100th, fibrillation from 120 s on."""
    fs = 100.0
    seconds_of = [s for s in range(1, int(seconds)) if s not in {101, 102}]
    beats = np.asarray(seconds_of, dtype=np.int64) * 100
    symbols = np.asarray(["V" if s == 50 else "N" for s in seconds_of])
    samples = round(seconds * fs)
    signal = np.sin(np.arange(samples) / 7).astype(np.float32) * 800
    return Annotated(
        record=record,
        patient=f"patient of {record}",
        source=record.partition("/")[0],
        fs=fs,
        leads=("MLII", "V1"),
        microvolts=np.stack([signal, 0.5 * signal]),
        beats=beats,
        symbols=symbols,
        rhythms=(
            Rhythm(first=0, last=11_999, name="N"),
            Rhythm(first=12_000, last=samples - 1, name="AFIB"),
        ),
        labelled=frozenset({"beats", "rhythm"}),
    )


def drawn(data: Path, size: int) -> Iterator[tuple[Annotated, int]]:
    for record in FOLDS:
        yield annotated(record), size // 3


def read(recording: Recording, record: str) -> Reading:
    """Finds a V in the first second of everything, and sees the means of its seconds."""
    seconds = recording.duration_s
    finding = Finding(
        segment_id="", label="V", first=10, last=20, leads=(), probability=0.9, evidence={"threshold": 0.5}
    )
    measured = Measurements(
        beats=3,
        heart_rate_mean=60.2,
        heart_rate_min=None,
        heart_rate_max=None,
        rr_median=1000.0,
        pr=None,
        qrs=90.0,
        qt=400.0,
        analysed_s=seconds,
        not_analysed_s=0.0,
    )
    evidence = evidence_of(
        0,
        recording.leads,
        (0.0, seconds),
        [finding],
        measured,
        recording.fs,
        beats=[(0.15, "V")],
        dark=[(0.5, 0.7)],
    )
    whole = recording.counts[0, : int(seconds) * int(recording.fs)].reshape(int(seconds), -1)
    features = np.repeat(whole.mean(axis=1, keepdims=True), 4, axis=1).astype(np.float32)
    return Reading(evidence=evidence, features=features, record="?", patient="?")


@pytest.fixture(scope="module")
def noiseless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose only noise is 21 minutes of a ramp, as NSTDB has it."""
    from models.formats import write_wfdb
    from models.recordings import make_recording

    folder = tmp_path_factory.mktemp("data") / "nstdb"
    folder.mkdir()
    ramp = np.tile(np.arange(500) % 97, (2, 252))
    for kind in ("em", "bw"):
        write_wfdb(make_recording(kind, 100.0, ["noise1", "noise2"], ramp, [5.0, 5.0]), folder / kind)
    return folder.parent


def prepared(out: Path, data: Path) -> list[Reading]:
    prepare(out, data, read, FOLDS, size=30, jobs=1, drawn=drawn)
    return load(out)


def test_what_is_kept_is_what_was_read(tmp_path: Path, noiseless: Path) -> None:
    readings = prepared(tmp_path, noiseless)
    assert Counter(r.record for r in readings) == dict.fromkeys(FOLDS, 10)
    strips = {r: list(strips_of(annotated(r), 10, noiseless, 0)) for r in FOLDS}
    for record, fold in FOLDS.items():
        some = [r for r in readings if r.record == record]
        for reading, strip in zip(some, strips[record], strict=True):
            fresh = read(strip.recording, record)
            assert reading.evidence == fresh.evidence
            assert reading.truth == strip.truth
            assert (reading.fold, reading.patient) == (fold, f"patient of {record}")
            assert (reading.start, reading.evidence.dark) == (strip.start, ((0.5, 0.7),))
            np.testing.assert_allclose(reading.features, fresh.features, rtol=1e-3, atol=0.5)


def test_a_killed_preparation_goes_on_where_it_was(tmp_path: Path, noiseless: Path) -> None:
    wanted = prepared(tmp_path / "whole", noiseless)
    calls = []

    def killed(recording: Recording, record: str) -> Reading:
        calls.append(record)
        if record == "svdb/1":
            raise KeyboardInterrupt
        return read(recording, record)

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path / "killed", noiseless, killed, FOLDS, size=30, jobs=1, drawn=drawn)
    with pytest.raises(RecordingError, match="missing"):
        load(tmp_path / "killed")
    kept = {part.stem for part in (tmp_path / "killed").glob("parts-*/*.npz")}
    calls.clear()

    def counted(recording: Recording, record: str) -> Reading:
        calls.append(record)
        return read(recording, record)

    prepare(tmp_path / "killed", noiseless, counted, FOLDS, size=30, jobs=1, drawn=drawn)
    assert set(calls) == {r for r in FOLDS if r.replace("/", "-") not in kept}
    for name in ("readings.jsonl", "readings.npz"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert [r.evidence for r in load(tmp_path / "killed")] == [r.evidence for r in wanted]
    assert not list((tmp_path / "killed").glob("parts-*"))


def test_prepared_readings_are_not_read_again(tmp_path: Path, noiseless: Path) -> None:
    prepared(tmp_path, noiseless)
    said: list[str] = []
    prepare(tmp_path, noiseless, read, {}, size=30, jobs=1, drawn=drawn, progress=said.append)
    assert said == [f"{tmp_path / 'readings.jsonl'} is complete; remove it to read anew."]


def test_progress_tells_how_many_and_how_long(tmp_path: Path, noiseless: Path) -> None:
    said: list[str] = []
    prepare(tmp_path, noiseless, read, FOLDS, size=30, jobs=1, drawn=drawn, progress=said.append)
    assert said[-1].startswith("readings: 30 of about 30, ")
    assert said[-1].endswith("0 s left")


def test_a_record_that_no_network_learned_is_of_a_fold_all_the_same(tmp_path: Path, noiseless: Path) -> None:
    prepare(tmp_path, noiseless, read, {"mitdb/1": 3}, size=30, jobs=1, drawn=drawn)
    folds = {r.record: r.fold for r in load(tmp_path)}
    assert folds["mitdb/1"] == 3
    assert set(folds.values()) <= {0, 1, 2, 3}


def test_strips_follow_from_record_and_seed(noiseless: Path) -> None:
    def shown(seed: int) -> list[tuple[float, float, object]]:
        strips = strips_of(annotated("mitdb/1"), 12, noiseless, seed)
        return [(s.start, s.recording.duration_s, s.truth) for s in strips]

    assert shown(0) == shown(0) != shown(1)


def test_events_are_beats_rhythms_and_pauses() -> None:
    events = events_of(annotated("mitdb/1"))
    assert events["V"] == [50.0]
    assert events["PAUSE"] == [101.5]
    assert events["AFIB"][0] == 120.0
    assert set(events) <= {*EVENTS.values(), "PAUSE"}


def test_what_experts_said_is_in_seconds_of_the_strip(noiseless: Path) -> None:
    record = annotated("mitdb/1")
    for strip in strips_of(record, 40, noiseless, 0):
        seconds = strip.recording.duration_s
        assert 10 <= seconds <= 120
        beats, rhythms = strip.truth.beats, strip.truth.rhythms
        assert beats is not None
        assert rhythms is not None
        assert all(0 <= at < seconds for at, _ in beats)
        assert [round(at + strip.start, 3) for at, label in beats if label == "V"] in ([], [50.0])
        fibrillation = [(a, b) for a, b, name in rhythms if name == "AFIB"]
        assert all(round(a + strip.start, 1) >= 120 for a, _ in fibrillation)
    unlabelled = annotated("afpdb/1")
    assert all(s.truth.beats is None for s in strips_of(unlabelled, 3, noiseless, 0))


def test_some_strips_are_spoilt_where_it_is_said(noiseless: Path) -> None:
    record = annotated("mitdb/1")
    clean = record.microvolts
    kinds = Counter()
    for strip in strips_of(record, 200, noiseless, 0):
        if strip.truth.spoilt is None:
            kinds["none"] += 1
            continue
        what, start, end = strip.truth.spoilt
        kinds[what] += 1
        r, first = strip.recording, round(strip.start * record.fs)
        lead = record.leads.index(r.leads[0])
        was = np.rint(clean[lead, first : first + r.counts.shape[1]])
        changed = np.flatnonzero(r.counts[0] != was) / r.fs
        assert changed.min() >= start - 0.1
        assert changed.max() <= end + 0.1
        assert bool(r.gaps) == (what == "gap")
        assert bool(r.lead_off) == (what == "lead off")
    assert set(kinds) == {"none", "noise", "gap", "lead off", "flat"}
    assert 0.7 < kinds["none"] / 200 < 0.9


def test_strips_of_real_records_hold_what_they_are_drawn_for(ecg_data: Path) -> None:
    strips: list[Strip] = []
    for record in (next(svdb(ecg_data)), *mitdb(ecg_data, ("208",))):
        strips += strips_of(record, 10, ecg_data, 0)
    held = [Counter(label for _, label in s.truth.beats or ()) for s in strips]
    assert sum("V" in labels for labels in held) >= 8
    assert sum("S" in labels for labels in held) >= 2
    assert {s.truth.rhythms is None for s in strips if s.record.startswith("svdb")} == {True}


def test_rows_are_plain_json(tmp_path: Path, noiseless: Path) -> None:
    prepared(tmp_path, noiseless)
    rows = [json.loads(line) for line in (tmp_path / "readings.jsonl").read_text().splitlines()]
    assert {"record", "patient", "fold", "truth", "evidence", "seconds"} <= set(rows[0])
