"""The grid on which windows begin: multiples of 5 s in sample index, whatever the rate."""

from __future__ import annotations

WINDOW_S = 10.0
HOP_S = 5.0


def grid(k: int, fs: float) -> int:
    """First sample of hop `k`; window `k` is `grid(k)` to `grid(k + 2) - 1`, both included."""
    return round(k * HOP_S * fs)
