"""How unlike anything learned a stretch is: its encoder tokens against those of the training records.

Mahalanobis distance of the mean token of 10 s (Lee K et al., NeurIPS 2018), over its median on the training
records: 1 is usual. numpy only; the axes travel in the metadata of `dense.onnx`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.anyecg.labels import TOKEN
from models.signals.conditioning import NETWORK_FS

Floats = npt.NDArray[np.float32]

WINDOW = round(10 * NETWORK_FS / TOKEN)  # tokens: 10 s
SHRINK = 0.05  # of the mean variance, added to every axis: few windows know the small ones
QUANTILE = 0.995  # of the training windows lie below the threshold


@dataclass(frozen=True, slots=True)
class Familiar:
    """`axes` (channel, channel) whiten a mean token less `mean`; `threshold` is on `strangeness`."""

    mean: Floats
    axes: Floats
    usual: float
    threshold: float

    @classmethod
    def of(cls, windows: Floats) -> Familiar:
        """From the mean tokens (window, channel) of training windows."""
        mean = windows.mean(axis=0)
        values, vectors = np.linalg.eigh(np.cov((windows - mean).T))
        axes = vectors / np.sqrt(np.maximum(values, 0) + SHRINK * values.mean())
        distance = np.sqrt((((windows - mean) @ axes) ** 2).mean(axis=1))
        usual = float(np.median(distance))
        return cls(mean, axes.astype(np.float32), usual, float(np.quantile(distance / usual, QUANTILE)))

    @classmethod
    def from_metadata(cls, content: Mapping[str, Any]) -> Familiar:
        mean, axes = (np.asarray(content[k], dtype=np.float32) for k in ("mean", "axes"))
        return cls(mean, axes, float(content["usual"]), float(content["threshold"]))

    def to_metadata(self) -> dict[str, Any]:
        rounded = {"mean": self.mean, "axes": self.axes}
        return {k: np.round(v.astype(np.float64), 4).tolist() for k, v in rounded.items()} | {
            "usual": round(self.usual, 5),
            "threshold": round(self.threshold, 4),
        }

    def strangeness(self, tokens: Floats) -> Floats:
        """(token,) of the 10 s around each; the ends see less, a stretch under 10 s is one window."""
        size = min(WINDOW, len(tokens))
        total = np.cumsum(np.concatenate([np.zeros((1, tokens.shape[1])), tokens]), axis=0)
        first = np.clip(np.arange(len(tokens)) - size // 2, 0, len(tokens) - size)
        means = (total[first + size] - total[first]) / size
        distance = np.sqrt((((means - self.mean) @ self.axes) ** 2).mean(axis=1))
        return np.asarray(distance / self.usual, dtype=np.float32)
