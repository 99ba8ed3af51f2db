from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from models.anyecg.labels import RHYTHMS
from models.anyecg.operating import AVERAGE, HeldOut, _vf_threshold, operating_point
from models.dataset.tracks import AF, NOT_AF, SINUS_RHYTHM, UNKNOWN, VF, VT, N, S, V
from models.evaluation.metrics import sigmoid

CODES = np.repeat([SINUS_RHYTHM, AF, VF, VT], 100).astype(np.int8)


def row(
    record: str,
    kinds: list[int],
    chances: list[tuple[float, float]],
    codes: np.ndarray = CODES,
    missed: tuple[int, int] = (0, 0),
    sharp: float = 4.0,
    irregularity: np.ndarray | None = None,
) -> HeldOut:
    """`sharp` is the logit of the rhythm that is there, and minus that of those that are not."""
    logits = np.where(codes[:, None] == np.asarray([AF, VF, VT]), sharp, -sharp)
    return HeldOut(
        record=record,
        source=record.partition("/")[0],
        chances=np.asarray(chances, dtype=np.float64).reshape(-1, 2),
        kinds=np.asarray(kinds, dtype=np.int8),
        missed=missed,
        rhythm=logits + np.random.default_rng(0).normal(0, 0.5, logits.shape),
        irregularity=np.where(codes == AF, 0.2, 0.02) if irregularity is None else irregularity,
        codes=codes,
    )


def beats(record: str, s: float, v: float, missed: tuple[int, int] = (0, 0)) -> HeldOut:
    """20 beats of each class; S has probability `s`, V `v`, normal ones 0.1 of both."""
    chances = [(0.1, 0.1)] * 20 + [(s, 0.1)] * 20 + [(0.1, v)] * 20
    return row(record, [N] * 20 + [S] * 20 + [V] * 20, chances, missed=missed)


def test_a_threshold_separates_what_can_be_separated() -> None:
    point = operating_point([beats("mitdb/101", 0.5, 0.8), beats("svdb/800", 0.6, 0.7)])
    assert 0.1 < point["thresholds"]["S"] <= 0.5
    assert 0.1 < point["thresholds"]["V"] <= 0.7
    assert set(point["thresholds"]) == {"S", "V", *RHYTHMS}
    assert all(0 < threshold < 1 for threshold in point["thresholds"].values())


def test_records_of_ds2_choose_nothing() -> None:
    told = [beats("mitdb/101", 0.5, 0.8), beats("svdb/800", 0.6, 0.7)]
    stranger = row("mitdb/100", [S] * 200, [(0.05, 0.05)] * 200)
    assert operating_point([*told, stranger])["thresholds"]["S"] == operating_point(told)["thresholds"]["S"]


def test_each_database_counts_the_same_whatever_its_size() -> None:
    """Alone, svdb would choose below 0.3 and mitdb above: normal beats lie at 0.3 there."""
    low = row("svdb/800", [S] * 20 + [N] * 20, [(0.29, 0.0)] * 20 + [(0.1, 0.0)] * 20)
    high = row("mitdb/101", [S] * 20 + [N] * 2000, [(0.9, 0.0)] * 20 + [(0.3, 0.0)] * 2000)
    one = operating_point([low, high])["thresholds"]["S"]
    many = [
        low,
        *(row(f"svdb/{i}", [S] * 20 + [N] * 20, [(0.29, 0.0)] * 20 + [(0.1, 0.0)] * 20) for i in range(9)),
    ]
    assert operating_point([*many, high])["thresholds"]["S"] == one


def test_rhythm_probabilities_are_calibrated() -> None:
    """Logits of VF twice as large as they should be."""
    rng = np.random.default_rng(0)
    rows = []
    for record in ("mitdb/101", "svdb/800"):
        logits = rng.normal(0, 3, (4000, 3))
        codes = np.where(rng.random(4000) < sigmoid(logits[:, 1] / 2), VF, SINUS_RHYTHM).astype(np.int8)
        irregular = rng.uniform(0, 0.3, 4000)
        rows.append(replace(beats(record, 0.5, 0.5), rhythm=logits, codes=codes, irregularity=irregular))
    point = operating_point(rows)
    assert point["scale"][1] == pytest.approx(0.5, abs=0.05)
    assert point["offset"][1] == pytest.approx(0, abs=0.1)
    assert (point["scale"][2], point["offset"][2]) == (1.0, 0.0)  # no VT


def test_fibrillation_weighs_the_signal_and_the_intervals() -> None:
    """Chance of AF: sigmoid(logit / 2 + 20 irregularity - 3), irregularity up to 0.25 and from 0.05."""
    rng = np.random.default_rng(0)
    rows = []
    for record, count in (("mitdb/101", 8000), ("cpsc2021/1", 4000), ("svdb/800", 400)):
        logits, irregular = rng.normal(0, 3, (count, 3)), rng.uniform(0, 0.3, count)
        chance = sigmoid(logits[:, 0] / 2 + 20 * np.minimum(irregular, 0.25) - 3)
        codes = np.where(rng.random(count) < chance, AF, SINUS_RHYTHM).astype(np.int8)
        rows.append(replace(beats(record, 0.5, 0.5), rhythm=logits, codes=codes, irregularity=irregular))
    wave, intervals, offset = operating_point(rows)["fibrillation"]
    assert wave == pytest.approx(0.5, abs=0.05)
    assert intervals == pytest.approx(20, abs=2)
    assert offset == pytest.approx(-3, abs=0.4)


def test_what_is_only_known_not_to_be_fibrillation_does_not_judge_tachycardia() -> None:
    told = [beats("mitdb/101", 0.5, 0.8), beats("svdb/800", 0.6, 0.7)]
    codes = np.full(400, NOT_AF, dtype=np.int8)
    weak = row("mitdb/106", [], [], codes=codes, sharp=0.1, irregularity=np.full(400, 0.1))
    mine, its = operating_point(told), operating_point([*told, weak])
    vt = RHYTHMS.index("VT")
    assert (its["scale"][vt], its["offset"][vt]) == (mine["scale"][vt], mine["offset"][vt])
    assert its["fibrillation"] != mine["fibrillation"]
    assert set(AVERAGE) == set(RHYTHMS)


def test_ventricular_fibrillation_is_told_between_what_must_be_found_and_what_is_false() -> None:
    """Episodes of 5 s score 0.5, a stretch of sinus rhythm that only looks like it 0.2."""
    codes = np.repeat([SINUS_RHYTHM, VF] * 4, 60).astype(np.int8)
    logits = np.where(codes == VF, 0.0, -6.0)
    logits[10:30] = np.log(0.2 / 0.8)
    told = row("cudb-vf/1", [], [], codes=codes, sharp=0.0)
    alike = replace(told, rhythm=np.repeat(logits[:, None], 3, axis=1))
    assert 0.2 < _vf_threshold([alike], (1.0, 0.0)) < 0.5


def test_a_false_episode_where_the_rhythm_is_unknown_counts_for_nothing() -> None:
    codes = np.repeat([UNKNOWN, VF], 60).astype(np.int8)
    sure = row("cudb-vf/1", [], [], codes=codes, sharp=0.0)
    logits = np.where(codes == VF, 0.0, np.log(0.4 / 0.6))
    told = replace(sure, rhythm=np.repeat(logits[:, None], 3, axis=1))
    assert _vf_threshold([told], (1.0, 0.0)) < 0.4
