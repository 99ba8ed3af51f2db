"""`anyecg dataset build` as a person types it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from anyecg import main

pytestmark = pytest.mark.timeout(300)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["anyecg", "dataset", "build", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_databases_become_three_files_and_a_card(
    ecg_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two small ones."""
    pytest.importorskip("wfdb")
    assert run(monkeypatch, "--out", str(tmp_path), "--databases", "vfdb,aftdb") == 0
    (said,) = capsys.readouterr().out.splitlines()
    card = json.loads(said)
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert {f.name for f in tmp_path.iterdir()} == {"train.jsonl", "dev.jsonl", "test.jsonl", "card.json"}
    rows = [(f.stem, json.loads(x)) for f in tmp_path.glob("*.jsonl") for x in f.read_text().splitlines()]
    assert all(row["split"] == split for split, row in rows)
    assert len({row["id"] for _, row in rows}) == len(rows) > 100
    assert {ecg["record"].split("/")[0] for _, row in rows for ecg in row["ecgs"]} == {"vfdb", "aftdb"}


@pytest.mark.parametrize(
    ("name", "hint"),
    [("mitbd", "did you mean mitdb?"), ("zzz", "known are "), ("mitdb,svbd", "did you mean svdb?")],
)
def test_an_unknown_database_is_one_sentence(
    name: str,
    hint: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("ANYECG_DATA", str(tmp_path))
    assert run(monkeypatch, "--out", str(tmp_path / "out"), "--databases", name) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (line,) = said.err.strip().splitlines()
    assert line.startswith("anyecg: ")
    assert hint in line
    assert not (tmp_path / "out").exists()


def test_without_data_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("ANYECG_DATA", raising=False)
    assert run(monkeypatch, "--out", str(tmp_path)) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "Set ANYECG_DATA" in line
