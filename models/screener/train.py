"""Training of the screener: the shipped network on every record, then patient-grouped cross-validation.

    anyecg train screener --out DIR        (reads ANYECG_DATA)

DIR receives `screener.onnx` (usable as soon as the first network is ready, its thresholds set when the
folds are done), `fold<k>.onnx`, `folds.json` (which fold held a record out) and `figures.json`.
A killed training goes on from its last checkpoint. Single-threaded, so a seed means the same weights.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.errors import UsageError
from models.evaluation.screener import held_out_figures
from models.screener.batches import Batch, Sampler, training_noises
from models.screener.export import PROVISIONAL, Operating, export
from models.screener.net import ScreenerNet
from models.screener.tracks import Track, data_hash, development_tracks, folds_of

RATE = 3e-3
WARM_UP = 0.2
CLIP_NORM = 2.0
WINDOW_TARGETS = (0.02, 0.98)
TOKEN_LOSS = 2.0
POSITIVE = (4.0, 3.0, 1.0, 2.0, 1.0)  # weight of a token that holds the label, in the order of LABELS
STEPS_PER_EPOCH = 96
CHECKPOINT_EVERY = 50


def train(out: Path, data: Path, *, folds: int = 3, seed: int = 0, epochs: int = 10) -> dict[str, Any]:
    """Trains everything and returns the figures; raises UsageError if DIR holds another training."""
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    _say("reading the records")
    tracks, noises = list(development_tracks(data)), training_noises(data)
    fingerprint = data_hash(tracks)
    fold_of = folds_of(tracks, folds, seed)
    claim(out, {"data": fingerprint, "folds": folds, "seed": seed, "epochs": epochs})
    _write(out / "folds.json", {t.record: int(k) for t, k in zip(tracks, fold_of, strict=True)})
    steps = epochs * STEPS_PER_EPOCH

    def learn(name: str, number: int, learned: Sequence[Track]) -> ScreenerNet:
        return fit(
            out / f"{name}.checkpoint", Sampler(learned, noises), steps=steps, seed=seed + 1000 * number
        )

    final = learn("final", 0, tracks)
    export(final, out / "screener.onnx", PROVISIONAL, fingerprint)
    for k in range(folds):
        net = learn(f"fold{k}", k + 1, [t for t, held in zip(tracks, fold_of, strict=True) if held != k])
        export(net, out / f"fold{k}.onnx", PROVISIONAL, fingerprint)
    _say("scoring the held-out records")
    figures = held_out_figures(data, out)
    export(final, out / "screener.onnx", Operating.of(figures["operating"]), fingerprint)
    _write(out / "figures.json", figures)
    return figures


def fit(
    checkpoint: Path, sampler: Sampler, *, steps: int, seed: int, every: int = CHECKPOINT_EVERY
) -> ScreenerNet:
    """A network after `steps` steps, from `checkpoint` on where it exists; its last checkpoint is kept."""
    torch.manual_seed(seed)
    net = ScreenerNet()
    optimiser = torch.optim.AdamW(net.parameters(), lr=RATE, weight_decay=1e-2)
    done = 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        net.load_state_dict(saved["net"])
        optimiser.load_state_dict(saved["optimiser"])
        done = int(saved["step"])
        _say(f"{checkpoint.name}: going on from step {done} of {steps}")
    began, first = time.monotonic(), done
    net.train()
    while done < steps:
        loss = _step(net, optimiser, sampler.batch(seed, done), learning_rate(done, steps), seed=seed + done)
        done += 1
        if done % every == 0 or done == steps:
            _save(checkpoint, net, optimiser, done)
            pace = (time.monotonic() - began) / (done - first)
            _say(f"{checkpoint.name}: step {done}/{steps} loss {loss:.3f} {pace:.2f} s/step")
    return net.eval()


def learning_rate(step: int, steps: int) -> float:
    """One cycle: cosine from RATE/25 up, then down to 0."""
    rise = WARM_UP * steps
    if step < rise:
        return RATE * (0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2)
    return RATE * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


def loss_of(net: ScreenerNet, batch: Batch) -> Tensor:
    """Window log-loss and twice the tokens' mean log-loss, over what somebody annotated."""
    logits = net(torch.from_numpy(batch.x))
    log_loss = nn.functional.binary_cross_entropy_with_logits
    low, high = WINDOW_TARGETS
    known, wished = torch.from_numpy(batch.window_known), torch.from_numpy(batch.window)
    window = log_loss(logits.window, low + (high - low) * wished, weight=known, reduction="sum")
    said = torch.from_numpy(batch.known)
    tokens = log_loss(
        logits.tokens,
        torch.from_numpy(batch.tokens),
        weight=said,
        reduction="sum",
        pos_weight=torch.tensor(POSITIVE),
    )
    return window / known.sum().clamp(min=1) + TOKEN_LOSS * tokens / said.sum().clamp(min=1)


def _step(
    net: ScreenerNet, optimiser: torch.optim.Optimizer, batch: Batch, rate: float, *, seed: int
) -> float:
    torch.manual_seed(seed)  # dropout depends on the step alone
    for group in optimiser.param_groups:
        group["lr"] = rate
    loss = loss_of(net, batch)
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
    optimiser.step()
    return float(loss.detach())


def _save(checkpoint: Path, net: ScreenerNet, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Replaced as a whole: a kill leaves the old one or the new one."""
    new = checkpoint.with_suffix(".new")
    torch.save({"net": net.state_dict(), "optimiser": optimiser.state_dict(), "step": step}, new)
    new.replace(checkpoint)


def claim(out: Path, run: dict[str, Any]) -> None:
    """A folder belongs to one training: other data, seed or length would mix with its checkpoints."""
    path = out / "run.json"
    if path.exists() and json.loads(path.read_text()) != run:
        raise UsageError(f"{out} holds a training with other data or settings; give another --out.")
    _write(path, run)


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command
