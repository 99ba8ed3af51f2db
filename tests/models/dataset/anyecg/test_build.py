"""The dataset as files: the same bytes again, no patient on two sides, every row well formed."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from models.dataset import annotated, clinical
from models.dataset.anyecg.build import Splits, build
from models.dataset.anyecg.rows import ECG, TASKS, row
from models.errors import UsageError

pytestmark = pytest.mark.timeout(300)  # two builds, also on a machine that has other work

FILES = ("train.jsonl", "dev.jsonl", "test.jsonl", "card.json")
BUILT = ["qtdb", "ptbxl", "vfdb"]


@pytest.fixture(scope="module")
def twice(ecg_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, Any]]:
    """(built here, built by another process whose sets have another order, card)."""
    pytest.importorskip("wfdb")
    here, there = tmp_path_factory.mktemp("here"), tmp_path_factory.mktemp("there")
    script = (
        "import sys; from pathlib import Path; from models.dataset.anyecg.build import build; "
        "build(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:], 1)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(there), str(ecg_data), *reversed(BUILT)],
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": "."},
        cwd=Path(__file__).parents[3],
    )
    card = build(here, ecg_data, BUILT, 1)
    assert process.wait() == 0
    return here, there, card


@pytest.fixture(scope="module")
def rows(twice: tuple[Path, Path, dict[str, Any]]) -> list[dict[str, Any]]:
    return [json.loads(line) for name in FILES[:3] for line in (twice[0] / name).read_text().splitlines()]


@pytest.fixture(scope="module")
def patients(ecg_data: Path) -> dict[str, str]:
    """By record, from the table of PTB-XL; of the other two by the name of the record."""
    with (ecg_data / "ptbxl" / "ptbxl_database.csv").open(newline="") as lines:
        named = {f"ptbxl/{said['ecg_id']}": said["patient_id"] for said in csv.DictReader(lines)}
    names = (ecg_data / "qtdb" / "RECORDS").read_text().split()
    return named | {f"qtdb/{n}": n for n in names} | {f"vfdb/ecg_{n}": n[:3] for n in ("421n", "422", "422a")}


def test_another_process_writes_the_same_bytes(twice: tuple[Path, Path, dict[str, Any]]) -> None:
    here, there, _ = twice
    for name in FILES:
        assert (here / name).read_bytes() == (there / name).read_bytes()
    assert (here / "train.jsonl").stat().st_size > 1_000_000


def test_no_patient_is_on_two_sides(rows: list[dict[str, Any]], patients: dict[str, str]) -> None:
    sides: dict[str, set[str]] = {}
    for said in rows:
        for ecg in said["ecgs"]:
            sides.setdefault(patients[ecg["record"]], set()).add(said["split"])
    assert len(sides) > 200
    assert all(len(side) == 1 for side in sides.values())


def test_a_person_of_two_databases_is_on_one_side_whatever_is_built(ecg_data: Path) -> None:
    splits = Splits(ecg_data, 1)
    excerpt = next(record for record in annotated.qtdb(ecg_data) if record.record == "qtdb/sel114")
    assert excerpt.patient == "mitdb/114"
    twin = next(ecg for ecg in clinical.cinc2021(ecg_data) if ecg.record == "cinc2021/HR06001")
    (fold,) = [ecg.fold for ecg in clinical.ptbxl_rows(ecg_data) if ecg.record == "ptbxl/6001"]
    assert splits.of(twin.patient) == {7: "dev", 8: "test"}.get(fold or 0, "train")
    assert {splits.of(f"mitdb/{number}") for number in range(100, 235)} == {"train", "dev", "test"}


def test_ptb_xl_is_split_by_its_own_folds(rows: list[dict[str, Any]], ecg_data: Path) -> None:
    folds = {ecg.record: ecg.fold for ecg in clinical.ptbxl_rows(ecg_data)}
    for said in rows:
        for ecg in said["ecgs"]:
            if fold := folds.get(ecg["record"]):
                assert said["split"] == {7: "dev", 8: "test"}.get(fold, "train")


def test_rows_are_well_formed_and_never_hold_samples(rows: list[dict[str, Any]]) -> None:
    assert {said["task"] for said in rows} == set(TASKS)
    assert len({said["id"] for said in rows}) == len(rows)
    for said in rows:
        assert set(said) == {"id", "split", "task", "type", "ecgs", "messages", "evidence"}
        question, answer = said["messages"]
        assert (question["role"], answer["role"]) == ("user", "assistant")
        assert question["content"].count(ECG) == len(said["ecgs"])
        assert answer["content"].strip()
        assert "{" not in question["content"] + answer["content"]
        for ecg in said["ecgs"]:
            assert 0 <= ecg["start"] < ecg["end"] <= ecg["start"] + 300.01
            assert ecg["leads"]


def test_the_card_counts_what_is_in_the_files(
    twice: tuple[Path, Path, dict[str, Any]], rows: list[dict[str, Any]]
) -> None:
    out, _, card = twice
    assert json.loads((out / "card.json").read_text()) == card
    assert card["rows"] == len(rows)
    for split in ("train", "dev", "test"):
        some = [said for said in rows if said["split"] == split]
        assert card["splits"][split]["rows"] == len(some) > 0
        for task, number in card["splits"][split]["tasks"].items():
            assert number == sum(said["task"] == task for said in some)


def test_wordings_vary(rows: list[dict[str, Any]]) -> None:
    asked = {said["messages"][0]["content"].replace(ECG, "").strip() for said in rows if said["type"] == "V"}
    assert len(asked) > 80


def test_an_unknown_database_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean mitdb"):
        build(tmp_path / "out", tmp_path, ["mitbd"], 1)
    assert not (tmp_path / "out").exists()


def test_a_question_that_does_not_show_its_ecgs_is_no_row() -> None:
    with pytest.raises(ValueError, match="0 markers for 1 ECGs"):
        row("question", "rate", None, [{"record": "mitdb/100"}], "How fast?", "60/min", {})
