from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch  # noqa: TID251 - a network under test
from torch import nn  # noqa: TID251

from models.dataset.tracks import Track
from models.evaluation.metrics import sigmoid
from models.screener.labels import LABELS
from models.screener.net import ScreenerNet
from models.screener.operating import HeldOut, held_out, operating_point


def row(record: str, logits: np.ndarray, abnormal: np.ndarray) -> HeldOut:
    """Windows of a record, and 40 tokens of every label that say the same and are known."""
    tokens = np.repeat(logits[:40, None], len(LABELS), axis=1)
    wanted = np.repeat(abnormal[:40, None], len(LABELS), axis=1)
    return HeldOut(
        record=record,
        window=logits,
        abnormal=abnormal,
        tokens=tokens,
        wanted=wanted,
        known=np.ones_like(tokens),
    )


@pytest.fixture(scope="module")
def rows() -> list[HeldOut]:
    """Logits twice as large as they should be: the chance of an abnormal window is sigmoid(logit / 2 + 1)."""
    rng = np.random.default_rng(0)
    found = []
    for record in ("mitdb/101", "mitdb/106", "svdb/800", "mitdb/100"):
        logits = rng.normal(-2, 3, 1500)
        found.append(row(record, logits, (rng.random(1500) < sigmoid(logits / 2 + 1)).astype(np.float64)))
    return found


def test_probabilities_are_calibrated_and_a_tenth_of_the_normal_windows_of_ds1_is_over_the_threshold(
    rows: list[HeldOut],
) -> None:
    """Record 100 is of DS2 and does not choose."""
    point = operating_point(rows)
    assert point["scale"][0] == pytest.approx(0.5, abs=0.05)
    assert point["offset"][0] == pytest.approx(1.0, abs=0.1)
    assert len(point["scale"]) == len(point["offset"]) == 1 + len(LABELS)
    normal = np.concatenate([r.window[r.abnormal == 0] for r in rows[:2]])
    p = sigmoid(point["scale"][0] * normal + point["offset"][0])
    assert (p < point["threshold"]).mean() == pytest.approx(0.9, abs=0.002)


def test_windows_nobody_can_judge_do_not_count(rows: list[HeldOut]) -> None:
    dark = row("mitdb/108", np.full(1500, 9.0), np.full(1500, np.nan))
    silent = replace(dark, wanted=0 * dark.tokens, known=0 * dark.tokens)
    assert operating_point([*rows, silent]) == operating_point(rows)


def test_a_label_that_never_occurs_is_left_as_it_is(rows: list[HeldOut]) -> None:
    without = [replace(r, wanted=r.wanted * (np.arange(len(LABELS)) != 3)) for r in rows]
    point = operating_point(without)
    assert (point["scale"][4], point["offset"][4]) == (1.0, 0.0)
    assert point["scale"][3] != 1.0


def test_a_record_is_scored_every_five_seconds(
    make_track: Callable[..., Track], learned: Callable[[nn.Module], ScreenerNet]
) -> None:
    torch.manual_seed(0)
    net = learned(ScreenerNet())
    track = make_track(seconds=32)
    found = held_out(net, track)
    assert found.window.shape == found.abnormal.shape == (5,)
    assert found.tokens.shape == found.wanted.shape == found.known.shape == (5 * 40, len(LABELS))
    later = held_out(net, make_track(seconds=32))
    np.testing.assert_array_equal(later.window, found.window)
