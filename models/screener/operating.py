"""Calibration and threshold of the screener, chosen on windows of records the network had not learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch  # noqa: TID251 - a training file

from models.dataset.annotated import DS1
from models.dataset.tracks import Track
from models.evaluation.metrics import Floats, platt, sigmoid, threshold_at
from models.screener.batches import WINDOW, targets
from models.screener.labels import LABELS
from models.screener.net import ScreenerNet
from models.signals.conditioning import NETWORK_FS, scaled

HOP = WINDOW // 2
AT_ONCE = 64
SPECIFICITY = 0.90
CHOSEN = (
    "windows of patient-grouped folds, clean, all leads: Platt's scale and offset on MIT-BIH DS1 and SVDB, "
    "the threshold where 0.90 of the normal windows of MIT-BIH DS1 (of SVDB without it) stay below it"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One record's windows by a network that left it out."""

    record: str
    window: Floats  # (window,) logits
    abnormal: Floats  # (window,) 1, 0, or nan where nobody can say
    tokens: Floats  # (token, label) logits
    wanted: Floats  # (token, label)
    known: Floats  # (token, label)


def held_out(net: ScreenerNet, track: Track) -> HeldOut:
    """Every 10 s, hop 5 s, of all leads."""
    starts = range(0, track.signal.shape[1] - WINDOW + 1, HOP)
    windows, tokens = [], []
    for i in range(0, len(starts), AT_ONCE):
        rows = [scaled(track.signal[:, s : s + WINDOW]) for s in starts[i : i + AT_ONCE]]
        x, gain = (torch.from_numpy(np.stack(column)) for column in zip(*rows, strict=True))
        with torch.no_grad():
            logits = net(x, torch.zeros(gain.shape, dtype=torch.long), gain)
        windows.append(logits.window.numpy())
        tokens.append(logits.tokens.flatten(0, 1).numpy())
    found = [targets(track, s / NETWORK_FS, WINDOW) for s in starts]
    return HeldOut(
        record=track.record,
        window=np.concatenate(windows).astype(np.float64),
        abnormal=np.asarray([t.abnormal for t in found]),
        tokens=np.concatenate(tokens).astype(np.float64),
        wanted=np.concatenate([t.tokens for t in found]).astype(np.float64),
        known=np.concatenate([t.known for t in found]).astype(np.float64),
    )


def operating_point(rows: Sequence[HeldOut]) -> dict[str, Any]:
    """What `models.screener.export.export` writes beside the weights."""
    window, abnormal = _judged(rows)
    fits = [platt(window, abnormal)]
    for i in range(len(LABELS)):
        known = np.concatenate([r.known[:, i] > 0 for r in rows])
        logits = np.concatenate([r.tokens[:, i] for r in rows])[known]
        truth = np.concatenate([r.wanted[:, i] > 0 for r in rows])[known]
        fits.append(platt(logits, truth) if truth.any() else (1.0, 0.0))
    ds1 = [r for r in rows if r.record.removeprefix("mitdb/") in DS1] or rows
    threshold = threshold_at(*_judged(ds1), SPECIFICITY)
    return {
        "scale": [round(scale, 4) for scale, _ in fits],
        "offset": [round(offset, 4) for _, offset in fits],
        "threshold": round(float(sigmoid(fits[0][0] * threshold + fits[0][1])), 4),
        "chosen": CHOSEN,
    }


def _judged(rows: Sequence[HeldOut]) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Logits and truth of the windows somebody can judge."""
    known = [np.isfinite(r.abnormal) for r in rows]
    return (
        np.concatenate([r.window[k] for r, k in zip(rows, known, strict=True)]),
        np.concatenate([r.abnormal[k] > 0 for r, k in zip(rows, known, strict=True)]),
    )
