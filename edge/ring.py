"""The last stretch of the stream in memory: samples, what is missing, which leads were off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.ecg import Counts, Mask

LeadBits = npt.NDArray[np.uint16]  # bit i: lead i was reported off


class Ring:
    """Samples `first` to `last` of every lead; anything asked for outside is missing, and 0."""

    def __init__(self, leads: int, first: int) -> None:
        self.first = first
        self._counts: Counts = np.zeros((leads, 0), dtype=np.int32)
        self._missing: Mask = np.zeros(0, dtype=np.bool_)
        self._off: LeadBits = np.zeros(0, dtype=np.uint16)

    @property
    def last(self) -> int:
        return self.first + len(self._missing) - 1

    def append(self, first: int, counts: Counts, lead_off: int) -> None:
        """Samples in order; what came before is dropped, a hole before `first` is missing."""
        if first > self.last + 1:
            self.append_gap(self.last + 1, first - self.last - 1)
        fresh = counts[:, max(0, self.last + 1 - first) :]
        count = fresh.shape[1]
        self._extend(fresh, np.zeros(count, dtype=np.bool_), np.full(count, lead_off, dtype=np.uint16))

    def append_gap(self, first: int, count: int) -> None:
        count = first + count - 1 - self.last
        if count > 0:
            zeros = np.zeros((len(self._counts), count), dtype=np.int32)
            self._extend(zeros, np.ones(count, dtype=np.bool_), np.zeros(count, dtype=np.uint16))

    def cut(self, first: int, last: int) -> tuple[Counts, Mask, LeadBits]:
        """Copies of (lead, sample), missing (sample,) and lead-off bits (sample,), both ends included."""
        count = last - first + 1
        counts = np.zeros((len(self._counts), count), dtype=np.int32)
        missing = np.ones(count, dtype=np.bool_)
        off = np.zeros(count, dtype=np.uint16)
        low, high = max(first, self.first), min(last, self.last) + 1
        if low < high:
            here, there = slice(low - first, high - first), slice(low - self.first, high - self.first)
            counts[:, here] = self._counts[:, there]
            missing[here] = self._missing[there]
            off[here] = self._off[there]
        return counts, missing, off

    def trim(self, before: int) -> None:
        """Forget everything before sample `before`."""
        drop = min(max(0, before - self.first), len(self._missing))
        self._counts, self._missing, self._off = (
            self._counts[:, drop:],
            self._missing[drop:],
            self._off[drop:],
        )
        self.first += drop

    def _extend(self, counts: Counts, missing: Mask, off: LeadBits) -> None:
        self._counts = np.concatenate([self._counts, counts], axis=1)
        self._missing = np.concatenate([self._missing, missing])
        self._off = np.concatenate([self._off, off])
