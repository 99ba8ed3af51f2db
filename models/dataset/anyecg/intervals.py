"""Intervals as answers: the paper's rule for beats, its answer grammar and its score.

anyECG-chat (arXiv 2506.00942) answers `Duration: 1.9s-3.1s, 6.8s-8.1s` or `No <name> Found`, times in
seconds from the start of the strip to 0.1 s. Around each target beat the interval runs from the beat
before it to the beat after it, clipped to the strip; intervals that touch are one. Pure functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TypeVar

Span = tuple[float, float]

_Number = TypeVar("_Number", int, float)
_SPAN = r"(\d+(?:\.\d+)?)s?\s*-\s*(\d+(?:\.\d+)?)s"
_POSITIVE = re.compile(rf"Duration:\s*{_SPAN}(?:,\s*{_SPAN})*\.?")
_NEGATIVE = re.compile(r"No (\S.*?) Found\.?")


def target_spans(
    beats_s: Sequence[float], is_target: Sequence[bool], start: float, end: float
) -> tuple[Span, ...]:
    """Spans in seconds from `start`, sorted and disjoint, around the target beats in [start, end).

    `beats_s` are the R peaks of the whole recording in seconds, ascending: the neighbours may lie
    outside the strip. Before the first beat and after the last one the strip's edge closes the span.
    """
    around = []
    for index, (beat, wanted) in enumerate(zip(beats_s, is_target, strict=True)):
        if wanted and start <= beat < end:
            before = beats_s[index - 1] if index else start
            after = beats_s[index + 1] if index + 1 < len(beats_s) else end
            around.append((before, after))
    return clipped(around, start, end)


def clipped(spans: Iterable[Span], start: float, end: float) -> tuple[Span, ...]:
    """Absolute spans as seconds from `start`: clipped to the strip, to 0.1 s, touching ones merged."""
    length = int((end - start) * 10 + 1e-6)
    tenths = []
    for first, last in spans:
        if last <= start or first >= end or length == 0:
            continue
        low = min(max(round((first - start) * 10), 0), length - 1)
        tenths.append((low, max(min(round((last - start) * 10), length), low + 1)))
    return tuple((low / 10, high / 10) for low, high in _merged(tenths))


def format_answer(spans: Sequence[Span], name: str) -> str:
    """`Duration: 1.9s-3.1s, ...`, or `No <name> Found` where there is none."""
    if not spans:
        return f"No {name[:1].upper()}{name[1:]} Found"
    return "Duration: " + ", ".join(f"{first:.1f}s-{last:.1f}s" for first, last in spans)


def parse_answer(text: str) -> tuple[Span, ...] | None:
    """The spans of an answer, () for `No <name> Found`, None where it says neither in the grammar."""
    text = text.strip()
    if _NEGATIVE.fullmatch(text):
        return ()
    if not _POSITIVE.fullmatch(text):
        return None
    spans = tuple((float(first), float(last)) for first, last in re.findall(_SPAN, text))
    ordered = all(first < last for first, last in spans)
    return spans if ordered and all(a[1] <= b[0] for a, b in pairwise(spans)) else None


def iou(a: Sequence[Span] | None, b: Sequence[Span] | None, length: float) -> float:
    """Intersection over union of two sets of spans in a strip of `length` s, 0 to 1.

    Two empty answers agree (1); an empty and a non-empty one, or one that could not be parsed (None), 0.
    """
    if a is None or b is None:
        return 0.0
    if not a and not b:
        return 1.0
    mine, theirs = _within(a, length), _within(b, length)
    both = sum(max(0.0, min(p[1], q[1]) - max(p[0], q[0])) for p in mine for q in theirs)
    union = _total(mine) + _total(theirs) - both
    return both / union if union > 0 else 0.0


def score(answer: str, truth: str, length: float) -> float:
    """The paper's score of an answer: `No X Found` counts 1 only where it is exactly the truth."""
    spans = parse_answer(answer)
    if spans == ():
        return float(answer.strip() == truth)
    return iou(spans, parse_answer(truth), length)


def _within(spans: Sequence[Span], length: float) -> list[Span]:
    inside = [(max(first, 0.0), min(last, length)) for first, last in spans]
    return _merged((first, last) for first, last in inside if first < last)


def _total(spans: Sequence[Span]) -> float:
    return sum(last - first for first, last in spans)


def _merged(spans: Iterable[tuple[_Number, _Number]]) -> list[tuple[_Number, _Number]]:
    merged: list[tuple[_Number, _Number]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged
