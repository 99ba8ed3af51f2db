"""The edge's windows against what experts said of those 10 s.

Noisy is no excuse: a window that is unreadable and not flagged by a rule counts as missed where it is
abnormal and as a false alarm where it is not, in the ranking too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from models.evaluation.abnormal import Truth
from models.evaluation.calibration import calibration_figures
from models.evaluation.judged import Figures, Judged, ratio
from models.evaluation.metrics import auroc
from models.evaluation.rhythms import known_spans, spans_of
from models.evaluation.served import STEP_S, Served
from models.evaluation.spans import overlap, share, total
from models.signals.windows import HOP_S, WINDOW_S
from models.verdicts import Screening

SCORE, AF = "abnormal", "AFIB"
AF_SHARE = 0.5  # of a window, from which on it is one of AF
WORST = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One window that the annotations can judge."""

    abnormal: bool
    screening: Screening

    @property
    def unreadable(self) -> bool:
        return not (self.screening.quality.readable or self.screening.flagged)

    @property
    def called(self) -> bool:
        """Flagged; an unreadable one is called whatever is wrong."""
        return not self.abnormal if self.unreadable else self.screening.flagged

    @property
    def score(self) -> float:
        """What it ranks by: surely wrong where unreadable, sure where a rule flagged it."""
        if self.unreadable:
            return 0.0 if self.abnormal else 1.0
        return 1.0 if self.screening.rules else self.screening.scores.get(SCORE, 0.0)


def screener_figures(judged: Sequence[Judged]) -> Figures:
    """`screener`: every whole window as served, every 5 s; `back_to_back` every second of them."""
    rows = [(j, rows_of(j, j.served)) for j in judged]
    every = [row for _, of_record in rows for row in of_record]
    return {
        "screener": window_figures(every)
        | {"back_to_back": window_figures(r for _, of_record in rows for r in of_record[::2])},
        "calibration": calibration_figures(
            {"window": _scores(every), "AFIB": [p for j in judged for p in af_scores(j)]}
        ),
        "baselines": _baselines(judged, every),
        "worst": sorted(
            ({"record": j.truth.record, **_wrong(of_record)} for j, of_record in rows),
            key=lambda row: -(row["missed"] + row["false_alarms"]),
        )[:WORST],
        "per_record": [
            {"record": j.truth.record, **window_figures(of_record), **_wrong(of_record)}
            for j, of_record in rows
        ],
    }


def rows_of(j: Judged, served: Served) -> list[Row]:
    """The whole 10 s windows of a record that can be judged."""
    truth, length = Truth(j.truth), round(WINDOW_S * j.served.fs)
    whole = [w for w in served.windows if w.last + 1 - w.first >= length - 1]
    told = [(w, truth(w.first, w.last)) for w in whole]
    return [Row(abnormal=abnormal, screening=w) for w, abnormal in told if abnormal is not None]


def window_figures(rows: Iterable[Row]) -> Figures:
    """Sensitivity, specificity and ranking; AUROC is None without both kinds of windows."""
    every = list(rows)
    truth = np.asarray([row.abnormal for row in every], dtype=np.bool_)
    called = np.asarray([row.called for row in every], dtype=np.bool_)
    ranks = auroc([row.score for row in every], truth)
    return {
        "sensitivity": ratio(int((called & truth).sum()), int(truth.sum())),
        "specificity": ratio(int((~called & ~truth).sum()), int((~truth).sum())),
        "auroc": None if np.isnan(ranks) else round(ranks, 4),
        "windows": len(every),
        "abnormal": int(truth.sum()),
        "unreadable": sum(row.unreadable for row in every),
        "unreadable_abnormal": sum(row.unreadable and row.abnormal for row in every),
    }


def _wrong(rows: Sequence[Row]) -> Figures:
    return {
        "missed": sum(row.abnormal and not row.called for row in rows),
        "false_alarms": sum(row.called and not row.abnormal for row in rows),
    }


def _scores(rows: Iterable[Row]) -> list[tuple[float, bool]]:
    """Of the readable windows: the others have no probability anybody would act on."""
    return [
        (row.screening.scores[SCORE], row.abnormal)
        for row in rows
        if row.screening.quality.readable and SCORE in row.screening.scores
    ]


def af_scores(j: Judged) -> list[tuple[float, bool]]:
    """Each readable window of annotated rhythm, back to back: the mean probability of AF in it (without one,
    the screener's), and whether half of it is AF."""
    af, known = spans_of(j.truth, "AFIB", "AFL"), known_spans(j.truth)
    out = []
    for w in j.served.windows[:: round(WINDOW_S / HOP_S)]:
        span, score = (w.first, w.last), _af_score(j.served, w)
        if score is not None and w.quality.readable and share(span, known) == 1.0:
            out.append((score, total(overlap([span], af)) >= AF_SHARE * total([span])))
    return out


def _af_score(served: Served, window: Screening) -> float | None:
    begin, end = (round(at / served.fs / STEP_S) for at in (window.first, window.last + 1))
    steps = served.rhythm.get(AF, ())[begin:end]
    return float(np.mean(steps)) if steps else window.scores.get(AF)


def _baselines(judged: Sequence[Judged], rows: Sequence[Row]) -> Figures:
    """Without looking: one score for all, always, never; and the same code on zeroes."""

    def of(flagged: Callable[[Row], bool]) -> Figures:
        blind = [
            replace(
                row,
                screening=replace(
                    row.screening,
                    flagged=flagged(row),
                    rules=(),
                    scores={SCORE: 0.5},
                    quality=replace(row.screening.quality, readable=True),
                ),
            )
            for row in rows
        ]
        return _ranked(blind)

    return {
        "constant": of(lambda _: False) | {"sensitivity": None, "specificity": None},
        "never": of(lambda _: False),
        "whole strip": of(lambda _: True),
        "zeroed": _ranked([row for j in judged for row in rows_of(j, j.blind)]),
    }


def _ranked(rows: Sequence[Row]) -> Figures:
    return {k: v for k, v in window_figures(rows).items() if k in {"sensitivity", "specificity", "auroc"}}
