from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch  # noqa: TID251 - the training loop under test
from torch import Tensor, nn  # noqa: TID251

from models import training
from models.errors import UsageError
from models.training import DEVICE, Muon, Optimiser, adamw, claim, fit, one_cycle

STEPS = 10
By = Callable[[nn.Module, float], Optimiser]
BOTH = pytest.mark.parametrize("by", [adamw, Muon])


class Killed(Exception):  # noqa: N818 - what a test does to a training
    pass


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))


def loss_of(net: nn.Module, step: int) -> Tensor:
    x = torch.randn(16, 4, generator=torch.Generator().manual_seed(step)).to(DEVICE)
    return ((net(x) - x[:, :1]) ** 2).mean()


def trained(checkpoint: Path, loss: object = loss_of, seed: int = 0, by: By = adamw) -> nn.Module:
    return fit(checkpoint, build, loss, steps=STEPS, seed=seed, rate=1e-2, by=by)  # type: ignore[arg-type]


def same(one: nn.Module, two: nn.Module) -> bool:
    return all(
        torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True)
    )


@BOTH
@pytest.mark.parametrize("killed_at", [1, 5, 6, 9])
def test_an_interrupted_training_ends_with_the_weights_of_an_uninterrupted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed_at: int, by: By
) -> None:
    """Killed in a step after the last checkpoint: the steps since then are done again."""
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 2)
    whole, steps = trained(tmp_path / "whole.checkpoint", by=by), []

    def dies(net: nn.Module, step: int) -> Tensor:
        if step == killed_at:
            raise Killed
        return loss_of(net, step)

    def counts(net: nn.Module, step: int) -> Tensor:
        steps.append(step)
        return loss_of(net, step)

    with pytest.raises(Killed):
        trained(tmp_path / "cut.checkpoint", dies, by=by)
    torch.rand(100)  # another process has other random numbers behind it
    assert same(trained(tmp_path / "cut.checkpoint", counts, by=by), whole)
    assert steps == list(range(killed_at // 2 * 2, STEPS))


def test_a_training_that_is_done_is_not_done_again(tmp_path: Path) -> None:
    once = trained(tmp_path / "net.checkpoint")

    def never(net: nn.Module, step: int) -> Tensor:
        raise AssertionError("a finished training took a step")

    assert same(trained(tmp_path / "net.checkpoint", never), once)
    assert [path.name for path in tmp_path.iterdir()] == ["net.checkpoint"]


def test_the_network_comes_back_ready_to_be_asked_and_seeds_differ(tmp_path: Path) -> None:
    net = trained(tmp_path / "a.checkpoint")
    assert not net.training
    assert next(net.parameters()).device.type == "cpu"
    assert not same(trained(tmp_path / "b.checkpoint", seed=1), net)


@BOTH
def test_the_loss_falls(tmp_path: Path, by: By) -> None:
    losses: list[float] = []

    def noted(net: nn.Module, step: int) -> Tensor:
        losses.append((loss := loss_of(net, step)).item())
        return loss

    fit(tmp_path / "net.checkpoint", build, noted, steps=200, seed=0, rate=1e-2, by=by)
    assert sum(losses[-20:]) < 0.7 * sum(losses[:20])


def test_progress_says_the_step_the_loss_and_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 5)
    trained(tmp_path / "net.checkpoint")
    said = capsys.readouterr()
    assert said.out == ""
    half, end = said.err.splitlines()
    assert half.startswith("net: step 5/10 loss ")
    assert end.startswith("net: step 10/10 loss ")
    assert end.endswith(", 0 s left")


def test_the_rate_rises_for_a_tenth_and_falls_to_nothing() -> None:
    rates = [one_cycle(step, 100, 1.0) for step in range(100)]
    assert rates[0] == pytest.approx(0.04)
    assert max(rates) == rates[10] == 1.0
    assert all(a < b for a, b in pairwise(rates[:11]))
    assert all(a > b for a, b in pairwise(rates[10:]))
    assert rates[-1] < 0.001


def test_a_folder_is_claimed_by_one_run(tmp_path: Path) -> None:
    path, run = tmp_path / "out" / "run.json", {"data": "ab", "steps": 3, "seed": 0}
    claim(path, run)
    claim(path, run)
    assert json.loads(path.read_text()) == run
    with pytest.raises(UsageError, match="holds a training with other data or settings; give another --out"):
        claim(path, run | {"steps": 4})
    assert json.loads(path.read_text()) == run


def test_muon_moves_the_matrices_and_leaves_words_tied_to_their_head_to_adamw() -> None:
    net = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4), nn.Linear(4, 5, bias=False))
    net[2].weight = net[0].weight
    shapes = {
        name: [len(state["params"]) for state in one["param_groups"]]
        for name, one in Muon(net, 1e-3).state_dict().items()
    }
    assert shapes == {"Muon": [1], "AdamW": [2]}  # the layer between; its bias and the words
