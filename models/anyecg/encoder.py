"""The encoder family: any leads, any length, a token every 0.25 s.

A lead is read by a network of its own that knows its name and its gain; leads are folded into the batch and
joined by mean and maximum, so a missing lead is absent, not zero. Convolutions and dilated convolutions know
no position: absolute time is the token's index. Padding is masked after every layer, so a batch of unequal
strips gives each the tokens it has alone.

Input is what `models.signals.conditioning.condition` returns (128 Hz, R wave about 1, log gain).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.labels import LEAD_NAMES, TOKEN

DILATIONS = (1, 2, 4, 8, 16)


@dataclass(frozen=True, slots=True)
class Size:
    """Channels of a lead's network (64 and 32 Hz), and of the joint one at 32, 16, 8 and 4 Hz."""

    lead: tuple[int, int]
    joint: tuple[int, int, int, int]


SMALL = Size((12, 24), (32, 40, 48, 64))  # the edge's screener
LARGE = Size((16, 32), (48, 64, 80, 96))  # the cloud's localizer, the eyes of anyECG-chat


class Features(NamedTuple):
    """`tokens` (batch, channel, token) at 4 Hz, and the finer levels at 32, 16 and 8 Hz."""

    tokens: Tensor
    levels: tuple[Tensor, Tensor, Tensor]


class Conv(nn.Module):
    """Convolution, batch norm, ReLU; samples that are padding come out as 0."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.conv = nn.Conv1d(inside, outside, kernel, stride, padding, dilation, bias=False)
        self.norm = nn.BatchNorm1d(outside)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y = torch.relu(self.norm(self.conv(x)))
        return y if mask is None else y * mask


class Residual(nn.Module):
    """x + Conv(x)."""

    def __init__(self, channels: int, kernel: int, dilation: int = 1) -> None:
        super().__init__()
        self.inner = Conv(channels, channels, kernel, dilation=dilation)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        y: Tensor = self.inner(x, mask)
        return x + y


class LeadNet(nn.Module):
    """(lead, sample) of single leads to (lead, channel, sample / 4)."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        a, b = size.lead
        self.first, self.second = Conv(1, a, 9, 2), Conv(a, b, 7, 2)
        self.name = nn.Embedding(len(LEAD_NAMES), b)
        self.gain = nn.Linear(1, b)
        self.refine = nn.ModuleList([Residual(b, 5), Residual(b, 5)])
        nn.init.zeros_(self.name.weight)
        nn.init.zeros_(self.gain.weight)

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor, masks: tuple[Tensor, Tensor] | None) -> Tensor:
        half, quarter = masks or (None, None)
        y = self.second(self.first(_compressed(x[:, None]), half), quarter)
        y = y + (self.name(lead) + self.gain(gain[:, None]))[:, :, None]
        y = y if quarter is None else y * quarter
        for layer in self.refine:
            y = layer(y, quarter)
        assert isinstance(y, Tensor)
        return y


class Encoder(nn.Module):
    """(batch, lead, sample) to `Features`; samples are a multiple of 32 (`TOKEN`)."""

    def __init__(self, size: Size = LARGE) -> None:
        super().__init__()
        self.size = size
        self.leads = LeadNet(size)
        self.join = Conv(2 * size.lead[1], size.joint[0], 3)
        self.down = nn.ModuleList(Conv(a, b, 5, 2) for a, b in pairwise(size.joint))
        self.refine = nn.ModuleList(Residual(c, 3) for c in size.joint[1:])
        self.mix = nn.ModuleList(Residual(size.joint[-1], 3, d) for d in DILATIONS)

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor, valid: Tensor | None = None) -> Features:
        """`lead` (batch, lead) indexes LEAD_NAMES, `gain` (batch, lead) is log mV; `valid` (batch, sample)
        is False in padding, which begins at a multiple of TOKEN."""
        batch, count, _ = x.shape
        masks = None if valid is None else _masks(valid)
        folded = None if masks is None else tuple(m.repeat_interleave(count, 0) for m in masks[:2])
        y = self.leads(x.flatten(0, 1), lead.flatten(), gain.flatten(), folded)
        y = y.unflatten(0, (batch, count))
        y = self.join(torch.cat([y.mean(dim=1), y.amax(dim=1)], dim=1), None if masks is None else masks[1])
        levels = [y]
        for i, (down, refine) in enumerate(zip(self.down, self.refine, strict=True)):
            mask = None if masks is None else masks[i + 2]
            levels.append(refine(down(levels[-1], mask), mask))
        tokens = levels.pop()
        for layer in self.mix:
            tokens = layer(tokens, None if masks is None else masks[-1])
        return Features(tokens, (levels[0], levels[1], levels[2]))


def _compressed(x: Tensor) -> Tensor:
    """asinh(2x) / 2, written out for the exporter: a tall R wave does not drown the P wave."""
    return torch.sign(x) * torch.log(2 * x.abs() + torch.sqrt(4 * x * x + 1)) / 2


def _masks(valid: Tensor) -> tuple[Tensor, ...]:
    """(batch, 1, step) of 0 and 1 at 64, 32, 16, 8 and 4 Hz."""
    assert valid.shape[1] % TOKEN == 0, "samples are a multiple of a token"
    return tuple(valid[:, None, ::stride].float() for stride in (2, 4, 8, 16, 32))
