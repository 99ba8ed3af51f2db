"""How a conversation about one ECG or several is laid out in tokens, and what of it is learned.

    per ECG   <ecg> <content> x seconds </ecg> letter [<evidence> facts]
    per turn  <question> text <answer> plan line, sentences, a line each <end>

Served and learned from the same functions. Losses are taken on answers only; nothing is ever cut off. What
people wrote (questions, dates, lead names) is one line of plain text, never a marker. numpy, no torch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np
import numpy.typing as npt

from models.anyecg.chat.plans import ECTOPIC
from models.anyecg.chat.slots import DATE
from models.anyecg.chat.statements import MOST_SPANS, found_of, located, regularity, share
from models.anyecg.chat.tokenizer import ANSWER, CONTENT, ECG, ECG_END, END, EVIDENCE, QUESTION, Tokenizer
from models.anyecg.evidence import MOST_ECGS, QUANTITIES, Evidence, Fact
from models.errors import AnyEcgError
from models.recordings import LEADS
from models.verdicts import LABELS, Kind

LONGEST = 2048  # tokens of a conversation
MOST_PLACED = 8  # places of the paper's answer in the evidence of a label
UNLEARNED = -100  # a label that no loss looks at
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Layout:
    """A conversation as the network reads it."""

    ids: Ints  # (token,)
    labels: Ints  # (token,), UNLEARNED outside answers
    turns: Ints  # (token,), 0 before the first question: each turn sees that and itself, as it is served
    ecgs: tuple[Floats, ...]  # each (second, D), what the content placeholders stand for


def lay_out(
    words: Tokenizer,
    ecgs: Sequence[Floats],
    evidence: Sequence[str] | None,
    turns: Sequence[tuple[str, str]],
    longest: int = LONGEST,
) -> Layout:
    """ValueError beyond `longest` tokens, or where ECGs and evidence are not one to one."""
    ids = opening(words, [len(ecg) for ecg in ecgs], evidence)
    labels, places = [UNLEARNED] * len(ids), [0] * len(ids)
    for place, (question, answer) in enumerate(turns, start=1):
        asked, said = asking(words, question), answering(words, answer)
        ids += asked + said
        labels += [UNLEARNED] * len(asked) + said
        places += [place] * len(asked + said)
    fits(len(ids), longest)
    rows = [np.array(row, dtype=np.int64) for row in (ids, labels, places)]
    return Layout(ids=rows[0], labels=rows[1], turns=rows[2], ecgs=tuple(ecgs))


def opening(words: Tokenizer, seconds: Sequence[int], evidence: Sequence[str] | None) -> list[int]:
    """The tokens of the ECGs, each of so many seconds, with the `text` of each one's evidence."""
    if not 1 <= len(seconds) <= MOST_ECGS or min(seconds) < 1:
        raise ValueError(f"ECGs of {list(seconds)} s: 1 to {MOST_ECGS} ECGs, each of a second or more.")
    if evidence is not None and len(evidence) != len(seconds):
        raise ValueError(f"{len(seconds)} ECGs with the evidence of {len(evidence)}.")
    ids: list[int] = []
    for place, length in enumerate(seconds):
        ids += words.marker(ECG) + words.marker(CONTENT) * length + words.marker(ECG_END)
        ids += words.encode(" " + ascii_lowercase[place])
        if evidence is not None:
            ids += words.marker(EVIDENCE) + words.encode(evidence[place])
    return ids


def asking(words: Tokenizer, question: str) -> list[int]:
    """The tokens of a question, up to where its answer begins."""
    return words.marker(QUESTION) + words.encode(as_read(question)) + words.marker(ANSWER)


def answering(words: Tokenizer, answer: str) -> list[int]:
    """The tokens of an answer to its end; a line break is a token of its own in any vocabulary."""
    first, *others = answer.split("\n")
    ids = words.encode(first)
    for line in others:
        ids += [words.newline, *words.encode(line)]
    return ids + words.marker(END)


class TooLongError(AnyEcgError, ValueError):
    """ECGs, what was found of them, a question and its answer take more tokens than there may be."""


def fits(tokens: int, longest: int = LONGEST) -> None:
    if tokens > longest:
        raise TooLongError(
            f"The conversation has {tokens} tokens, {longest} are the most: "
            f"give ECGs that are {tokens - longest} s shorter in all, or fewer of them."
        )


def text(evidence: Evidence) -> str:
    """The facts of one ECG, a line each, ids first, with every number an answer may hold.

    `2 II V1 0-60 2024-05-01`: leads, bounds, date, of which only what a table knows: other names are a
    stranger's text. `a4 RATE 72`; `a8 PR -`: not measured; `a7 RR 820 ~9`: the largest difference from the
    median in %. `a11 V 8 13.3% 3.4-3.5 5.1-5.2 >50.2 .91-.99/.5 @2.6-4.2 48.9-51`: how many, what share of
    the beats (for what lasts the seconds in all, `24.5s`), the first spans, the start of the last, the
    probabilities and their threshold, and where the paper's answer would place them.
    """
    known = [lead for lead in evidence.leads if lead in LEADS]
    bounds = f"{_short(evidence.start)}-{_short(evidence.end)}"
    head = " ".join([str(len(evidence.leads)), *known, bounds, _date(evidence)]).strip()
    return "\n".join([head, *(_line(evidence, fact) for fact in evidence.facts), *_together(evidence)])


def dates(ecgs: Sequence[Evidence]) -> tuple[str, ...] | None:
    """All that a question's meaning may hang on: a date for each of several ECGs, None where none has one."""
    known = tuple(_date(ecg) for ecg in ecgs)
    return known if len(ecgs) > 1 and any(known) else None


def _date(ecg: Evidence) -> str:
    return ecg.date if ecg.date and re.fullmatch(DATE, ecg.date) else ""


def as_read(question: str) -> str:
    """What a person wrote, without capitals, which say nothing, nor line breaks: a line of its own could
    pass for a fact."""
    return " ".join(question.lower().split())


def _line(evidence: Evidence, fact: Fact) -> str:
    if fact.label not in QUANTITIES:
        return f"{fact.id} {fact.label} {_found(evidence, fact)}"
    value = "-" if fact.value is None else _short(fact.value)
    spread = regularity(evidence).numbers if fact.label == "RR" else ()
    return " ".join([fact.id, fact.label, value, *(f"~{number}" for number in spread)])


def _found(evidence: Evidence, fact: Fact) -> str:
    told = _spans(fact.spans[:MOST_SPANS])
    parts = [str(fact.count), _amount(evidence, fact), *told]
    if fact.count > MOST_SPANS:
        beats = LABELS[fact.label].kind is Kind.BEAT
        parts.append(f">{_short(fact.spans[-1][0] if beats else max(last for _, last in fact.spans))}")
    if fact.chances is not None:
        threshold = "" if fact.threshold is None else f"/{_chance(fact.threshold)}"
        parts.append("-".join(_chance(chance) for chance in fact.chances) + threshold)
    return " ".join([*parts, *_placed(evidence, fact.label, told)])


def _amount(evidence: Evidence, fact: Fact) -> str:
    """A share of the beats, or seconds in all."""
    if LABELS[fact.label].kind is Kind.BEAT:
        part = share(evidence, fact.label)
        return "-" if part is None else f"{_short(part)}%"
    return f"{_short(fact.seconds)}s"


def _placed(evidence: Evidence, label: str, told: Sequence[str]) -> list[str]:
    """Where the paper's answer places what was found, where that is not what was just told."""
    claim = located(evidence, label)
    if claim.kind != "located":
        return []
    spans = _spans(tuple(zip(claim.times[::2], claim.times[1::2], strict=True)))
    if spans == told:
        return []
    return ["@" + " ".join(spans)] if len(spans) <= MOST_PLACED else ["@+"]


def _together(evidence: Evidence) -> list[str]:
    """Ventricular and supraventricular premature beats together, where there are both."""
    facts = found_of(evidence, ECTOPIC)
    if len(facts) < 2:
        return []
    part = share(evidence, ECTOPIC)
    amount = "-" if part is None else f"{_short(part)}%"
    count = sum(fact.count for fact in facts)
    return [" ".join([ECTOPIC, str(count), amount, *_placed(evidence, ECTOPIC, ())])]


def _spans(spans: Sequence[tuple[float, float]]) -> list[str]:
    return [f"{_short(first)}-{_short(last)}" for first, last in spans]


def _short(number: float) -> str:
    """To one decimal, without a zero behind the point."""
    return f"{number:.1f}".removesuffix(".0")


def _chance(probability: float) -> str:
    """.91, or 1.00."""
    return f"{probability:.2f}".removeprefix("0")
