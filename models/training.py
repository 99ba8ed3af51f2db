"""What every training shares: one-cycle AdamW, checkpoints it goes on from, progress with what is left.

A batch depends on (seed, step) alone and the network's own randomness is seeded per step, so an interrupted
training on one device ends with the weights of an uninterrupted one. Runs on a GPU where there is one.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.errors import UsageError

WARM_UP = 0.1
CLIP_NORM = 2.0
CHECKPOINT_EVERY = 50
Net = TypeVar("Net", bound=nn.Module)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    checkpoint: Path,
    build: Callable[[], Net],
    loss_of: Callable[[Net, int], Tensor],
    *,
    steps: int,
    seed: int,
    rate: float,
) -> Net:
    """The network of `build` after `steps` steps of `loss_of(net, step)`; goes on from `checkpoint`."""
    torch.manual_seed(seed)
    net = build().to(DEVICE)
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-2)
    done = _restore(checkpoint, net, optimiser)
    began, first = time.monotonic(), done
    net.train()
    while done < steps:
        torch.manual_seed(seed + done)  # dropout depends on the step alone
        for group in optimiser.param_groups:
            group["lr"] = one_cycle(done, steps, rate)
        loss = loss_of(net, done)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), CLIP_NORM)
        optimiser.step()
        done += 1
        if done % CHECKPOINT_EVERY == 0 or done == steps:
            _save(checkpoint, net, optimiser, done)
            pace = (time.monotonic() - began) / (done - first)
            left = pace * (steps - done)
            say(f"{checkpoint.stem}: step {done}/{steps} loss {loss.item():.3f}, {left:.0f} s left")
    return net.cpu().eval()


def one_cycle(step: int, steps: int, rate: float) -> float:
    """Cosine from rate/25 up over the first tenth, then down to 0."""
    rise = WARM_UP * steps
    if step < rise:
        return rate * (0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2)
    return rate * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


def _restore(checkpoint: Path, net: nn.Module, optimiser: torch.optim.Optimizer) -> int:
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
    net.load_state_dict(net.state_dict() | saved["net"])
    optimiser.load_state_dict(saved["optimiser"])
    say(f"{checkpoint.stem}: going on from step {saved['step']}")
    return int(saved["step"])


def _save(checkpoint: Path, net: nn.Module, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Replaced as a whole: a kill leaves the old one or the new one. What is frozen is not kept again."""
    new = checkpoint.with_suffix(".new")
    frozen = {name for name, parameter in net.named_parameters() if not parameter.requires_grad}
    learned = {name: value for name, value in net.state_dict().items() if name not in frozen}
    torch.save({"net": learned, "optimiser": optimiser.state_dict(), "step": step}, new)
    new.replace(checkpoint)


def claim(path: Path, run: dict[str, Any]) -> None:
    """Notes a run beside its checkpoints; UsageError where another was, whose checkpoints would mix in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and json.loads(path.read_text()) != run:
        raise UsageError(f"{path.parent} holds a training with other data or settings; give another --out.")
    path.write_text(json.dumps(run, indent=1) + "\n")


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command
