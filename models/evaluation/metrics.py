"""Ranking, thresholds and calibration of a score against yes/no truth. numpy only."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Truth = npt.NDArray[np.bool_]
TINY = 1e-7


def auroc(score: npt.ArrayLike, truth: npt.ArrayLike) -> float:
    """Chance that a positive scores higher than a negative, ties half; nan without both classes."""
    s, t = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    positives, negatives = int(t.sum()), int((~t).sum())
    if not positives or not negatives:
        return float("nan")
    _, place, count = np.unique(s, return_inverse=True, return_counts=True)
    rank = (np.cumsum(count) - (count - 1) / 2)[place]
    return float((rank[t].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def sensitivity(score: npt.ArrayLike, truth: npt.ArrayLike, threshold: float) -> float:
    """Share of the positives at or over the threshold; nan without one."""
    s, t = np.asarray(score), np.asarray(truth, dtype=np.bool_)
    return float((s[t] >= threshold).mean()) if t.any() else float("nan")


def specificity(score: npt.ArrayLike, truth: npt.ArrayLike, threshold: float) -> float:
    """Share of the negatives below the threshold; nan without one."""
    s, t = np.asarray(score), np.asarray(truth, dtype=np.bool_)
    return float((s[~t] < threshold).mean()) if (~t).any() else float("nan")


def threshold_at(score: npt.ArrayLike, truth: npt.ArrayLike, specificity: float) -> float:
    """The threshold that lets this share of the negatives stay below."""
    s, t = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    return float(np.quantile(s[~t], specificity))


def f1_curve(score: npt.ArrayLike, truth: npt.ArrayLike, thresholds: npt.ArrayLike) -> Floats:
    """F1 at each threshold; 0 where nothing is right."""
    s, t = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    at = np.asarray(thresholds, dtype=np.float64)
    right = t.sum() - np.searchsorted(np.sort(s[t]), at)
    called = len(s) - np.searchsorted(np.sort(s), at)
    return np.asarray(2 * right / np.maximum(called + t.sum(), 1), dtype=np.float64)


def expected_calibration_error(probability: npt.ArrayLike, truth: npt.ArrayLike, bins: int = 10) -> float:
    """Mean over equally wide bins of |share of positives - mean probability|, weighted by their sizes."""
    p, t = np.asarray(probability, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    held = np.minimum((p * bins).astype(np.int64), bins - 1)
    gap = np.bincount(held, t - p, minlength=bins)
    return float(np.abs(gap).sum() / len(p))


def logit(probability: npt.ArrayLike) -> Floats:
    p = np.clip(np.asarray(probability, dtype=np.float64), TINY, 1 - TINY)
    return np.asarray(np.log(p / (1 - p)))


def sigmoid(x: npt.ArrayLike) -> Floats:
    return np.asarray(1 / (1 + np.exp(-np.asarray(x, dtype=np.float64))))


def platt(logits: npt.ArrayLike, truth: npt.ArrayLike) -> tuple[float, float]:
    """(scale, offset) of the logistic fit to the logits, by Newton steps with Platt's soft targets.

    Platt, Advances in Large Margin Classifiers, 1999.
    """
    x, t = np.asarray(logits, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    soft = np.where(t, (t.sum() + 1) / (t.sum() + 2), 1 / ((~t).sum() + 2))
    design = np.stack([x, np.ones_like(x)])
    weights = np.asarray([1.0, 0.0])
    for _ in range(50):
        p = sigmoid(weights @ design)
        slope = design @ (p - soft)
        curve = (design * (p * (1 - p))) @ design.T + 1e-9 * np.eye(2)
        weights = weights - np.clip(np.linalg.solve(curve, slope), -1, 1)
    return float(weights[0]), float(weights[1])
