"""What every training shares: one-cycle steps, checkpoints it goes on from, progress with what is left.

A batch depends on (seed, step) alone and the network's own randomness is seeded per step, so an interrupted
training on one device ends with the weights of an uninterrupted one. Runs on a GPU where there is one.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch  # noqa: TID251 - a training file
from torch import Tensor, nn  # noqa: TID251

from models.errors import UsageError

WARM_UP = 0.1
CLIP_NORM = 2.0
CHECKPOINT_EVERY = 50
Net = TypeVar("Net", bound=nn.Module)
DECAY = 1e-2
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Optimiser(Protocol):
    """What `fit` needs of torch's."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def zero_grad(self) -> None: ...

    def step(self) -> Any: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: Any) -> None: ...


def adamw(net: nn.Module, rate: float) -> Optimiser:
    return torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=DECAY)


class Muon:
    """The matrices of linear layers by Muon (Jordan K, 2024), with updates as large as AdamW's (Liu J et al.,
    arXiv 2502.16982), all else by AdamW."""

    def __init__(self, net: nn.Module, rate: float) -> None:
        words = {
            id(m.weight) for m in net.modules() if isinstance(m, nn.Embedding)
        }  # may be tied to the head
        layers = {id(m.weight) for m in net.modules() if isinstance(m, nn.Linear)} - words
        matrices = [p for p in net.parameters() if id(p) in layers]
        others = [p for p in net.parameters() if id(p) not in layers]
        self._both: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=rate, weight_decay=DECAY, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=rate, weight_decay=DECAY, betas=(0.9, 0.95)),
        )

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        return [group for one in self._both for group in one.param_groups]

    def zero_grad(self) -> None:
        for one in self._both:
            one.zero_grad()

    def step(self) -> None:
        for one in self._both:
            one.step()

    def state_dict(self) -> dict[str, Any]:
        return {type(one).__name__: one.state_dict() for one in self._both}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        for one in self._both:
            one.load_state_dict(state_dict[type(one).__name__])


def fit(
    checkpoint: Path,
    build: Callable[[], Net],
    loss_of: Callable[[Net, int], Tensor],
    *,
    steps: int,
    seed: int,
    rate: float,
    by: Callable[[nn.Module, float], Optimiser] = adamw,
) -> Net:
    """The network of `build` after `steps` steps of `loss_of(net, step)`; goes on from `checkpoint`."""
    torch.manual_seed(seed)
    net = build().to(DEVICE)
    optimiser = by(net, rate)
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


def _restore(checkpoint: Path, net: nn.Module, optimiser: Optimiser) -> int:
    if not checkpoint.exists():
        return 0
    saved = torch.load(checkpoint, weights_only=True, map_location=DEVICE)
    net.load_state_dict(net.state_dict() | saved["net"])
    optimiser.load_state_dict(saved["optimiser"])
    say(f"{checkpoint.stem}: going on from step {saved['step']}")
    return int(saved["step"])


def _save(checkpoint: Path, net: nn.Module, optimiser: Optimiser, step: int) -> None:
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
    staging = path.with_suffix(".new")
    staging.write_text(json.dumps(run, indent=1) + "\n")
    staging.replace(path)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201 - progress of a command
