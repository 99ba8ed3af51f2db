"""How answers of each kind are read, of rows and as they were said, and what the latter are worth."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.anyecg.chat.names import NAMES as CALLED
from models.anyecg.chat.wording import Claim, read
from models.dataset.anyecg.classes import FINDABLE
from models.dataset.anyecg.intervals import iou, parse_answer
from models.evaluation.chat_facts import NAMES, NONE, RHYTHMS, Facts, answered, joined, near, said
from models.evaluation.chat_located import located
from models.evaluation.chat_rows import ECGQA, LOCALIZATION, REPORT, Row

Value = Any  # of one kind: spans, a number, a label, yes or no
BURDEN_POINTS = 2.0


@dataclass(frozen=True, slots=True)
class Kind:
    """How answers of a kind are read and compared; None: cannot be read."""

    true: Callable[[Row], Value]
    said: Callable[[Row, Sequence[str]], Value]
    score: Callable[[Value, Value, float], float]  # said, true, seconds of the ECG; 0 to 1


def score(row: Row, sentences: Sequence[str], true: Row, seconds: float) -> float:
    """What the sentences, in answer to `row`, are worth beside the true answer of `true`."""
    kind = KINDS[true.kind]
    mine = kind.said(row, sentences)
    return 0.0 if mine is None else kind.score(mine, kind.true(true), seconds)


def constant(rows: Sequence[tuple[Row, float]]) -> list[float]:
    """What the best answer that is always the same is worth on each (row, seconds) of one kind."""
    kind = KINDS[rows[0][0].kind]
    true = [(kind.true(row), seconds) for row, seconds in rows]
    distinct = {repr(value): value for value, _ in true}.values()
    return max(([kind.score(mine, value, s) for value, s in true] for mine in distinct), key=sum)


def _number(text: str) -> float | None:
    found = re.search(r"\d+(?:\.\d+)?", text)
    return float(found[0]) if found else None


def _before(unit: str, text: str) -> float | None:
    found = re.search(rf"(\d+){unit}", text)
    return float(found[1]) if found else None


def _claims(sentences: Sequence[str]) -> list[Claim]:
    return [claim for sentence in sentences for claim in read(sentence) or ()]


def _said_count(row: Row, sentences: Sequence[str]) -> Value:
    there = answered(sentences, row.label or "")
    if there is None:
        return None
    counts = [c.numbers[0] for c in _claims(sentences) if there and c.label == row.label and c.numbers]
    return counts[0] if counts else None if there else 0.0


def _said_share(row: Row, sentences: Sequence[str]) -> Value:
    found = next(
        (c.numbers[2] for c in _claims(sentences) if c.kind == "burden" and c.label == row.label), None
    )
    return 0.0 if found is None and answered(sentences, row.label or "") is False else found


def _said_regular(_: Row, sentences: Sequence[str]) -> Value:
    return next((c.kind == "regular" for c in _claims(sentences) if c.kind in {"regular", "irregular"}), None)


def _said_facts(_: Row, sentences: Sequence[str]) -> Value:
    facts = said(sentences)
    return None if facts == Facts() else facts


def _said_rate(_: Row, sentences: Sequence[str]) -> Value:
    return said(sentences).rate


def _yes_no(row: Row, sentences: Sequence[str]) -> Value:
    """`yes` or `no` to what was asked: the row's label, or whatever its question names."""
    labels = {row.label} if row.label else _named(row.question)
    there = {answered(sentences, label) for label in labels} - {None}
    return None if len(there) != 1 else "yes" if there.pop() else "no"


def _named(question: str) -> set[str]:
    """The labels of which a name stands in it."""
    called = [(label, name.singular) for label, name in CALLED.items()]
    called += [(label, name) for label, row in FINDABLE.items() for name in row.names]
    asked = question.lower()
    return {label for label, name in called if re.search(rf"\b{re.escape(name.lower())}s?\b", asked)}


def _series(kind: str, label: str | None) -> Callable[[Row, Sequence[str]], Value]:
    """The numbers of all ECGs; `label` None: of the row's own."""

    def value(row: Row, sentences: Sequence[str]) -> Value:
        wanted = label or row.label
        found = next((c for c in _claims(sentences) if c.kind == kind and c.label == wanted), None)
        if found is None:
            return None
        by_letter = dict(zip(found.ecgs, found.numbers, strict=True))
        return [by_letter[letter] for letter in sorted(by_letter)]

    return value


def _said_there(row: Row, sentences: Sequence[str]) -> Value:
    counts = _series("count_series", None)(row, sentences)
    return None if counts is None else [bool(count) for count in counts]


def _rhythm_named(text: str) -> str:
    """The rhythms of RHYTHMS that a reference names; flutter counts as fibrillation."""
    bare = text.lower()
    named = {label for label in (*RHYTHMS, "AFL") if any(n.lower() in bare for n in FINDABLE[label].names)}
    return joined({"AFIB" if label == "AFL" else label for label in named})


def _true_report(row: Row) -> Facts:
    """Of the dataset's own report: a line each for rhythm, rate, premature beats."""
    lines = row.answer.removeprefix("Report: ").rstrip(".").split(". ")
    values = {line.partition(":")[0]: line.partition(": ")[2] for line in lines if ": " in line}
    v, s = (_none_or(values.get(f"{name} premature beats")) for name in ("Ventricular", "Supraventricular"))
    rate = next((_number(line) for line in lines if line.startswith("Mean rate")), None)
    known = lines[0].startswith("Mean rate")
    both = [label for label, count in (("V", v), ("S", s)) if count]
    return Facts(rhythm=None if known else _rhythm_named(lines[0]), rate=rate, ectopy=joined(both), v=v, s=s)


def _none_or(text: str | None) -> float | None:
    return None if text is None else 0.0 if text == NONE else _number(text)


def _facts_right(mine: Facts, true: Facts, _: float) -> float:
    known = [name for name in NAMES if getattr(true, name) is not None]
    return sum(near(name, getattr(mine, name), getattr(true, name)) for name in known) / len(known)


def _within(name: str) -> Callable[[Value, Value, float], float]:
    return lambda mine, true, _: float(near(name, mine, true))


def _all_within(name: str) -> Callable[[Value, Value, float], float]:
    """Lists as long as each other, near in every place."""
    return lambda mine, true, _: float(
        len(mine) == len(true) and all(near(name, a, b) for a, b in zip(mine, true, strict=True))
    )


def _same(mine: Value, true: Value, _: float) -> float:
    return float(mine == true)


def _yes(row: Row) -> bool:
    return row.answer.lower().startswith("yes")


KINDS: Mapping[str, Kind] = {
    LOCALIZATION: Kind(
        lambda row: parse_answer(row.answer), lambda row, said: located(said, row.label or ""), iou
    ),
    REPORT: Kind(_true_report, _said_facts, _facts_right),
    "question rate": Kind(lambda row: _before("/min", row.answer), _said_rate, _within("rate")),
    "question count": Kind(lambda row: _number(row.answer.split(": ")[-1]), _said_count, _within("v")),
    "question burden": Kind(
        lambda row: _before(" %", row.answer),
        _said_share,
        lambda mine, true, _: float(abs(mine - true) <= BURDEN_POINTS),
    ),
    "question present": Kind(_yes, lambda row, said: answered(said, row.label or ""), _same),
    "question regular": Kind(
        lambda row: row.answer.lower().startswith(("yes", "regular")), _said_regular, _same
    ),
    "question rhythm": Kind(lambda row: _rhythm_named(row.answer), lambda _, s: said(s).rhythm, _same),
    "comparison counts": Kind(
        lambda row: [float(n) for n in row.evidence["counts"]],
        _series("count_series", None),
        _all_within("v"),
    ),
    "comparison rates": Kind(
        lambda row: [float(n) for n in row.evidence["rates"]],
        _series("value_series", "RATE"),
        _all_within("rate"),
    ),
    "comparison which": Kind(lambda row: row.evidence["present"], _said_there, _same),
    ECGQA: Kind(lambda row: row.answer.strip().rstrip(".").lower(), _yes_no, _same),
}
