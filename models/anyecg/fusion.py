"""Fusion beats, by a rule: a mixture of the patient's own usual beat and the patient's own ventricular one.

One patient holds nine in ten of the annotated fusion beats of the development records: a network learns
that patient. The rule learns nothing; it is what the word means, two wavefronts that meet in the ventricles.
SHARE and EXPLAINED are where normal beats of the other records are hardly ever called so (models/LOG.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from models.anyecg.shapes import AFTER, BEFORE, WIDTH, Floats, around

SURE, UNLIKELY = 0.7, 0.2  # P(V) of the beats that show what a ventricular, and what a usual one looks like
LEAST_VENTRICULAR, LEAST_USUAL = 2, 3
SHIFT = 6  # samples at 128 Hz: 47 ms by which the ventricular wavefront may be early or late
APART = 0.1  # share of a ventricular beat that the usual one does not explain, at least
SHARE, MOST = 0.25, 0.85  # of the ventricular beat in a fusion beat; with more it is a ventricular one
EXPLAINED = 0.3  # share of what sets the beat apart from the usual one that the mixture explains, at least


def fused(shares: Floats) -> npt.NDArray[np.bool_]:
    """(beat,) of `ventricular_shares`."""
    return (shares >= SHARE) & (shares <= MOST)


def ventricular_shares(signal: Floats, peaks: npt.NDArray[np.int64], ventricular: Floats) -> Floats:
    """(beat,) how much of the ventricular beat is in each; 0 where a mixture does not explain it.

    `signal` (lead, sample at 128 Hz) scaled, `peaks` aligned (`models.anyecg.shapes`), `ventricular` (beat,)
    P(V). Least squares of each beat on the medians of the usual and, shifted, of the ventricular beats.
    """
    nothing = np.zeros(len(peaks), dtype=np.float32)
    usual, sure = peaks[ventricular < UNLIKELY], peaks[ventricular >= SURE]
    if len(usual) < LEAST_USUAL or len(sure) < LEAST_VENTRICULAR:
        return nothing
    y = around(signal, peaks, BEFORE, AFTER).reshape(len(peaks), -1)
    u = np.median(around(signal, usual, BEFORE, AFTER), axis=0).reshape(-1)
    wide = np.median(around(signal, sure, BEFORE + SHIFT, AFTER + SHIFT), axis=0)
    v = sliding_window_view(wide, WIDTH, axis=1).transpose(1, 0, 2).reshape(2 * SHIFT + 1, -1)
    uu, uv, vv, yu, yv = u @ u, v @ u, (v * v).sum(axis=1), y @ u, y @ v.T
    alone = uu * vv - uv**2
    if not (alone > APART * uu * vv).any():
        return nothing
    share = (yv * uu - yu[:, None] * uv) / np.maximum(alone, APART * uu * vv)
    rest = (yu[:, None] - share * uv) / uu
    residual = (y * y).sum(axis=1)[:, None] - rest * yu[:, None] - share * yv
    best = residual.argmin(axis=1)
    each = np.arange(len(peaks))
    different = ((y - u) ** 2).sum(axis=1)
    explained = residual[each, best] <= (1 - EXPLAINED) * different
    return np.where(explained, share[each, best], 0.0).astype(np.float32)
