"""The localizer's networks: dense beats, beats as a sequence, and rhythm."""

from __future__ import annotations

from typing import NamedTuple

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.encoder import LARGE, SMALL, Conv, Encoder, Size
from models.anyecg.labels import BEATS, MORPHOLOGY, RHYTHM_TOKENS, RHYTHMS


class Dense(NamedTuple):
    """Logits: `peak` (batch, step) that an R peak is there, `beat` (batch, step, BEATS); and the tokens."""

    peak: Tensor
    beat: Tensor
    tokens: Tensor  # (batch, token, channel)


class DenseNet(nn.Module):
    """Encoder and the way up to a step of 31.25 ms (a U-Net)."""

    def __init__(self, size: Size = LARGE) -> None:
        super().__init__()
        self.encoder = Encoder(size)
        c32, c16, c8, c4 = size.joint
        self.up = nn.ModuleList([Conv(c4 + c8, c8, 3), Conv(c8 + c16, c16, 3), Conv(c16 + c32, 40, 5)])
        self.dropout = nn.Dropout(0.2)
        self.peak = nn.Conv1d(40, 1, 1)
        self.beat = nn.Conv1d(40, len(BEATS), 1)

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor) -> Dense:
        """As `Encoder`; steps are samples / 4."""
        tokens, levels = self.encoder(x, lead, gain)
        y = tokens
        for layer, skip in zip(self.up, reversed(levels), strict=True):
            y = layer(torch.cat([_doubled(y), skip], dim=1))
        y = self.dropout(y)
        return Dense(self.peak(y)[:, 0], self.beat(y).transpose(1, 2), tokens.transpose(1, 2))


def _doubled(x: Tensor) -> Tensor:
    """(batch, channel, step) with every step twice."""
    return x[..., None].expand(-1, -1, -1, 2).flatten(2)


class RhythmNet(nn.Module):
    """A small encoder of its own and the RR intervals, to rhythm logits every 0.5 s.

    Of its own because what tells fibrillation from sinus rhythm is small and beats drown it: sharing the
    dense network's encoder cost a third of the fibrillation of a patient never seen (LOG.md).
    """

    RR = 6  # numbers per token, `models.anyecg.rr.rr_tokens`

    def __init__(self, size: Size = SMALL, hidden: int = 64) -> None:
        super().__init__()
        self.encoder = Encoder(size)
        self.rr = nn.Conv1d(self.RR, 32, 3, padding=1)
        self.dropout = nn.Dropout(0.2)
        self.gru = nn.GRU(size.joint[-1] + 32, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, len(RHYTHMS))

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor, rr: Tensor) -> Tensor:
        """As `Encoder`, and `rr` (batch, token, RR); to (batch, token / 2, RHYTHMS)."""
        intervals = torch.relu(self.rr(rr.transpose(1, 2)))
        y = torch.cat([self.encoder(x, lead, gain).tokens, intervals], dim=1).transpose(1, 2)
        y = y.reshape(y.shape[0], -1, RHYTHM_TOKENS, y.shape[2]).mean(dim=2)
        along, _ = self.gru(self.dropout(y))
        logits: Tensor = self.head(self.dropout(along))
        return logits


class BeatNet(nn.Module):
    """A sequence of beats to class and morphology logits (batch, beat, BEATS) and (batch, beat, MORPHOLOGY).

    `shapes` (batch, beat, lead, 2, sample): the beat and the beat less the sequence's median beat; `numbers`
    (batch, beat, lead, SHAPE): how it differs; `rr` (batch, beat, RR). Convolutions per lead, leads joined by
    mean and maximum, a GRU along the beats.
    """

    SHAPE, RR = 11, 10

    def __init__(self, hidden: int = 64) -> None:
        super().__init__()
        self.wave = nn.Sequential(
            *(_plain(2, 20, 7), _plain(20, 28, 5), _plain(28, 36, 5)), nn.Flatten(), nn.Linear(36 * 14, 48)
        )
        self.dropout = nn.Dropout(0.2)
        self.into = nn.Linear(2 * (48 + self.SHAPE) + self.RR + 1, 64)
        self.gru = nn.GRU(64, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden + 64, 64)
        self.beat = nn.Linear(64, len(BEATS))
        self.morphology = nn.Linear(64, len(MORPHOLOGY))

    def forward(self, shapes: Tensor | None, numbers: Tensor | None, rr: Tensor) -> tuple[Tensor, Tensor]:
        """Without `shapes` and `numbers` only the intervals speak; batch norm sees no stand-in."""
        known = torch.ones_like(rr[..., :1])
        if shapes is None or numbers is None:
            form, known = torch.zeros(*rr.shape[:2], 2 * (48 + self.SHAPE), device=rr.device), 0 * known
        else:
            y = self.wave(shapes.flatten(0, 2)).reshape(*numbers.shape[:3], -1)
            y = torch.cat([y, numbers], dim=-1)
            form = torch.cat([y.mean(dim=2), y.amax(dim=2)], dim=-1)
        y = torch.relu(self.into(self.dropout(torch.cat([form, rr, known], dim=-1))))
        along, _ = self.gru(y)
        y = self.dropout(torch.relu(self.out(torch.cat([along, y], dim=-1))))
        return self.beat(y), self.morphology(y)


def _plain(inside: int, outside: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inside, outside, kernel, 2, kernel // 2, bias=False), nn.BatchNorm1d(outside), nn.ReLU()
    )
