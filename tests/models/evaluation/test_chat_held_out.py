"""Held-out strips in five runs, with models that speak the truth, that never look, and that lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from models.anyecg.chat.plans import Plan
from models.anyecg.chat.questions import off_topic
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat
from models.anyecg.chat.strips import Truth
from models.anyecg.evidence import Evidence
from models.errors import RecordingError
from models.evaluation.chat_choice import Choice
from models.evaluation.chat_comparison import DATES, SUBJECTS
from models.evaluation.chat_comparison import worded as compared_with
from models.evaluation.chat_held_out import PARAPHRASED_SHARE, chat_figures
from models.evaluation.chat_sample import drawn, held_out, strangers
from models.evaluation.chat_strips import LOCATED, QUESTION, REPORT, SEEN, worded
from models.evaluation.chat_wordings import meant, wordings

MakeReading = Callable[..., Reading]
Speak = Callable[[str, list[Evidence], bool], str]
MakeChat = Callable[[Speak, Sequence[Reading]], Chat]
Knowing = Callable[[dict[str, Plan]], Speak]
CHOICE = Choice(size=12)
KINDS: tuple[tuple[dict[float, str], str], ...] = (
    ({}, "N"),
    ({}, "AFIB"),
    ({7.0: "V", 11.0: "V"}, "N"),
    ({5.0: "S"}, "N"),
    ({5.0: "S", 9.0: "V"}, "N"),
    ({7.0: "V"}, "AFIB"),
)


@pytest.fixture(scope="module")
def readings(make_reading: MakeReading) -> list[Reading]:
    """Six patients held out, each with two strips of one kind at two rates, and one that is not."""
    out = []
    for i, (odd, rhythm) in enumerate(KINDS):
        for j in range(2):
            step = 1.0 if j else 0.5 + i / 20
            beats = {round(at * step, 3): "N" for at in range(1, int(30 / step))}
            out.append(
                make_reading({**beats, **odd}, ((0.0, 30.0, rhythm),), patient=f"p{i}", record=f"r{i}{j}")
            )
    return [*out, make_reading({}, patient="learned", record="other", fold=1)]


@pytest.fixture(scope="module")
def dark(make_reading: MakeReading) -> Reading:
    return make_reading({}, patient="nobody", missed=30.0, truth=Truth(beats=None, rhythms=None))


def asked(readings: Sequence[Reading]) -> dict[str, Plan]:
    """Every question of the evaluation, as its words are drawn, with what it means."""
    strips = drawn(held_out(readings), CHOICE.size, CHOICE.seed)
    found = {QUESTION: REPORT}
    for strip in strips:
        plans = [*(Plan("locate", label) for label in LOCATED), *SEEN.values()]
        found |= {worded(plan, strip, CHOICE.seed): plan for plan in plans}
    for i in range(round(PARAPHRASED_SHARE * CHOICE.size)):
        plan = meant(strips[i], 1, CHOICE.seed)[-1]
        found |= {question: plan for _, question in wordings(plan, f"{CHOICE.seed} {i}")}
    for i in range(len(SUBJECTS)):
        for dates in ((), DATES):
            plan, question = compared_with(i, CHOICE.seed, dates)
            found[question] = plan
    rng = Random(CHOICE.seed)
    return found | dict(off_topic(rng, "test") for _ in range(100))


def figures(chat: Chat, readings: Sequence[Reading], dark: Reading) -> Any:
    return chat_figures(chat, readings, lambda _: dark, CHOICE)


@pytest.fixture(scope="module")
def truth(scripted: MakeChat, knowing: Knowing, readings: list[Reading], dark: Reading) -> Any:
    return figures(scripted(knowing(asked(readings)), [*readings, dark]), readings, dark)


def test_who_speaks_the_truth_has_every_figure_as_served(truth: Any) -> None:
    served = truth["runs"]["served"]
    assert served["report"]["facts"]["all"] == served["evidence"]["template"]["all"] == 1.0
    assert served["report"]["abstained"] == 0.0
    held = served["evidence"]
    for when in ("written", "served"):
        assert (
            held[when]["facts"]["all"] == held[when]["claims_supported"] == held[when]["claims_complete"] == 1
        )
        assert held[when]["omitted_findings"] == held[when]["unsupported_numbers"] == 0
    assert held["replaced"] == held["added"] == 0.0
    assert served["localization"]["chat"] == served["localization"]["localizer"]
    assert served["localization"]["chat"]["iou"] == 1.0
    assert served["localization"]["chat"]["by_type"]["V"]["se"] == 1.0
    assert (
        served["comparison"]["written"] == served["comparison"]["served"] == {"facts": 1.0, "supported": 1.0}
    )
    assert served["comparison"]["annotations"]["numbers"] == 1.0
    assert truth["paraphrases"]["agree"] == truth["paraphrases"]["answer"] == 1.0
    assert truth["off_topic"]["declined"] == truth["off_topic"]["subject"] == 1.0
    assert truth["checker"]["changed"]["sentences"] >= 300
    assert truth["checker"]["changed"]["rejected"] >= 0.99
    assert truth["checker"]["unchanged"]["rejected"] == 0.0


def test_of_zeroes_nothing_is_stated(truth: Any) -> None:
    report = truth["runs"]["zeroed"]["report"]
    assert (report["abstained"], report["facts"]["all"]) == (1.0, 0.0)
    assert truth["runs"]["zeroed"]["localization"]["chat"]["answered"] == 0.0


def test_facts_follow_another_patients_waveform_and_leave_the_old_labels(truth: Any) -> None:
    run = truth["runs"]["exchanged"]
    assert truth["counts"]["exchanged"] == 12
    assert run["report"]["facts"]["all"] == run["localization"]["chat"]["iou"] == 1.0
    old = run["old_labels"]
    assert old["report"]["facts"]["rhythm"]["balanced"] < 0.8
    assert old["localization"]["chat"]["positives"] < 0.3


def test_tokens_and_evidence_are_taken_away_one_by_one(truth: Any) -> None:
    assert truth["runs"]["tokens_zeroed"]["report"]["facts"]["all"] == 1.0  # it copies the evidence
    alone = truth["runs"]["evidence_removed"]
    assert alone["seen"]["rhythm"]["right"] == alone["seen"]["ectopy"]["right"] == 1.0
    for counts in alone["seen"]["evidence"].values():
        assert counts["held_seen"] == counts["held"] > 0
        assert counts["absent_seen"] == 0 < counts["absent"]
    assert alone["report"]["facts"]["ectopy"]["right"] == 1.0
    assert alone["report"]["facts"]["v"]["right"] < 1.0  # how many cannot be seen
    assert "localization" not in alone


def test_the_most_frequent_answer_is_worth_little(truth: Any) -> None:
    blind = truth["blind"]
    assert blind["seen"]["rhythm"] == {"right": 0.6667, "stated": 1.0, "strips": 12, "balanced": 0.5}
    assert blind["facts"]["all"] < 0.8
    assert blind["localization"]["never"]["positives"] == 0.0
    assert 0 < blind["localization"]["constant"]["positives"] < 0.4
    assert blind["comparison"]["numbers"] < 0.9


def test_what_is_said_comes_from_the_held_out_fold_alone(truth: Any) -> None:
    assert (truth["counts"]["strips"], truth["counts"]["patients"]) == (12, 6)
    assert truth["models"]["chat"] == "scripted/1"


def test_a_liar_is_corrected_and_counted(scripted: MakeChat, readings: list[Reading], dark: Reading) -> None:
    def lie(question: str, ecgs: list[Evidence], told: bool) -> str:
        return "report\nReport: Mean rate 999/min [a4].\nAll is well."

    choice = Choice(size=12, reports_only=True)
    found = chat_figures(scripted(lie, [*readings, dark]), readings, lambda _: dark, choice)
    held = found["runs"]["served"]["evidence"]
    assert (held["written"]["facts"]["all"], held["written"]["claims_supported"]) == (0.0, 0.0)
    assert held["written"]["unsupported_numbers"] == 12
    assert held["written"]["omitted_findings"] == sum(len(r.evidence.findings) for r in readings)
    assert held["replaced"] == 1.0
    assert held["served"]["facts"]["all"] == 1.0
    assert held["served"]["omitted_findings"] == held["served"]["unsupported_numbers"] == 0
    assert found["runs"]["served"]["report"]["facts"]["all"] == 1.0
    assert found["checker"] is found["paraphrases"] is found["off_topic"] is None
    assert "localization" not in found["runs"]["served"]


def test_who_never_looks_is_no_better_than_the_blind_constant(
    scripted: MakeChat, readings: list[Reading], dark: Reading
) -> None:
    def blind(question: str, ecgs: list[Evidence], told: bool) -> str:
        return "rhythm\nSeen in the ECG alone, uncertain: no atrial fibrillation is seen."

    choice = Choice(size=12, reports_only=True)
    found = chat_figures(scripted(blind, [*readings, dark]), readings, lambda _: dark, choice)
    seen = found["runs"]["evidence_removed"]["seen"]
    assert seen["rhythm"]["balanced"] == found["blind"]["seen"]["rhythm"]["balanced"]


def test_who_understands_nothing_declines_everything(
    scripted: MakeChat, knowing: Knowing, readings: list[Reading], dark: Reading
) -> None:
    found = figures(scripted(knowing({}), [*readings, dark]), readings, dark)
    assert found["paraphrases"]["declined_test"] == found["paraphrases"]["declined_train"] == 1.0
    assert found["paraphrases"]["answer"] < 0.2
    assert found["paraphrases"]["agree"] == 0.0
    assert found["off_topic"]["declined"] == 1.0
    assert found["off_topic"]["subject"] < 1.0
    served = found["runs"]["served"]
    assert (served["report"]["facts"]["all"], served["report"]["understood"]) == (0.0, 0.0)
    assert (served["localization"]["chat"]["iou"], served["localization"]["localizer"]["iou"]) == (0.0, 1.0)
    assert served["comparison"]["served"]["facts"] == 0.0


def test_a_stranger_is_another_patient_of_equal_quality(
    make_reading: MakeReading, readings: list[Reading]
) -> None:
    known = held_out(readings)
    for reading, other in zip(known, strangers(known, known, 0), strict=True):
        assert other is not None
        assert other.patient != reading.patient
    noisy = make_reading({}, missed=20.0, patient="x")
    assert strangers([noisy], known, 0) == [None]


def test_each_kind_of_strip_is_drawn_in_turn(readings: list[Reading]) -> None:
    some = drawn(held_out(readings), 6, 0)
    assert {reading.patient for reading in some} == {f"p{i}" for i in range(6)}
    assert [r.record for r in some] == [r.record for r in drawn(held_out(readings), 6, 0)]


def test_without_a_held_out_reading_there_is_one_sentence(make_reading: MakeReading) -> None:
    with pytest.raises(RecordingError, match="No reading of fold 0"):
        held_out([make_reading({}, fold=1)])
