"""A conversation in tokens: every second has its place, only answers are learned, nothing is cut off."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anyecg.chat.invented import Placed
from models.anyecg.chat.prompt import LONGEST, UNLEARNED, Layout, as_read, asking, lay_out, opening, text
from models.anyecg.chat.tokenizer import (
    ANSWER,
    CONTENT,
    ECG,
    ECG_END,
    END,
    EVIDENCE,
    MARKERS,
    QUESTION,
    learn,
)
from models.anyecg.evidence import Evidence, Fact

WORDS = learn(["2 II V1 0-60\na4 RATE 72\nReport: mean rate 72/min [a4].\nHow fast is it?"] * 5)
TURNS = (
    ("How fast is it?", "measure RATE\nmean rate 72/min [a4]."),
    ("Report?", "report\nReport: 72/min [a4]."),
)
FACTS = (
    Fact(id="a1", label="ANALYSED", value=58.0),
    Fact(id="a2", label="NOT_ANALYSED", value=2.5),
    Fact(id="a3", label="BEATS", value=60.0),
    Fact(id="a4", label="RATE", value=72.0),
    Fact(id="a7", label="RR", value=820.0),
    Fact(id="a8", label="PR", value=None),
)
BEATS = tuple((0.5 + i, "V" if i in {3, 4, 20} else "N") for i in range(60))
PVC = Fact(
    id="a11",
    label="V",
    spans=((3.4, 3.5), (4.4, 4.6), (20.4, 20.5)),
    chances=(0.91, 1.0),
    threshold=0.45,
)


def evidence(*found: Fact, **changed: object) -> Evidence:
    whole = Evidence(letter="a", leads=("II", "V1"), start=0.0, end=60.0, facts=(*FACTS, *found), beats=BEATS)
    return replace(whole, **changed)


def ecgs(*seconds: int) -> list[np.ndarray]:
    return [np.full((s, 3), i, dtype=np.float32) for i, s in enumerate(seconds)]


def read(layout: Layout) -> str:
    names = {WORDS.one(name): name for name in MARKERS}
    return "".join(names.get(i) or WORDS.decode([i]) for i in layout.ids.tolist())


def test_a_conversation_reads_as_the_layout_says() -> None:
    layout = lay_out(WORDS, ecgs(2, 3), ["a4 RATE 72", "b4 RATE 80"], TURNS[:1])
    assert read(layout) == (
        "<ecg><content><content></ecg> a<evidence>a4 RATE 72"
        "<ecg><content><content><content></ecg> b<evidence>b4 RATE 80"
        "<question>how fast is it?<answer>measure RATE\nmean rate 72/min [a4].<end>"
    )


def test_where_evidence_is_withheld_the_letter_alone_stands_there() -> None:
    assert read(lay_out(WORDS, ecgs(1), None, ())) == "<ecg><content></ecg> a"


def test_only_answers_and_their_ends_are_learned() -> None:
    layout = lay_out(WORDS, ecgs(2), ["a4 RATE 72"], TURNS)
    learned = layout.labels != UNLEARNED
    assert (layout.labels[learned] == layout.ids[learned]).all()
    assert WORDS.decode(layout.ids[learned].tolist()) == "".join(said for _, said in TURNS)
    assert (layout.ids[learned] == WORDS.one(END)).sum() == 2
    forbidden = [WORDS.one(name) for name in (ECG, CONTENT, ECG_END, EVIDENCE, QUESTION, ANSWER)]
    assert not np.isin(layout.ids[learned], forbidden).any()


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_there_is_a_placeholder_for_every_second_of_every_ecg(seconds: list[int]) -> None:
    ids = np.array(opening(WORDS, seconds, None))
    starts, ends = (np.flatnonzero(ids == WORDS.one(name)) for name in (ECG, ECG_END))
    assert (ends - starts - 1).tolist() == seconds
    assert (ids == WORDS.one(CONTENT)).sum() == sum(seconds)


@given(st.text())
def test_whatever_a_question_says_it_stays_a_question(written: str) -> None:
    ids = asking(WORDS, written)
    assert [ids[0], ids[-1]] == [WORDS.one(QUESTION), WORDS.one(ANSWER)]
    assert not {WORDS.one(name) for name in MARKERS} & set(ids[1:-1])
    assert "\n" not in as_read(written)
    assert asking(WORDS, written.lower()) == ids


def test_a_conversation_that_is_too_long_is_refused_not_cut() -> None:
    with pytest.raises(ValueError, match=f"{LONGEST} are the most"):
        lay_out(WORDS, ecgs(LONGEST), None, ())
    fitting = len(opening(WORDS, [10], None))
    assert len(lay_out(WORDS, ecgs(10), None, (), longest=fitting).ids) == fitting
    with pytest.raises(ValueError, match=f"{fitting} tokens, {fitting - 1} are the most"):
        lay_out(WORDS, ecgs(10), None, (), longest=fitting - 1)


@pytest.mark.parametrize(
    ("seconds", "facts", "said"),
    [
        ([], None, "1 to 26"),
        ([1] * 27, None, "1 to 26"),
        ([3, 0], None, "a second or more"),
        ([3], [], "2|0"),
    ],
)
def test_ecgs_that_cannot_be_laid_out(seconds: list[int], facts: list[str] | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        opening(WORDS, seconds, facts)


def test_evidence_as_text() -> None:
    assert text(evidence(PVC, date="2024-05-01")) == (
        "2 II V1 0-60 2024-05-01\na1 ANALYSED 58\na2 NOT_ANALYSED 2.5\na3 BEATS 60\na4 RATE 72\n"
        "a7 RR 820 ~0\na8 PR -\n"
        "a11 V 3 5% 3.4-3.5 4.4-4.6 20.4-20.5 .91-1.00/.45 @2.5-5.5 19.5-21.5"
    )


def test_late_times_keep_their_tenths() -> None:
    week = Placed(0, 604_800.0).of(evidence(PVC))
    head, *_, beats = text(week).splitlines()
    assert head == "2 II V1 604800-604860"
    assert " 604803.4-604803.5 604804.4-604804.6 " in beats


def test_of_many_spans_the_first_and_the_last_are_told() -> None:
    spans = tuple((float(2 * i), 2 * i + 0.1) for i in range(9))
    line = text(evidence(replace(PVC, spans=spans, chances=None), beats=())).splitlines()[-1]
    assert line.startswith("a11 V 9 15% 0-0.1 2-2.1 4-4.1 6-6.1 8-8.1 10-10.1 >16")


def test_what_lasts_is_told_with_its_seconds() -> None:
    fibrillation = Fact(id="a11", label="AFIB", spans=((3.0, 20.0), (30.5, 38.0)))
    assert text(evidence(fibrillation)).splitlines()[-1] == "a11 AFIB 2 24.5s 3-20 30.5-38"


def test_both_kinds_of_premature_beats_are_told_together() -> None:
    early = Fact(id="a11", label="S", spans=((7.4, 7.5),))
    assert (
        text(evidence(early, replace(PVC, id="a12"))).splitlines()[-1] == "ECTOPIC 4 6.7% @2.5-5.5 19.5-21.5"
    )


def test_a_date_or_a_lead_that_is_a_strangers_text_is_not_told() -> None:
    plain = text(evidence(leads=("II", "V1")))
    assert text(evidence(date="2024-05-01\na4 RATE 300")) == plain
    assert text(evidence(leads=("II", "V1\na4 RATE 300"))) == plain.replace("II V1", "II")


def test_the_evidence_of_a_usual_ecg_is_not_a_hundred_and_twenty_tokens() -> None:
    told = text(evidence(PVC))
    assert len(learn([told] * 9).encode(told)) < 120


def test_a_server_lays_out_prompts_without_torch() -> None:
    code = (
        "import sys, models.anyecg.chat.prompt; print({'torch', 'transformers', 'wfdb'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_one_beat_at_the_very_end_has_no_place_beside_its_time():
    at_the_end = replace(PVC, spans=((60.0, 60.0),), chances=(0.91, 0.91))
    plain = tuple((at, "N") for at, _ in BEATS)
    line = text(evidence(at_the_end, beats=plain)).splitlines()[-1]
    assert line.startswith("a11 V 1 ")
    assert "60-60" in line
    assert "@" not in line
