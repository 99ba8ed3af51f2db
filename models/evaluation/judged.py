"""A record judged: the truth, what was served, and what the same code said of a zeroed ECG."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from models.dataset.annotated import Annotated
from models.evaluation.served import Served

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`blind` is what the same code said of zeroes; figures on it are what a figure is worth without ECG."""

    truth: Annotated
    served: Served
    blind: Served


def ratio(part: float, whole: float) -> float | None:
    """None where there was nothing to count."""
    return round(part / whole, 4) if whole else None


def f1(se: float | None, ppv: float | None) -> float | None:
    """Harmonic mean; 0 where nothing was called, None where there was nothing to find."""
    if se is None:
        return None
    return round(2 * se * ppv / (se + ppv), 4) if ppv and se else 0.0


def mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.median(known)), 4) if known else None
