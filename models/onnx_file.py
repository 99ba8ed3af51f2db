"""A trained network as an ONNX file that carries what a reader of its numbers must know, and nothing else."""

from __future__ import annotations

import io
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251


def export(
    net: nn.Module,
    path: Path,
    example: tuple[Tensor, ...],
    *,
    inputs: Mapping[str, Sequence[str]],
    outputs: Mapping[str, Sequence[str]],
    metadata: Mapping[str, Any],
) -> None:
    """Writes `path`, replacing it as a whole; `inputs` and `outputs` name their leading axes, all dynamic.

    Values of `metadata` that are not text are written as JSON. The older exporter is used because the newer
    one fixes the length of a GRU's sequence to the example's (torch 2.13).
    """
    import onnx

    raw = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns of its own age
        torch.onnx.export(
            net.eval(),
            example,
            raw,  # type: ignore[arg-type]  # a file object does as well
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes={name: dict(enumerate(axes)) for name, axes in {**inputs, **outputs}.items()},
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load_model_from_string(raw.getvalue())
    _forget_origin(model)
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(value)
    onnx.checker.check_model(model)
    staging = path.with_suffix(".new")
    onnx.save_model(model, str(staging))
    staging.replace(path)


def _forget_origin(model: Any) -> None:
    """The exporter writes where each node was made; the same weights shall be the same bytes anywhere."""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]  # behind a GRU the exporter notes the example's length as the only one
    for part in (*model.graph.node, *model.graph.input, *model.graph.output):
        part.doc_string = ""
        del part.metadata_props[:]
    for function in model.functions:
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
