"""The grid on which windows and minutes begin: multiples of 5 s in sample index, whatever the rate."""

from __future__ import annotations

WINDOW_S = 10.0
HOP_S = 5.0

_MINUTE_HOPS = round(60 / HOP_S)


def grid(k: int, fs: float) -> int:
    """First sample of hop `k`; window `k` is `grid(k)` to `grid(k + 2) - 1`, both included."""
    return round(k * HOP_S * fs)


def minute_of(sample: int, fs: float) -> tuple[int, int]:
    """First sample of the minute that holds the sample, and of the next one."""
    number = int(sample // (60 * fs))
    while grid(_MINUTE_HOPS * (number + 1), fs) <= sample:  # its beginning was rounded down
        number += 1
    return grid(_MINUTE_HOPS * number, fs), grid(_MINUTE_HOPS * (number + 1), fs)
