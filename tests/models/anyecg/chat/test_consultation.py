"""Whatever a language model writes, what is shown holds and is complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from models.anyecg.chat.answers import answer
from models.anyecg.chat.consultation import UNCLEAR, Answer, Consultation, abstained, wanted
from models.anyecg.chat.invented import Placed
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import UnfinishedError
from models.anyecg.evidence import Evidence

MakeEcg = Callable[..., Evidence]
LIE = "999 ventricular premature beats."


class Speaker:
    """A language model that writes what it is told to, keeping only to lines that are given."""

    model, apart = "speaker/1", False

    def __init__(self, lines: Sequence[str], *, late: bool = False) -> None:
        self._lines, self._late = lines, late

    def prompt(self, ecgs: Sequence[Any], evidence: Sequence[str]) -> tuple[int, int]:
        return len(ecgs), len(evidence)

    def ask(self, state: Any, question: str, *, allow: Any, until: float | None) -> Iterator[str]:
        said: list[str] = []
        for line in self._lines:
            given = allow(said)
            said.append(given if isinstance(given, str) else line)
            yield said[-1]
        if self._late:
            raise UnfinishedError("late")


def consult(lines: Sequence[str], *ecgs: Evidence, late: bool = False) -> Consultation:
    features = np.zeros((5, 4), dtype=np.float32)
    readings = [Reading(evidence=e, features=features, record="r", patient="p") for e in ecgs]
    return Consultation(Speaker(lines, late=late), readings)  # type: ignore[arg-type]


def bare(sentence: str) -> str:
    return sentence.removeprefix("Report: ")


@pytest.fixture
def ecg(make_ecg: MakeEcg, make_finding: Callable[..., Any]) -> Evidence:
    findings = [make_finding("V", 3.0, 3.1), make_finding("V", 8.0, 8.1), make_finding("AFIB", 10, 40)]
    beats = [(float(at), "V" if at in {3, 8} else "N") for at in range(1, 60)]
    return make_ecg(*findings, beats=tuple(beats))


@pytest.mark.parametrize(
    "plan", [Plan("report"), Plan("count", "V"), Plan("measure", "RATE"), Plan("when", "V")]
)
def test_what_holds_is_shown_as_it_was_written(ecg: Evidence, plan: Plan) -> None:
    said = answer(plan, [ecg])
    found = consult([str(plan), *said], ecg).answer("?")
    assert (found.plan, found.sentences, found.replaced, found.added) == (plan, said, 0, 0)
    assert found.claims >= len(said)


class Apart(Speaker):
    """Has another plan where it reads the evidence than where it does not."""

    apart = True

    def prompt(self, ecgs: Sequence[Any], evidence: Sequence[str] | None) -> tuple[str, ...]:
        return tuple(evidence or ())

    def ask(self, state: Any, question: str, *, until: float | None, allow: Any = None) -> Iterator[str]:
        if state in ((), ("", "2024-05-01")):
            yield "count V b" if state else "count V"
        else:
            yield from super().ask(state, question, allow=allow, until=until)


@pytest.mark.parametrize("dated", [False, True])
def test_a_model_that_can_understands_a_question_whatever_was_found(ecg: Evidence, *, dated: bool) -> None:
    other = Placed(1, 0.0, "2024-05-01").of(ecg)
    ecgs, plan = ([ecg, other], Plan("count", "V", "b")) if dated else ([ecg], Plan("count", "V"))
    said = answer(plan, ecgs)
    features = np.zeros((5, 4), np.float32)
    readings = [Reading(evidence=e, features=features, record="r", patient="p") for e in ecgs]
    asked = Consultation(Apart(["measure RATE", *said]), readings)  # type: ignore[arg-type]
    found = asked.answer("How many PVCs?")
    assert (found.plan, found.sentences, found.written) == (plan, said, said)
    assert tuple(asked.stream("How many PVCs?")) == said


def test_a_sentence_that_does_not_hold_is_replaced_and_counted(ecg: Evidence) -> None:
    plan = Plan("count", "V")
    found = consult([str(plan), LIE], ecg).answer("How many PVCs?")
    assert found.sentences == answer(plan, [ecg])
    assert (found.replaced, found.written) == (1, (LIE,))


def test_what_is_left_out_of_a_report_is_added(ecg: Evidence) -> None:
    said = answer(Plan("report"), [ecg])
    found = consult(["report", said[0]], ecg).answer("Report?")
    assert found.sentences == said
    assert found.added == len(said) - 1


def test_intervals_are_the_localizers_whatever_the_model_would_write(ecg: Evidence) -> None:
    found = consult(["locate V", "Duration: 0.5s-2.5s"], ecg).answer("Where are the PVCs?")
    assert found.sentences == answer(Plan("locate", "V"), [ecg])
    assert found.replaced == 0


def test_a_first_line_that_is_no_plan_understood_nothing(ecg: Evidence) -> None:
    found = consult(["certainly!", LIE], ecg).answer("?")
    assert found.plan == UNCLEAR
    assert found.sentences == answer(UNCLEAR, [ecg])
    assert abstained(found, ()) == "not understood"


@pytest.mark.parametrize("lines", [[], ["report"], ["report", LIE]])
def test_when_its_time_is_over_the_template_says_the_rest(ecg: Evidence, lines: list[str]) -> None:
    found = consult(lines, ecg, late=True).answer("Report?", within_s=0.0)
    assert not found.finished
    assert found.sentences == answer(found.plan, [ecg])


@pytest.mark.parametrize("order", [1, -1])
def test_sentences_shown_as_they_come_make_up_the_whole_answer(ecg: Evidence, order: int) -> None:
    said = answer(Plan("report"), [ecg])
    shown = list(consult(["report", *said[::order][:2], LIE, LIE], ecg).stream("Report?"))
    assert LIE not in shown
    assert sorted(s.removeprefix("Report: ") for s in shown) == sorted(
        s.removeprefix("Report: ") for s in said
    )


@pytest.mark.parametrize("late", [False, True])
def test_a_stream_returns_how_it_came_about(ecg: Evidence, late: bool) -> None:
    lines = ["report", *answer(Plan("report"), [ecg])[:2], LIE]
    spoken, came = consult(lines, ecg, late=late).stream("Report?"), list[Answer]()

    def listening() -> Iterator[str]:
        came.append((yield from spoken))

    assert LIE not in list(listening())
    assert (came[0].finished, came[0].replaced) == (not late, 1)
    assert replace(came[0], seconds=0.0) == replace(
        consult(lines, ecg, late=late).answer("Report?"), seconds=0.0
    )


def test_a_late_stream_is_completed_too(ecg: Evidence) -> None:
    shown = list(consult(["report"], ecg, late=True).stream("Report?", within_s=0.0))
    assert tuple(shown) == answer(Plan("report"), [ecg])


def test_a_question_that_there_was_no_time_to_understand_is_not_called_unclear(ecg: Evidence) -> None:
    with pytest.raises(UnfinishedError, match="too slow to understand"):
        list(consult([], ecg, late=True).stream("Report?", within_s=0.0))
    assert tuple(consult([], ecg).stream("Report?")) == answer(UNCLEAR, [ecg])


def test_an_ecg_of_which_nothing_was_analysed_is_too_noisy(make_ecg: MakeEcg) -> None:
    dark = make_ecg(analysed_s=0.0, not_analysed_s=60.0)
    reading = Reading(evidence=dark, features=np.zeros((5, 4), np.float32), record="r", patient="p")
    found = consult(["count V"], dark).answer("How many PVCs?")
    assert abstained(found, [reading]) == "too noisy"
    other = replace(reading, evidence=make_ecg(place=1))
    assert abstained(found, [reading, other]) is None
    assert abstained(replace(found, plan=Plan("count", "V", "a")), [reading, other]) == "too noisy"


def test_a_plan_says_which_findings_are_wanted() -> None:
    assert wanted(Plan("locate", "V")) == {"V"}
    assert wanted(Plan("count", "ECTOPIC")) == {"V", "S"}
    assert wanted(Plan("report")) is None
    assert wanted(Plan("measure", "RATE")) is None
