"""The trained screener as one ONNX file: one window at a time, any leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models import onnx_file
from models.anyecg.export import EXAMPLE, SIGNAL
from models.anyecg.labels import TOKEN
from models.screener.labels import LABELS
from models.screener.net import ScreenerNet
from models.signals.conditioning import NETWORK_FS

VERSION = "2"


class Calibrated(nn.Module):
    """(lead, sample), (lead,), (lead,) to probabilities: window (), tokens (token, label).

    Platt's scale and offset are part of the graph.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, net: ScreenerNet, scale: Sequence[float], offset: Sequence[float]) -> None:
        """`scale` and `offset`: the window's first, then one for every label."""
        super().__init__()
        self.net = net
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor) -> tuple[Tensor, Tensor]:
        window, tokens = self.net(x[None], lead[None], gain[None])
        return (
            torch.sigmoid(window[0] * self.scale[0] + self.offset[0]),
            torch.sigmoid(tokens[0] * self.scale[1:] + self.offset[1:]),
        )


def export(net: ScreenerNet, path: Path, operating: Mapping[str, Any], data: str) -> None:
    """Writes `path`; `operating` holds scale, offset, threshold and how they were chosen, `data` the SHA-256
    of what the network learned."""
    onnx_file.export(
        Calibrated(net, operating["scale"], operating["offset"]),
        path,
        EXAMPLE,
        inputs=SIGNAL,
        outputs={"window": (), "tokens": ("token",)},
        metadata={
            "name": "screener",
            "version": VERSION,
            "labels": LABELS,
            "fs": NETWORK_FS,
            "token_s": TOKEN / NETWORK_FS,
            "data_sha256": data,
            "licence": "Apache-2.0",
            **operating,
        },
    )
