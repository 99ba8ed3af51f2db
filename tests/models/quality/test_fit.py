from __future__ import annotations

import numpy as np
import pytest

from models.quality.fit import FOLDS, fitted, folds
from models.quality.rows import Row, windows
from models.signals.gate import gate_of
from models.signals.indices import INDICES


def row(kind: str, number: int, *, noisy: bool, abnormal: bool = False) -> Row:
    rng = np.random.default_rng([number, noisy])
    indices = rng.normal(size=(5, len(INDICES)))
    indices[:, 0] += 6.0 * noisy
    record = f"{kind.split(',', maxsplit=1)[0].replace(' ', '')}/{number}"
    answer = np.full(5, float(noisy))
    return Row(kind=kind, record=record, patient=record, abnormal=abnormal, indices=indices, answer=answer)


@pytest.fixture(scope="module")
def every() -> list[Row]:
    strips = [row(f"strip {kind}", i, noisy=kind == "~") for kind in "NAO~" for i in range(30)]
    holter = [
        row(kind, i, noisy=False, abnormal=i % 2 == 0)
        for kind in ("mitdb", "mitdb, lead 1")
        for i in range(30)
    ]
    return strips + holter


def test_no_patient_is_on_two_sides(every: list[Row]) -> None:
    fold = folds(every, 0)
    sides: dict[str, set[int]] = {}
    for one, k in zip(every, fold, strict=True):
        sides.setdefault(one.patient, set()).add(int(k))
    assert all(len(held) == 1 for held in sides.values())
    assert set(fold.tolist()) == set(range(FOLDS))


def test_what_can_be_told_apart_is_and_the_threshold_loses_a_twentieth_of_the_normal(
    every: list[Row],
) -> None:
    made = fitted(every)
    assert made["held_out"]["strips gated"]["~"] == 1.0
    assert made["held_out"]["strips gated"]["N"] == pytest.approx(0.05, abs=0.02)
    assert made["held_out"]["ds1 abnormal windows"] == 15
    gate = gate_of(made)
    noisy, clean = (gate(row("strip N", 99, noisy=flag).indices).mean() for flag in (True, False))
    assert noisy >= gate.threshold > clean


def test_the_same_rows_give_the_same_gate(every: list[Row]) -> None:
    assert fitted(every) == fitted(every)


def test_windows_cover_a_record_to_its_end() -> None:
    assert windows(3000, 300.0) == [(0, 3000)]
    assert windows(2000, 300.0) == [(0, 2000)]
    assert windows(9000, 300.0, 5.0)[:2] == [(0, 3000), (1500, 4500)]
    assert windows(9500, 300.0) == [(0, 3000), (3000, 6000), (6000, 9000)]
    assert windows(9600, 300.0)[-1] == (6600, 9600)
