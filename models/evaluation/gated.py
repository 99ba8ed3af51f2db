"""What the gate says of a window, and its indices one by one beside it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.ecg import Microvolts, Window
from models.evaluation.metrics import auroc, logit
from models.signals.indices import INDICES, indices
from models.signals.quality import assess, never_silence


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What the gate says of one window."""

    gated: bool
    odds: float  # log odds of the clearest lead, 0 at the threshold
    worst: float  # of the least clear one
    rules: tuple[str, ...]

    @property
    def silenced(self) -> bool:
        return self.gated and not self.rules


def hear(microvolts: Microvolts, fs: float, *, rules: bool = False) -> Heard:
    """Of a window (lead, sample); `rules` are looked for only where asked for."""
    leads = tuple(str(i) for i in range(len(microvolts)))
    missing = np.zeros(microvolts.shape[1], dtype=np.bool_)
    window = Window(first=0, fs=fs, leads=leads, microvolts=microvolts, missing=missing)
    quality = assess(window)
    odds = logit(np.clip(list(quality.score.values()), 1e-4, 1 - 1e-4))
    return Heard(
        gated=not quality.readable,
        odds=float(odds.min()),
        worst=float(odds.max()),
        rules=never_silence(window) if rules else (),
    )


def mean_indices(microvolts: Microvolts, fs: float) -> npt.NDArray[np.float64]:
    """(index,) of lead 0, the mean over the pieces."""
    missing = np.zeros(microvolts.shape[1], dtype=np.bool_)
    return np.asarray(indices(microvolts[0], fs, missing).mean(axis=0))


def single(index: npt.NDArray[np.float64], bad: npt.ArrayLike) -> dict[str, float | None]:
    """AUROC of each index (row, index) alone; below 0.5 it points the other way."""
    return {name: ranking(index[:, i], bad) for i, name in enumerate(INDICES)}


def ranking(score: npt.ArrayLike, bad: npt.ArrayLike) -> float | None:
    """AUROC, None without both classes."""
    found = auroc(score, bad)
    return None if np.isnan(found) else round(found, 4)


def share_of(held: Iterable[bool] | npt.NDArray[np.bool_]) -> float | None:
    values = np.asarray(list(held), dtype=np.float64)
    return round(float(values.mean()), 4) if len(values) else None
