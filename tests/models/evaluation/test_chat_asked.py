"""Rows of questions: how each kind is read and scored, and rows put to a language model in five runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from models.anyecg.chat.answers import answer
from models.anyecg.chat.batch import EcgRef
from models.anyecg.chat.invented import Placed
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat
from models.anyecg.chat.strips import Truth
from models.anyecg.evidence import Evidence
from models.errors import RecordingError, UsageError
from models.evaluation.chat_asked import asked_figures
from models.evaluation.chat_choice import Choice
from models.evaluation.chat_kinds import KINDS, constant, score
from models.evaluation.chat_rows import Row, read_rows

MakeReading = Callable[..., Reading]
Speak = Callable[[str, list[Evidence], bool], str]
MakeChat = Callable[[Speak, Sequence[Reading]], Chat]
QUIET = {float(at): "N" for at in range(1, 30)}
FAST = {at / 2: "N" for at in range(1, 60)}
V_ROW = {
    "id": "v",
    "task": "localization",
    "type": "V",
    "ecgs": [{"record": "hand/v", "start": 0, "end": 30, "leads": ["II"]}],
    "messages": [
        {"role": "user", "content": "<ecg>\nWhere are PVCs?"},
        {"role": "assistant", "content": "Duration: 9.0s-11.0s"},
    ],
    "evidence": {"kind": "early"},
}


def row(kind: str, answer: str, label: str | None = None, seconds: float = 30.0, **evidence: Any) -> Row:
    return Row(
        id=f"{kind} {answer}",
        kind=kind,
        label=label,
        question=f"{kind}?",
        ecgs=(EcgRef(record="hand/v", end=seconds),),
        answer=answer,
        evidence=evidence,
        dates=(None,),
    )


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def ecg(make_reading: MakeReading) -> Evidence:
    return make_reading(QUIET | {10.0: "V", 20.0: "V"}, ((0.0, 30.0, "AFIB"),)).evidence


@pytest.mark.parametrize(
    ("kind", "right", "wrong", "plan"),
    [
        ("localization", "Duration: 9.0s-11.0s, 19.0s-21.0s", "No Pause Found", Plan("locate", "V")),
        ("question rate", "29 beats lie in between: mean rate 62/min.", "70/min", Plan("measure", "RATE")),
        ("question count", "PVCs: 2 of 29 beats.", "9", Plan("count", "V")),
        ("question burden", "2 of 29 beats, 7 %.", "30 %", Plan("burden", "V")),
        ("question present", "Yes, PVCs: 9.0s-11.0s.", "no", Plan("present", "V")),
        ("question regular", "Regular: all alike.", "no", Plan("regular")),
        ("question rhythm", "The strip shows atrial flutter throughout.", "sinus rhythm", Plan("rhythm")),
        ("ecgqa", "yes", "qrs duration, qt corrected", Plan("present", "V")),
    ],
)  # fmt: skip
def test_an_answer_is_worth_one_beside_its_truth_and_nothing_beside_another(
    ecg: Evidence, kind: str, right: str, wrong: str, plan: Plan
) -> None:
    said = answer(plan, [ecg])
    asked, other = row(kind, right, "V"), row(kind, wrong, "V")
    assert score(asked, said, asked, 30.0) == 1.0
    assert score(asked, said, other, 30.0) == 0.0
    assert score(asked, answer(Plan("decline", "unclear"), [ecg]), asked, 30.0) == 0.0


def test_the_share_of_other_beats_is_worth_nothing(make_reading: MakeReading) -> None:
    both = make_reading(QUIET | {10.0: "V", 20.0: "S"}).evidence
    asked = row("question burden", "1 of 29 beats, 3 %.", "V")
    assert score(asked, answer(Plan("burden", "V"), [both]), asked, 30.0) == 1.0
    assert score(asked, answer(Plan("burden", "S"), [both]), asked, 30.0) == 0.0


@pytest.mark.parametrize(
    ("question", "label"),
    [("Any PVCs?", None), ("Are there ventricular premature beats?", None), ("Skipped beats?", "V")],
)
def test_yes_and_no_count_of_what_was_asked_alone(ecg: Evidence, question: str, label: str | None) -> None:
    asked = replace(row("ecgqa", "yes", label), question=question)
    assert score(asked, answer(Plan("present", "V"), [ecg]), asked, 30.0) == 1.0
    for other in (Plan("present", "AFIB"), Plan("count", "S"), Plan("present", "PAUSE"), Plan("quality")):
        assert score(asked, answer(other, [ecg]), asked, 30.0) == 0.0, str(other)


def test_noise_of_ecg_qa_is_asked_of_what_could_not_be_read(ecg: Evidence, tmp_path: Path) -> None:
    """In a lead, of which nothing is known: a denial of anything else is no answer."""
    raw = {**V_ROW, "task": "question", "type": None, "evidence": {"kind": "ecgqa noise"}}
    raw["messages"] = [{"content": "<ecg>\nIs there baseline drift in lead II?"}, {"content": "no"}]
    (noise,) = read_rows(write(tmp_path / "q.jsonl", raw))
    assert score(noise, answer(Plan("present", "NOISE"), [ecg]), noise, 30.0) == 1.0
    assert score(noise, answer(Plan("present", "S"), [ecg]), noise, 30.0) == 0.0


def test_a_report_is_worth_the_share_of_its_facts(ecg: Evidence) -> None:
    said = answer(Plan("report"), [ecg])
    text = "Report: Atrial fibrillation. Mean rate 60/min. Ventricular premature beats: {}. Supraventricular premature beats: none. Pauses of more than 2 s: none."  # noqa: E501
    right, wrong = (row("report", text.format(count)) for count in ("2", "9"))
    assert score(right, said, right, 30.0) == 1.0
    assert score(right, said, wrong, 30.0) == 0.8
    assert score(right, ["Nothing."], right, 30.0) == 0.0


def test_a_comparison_is_right_where_every_ecg_is(make_reading: MakeReading) -> None:
    some = [QUIET | {10.0: "V", 12.0: "V", 14.0: "V"}, FAST]
    ecgs = [Placed(i).of(make_reading(beats).evidence) for i, beats in enumerate(some)]
    counts, rates = (answer(Plan("compare", subject), ecgs) for subject in ("V", "RATE"))
    for kind, said, right, wrong in (
        ("counts", counts, [3, 1], [3, 3]),
        ("rates", rates, [62, 118], [62, 90]),
        ("which", counts, [True, False], [True, True]),
    ):
        key = "present" if kind == "which" else kind
        one, other = (row(f"comparison {kind}", "?", "V", **{key: value}) for value in (right, wrong))
        assert score(one, said, one, 30.0) == 1.0, kind
        assert score(one, said, other, 30.0) == 0.0, kind


def test_the_constant_is_the_answer_that_is_worth_most() -> None:
    rows = [(row("question count", str(n), "V"), 30.0) for n in (0, 0, 1, 9)]
    assert constant(rows) == [1.0, 1.0, 1.0, 0.0]
    places = [
        (row("localization", a, "V"), 30.0) for a in ("No X Found", "No X Found", "Duration: 1.0s-2.0s")
    ]
    assert constant(places) == [1.0, 1.0, 0.0]


def test_rows_of_the_dataset_and_of_your_own_are_read(tmp_path: Path) -> None:
    several = {
        "id": "c",
        "task": "comparison",
        "type": None,
        "ecgs": [{"record": "ptbxl/1", "start": 0, "end": 10}, {"record": "ptbxl/2", "start": 0, "end": 10}],
        "messages": [
            {
                "role": "user",
                "content": "ECG of 2001-02-03 04:05:06: <ecg>\nECG of 2002-02-03: <ecg>\nFaster?",
            },
            {"role": "assistant", "content": "From 60/min in strip 1 to 70/min in strip 2: 10/min faster."},
        ],
        "evidence": {"kind": "rates", "rates": [60, 70]},
    }
    own = {"id": 7, "question": "Any PVCs?", "ecgs": [{"record": "a"}], "answer": "yes"}
    rows = read_rows(write(tmp_path / "q.jsonl", V_ROW, several, own))
    assert [r.kind for r in rows] == ["localization", "comparison rates", "ecgqa"]
    assert [r.question for r in rows] == ["Where are PVCs?", "Faster?", "Any PVCs?"]
    assert [r.dates for r in rows] == [(None,), ("2001-02-03 04:05", "2002-02-03"), (None,)]
    assert rows[0].ecgs == (EcgRef(record="hand/v", start=0, end=30, leads=("II",)),)


@pytest.mark.parametrize(
    "bad",
    [
        *({"id": 1}, {**V_ROW, "ecgs": []}, {**V_ROW, "ecgs": [{"from": 0}]}, [1], 3, "text"),
        *({**V_ROW, "messages": [{"content": "?"}]}, {**V_ROW, "evidence": "early"}),
        {"id": 1, "question": " ", "ecgs": [{"record": "a"}, {"record": "b"}], "answer": "yes"},
    ],
)
def test_a_row_that_is_none_is_named_by_its_line(tmp_path: Path, bad: Any) -> None:
    with pytest.raises(UsageError, match="line 2 is no question with an answer"):
        read_rows(write(tmp_path / "q.jsonl", V_ROW, bad))


@pytest.fixture(scope="module")
def served(make_reading: MakeReading) -> dict[str, Reading]:
    """Three people: PVCs, PVCs elsewhere, none."""
    beats = {"v": {10.0: "V"}, "w": {20.0: "V"}, "n": {}}
    return {
        f"hand/{name}": make_reading(QUIET | odd, patient=name, record=f"hand/{name}")
        for name, odd in beats.items()
    }


def places(served: dict[str, Reading]) -> list[Row]:
    truth = {"v": "Duration: 9.0s-11.0s", "w": "Duration: 19.0s-21.0s", "n": "No PVC Found"}
    return [
        Row(
            id=name,
            kind="localization",
            label="V",
            question="Where are PVCs?",
            ecgs=(EcgRef(record=f"hand/{name}", end=30),),
            answer=text,
            evidence={},
            dates=(None,),
        )
        for name, text in truth.items()
    ]


def put(chat: Chat, rows: list[Row], served: dict[str, Reading], dark: Reading, **choice: Any) -> Any:
    def read(ecg: EcgRef) -> Reading:
        if ecg.record not in served:
            raise RecordingError(f"no {ecg.record}.")
        return served[ecg.record]

    chosen = Choice(size=10, **choice)
    return asked_figures(chat, rows, read, lambda _: dark, chosen, lambda _: None)


@pytest.fixture(scope="module")
def dark(make_reading: MakeReading) -> Reading:
    return make_reading({}, patient="nobody", missed=30.0, truth=Truth(beats=None, rhythms=None))


def speak(question: str, ecgs: list[Evidence], told: bool) -> str:
    plan = Plan("locate", "V")
    return "\n".join([str(plan), *(answer(plan, ecgs) if told else ["Nothing can be said."])])


def test_the_blind_answer_knows_what_is_asked_for(
    scripted: MakeChat, served: dict[str, Reading], dark: Reading
) -> None:
    rows = [
        replace(row("question present", said, label), ecgs=(EcgRef(record="hand/n", end=30),))
        for label, said in (("V", "yes"), ("S", "no"), ("V", "yes"), ("S", "no"))
    ]
    assert put(scripted(speak, [*served.values(), dark]), rows, served, dark)["blind"]["score"] == 1.0


def test_places_in_five_runs(scripted: MakeChat, served: dict[str, Reading], dark: Reading) -> None:
    gone = row("localization", "No PVC Found", "V")
    rows = [
        *places(served),
        Row(**{**{f: getattr(gone, f) for f in Row.__slots__}, "ecgs": (EcgRef(record="x"),)}),
    ]
    found = put(scripted(speak, [*served.values(), dark]), rows, served, dark)
    runs = found["runs"]
    assert runs["served"]["score"] == runs["tokens_zeroed"]["score"] == 1.0
    assert runs["served"]["by_kind"]["localization"] == {
        "score": 1.0,
        "rows": 3,
        "positives": 1.0,
        "negatives": 1.0,
    }
    assert runs["zeroed"]["score"] == runs["evidence_removed"]["score"] == 0.0
    assert runs["zeroed"]["answered"] == 0.0
    assert runs["exchanged"]["score"] == 1.0
    assert runs["exchanged"]["old_labels"]["score"] == 0.0
    assert found["blind"]["score"] == 0.3333
    assert found["counts"]["rows"] == 3
    assert found["counts"]["not_read"] == [f"{gone.id}: no x."]
    assert found["checker"]["changed"]["rejected"] == 1.0


def test_rows_that_were_learned_from_are_left_out(
    scripted: MakeChat, served: dict[str, Reading], dark: Reading
) -> None:
    chat = scripted(speak, [*served.values(), dark])
    folds = {"hand/v": 0, "hand/w": 1}
    counts = put(chat, places(served), served, dark, folds=folds)["counts"]
    assert (counts["rows"], counts["not_held_out"]) == (1, 2)  # of the third nothing is known
    assert counts["held_out"].startswith("fold 0")


def test_without_a_row_that_can_be_scored_there_is_one_sentence(
    scripted: MakeChat, served: dict[str, Reading], dark: Reading
) -> None:
    chat = scripted(speak, [*served.values(), dark])
    for rows, choice in (([row("question run", "3")], {}), (places(served), {"reports_only": True})):
        with pytest.raises(UsageError, match="No row can be scored"):
            put(chat, rows, served, dark, **choice)


def test_every_kind_says_what_it_cannot_read(ecg: Evidence) -> None:
    for name, kind in KINDS.items():
        assert kind.said(row(name, "?", "V"), ["It looks fine."]) is None, name
