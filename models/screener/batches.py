"""Training batches of the screener: 10 s windows, half of them abnormal, spoilt as real ones are.

Every batch is a function of (seed, step), so an interrupted training goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.anyecg.batches import Arrays, Noise, leads_of, seen, spoilt
from models.anyecg.labels import TOKEN
from models.anyecg.rr import Floats
from models.dataset.tracks import AF, NOT_AF, NOT_VF, SINUS_RHYTHM, VF, F, S, Track, V
from models.screener.labels import LABELS, NEIGHBOUR_S
from models.signals.conditioning import NETWORK_FS

BATCH = 64
WINDOW = 1280  # samples: 10 s
RARE_SHARE = 0.35  # of the windows of beat-annotated records: placed over a rare beat
RARE = {S: 0.45, V: 0.3, F: 0.25}
MANY_BEATS = 50  # records with more beats of a kind are drawn no more often
DRAWS = 6  # to find a window of the wished class
FAST_SHARE = 0.15  # of the windows: played faster, so that a fast sinus is seen in every shape
SHARES = {
    "mitdb": 0.38,
    "svdb": 0.31,
    "cinc2017": 0.13,
    "cpsc2021": 0.03,
    "afpdb": 0.03,
    "aftdb": 0.02,
    "cudb-vf": 0.08,
    "vfdb": 0.02,
}
NON_SINUS_S = 2.0  # this much makes a window abnormal
PAUSE_S = 2.5
SLOW, FAST = 50.0, 120.0  # beats per minute
AF_SHARE = 0.2  # windows with less AF than this, but some, are left out where only AF is annotated


@dataclass(frozen=True, slots=True)
class Targets:
    """What a window should answer; `known` is the weight in the loss, 0 where nobody said."""

    tokens: Floats  # (token, label), 0 or 1
    known: Floats  # (token, label)
    abnormal: float  # 1, 0, or nan where the window cannot be judged


class Sampler:
    """Draws batches from `tracks`."""

    def __init__(self, tracks: Sequence[Track], noise: Noise) -> None:
        self._by_source = {s: [t for t in tracks if t.source == s] for s in SHARES}
        self._sources = [s for s in SHARES if self._by_source[s]]
        shares = np.asarray([SHARES[s] for s in self._sources])
        self._shares = shares / shares.sum()
        self._noise = noise
        self._holders = {kind: self._holding(kind) for kind in RARE}

    def _holding(self, kind: int) -> tuple[list[Track], npt.NDArray[np.float64]]:
        """Tracks with beats of a kind, and how likely each is drawn."""
        tracks = [t for group in self._by_source.values() for t in group if (t.kinds == kind).any()]
        counts = np.asarray([min(MANY_BEATS, int((t.kinds == kind).sum())) for t in tracks], dtype=np.float64)
        return tracks, counts / max(1, counts.sum())

    def batch(self, *seed: int) -> Arrays:
        """(x (window, lead, sample), lead, gain, tokens, known, window, window_known)."""
        rng = np.random.default_rng(seed)
        count = 1 + int(rng.random() < 0.4)
        rows = []
        for _ in range(BATCH):
            track, start, stretch, found = self._draw(rng)
            x, lead = leads_of(rng, track, start, WINDOW, stretch, count)
            if rng.random() < 0.5:
                x = spoilt(rng, x, self._noise)
            known = np.float32(np.isfinite(found.abnormal))
            wished = np.float32(found.abnormal if known else 0)
            rows.append((*seen(rng, x, lead), found.tokens, found.known, wished, known))
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _draw(self, rng: np.random.Generator) -> tuple[Track, float, float, Targets]:
        """A window of a record of a source; up to `DRAWS` tries for an abnormal or a normal one."""
        stretch = rng.uniform(1.0, 1.6) if rng.random() < FAST_SHARE else float(np.exp(rng.normal(0, 0.05)))
        source = self._sources[rng.choice(len(self._sources), p=self._shares)]
        if source in {"mitdb", "svdb"} and rng.random() < RARE_SHARE:
            return self._over_a_rare_beat(rng, stretch)
        wish = float(rng.random() < 0.5)
        tracks = self._by_source[source]
        track = tracks[rng.integers(len(tracks))]
        for _ in range(DRAWS):
            if track.source == "cinc2017":  # a strip is of one class: another strip, not another place
                track = tracks[rng.integers(len(tracks))]
            start = rng.uniform(0, max(0.0, track.seconds - WINDOW / NETWORK_FS * stretch))
            found = targets(track, start, WINDOW, stretch)
            if found.abnormal == wish:
                break
        return track, start, stretch, found

    def _over_a_rare_beat(
        self, rng: np.random.Generator, stretch: float
    ) -> tuple[Track, float, float, Targets]:
        kinds = [kind for kind in RARE if self._holders[kind][0]]
        odds = np.asarray([RARE[kind] for kind in kinds])
        kind = kinds[rng.choice(len(kinds), p=odds / odds.sum())]
        tracks, likely = self._holders[kind]
        track = tracks[rng.choice(len(tracks), p=likely)]
        seconds = WINDOW / NETWORK_FS * stretch
        start = rng.choice(track.beats[track.kinds == kind]) - rng.uniform(0, seconds)
        start = float(np.clip(start, 0, max(0.0, track.seconds - seconds)))
        return track, start, stretch, targets(track, start, WINDOW, stretch)


def targets(track: Track, start: float, length: int, stretch: float = 1.0) -> Targets:
    """Of `length` samples that begin `start` seconds into the record, played `stretch` times faster."""
    seconds = length / NETWORK_FS
    a, b = np.searchsorted(track.beats, (start, start + seconds * stretch))
    beats, kinds = (track.beats[a:b] - start) / stretch, track.kinds[a:b]
    count = -(-length // TOKEN)
    middles = start * NETWORK_FS + (np.arange(count) + 0.5) * TOKEN * stretch
    codes = track.rhythm[np.minimum(middles.astype(np.int64), len(track.rhythm) - 1)]
    tokens = np.zeros((count, len(LABELS)), dtype=np.float32)
    tokens[_held(beats[kinds == S], count), 0] = 1.0
    tokens[_held(beats[kinds >= V], count), 1] = 1.0
    tokens[:, 2] = codes == AF
    tokens[:, 3] = codes == VF
    tokens[:, 4] = codes > SINUS_RHYTHM
    certain, not_af = codes >= SINUS_RHYTHM, codes == NOT_AF
    classes = (codes != VF) & _classes_known(track)
    known = np.stack(
        [classes, classes, certain | not_af, certain | not_af | (codes == NOT_VF), certain], axis=1
    ).astype(np.float32)
    return Targets(tokens, known, _abnormal(track, codes, beats, kinds, seconds))


def _classes_known(track: Track) -> bool:
    return track.source in {"mitdb", "svdb"}


def _held(beats: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.int64]:
    """Tokens that hold these beats, or lie within 60 ms of one."""
    near = np.concatenate([beats - NEIGHBOUR_S, beats + NEIGHBOUR_S])
    return np.clip((near * NETWORK_FS / TOKEN).astype(np.int64), 0, count - 1)


def _abnormal(
    track: Track,
    codes: npt.NDArray[np.int8],
    beats: npt.NDArray[np.float64],
    kinds: npt.NDArray[np.int8],
    seconds: float,
) -> float:
    other = codes > SINUS_RHYTHM
    if (kinds > 0).any() or other.sum() * TOKEN / NETWORK_FS >= NON_SINUS_S:
        few = track.source in {"cpsc2021", "afpdb"} and other.mean() < AF_SHARE
        return float("nan") if few else 1.0
    sinus_strip = track.source == "cinc2017" and (codes == SINUS_RHYTHM).all()
    if not (_classes_known(track) or sinus_strip):
        return float("nan")
    gaps = np.diff(np.concatenate([[0.0], beats, [seconds]]))
    rate = 60.0 / np.diff(beats).mean() if len(beats) > 1 else 0.0
    return float(gaps.max() >= PAUSE_S or not SLOW <= rate <= FAST)
