"""Whether a probability means what it says, and what is gained by saying less. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from models.evaluation.judged import Figures
from models.evaluation.metrics import expected_calibration_error

COVERAGES = (0.5, 0.8, 0.9, 0.95, 1.0)


def calibration_figures(scores: dict[str, Sequence[tuple[float, bool]]]) -> Figures:
    """Of (probability, truth) by name: `ece` is the worst of them, `by_score` has each.

    A name without a probability is left out.
    """
    known = {name: rows for name, rows in scores.items() if rows}
    by_score = {name: _of(rows) for name, rows in known.items()}
    eces = [figures["ece"] for figures in by_score.values()]
    return {"ece": max(eces) if eces else None, "by_score": by_score}


def _of(rows: Sequence[tuple[float, bool]]) -> Figures:
    p, truth = np.asarray([p for p, _ in rows]), np.asarray([t for _, t in rows], dtype=np.bool_)
    return {
        "ece": round(expected_calibration_error(p, truth), 4),
        "scores": len(rows),
        "mean": round(float(p.mean()), 4),
        "share": round(float(truth.mean()), 4),
        "risk_at_coverage": risk_coverage(np.maximum(p, 1 - p), (p >= 0.5) == truth),
    }


def risk_coverage(sure: Iterable[float], right: Iterable[bool]) -> dict[str, float]:
    """Share of errors among the surest 50, 80, 90, 95 and 100 % of the answers."""
    certain = np.asarray(list(sure), dtype=np.float64)
    errors = ~np.asarray(list(right), dtype=np.bool_)[np.argsort(-certain, kind="stable")]
    counts = [max(1, round(coverage * len(errors))) for coverage in COVERAGES]
    return {
        f"{coverage:g}": round(float(errors[:count].mean()), 4)
        for coverage, count in zip(COVERAGES, counts, strict=True)
    }
