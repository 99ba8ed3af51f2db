"""What is said can be read back, in every wording, and nothing else can be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from string import Formatter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anyecg.chat.forms import FORMS
from models.anyecg.chat.names import MEASURED, NAMES
from models.anyecg.chat.slots import SLOTS, Form
from models.anyecg.chat.wording import FOOTER, Claim, facts, read, say
from models.recordings import LEADS

WORDINGS = [(kind, place) for kind, form in FORMS.items() for place in range(len(form.wordings))]
LETTERS = st.sampled_from("abcdef")
IDS = st.builds("{}{}".format, LETTERS, st.integers(1, 40))
TENTHS = st.integers(0, 36_000).map(lambda n: n / 10)
WHOLE = st.integers(0, 5000).map(float)
HUNDREDTHS = st.integers(0, 100).map(lambda n: n / 100)
NUMBERS = {
    "count": WHOLE,
    "beats": WHOLE,
    "analysed": WHOLE,
    "deviation": WHOLE,
    "unanalysed": TENTHS,
    "seconds": TENTHS,
    "share": TENTHS,
    "low": HUNDREDTHS,
    "high": HUNDREDTHS,
    "threshold": HUNDREDTHS,
}
V5 = Claim(kind="events", label="V", numbers=(5,), times=(3.4, 50.2), cites=("a11",))
RATE = Claim(kind="value", label="RATE", numbers=(72,), cites=("a4",))


class Picks(Random):
    """Always takes the wording at one place."""

    def __init__(self, place: int) -> None:
        super().__init__(0)
        self.place = place

    def choice(self, seq: Sequence[Any]) -> Any:
        return seq[self.place]


def slots_of(wording: str) -> set[str]:
    return {slot for _, slot, _, _ in Formatter().parse(wording) if slot}


def amounts(form: Form) -> st.SearchStrategy[float]:
    return TENTHS if form.unit in {"%", "points"} else WHOLE


@st.composite
def claims(draw: st.DrawFn, kind: str) -> Claim:
    form = FORMS[kind]
    slots = slots_of(form.wordings[0])
    claim = Claim(kind=kind)
    if slots & {"plain", "singular", "counted"}:
        claim = replace(claim, label=draw(st.sampled_from(sorted(NAMES))))
    if "quantity" in slots:
        claim = replace(claim, label=draw(st.sampled_from(sorted(MEASURED))))
    numbers = tuple(draw(NUMBERS.get(name, amounts(form))) for name in form.numbers)
    ecgs: tuple[str, ...] = draw(st.sampled_from([(), *zip("abcdef", strict=True)]))
    if "ecg" in slots:
        ecgs = tuple(draw(st.lists(LETTERS, min_size=1, max_size=1 + ("other" in slots))))
        ecgs = ecgs if len(ecgs) == 1 + ("other" in slots) else (*ecgs, draw(LETTERS))
    if slots & {"series", "order"}:
        ecgs = tuple(draw(st.lists(LETTERS, min_size=2, max_size=6)))
    if "series" in slots:
        numbers = tuple(draw(st.none() | amounts(form)) for _ in ecgs)
    if "order" in slots:
        days = st.dates().map(str) | st.datetimes().map(lambda t: f"{t:%Y-%m-%d %H:%M}".zfill(16))
        claim = replace(claim, dates=tuple(draw(days) for _ in ecgs))
    spans = draw(st.integers(1, 8)) if slots & {"spans", "durations"} else 0
    times = 2 * spans + ("first" in slots) + ("last" in slots)
    return replace(
        claim,
        numbers=numbers,
        times=tuple(draw(TENTHS) for _ in range(times)),
        leads=tuple(draw(st.lists(st.sampled_from(LEADS), max_size=12))) if "leads" in slots else (),
        ecgs=ecgs,
        cites=tuple(draw(st.lists(IDS, min_size=1, max_size=4))) if "cites" in slots else (),
    )


@pytest.mark.parametrize(("kind", "place"), WORDINGS)
@settings(max_examples=20)
@given(data=st.data())
def test_every_wording_of_every_form_says_what_is_read_from_it(
    kind: str, place: int, data: st.DataObject
) -> None:
    claim = data.draw(claims(kind))
    assert read(say(claim, rng=Picks(place))) == (claim,)


@given(data=st.data())
def test_several_claims_of_one_ecg_are_read_from_one_sentence(data: st.DataObject) -> None:
    kinds = st.sampled_from(sorted(kind for kind, form in FORMS.items() if not form.bare))
    said = [data.draw(claims(data.draw(kinds))) for _ in range(3)]
    naming = [slots_of(FORMS[c.kind].wordings[0]) & {"ecg", "series", "order"} for c in said]
    same = [claim if own else replace(claim, ecgs=("b",)) for claim, own in zip(said, naming, strict=True)]
    assert read(say(*same, rng=Random(1))) == tuple(same)


@given(st.text())
def test_any_text_can_be_tried(text: str) -> None:
    said = read(text)
    assert said is None or text.removeprefix("Report: ")[:1].isupper()


@pytest.mark.parametrize(
    "sentence",
    [
        "1 episode of ventricular bigeminy: 11.8 s [a12].",
        "1 episode of ventricular bigeminy: 11.8-17.3-17.3 s [a12].",
        "9 ventricular premature beats at 0.0-0.1 s, 4.4, 6.9-7.0 s and 7 more [a11].",
        "Duration: 0.0s-5.4s, 6.2s-18.8s-26.1s, 27.7s-30.6s",
    ],
)
def test_intervals_of_which_a_model_left_out_a_time_cannot_be_read(sentence: str) -> None:
    assert read(sentence) is None


@pytest.mark.parametrize(
    "sentence",
    [
        "",
        ".",
        "The heart looks fine.",
        "Mean rate 72 [a4].",  # no unit
        "Mean rate 72 /min [a4].",
        "Mean rate 72.0/min [a4].",
        "Mean rate 072/min [a4].",
        "Mean rate ٧٢/min [a4].",
        "Mean rate 72/min.",  # nothing cited
        "Mean rate 72/min [a4]",
        "mean rate 72/min [a4].",
        "Mean rate 72/min [a4]. ",
        "Mean rate 72/min [a4].\n",
        "Mean rate 72/min  [a4].",
        "Mean rate 72 ms [a4].",
        "Mean rate -72/min [a4].",
        "Mean rate 72/min [a4]; and the patient should rest.",
        "Mean rate 72/min [a4];Mean rate 72/min [a4].",
        "1 ventricular premature beats in all [a11].",
        "2 ventricular premature beat in all [a11].",
        "2 ventricular premature beats at 3.4-3.5 s and 3 more [a11].",  # 1 more
        "2 ventricular premature beats, first at 3.4, last at 20 s [a11].",
        "No atrial fibrillation were found in the 60 s analysed [a1].",
        "2 extrasystoles in all [a11].",
        "The ECG lasts 60.0 s, from 0.0 s to 60.0 s, number of leads 1: V9.",
        "Duration: 1.9s-3.1s.",
        "Duration: 1.9s-3.1s; mean rate 72/min [a4].",
        "Report: Report: Mean rate 72/min [a4].",
        "ECG a: ECG a: mean rate 72/min [a4].",
        FOOTER,
    ],
)
def test_what_is_not_in_the_table_cannot_be_read(sentence: str) -> None:
    assert read(sentence) is None


def test_a_sentence_names_its_ecg_once_for_all_its_claims() -> None:
    sentence = say(replace(V5, ecgs=("b",)), replace(RATE, ecgs=("b",)))
    assert sentence == (
        "ECG b: 5 ventricular premature beats, first at 3.4 s, last at 50.2 s [a11]; mean rate 72/min [a4]."
    )


def test_claims_of_two_ecgs_or_of_the_papers_grammar_are_no_one_sentence() -> None:
    with pytest.raises(ValueError, match="one sentence"):
        say(replace(V5, ecgs=("a",)), RATE)
    with pytest.raises(ValueError, match="one sentence"):
        say(Claim(kind="located", times=(1.0, 2.0)), RATE)


def test_the_papers_answers_are_written_as_the_paper_has_them() -> None:
    assert say(Claim(kind="located", times=(1.9, 3.1, 6.8, 8.1))) == "Duration: 1.9s-3.1s, 6.8s-8.1s"
    assert say(Claim(kind="unlocated", label="V")) == "No Ventricular premature beat Found"


def test_every_form_but_the_papers_has_several_wordings_that_carry_the_same() -> None:
    telling = {name for name, slot in SLOTS.items() if slot.read}
    same = {"counted": {"count", "plain"}}
    for kind, form in FORMS.items():
        told = [slots_of(wording) & telling for wording in form.wordings]
        carried = [set().union(*(same.get(slot, {slot}) for slot in slots)) for slots in told]
        assert form.bare or len(form.wordings) > 1, kind
        assert all(slots == carried[0] for slots in carried), kind
        assert all("; " not in wording and not wording.endswith(".") for wording in form.wordings), kind


def test_facts_are_the_same_whatever_the_wording_and_the_citations() -> None:
    other = replace(V5, cites=("b11",))
    assert facts([say(V5, rng=Picks(0)), say(RATE)]) == facts([say(RATE, other, rng=Picks(1))])
    assert facts([say(V5)]) != facts([say(replace(V5, numbers=(6,)))])
    assert facts(["The heart looks fine."]) == set()


def test_a_denial_says_so() -> None:
    absent = Claim(kind="absent", label="V", numbers=(60,), cites=("a1",))
    assert absent.denied
    assert not V5.denied
