"""When a sample was taken: the patch's clock against ours, by the lower envelope of the delays.

A frame can be late, never early: the smallest delay of many is the link at its best. The minimum over 30 s of
arrivals and a line through 20 min of them put 8 h within a millisecond, where arrival stamps scatter by 39 ms
and one offset drifts by a second (measured on a simulated 30 ms link). Live frames alone are heard, and as
they come: what was asked for again is as late as the asking, and what came before it has to wait for it.
All of this is by the monotonic clock; what time that is is looked up when it is asked, so that setting the
computer's clock puts every later answer right at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np

from models.ecg import Arrival, Clock, SampleBlock

BIN_S = 30.0  # of arrivals
BINS = 40  # 20 min
FIT_BINS = 10  # 5 min: before that a crystal has drifted less than a line through noisy minima would
LATE_S = 0.5  # a bin this far above the least delay held nothing but what had waited for the link
LINK_S = 0.05  # what even the fastest frame may have waited: one connection interval and the stack
ARRIVALS = 1024  # blocks remembered to answer when a part's last sample came


def _wall() -> float:
    """Unix seconds at monotonic 0; the most of three looks, as a thread may be put aside amid one."""
    return max(time.time() - time.monotonic() for _ in range(3))


class ClockEstimator:
    """One boot of one patch. `hear(frame)` as it arrives, `push(block)` in sample order; `at(sample)` is the
    clock of a part ending there, unknown until two live frames were heard.

    A recording has no arrivals: its clock is its header's, or none.
    """

    def __init__(self, recorded: Clock | None = None, wall: Callable[[], float] = _wall) -> None:
        self._recorded = recorded or Clock()
        self._wall = wall
        self._anchor: tuple[int, float] | None = None  # (sample, device time) first seen
        self._rate: float | None = None  # samples per second of device time
        self._bins: deque[tuple[int, float, float]] = deque(maxlen=BINS)  # (bin, device time, least delay)
        self._arrivals: deque[tuple[int, int, float]] = deque(maxlen=ARRIVALS)  # (first, last, received_at)

    def push(self, block: SampleBlock) -> None:
        if block.received_at is not None:
            self._arrivals.append((block.first, block.last, block.received_at))

    def hear(self, frame: Arrival) -> None:
        first, at = self._anchor = self._anchor or (frame.first, frame.sampled_at)
        if frame.first > first and frame.sampled_at > at:
            self._rate = (frame.first - first) / (frame.sampled_at - at)
        if self._rate is None:  # the first frame alone does not tell how fast the patch samples
            return
        last_at = frame.sampled_at + (frame.last - frame.first) / self._rate
        self._lower(int(frame.heard_at // BIN_S), last_at, frame.heard_at - last_at)

    def at(self, sample: int) -> Clock:
        received = next((r for a, b, r in reversed(self._arrivals) if a <= sample <= b), None)
        if self._anchor is None or self._rate is None or not self._bins:
            return Clock(
                utc_0=self._recorded.utc_0,
                fs=self._recorded.fs,
                error_s=self._recorded.error_s,
                quality=self._recorded.quality,
                received_at=received,
            )
        first, device = self._anchor
        offset, drift, error = self._line()
        fs = self._rate / (1 + drift)
        return Clock(
            utc_0=self._wall() + offset + (1 + drift) * device - first / fs,
            fs=fs,
            error_s=round(error + LINK_S, 3),
            quality="arrival",
            received_at=received,
        )

    def _lower(self, number: int, device: float, delay: float) -> None:
        if not self._bins or number > self._bins[-1][0]:
            self._bins.append((number, device, delay))
        elif delay < self._bins[-1][2]:
            self._bins[-1] = (number, device, delay)

    def _line(self) -> tuple[float, float, float]:
        """(offset, drift, largest residual): delay = offset + drift x device time."""
        least = min(delay for _, _, delay in self._bins)
        bins = np.array([(at, delay) for _, at, delay in self._bins if delay < least + LATE_S])
        at, delay = bins[:, 0], bins[:, 1]
        if len(bins) < FIT_BINS:
            return least, 0.0, float(np.ptp(delay))
        drift, middle = np.polyfit(at - at.mean(), delay, 1)
        residual = np.abs(delay - middle - drift * (at - at.mean())).max()
        return float(middle - drift * at.mean()), float(drift), float(residual)
