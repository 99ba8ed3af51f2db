"""The screening network: a convolutional stem, a temporal convolutional mixer, two heads.

One lead goes in; a recording's leads are folded into the batch and their logits averaged. Input is
what `models.signals.conditioning.condition` returns: 100 Hz, R wave about 1. One token is 0.32 s.
"""

from __future__ import annotations

from typing import NamedTuple

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.screener.labels import LABELS

WIDTH = 0.75
STEM = (  # (channels before WIDTH, kernel, stride), pairs make a stage
    *((32, 9, 2), (32, 5, 2), (48, 5, 1), (48, 5, 2), (64, 5, 1), (64, 5, 2)),
    *((96, 5, 1), (96, 5, 2), (128, 3, 1), (128, 3, 1)),
)
MIXED = 128
DILATIONS = (1, 2, 4, 8)


class Logits(NamedTuple):
    """Of a batch of leads: window (lead,), tokens (lead, token, label)."""

    window: Tensor
    tokens: Tensor


def _conv(inside: int, outside: int, kernel: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv1d(inside, outside, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm1d(outside),
        nn.ReLU(),
    )


def _stem() -> nn.Sequential:
    layers: list[nn.Module] = []
    inside = 1
    for i, (channels, kernel, stride) in enumerate(STEM):
        outside = int(channels * WIDTH)
        layers.append(_conv(inside, outside, kernel, stride))
        if i % 2 and i > 2:  # after each pair from the second
            layers.append(nn.Dropout(0.1))
        inside = outside
    return nn.Sequential(*layers, _conv(inside, MIXED, 1))


class ScreenerNet(nn.Module):
    """(lead, sample) float32 to `Logits`, a token for every 32 samples begun."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _stem()
        self.mixer = nn.ModuleList(_conv(MIXED, MIXED, 3, dilation=d) for d in DILATIONS)
        self.token_head = nn.Linear(MIXED, len(LABELS))
        self.attention = nn.Linear(MIXED, 1)
        self.window_head = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(3 * MIXED, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, x: Tensor) -> Logits:
        h = self.stem(x[:, None, :])
        for layer in self.mixer:
            h = h + layer(h)
        h = h.transpose(1, 2)
        attended = (torch.softmax(self.attention(h), dim=1) * h).sum(dim=1)
        pooled = torch.cat([h.mean(dim=1), h.amax(dim=1), attended], dim=-1)
        return Logits(self.window_head(pooled)[:, 0], self.token_head(h))


class Calibrated(nn.Module):
    """What is exported: leads averaged, each logit mapped to a probability by its Platt scale and offset."""

    scale: Tensor
    offset: Tensor

    def __init__(self, net: ScreenerNet, scale: tuple[float, ...], offset: tuple[float, ...]) -> None:
        """`scale` and `offset`: the window's first, then one for every label."""
        super().__init__()
        self.net = net
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(lead, sample) to probabilities: window (), tokens (token, label)."""
        logits = self.net(x)
        window = torch.sigmoid(logits.window.mean(dim=0) * self.scale[0] + self.offset[0])
        tokens = torch.sigmoid(logits.tokens.mean(dim=0) * self.scale[1:] + self.offset[1:])
        return window, tokens
