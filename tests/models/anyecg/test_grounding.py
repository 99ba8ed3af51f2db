"""What does not hold is found out, replaced and counted; what lacks is added; what holds is left alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anyecg.chat.answers import UNSEEN, answer, claims, unseen
from models.anyecg.chat.forms import FORMS
from models.anyecg.chat.names import MEASURED, NAMES
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.wording import Claim, facts, read, say
from models.anyecg.evidence import Evidence
from models.anyecg.grounding import check, ground
from models.recordings import LEADS
from models.verdicts import Finding

MakeEcg = Callable[..., Evidence]
MakeFinding = Callable[..., Finding]
Draw = Callable[[Random, int], list[Evidence]]
SEEDS = st.integers(0, 10**9)
OPPOSITES = {
    "absent": "absent_partly",
    "absent_partly": "absent",
    "unmeasured": "value",
    "value": "unmeasured",
    "regular": "irregular",
    "irregular": "regular",
    "mixed": "regular",
    "alike": "unlike",
    "unlike": "alike",
    "value_up": "value_down",
    "value_down": "value_up",
    "burden_up": "burden_down",
    "burden_down": "burden_up",
}


# a claim changed in one thing


def other_number(claim: Claim, rng: Random) -> Claim:
    places = [place for place, number in enumerate(claim.numbers) if number is not None]
    place = rng.choice(places)
    step = rng.choice((0.1, 1.0, 7.0, 50.0))
    tenths = claim.kind.startswith("burden_") or claim.kind in {"missed", "nothing", "rhythm", "strange"}
    if claim.kind.startswith("sure"):
        step = 0.01
    elif not tenths:
        step = max(1.0, step)
    numbers = list(claim.numbers)
    was = numbers[place] or 0.0
    numbers[place] = round(was - step if was > step and rng.random() < 0.5 else was + step, 2)
    return replace(claim, numbers=tuple(numbers))


def other_label(claim: Claim, rng: Random) -> Claim:
    table = MEASURED if claim.label in MEASURED else NAMES
    return replace(claim, label=rng.choice([label for label in sorted(table) if label != claim.label]))


def other_time(claim: Claim, rng: Random) -> Claim:
    place = rng.randrange(len(claim.times))
    times = list(claim.times)
    times[place] = round(times[place] + rng.choice((0.1, 0.2, 1.0, 400.0)), 1)
    return replace(claim, times=tuple(times))


def other_lead(claim: Claim, rng: Random) -> Claim:
    leads = list(claim.leads)
    leads[rng.randrange(len(leads))] = rng.choice([lead for lead in LEADS if lead not in leads])
    return replace(claim, leads=tuple(leads))


def other_ecg(claim: Claim, rng: Random) -> Claim:
    letters = [*claim.ecgs]
    place = rng.randrange(len(letters))
    others = "abcdef" if claim.cites else "uvwxyz"  # what cites nothing may be true of another ECG
    letters[place] = rng.choice([letter for letter in others if letter != letters[place]])
    return replace(claim, ecgs=tuple(letters))


def other_date(claim: Claim, _: Random) -> Claim:
    return replace(claim, dates=(*claim.dates[1:], "2020-01-01"))


def other_cite(claim: Claim, rng: Random) -> Claim:
    cites = list(claim.cites)
    if len(cites) > 1 and rng.random() < 0.3:
        return replace(claim, cites=tuple(cites[1:]))
    place = rng.randrange(len(cites))
    cites[place] = f"{cites[place][0]}{int(cites[place][1:]) + rng.choice((1, 2, 9))}"
    return replace(claim, cites=tuple(cites))


def denied(claim: Claim, _: Random) -> Claim:
    """The opposite, or that nothing of the kind was found, or that something was."""
    if claim.kind in OPPOSITES:
        numbers = claim.numbers[:1] if claim.kind == "absent_partly" else claim.numbers
        numbers = {"absent": (*numbers, 1.0), "unmeasured": (60.0,), "value": ()}.get(claim.kind, numbers)
        return replace(claim, kind=OPPOSITES[claim.kind], numbers=numbers)
    if claim.kind == "unlocated":
        return replace(claim, kind="located", label=None, times=(1.0, 2.0))
    if claim.kind == "located":
        return replace(claim, kind="unlocated", label="V", times=())
    return replace(claim, kind="absent", numbers=(60.0,), times=())


CHANGES: dict[str, tuple[Callable[[Claim], bool], Callable[[Claim, Random], Claim]]] = {
    "number": (lambda c: any(n is not None for n in c.numbers), other_number),
    "label": (lambda c: c.label is not None, other_label),
    "time": (lambda c: bool(c.times), other_time),
    "lead": (lambda c: 0 < len(c.leads) < len(LEADS), other_lead),
    "ECG": (lambda c: bool(c.ecgs), other_ecg),
    "date": (lambda c: bool(c.dates), other_date),
    "citation": (lambda c: bool(c.cites), other_cite),
    "negation": (
        lambda c: (
            c.kind in OPPOSITES or c.kind in {"unlocated", "located"} or (c.label in NAMES and c.cites != ())
        ),
        denied,
    ),
}


def told(
    draw_ecgs: Draw, plans: Sequence[Plan], seeds: range
) -> Iterator[tuple[Plan, list[Evidence], tuple[Claim, ...]]]:
    for seed in seeds:
        rng = Random(seed)
        ecgs = draw_ecgs(rng, rng.choice((1, 1, 1, 2, 3)))
        for plan in plans:
            for sentence in claims(plan, ecgs):
                yield plan, ecgs, sentence


def test_a_sentence_changed_in_one_thing_is_rejected(draw_ecgs: Draw, all_plans: list[Plan]) -> None:
    tried: Counter[str] = Counter()
    accepted: list[tuple[str, str]] = []
    for plan, ecgs, sentence in told(draw_ecgs, all_plans, range(16)):
        rng = Random(str(sentence))
        place = rng.randrange(len(sentence))
        for what, (applies, change) in CHANGES.items():
            if not applies(sentence[place]):
                continue
            new = change(sentence[place], rng)
            mine = sentence if new.ecgs == sentence[place].ecgs else (sentence[place],)
            text = say(*(new if claim is sentence[place] else claim for claim in mine), rng=rng)
            tried[what] += 1
            if check(text, plan, ecgs).supported:
                accepted.append((what, text))
    assert min(tried[what] for what in CHANGES if what != "date") >= 15, tried
    assert sum(tried.values()) >= 300, tried
    assert len(accepted) <= 0.001 * sum(tried.values()), (tried, accepted[:20])


def test_no_unchanged_sentence_is_rejected(draw_ecgs: Draw, all_plans: list[Plan]) -> None:
    rejected = [
        (text, result.why)
        for plan, ecgs, sentence in told(draw_ecgs, all_plans, range(100, 108))
        for text in [say(*sentence, rng=Random(str(sentence)))]
        if not (result := check(text, plan, ecgs)).supported
    ]
    assert rejected == []


@pytest.mark.parametrize(
    ("was", "becomes", "why"),
    [
        ("2 ventricular", "3 ventricular", "numbers"),
        ("at 3.4 s", "at 3.5 s", "times"),
        ("[a11]", "[a12]", "cites"),
        ("2 ventricular", "2 supraventricular", "label"),
        (".", " and the outlook is good.", "no claim can be read"),
        ("[a11]", "", "no claim can be read"),
    ],
)
def test_it_says_why(was: str, becomes: str, why: str, make_ecg: MakeEcg, make_finding: MakeFinding) -> None:
    ecg = make_ecg(
        make_finding("V", 3.4, 3.5), make_finding("V", 20.0, 20.1), make_finding("AFIB", 30.0, 40.0)
    )
    good = "2 ventricular premature beats, first at 3.4 s, last at 20.0 s [a11]."
    assert check(good, Plan("report"), [ecg]).supported
    bad = good[:-1].replace(was, becomes, 1) + "." if was != "." else good[:-1] + becomes
    result = check(bad, Plan("report"), [ecg])
    assert not result.supported
    assert why in (result.why or "")


def test_a_true_sentence_that_answers_another_question_is_unsupported(make_ecg: MakeEcg) -> None:
    ecg = make_ecg()
    rate = "Mean rate 72/min [a4]."
    assert check(rate, Plan("measure", "RATE"), [ecg]).supported
    assert check(rate, Plan("measure", "SLOWEST"), [ecg]).why is not None
    assert not check("Report: " + rate, Plan("measure", "RATE"), [ecg]).supported


def test_claims_are_counted(make_ecg: MakeEcg) -> None:
    sentence = "PR interval 160 ms [a8]; QRS duration 92 ms [a9]; QT interval 380 ms [a10]."
    assert check(sentence, Plan("report"), [make_ecg()]).claims == 3
    assert check("All is well.", Plan("report"), [make_ecg()]).claims == 0


def test_what_was_said_without_evidence_is_never_supported(draw_ecgs: Draw, all_plans: list[Plan]) -> None:
    for plan in (plan for plan in all_plans if plan.task in UNSEEN):
        for sentence in unseen(plan, ecgs := draw_ecgs(Random(5), 2)):
            said = read(sentence) or ()
            if {claim.kind for claim in said} != {"unassessed"}:
                assert not check(sentence, plan, ecgs).supported


# the answer as served


@settings(max_examples=25)
@given(seed=SEEDS)
def test_the_templates_own_answer_is_left_as_it_is(seed: int, draw_ecgs: Draw, all_plans: list[Plan]) -> None:
    rng = Random(seed)
    ecgs = draw_ecgs(rng, rng.randint(1, 3))
    for plan in all_plans:
        said = answer(plan, ecgs, rng)
        grounded = ground(said, plan, ecgs)
        assert grounded.sentences == said
        assert (grounded.replaced, grounded.added) == (0, 0)
        assert all(result.supported for result in grounded.checked)


@settings(max_examples=25)
@given(seed=SEEDS, noise=st.text(max_size=80))
def test_whatever_was_written_what_is_served_is_the_truth_and_complete(
    seed: int, noise: str, draw_ecgs: Draw, all_plans: list[Plan]
) -> None:
    rng = Random(seed)
    ecgs, others = draw_ecgs(rng, 2), draw_ecgs(rng, 2)
    for plan in all_plans:
        mixed = [*answer(plan, ecgs, rng), *answer(plan, others, rng), noise]
        written = rng.sample(mixed, rng.randint(0, len(mixed)))
        served = ground(written, plan, ecgs)
        assert facts(served.sentences) == facts(answer(plan, ecgs))
        assert all(check(sentence, plan, ecgs).supported for sentence in served.sentences)
        assert sum(sentence.startswith("Report: ") for sentence in served.sentences) == (
            plan.task == "report"
        )


def test_a_wrong_sentence_is_replaced_and_a_missing_one_added(
    make_ecg: MakeEcg, make_finding: MakeFinding
) -> None:
    ecg = make_ecg(make_finding("V", 3.4, 3.5), make_finding("VT", 20.0, 23.0, None))
    said = list(answer(Plan("report"), [ecg]))
    tachycardia = next(i for i, sentence in enumerate(said) if "from 20.0 s" in sentence)
    wrong = [*said[:tachycardia], said[tachycardia].replace("20.0", "21.0"), *said[tachycardia + 1 :]]
    served = ground(wrong, Plan("report"), [ecg])
    assert (list(served.sentences), served.replaced, served.added) == (said, 1, 0)
    served = ground([*said[:tachycardia], *said[tachycardia + 1 :]], Plan("report"), [ecg])
    assert (list(served.sentences), served.replaced, served.added) == (said, 0, 1)


def test_every_finding_and_everything_unread_is_in_a_report_though_the_model_said_nothing(
    make_ecg: MakeEcg, make_finding: MakeFinding
) -> None:
    labels = ("VF", "VT", "PAUSE", "AFIB", "BRADY", "TACHY", "NOISE")
    ecg = make_ecg(
        *(make_finding(label, 5.0 * i, 5.0 * i + 3) for i, label in enumerate(labels, 1)),
        make_finding("UNFAMILIAR", 50.0, 55.0),
        analysed_s=57.0,
        not_analysed_s=3.0,
    )
    served = ground([], Plan("report"), [ecg])
    said = [claim for sentence in served.sentences for claim in read(sentence) or ()]
    assert {claim.label for claim in said if claim.kind == "episodes"} == set(labels)
    assert {"missed", "strange", "limits"} <= {claim.kind for claim in said}
    assert served.added == len(served.sentences)


def test_a_sentence_said_twice_is_served_once(make_ecg: MakeEcg) -> None:
    rate = "Mean rate 72/min [a4]."
    served = ground([rate, "The mean rate is 72/min [a4]."], Plan("measure", "RATE"), [make_ecg()])
    assert served.sentences == (rate,)
    assert (served.replaced, served.added) == (0, 0)


def test_claims_the_model_put_into_sentences_of_its_own_are_kept(make_ecg: MakeEcg) -> None:
    ecg = make_ecg()
    own = ["The QT interval is 380 ms [a10].", "QRS duration 92 ms [a9]; PR interval 160 ms [a8]."]
    served = ground(own, Plan("report"), [ecg])
    assert set(own) <= set(served.sentences)
    assert sum("QT interval" in sentence for sentence in served.sentences) == 1


def test_every_form_of_evidence_has_been_tried(draw_ecgs: Draw, all_plans: list[Plan]) -> None:
    kinds = {c.kind for _, _, sentence in told(draw_ecgs, all_plans, range(100)) for c in sentence}
    kinds |= {"seen", "unseen", "blurred"}  # without evidence
    assert set(FORMS) - kinds <= {"no_ecg", "few_beats", "sure"}
