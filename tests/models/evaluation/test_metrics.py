from __future__ import annotations

from math import isnan

import numpy as np
import pytest

from models.evaluation.metrics import (
    auroc,
    expected_calibration_error,
    f_curve,
    logit,
    platt,
    sensitivity,
    sigmoid,
    specificity,
    threshold_at,
)


def test_auroc_counts_ties_half() -> None:
    assert auroc([1, 2, 3, 4], [0, 0, 1, 1]) == 1
    assert auroc([1, 1, 1, 1], [0, 1, 0, 1]) == 0.5
    assert auroc([1, 2, 2, 3], [0, 1, 0, 1]) == pytest.approx(3.5 / 4)
    assert isnan(auroc([1, 2], [1, 1]))


def test_a_threshold_for_a_specificity_keeps_it() -> None:
    rng = np.random.default_rng(0)
    score, truth = rng.normal(size=10_000), rng.random(10_000) < 0.3
    at = threshold_at(score, truth, 0.88)
    assert specificity(score, truth, at) == pytest.approx(0.88, abs=0.001)
    assert sensitivity(score, truth, at) == pytest.approx(0.12, abs=0.02)


def test_f1_is_one_where_the_threshold_parts_the_classes() -> None:
    curve = f_curve([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1], [0.05, 0.5, 0.85, 0.95])
    assert curve.tolist() == pytest.approx([2 / 3, 1, 2 / 3, 0])


def test_platt_finds_the_scale_and_offset_that_made_the_outcomes() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(0, 2, 50_000)
    truth = rng.random(len(x)) < sigmoid(1.5 * x - 1)
    scale, offset = platt(x, truth)
    assert (scale, offset) == pytest.approx((1.5, -1), abs=0.05)
    assert expected_calibration_error(sigmoid(scale * x + offset), truth) < 0.01
    assert expected_calibration_error(sigmoid(4 * x + 2), truth) > 0.05


def test_logit_undoes_sigmoid_and_stays_finite() -> None:
    np.testing.assert_allclose(logit(sigmoid([-3.0, 0.5])), [-3.0, 0.5])
    assert np.isfinite(logit([0.0, 1.0])).all()
