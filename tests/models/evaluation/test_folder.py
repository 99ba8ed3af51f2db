from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import wfdb

from models.errors import RecordingError
from models.evaluation.folder import (
    database_cases,
    read_case,
    record_names,
    recording_of,
    wfdb_folder,
    with_leads,
)
from models.evaluation.rhythms import spans_of
from models.formats import write_wfdb
from models.recordings import Recording

NOTES = {50: "(N", 2000: "(AFIB", 4000: "(VFL", 4500: "(N"}


@pytest.fixture
def folder(tmp_path: Path, ramp: Recording) -> Path:
    """Record `one` with beats N and V, a mark `~`, AF, and flutter from 4000 to 4400; `two` without marks."""
    write_wfdb(ramp, tmp_path / "one")
    write_wfdb(ramp, tmp_path / "two")
    marks = {50: "+", 100: "N", 200: "V", 300: "~", 2000: "+", 4000: "+", 4001: "[", 4400: "]", 4500: "+"}
    annotate(tmp_path, marks)
    return tmp_path


def annotate(folder: Path, marks: dict[int, str]) -> None:
    wfdb.wrann(
        "one",
        "atr",
        np.asarray(list(marks)),
        symbol=list(marks.values()),
        aux_note=[NOTES.get(at, "") if symbol == "+" else "" for at, symbol in marks.items()],
        write_dir=str(folder),
    )


def test_beats_and_rhythms_are_read_beside_the_recording(folder: Path, ramp: Recording) -> None:
    case = read_case(folder, "one")
    np.testing.assert_array_equal(case.recording.counts, ramp.counts)
    assert case.truth.beats.tolist() == [100, 200]
    assert case.truth.symbols.tolist() == ["N", "V"]
    assert case.truth.labelled == {"beats", "rhythm"}
    assert spans_of(case.truth, "SINUS") == ((0, 1999), (4500, 5999))
    assert spans_of(case.truth, "AFIB") == ((2000, 3999),)
    assert spans_of(case.truth, "VF") == ((4001, 4400),)


def test_before_the_first_change_the_rhythm_is_normal(folder: Path) -> None:
    annotate(folder, {2000: "+"})
    (truth,) = wfdb_folder(folder)
    assert spans_of(truth, "SINUS") == ((0, 1999),)
    assert truth.labelled == {"rhythm"}


def test_flutter_that_is_not_closed_lasts_to_the_end(folder: Path) -> None:
    annotate(folder, {100: "N", 5000: "["})
    (truth,) = wfdb_folder(folder)
    assert spans_of(truth, "VF") == ((5000, 5999),)


def test_records_are_those_of_the_list_or_of_the_headers_that_are_annotated(folder: Path) -> None:
    assert record_names(folder) == ["one"]
    (folder / "RECORDS").write_text("two\none\n")
    assert record_names(folder) == ["one"]
    assert record_names(folder, ["one"]) == ["one"]


def test_wrong_folders_and_records_are_said_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="nowhere does not exist"):
        record_names(tmp_path / "nowhere")
    with pytest.raises(RecordingError, match="no annotated record two; it has one"):
        record_names(folder, ["two"])
    with pytest.raises(RecordingError, match="no WFDB record with annotations"):
        record_names(folder, annotator="qrs")
    (folder / "one.atr").write_bytes(b"\x01")
    with pytest.raises(RecordingError, match=r"one\.atr cannot be read"):
        read_case(folder, "one")
    with pytest.raises(RecordingError, match="known are mitdb"):
        list(database_cases(folder, "nonsense"))


def test_leads_are_chosen_by_name_or_number(ramp: Recording) -> None:
    assert with_leads(ramp, None) is ramp
    assert with_leads(ramp, "V1").leads == ("V1",)
    assert with_leads(ramp, "1,0").leads == ("V1", "II")
    for wrong in ("V9", "2", "-1", ""):
        with pytest.raises(RecordingError, match="it has II, V1, numbered from 0"):
            with_leads(ramp, wrong)


def test_a_database_is_read_as_microvolts(ecg_data: Path) -> None:
    (case,) = database_cases(ecg_data, "mitdb", ["106"])
    served = read_case(ecg_data / "mitdb", "106")
    np.testing.assert_array_equal(case.recording.counts, served.recording.counts * 5)
    assert case.truth.beats.tolist() == served.truth.beats.tolist()
    assert recording_of(served.truth).fs == 360.0
    with pytest.raises(RecordingError, match="no record ecg_999"):
        list(database_cases(ecg_data, "vfdb", ["ecg_422", "ecg_999"]))
