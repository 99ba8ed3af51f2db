"""A model under the rule writes nothing that does not hold, whatever it would have written."""

from __future__ import annotations

import re
from random import Random

import pytest

from models.anyecg.chat.answers import UNSEEN, answer, possibly_seen, unseen
from models.anyecg.chat.asking import TASKS
from models.anyecg.chat.held import allowed, allowed_unseen
from models.anyecg.chat.invented import Placed, invented
from models.anyecg.chat.plans import SUBJECTS, Plan
from models.anyecg.chat.runtime import DONE
from models.anyecg.chat.wording import REPORT, Claim, say
from models.anyecg.evidence import Evidence
from models.anyecg.grounding import check, ground

PLANS = [Plan(task, subject) for task in (*TASKS, "compare") for subject in SUBJECTS[task] or (None,)]


def ecgs_of(seed: int, count: int) -> list[Evidence]:
    rng = Random(seed)
    return [Placed(i, 0.0, None).of(invented(rng, {"V": 0.56, "S": 0.38})) for i in range(count)]


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_every_wording_of_the_template_may_be_written_to_its_end(seed: int, count: int) -> None:
    ecgs = ecgs_of(seed, count)
    for plan in PLANS:
        lines = [str(plan)]
        for sentence in answer(plan, ecgs, None if plan.task == "locate" else Random(seed)):
            rule = allowed(lines, ecgs)
            if isinstance(rule, re.Pattern):
                assert rule.fullmatch(sentence), (plan, sentence)
            else:
                assert rule == sentence
            lines.append(sentence)
        assert allowed(lines, ecgs) == DONE, plan


@pytest.mark.parametrize("seed", range(6))
def test_what_another_ecg_would_say_may_not_be_written(seed: int) -> None:
    ours, theirs = ecgs_of(seed, 1), ecgs_of(seed + 100, 1)
    for plan in PLANS:
        rule = allowed([str(plan)], ours)
        for sentence in answer(plan, theirs, Random(seed)):
            held = check(sentence, plan, ours).supported
            if isinstance(rule, re.Pattern) and not held:
                assert not rule.fullmatch(sentence), (plan, sentence)


def test_sentences_come_in_the_order_of_the_template_and_once() -> None:
    ecgs = ecgs_of(3, 1)
    said = answer(Plan("findings"), ecgs)
    assert len(said) > 2
    for count, sentence in enumerate(said):
        rule = allowed(["findings", *said[:count]], ecgs)
        assert isinstance(rule, re.Pattern)
        assert [other for other in said if rule.fullmatch(other)] == [sentence]
    assert ground(said, Plan("findings"), ecgs).replaced == 0


def test_before_the_plan_anything_may_come_and_after_none_nothing() -> None:
    assert allowed([], ecgs_of(0, 1)) is None
    assert allowed(["rubbish"], ecgs_of(0, 1)) == DONE
    assert allowed_unseen([], ["a"]) is None
    assert allowed_unseen(["rubbish"], ["a"]) == DONE


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("seed", range(6))
def test_what_eyes_alone_see_may_be_written_to_its_end(seed: int, count: int) -> None:
    ecgs = ecgs_of(seed, count)
    letters = [ecg.letter for ecg in ecgs]
    for plan in (plan for plan in PLANS if plan.task in UNSEEN):
        lines = [str(plan)]
        for sentence in unseen(plan, ecgs, Random(seed)):
            rule = allowed_unseen(lines, letters)
            assert isinstance(rule, re.Pattern)
            assert rule.fullmatch(sentence), (plan, sentence)
            lines.append(sentence)


def test_eyes_alone_do_not_contradict_themselves() -> None:
    (denied,) = (claim for claim in possibly_seen(Plan("present", "V"), ["a"]) if claim.kind == "unseen")
    assert allowed_unseen(["present V", say(denied)], ["a"]) == DONE
    labels = [claim for claim in possibly_seen(Plan("report"), ["a"]) if claim.kind == "seen"]
    rule = allowed_unseen(["report", REPORT + say(labels[0])], ["a"])
    assert isinstance(rule, re.Pattern)
    assert rule.fullmatch(say(labels[1]))
    assert not rule.fullmatch(say(Claim(kind="blurred")))


def test_without_evidence_no_number_may_be_written() -> None:
    for plan in PLANS:
        rule = allowed_unseen([str(plan)], ["a"])
        assert rule == DONE or (isinstance(rule, re.Pattern) and not re.search(r"\d", rule.pattern)), plan
