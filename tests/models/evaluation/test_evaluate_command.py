"""`anyecg evaluate` as others run it: a small folder of WFDB records, one JSON object."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import wfdb

from anyecg import main, serve
from models.evaluation.served import Served, cut, zeroed
from models.formats import write_wfdb
from models.recordings import Recording, make_recording

ROOT = Path(__file__).resolve().parents[3]


class Run(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Run]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command line in this process."""

    def run(*arguments: str) -> Run:
        monkeypatch.setattr(sys, "argv", ["anyecg", "evaluate", *arguments])
        with pytest.raises(SystemExit) as end:
            main()
        return Run(int(end.value.code or 0), *capsys.readouterr())

    return run


def figures(done: Run | subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """The one line of JSON on stdout."""
    (line,) = (done.out if isinstance(done, Run) else done.stdout).splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


@pytest.fixture(scope="module")
def piece(excerpt: Recording) -> Recording:
    return cut(excerpt, 0, round(40 * excerpt.fs) - 1)


@pytest.fixture(scope="module")
def said(piece: Recording) -> Served:
    return serve(piece)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, piece: Recording, said: Served) -> Path:
    """Two equal records, annotated with what is served, but that the first V is called a fusion beat and a
    beat is marked where there is none."""
    folder = tmp_path_factory.mktemp("wfdb")
    marks = {beat.r: beat.label for beat in said.beats}
    marks[next(at for at, label in marks.items() if label == "V")] = "F"
    ordered = sorted({**marks, said.beats[4].r + 70: "V"}.items())
    for name in ("one", "two"):
        write_wfdb(piece, folder / name)
        at = np.asarray([5, *(at for at, _ in ordered)])
        symbols = ["+", *(label for _, label in ordered)]
        notes = ["(N", *("" for _ in ordered)]
        wfdb.wrann(name, "atr", at, symbol=symbols, aux_note=notes, write_dir=str(folder))
    (folder / "RECORDS").write_text("one\ntwo\n")
    return folder


def test_beats_of_a_folder_that_is_annotated_with_what_is_served(
    command: Command, folder: Path, said: Served
) -> None:
    found = figures(command("beats", "--data", str(folder), "--json"))
    beats = len(said.beats)
    ventricular = sum(beat.label == "V" for beat in said.beats)
    assert ventricular > 3
    assert found["detection"]["beats"] == 2 * (beats + 1)
    assert found["detection"]["se"] == round(beats / (beats + 1), 4)
    assert found["detection"]["ppv"] == 1.0
    v = found["beats"]["V"]
    assert (v["beats"], v["ppv"]) == (2 * ventricular, 1.0)
    assert v["se"] == round((ventricular - 1) / ventricular, 4)
    assert v["strict"]["ppv"] == v["se"]
    assert found["baselines"]["zeroed"]["V"]["f1"] == 0.0
    assert found["baselines"]["constant"]["V"]["f1"] < v["f1"]
    assert [row["record"] for row in found["per_record"]] == ["one", "two"]


@pytest.mark.slow
def test_a_program_of_its_own_spreads_over_processes_and_says_the_same(
    command: Command, folder: Path
) -> None:
    program = [sys.executable, "-m", "anyecg", "evaluate", "beats", "--data", str(folder), "--json"]
    two = [*program, "--jobs", "2"]
    done = subprocess.run(two, cwd=ROOT, capture_output=True, text=True, check=True, timeout=110)
    assert figures(done) == figures(command("beats", "--data", str(folder), "--json"))


def test_screener_rhythm_and_localization_of_one_record(folder: Path, command: Command) -> None:
    where = ("--data", str(folder), "--records", "one", "--json")
    screener = figures(command("screener", *where))
    assert screener["screener"]["windows"] == 7
    assert screener["baselines"]["zeroed"]["auroc"] in {0.5, None}
    rhythm = figures(command("rhythm", *where, "--lead", "MLII"))
    assert rhythm["hours"] == rhythm["dangerous"]["hours"] == round(40 / 3600, 3)
    located = figures(command("localization", *where, "--leads", "0", "--strips", "1"))
    by_type = located["localization"]["by_type"]
    assert by_type["V"]["positives"] > located["baselines"]["paper"]["zeroed"]["positives"]
    assert by_type["L"]["positives"] is None


def test_only_what_the_edge_flags_is_said_as_in_operation(piece: Recording, said: Served) -> None:
    sent = serve(piece, only_flagged=True)
    assert [w.flagged for w in sent.windows] == [w.flagged for w in said.windows]
    assert any(w.flagged for w in sent.windows) == bool(sent.beats)
    assert serve(zeroed(piece), only_flagged=True).beats == ()


def test_noise_lowers_what_is_found(command: Command, folder: Path, piece: Recording, tmp_path: Path) -> None:
    white = np.random.default_rng(0).normal(0, 1000, (1, piece.counts.shape[1])).astype(np.int32)
    write_wfdb(make_recording("ma", piece.fs, ["ECG"], white, [1.0]), tmp_path / "ma")
    noise = ("--noise", "ma", "--snr", "0", "--noise-data", str(tmp_path))
    found = figures(command("beats", "--data", str(folder), "--records", "one", "--json", *noise))
    assert found["noise"] == "ma 0 dB"
    assert found["beats"]["V"]["f1"] < 0.9


def test_without_json_a_short_table(command: Command, folder: Path) -> None:
    done = command("beats", "--data", str(folder), "--records", "one")
    assert any(line.split()[0] == "beats.V.f1" for line in done.out.splitlines())
    assert "per_record" not in done.out
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--data", "nowhere"], "nowhere does not exist"),
        (["--data", "{folder}", "--records", "three"], "no annotated record three; it has one, two"),
        (["--data", "{folder}", "--lead", "V9"], "Record one has no lead V9; it has MLII"),
        (["--data", "{folder}", "--annotator", "qrs"], "no WFDB record with annotations"),
        (["--data", "{folder}", "--noise", "em"], "--noise needs --snr"),
        (["--data", "{folder}", "--database", "mitdb"], "does not exist"),
    ],
)
def test_wrong_input_is_one_sentence(
    command: Command, folder: Path, arguments: list[str], sentence: str
) -> None:
    done = command("beats", *(argument.format(folder=folder) for argument in arguments))
    assert done.code != 0
    assert done.out == ""
    (line,) = done.err.strip().splitlines()
    assert line.startswith("anyecg: ")
    assert sentence in line
