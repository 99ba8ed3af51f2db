"""The edge's verdict on one window: quality first, then the network, then the rules that never silence."""

from __future__ import annotations

import numpy as np

from models.ecg import Window
from models.screener.runtime import Screener
from models.signals.quality import assess, never_silence
from models.verdicts import Screening

MIN_SIGNAL_S = 2.0  # less than this and the network is not asked
ABNORMAL = "abnormal"


class WindowScreener:
    """Callable: `Window -> Screening`. Holds the network, nothing of the stream.

    A readable window is flagged by the network's calibrated score; any window, readable or not, by the
    rules for asystole and fibrillation. An unreadable window is never "normal": it is neither.
    """

    def __init__(self, network: Screener) -> None:
        self._network = network

    def __call__(self, window: Window) -> Screening:
        quality = assess(window)
        rules = never_silence(window)
        scores = self._scores(window)
        abnormal = quality.readable and scores.get(ABNORMAL, 0.0) >= self._network.threshold
        return Screening(
            first=window.first,
            last=window.last,
            scores=scores,
            quality=quality,
            flagged=abnormal or bool(rules),
            rules=rules,
            model=self._network.model,
        )

    def _scores(self, window: Window) -> dict[str, float]:
        """The window's own probability and each label's highest token; empty where nothing can be heard."""
        on = [i for i, lead in enumerate(window.leads) if lead not in window.lead_off]
        if not on or np.sum(~window.missing) < MIN_SIGNAL_S * window.fs:
            return {}
        leads = tuple(window.leads[i] for i in on)
        scores = self._network.run(window.microvolts[on], window.fs, leads, window.missing)
        highest = scores.tokens.max(axis=0)
        by_label = zip(self._network.labels, highest, strict=True)
        return {ABNORMAL: round(float(scores.window), 4)} | {k: round(float(v), 4) for k, v in by_label}
