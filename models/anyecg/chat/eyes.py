"""What a language model sees of an ECG: a content token a second, of any leads and any length.

The encoder of the dense network gives a token every 0.25 s; mean and maximum of a second's tokens are one
content token, standardized over training strips. The encoder is a file of its own, of the dense network
of one fold: the records which that fold left out were learned by neither the encoder nor the language model.
numpy and ONNX Runtime only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from models.anyecg.labels import RHYTHM_TOKENS, TOKEN, lead_indices
from models.ecg import Mask, Microvolts
from models.errors import RecordingError
from models.signals.conditioning import NETWORK_FS, condition

Floats = npt.NDArray[np.float32]
Signal = tuple[Microvolts, float, tuple[str, ...], Mask]  # (lead, sample), Hz, leads, (sample,) missing

ENCODER = Path(__file__).parent / "encoder.onnx"
STRETCH_S, HOP_S, CONTEXT_S = 60, 30, 15  # long signal: stretches of 60 s, each read for its middle 30 s
TOKENS_A_SECOND = round(NETWORK_FS / TOKEN)
LEAST_SD = 0.01  # a channel that hardly ever speaks is not made loud


class Eyes:
    """The shipped encoder or that at `path`; RecordingError where there is none. `sha256` is of its file."""

    def __init__(self, path: Path = ENCODER) -> None:
        if not path.is_file():
            raise RecordingError(f"{path} is missing; make it of a fold's dense.onnx: anyecg train chat.")
        file = path.read_bytes()
        self.sha256 = hashlib.sha256(file).hexdigest()
        try:
            self._net = _Net(file)
            usual = json.loads(self._net.metadata["eyes"])
            self._mean, self._sd = (np.asarray(usual[k], dtype=np.float32) for k in ("mean", "sd"))
        except Exception as error:  # ONNX Runtime's errors have no common type
            raise RecordingError(f"{path} is no encoder as anyecg train chat makes it: {error!r}.") from error

    @property
    def width(self) -> int:
        """Numbers of a content token that are seen; the localizer's chances follow (`cloud/reading.py`)."""
        return len(self._mean)

    def see(
        self, microvolts: Microvolts, fs: float, leads: tuple[str, ...], missing: Mask | None = None
    ) -> Floats:
        """(second, width) of (lead, sample) microvolts; a last second that is not whole counts as one."""
        if not microvolts.size:
            raise ValueError("no sample to be seen")
        nowhere = np.zeros(microvolts.shape[1], dtype=np.bool_) if missing is None else missing
        pooled = self._net.pooled((microvolts, fs, leads, nowhere))
        return np.asarray((pooled - self._mean) / self._sd, dtype=np.float32)


class _Net:
    """An encoder on one thread."""

    def __init__(self, file: bytes) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.metadata = self._session.get_modelmeta().custom_metadata_map

    def pooled(self, strip: Signal) -> Floats:
        """(second, 2 channels): means, then maxima."""
        microvolts, fs, leads, missing = strip
        rows = []
        for first, last, keep in _stretches(microvolts.shape[1] / fs):
            cut = slice(round(first * fs), round(last * fs))
            tokens = self._tokens(microvolts[:, cut], fs, leads, missing[cut])
            rows.append(_by_second(tokens)[keep])
        return np.concatenate(rows)

    def _tokens(self, microvolts: Microvolts, fs: float, leads: tuple[str, ...], missing: Mask) -> Floats:
        """(token, channel), conditioned and padded as the localizer does."""
        x, gain = condition(microvolts, fs, missing)
        padded = np.pad(x, ((0, 0), (0, -x.shape[1] % (TOKEN * RHYTHM_TOKENS))))
        feed = {"signal": padded, "lead": lead_indices(leads), "gain": gain}
        tokens: Floats = self._session.run(["tokens"], feed)[0]
        return tokens[: -(-x.shape[1] // TOKEN)]


def _stretches(seconds: float) -> Iterator[tuple[float, float, slice]]:
    """(first second, last, which of its content tokens count) of the stretches of a signal."""
    first = 0
    while first + STRETCH_S < seconds:
        yield first, first + STRETCH_S, slice(CONTEXT_S if first else 0, STRETCH_S - CONTEXT_S)
        first += HOP_S
    yield first, seconds, slice(CONTEXT_S if first else 0, None)


def _by_second(tokens: Floats) -> Floats:
    """(second, 2 channels) of (token, channel): means, then maxima, of as many tokens as there are."""
    groups = [tokens[i : i + TOKENS_A_SECOND] for i in range(0, len(tokens), TOKENS_A_SECOND)]
    return np.stack([np.concatenate([g.mean(axis=0), g.max(axis=0)]) for g in groups])


def make_encoder(dense: Path, out: Path, strips: Iterable[Signal]) -> None:
    """Writes the encoder of a dense network, with mean and sd of what it sees of training strips."""
    import onnx

    whole = onnx.load_model_from_string(dense.read_bytes())
    names = [value.name for value in whole.graph.input]
    model = onnx.utils.Extractor(whole).extract_model(names, ["tokens"])
    del model.metadata_props[:]
    net = _Net(model.SerializeToString())
    seen = np.concatenate([net.pooled(strip) for strip in strips]).astype(np.float64)
    usual = {"mean": seen.mean(axis=0), "sd": np.maximum(seen.std(axis=0), LEAST_SD)}
    entry = model.metadata_props.add()
    entry.key, entry.value = "eyes", json.dumps({k: np.round(v, 5).tolist() for k, v in usual.items()})
    staging = out.with_suffix(".new")
    staging.write_bytes(model.SerializeToString())
    staging.replace(out)
