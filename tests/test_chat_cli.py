"""`anyecg chat`: ECGs read by the code that serves, questions asked of a language model, wrong input told.

Most tests ask a small model that learned, in seconds, which plan a question means; the last ones the shipped.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID251 - a network under test

import anyecg
from models.anyecg.chat.export import export_small
from models.anyecg.chat.eyes import ENCODER
from models.anyecg.chat.invented import Placed
from models.anyecg.chat.net import small
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.prompt import lay_out, text
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.tokenizer import PAD, learn
from models.anyecg.chat.train import batch, metadata
from models.anyecg.chat.wording import read as claims
from models.errors import AnyEcgError, UsageError
from models.evaluation.served import cut
from models.formats import write_wfdb
from models.recordings import Recording, make_recording, open_recording

ROOT = Path(__file__).resolve().parents[1]
LEARNED = {
    "How many PVCs?": Plan("count", "V"),
    "Where are the PVCs?": Plan("locate", "V"),
    "Write a report.": Plan("report"),
    "Compare them.": Plan("compare", "RATE"),
}
STRETCHES = ((0, 10), (60, 70), (60, 80), (20, 35), (100, 112), (200, 230))
SHAPE = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
MOST_STEPS, RATE, LEARNED_WELL = 600, 3e-3, 0.02


def read(recording: Recording, begin: float, end: float, place: int = 0) -> Reading:
    first, last = round(begin * recording.fs), round(end * recording.fs) - 1
    reading = anyecg.read_strip(cut(recording, first, last), "mitdb/208", None, ENCODER)
    return replace(reading, evidence=Placed(place, begin).of(reading.evidence))


@pytest.fixture(scope="session")
def weights(excerpt: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `anyecg train chat` writes it."""
    folder = tmp_path_factory.mktemp("weights")
    alone = [[read(excerpt, *span)] for span in STRETCHES]
    groups = [*alone, [alone[0][0], read(excerpt, *STRETCHES[1], 1)]]
    facts = [[text(ecg.evidence) for ecg in ecgs] for ecgs in groups]
    words = learn([*LEARNED, *map(str, LEARNED.values()), *(fact for some in facts for fact in some)])
    width = groups[0][0].features.shape[1]
    unseen = np.zeros((1, width), dtype=np.float32)
    shown = [([ecg.features for ecg in ecgs], some) for ecgs, some in zip(groups, facts, strict=True)]
    layouts = [
        lay_out(words, ecgs, some, [(asked, str(plan))])
        for asked, plan in LEARNED.items()
        for ecgs, some in (*shown, ([unseen], None), ([unseen, unseen], None))
    ]
    torch.manual_seed(0)
    net = small(words, width, **SHAPE)
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE)
    rows, features = batch(layouts, words.one(PAD))
    for _ in range(MOST_STEPS):
        loss = net(*rows, features)
        if loss.item() < LEARNED_WELL:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < LEARNED_WELL
    words.save(folder / "tokenizer.json")
    export_small(net.eval(), folder, metadata(words, "0"))
    shutil.copy(ENCODER, folder / ENCODER.name)
    return folder


@pytest.fixture
def chat(weights: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`chat("excerpt@0-10", "--question", "...")`: what stdout gets; errors are raised."""

    def run(*arguments: str) -> str:
        anyecg.app(["chat", "--weights", str(weights), *arguments], standalone_mode=False)
        return capsys.readouterr().out

    return run


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`typed("a question\\n")` is what stdin holds."""
    return lambda lines: monkeypatch.setattr("sys.stdin", io.StringIO(lines))


def found(excerpt: Recording, begin: float, end: float) -> list[tuple[float, float]]:
    """Ventricular premature beats of a stretch, in seconds of the recording."""
    reading = read(excerpt, begin, end)
    return [
        (begin + f.first / excerpt.fs, begin + (f.last + 1) / excerpt.fs)
        for f in reading.findings
        if f.label == "V"
    ]


def test_one_question_is_answered_from_what_was_measured_and_says_what_it_is(
    chat: Callable[..., str], excerpt: Recording
) -> None:
    count = len(found(excerpt, 60, 80))
    said = chat("excerpt@60-80", "--question", "How many PVCs?")
    assert count > 2
    assert f"{count} ventricular premature beats" in said
    assert anyecg.NOTICE in said
    assert "Not for emergency monitoring" in anyecg.NOTICE


def test_as_json_it_is_a_row_like_those_of_a_batch(chat: Callable[..., str], excerpt: Recording) -> None:
    row = json.loads(chat("excerpt@60-80", "--question", "How many PVCs?", "--json"))
    spans = [(f["start_s"], f["end_s"]) for f in row.pop("findings")]
    assert spans == [pytest.approx(span, abs=2e-3) for span in found(excerpt, 60, 80)]
    assert set(row) == {"id", "answer", "claims_checked", "claims_replaced", "abstained", "seconds"}


def test_questions_of_a_file_are_read_line_by_line_to_its_end(
    chat: Callable[..., str], typed: Callable[[str], None]
) -> None:
    typed("How many PVCs?\n Write a  report. \n\nHow many PVCs?\n")
    said = chat("excerpt@0-10")
    assert said.splitlines()[0] == "> How many PVCs?"
    assert "\nReport: " in said
    assert said.count(anyecg.NOTICE) == 3


def test_exit_ends_it(chat: Callable[..., str], typed: Callable[[str], None]) -> None:
    typed("How many PVCs?\nexit\nWrite a report.\n")
    assert "Report" not in chat("excerpt@0-10")


def test_a_question_that_is_no_question_is_told_and_the_next_one_answered(
    weights: Path, typed: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    typed(f"{'why ' * 200}\nHow many PVCs?\n")
    status = anyecg.app(["chat", "--weights", str(weights), "excerpt@0-10"], standalone_mode=False)
    said = capsys.readouterr()
    assert status == 1
    assert "1 to 500 characters" in said.err
    assert "premature beats" in said.out


def test_several_ecgs_are_told_apart(chat: Callable[..., str], excerpt: Recording) -> None:
    said = chat("excerpt@0-10", "excerpt@60-70", "--question", "Compare them.")
    rates = [read(excerpt, *span).evidence.value("RATE") for span in STRETCHES]
    assert f"ECG a {rates[0]:.0f}/min, ECG b {rates[1]:.0f}/min" in said


@pytest.fixture(scope="session")
def clinical(excerpt: Recording, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A WFDB record of twelve leads, of which each holds another stretch's ECG."""
    folder = tmp_path_factory.mktemp("clinical")
    leads = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
    size = round(12 * excerpt.fs)
    counts = np.stack([excerpt.counts[0, :size] * (1 + i) // 6 for i in range(len(leads))])
    made = make_recording("12lead", excerpt.fs, leads, counts, excerpt.uv_per_count * len(leads))
    write_wfdb(made, folder / "12lead")
    return folder / "12lead"


def test_twelve_leads_or_those_named(chat: Callable[..., str], clinical: Path) -> None:
    every = chat(str(clinical), "--question", "How many PVCs?")
    assert "in the 12 s analysed" in every or "premature beats" in every
    assert "premature beat" in chat(f"{clinical}@0-10", "--leads", "ii,V1", "--question", "How many PVCs?")


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_batch_answers_all_it_can_finds_records_beside_its_file_and_goes_on_where_it_was(
    chat: Callable[..., str], clinical: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    questions, out = clinical.parent / "questions.jsonl", tmp_path / "new" / "answers.jsonl"
    ecgs = [{"record": clinical.name, "start": 1, "end": 11, "leads": ["II"]}]
    asked = [
        {"id": "a", "question": "How many PVCs?", "ecgs": ecgs},
        {"id": 7, "question": "How many PVCs?", "ecgs": [{"record": "gone", "start": 0, "end": 9}]},
        {"id": "c", "question": "Write a report.", "ecgs": ecgs},
    ]
    questions.write_text("".join(json.dumps(row) + "\n" for row in asked), encoding="utf-8")
    with pytest.raises(UsageError, match="not be answered: 1"):
        chat("--batch", str(questions), "--out", str(out))
    first = rows(out)
    assert [row["id"] for row in first] == ["a", 7, "c"]
    assert "gone not found" in first[1]["error"]
    assert "premature beats" in first[0]["answer"]
    assert first[2]["answer"].startswith("Report: ")
    assert "line 2: " in capsys.readouterr().err
    write_wfdb(open_recording(clinical), clinical.parent / "gone")
    assert chat("--batch", str(questions), "--out", str(out)) == ""
    assert [row["id"] for row in rows(out)] == ["a", "c", 7]
    assert rows(out)[:2] == [first[0], first[2]]


WRONG = {
    "not found": ["nowhere/100", "--question", "x"],
    "after @ come seconds": ["excerpt@ten", "--question", "x"],
    "without a record": ["@1-9", "--question", "x"],
    "60 s is not before 30 s": ["excerpt@60-30", "--question", "x"],
    "lasts 300 s": ["excerpt@290-310", "--question", "x"],
    "has no lead V9; it has MLII": ["excerpt", "--leads", "V9", "--question", "x"],
    "too short; 2 s are the least": ["excerpt@1-2.5", "--question", "x"],
    "no recording is that long": [f"excerpt@0-{'9' * 400}", "--question", "x"],
    "has to be UTF-8 text": ["excerpt@0-9", "--json", "--question", "caf\udce9"],
    "7 ECGs at once; one to 6": [*["excerpt@0-9"] * 7, "--question", "x"],
    "1500 s; 648 s are the most": [*["excerpt"] * 4, "excerpt@0-300", "--question", "x"],
    "--question is empty": ["excerpt", "--question", " "],
    "not both": ["excerpt", "--question", "x", "--batch", "q.jsonl", "--out", "a.jsonl"],
    "the rows of the file name their ECGs": ["excerpt", "--batch", "q.jsonl", "--out", "a.jsonl"],
    "the rows of --batch name their leads": ["--batch", "q.jsonl", "--out", "a.jsonl", "--leads", "II"],
    "--batch needs --out": ["--batch", "q.jsonl"],
    "--out goes with --batch": ["excerpt", "--question", "x", "--out", "a.jsonl"],
    "--json goes with --question": ["excerpt", "--json"],
    "Give a RECORD": ["--question", "x"],
    "q.jsonl does not exist": ["--batch", "q.jsonl", "--out", "a.jsonl"],
    "lacks screener.onnx": ["excerpt@0-9", "--question", "x", "--networks", "nowhere"],
    "1 to 500 characters": ["excerpt@0-9", "--json", "--question", "why " * 200],
}


@pytest.mark.parametrize("sentence", WRONG)
def test_wrong_input_is_one_sentence(chat: Callable[..., str], sentence: str) -> None:
    with pytest.raises(AnyEcgError) as error:
        chat(*WRONG[sentence])
    assert sentence in str(error.value)


def test_a_file_that_cannot_be_written_is_one_sentence(chat: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("{}\n")
    with pytest.raises(UsageError, match=r"--out /proc/a\.jsonl cannot be read or written"):
        chat("--batch", str(tmp_path / "q.jsonl"), "--out", "/proc/a.jsonl")


def test_questions_that_are_no_text_are_one_sentence(
    chat: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    latin = io.TextIOWrapper(io.BytesIO("café?\n".encode("latin-1")), encoding="utf-8")
    monkeypatch.setattr("sys.stdin", latin)
    with pytest.raises(UsageError, match="not UTF-8 text"):
        chat("excerpt@0-10")


def test_dates_are_told_where_they_tell_the_order(
    chat: Callable[..., str], excerpt: Recording, tmp_path: Path
) -> None:
    dated = replace(excerpt, start_utc=1_704_103_200.0)
    write_wfdb(dated, tmp_path / "dated")
    record, compared = str(tmp_path / "dated"), ("--question", "Compare them.")
    assert "2024-01-01 10:00" in chat(f"{record}@70-80", f"{record}@0-10", *compared)
    assert "2024" not in chat(f"{record}@30-40", f"{record}@0-10", *compared)  # of one minute


def test_the_rules_of_the_configuration_count(chat: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "cloud.toml").write_text("[rules]\nfast_bpm = 80.0\n")
    asked = ("excerpt@0-60", "--question", "Write a report.")
    usual, strict = chat(*asked), chat(*asked, "--config", str(tmp_path / "cloud.toml"))
    assert "stretch of fast heart rate" not in usual
    assert "stretch of fast heart rate" in strict


def test_nothing_asked_is_wrong_too(chat: Callable[..., str], typed: Callable[[str], None]) -> None:
    typed("")
    with pytest.raises(UsageError, match="No question was asked"):
        chat("excerpt@0-10")


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anyecg", "chat", *arguments],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **environment},
    )


def test_missing_weights_and_missing_extras_are_told_in_one_line(weights: Path, tmp_path: Path) -> None:
    done = command("excerpt@0-10", "--question", "x", "--weights", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert "holds no language model" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['tokenizers'] = None\n")
    done = command("excerpt@0-10", "--question", "x", "--weights", str(weights), PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "anyecg[cloud]" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_needs_no_torch_and_is_quiet_where_nobody_watches(weights: Path, tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError(name='torch')\n")
    done = command(
        "excerpt@0-10", "--question", "How many PVCs?", "--weights", str(weights), PYTHONPATH=str(tmp_path)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "premature beats" in done.stdout


def test_at_a_terminal_it_prompts_and_says_what_it_reads(weights: Path) -> None:
    pty = pytest.importorskip("pty", reason="terminals of this kind are of Unix")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "anyecg", "chat", "excerpt@0-10", "--weights", str(weights)],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    said, typed = b"", [b"\x04", b"How many PVCs?\n"]
    with contextlib.suppress(OSError):  # Linux: the other end is closed
        while more := os.read(ours, 4096):
            said += more
            if said.endswith(b"> "):
                os.write(ours, typed.pop())
    assert process.wait(60) == 0
    assert b"Reading ECG a: excerpt, 0-10 s." in said
    assert b"> " in said
    assert b"premature beats" in said


def test_what_is_shipped_reports_and_compares(capsys: pytest.CaptureFixture[str], excerpt: Recording) -> None:
    def ask(*arguments: str) -> str:
        anyecg.app(["chat", *arguments], standalone_mode=False)
        return capsys.readouterr().out

    count = len(found(excerpt, 60, 90))
    counted, *_ = ask("excerpt@60-90", "--question", "How many PVCs are there?").splitlines()
    (claim,) = claims(counted) or ()
    assert (claim.kind, claim.label, claim.numbers) == ("count", "V", (count,))
    assert ask("excerpt@60-90", "--question", "Write a report.").startswith("Report: ")
    said = ask("excerpt@0-30", "excerpt@60-90", "--question", "How do their heart rates compare?")
    assert "ECG a" in said
    assert "ECG b" in said
