"""The usual beat: what all beats have in common, laid on another's."""

from __future__ import annotations

import numpy as np
import pytest

from models.anyecg.usual import QRS, alike, common, laid_on, usual_beat
from models.recordings import Recording
from models.signals.rpeaks import r_peaks

SECONDS = 20


def beats_of(excerpt: Recording, *, sign: int = 1, late: int = 0, lead: str = "MLII"):  # type: ignore[no-untyped-def]
    """The usual beat of 20 s, its marks `late` samples behind R."""
    fs = excerpt.fs
    counts = sign * excerpt.counts[:1, : round(SECONDS * fs)].astype(np.float32)
    microvolts = counts * np.float32(excerpt.uv_per_count[0])
    missing = np.zeros(microvolts.shape[1], dtype=np.bool_)
    return usual_beat(microvolts, fs, (lead,), r_peaks(microvolts, fs) + late, missing)


def test_marks_that_lie_late_by_up_to_31_ms_change_nothing(excerpt: Recording) -> None:
    usual, late = beats_of(excerpt), beats_of(excerpt, late=round(0.025 * excerpt.fs))
    assert alike(usual, late, usual.leads, QRS)[0] < 0.9
    assert alike(usual, laid_on(late, usual), usual.leads, QRS)[0] > 0.99


def test_a_beat_upside_down_is_unlike(excerpt: Recording) -> None:
    usual = beats_of(excerpt)
    other = laid_on(beats_of(excerpt, sign=-1), usual)
    assert alike(usual, other, usual.leads, QRS)[0] < 0.5


def test_beats_without_a_common_lead_are_not_laid_on_each_other(excerpt: Recording) -> None:
    usual, other = beats_of(excerpt), beats_of(excerpt, lead="V1")
    assert common(usual, other) == ()
    assert laid_on(other, usual) is other


@pytest.mark.parametrize("hole", [False, True])
def test_a_beat_that_was_not_measured_whole_does_not_count(excerpt: Recording, hole: bool) -> None:
    fs = excerpt.fs
    microvolts = excerpt.counts[:1, : round(5 * fs)].astype(np.float32)
    peaks = r_peaks(microvolts, fs)[1:5]
    missing = np.zeros(microvolts.shape[1], dtype=np.bool_)
    if hole:
        missing[peaks[1] + 20 : peaks[2] - 20] = True
    made = usual_beat(microvolts, fs, ("MLII",), peaks, missing)
    assert (made.beats if made else 0) == (0 if hole else 4)
