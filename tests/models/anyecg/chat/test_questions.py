import re
from collections import Counter
from datetime import date
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anyecg.chat.asked.grammar import article, choose, plural, progressive, table, third, variants
from models.anyecg.chat.asked.manner import slip
from models.anyecg.chat.plans import SUBJECTS, Plan
from models.anyecg.chat.questions import ask, off_topic, templates

PLANS = [Plan(task, subject) for task, subjects in SUBJECTS.items() for subject in (subjects or (None,))]
ASKED = [plan for plan in PLANS if plan.task != "decline"]
TRAIN, TEST = 40, 20  # templates a plan has at least


def plain(text: str) -> str:
    """Without letter case and punctuation."""
    return " ".join(re.findall(r"[\w{}#%']+", text.lower()))


def drawn(seed: int, count: int, part: str, plans: list[Plan], letters: str = "ab") -> list[tuple[str, Plan]]:
    rng, rows = Random(seed), []
    for _ in range(count):
        plan = rng.choice(plans)
        if plan.task not in ("compare", "decline") and rng.random() < 0.3:
            plan = Plan(plan.task, plan.subject, rng.choice(letters))
        rows.append((ask(plan, rng, part, letters), plan))
    return rows


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_every_plan_has_enough_templates_in_both_parts(plan):
    assert len(templates(plan, "train")) >= TRAIN
    assert len(templates(plan, "test")) >= TEST


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_no_template_is_in_both_parts_however_its_choices_are_made(plan):
    train, test = (
        {plain(made) for _, text in templates(plan, part) for made in variants(text)}
        for part in ("train", "test")
    )
    assert train & test <= {""}  # nothing but punctuation


def test_a_question_depends_on_the_random_numbers_alone():
    assert drawn(3, 300, "train", PLANS) == drawn(3, 300, "train", PLANS)
    assert drawn(3, 300, "train", PLANS) != drawn(4, 300, "train", PLANS)


def test_no_string_asks_for_two_plans():
    plans: dict[str, Plan] = {}
    rows = drawn(5, 20000, "train", PLANS) + drawn(6, 10000, "test", PLANS)
    rng = Random(7)
    rows += [off_topic(rng, part) for part in ("train", "test") for _ in range(3000)]
    said = [(plain(question), plan) for question, plan in rows if plan.task != "decline" or plain(question)]
    clashes = [(q, str(plan), str(plans[q])) for q, plan in said if plans.setdefault(q, plan) != plan]
    answered = [
        row for row in clashes if not row[1].startswith("decline") or not row[2].startswith("decline")
    ]
    assert answered == []
    assert len(clashes) <= len(said) * 1e-3  # a word said alone may be unclear or about other things


def test_hardly_a_question_is_drawn_twice():
    questions = [question for question, _ in drawn(8, 20000, "train", ASKED)]
    assert len(set(questions)) >= 0.98 * len(questions)


def test_hardly_a_test_question_is_a_training_question():
    train = {plain(question) for question, _ in drawn(9, 30000, "train", ASKED)}
    test = [plain(question) for question, _ in drawn(10, 5000, "test", ASKED)]
    assert sum(question in train for question in test) <= 0.002 * len(test)


@pytest.mark.slow
def test_the_words_of_a_test_occur_in_training():
    def words(rows: list[tuple[str, Plan]]) -> Counter[str]:
        return Counter(word for question, _ in rows for word in re.findall(r"[a-z']+", question.lower()))

    known = words(drawn(11, 50000, "train", ASKED))
    asked = words(drawn(12, 10000, "test", ASKED))
    assert sum(count for word, count in asked.items() if word in known) >= 0.98 * sum(asked.values())


@pytest.mark.parametrize("part", ["train", "test"])
def test_what_is_declined_comes_with_its_plan_and_covers_every_reason(part):
    rng = Random(13)
    rows = [off_topic(rng, part) for _ in range(3000)]
    shares = Counter(plan.subject for _, plan in rows)
    assert set(shares) == set(SUBJECTS["decline"])
    assert min(shares.values()) >= 300
    assert any(not question.strip() for question, _ in rows)


def test_an_everyday_noun_of_a_test_is_never_one_of_training():
    words = table("words")
    assert set(words["train"].split()).isdisjoint(words["test"].split())
    assert len(set(words["train"].split())) >= 400


def test_a_name_means_one_label():
    owners: dict[str, str] = {}
    for label, row in table("names").items():
        for line in (row["names"] + row["unseen"]).splitlines():
            for name in variants(line):
                for form in {plain(name.replace("*", "")), plain(plural(name))} - {""}:
                    assert owners.setdefault(form, label) == label, form


@pytest.mark.parametrize(
    "plan", [Plan("count", "V", "b"), Plan("rhythm", None, "b"), Plan("measure", "QT", "b")], ids=str
)
def test_the_ecg_asked_about_is_always_named(plan):
    rng = Random(14)
    naming = re.compile(r"\bb\b|second|2|last", re.IGNORECASE)
    assert all(naming.search(ask(plan, rng, "test", "ab")) for _ in range(500))


def test_an_ecg_with_a_date_is_called_by_it_too():
    rng = Random(15)
    asked = [
        ask(Plan("rhythm", None, "b"), rng, "train", "ab", ("2024-05-01", "2025-02-03")) for _ in range(300)
    ]
    assert any("2025-02-03" in question for question in asked)
    assert not any("2024" in question for question in asked)


def test_ecgs_of_one_date_are_not_told_apart_by_it():
    rng = Random(16)
    asked = [
        ask(Plan("rhythm", None, "b"), rng, "train", "ab", ("2024-05-01", "2024-05-01")) for _ in range(200)
    ]
    assert not any("2024" in question for question in asked)


def test_asking_about_an_ecg_that_is_not_given_is_an_error():
    with pytest.raises(ValueError, match="'count V c' asks about an ECG that is not given; given are a, b"):
        ask(Plan("count", "V", "c"), Random(0), "train", "ab")


@given(
    seed=st.integers(min_value=0),
    plan=st.sampled_from(ASKED),
    part=st.sampled_from(["train", "test"]),
    count=st.integers(1, 8),
    dated=st.booleans(),
)
def test_nothing_of_the_notation_is_left_in_a_question(seed, plan, part, count, dated):
    letters = "abcdefgh"[:count]
    dates = [date(2020, 1, 1 + at).isoformat() for at in range(count)] if dated else ()
    question = ask(plan, Random(seed), part, letters, dates)
    assert question.strip() == question != ""
    assert not set(question) & set("{}|*~()\n")
    assert "  " not in question


@given(st.integers(min_value=0), st.text(max_size=60))
def test_a_slip_changes_one_word_only(seed, text):
    assert abs(len(slip(Random(seed), text)) - len(text)) <= 1


def test_names_are_counted_and_verbs_agree():
    assert plural("beat* from the atria") == "beats from the atria"
    assert plural("ectopic complex*") == "ectopic complexes"
    assert plural("pacer stimulus*") == "pacer stimuli"
    assert plural("abnormality*") == "abnormalities"
    assert third("the heart race~") == "the heart races"
    assert third("the patient go~ into AF") == "the patient goes into AF"
    assert progressive("the heart race~ or skip~ or beat~") == "the heart racing or skipping or beating"
    assert [article(name) for name in ("PVC", "APB", "SVES", "pause", "episode")] == [
        "a PVC", "an APB", "an SVES", "a pause", "an episode",
    ]  # fmt: skip
    assert choose(Random(0), "((a|a)|a) b") == "a b"
