"""The screening network: the small encoder and two heads, one for the window and one for its tokens."""

from __future__ import annotations

from typing import NamedTuple

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.encoder import SMALL, Encoder
from models.screener.labels import LABELS


class Logits(NamedTuple):
    """window (batch,), tokens (batch, token, label)."""

    window: Tensor
    tokens: Tensor


class ScreenerNet(nn.Module):
    """(batch, lead, sample) of 10 s to `Logits`, a token every 0.25 s."""

    def __init__(self) -> None:
        super().__init__()
        width = SMALL.joint[-1]
        self.encoder = Encoder(SMALL)
        self.dropout = nn.Dropout(0.1)
        self.token_head = nn.Linear(width, len(LABELS))
        self.attention = nn.Linear(width, 1)
        self.window_head = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(3 * width, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor) -> Logits:
        h = self.dropout(self.encoder(x, lead, gain).tokens.transpose(1, 2))
        attended = (torch.softmax(self.attention(h), dim=1) * h).sum(dim=1)
        pooled = torch.cat([h.mean(dim=1), h.amax(dim=1), attended], dim=-1)
        return Logits(self.window_head(pooled)[:, 0], self.token_head(h))
