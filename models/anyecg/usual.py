"""The usual beat of an ECG and how like two of them are, as the beat classifier sees beats.

Cut and laid on each other by `models.anyecg.shapes`: 0.5-40 Hz at 128 Hz, 453 ms before R to 422 ms after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.anyecg.shapes import AFTER, BEFORE, QRS, SHIFT, WIDTH, Floats, aligned, around, correlation
from models.ecg import Mask, Microvolts
from models.signals.conditioning import NETWORK_FS, filtered
from models.signals.measure import MIN_BEATS, whole_beats


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualBeat:
    """The median of `beats` beats; `wide` has 31 ms more on each side, to be laid on another."""

    leads: tuple[str, ...]
    wide: Floats  # (lead, 120 at 128 Hz) microvolts
    beats: int
    shift: int = 0  # samples by which it is moved

    @property
    def microvolts(self) -> Floats:
        """(lead, 112 at 128 Hz), R at sample 58."""
        return self.wide[:, SHIFT + self.shift : SHIFT + self.shift + WIDTH]

    def of(self, leads: Sequence[str]) -> Floats:
        """`microvolts` of some of its leads, in that order."""
        return self.microvolts[[self.leads.index(lead) for lead in leads]]


def usual_beat(
    microvolts: Microvolts,
    fs: float,
    leads: tuple[str, ...],
    r_offsets: npt.NDArray[np.int64],
    missing: Mask,
) -> UsualBeat | None:
    """Over those of the beats (sample offsets of R) that were measured whole; None with fewer than 3."""
    whole = r_offsets[whole_beats(r_offsets, missing, fs)]
    if len(whole) < MIN_BEATS:
        return None
    signal = filtered(microvolts, fs, missing)
    peaks = aligned(signal, np.rint(whole * NETWORK_FS / fs).astype(np.int64))
    wide = np.median(around(signal, peaks, BEFORE + SHIFT, AFTER + SHIFT), axis=0)
    return UsualBeat(leads=leads, wide=wide.astype(np.float32), beats=len(whole))


def common(a: UsualBeat, b: UsualBeat) -> tuple[str, ...]:
    """Leads that both have, in the order of `a`."""
    return tuple(lead for lead in a.leads if lead in b.leads)


def laid_on(beat: UsualBeat, other: UsualBeat) -> UsualBeat:
    """Moved by up to 31 ms to where the QRS correlates best with the other's: marks of R scatter."""
    leads = common(other, beat)
    if not leads:
        return beat
    moved = [replace(beat, shift=shift) for shift in range(-SHIFT, SHIFT + 1)]
    return max(moved, key=lambda one: (float(alike(one, other, leads, QRS).sum()), -abs(one.shift)))


def alike(a: UsualBeat, b: UsualBeat, leads: Sequence[str], part: slice = slice(None)) -> Floats:
    """(lead,) correlation, -1 to 1, of a part of the beats as they lie."""
    return correlation(a.of(leads), b.of(leads), part)
