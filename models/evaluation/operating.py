"""Calibration and thresholds of the screener, chosen on held-out scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from models.evaluation.held_out import HeldOut
from models.evaluation.metrics import Floats, f1_curve, platt, sigmoid, threshold_at
from models.screener.labels import LABELS
from models.screener.tracks import S_BEAT, V_BEAT

Scored = tuple[Floats, npt.NDArray[np.bool_]]  # scores and truth
SPECIFICITY = 0.88  # of clean windows of one lead, where the window threshold stands
GRID = np.linspace(0.02, 0.98, 97)
TOKEN_SOURCES = {  # whose tokens choose a label's calibration and threshold: each source counts the same
    "S": ("mitdb", "svdb"),
    "V": ("mitdb", "svdb"),
    "AFIB": ("mitdb", "cpsc2021"),
    "VF": ("mitdb", "cudb-vf", "vfdb"),
    "RHYTHM": ("mitdb",),
}
# CPSC's three AF patients are in AF nearly throughout: every low threshold looks good there
THRESHOLD_SOURCES = {**TOKEN_SOURCES, "AFIB": ("mitdb",)}
BEAT_SLACK = (
    0.01  # of F1: the lowest threshold this close to the best, a missed beat costs more than a false one
)
CLEAN = "clean, lead 0"
CHOSEN = (
    "held-out scores of patient-grouped folds: window at specificity 0.88 on clean lead-0 windows of MIT-BIH "
    "DS1; tokens at the largest F1, beats at the lowest threshold within 0.01 of it, mean over the databases"
)


def operating_point(records: Sequence[HeldOut]) -> dict[str, Any]:
    """JSON of `models.screener.export.Operating`."""
    ds1 = [r for r in records if r.source == "mitdb"]
    logits, truth = windows_of(ds1, CLEAN)
    fits = [platt(logits, truth)]
    token_thresholds = {}
    for label in LABELS:
        groups = [tokens_of(records, source, label) for source in TOKEN_SOURCES[label]]
        fits.append(_fit(groups))
        chosen = [tokens_of(records, source, label) for source in THRESHOLD_SOURCES[label]]
        token_thresholds[label] = _best([(calibrated(x, fits[-1]), t) for x, t in chosen])
    beat_thresholds = {
        label: _best([beats_of(records, s, column, fits[1 + column]) for s in ("mitdb", "svdb")], BEAT_SLACK)
        for column, label in enumerate(("S", "V"))
    }
    return {
        "scale": [round(scale, 4) for scale, _ in fits],
        "offset": [round(offset, 4) for _, offset in fits],
        "threshold": round(threshold_at(calibrated(logits, fits[0]), truth, SPECIFICITY), 4),
        "token_thresholds": token_thresholds,
        "beat_thresholds": beat_thresholds,
        "chosen": CHOSEN,
    }


def windows_of(records: Sequence[HeldOut], name: str) -> Scored:
    """Logits and truth of the windows somebody can judge."""
    known = [np.isfinite(r.windows.abnormal) for r in records]
    logits = [r.windows.logits[name][k] for r, k in zip(records, known, strict=True)]
    return np.concatenate(logits), np.concatenate(
        [r.windows.abnormal[k] > 0 for r, k in zip(records, known, strict=True)]
    )


def tokens_of(records: Sequence[HeldOut], source: str, label: str) -> Scored:
    column = LABELS.index(label)
    logits, truth = [np.empty(0)], [np.empty(0, dtype=np.bool_)]
    for r in records:
        if r.source == source:
            known = r.stretches.known[:, column] > 0
            logits.append(r.stretches.tokens[known, column])
            truth.append(r.stretches.wanted[known, column] > 0)
    return np.concatenate(logits), np.concatenate(truth)


def beats_of(records: Sequence[HeldOut], source: str, column: int, fit: tuple[float, float]) -> Scored:
    """Calibrated probability and truth of S (column 0) or V (1) at annotated R peaks."""
    held = [r.stretches for r in records if r.source == source]
    if not held:
        return np.empty(0), np.empty(0, dtype=np.bool_)
    kinds = np.concatenate([s.kinds for s in held])
    truth = kinds == S_BEAT if column == 0 else kinds >= V_BEAT
    return calibrated(np.concatenate([s.beats[:, column] for s in held]), fit), truth


def _fit(groups: Sequence[Scored]) -> tuple[float, float]:
    """Platt's scale and offset over all groups; the identity where no record holds the label."""
    logits, truth = np.concatenate([x for x, _ in groups]), np.concatenate([t for _, t in groups])
    return platt(logits, truth) if truth.any() else (1.0, 0.0)


def _best(groups: Sequence[Scored], slack: float = 0.0) -> float:
    """The lowest threshold within `slack` of the largest mean F1 of groups with positives; 0.5 without."""
    curves = [f1_curve(p, truth, GRID) for p, truth in groups if truth.any()]
    if not curves:
        return 0.5
    f1 = np.mean(curves, axis=0)
    return round(float(GRID[int(np.argmax(f1 >= f1.max() - slack))]), 3)


def calibrated(logits: Floats, fit: tuple[float, float]) -> Floats:
    return sigmoid(fit[0] * logits + fit[1])
