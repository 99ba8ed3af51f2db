from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from models.dataset.annotated import Annotated, cpsc2021, mitdb, qtdb, unpacked
from models.dataset.atrial import afpdb, aftdb
from models.dataset.clinical import Clinical, Written, cinc2021, ludb, morphology, ptbxl, ptbxl_rows, rhythm
from models.dataset.files import folder_of, names_in
from models.dataset.sequences import BeatSequence, afdb_ann, ltafdb_ann, vitaldb
from models.dataset.statements import morphology_of, rhythm_of
from models.errors import RecordingError
from models.verdicts import LABELS


@pytest.fixture(scope="module")
def afpdb_files(ecg_data: Path) -> list[Annotated]:
    return list(afpdb(ecg_data))


@pytest.fixture(scope="module")
def aftdb_minutes(ecg_data: Path) -> list[Annotated]:
    return list(aftdb(ecg_data))


@pytest.fixture(scope="module")
def cpsc(ecg_data: Path) -> list[Annotated]:
    return list(cpsc2021(ecg_data))


@pytest.fixture(scope="module")
def qt(ecg_data: Path) -> list[Annotated]:
    return list(qtdb(ecg_data))


@pytest.fixture(scope="module")
def cases(ecg_data: Path) -> list[BeatSequence]:
    return list(vitaldb(ecg_data))


@pytest.fixture(scope="module")
def table(ecg_data: Path) -> list[Written]:
    return list(ptbxl_rows(ecg_data))


@pytest.fixture(scope="module")
def strips(ecg_data: Path) -> dict[str, Clinical]:
    return {ecg.record: ecg for ecg in cinc2021(ecg_data)}


@pytest.fixture(scope="module")
def lobachevsky(ecg_data: Path) -> dict[str, Clinical]:
    return {ecg.record: ecg for ecg in ludb(ecg_data)}


def test_a_missing_folder_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="set ANYECG_DATA"):
        folder_of(tmp_path, "qtdb")


def test_afpdb_has_rhythms_in_64_files_with_20_onsets_of_fibrillation(afpdb_files: list[Annotated]) -> None:
    told = [record for record in afpdb_files if record.rhythms]
    onsets = Counter(span.name for record in told for span in record.rhythms)
    assert (len(afpdb_files), len(told)) == (110, 64)
    assert (onsets["AFIB"], onsets["AFL"]) == (20, 1)
    assert _minutes(told)["AFIB"] == pytest.approx(43, abs=0.5)
    assert _minutes(told)["N"] == pytest.approx(1072, abs=0.5)
    assert all((record.labelled == {"rhythm"}) == bool(record.rhythms) for record in afpdb_files)


def test_subjects_without_paroxysmal_fibrillation_are_not_called_sinus(afpdb_files: list[Annotated]) -> None:
    controls = [record for record in afpdb_files if record.record.startswith("afpdb/n")]
    assert controls
    assert not any(record.rhythms for record in controls)


def test_an_afpdb_subject_is_one_patient_and_the_one_of_afdb(
    afpdb_files: list[Annotated], ecg_data: Path
) -> None:
    patients = {record.record: record.patient for record in afpdb_files}
    assert {patients[f"afpdb/{name}"] for name in ("p01", "p01c", "p02", "p02c")} == {"afdb/08405"}
    assert {patients[f"afpdb/{name}"] for name in ("p15", "p47c")} == {"afdb/04908"}
    assert len(set(patients.values())) == 34
    shared = {patient for patient in patients.values() if patient.startswith("afdb/")}
    assert shared <= {f"afdb/{name}" for name in names_in(unpacked(ecg_data, "afdb-ann"))}


def test_aftdb_is_66_minutes_of_fibrillation(aftdb_minutes: list[Annotated]) -> None:
    assert len(aftdb_minutes) == 66
    assert _minutes(aftdb_minutes) == {"AFIB": pytest.approx(66)}
    assert all(len(record.beats) and set(record.symbols) == {"?"} for record in aftdb_minutes)


def test_aftdb_patients_are_its_groups_and_a12_is_of_ltafdb(
    aftdb_minutes: list[Annotated], ecg_data: Path
) -> None:
    patients = {record.record: record.patient for record in aftdb_minutes}
    assert patients["aftdb/s03"] == patients["aftdb/t03"]
    assert patients["aftdb/b01"] == patients["aftdb/t04"]
    assert patients["aftdb/a12"] == next(ltafdb_ann(ecg_data)).patient


def test_patient_21_of_cpsc_is_outside_fibrillation_throughout(cpsc: list[Annotated]) -> None:
    records = [record for record in cpsc if record.patient == "cpsc2021/21"]
    assert len(records) == 3
    assert _names(records) == {("N",)}


def test_cpsc_records_tell_the_rhythm_of_every_sample_but_the_closing_mark(cpsc: list[Annotated]) -> None:
    for record in cpsc:
        length = record.microvolts.shape[1]
        told = sum(span.last - span.first + 1 for span in record.rhythms)
        assert length - 1 <= told <= length


def test_persistent_fibrillation_fills_its_records_and_paroxysms_begin_outside(cpsc: list[Annotated]) -> None:
    persistent = [record for record in cpsc if record.patient in {"cpsc2021/8", "cpsc2021/84"}]
    assert _names(persistent) == {("AFIB",)}
    paroxysmal = [record for record in cpsc if record.patient == "cpsc2021/101"]
    assert {record.rhythms[0].name for record in paroxysmal} == {"N"}


def test_qt_excerpts_of_mit_bih_share_their_patients(qt: list[Annotated], ecg_data: Path) -> None:
    patients = {record.record: record.patient for record in qt}
    assert patients["qtdb/sel114"] == next(mitdb(ecg_data, ["114"])).patient
    assert patients["qtdb/sel301"] == "qtdb/sel301"
    assert len(set(patients.values())) == len(qt) == 24


def test_st_and_t_episodes_are_no_rhythms_and_their_marks_no_beats(qt: list[Annotated]) -> None:
    record = next(r for r in qt if r.record == "qtdb/sele0110")
    assert not record.rhythms
    assert record.labelled == {"beats"}
    assert Counter(record.symbols.tolist()) == {"N": 871, "J": 1}
    assert {r.record for r in qt if r.rhythms} == {
        f"qtdb/{name}" for name in ("sel114", "sel116", "sel223", "sel230", "sele0121")
    }


def test_vitaldb_has_322_cases_whose_rows_are_beats_marks_or_repetitions(
    cases: list[BeatSequence], ecg_data: Path
) -> None:
    rows = marks = 0
    for path in (ecg_data / "vitaldb-arrdb").rglob("*.csv.gz"):
        lines = gzip.decompress(path.read_bytes()).decode("utf-8-sig").splitlines()[1:]
        rows += len(lines)
        marks += sum("Start" in line or "End" in line for line in lines)
    assert (len(cases), rows) == (322, 448_670)
    assert sum(len(case.beats_s) for case in cases) == rows - marks - 55
    assert all(np.all(np.diff(case.beats_s) > 0) for case in cases)


def test_vitaldb_does_not_call_conducted_beats_of_fibrillation_premature(cases: list[BeatSequence]) -> None:
    symbols, rhythms = (np.concatenate([getattr(c, name) for c in cases]) for name in ("symbols", "rhythms"))
    fibrillating = Counter(symbols[rhythms == "AFIB/AFL"].tolist())
    assert fibrillating["N"] > 80_000
    assert "S" not in fibrillating
    assert "S" in symbols[rhythms == "SR-mPAC-BT"]


def test_noise_in_vitaldb_is_unreadable_and_of_unknown_rhythm(cases: list[BeatSequence]) -> None:
    case = next(c for c in cases if not c.readable.all() and "" in c.rhythms)
    assert "Noise" not in case.rhythms
    assert 15_000 < sum(int((~c.readable).sum()) for c in cases) < 20_000


def test_afdb_reads_one_record_at_a_time_with_its_patient_and_rhythm(ecg_data: Path) -> None:
    sequence = next(afdb_ann(ecg_data))
    assert (sequence.record, sequence.patient) == ("afdb-ann/00735", "afdb/00735")
    assert len(sequence.beats_s) == 40_233
    assert set(sequence.rhythms) == {"N", "AFIB"}


@pytest.mark.slow
def test_afdb_sequences_hold_the_onsets_and_hours_of_its_annotations(ecg_data: Path) -> None:
    afdb = list(afdb_ann(ecg_data))
    hours = sum(np.diff(s.beats_s)[s.rhythms[:-1] == "AFIB"].sum() for s in afdb) / 3600
    onsets = sum(int(np.sum((s.rhythms[1:] == "J") & (s.rhythms[:-1] != "J"))) for s in afdb)
    assert len(afdb) == 18
    assert hours == pytest.approx(55, abs=0.6)
    assert onsets == 18
    audited = next(s for s in afdb if s.record == "afdb-ann/05091")
    assert len(audited.beats_s) == 36_778


def test_ltafdb_13_holds_its_beats_and_most_of_it_is_not_fibrillation(ecg_data: Path) -> None:
    (sequence,) = ltafdb_ann(ecg_data)
    assert Counter(sequence.symbols.tolist()) == {"N": 68_236, "A": 498, "V": 235}
    assert set(sequence.rhythms) == {"SBR", "N", "SVTA", "AB", "B", "AFIB", "T"}


def test_ptbxl_reads_what_has_a_waveform_and_the_table_reads_all(
    table: list[Written], ecg_data: Path
) -> None:
    ecgs = list(ptbxl(ecg_data))
    visits = Counter(row.patient for row in table)
    assert (len(ecgs), len(table)) == (232, 8_549)
    assert sum(count > 1 for count in visits.values()) == 830
    assert {ecg.record for ecg in ecgs} <= {row.record for row in table}
    assert sum(count > 1 for count in Counter(ecg.patient for ecg in ecgs).values()) == 14
    assert all(ecg.microvolts.shape == (12, 5000) and ecg.fs == 500 for ecg in ecgs)
    assert all(ecg.report and ecg.fold in range(1, 9) for ecg in ecgs)


def test_ptbxl_statements_leave_out_the_unlikely_and_keep_those_without_likelihood(
    table: list[Written],
) -> None:
    codes = Counter(code for row in table for code in row.statements)
    assert codes["AFIB"] == 1_211  # 1,174 without a likelihood
    assert codes["CRBBB"] == 264  # of 265: one is at 30 %


def test_ptbxl_noise_notes_are_kept_where_there_are_any(table: list[Written]) -> None:
    first = next(row for row in table if row.record == "ptbxl/1")
    assert first.noise == {"static_noise": "I-V1"}
    assert sum("burst_noise" in row.noise for row in table) == 8_549 - 8_244 - 1  # one note is blank


def test_ludb_diagnoses_are_statements_and_report(lobachevsky: dict[str, Clinical]) -> None:
    first = lobachevsky["ludb/1"]
    assert len(lobachevsky) == 134
    assert first.statements[0] == "Rhythm: Sinus bradycardia"
    assert first.report.startswith("Rhythm: Sinus bradycardia. Electric axis of the heart: left axis")
    assert (first.age, first.sex, first.leads[3]) == (51, "female", "aVR")
    assert Counter(map(morphology, lobachevsky.values())) == {None: 124, "P": 5, "R": 3, "L": 2}


def test_cinc2021_reads_both_folders_and_knows_the_patient_of_ptbxl(strips: dict[str, Clinical]) -> None:
    assert len(strips) == 29 + 55
    assert strips["cinc2021/HR06001"].patient == "ptbxl/patient12976"
    assert strips["cinc2021/Q0398"].microvolts.shape == (12, 9000)
    assert morphology(strips["cinc2021/Q0398"]) == "P"
    assert rhythm(strips["cinc2021/JS45542"]) == "VT"


def test_a_tachycardia_that_readers_dispute_has_no_rhythm(strips: dict[str, Clinical]) -> None:
    assert rhythm(strips["cinc2021/JS45543"]) is None
    assert rhythm(strips["cinc2021/JS45550"]) is None


def test_every_rhythm_is_a_label(table: list[Written], strips: dict[str, Clinical]) -> None:
    found = Counter(map(rhythm, [*table, *strips.values()]))
    assert {name for name in found if name} <= set(LABELS)
    assert found["SINUS"] > found["AFIB"] > 1_000


@pytest.mark.parametrize(
    ("statements", "shape", "name"),
    [
        (("CLBBB", "SR"), "L", "SINUS"),
        (("IRBBB", "SBRAD"), None, "SINUS"),
        (("713427006", "164889003"), "R", "AFIB"),
        (("PACE", "CLBBB", "AFIB"), "P", "PACED"),
        (("CLBBB", "CRBBB"), None, None),
        (("SR", "WPW"), None, "PREX"),
        (("SR", "BIGU"), None, None),
        (("AFLT", "SVTAC", "2AVB"), None, "AFL"),
        (("SR", "AFIB"), None, None),
        (("Rhythm: Atrial fibrillation", "III degree AV-block"), None, None),
        ((), None, None),
    ],
)
def test_statements_give_one_shape_and_one_rhythm_or_none(
    statements: tuple[str, ...], shape: str | None, name: str | None
) -> None:
    assert (morphology_of(statements), rhythm_of(statements)) == (shape, name)


def _minutes(records: list[Annotated]) -> dict[str, float]:
    minutes: Counter[str] = Counter()
    for record in records:
        for span in record.rhythms:
            minutes[span.name] += (span.last - span.first + 1) / record.fs / 60  # type: ignore[assignment]
    return dict(minutes)


def _names(records: list[Annotated]) -> set[tuple[str, ...]]:
    return {tuple(span.name for span in record.rhythms) for record in records}
