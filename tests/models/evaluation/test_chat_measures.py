"""Each measure where it is wrong: places, comparisons, paraphrases, other topics, changed sentences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from cloud import reporter
from models.anyecg.chat.answers import answer
from models.anyecg.chat.corpus import Corpus
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.prompt import as_read
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat, UnfinishedError
from models.anyecg.chat.strips import Truth
from models.anyecg.evidence import Evidence
from models.anyecg.grounding import check
from models.evaluation.chat_checker import CHANGES, checker_figures
from models.evaluation.chat_comparison import compared, comparison_figures, pairs, worded
from models.evaluation.chat_located import blind_location, located, location_figures, placed
from models.evaluation.chat_runs import Run, Runs, Said
from models.evaluation.chat_strips import QUESTION, Answers, Row
from models.evaluation.chat_wordings import (
    CONVERSATIONS,
    meant,
    off_topic_figures,
    paraphrase_figures,
    understood_figures,
    wordings,
)

MakeReading = Callable[..., Reading]
Speak = Callable[[str, list[Evidence], bool], str]
MakeChat = Callable[[Speak, Sequence[Reading]], Chat]
QUIET = {float(at): "N" for at in range(1, 30)}
SILENT = Said(plan=Plan("report"), written=(), sentences=())


def row(reading: Reading, label: str, said: Sequence[str], task: str = "locate") -> Row:
    one = Said(plan=Plan(task, label), written=tuple(said), sentences=tuple(said))
    return Row(Answers(ecg=reading.evidence, report=SILENT, located={label: one}), reading)


def runs(chat: Chat) -> Runs:
    return Runs(chat, lambda reading: reading)


def test_the_cloud_asks_for_its_reports_with_the_same_words() -> None:
    assert QUESTION == reporter.QUESTION


# where things are


def test_a_wrong_place_scores_nothing_and_misses_its_event(make_reading: MakeReading) -> None:
    one = make_reading(QUIET | {10.0: "V"}, ((0.0, 30.0, "N"),))
    found = location_figures([row(one, "V", ["Duration: 20.0s-22.0s"])])
    assert found["chat"]["iou"] == 0.0
    assert found["chat"]["by_type"]["V"]["se"] == found["chat"]["by_type"]["V"]["ppv"] == 0.0
    assert found["localizer"]["iou"] == found["localizer"]["by_type"]["V"]["se"] == 1.0
    assert found["understood"] == 1.0


def test_half_of_the_place_is_half_right(make_reading: MakeReading) -> None:
    one = make_reading(QUIET | {10.0: "V"})
    found = location_figures([row(one, "V", ["Duration: 9.0s-10.0s"])])
    assert found["chat"]["positives"] == 0.5
    assert found["chat"]["by_type"]["V"] == {
        **found["chat"]["by_type"]["V"],
        "se": 1.0,
        "ppv": 1.0,
        "events": 1,
    }


def test_the_localizer_is_wrong_where_experts_say_otherwise(make_reading: MakeReading) -> None:
    truth = Truth(beats=tuple((QUIET | {20.0: "V"}).items()), rhythms=None)
    one = make_reading(QUIET | {10.0: "V"}, truth=truth)
    found = location_figures([row(one, "V", answer(Plan("locate", "V"), [one.evidence]))])
    assert found["chat"] == found["localizer"]
    assert found["localizer"]["iou"] == 0.0


def test_an_answer_to_another_question_is_none(make_reading: MakeReading) -> None:
    one = make_reading(QUIET | {10.0: "V"})
    found = location_figures([row(one, "V", answer(Plan("count", "V"), [one.evidence]), task="count")])
    assert (found["chat"]["answered"], found["chat"]["iou"], found["understood"]) == (0.0, 0.0, 0.0)


def test_a_denial_or_a_place_of_something_else_is_no_answer(make_reading: MakeReading) -> None:
    one = make_reading(QUIET)
    assert located(answer(Plan("locate", "V"), [one.evidence]), "V") == ()
    assert located(answer(Plan("locate", "PAUSE"), [one.evidence]), "V") is None
    early = make_reading(QUIET | {10.0: "S"})
    strange = row(early, "V", answer(Plan("locate", "S"), [early.evidence]))
    strange.answers.located["V"] = replace(strange.answers.located["V"], plan=Plan("locate", "S"))
    assert location_figures([strange])["chat"]["answered"] == 0.0


def test_what_is_denied_of_a_strip_mostly_unread_is_no_answer(make_reading: MakeReading) -> None:
    for missed, expected in ((5.0, ()), (20.0, None)):
        one = make_reading(QUIET, missed=missed)
        assert located(answer(Plan("locate", "V"), [one.evidence]), "V") == expected


def test_places_are_known_where_experts_looked_and_nothing_was_spoilt(make_reading: MakeReading) -> None:
    one = make_reading(QUIET | {10.0: "V"}, ((0.0, 20.0, "N"), (20.0, 30.0, "AFIB")))
    assert placed(one, "V") == ((9.0, 11.0),)
    assert placed(one, "S") == ()
    assert placed(one, "AFIB") == ((20.0, 30.0),)
    spoilt = Truth(beats=tuple(QUIET.items()), rhythms=None, spoilt=("flat", 0.0, 30.0))
    assert placed(make_reading(QUIET, truth=spoilt), "V") is None
    assert placed(make_reading(), "V") is None
    blind = blind_location([one])
    assert blind["never"]["iou"] == round(1 / 3, 4)


# comparisons


def test_numbers_of_the_wrong_ecg_are_not_facts_of_a_comparison(
    scripted: MakeChat, make_reading: MakeReading
) -> None:
    slow = make_reading(QUIET, patient="p")
    fast = make_reading({at / 2: "N" for at in range(1, 60)}, patient="p")

    def swapped(question: str, ecgs: list[Evidence], told: bool) -> str:
        plan = worded(0, 0, ())[0]
        said = answer(plan, ecgs)[0].replace("60", "?").replace("120", "60").replace("?", "120")
        return "\n".join([str(plan), said])

    chat = scripted(swapped, [slow, fast])
    found = comparison_figures(compared(runs(chat), Run.SERVED, [(slow, fast)], 0))
    assert found["written"] == {"facts": 0.0, "supported": 0.0}
    assert found["served"] == {"facts": 1.0, "supported": 1.0}
    assert found["annotations"] == {"numbers": 1.0, "changes": 1.0, "known": 2, "changed": 1}


def test_a_comparison_of_what_was_measured_wrongly_is_wrong_by_the_annotations(
    scripted: MakeChat, make_reading: MakeReading
) -> None:
    truth = Truth(beats=tuple({at / 2: "N" for at in range(1, 60)}.items()), rhythms=None)
    one, other = make_reading(QUIET, patient="p"), make_reading(QUIET, patient="p", truth=truth)
    chat = scripted(
        lambda _, ecgs, __: "\n".join(["compare RATE", *answer(Plan("compare", "RATE"), ecgs)]), [one]
    )
    found = comparison_figures(compared(runs(chat), Run.SERVED, [(one, other)], 0))
    assert found["served"]["facts"] == 1.0
    assert found["annotations"] == found["template"]
    assert found["annotations"] == {"numbers": 0.5, "changes": 0.0, "known": 2, "changed": 1}


def test_pairs_are_of_one_patient_and_every_other_one_is_dated(make_reading: MakeReading) -> None:
    some = [make_reading(QUIET, patient=f"p{i // 3}", record=f"r{i}") for i in range(9)]
    found = pairs(some, 9, 0)
    assert len(found) == 3
    assert all(a.patient == b.patient and a.record != b.record for a, b in found)
    assert [a.evidence.date is not None for a, _ in found] == [False, True, False]


# wordings


def test_who_knows_only_learned_wordings_agrees_with_himself_by_half(
    scripted: MakeChat, make_reading: MakeReading
) -> None:
    one = make_reading(QUIET | {10.0: "V"})
    plan = meant(one, 1, 0)[-1]
    learned = [as_read(question) for part, question in wordings(plan, "0 0") if part == "train"]

    def speak(question: str, ecgs: list[Evidence], told: bool) -> str:
        understood = plan if question in learned else Plan("decline", "unclear")
        return "\n".join([str(understood), *answer(understood, ecgs)])

    found = paraphrase_figures(runs(scripted(speak, [one])), [one], 1, 0)
    assert (found["agree"], found["answer"], found["wordings"]) == (0.5, 0.5, 10)
    assert (found["plan_train"], found["plan_test"]) == (1.0, 0.0)
    assert (found["declined_train"], found["declined_test"]) == (0.0, 1.0)


class Knows:
    """A model that takes questions for the plans it is given, others for a report."""

    apart = True

    def __init__(self, plans: dict[str, str]) -> None:
        self.plans = plans

    def prompt(self, ecgs: Any, evidence: Any) -> None:
        assert all(ecg.shape[0] == 1 and not ecg.any() for ecg in ecgs)  # not shown

    def ask(self, state: None, question: str) -> Iterator[str]:
        yield self.plans.get(question, "report")


@pytest.mark.parametrize("fold", [0, None])
def test_very_many_wordings_are_understood_by_who_knows_them(
    make_reading: MakeReading, fold: int | None
) -> None:
    ecgs = [make_reading({1.0: "N"}, fold=fold)]
    talks = Corpus(ecgs, held_out=None, part="test").draw(0, CONVERSATIONS, 3)
    known: Any = Knows(dict(turn for talk in talks for turn in talk.turns))
    found = understood_figures(known, ecgs, 3)
    assert found
    assert found["questions"] + found["off_topic"] == 8 * CONVERSATIONS
    assert found["right"] + found["declined"] + found["another"] == pytest.approx(1.0, abs=2e-4)
    assert found["right"] >= 0.98  # some words mean two things, of one ECG and of several
    assert found["off_topic_declined"] == 1.0
    nobody: Any = Knows({})
    found = understood_figures(nobody, ecgs, 3)
    assert found
    assert found["right"] < 0.2
    assert found["declined"] == found["off_topic_declined"] == 0.0


class Lost(Knows):
    """Never comes to the end of a line."""

    def ask(self, state: None, question: str) -> Iterator[str]:
        raise UnfinishedError(question)


def test_who_comes_to_no_plan_has_understood_nothing(make_reading: MakeReading) -> None:
    lost: Any = Lost({})
    found = understood_figures(lost, [make_reading({1.0: "N"})], 3)
    assert found
    assert (found["right"], found["declined"], found["another"]) == (0.0, 1.0, 0.0)


def test_who_answers_everything_declines_nothing(scripted: MakeChat, make_reading: MakeReading) -> None:
    one = make_reading(QUIET)
    chat = scripted(lambda _, ecgs, __: "\n".join(["report", *answer(Plan("report"), ecgs)]), [one])
    found = off_topic_figures(runs(chat), [one], 0, count=20)
    assert (found["declined"], found["subject"], len(found["missed"])) == (0.0, 0.0, 20)


# the checker


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("number", "2 ventricular premature beats in all [a11]."),
        ("label", "2 ventricular premature beats in all [a11]."),
        ("time", "1 pause at 12.3 s [a11]."),
        ("lead", "The ECG lasts 30.0 s, from 0.0 s to 30.0 s, number of leads 2: II, V1."),
        ("negation", "No pauses were found in the 30 s analysed [a1]."),
        ("negation", "Yes, 1 pause [a11]."),
    ],
)
def test_one_thing_is_changed_and_the_citations_are_left(what: str, sentence: str) -> None:
    for seed in range(5):
        other = CHANGES[what](sentence, Random(seed))
        assert other is not None
        assert other != sentence
        assert other.partition("[")[2] == sentence.partition("[")[2]


def test_a_change_that_does_not_apply_is_none() -> None:
    assert CHANGES["lead"]("2 pauses in all [a11].", Random(0)) is None
    assert CHANGES["time"]("2 pauses in all [a11].", Random(0)) is None


def test_sentences_of_another_evidence_are_rejected_too(make_reading: MakeReading) -> None:
    one, other = make_reading(QUIET | {10.0: "V"}), make_reading({at / 2: "N" for at in range(1, 60)})
    plan = Plan("measure", "RATE")
    assert check(answer(plan, [one.evidence])[0], plan, [one.evidence]).supported
    assert not check(answer(plan, [other.evidence])[0], plan, [one.evidence]).supported
    found = checker_figures([one.evidence, other.evidence], 0, each=10)
    assert found["changed"] == {"sentences": 50, "rejected": 1.0}
    assert found["passed"] == []
