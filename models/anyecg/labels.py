"""What the networks answer, in the order of their outputs, and the grids they answer on."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from models.recordings import LEADS

BEATS = ("N", "S", "V")  # softmax per beat; fusion beats are V: one patient holds nine in ten of ours
MORPHOLOGY = ("PLAIN", "L", "R", "PACED")  # softmax per beat
RHYTHMS = (
    "AFIB",
    "VF",
    "VT",
)  # independent per rhythm step; AFIB: AF or flutter, VF: VF or flutter of ventricles
LEAD_NAMES = ("?", *LEADS)  # index 0: a lead without a standard name
STEP = 4  # samples at NETWORK_FS (128 Hz) per dense step: 31.25 ms
TOKEN = 32  # samples per token: 0.25 s
RHYTHM_TOKENS = 2  # tokens per rhythm step: 0.5 s


def lead_indices(names: Iterable[str]) -> npt.NDArray[np.int64]:
    """(lead,) places in LEAD_NAMES, 0 for a name that is not standard."""
    return np.asarray([LEAD_NAMES.index(n) if n in LEAD_NAMES else 0 for n in names], dtype=np.int64)
