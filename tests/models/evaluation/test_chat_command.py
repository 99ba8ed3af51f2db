"""`anyecg evaluate chat` and `reports` as others run them, and the recordings that rows point at."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from anyecg import main
from cloud.reading import CHANCES
from models.anyecg.chat.batch import EcgRef
from models.anyecg.chat.corpus import Corpus
from models.anyecg.chat.eyes import ENCODER, Eyes
from models.anyecg.chat.invented import invented
from models.anyecg.chat.readings import Reading, _packed, digest
from models.anyecg.chat.strips import Truth
from models.anyecg.chat.train import Recipe, Round, train_small
from models.errors import RecordingError
from models.evaluation.chat_records import patient_of, stretch
from models.evaluation.chat_runs import Run
from models.formats import write_wfdb
from models.recordings import Recording

SHAPE = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1}
TRUTH = Truth(beats=tuple((float(at), "N") for at in range(1, 9)), rhythms=((0.0, 10.0, "N"),))


def reading(i: int, width: int) -> Reading:
    evidence = invented(Random(i), {})
    seconds = int(np.ceil(evidence.end))
    features = np.random.default_rng(i).normal(size=(seconds, width)).astype(np.float32)
    return Reading(
        evidence=evidence, features=features, record=f"r{i}", patient=f"p{i}", fold=i % 4, truth=TRUTH
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Readings, and a language model that has hardly learned from them, with the shipped eyes."""
    folder = tmp_path_factory.mktemp("trained")
    readings = [reading(i, Eyes().width + 2 * len(CHANCES)) for i in range(12)]
    seen = np.concatenate([r.features for r in readings]).astype(np.float16)
    np.savez(folder / "readings.npz", features=seen)
    (folder / "readings.jsonl").write_text("".join(json.dumps(_packed(r)) + "\n" for r in readings))
    shutil.copy(ENCODER, folder)
    (folder / "folds.json").write_text("{")
    corpus = Corpus(readings)
    recipe = Recipe(rounds=(Round(stage=3, steps=1),), batch=2, threads=1, shape=SHAPE)
    train_small(folder, corpus.draw, recipe, corpus.texts(40, 0), digest(folder))
    return folder


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anyecg", "evaluate", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def test_reports_of_readings_are_one_json_object(command: Callable[..., Any], trained: Path) -> None:
    where = ("--readings", str(trained), "--weights", str(trained))
    code, out, _ = command("reports", *where, "--sample", "2", "--json")
    found = json.loads(out)
    assert code == 0
    assert [*found] == [
        "runs", "blind", "ecgqa", "checker", "paraphrases", "off_topic", "understood", "counts", "models"
    ]  # fmt: skip
    assert [*found["runs"]] == [run.value for run in Run]
    assert found["counts"]["strips"] == 2
    assert found["runs"]["served"]["evidence"]["served"]["unsupported_numbers"] == 0
    assert found["runs"]["zeroed"]["report"]["abstained"] == 1.0
    assert found["models"]["chat"].startswith("anyecg-chat-small/6 ")
    assert found["counts"]["held_out"].startswith("fold 0: learned by neither")
    assert out.count("\n") == 1


def test_of_weights_that_learned_from_other_readings_it_is_not_said_that_nobody_saw_them(
    command: Callable[..., Any], trained: Path
) -> None:
    _, out, _ = command("reports", "--readings", str(trained), "--sample", "1", "--json")
    assert json.loads(out)["counts"]["held_out"].startswith(
        "fold 0 of these readings; the weights note others"
    )


def test_readings_of_another_encoder_are_one_sentence(
    command: Callable[..., Any], trained: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(trained, tmp_path / "other")
    (other / ENCODER.name).write_bytes(b"another")
    code, out, err = command("reports", "--readings", str(other), "--weights", str(trained))
    assert (code != 0, out, err.count("\n")) == (True, "", 1)
    assert "are of different encoders" in err


def test_half_of_the_readings_is_one_sentence(
    command: Callable[..., Any], trained: Path, tmp_path: Path
) -> None:
    half = shutil.copytree(trained, tmp_path / "half")
    (half / "readings.npz").unlink()
    code, _, err = command("reports", "--readings", str(half))
    assert code != 0
    assert "readings.npz is missing" in err


@pytest.mark.parametrize("held", [b"\xff\xfe", b"{no json"])
def test_questions_that_are_no_text_or_no_json_are_one_sentence(
    command: Callable[..., Any], tmp_path: Path, held: bytes
) -> None:
    (tmp_path / "q").write_bytes(held)
    code, out, err = command("chat", "--questions", str(tmp_path / "q"), "--data", str(tmp_path))
    assert (code != 0, out, err.count("\n")) == (True, "", 1)


@pytest.mark.slow
def test_chat_over_rows_of_a_folder(
    command: Callable[..., Any], trained: Path, folder: Path, tmp_path: Path
) -> None:
    ecg = {"record": "hand/one", "start": 5, "end": 15, "leads": ["MLII"]}
    row = {"id": "1", "question": "Where are the PVCs?", "ecgs": [ecg], "answer": "No PVC Found"}
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps(row) + "\n")
    where = ("--questions", str(rows), "--data", str(folder), "--weights", str(trained))
    code, out, _ = command("chat", *where, "--json")
    found = json.loads(out)
    assert code == 0
    assert (found["counts"]["rows"], found["counts"]["not_read"]) == (1, [])
    assert found["off_topic"]["questions"] == 100


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["chat"], "Give either --readings DIR or --questions FILE"),
        (["chat", "--readings", "a", "--questions", "b"], "Give either --readings DIR or --questions FILE"),
        (["reports", "--readings", "nowhere", "--weights", "{trained}"], "readings.jsonl is missing"),
        (["chat", "--questions", "nowhere"], "--questions needs --data DIR"),
        (["chat", "--questions", "nowhere", "--data", "."], "nowhere does not exist"),
        (["chat", "--readings", "{trained}", "--weights", "nowhere"], "nowhere holds no language model"),
        (["beats"], "anyecg evaluate beats needs --data DIR"),
        (["reports", "--readings", "n" * 300], "File name too long"),
        (["chat", "--questions", "q", "--data", ".", "--networks", "{trained}"], "folds.json is no JSON"),
    ],
)
def test_wrong_input_is_one_sentence(
    command: Callable[..., Any], trained: Path, arguments: list[str], sentence: str
) -> None:
    code, out, err = command(*(argument.format(trained=trained) for argument in arguments))
    assert code != 0
    assert out == ""
    (line,) = err.strip().splitlines()
    assert line.startswith("anyecg: ")
    assert sentence in line


# recordings


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, excerpt: Recording) -> Path:
    folder = tmp_path_factory.mktemp("data")
    (folder / "hand").mkdir()
    write_wfdb(excerpt, folder / "hand" / "one")
    return folder


def test_a_stretch_of_a_record_is_cut_out(folder: Path, excerpt: Recording) -> None:
    found = stretch(folder, EcgRef(record="hand/one", start=5, end=15, leads=("MLII",)))
    first = round(5 * excerpt.fs)
    assert found.leads == ("MLII",)
    assert (found.counts[0] == excerpt.counts[0, first : first + round(10 * excerpt.fs)]).all()


@pytest.mark.parametrize(
    ("ecg", "sentence"),
    [
        ({"record": "hand/two"}, "not found"),
        ({"record": "hand/one", "end": 9999}, "goes beyond its end"),
        ({"record": "hand/one", "leads": ["V6"]}, "has no lead V6"),
    ],
)
def test_what_is_not_there_is_one_sentence(folder: Path, ecg: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecordingError, match=sentence):
        stretch(folder, EcgRef.model_validate(ecg))


@pytest.mark.parametrize(
    ("record", "leads", "fs"),
    [
        ("mitdb/208", 2, 360.0),
        ("ptbxl/372", 12, 500.0),
        ("cinc2017/A06213", 1, 300.0),
        ("vfdb/ecg_422", 2, 250.0),
    ],
)
def test_databases_are_read_by_the_names_of_their_rows(
    ecg_data: Path, record: str, leads: int, fs: float
) -> None:
    found = stretch(ecg_data, EcgRef(record=record, end=8))
    assert (len(found.leads), found.fs) == (leads, fs)
    assert found.duration_s == 8.0
    assert found.counts.any()


def test_a_patient_is_known_in_every_database(ecg_data: Path) -> None:
    names = (
        "cpsc2021/data_101_6",
        "cpsc2021/data_101_8",
        "qtdb/sel114",
        "mitdb/114",
        "vfdb/ecg_422",
        "own/9",
    )
    found = [patient_of(ecg_data, name) for name in names]
    assert found == ["cpsc2021/101", "cpsc2021/101", "mitdb/114", "mitdb/114", "vfdb/422", "own/9"]


def test_a_database_without_the_record_says_so(ecg_data: Path) -> None:
    with pytest.raises(RecordingError, match="has no record vfdb/none"):
        stretch(ecg_data, EcgRef(record="vfdb/none"))
