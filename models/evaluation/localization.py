"""Where something occurs: intersection over union with the annotated intervals, each strip served alone.

As the paper scores: a strip without the type counts 1 where none is said and 0 else. Here nothing said of a
strip that is mostly unreadable is no answer, and counts 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.dataset.anyecg.intervals import Span, iou
from models.evaluation.judged import Figures, mean
from models.evaluation.served import Served
from models.evaluation.spans import merged, total
from models.evaluation.strips import PROTOCOLS, TYPES, Strip, said_spans

BLIND: tuple[Span, ...] = ((0.5, 2.5),)  # what never looks, and reaches 0.39 on the paper's positives
MOSTLY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """A strip, what was said of it, and what was said of zeroes."""

    strip: Strip
    said: tuple[Span, ...] | None  # None: no answer
    blind: tuple[Span, ...] | None


def answered(strip: Strip, served: Served, blind: Served) -> Answered:
    return Answered(strip=strip, said=_said(served, strip.kind), blind=_said(blind, strip.kind))


def localization_figures(rows: Sequence[Answered]) -> Figures:
    """`localization` by the paper's placing of strips, `anywhere` beside it, and the baselines of both."""
    by_protocol = {p: [r for r in rows if r.strip.protocol == p] for p in PROTOCOLS}
    paper, anywhere = (_figures(by_protocol[p], lambda r: r.said) for p in PROTOCOLS)
    return {
        "localization": paper | {"anywhere": anywhere},
        "baselines": {protocol: _baselines(of) for protocol, of in by_protocol.items()},
        "per_record": [
            {"record": name, **_figures([r for r in rows if r.strip.record == name], lambda r: r.said)}
            for name in dict.fromkeys(r.strip.record for r in rows)
        ],
    }


def _said(served: Served, kind: str) -> tuple[Span, ...] | None:
    spans = said_spans(served, kind)
    silent = total(merged(served.unreadable)) > MOSTLY * served.samples
    return None if silent and not spans else spans


def _figures(rows: Iterable[Answered], say: Callable[[Answered], tuple[Span, ...] | None]) -> Figures:
    """`micro_iou` over all rows, `macro_iou` over types; positives and negatives apart."""
    scored = [(r.strip, iou(say(r), r.strip.answer, r.strip.seconds)) for r in rows]
    by_type = {kind: _apart([row for row in scored if row[0].kind == kind]) for kind in TYPES}
    means = [mean([s for strip, s in scored if strip.kind == kind]) for kind in TYPES]
    return {
        "micro_iou": mean([score for _, score in scored]),
        "macro_iou": mean([one for one in means if one is not None]),
        **_apart(scored),
        "by_type": {kind: figures for kind, figures in by_type.items() if figures["strips"]},
    }


def _apart(scored: Sequence[tuple[Strip, float]]) -> Figures:
    return {
        "positives": mean([score for strip, score in scored if strip.answer]),
        "negatives": mean([score for strip, score in scored if not strip.answer]),
        "strips": len(scored),
        "positive_strips": sum(bool(strip.answer) for strip, _ in scored),
    }


def _baselines(rows: Sequence[Answered]) -> Figures:
    """The constant that never looks, never, the whole strip, and the serving code on zeroes."""
    says: dict[str, Callable[[Answered], tuple[Span, ...] | None]] = {
        "constant": lambda _: BLIND,
        "never": lambda _: (),
        "whole strip": lambda r: ((0.0, r.strip.seconds),),
        "zeroed": lambda r: r.blind,
    }
    return {name: _figures(rows, say) for name, say in says.items()}
