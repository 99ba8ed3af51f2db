from __future__ import annotations

import json

import numpy as np
import pytest

from models.signals.gate import SHIPPED, shipped
from models.signals.indices import INDICES


def test_the_shipped_gate_was_made_for_these_indices() -> None:
    assert json.loads(SHIPPED.read_text())["indices"] == list(INDICES)
    assert shipped().hidden.shape[0] == len(INDICES)


def test_what_nothing_taught_is_not_extrapolated() -> None:
    far = np.stack([shipped().mean + k * shipped().scale for k in (4.0, 40.0)])
    near, beyond = shipped()(far)
    assert near == pytest.approx(beyond)
