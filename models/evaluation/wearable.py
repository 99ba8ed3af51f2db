"""The gate on a wearable under motion: the set is for this alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.dataset.noisy import Graded, wearable_motion
from models.evaluation.gated import hear, mean_indices, ranking, share_of, single
from models.signals.quality import PIECE_S, piece_odds
from models.signals.windows import WINDOW_S

Figures = dict[str, Any]
GRADES = (1, 2, 3, 4)


def wearable_figures(data: Path) -> Figures:
    """Per grade of 2 s, gated: those 2 s in the light of the 10 s around them ("in 10 s"), those 2 s alone,
    the 10 s around them as one window, and of these windows the ones of one grade throughout.
    """
    rows = [row for record in wearable_motion(data) for row in _graded(record)]
    grade = np.asarray([row["grade"] for row in rows])
    whole = [row for row in rows if row["whole"]]
    clear = (grade == 1) | (grade == 4)
    index = np.stack([row["indices"] for row in rows])
    return {
        **{name: _by_grade(rows, name) for name in ("in 10 s", "alone", "10 s around")},
        "10 s of one grade": _by_grade(whole, "10 s around"),
        "10 s of one grade with a rule": _by_grade(whole, "rule"),
        **{f"in 10 s by {by}": _grouped(rows, by, "in 10 s") for by in ("electrode", "activity", "subject")},
        "10 s of one grade by electrode": _grouped(whole, "electrode", "10 s around"),
        "auroc 4 against 1": ranking(np.asarray([row["odds"] for row in rows])[clear], grade[clear] == 4),
        "auroc of single indices": single(index[clear], grade[clear] == 4),
    }


def _graded(record: Graded) -> Iterator[Figures]:
    half = round(WINDOW_S * record.fs / 2)
    length = record.microvolts.shape[1]
    for first, last, grade in record.grades:
        middle = (first + last + 1) // 2
        centre = int(np.clip(middle, half, max(half, length - half)))
        a, b = max(0, centre - half), min(length, centre + half)
        x = record.microvolts[:, a:b]
        odds = piece_odds(x[0], record.fs, np.zeros(b - a, dtype=np.bool_))
        mine = float(odds[min(int((middle - a) / (PIECE_S * record.fs)), len(odds) - 1)])
        around = hear(x, record.fs, rules=True)
        yield {
            "grade": grade,
            "odds": mine,
            "in 10 s": mine >= 0,
            "alone": hear(record.microvolts[:, first : last + 1], record.fs).gated,
            "10 s around": around.gated,
            "rule": bool(around.rules),
            "whole": {g for f, z, g in record.grades if z >= a and f < b} == {grade},
            "electrode": record.electrode,
            "activity": record.activity,
            "subject": record.subject,
            "indices": mean_indices(x, record.fs),
        }


def _by_grade(rows: Sequence[Figures], name: str) -> Figures:
    held = {g: [row[name] for row in rows if row["grade"] == g] for g in GRADES}
    return {str(g): {"windows": len(gated), "share": share_of(gated)} for g, gated in held.items()}


def _grouped(rows: Sequence[Figures], by: str, name: str) -> Figures:
    groups = sorted({row[by] for row in rows})
    return {group: _by_grade([row for row in rows if row[by] == group], name) for group in groups}
