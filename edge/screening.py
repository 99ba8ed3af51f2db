"""The edge's verdict on one window: quality first, then the network, then the rules that never silence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.ecg import Window, mask_to_spans
from models.screener.runtime import Scores, Screener
from models.signals.quality import assess, never_silence
from models.signals.rpeaks import r_peaks
from models.verdicts import Screening, Seen

MIN_SIGNAL_S = 2.0  # less than this and the network is not asked
ABNORMAL = "abnormal"
LIKELY = 0.5  # calibrated probability of a token from which on a beat or a stretch is counted as such

Offsets = npt.NDArray[np.int64]


class WindowScreener:
    """Callable: `Window -> Screening`. Holds the network, nothing of the stream.

    A readable window is flagged by the network's calibrated score; any window, readable or not, by the
    rules for asystole and fibrillation. An unreadable window is never "normal": it is neither.
    """

    def __init__(self, network: Screener) -> None:
        self._network = network

    def __call__(self, window: Window) -> Screening:
        quality = assess(window)
        on = [i for i, lead in enumerate(window.leads) if lead not in window.lead_off]
        clean = [i for i in on if window.leads[i] not in quality.reasons]
        beats = _beats(window, on)
        rules = never_silence(window, beats)
        scores = self._scores(window, on)
        said = self._said(scores)
        abnormal = quality.readable and said.get(ABNORMAL, 0.0) >= self._network.threshold
        seen = None
        if quality.readable and scores is not None and "chaos" not in rules:
            seen = self._seen(window, beats if clean == on else _beats(window, clean), scores)
        return Screening(
            first=window.first,
            last=window.last,
            scores=said,
            quality=quality,
            flagged=abnormal or bool(rules),
            rules=rules,
            model=self._network.model,
            seen=seen,
        )

    def _scores(self, window: Window, on: Sequence[int]) -> Scores | None:
        """None where nothing can be heard."""
        if not on or np.sum(~window.missing) < MIN_SIGNAL_S * window.fs:
            return None
        leads = tuple(window.leads[i] for i in on)
        return self._network.run(window.microvolts[on], window.fs, leads, window.missing)

    def _said(self, scores: Scores | None) -> dict[str, float]:
        """The window's own probability and each label's highest token; empty where nothing can be heard."""
        if scores is None:
            return {}
        by_label = zip(self._network.labels, scores.tokens.max(axis=0), strict=True)
        return {ABNORMAL: round(float(scores.window), 4)} | {k: round(float(v), 4) for k, v in by_label}

    def _seen(self, window: Window, beats: Offsets, scores: Scores) -> Seen:
        tokens = dict(zip(self._network.labels, scores.tokens.T, strict=True))
        per_token = scores.token_s * window.fs  # samples
        at = np.minimum(beats / per_token, len(scores.tokens) - 1).astype(np.int64)
        supraventricular, ventricular = tokens["S"][at], tokens["V"][at]
        likely = np.maximum(supraventricular, ventricular) >= LIKELY
        kinds = np.where(likely, np.where(ventricular >= supraventricular, "V", "S"), "N")
        spans = mask_to_spans(tokens["AFIB"] >= LIKELY, 0)
        edges = [(round(first * per_token), round((first + count) * per_token)) for first, count in spans]
        return Seen(
            beats=tuple(zip((window.first + beats).tolist(), kinds.tolist(), strict=True)),
            af=tuple((window.first + a, b - a) for a, b in edges),
        )


def _beats(window: Window, leads: Sequence[int]) -> Offsets:
    if not leads:
        return np.zeros(0, dtype=np.int64)
    return r_peaks(window.microvolts[leads], window.fs, window.missing)
