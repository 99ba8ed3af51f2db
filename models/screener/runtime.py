"""The trained screener at the edge and in the cloud: ONNX Runtime and numpy, no training code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.ecg import Mask, Microvolts
from models.screener.labels import NEIGHBOUR_S
from models.signals.conditioning import condition

WEIGHTS = Path(__file__).with_name("screener.onnx")
LEAST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Calibrated probabilities of one stretch."""

    window: float  # that it needs a look
    tokens: npt.NDArray[np.float32]  # (token, label)
    token_s: float  # seconds per token; token k begins at k * token_s


class Screener:
    """The network and the thresholds that were chosen for it.

    `threshold` is on `Scores.window`, `token_thresholds` on its tokens, `beat_thresholds` (S, V) on
    `beat_probabilities`; all were chosen on records the network had not learned.
    """

    labels: tuple[str, ...]
    threshold: float
    model: str  # "screener/<version> <first 8 hex digits of the file's SHA-256>"
    token_s: float
    token_thresholds: Mapping[str, float]
    beat_thresholds: Mapping[str, float]

    def __init__(self, path: Path | None = None) -> None:
        """Loads the shipped weights, or those at `path`."""
        weights = (path or WEIGHTS).read_bytes()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(weights, options, providers=["CPUExecutionProvider"])
        self.metadata: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        self.labels = tuple(json.loads(self.metadata["labels"]))
        self.threshold = float(self.metadata["threshold"])
        self.token_s = float(self.metadata["token_s"])
        self.token_thresholds = json.loads(self.metadata["token_thresholds"])
        self.beat_thresholds = json.loads(self.metadata["beat_thresholds"])
        digest = hashlib.sha256(weights).hexdigest()
        self.model = f"{self.metadata['name']}/{self.metadata['version']} {digest[:8]}"

    def run(self, microvolts: Microvolts, fs: float, missing: Mask | None = None) -> Scores:
        """Scores of a stretch (lead, sample); ValueError if it is shorter than 2 s."""
        if microvolts.shape[1] < LEAST_S * fs:
            raise ValueError(f"{microvolts.shape[1] / fs:.2f} s of signal; the screener needs {LEAST_S} s.")
        window, tokens = self._session.run(None, {"signal": condition(microvolts, fs, missing)})
        return Scores(window=float(window), tokens=tokens, token_s=self.token_s)

    def beat_probabilities(self, scores: Scores, offsets_s: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """(beat, 2): P(S) and P(V) of each R peak, seconds from the stretch's start.

        Of the token that holds it, and of the neighbour where the peak is within 60 ms of it.
        """
        columns = [self.labels.index("S"), self.labels.index("V")]
        at = np.asarray(offsets_s, dtype=np.float64)
        last = len(scores.tokens) - 1
        early, late = (
            scores.tokens[np.clip(((at + near) / scores.token_s).astype(np.int64), 0, last)][:, columns]
            for near in (-NEIGHBOUR_S, NEIGHBOUR_S)
        )
        return np.maximum(early, late)
