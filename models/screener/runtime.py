"""The trained screener at the edge: ONNX Runtime and numpy, no training code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.anyecg.labels import TOKEN, lead_indices
from models.ecg import Mask, Microvolts
from models.signals.conditioning import condition

WEIGHTS = Path(__file__).with_name("screener.onnx")
LEAST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Calibrated probabilities of one window."""

    window: float  # that it needs a look
    tokens: npt.NDArray[np.float32]  # (token, label)
    token_s: float  # seconds per token; token k begins at k * token_s


class Screener:
    """The network and the threshold that was chosen for it on records it had not learned."""

    labels: tuple[str, ...]
    threshold: float  # on `Scores.window`
    model: str  # "screener/<version> <first 8 hex digits of the file's SHA-256>"
    token_s: float

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
        digest = hashlib.sha256(weights).hexdigest()
        self.model = f"{self.metadata['name']}/{self.metadata['version']} {digest[:8]}"

    def run(
        self, microvolts: Microvolts, fs: float, leads: tuple[str, ...], missing: Mask | None = None
    ) -> Scores:
        """Scores of a window (lead, sample); ValueError if it is shorter than 2 s."""
        if microvolts.shape[1] < LEAST_S * fs:
            raise ValueError(f"{microvolts.shape[1] / fs:.2f} s of signal; the screener needs {LEAST_S} s.")
        x, gain = condition(microvolts, fs, missing)
        x = np.pad(x, ((0, 0), (0, -x.shape[1] % TOKEN)))
        inputs = {"signal": x, "lead": lead_indices(leads), "gain": gain}
        window, tokens = self._session.run(None, inputs)
        return Scores(window=float(window), tokens=tokens, token_s=self.token_s)
