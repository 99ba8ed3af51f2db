"""Training of the screener: folds by patient first, then the shipped network on every development record.

    anyecg train screener --out DIR        (reads ANYECG_DATA)

DIR receives `fold<k>/screener.onnx`, `folds.json` and `screener.onnx`, whose calibration and threshold were
chosen on the windows that each fold had left out. A killed training goes on from its last checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch  # noqa: TID251 - a training file
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.batches import Noise
from models.anyecg.train import tensors
from models.dataset.development import development_tracks
from models.dataset.tracks import Track, data_hash, fold_by_record
from models.screener.batches import Sampler
from models.screener.export import VERSION, export
from models.screener.net import ScreenerNet
from models.screener.operating import held_out, operating_point
from models.training import claim, fit, say

WINDOW_TARGETS = (0.02, 0.98)
TOKEN_LOSS = 2.0
POSITIVE = (4.0, 3.0, 1.0, 2.0, 1.0)  # weight of a token that holds the label, in the order of LABELS


class Recipe(BaseModel):
    """How long; the figures of CARD.md are those of the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folds: int = Field(4, ge=2, le=10, description="of patients")
    seed: int = 0
    without: tuple[str, ...] = Field((), description="databases left out, to be tested on")
    steps: int = Field(800, ge=1)


def train(out: Path, data: Path, recipe: Recipe) -> None:
    """Fits what is missing in `out`; UsageError if it holds a training with other data or settings."""
    torch.set_num_threads(1)
    say("reading the records")
    tracks, noise = [t for t in development_tracks(data) if t.source not in recipe.without], Noise(data)
    fingerprint = data_hash(tracks)
    claim(out / "screener.json", {"data": fingerprint, "version": VERSION, **recipe.model_dump(mode="json")})
    fold_of = fold_by_record(out / "folds.json", tracks, recipe.folds, recipe.seed)

    def learn(folder: Path, learned: Sequence[Track]) -> ScreenerNet:
        folder.mkdir(exist_ok=True)
        sampler = Sampler(learned, noise)

        def loss(net: ScreenerNet, step: int) -> Tensor:
            return loss_of(net, tensors(sampler.batch(recipe.seed, step)))

        checkpoint = folder / "screener.checkpoint"
        return fit(checkpoint, ScreenerNet, loss, steps=recipe.steps, seed=recipe.seed, rate=3e-3)

    nets, scored = {}, []
    for k in range(recipe.folds):
        nets[k] = learn(out / f"fold{k}", [t for t in tracks if fold_of[t.record] != k])
        left_out = (t for t in tracks if fold_of[t.record] == k and t.source in {"mitdb", "svdb"})
        scored += [held_out(nets[k], t) for t in left_out]
    export(learn(out, tracks), out / "screener.onnx", operating_point(scored), fingerprint)
    for k, net in nets.items():  # a fold's own choice rests on the others: its figures carry no optimism
        others = [row for row in scored if fold_of[row.record] != k]
        export(net, out / f"fold{k}" / "screener.onnx", operating_point(others), fingerprint)


def loss_of(net: ScreenerNet, rows: Sequence[Tensor]) -> Tensor:
    """Window log-loss and twice the tokens' mean log-loss, over what somebody annotated."""
    x, lead, gain, tokens, known, window, window_known = rows
    logits = net(x, lead, gain)
    log_loss = nn.functional.binary_cross_entropy_with_logits
    low, high = WINDOW_TARGETS
    whole = log_loss(logits.window, low + (high - low) * window, weight=window_known, reduction="sum")
    each = log_loss(
        logits.tokens,
        tokens,
        weight=known,
        reduction="sum",
        pos_weight=torch.tensor(POSITIVE, device=x.device),
    )
    return whole / window_known.sum().clamp(min=1) + TOKEN_LOSS * each / known.sum().clamp(min=1)
