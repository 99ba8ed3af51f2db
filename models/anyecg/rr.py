"""RR intervals as the networks see them: logs and ratios, so that a fast heart is no early beat."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage

from models.anyecg.labels import TOKEN
from models.signals.conditioning import NETWORK_FS

Floats = npt.NDArray[np.float32]
Seconds = npt.NDArray[np.float64]

LEAST_RR_S, MOST_RR_S = 0.2, 3.0
RUNNING = 9  # beats of the running median
NEAREST = 17  # beats of the running quantiles
AROUND = 24  # beats before and after, for the irregularity of `lag_irregularity`


def rr_numbers(beats: Seconds) -> Floats:
    """(beat, 10) logs: RR before and after, both over the sequence's median and over the running median of 9,
    before over after, before over the 75 % and 25 % quantile of the 17 nearest, and these over each other."""
    if len(beats) < 2:
        return np.zeros((len(beats), 10), dtype=np.float32)
    rr = np.log(np.clip(np.diff(beats), LEAST_RR_S, MOST_RR_S))
    pre = np.concatenate([rr[:1], rr])
    post = np.concatenate([rr, rr[-1:]])
    median = float(np.median(rr))
    running = ndimage.median_filter(pre, RUNNING, mode="nearest")
    near = sliding_window_view(np.pad(pre, NEAREST // 2, mode="edge"), NEAREST)
    low, high = np.quantile(near, 0.25, axis=1), np.quantile(near, 0.75, axis=1)
    usual = np.log(0.8)
    columns = [pre - usual, post - usual, pre - median, post - median, pre - running, post - running]
    columns += [pre - post, pre - high, pre - low, high - low]
    return np.asarray(np.clip(np.stack(columns, axis=1), -2, 2), dtype=np.float32)


def rr_tokens(beats: Seconds, count: int) -> Floats:
    """(token, 6) of the interval that holds a token's middle: log of it over 0.8 s, next over it, it over the
    one before, it over the median; whether an R peak lies in the token; whether anything is known."""
    out = np.zeros((count, 6), dtype=np.float32)
    token_s = TOKEN / NETWORK_FS
    inside = np.floor(beats / token_s).astype(np.int64)
    out[inside[(inside >= 0) & (inside < count)], 4] = 1.0
    if len(beats) < 3:
        return out
    rr = np.log(np.clip(np.diff(beats), LEAST_RR_S, MOST_RR_S))
    before, after = np.concatenate([rr[:1], rr[:-1]]), np.concatenate([rr[1:], rr[-1:]])
    at = np.searchsorted(beats, (np.arange(count) + 0.5) * token_s) - 1
    known = (at >= 0) & (at < len(rr))
    at = at[known]
    out[known, :4] = np.stack(
        [rr[at] - np.log(0.8), after[at] - rr[at], rr[at] - before[at], rr[at] - np.median(rr)], axis=1
    )
    out[known, 5] = 1.0
    return np.clip(out, -2, 2)


def lag_irregularity(beats: Seconds, ventricular: npt.NDArray[np.bool_]) -> Floats:
    """(beat,) how irregular the 24 beats before and after are: the least over lags 1, 2, 3 of the median
    |log RR(i + lag) - log RR(i)|, intervals that touch a ventricular beat left out; NaN with 8 or fewer.

    Bigeminy and trigeminy repeat at lag 2 and 3, atrial fibrillation (0.12 and more) at none.
    """
    out = np.full(len(beats), np.nan, dtype=np.float32)
    if len(beats) < 3:
        return out
    rr = np.log(np.clip(np.diff(beats), LEAST_RR_S, MOST_RR_S))
    clean = ~(ventricular[1:] | ventricular[:-1])
    for i in range(len(beats)):
        a, b = max(0, i - AROUND), min(len(rr), i + AROUND)
        x, ok = rr[a:b], clean[a:b]
        found = []
        for lag in (1, 2, 3):
            both = ok[lag:] & ok[:-lag]
            if both.sum() <= 8:
                break
            found.append(float(np.median(np.abs(x[lag:] - x[:-lag])[both])))
        else:
            out[i] = min(found)
    return out
