"""The localizer's three networks as ONNX files: one recording at a time, any leads, any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models import onnx_file
from models.anyecg.labels import BEATS, MORPHOLOGY, RHYTHMS, TOKEN
from models.anyecg.net import BeatNet, DenseNet, RhythmNet
from models.anyecg.shapes import WIDTH

SIGNAL = {"signal": ("lead", "sample"), "lead": ("lead",), "gain": ("lead",)}
EXAMPLE = (torch.zeros(2, 64 * TOKEN), torch.zeros(2, dtype=torch.long), torch.zeros(2))


class OneDense(nn.Module):
    """(lead, sample), (lead,), (lead,) to probabilities (step,), log-probabilities (step, BEATS), tokens."""

    def __init__(self, net: DenseNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        peak, beat, tokens = self.net(x[None], lead[None], gain[None])
        return torch.sigmoid(peak[0]), torch.log_softmax(beat[0], dim=-1), tokens[0]


class OneRhythm(nn.Module):
    """Calibrated probabilities (step, RHYTHMS): Platt's scale and offset are part of the graph."""

    scale: Tensor
    offset: Tensor

    def __init__(self, net: RhythmNet, scale: Sequence[float], offset: Sequence[float]) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("scale", torch.tensor(scale))
        self.register_buffer("offset", torch.tensor(offset))

    def forward(self, x: Tensor, lead: Tensor, gain: Tensor, rr: Tensor) -> Tensor:
        logits = self.net(x[None], lead[None], gain[None], rr[None])[0]
        return torch.sigmoid(logits * self.scale + self.offset)


class OneBeats(nn.Module):
    """Log-probabilities (beat, BEATS) and (beat, MORPHOLOGY), the mean over networks of several seeds."""

    def __init__(self, nets: Sequence[BeatNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, shapes: Tensor, numbers: Tensor, rr: Tensor) -> tuple[Tensor, Tensor]:
        out = [net(shapes[None], numbers[None], rr[None]) for net in self.nets]
        beat = torch.stack([torch.log_softmax(b[0], dim=-1) for b, _ in out]).mean(dim=0)
        morphology = torch.stack([torch.log_softmax(m[0], dim=-1) for _, m in out]).mean(dim=0)
        return beat, morphology


def export_dense(net: DenseNet, path: Path, metadata: Mapping[str, Any]) -> None:
    """Samples are a multiple of TOKEN: ONNX Runtime does not check it."""
    onnx_file.export(
        OneDense(net),
        path,
        EXAMPLE,
        inputs=SIGNAL,
        outputs={"peak": ("step",), "beat": ("step",), "tokens": ("token",)},
        metadata={"beats": BEATS, **metadata},
    )


def export_rhythm(
    net: RhythmNet, path: Path, scale: Sequence[float], offset: Sequence[float], metadata: Mapping[str, Any]
) -> None:
    onnx_file.export(
        OneRhythm(net, scale, offset),
        path,
        (*EXAMPLE, torch.zeros(64, net.RR)),
        inputs={**SIGNAL, "rr": ("token",)},
        outputs={"rhythm": ("step",)},
        metadata={"rhythms": RHYTHMS, **metadata},
    )


def export_beats(nets: Sequence[BeatNet], path: Path, metadata: Mapping[str, Any]) -> None:
    onnx_file.export(
        OneBeats(nets),
        path,
        (torch.zeros(12, 2, 2, WIDTH), torch.zeros(12, 2, BeatNet.SHAPE), torch.zeros(12, BeatNet.RR)),
        inputs={"shapes": ("beat", "lead"), "numbers": ("beat", "lead"), "rr": ("beat",)},
        outputs={"beat": ("beat",), "morphology": ("beat",)},
        metadata={"beats": BEATS, "morphology": MORPHOLOGY, **metadata},
    )
