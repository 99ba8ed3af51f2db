"""Facts as experts and sentences state them, when they agree, and what the most frequent answer is worth."""

from __future__ import annotations

from collections.abc import Callable

from models.anyecg.chat.answers import answer, unseen
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.strips import Truth
from models.evaluation.chat_facts import Facts, annotated, answered, constant, fact_figures, near, said, same

MakeReading = Callable[..., Reading]
REPORT = Plan("report")
BEATS = {float(at): "N" for at in range(1, 30)} | {4.0: "V", 9.0: "V", 15.0: "S"}


def test_a_report_states_what_experts_stated(make_reading: MakeReading) -> None:
    one = make_reading(BEATS, ((0.0, 12.0, "AFIB"), (12.0, 30.0, "N")))
    stated = Facts(rhythm="AFIB", rate=60.0, ectopy="S V", v=2.0, s=1.0)
    assert annotated(one.truth, 30.0) == stated
    assert said(answer(REPORT, [one.evidence])) == stated


def test_a_report_without_findings_says_that_there_is_none(make_reading: MakeReading) -> None:
    quiet = make_reading({float(at): "N" for at in range(1, 30)}, ((0.0, 30.0, "N"),))
    assert said(answer(REPORT, [quiet.evidence])) == annotated(quiet.truth, 30.0)
    assert said(answer(REPORT, [quiet.evidence])).ectopy == "none"


def test_a_report_of_what_could_not_be_analysed_states_nothing(make_reading: MakeReading) -> None:
    dark = make_reading({}, missed=30.0)
    assert said(answer(REPORT, [dark.evidence])) == Facts()
    nothing = "nothing could be analysed, so nothing is ruled out: 30.0 s are unreadable [a1][a2]."
    assert said([f"Report: Pauses for 30.0 s [a11]; {nothing}"]) == Facts()
    assert said(["Report: Pauses for 3.0 s [a11]."]).rhythm == "none"


def test_the_eyes_alone_state_which_beats_there_are_and_not_how_many(make_reading: MakeReading) -> None:
    one = make_reading(BEATS, ((0.0, 30.0, "N"),))
    assert said(unseen(REPORT, [one.evidence])) == Facts(rhythm="none", ectopy="S V")
    assert answered(unseen(Plan("present", "V"), [one.evidence]), "V") is True
    assert answered(unseen(Plan("rhythm"), [one.evidence]), "AFIB") is False
    assert answered(answer(Plan("limits"), [one.evidence]), "V") is None


def test_that_there_is_no_abnormal_rhythm_says_nothing_of_a_beat(make_reading: MakeReading) -> None:
    quiet = make_reading({float(at): "N" for at in range(1, 30)}).evidence
    rhythm, whole = (answer(Plan(task), [quiet]) for task in ("rhythm", "findings"))
    assert (answered(rhythm, "V"), answered(rhythm, "AFIB")) == (None, False)
    assert (answered(whole, "V"), answered(whole, "AFIB")) == (False, False)


def test_sentences_that_cannot_be_read_state_nothing() -> None:
    assert said(["It looks fine.", "Rate 72."]) == Facts()


def test_what_experts_left_open_is_unknown() -> None:
    classless = Truth(beats=tuple((float(at), "?") for at in range(10)), rhythms=((0.0, 5.0, "AFIB"),))
    assert annotated(classless, 10.0) == Facts(rate=60.0)
    assert annotated(Truth(beats=None, rhythms=None), 10.0) == annotated(None, 10.0) == Facts()
    assert annotated(Truth(beats=None, rhythms=((0.0, 10.0, "NOISE"),)), 10.0) == Facts()


def test_flutter_is_counted_as_fibrillation_and_a_moment_of_it_is_not_there() -> None:
    assert annotated(Truth(beats=None, rhythms=((0.0, 10.0, "AFL"),)), 10.0).rhythm == "AFIB"
    short = Truth(beats=None, rhythms=((0.0, 0.5, "AFIB"), (0.5, 10.0, "N")))
    assert annotated(short, 10.0).rhythm == "none"


def test_rates_agree_within_five_and_counts_within_one_or_a_tenth() -> None:
    assert near("rate", 77.0, 72.0)
    assert not near("rate", 78.0, 72.0)
    assert near("v", 1.0, 0.0)
    assert near("v", 33.0, 30.0)
    assert not near("v", 34.0, 30.0)
    assert not near("rhythm", None, "AFIB")
    assert not same("rate", 73.0, 72.0)


def test_figures_are_one_where_all_is_right_and_nought_where_all_is_wrong() -> None:
    true = [Facts(rhythm="AFIB", rate=90.0, ectopy="V", v=3.0, s=0.0), Facts(rhythm="none", rate=60.0)]
    right = fact_figures(list(zip(true, true, strict=True)))
    assert right["all"] == right["rhythm"]["balanced"] == right["rate"]["right"] == 1.0
    assert right["facts"] == 7
    assert right["ectopy"]["strips"] == 1
    wrong = fact_figures([(Facts(rhythm="VF", rate=10.0, ectopy="S", v=9.0, s=5.0), facts) for facts in true])
    assert wrong["all"] == 0.0
    silent = fact_figures([(Facts(), facts) for facts in true])
    assert (silent["all"], silent["rhythm"]["stated"]) == (0.0, 0.0)


def test_the_constant_is_the_most_frequent_answer_and_half_right_in_the_balance() -> None:
    true = [Facts(rhythm="none", rate=rate) for rate in (60.0, 62.0, 64.0)] + [
        Facts(rhythm="AFIB", rate=120.0)
    ]
    best = constant(true)
    assert best.rhythm == "none"
    assert best.rate in {60.0, 62.0, 64.0}
    found = fact_figures([(best, facts) for facts in true])
    assert (found["rhythm"]["right"], found["rhythm"]["balanced"]) == (0.75, 0.5)
    assert found["rate"]["right"] == 0.75
