"""The usual beat of an ECG and how like two of them are, as the beat classifier sees beats.

Cut and laid on each other by `models.anyecg.shapes`: 0.5-40 Hz, 453 ms before R to 422 ms after. A median is
then sampled at 512 Hz: at 128 Hz two QRS complexes may lie half a sample apart, and correlate less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.anyecg.shapes import AFTER, BEFORE, SHIFT, WIDTH, Floats, aligned, around, correlation
from models.anyecg.shapes import QRS as COARSE_QRS
from models.ecg import Mask, Microvolts
from models.signals.conditioning import NETWORK_FS, filtered, resample
from models.signals.measure import MIN_BEATS, whole_beats

FINER = 4
FS = FINER * NETWORK_FS  # Hz
QRS = slice(FINER * COARSE_QRS.start, FINER * COARSE_QRS.stop)
WHOLE = slice(None)
MOST = FINER * SHIFT  # samples by which a beat may be moved: 31 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class UsualBeat:
    """The median of `beats` beats; `wide` has 31 ms more on each side, to be laid on another."""

    leads: tuple[str, ...]
    wide: Floats  # (lead, 480 at 512 Hz) microvolts
    beats: int
    shift: int = 0  # samples by which it is moved

    @property
    def microvolts(self) -> Floats:
        """(lead, 448 at 512 Hz), R at 453 ms."""
        first = MOST + self.shift
        return self.wide[:, first : first + FINER * WIDTH]

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
    fine = resample(wide, NETWORK_FS, FS).astype(np.float32)
    return UsualBeat(leads=leads, wide=fine, beats=len(whole))


def common(a: UsualBeat, b: UsualBeat) -> tuple[str, ...]:
    """Leads that both have, in the order of `a`."""
    return tuple(lead for lead in a.leads if lead in b.leads)


def laid_on(beat: UsualBeat, other: UsualBeat) -> UsualBeat:
    """Moved by up to 31 ms to where the QRS correlates best with the other's: marks of R scatter."""
    leads = common(other, beat)
    if not leads:
        return beat
    target = other.of(leads)[:, QRS].reshape(1, -1)  # all leads as one: the larger ones say where it lies

    def match(one: UsualBeat) -> tuple[float, int]:
        return float(correlation(one.of(leads)[:, QRS].reshape(1, -1), target, WHOLE)[0]), -abs(one.shift)

    return max((replace(beat, shift=shift) for shift in range(-MOST, MOST + 1)), key=match)


def alike(a: UsualBeat, b: UsualBeat, leads: Sequence[str], part: slice = WHOLE) -> Floats:
    """(lead,) correlation, -1 to 1, of a part of the beats as they lie."""
    return correlation(a.of(leads), b.of(leads), part)
