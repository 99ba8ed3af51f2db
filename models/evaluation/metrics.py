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


def f_curve(
    score: npt.ArrayLike, truth: npt.ArrayLike, thresholds: npt.ArrayLike, beta: float = 1.0
) -> Floats:
    """F-beta at each threshold; 0 where nothing is right. With a beta of 2 a miss weighs four times."""
    s, t = np.asarray(score, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    at = np.asarray(thresholds, dtype=np.float64)
    right = t.sum() - np.searchsorted(np.sort(s[t]), at)
    called = len(s) - np.searchsorted(np.sort(s), at)
    square = beta**2
    return np.asarray((1 + square) * right / np.maximum(called + square * t.sum(), 1), dtype=np.float64)


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
    scale, offset = logistic(np.asarray(logits, dtype=np.float64)[None], truth)
    return scale, offset


def logistic(features: npt.ArrayLike, truth: npt.ArrayLike, weight: npt.ArrayLike = 1.0) -> tuple[float, ...]:
    """Slope of each feature (feature, row) and the offset of the logistic fit, with Platt's soft targets."""
    x, t = np.asarray(features, dtype=np.float64), np.asarray(truth, dtype=np.bool_)
    w = np.asarray(weight, dtype=np.float64)
    soft = np.where(t, (t.sum() + 1) / (t.sum() + 2), 1 / ((~t).sum() + 2))
    design = np.concatenate([x, np.ones((1, x.shape[1]))])
    slopes = np.zeros(len(design))
    for _ in range(50):
        p = sigmoid(slopes @ design)
        gradient = design @ (w * (p - soft))
        curve = (design * (w * p * (1 - p))) @ design.T + 1e-9 * np.eye(len(design))
        slopes = slopes - np.clip(np.linalg.solve(curve, gradient), -1, 1)
    return tuple(slopes.tolist())
