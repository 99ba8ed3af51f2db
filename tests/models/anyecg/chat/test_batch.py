"""Questions by the file: every row is answered once, and a bad one stops nobody."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.anyecg.chat.batch import EcgRef, answer_all
from models.anyecg.chat.consultation import Answer
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.readings import Reading
from models.errors import RecordingError, UsageError
from models.verdicts import Finding

SAID = Answer(
    plan=Plan("count", "V"),
    sentences=("One.", "Two."),
    written=(),
    claims=3,
    replaced=1,
    added=0,
    finished=True,
    seconds=0.2,
    model="m",
)


class Desk:
    """Gives the same answer about any recording but `gone`."""

    def __init__(self, reading: Reading, answer: Answer = SAID) -> None:
        self.reading, self.said = reading, answer
        self.asked: list[tuple[str, Sequence[EcgRef]]] = []

    def consult(self, refs: Sequence[EcgRef]) -> tuple[Any, list[Reading]]:
        if refs[0].record == "gone":
            raise RecordingError("gone is not there.")
        self.refs = refs
        return self, [self.reading for _ in refs]

    def answer(self, question: str) -> Answer:
        self.asked.append((question, self.refs))
        return self.said


@pytest.fixture
def desk(make_ecg: Callable[..., Any], make_finding: Callable[..., Finding]) -> Desk:
    findings = (make_finding("V", 1.0, 1.1), make_finding("AFIB", 2.0, 9.0))
    reading = Reading(
        evidence=make_ecg(*findings),
        features=np.zeros((5, 4), dtype=np.float32),
        record="r",
        patient="p",
        start=100.0,
        findings=findings,
        fs=250.0,
    )
    return Desk(reading)


def row(ident: str, record: str = "r", **more: Any) -> dict[str, Any]:
    return {
        "id": ident,
        "question": "How many PVCs?",
        "ecgs": [{"record": record, "start": 1, "end": 9}],
        **more,
    }


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
    return path


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_row_has_the_answer_and_the_findings_it_speaks_of(desk: Desk, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    assert answer_all(written(tmp_path / "q", row("1")), out, desk.consult, lambda _: None) == 0
    (found,) = lines(out)
    assert found.pop("seconds") >= 0
    assert found == {
        "id": "1",
        "answer": "One.\nTwo.",
        "findings": [
            {"label": "V", "code": "17338001", "start_s": 101.0, "end_s": 101.1, "probability": 0.9},
        ],
        "claims_checked": 3,
        "claims_replaced": 1,
        "abstained": None,
    }
    (((question, (ecg,))),) = desk.asked
    assert (question, ecg.record, ecg.start, ecg.end) == ("How many PVCs?", "r", 1, 9)


def test_a_declined_question_speaks_of_no_finding(desk: Desk, tmp_path: Path) -> None:
    desk.said = replace(SAID, plan=Plan("decline", "treatment"))
    answer_all(written(tmp_path / "q", row("1")), tmp_path / "out", desk.consult, lambda _: None)
    (found,) = lines(tmp_path / "out")
    assert (found["findings"], found["abstained"]) == ([], "declined: treatment")


def test_a_bad_row_is_told_and_stops_nobody(desk: Desk, tmp_path: Path) -> None:
    bad = ["{no json", {"id": "2"}, row("3", ecgs=[]), row("4", record="gone"), '"text"']
    out, said = tmp_path / "out", list[str]()
    failed = answer_all(written(tmp_path / "q", *bad, row("6")), out, desk.consult, said.append)
    found = lines(out)
    assert failed == 5
    assert [r["id"] for r in found] == ["line 1", "2", "3", "4", "line 5", "6"]
    assert ["error" in r for r in found] == [True] * 5 + [False]
    assert found[3]["error"] == "line 4: gone is not there."
    assert [s for s in said if "through" not in s] == [r["error"] for r in found[:5]]
    assert said[-1].startswith("6/6 through")


def test_an_interrupted_run_goes_on_and_writes_the_half_line_again(desk: Desk, tmp_path: Path) -> None:
    questions, out = written(tmp_path / "q", row("1"), row("2"), row("3")), tmp_path / "out"
    answer_all(questions, out, desk.consult, lambda _: None)
    whole, answered = out.read_text(), lines(out)
    out.write_text(whole[: whole.rfind('"seconds"')])
    answer_all(questions, out, desk.consult, lambda _: None)
    assert [{**r, "seconds": 0} for r in lines(out)] == [{**r, "seconds": 0} for r in answered]
    assert len(desk.asked) == 4


@pytest.mark.parametrize("held", [b'{"summary": 1}', b"notes", b"\xff\xfe", b'{"id": 1}\nnotes'])
def test_a_file_that_holds_something_else_is_left_as_it_is(desk: Desk, tmp_path: Path, held: bytes) -> None:
    out = tmp_path / "out"
    out.write_bytes(held)
    with pytest.raises(UsageError, match="--out"):
        answer_all(written(tmp_path / "q", row("1")), out, desk.consult, lambda _: None)
    assert out.read_bytes() == held


@pytest.mark.parametrize("ident", [7.0, True, None, [1]])
def test_an_id_that_is_neither_text_nor_a_whole_number_is_an_error_each_time(
    desk: Desk, tmp_path: Path, ident: Any
) -> None:
    """As of a table that wrote 7 as 7.0: kept under another name, it would pass for another row's answer."""
    out = tmp_path / "out"
    for rows in ([row(ident)], [row("new"), row(ident)]):
        assert answer_all(written(tmp_path / "q", *rows), out, desk.consult, lambda _: None) == 1
    assert [(r["id"], "error" in r) for r in lines(out)] == [("new", False), ("line 2", True)]
    assert len(desk.asked) == 1


def test_no_room_for_the_answers_is_one_sentence(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"/dev/full cannot be written: .*No space left"):
        answer_all(written(tmp_path / "q", row("1")), Path("/dev/full"), desk.consult, lambda _: None)


def test_a_folder_is_no_file_of_questions(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        answer_all(tmp_path, tmp_path / "out", desk.consult, lambda _: None)


def test_without_a_file_of_questions_one_sentence_says_so(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        answer_all(tmp_path / "none", tmp_path / "out", desk.consult, lambda _: None)
