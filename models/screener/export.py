"""The trained network as one ONNX file that carries what a reader of its numbers must know."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file

from models.screener.labels import LABELS, TOKEN_S
from models.screener.net import Calibrated, ScreenerNet
from models.signals.conditioning import NETWORK_FS

VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Operating:
    """Calibration and thresholds, on calibrated probabilities; `chosen` says on what they were chosen."""

    scale: tuple[float, ...]  # Platt: the window's, then one for every label
    offset: tuple[float, ...]
    threshold: float  # of the window
    token_thresholds: Mapping[str, float]
    beat_thresholds: Mapping[str, float]  # S and V, at R peaks
    chosen: str

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Operating:
        """From its JSON."""
        numbers = {name: tuple(content[name]) for name in ("scale", "offset")}
        return cls(**{**content, **numbers})


PROVISIONAL = Operating(
    scale=(1.0,) * (1 + len(LABELS)),
    offset=(0.0,) * (1 + len(LABELS)),
    threshold=0.1,
    token_thresholds=dict.fromkeys(LABELS, 0.5),
    beat_thresholds={"S": 0.5, "V": 0.5},
    chosen="not chosen: the network before its cross-validation",
)


def export(net: ScreenerNet, path: Path, operating: Operating, data: str) -> None:
    """Writes `path` (fp32, any number of leads and samples); `data` is the SHA-256 of what it learned."""
    import onnx

    whole = Calibrated(net, operating.scale, operating.offset).eval()
    staging = path.with_suffix(".new")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own internals
        program = torch.onnx.export(
            whole,
            (torch.zeros(2, 1000),),
            input_names=["signal"],
            output_names=["window", "tokens"],
            dynamic_shapes={"x": {0: torch.export.Dim("lead"), 1: torch.export.Dim("sample", min=200)}},
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget_origin(model)
    for key, value in _metadata(operating, data).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.checker.check_model(model)
    onnx.save_model(model, str(staging))
    staging.replace(path)


def _forget_origin(model: Any) -> None:
    """The exporter writes where each node was made; the same weights shall be the same bytes anywhere."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def _metadata(operating: Operating, data: str) -> dict[str, str]:
    return {
        "name": "screener",
        "version": str(VERSION),
        "labels": json.dumps(LABELS),
        "fs": str(NETWORK_FS),
        "token_s": str(TOKEN_S),
        "data_sha256": data,
        "licence": "Apache-2.0",
        **{key: json.dumps(value) for key, value in asdict(operating).items()},
    }
