"""The stream of conversations: what it holds, in which shares, of whom, and that it is one with its facts."""

from __future__ import annotations

import re
from random import Random

import numpy as np
import pytest

from models.anyecg.chat.answers import answer
from models.anyecg.chat.corpus import WITHHELD, Conversation, Corpus
from models.anyecg.chat.invented import LASTING, Placed, altered, invented
from models.anyecg.chat.names import ASSESSED
from models.anyecg.chat.plans import SUBJECTS, Plan, parse
from models.anyecg.chat.prompt import LONGEST, lay_out, text
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.slots import DATE
from models.anyecg.chat.tokenizer import learn
from models.anyecg.evidence import QUANTITIES, Evidence
from models.anyecg.grounding import check
from models.errors import UsageError

WIDTH = 6
THRESHOLDS = {"V": 0.4, "S": 0.5, "AFIB": 0.2, "VF": 0.13, "UNFAMILIAR": 1.5}


def reading(i: int, fold: int) -> Reading:
    """Of patient `i // 4`; content tokens say `i`."""
    rng = Random(i)
    evidence = invented(rng, THRESHOLDS)
    seconds = int(np.ceil(evidence.end))
    return Reading(
        evidence=evidence,
        features=np.full((seconds, WIDTH), i + 1, dtype=np.float32),
        record=f"r{i}",
        patient=f"p{i // 4}",
        fold=fold,
    )


READINGS = [reading(i, fold=(i // 4) % 4) for i in range(160)]


@pytest.fixture(scope="module")
def corpus() -> Corpus:
    return Corpus(READINGS)


def plans_of(drawn: list[Conversation]) -> list[Plan]:
    lines = [said.split("\n")[0] for c in drawn for _, said in c.turns]
    plans = [parse(line) for line in lines]
    assert None not in plans
    return [plan for plan in plans if plan]


def test_a_draw_is_a_function_of_stage_and_seed(corpus: Corpus) -> None:
    def shown(*seed: int, stage: int = 3) -> list[object]:
        return [(c.evidence, c.turns, [e.tobytes() for e in c.ecgs]) for c in corpus.draw(stage, 12, *seed)]

    assert shown(1, 2) == shown(1, 2)
    assert shown(1, 2) != shown(1, 3)
    assert shown(1, 2) != shown(1, 2, stage=2)


def test_a_longer_draw_begins_with_a_shorter_one(corpus: Corpus) -> None:
    assert [c.turns for c in corpus.draw(2, 9, 0)][:4] == [c.turns for c in corpus.draw(2, 4, 0)]


def test_no_patient_of_the_held_out_fold_is_in_a_conversation() -> None:
    for fold in (0, 2):
        corpus = Corpus(READINGS, held_out=fold)
        seen = {int(e[0, 0]) - 1 for c in corpus.draw(3, 120, 0) for e in c.ecgs if e.any()}
        assert seen
        assert not {READINGS[i].patient for i in seen} & {r.patient for r in READINGS if r.fold == fold}


def test_a_patient_with_a_held_out_record_is_held_out_whole() -> None:
    mixed = [reading(0, 0), reading(1, 1), reading(8, 1)]
    seen = {int(e[0, 0]) - 1 for c in Corpus(mixed).draw(2, 40, 0) for e in c.ecgs if e.any()}
    assert seen == {8}


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_quarter_of_the_conversations_is_without_evidence(corpus: Corpus, stage: int) -> None:
    drawn = corpus.draw(stage, 300, 0)
    share = np.mean([c.evidence is None for c in drawn])
    assert abs(share - WITHHELD) < 0.08
    for c in drawn:
        assert c.evidence is None or len(c.evidence) == len(c.ecgs)
        if c.evidence is None:
            assert all(e.any() for e in c.ecgs)  # what is seen is all there is
            assert not any("[a" in said for _, said in c.turns)


def test_a_round_may_withhold_more(corpus: Corpus) -> None:
    drawn = corpus.draw(3, 300, 0, withheld=0.8)
    assert abs(np.mean([c.evidence is None for c in drawn]) - 0.8) < 0.08


def test_what_is_seen_alone_is_said_in_one_wording(corpus: Corpus) -> None:
    turns = [turn for c in corpus.draw(2, 300, 0, withheld=1.0) for turn in c.turns]
    said = {answer for _, answer in turns if answer.startswith("present V\n")}
    assert 1 < len(said) <= 3  # there, not there, too noisy to tell


def test_stages_ask_for_more_and_more(corpus: Corpus) -> None:
    tasks = [{plan.task for plan in plans_of(corpus.draw(stage, 200, 0))} for stage in (1, 2, 3)]
    assert tasks[0] == {"report", "decline"}
    assert tasks[1] == {*SUBJECTS} - {"compare"}
    assert tasks[2] == {*SUBJECTS}
    assert {len(c.ecgs) for c in corpus.draw(2, 200, 0)} == {1}
    assert {len(c.ecgs) for c in corpus.draw(3, 150, 0)} >= {1, 2, 3}


@pytest.mark.slow
def test_before_all_stages_questions_are_answered_by_their_plans_of_ecgs_that_are_not_shown(
    corpus: Corpus,
) -> None:
    drawn = corpus.draw(0, 100, 0)
    assert all(parse(said) for c in drawn for _, said in c.turns)
    assert not any(ecg.any() for c in drawn for ecg in c.ecgs)
    shown = [c.evidence for c in drawn if c.evidence is not None]  # their dates: a question may go by one
    assert 20 < len(shown) < 60
    assert all(len(dates) > 1 and all(re.fullmatch(f"({DATE})?", date) for date in dates) for dates in shown)
    assert {len(c.ecgs) for c in drawn} == {1, 2, 3, 4, 5, 6}


def test_every_plan_occurs(corpus: Corpus) -> None:
    plans = plans_of(corpus.draw(2, 3000, 0)) + plans_of(corpus.draw(3, 500, 0))
    wanted = {(task, subject) for task, subjects in SUBJECTS.items() for subject in subjects or (None,)}
    assert {(plan.task, plan.subject) for plan in plans} == wanted
    assert {plan.ecg for plan in plans} >= {None, "a", "b", "c"}


def test_a_fifth_of_the_turns_is_off_topic(corpus: Corpus) -> None:
    plans = plans_of(corpus.draw(3, 250, 0))
    assert 0.14 < np.mean([plan.task == "decline" for plan in plans]) < 0.27


def test_a_conversation_has_one_to_eight_turns(corpus: Corpus) -> None:
    turns = [len(c.turns) for c in corpus.draw(2, 300, 0)]
    assert min(turns) == 1
    assert 6 <= max(turns) <= 8


def test_several_ecgs_are_of_one_patient_where_there_are_enough(corpus: Corpus) -> None:
    several = [c for c in corpus.draw(3, 200, 1) if len(c.ecgs) > 1 and all(e.any() for e in c.ecgs)]
    alike = [len({int(e[0, 0] - 1) // 4 for e in c.ecgs}) == 1 for c in several]
    assert 0.4 < np.mean(alike) < 0.95


def test_conversations_fit_into_the_prompt(corpus: Corpus) -> None:
    words = learn(corpus.texts(100, 0))
    drawn = corpus.draw(3, 100, 0) + corpus.draw(1, 40, 0)
    longest = max(len(lay_out(words, c.ecgs, c.evidence, c.turns).ids) for c in drawn)
    assert longest <= LONGEST


def test_content_tokens_are_either_those_of_the_facts_or_none(corpus: Corpus) -> None:
    own = {text(r.evidence): i for i, r in enumerate(READINGS)}
    drawn = [c for c in corpus.draw(2, 300, 0) if c.evidence]
    zeroed = [c for c in drawn if not c.ecgs[0].any()]
    assert 0.3 < len(zeroed) / len(drawn) < 0.5
    told = [(own[c.evidence[0]], c.ecgs[0]) for c in drawn if c.evidence and c.evidence[0] in own]
    assert len(told) > 25
    assert all((ecg == i + 1).all() and len(ecg) == len(READINGS[i].features) for i, ecg in told)


def test_every_finding_is_invented_and_every_number_may_lack() -> None:
    some = [invented(Random(i), THRESHOLDS) for i in range(300)]
    assert {f.label for ecg in some for f in ecg.findings} == set(ASSESSED) >= set(LASTING)
    absent = {name for ecg in some for name in QUANTITIES if ecg.value(name) is None}
    assert absent == {"RATE", "SLOWEST", "FASTEST", "RR", "PR", "QRS", "QT"}
    assert any(ecg.value("ANALYSED") == 0 for ecg in some)


@pytest.mark.parametrize("seed", range(40))
def test_invented_and_altered_facts_are_one_with_themselves(seed: int) -> None:
    rng = Random(seed)
    made = invented(rng, THRESHOLDS)
    for ecg in (made, altered(made, rng)):
        consistent(ecg)
        placed = Placed(2, 120.0, "2024-05-31").of(ecg)
        consistent(placed)
        assert (placed.letter, placed.start) == ("c", 120.0)
        for plan in (Plan("report"), Plan("findings"), Plan("locate", "V"), Plan("burden", "S")):
            for sentence in answer(plan, [ecg], rng):
                said = check(sentence, plan, [ecg])
                assert said.supported, (sentence, said.why)


def consistent(ecg: Evidence) -> None:
    labels = [kind for _, kind in ecg.beats]
    for label in ("V", "S"):
        fact = ecg.fact(label)
        assert labels.count(label) == (fact.count if fact else 0)
    assert ecg.value("BEATS") == len(ecg.beats)
    assert [f.id for f in ecg.facts] == [f"{ecg.letter}{i}" for i in range(1, len(ecg.facts) + 1)]
    assert [f.label for f in ecg.facts][: len(QUANTITIES)] == list(QUANTITIES)
    for fact in ecg.findings:
        assert list(fact.spans) == sorted(fact.spans)
        assert all(ecg.start <= a <= b <= ecg.end + 0.05 for a, b in fact.spans)
    times = [at for at, _ in ecg.beats]
    assert times == sorted(times)
    assert text(ecg).count("\n") >= len(ecg.facts)


def test_altered_facts_differ_from_the_real_ones() -> None:
    real = [invented(Random(i), THRESHOLDS) for i in range(60)]
    other = [altered(ecg, Random(1000 + i)) for i, ecg in enumerate(real)]
    assert np.mean([a.value("RATE") != b.value("RATE") for a, b in zip(real, other, strict=True)]) > 0.8
    assert sum(len(b.findings) < len(a.findings) for a, b in zip(real, other, strict=True)) > 10


def test_nothing_to_train_on_and_an_unknown_stage_are_said(corpus: Corpus) -> None:
    with pytest.raises(UsageError, match="outside fold 0"):
        Corpus([reading(0, 0)])
    with pytest.raises(ValueError, match="stage 4"):
        corpus.draw(4, 1, 0)
