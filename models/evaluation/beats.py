"""Beats found against beats annotated, after AAMI EC57: a match is within 150 ms, each beat matches once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

TOLERANCE_S = 0.150
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matches:
    """`found_of` (truth,): index of the found beat, -1 where missed; `truth_of` (found,): the reverse."""

    found_of: Indices
    truth_of: Indices


def match_beats(truth: npt.ArrayLike, found: npt.ArrayLike, fs: float) -> Matches:
    """Pairs two ascending lists of samples at `fs` Hz, the closest pairs first."""
    true, seen = np.asarray(truth, dtype=np.int64), np.asarray(found, dtype=np.int64)
    found_of, truth_of = np.full(len(true), -1), np.full(len(seen), -1)
    reach = round(TOLERANCE_S * fs)
    firsts = np.searchsorted(seen, true - reach)
    ends = np.searchsorted(seen, true + reach, side="right")
    pairs = [(abs(int(true[i] - seen[j])), i, j) for i in range(len(true)) for j in range(firsts[i], ends[i])]
    for _, i, j in sorted(pairs):
        if found_of[i] < 0 and truth_of[j] < 0:
            found_of[i], truth_of[j] = j, i
    return Matches(found_of, truth_of)
