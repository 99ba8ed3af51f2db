"""The screener's figures: by networks that had not learned the record they are scored on.

`anyecg evaluate screener` prints the shipped figures, made by `anyecg train screener`.
Thresholds and calibration are chosen on the same held-out scores; the `cross-fitted` rows choose them
without the fold they are applied to, and so carry no optimism from that choice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import RecordingError
from models.evaluation.held_out import HeldOut, held_out, held_out_strips
from models.evaluation.metrics import (
    Floats,
    auroc,
    expected_calibration_error,
    platt,
    sensitivity,
    specificity,
    threshold_at,
)
from models.evaluation.operating import (
    CLEAN,
    SPECIFICITY,
    TOKEN_SOURCES,
    calibrated,
    operating_point,
    tokens_of,
    windows_of,
)
from models.screener.labels import LABELS
from models.screener.tracks import S_BEAT, V_BEAT

PREEXCITED = "mitdb/230"  # the only patient with pre-excitation: held out, nothing taught it
SHIPPED = Path(__file__).parents[1] / "screener" / "figures.json"


def evaluate(data: Path | None = None, training: Path | None = None) -> dict[str, Any]:
    """The shipped figures, or with both arguments those of a training, recomputed from the records."""
    if data is None or training is None:
        if not SHIPPED.is_file():
            raise RecordingError(f"{SHIPPED} is missing; train the screener and copy its figures.json there.")
        return dict(json.loads(SHIPPED.read_text()))
    return held_out_figures(data, training)


def held_out_figures(data: Path, training: Path) -> dict[str, Any]:
    """Operating point and figures of a finished training."""
    records = list(held_out(data, training))
    point = operating_point(records)
    ds1 = [r for r in records if r.source == "mitdb"]
    return {
        "operating": point,
        "windows": {name: window_figures(ds1, name, point) for name in ds1[0].windows.logits}
        | {
            "clean, lead 0, without 230": window_figures(
                [r for r in ds1 if r.record != PREEXCITED], CLEAN, point
            ),
            "svdb clean, lead 0": window_figures([r for r in records if r.source == "svdb"], CLEAN, point),
        },
        "cross-fitted": cross_fitted(ds1),
        "baselines": baselines(ds1),
        "baselines without 230": baselines([r for r in ds1 if r.record != PREEXCITED]),
        "beats": {s: beat_figures([r for r in records if r.source == s], point) for s in ("mitdb", "svdb")},
        "tokens": {label: token_figures(records, label, point) for label in LABELS},
        "strips": strip_figures(list(held_out_strips(data, training)), point),
    }


def window_figures(records: Sequence[HeldOut], name: str, point: Mapping[str, Any]) -> dict[str, Any]:
    """Ranking and, at the shipped threshold, sensitivity and specificity: pooled and per record."""
    fit = point["scale"][0], point["offset"][0]
    rows = []
    for r in records:
        p, truth = _judged(r, name, fit)
        alarms = p >= point["threshold"]
        rows.append(
            {
                "record": r.record,
                "windows": len(p),
                "abnormal": int(truth.sum()),
                "missed": int((truth & ~alarms).sum()),
                "false_alarms": int((alarms & ~truth).sum()),
            }
        )
    judged = [_judged(r, name, fit) for r in records]
    p, truth = np.concatenate([x for x, _ in judged]), np.concatenate([t for _, t in judged])
    return {
        "windows": len(p),
        "abnormal": int(truth.sum()),
        "auroc": _round(auroc(p, truth)),
        "sensitivity": _round(sensitivity(p, truth, point["threshold"])),
        "specificity": _round(specificity(p, truth, point["threshold"])),
        "sensitivity_at_0.88": _round(sensitivity(p, truth, threshold_at(p, truth, SPECIFICITY))),
        "ece": _round(expected_calibration_error(p, truth)),
        "records": rows,
    }


def cross_fitted(records: Sequence[HeldOut]) -> dict[str, float | None]:
    """Clean lead 0, threshold and Platt fit of each fold chosen on the other folds."""
    hits: list[Floats] = []
    probabilities, truths = [], []
    for fold in sorted({r.fold for r in records}):
        x, t = windows_of([r for r in records if r.fold != fold], CLEAN)
        fit, threshold = platt(x, t), threshold_at(x, t, SPECIFICITY)
        held, truth = windows_of([r for r in records if r.fold == fold], CLEAN)
        hits.append((held >= threshold).astype(np.float64))
        probabilities.append(calibrated(held, fit))
        truths.append(truth)
    alarm, p, truth = np.concatenate(hits), np.concatenate(probabilities), np.concatenate(truths)
    return {
        "sensitivity": _round(sensitivity(alarm, truth, 0.5)),
        "specificity": _round(specificity(alarm, truth, 0.5)),
        "ece": _round(expected_calibration_error(p, truth)),
    }


def baselines(records: Sequence[HeldOut]) -> dict[str, dict[str, float | None]]:
    """What is reached without the shape of the ECG, on the clean windows of lead 0."""
    known = [np.isfinite(r.windows.abnormal) for r in records]
    truth = np.concatenate([r.windows.abnormal[k] > 0 for r, k in zip(records, known, strict=True)])
    rate = np.concatenate([r.windows.rate[k] for r, k in zip(records, known, strict=True)])
    irregular = np.concatenate([r.windows.irregularity[k] for r, k in zip(records, known, strict=True)])
    scores = {
        "blind: one constant, the network on a zeroed ECG": np.zeros(len(truth)),
        "heart rate only: distance from 75 per minute": np.abs(np.log(np.maximum(rate, 1) / 75)),
        "RR intervals only: largest change over the median": irregular,
    }
    return {
        name: {
            "auroc": _round(auroc(s, truth)),
            "sensitivity": _round(float((s[truth] > threshold_at(s, truth, SPECIFICITY)).mean())),
        }
        for name, s in scores.items()
    }


def beat_figures(records: Sequence[HeldOut], point: Mapping[str, Any]) -> dict[str, Any]:
    """S and V (with F) at the peaks `r_peaks` found; annotated beats it missed count as missed."""
    counts = [_called(r, point) for r in records]
    totals = {key: sum(row[key] for row in counts) for key in counts[0]}
    pooled = {}
    for label in ("S", "V"):
        true, called, right = (totals[f"{label}_{what}"] for what in ("true", "called", "right"))
        pooled[label] = {
            "beats": true,
            "sensitivity": _round(right / max(1, true)),
            "ppv": _round(right / max(1, called)),
            "f1": _round(2 * right / max(1, true + called)),
        }
    return {
        **pooled,
        "records": [{"record": r.record, **row} for r, row in zip(records, counts, strict=True)],
    }


def _called(r: HeldOut, point: Mapping[str, Any]) -> dict[str, int]:
    s, v = (
        calibrated(r.stretches.found[:, i], (point["scale"][1 + i], point["offset"][1 + i]))
        / point["beat_thresholds"][label]
        for i, label in enumerate(("S", "V"))
    )
    as_v, as_s = (v >= 1) & (v >= s), (s >= 1) & (s > v)
    true, found = r.stretches.kinds, r.stretches.found_kinds
    return {
        "S_true": int((true == S_BEAT).sum()),
        "S_called": int(as_s.sum()),
        "S_right": int((as_s & (found == S_BEAT)).sum()),
        "V_true": int((true >= V_BEAT).sum()),
        "V_called": int(as_v.sum()),
        "V_right": int((as_v & (found >= V_BEAT)).sum()),
    }


def token_figures(records: Sequence[HeldOut], label: str, point: Mapping[str, Any]) -> dict[str, Any]:
    """Per 0.32 s at the shipped threshold, database by database, with how many patients hold the label."""
    column = 1 + LABELS.index(label)
    fit, threshold = (point["scale"][column], point["offset"][column]), point["token_thresholds"][label]
    figures: dict[str, Any] = {}
    for source in TOKEN_SOURCES[label]:
        x, truth = tokens_of(records, source, label)
        p = calibrated(x, fit)
        called = p >= threshold
        figures[source] = {
            "tokens": int(truth.sum()),
            "records": sum(
                bool(tokens_of([r], source, label)[1].any()) for r in records if r.source == source
            ),
            "auroc": _round(auroc(p, truth)),
            "sensitivity": _round(sensitivity(p, truth, threshold)),
            "specificity": _round(specificity(p, truth, threshold)),
            "ppv": _round(float(truth[called].mean()) if called.any() else float("nan")),
        }
    return figures


def _judged(r: HeldOut, name: str, fit: tuple[float, float]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    logits, truth = windows_of([r], name)
    return calibrated(logits, fit), truth


def strip_figures(strips: Sequence[tuple[str, Floats]], point: Mapping[str, Any]) -> dict[str, Any]:
    """AF or not on CinC 2017: a strip is called AF if its mean P(AFIB) reaches the token threshold."""
    column = 1 + LABELS.index("AFIB")
    fit, threshold = (point["scale"][column], point["offset"][column]), point["token_thresholds"]["AFIB"]
    kinds = np.asarray([kind for kind, _ in strips])
    means = np.asarray([calibrated(x, fit).mean() for _, x in strips])
    called = {kind: float((means[kinds == kind] >= threshold).mean()) for kind in ("A", "N", "O")}
    certain = kinds != "O"
    return {
        "strips": {kind: int((kinds == kind).sum()) for kind in called},
        "called_af": {kind: _round(share) for kind, share in called.items()},
        "auroc": _round(auroc(means[certain], kinds[certain] == "A")),
    }


def _round(x: float) -> float | None:
    """None where there was nothing to count."""
    return None if np.isnan(x) else round(float(x), 4)
