"""Training batches of the beat classifier: sequences of beats of one or two leads, and intervals alone.

Every batch is a function of (seed, step).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from models.anyecg.batches import (
    TAUGHT,
    WEIGHTS,
    Arrays,
    Noise,
    leads_of,
    rare_beat,
    record_odds,
    spoilt,
)
from models.anyecg.rr import Floats, rr_numbers
from models.anyecg.shapes import ABSOLUTE, aligned, cut, describe
from models.dataset.tracks import UNKNOWN, Codes, N, S, Track, V
from models.signals.conditioning import NETWORK_FS, scaled

SHORT = 8
LENGTHS = ((SHORT, 0.15), (24, 0.2), (48, 0.45), (72, 0.2))  # beats, and how often
CLINICAL_SHARE = 0.5  # of the short sequences: 10 s of 12 leads, to learn what bundle branch block looks like
BEATS_PER_BATCH = 1536
RARE_SHARE = 0.5
MARGIN_S = 1.0
RESEQUENCED = 0.15  # of the sequences with an S
RUN_SHARE = 0.5  # of these: a supraventricular run instead of single early beats

RELATIVE_SHARE = 0.35  # of the sequences: a beat is known only by how it differs from the usual one


class BeatSampler:
    """Draws sequences from tracks whose beats have classes."""

    def __init__(self, tracks: Sequence[Track], noise: Noise) -> None:
        self._tracks = [t for t in tracks if t.source in {"mitdb", "svdb"}]
        self._odds = record_odds(self._tracks)
        self._clinical = [t for t in tracks if t.source == "clinical" and len(t.beats) > SHORT]
        forms = np.asarray([t.morphology[0] for t in self._clinical], dtype=np.int64)
        shares = 1 / np.bincount(forms, minlength=4)[forms] if len(forms) else np.zeros(0)
        self._clinical_odds = shares / max(1e-9, shares.sum())
        self._noise = noise

    def batch(self, *seed: int) -> Arrays:
        """(shapes, numbers, rr, kinds, known, morphology, known_morphology): `known` weighs the losses."""
        rng = np.random.default_rng(seed)
        length = LENGTHS[rng.choice(len(LENGTHS), p=[share for _, share in LENGTHS])][0]
        count = 1 + int(rng.random() < 0.5)
        rows = [self._draw(rng, length, count) for _ in range(BEATS_PER_BATCH // length)]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _draw(self, rng: np.random.Generator, length: int, count: int) -> Arrays:
        if length == SHORT and self._clinical and rng.random() < CLINICAL_SHARE:
            track = self._clinical[rng.choice(len(self._clinical), p=self._clinical_odds)]
        else:
            track = self._tracks[rng.choice(len(self._tracks), p=self._odds)]
        a = _first(rng, track.kinds, length)
        beats = track.beats[a : a + length]
        start = max(0.0, beats[0] - MARGIN_S)
        stretch = float(np.exp(rng.normal(0, 0.1)))  # of the shape
        size = int((beats[-1] + MARGIN_S - start) * NETWORK_FS / stretch)
        x, _ = leads_of(rng, track, start, size, stretch, count)
        if rng.random() < 0.4:
            x = spoilt(rng, x, self._noise)
        signal, _ = scaled(x)
        jitter = rng.normal(0, 0.008, length) + rng.normal(0, 0.012)
        peaks = np.clip(np.rint(((beats - start) / stretch + jitter) * NETWORK_FS), 0, size - 1).astype(
            np.int64
        )
        held = cut(signal, aligned(signal, peaks)) * np.float32(np.exp(rng.normal(0, 0.15)))
        if rng.random() < 0.5:
            held = held * np.exp(rng.normal(0, 0.06, (length, 1, 1))).astype(np.float32)
        kinds, forms = track.kinds[a : a + length], track.morphology[a : a + length]
        times = (beats + jitter) * np.exp(rng.normal(0, 0.12))
        if (kinds == S).any() and (kinds == N).sum() > 2 and rng.random() < RESEQUENCED:
            order, times = resequenced(rng, kinds)
            held, kinds, forms = held[order], kinds[order], forms[order]
        shapes, numbers = describe(held)
        if rng.random() < RELATIVE_SHARE:
            shapes[:, :, 0] = 0
            numbers[:, :, ABSOLUTE] = 0
            forms = np.full_like(forms, UNKNOWN)  # bundle branch block is nothing that differs
        return shapes, numbers, rr_numbers(times), *_labels(kinds, forms)


def _first(rng: np.random.Generator, kinds: Codes, length: int) -> int:
    """Where a sequence begins: anywhere, or over a rare beat."""
    last = len(kinds) - length
    rare = rare_beat(rng, kinds)
    if rare is None or rng.random() >= RARE_SHARE:
        return int(rng.integers(last))
    return int(np.clip(rare - rng.integers(length), 0, last))


def resequenced(
    rng: np.random.Generator, kinds: Codes
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """(order, seconds): the same beats in another order, with intervals to match.

    Early beats in every pattern from isolated ones to more early than normal, and runs that begin and end
    at once: what few records hold, and what a patient never seen may have.
    """
    run = rng.random() < RUN_SHARE
    wanted = _run(rng, len(kinds)) if run else _early(rng, len(kinds))
    if (kinds == V).any() and rng.random() < 0.5:
        wanted[(wanted == N) & (rng.random(len(kinds)) < 0.1)] = V
    order = np.asarray([rng.choice(np.flatnonzero(kinds == kind)) for kind in wanted])
    return order, np.cumsum(_intervals(rng, wanted, run=run))


def _early(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Kinds of a bigeminy, couplets, ... of S, or of S at random."""
    wanted = np.full(count, N)
    cycle = (int(rng.integers(1, 7)), int(rng.choice((1, 1, 1, 2, 2, 3))))
    regular, at = rng.random() < 0.6, int(rng.integers(0, 4))
    while at < count:
        few, many = cycle if regular else (int(rng.geometric(0.15)), int(rng.choice((1, 1, 2, 3))))
        wanted[at + few : at + few + many] = S
        at += few + many
    return wanted


def _run(rng: np.random.Generator, count: int) -> npt.NDArray[np.int64]:
    """Kinds of one run of S that begins in the first half."""
    wanted = np.full(count, N)
    first = int(rng.integers(2, max(3, count // 2)))
    wanted[first : first + int(rng.integers(4, count))] = S
    return wanted


def _intervals(
    rng: np.random.Generator, kinds: npt.NDArray[np.int64], *, run: bool
) -> npt.NDArray[np.float64]:
    """(beat,) seconds since the beat before: early ones short, those after them longer."""
    count = len(kinds)
    before = np.roll(kinds, 1)
    short = rng.uniform(0.45, 0.75) if run else rng.uniform(0.55, 0.92)
    early = np.where(kinds == S, short, rng.uniform(0.5, 0.85))
    after = np.where(before == S, rng.uniform(0.97, 1.35), rng.uniform(1.0, 1.6))
    drift = 1 + 0.05 * np.sin(np.arange(count) / rng.uniform(2, 20)) + rng.normal(0, 0.02, count)
    usual = float(np.clip(0.8 * np.exp(rng.normal(0, 0.25)), 0.5 if run else 0.4, 1.5))
    late = (before != N) & (kinds == N)
    return np.asarray(usual * drift * np.where(kinds != N, early, np.where(late, after, 1.0)))


def _labels(
    kinds: Codes, morphology: Codes
) -> tuple[npt.NDArray[np.int64], Floats, npt.NDArray[np.int64], Floats]:
    k, m = np.maximum(kinds, 0).astype(np.int64), np.maximum(morphology, 0).astype(np.int64)
    return TAUGHT[k], WEIGHTS[k] * (kinds != UNKNOWN), m, (morphology != UNKNOWN).astype(np.float32)


class IntervalSampler:
    """Draws sequences of intervals from records without waveform; `kinds` holds N, S and V."""

    def __init__(self, records: Sequence[tuple[npt.NDArray[np.float64], Codes]]) -> None:
        self._records = [(b, k) for b, k in records if len(b) > LENGTHS[-1][0]]

    def batch(self, size: int, length: int, *seed: int) -> tuple[Floats, npt.NDArray[np.int64], Floats]:
        """(rr (size, length, 10), kinds, known)."""
        rng = np.random.default_rng(seed)
        rows = []
        for _ in range(size):
            beats, kinds = self._records[int(rng.integers(len(self._records)))]
            a = _first(rng, kinds, length)
            part = kinds[a : a + length]
            rr = rr_numbers(beats[a : a + length] * np.exp(rng.normal(0, 0.12)))
            k, known, *_ = _labels(part, part)
            rows.append((rr, k, known))
        intervals, wanted, weights = zip(*rows, strict=True)
        return np.stack(intervals), np.stack(wanted), np.stack(weights)
