"""The gate's small network: indices of a piece in, log odds that it is unreadable out. numpy only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
SHIPPED = Path(__file__).with_name("gate.json")
CLIP = 4.0  # standard deviations: what nothing taught is not extrapolated


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One hidden layer of tanh units over standardized indices."""

    mean: Floats  # (index,)
    scale: Floats  # (index,)
    hidden: Floats  # (index, unit)
    bias: Floats  # (unit,)
    output: Floats  # (unit,)
    offset: float
    threshold: float  # log odds at and over which a window, the mean of its pieces, is unreadable

    def __call__(self, indices: Floats) -> Floats:
        """(piece,) log odds of `indices` (piece, index)."""
        x = np.clip((indices - self.mean) / self.scale, -CLIP, CLIP)
        return np.asarray(np.tanh(x @ self.hidden + self.bias) @ self.output + self.offset)


def gate_of(made: Mapping[str, Any]) -> Gate:
    """From what `models.quality.fit` wrote."""
    arrays = {name: np.asarray(made[name]) for name in ("mean", "scale", "hidden", "bias", "output")}
    return Gate(**arrays, offset=made["offset"], threshold=made["threshold"])


@cache
def shipped() -> Gate:
    return gate_of(json.loads(SHIPPED.read_text()))
