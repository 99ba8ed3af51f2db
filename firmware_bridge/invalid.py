"""Samples that say "no sample": where they are, and the counts without them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from models.ecg import Counts, read_only


def stretches(counts: Counts, invalid: int) -> list[tuple[int, int, list[bool]]]:
    """(begin, end, per lead: has no sample) of the runs of samples in which the same leads have one."""
    leads, n = counts.shape
    if n == 0:
        return []
    if counts.min() != invalid:
        return [(0, n, [False] * leads)]
    off = counts == invalid
    edges = [0, *(np.flatnonzero((off[:, 1:] != off[:, :-1]).any(axis=0)) + 1).tolist(), n]
    return [(a, b, off[:, a].tolist()) for a, b in pairwise(edges)]


def without(counts: Counts, off: list[bool]) -> Counts:
    """The counts (lead, sample), read-only, with 0 for the leads that have no sample."""
    return read_only(np.where(np.array(off)[:, None], 0, counts) if any(off) else counts)
