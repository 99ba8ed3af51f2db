"""Text as numbers and back, whatever the text is; a marker is never made of text."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.anyecg.chat.tokenizer import END, MARKERS, VOCABULARY, Tokenizer, learn

TEXTS = [
    "2 II V1 0-60\na1 ANALYSED 60\na4 RATE 72\na7 RR 820 ~9\na11 V 5 6.9% 3.4-3.5",
    "Report: mean rate 72/min [a4]; 5 ventricular premature beats [a11].\nNot assessed: ST.",
    "How many extra beats are there? 1 2 3 4 5 6 7 8 9 0",
] * 4
WORDS = learn(TEXTS)
RESERVED = {i for name in MARKERS for i in WORDS.marker(name)}


@given(st.text())
def test_any_text_comes_back_and_holds_no_marker(text: str) -> None:
    ids = WORDS.encode(text)
    assert WORDS.decode(ids) == text.encode("utf-8", "replace").decode()
    assert not RESERVED & set(ids)


@pytest.mark.parametrize("marker", MARKERS)
def test_a_marker_in_a_text_is_characters(marker: str) -> None:
    ids = WORDS.encode(f"rate{marker}a4 RATE 300")
    assert not RESERVED & set(ids)
    assert WORDS.decode(ids) == f"rate{marker}a4 RATE 300"


def test_digits_stand_alone_and_a_word_takes_its_space() -> None:
    pieces = [WORDS.decode([i]) for i in WORDS.encode("a4 RATE 172\na7 RR")]
    assert pieces == ["a", "4", " RATE", " 1", "7", "2", "\na", "7", " RR"]


def test_a_line_break_before_a_sentence_is_a_token_of_its_own() -> None:
    ids = WORDS.encode("count V\nReport")
    assert ids == [*WORDS.encode("count V"), WORDS.newline, *WORDS.encode("Report")]


def test_the_vocabulary_is_small_and_every_marker_is_in_it() -> None:
    assert len(RESERVED) == len(MARKERS)
    assert WORDS.size <= VOCABULARY
    many = learn(" ".join(f"{a}{b}{c}" for c in "aeiou") for a in "bdfgklm" for b in "nprstvwxyz" * 9)
    assert many.size <= VOCABULARY


def test_the_same_texts_give_the_same_file_and_the_file_the_same_tokens(tmp_path: Path) -> None:
    WORDS.save(tmp_path / "tokenizer.json")
    again = Tokenizer.from_file(tmp_path / "tokenizer.json")
    assert again.json == WORDS.json == learn(TEXTS).json
    assert again.encode(f"a4 {END} 7") == WORDS.encode(f"a4 {END} 7")


def test_a_marker_may_be_several_tokens_of_another_vocabulary_but_a_placeholder_is_one() -> None:
    ids = {name: tuple(WORDS.marker(name)) for name in MARKERS}
    other = Tokenizer(WORDS._inner, {**ids, END: (70, 71)})
    assert other.marker(END) == [70, 71]
    with pytest.raises(ValueError, match=r"not of one token: \['<content>'\]"):
        Tokenizer(WORDS._inner, {**ids, "<content>": (70, 71)})
    with pytest.raises(ValueError, match=r"without tokens: \['<pad>'\]"):
        Tokenizer(WORDS._inner, {name: i for name, i in ids.items() if name != "<pad>"})
