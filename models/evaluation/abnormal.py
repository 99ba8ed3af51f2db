"""Which 10 s are abnormal: the screener's question, asked of the annotations."""

from __future__ import annotations

import numpy as np

from models.dataset.annotated import Annotated
from models.evaluation.beats import AAMI, Indices
from models.evaluation.rhythms import abnormal_spans, known_spans
from models.evaluation.spans import Span, overlap, share, total

ECTOPIC = frozenset(symbol for symbol, label in AAMI.items() if label in "SVF")
RHYTHM_S = 2.0
PAUSE_S = 2.5
SLOW, FAST = 50.0, 120.0  # /min


class Truth:
    """Callable: `(first, last) -> abnormal`, None where the annotations do not tell.

    Abnormal: the R peak of a ventricular, supraventricular premature or fusion beat, 2 s or more of a rhythm
    other than sinus or pacing, 2.5 s or more without a beat, or a mean rate outside 50 to 120/min. Bundle
    branch block and pacing alone are not. Without annotated beats nothing is normal for sure, and neither is
    a stretch whose rhythm is not annotated in a record where others are.
    """

    def __init__(self, truth: Annotated) -> None:
        self._fs = truth.fs
        self._beats = truth.beats
        self._ectopic = truth.beats[np.isin(truth.symbols, list(ECTOPIC))]
        self._abnormal = abnormal_spans(truth)
        self._told = known_spans(truth) if truth.rhythms else None
        self._has_beats = "beats" in truth.labelled

    def __call__(self, first: int, last: int) -> bool | None:
        window = (first, last)
        if total(overlap([window], self._abnormal)) >= RHYTHM_S * self._fs:
            return True
        if not self._has_beats:
            return None
        if _within(self._ectopic, window).size or self._pause_or_rate(window):
            return True
        return False if self._told is None or share(window, self._told) == 1.0 else None

    def _pause_or_rate(self, window: Span) -> bool:
        beats = _within(self._beats, window)
        gaps = np.diff([window[0], *beats.tolist(), window[1] + 1])
        bpm = 60 * self._fs / np.diff(beats).mean() if len(beats) > 1 else 0.0
        return bool(gaps.max() >= PAUSE_S * self._fs or not SLOW <= bpm <= FAST)


def _within(samples: Indices, window: Span) -> Indices:
    a, b = np.searchsorted(samples, (window[0], window[1] + 1))
    return samples[a:b]
