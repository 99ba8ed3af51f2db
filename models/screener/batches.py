"""Training batches: stretches drawn from the tracks, made noisy, conditioned.

Every batch is a function of (seed, step), so an interrupted training goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from models.dataset.annotated import nstdb
from models.screener.tracks import F_BEAT, S_BEAT, V_BEAT, Floats, Targets, Track, targets
from models.signals.conditioning import NETWORK_FS, condition, resample

BATCH = 64
WINDOW = 1000  # samples: 10 s
LONG_SHARE = 0.2  # of the batches: what the cloud reads at once is up to 45 s
LONG_S = (20, 45)
ECTOPIC_SHARE = 0.35  # of the stretches of beat-annotated records: placed over a rare beat
ECTOPIC = {S_BEAT: 0.4, V_BEAT: 0.25, F_BEAT: 0.35}
MANY_BEATS = 50  # records with more beats of a kind are drawn no more often
DRAWS = 6  # to find a window of the wished class
SHARES = {"mitdb": 0.40, "svdb": 0.33, "cinc2017": 0.12, "cpsc2021": 0.05, "cudb-vf": 0.08, "vfdb": 0.02}


@dataclass(frozen=True, slots=True)
class Batch:
    """`window_known` is 0 everywhere in a long batch: the window head is for 10 s."""

    x: Floats  # (stretch, sample), conditioned
    tokens: Floats  # (stretch, token, label)
    known: Floats
    window: Floats  # (stretch,)
    window_known: Floats


class Sampler:
    """Draws batches from `tracks`, noise from the training minutes of NSTDB."""

    def __init__(self, tracks: Sequence[Track], noises: Sequence[Floats]) -> None:
        self._by_source = {s: [t for t in tracks if t.source == s] for s in SHARES}
        self._sources = [s for s in SHARES if self._by_source[s]]
        shares = np.asarray([SHARES[s] for s in self._sources])
        self._shares = shares / shares.sum()
        self._noises = noises
        self._holders = {kind: self._holding(kind) for kind in ECTOPIC}

    def _holding(self, kind: int) -> tuple[list[Track], Floats]:
        """Tracks with beats of a kind, and how likely each is drawn."""
        tracks = [t for group in self._by_source.values() for t in group if (t.kinds == kind).any()]
        counts = np.asarray([min(MANY_BEATS, int((t.kinds == kind).sum())) for t in tracks], dtype=np.float32)
        return tracks, counts / max(1, counts.sum())

    def batch(self, *seed: int) -> Batch:
        rng = np.random.default_rng(seed)
        long = rng.random() < LONG_SHARE
        length = int(rng.integers(LONG_S[0], LONG_S[1] + 1) * NETWORK_FS) if long else WINDOW
        size = BATCH * WINDOW // length
        drawn = [self._draw(rng, length) for _ in range(size)]
        x = self._spoilt(rng, np.stack([signal for signal, _ in drawn]))
        wished = np.asarray([target.abnormal for _, target in drawn], dtype=np.float32)
        known = np.isfinite(wished) & (not long)
        return Batch(
            condition(x, NETWORK_FS),
            np.stack([target.tokens for _, target in drawn]),
            np.stack([target.known for _, target in drawn]),
            np.where(known, wished, 0).astype(np.float32),
            known.astype(np.float32),
        )

    def _draw(self, rng: np.random.Generator, length: int) -> tuple[Floats, Targets]:
        """A stretch of a record of a source; up to `DRAWS` tries for an abnormal or a normal one."""
        stretch = rng.uniform(0.92, 1.08) if rng.random() < 0.3 else 1.0
        source = self._sources[rng.choice(len(self._sources), p=self._shares)]
        if source in {"mitdb", "svdb"} and rng.random() < ECTOPIC_SHARE:
            return self._over_a_rare_beat(rng, length, stretch)
        wish = float(rng.random() < 0.5)
        tracks = self._by_source[source]
        track = tracks[rng.integers(len(tracks))]
        for _ in range(DRAWS):
            if track.source == "cinc2017":  # a strip is of one class: another strip, not another place
                track = tracks[rng.integers(len(tracks))]
            start = rng.uniform(0, max(0.0, track.seconds - length / NETWORK_FS * stretch))
            found = targets(track, start, length, stretch)
            if found.abnormal == wish:
                break
        return _cut(rng, track, start, length, stretch), found

    def _over_a_rare_beat(
        self, rng: np.random.Generator, length: int, stretch: float
    ) -> tuple[Floats, Targets]:
        kinds = [kind for kind in ECTOPIC if self._holders[kind][0]]
        odds = np.asarray([ECTOPIC[kind] for kind in kinds])
        kind = kinds[rng.choice(len(kinds), p=odds / odds.sum())]
        tracks, likely = self._holders[kind]
        track = tracks[rng.choice(len(tracks), p=likely)]
        seconds = length / NETWORK_FS * stretch
        start = rng.choice(track.beats[track.kinds == kind]) - rng.uniform(0, seconds)
        start = float(np.clip(start, 0, max(0.0, track.seconds - seconds)))
        return _cut(rng, track, start, length, stretch), targets(track, start, length, stretch)

    def _spoilt(self, rng: np.random.Generator, x: Floats) -> Floats:
        """(stretch, sample): sign, electrode and baseline noise of 3-24 dB, white noise, blur."""
        size, length = x.shape
        x = x * np.where(rng.random((size, 1)) < 0.2, -1, 1).astype(np.float32)
        power = signal_power(x)
        for i in range(size):
            if rng.random() < 0.5:
                x[i] += at_snr(rng, self._noises, length, power[i], rng.uniform(3, 24))
            if rng.random() < 0.2:
                white = rng.normal(size=length)
                x[i] += white * np.sqrt(power[i]) * 10 ** (-rng.uniform(10, 30) / 20)
            if rng.random() < 0.2:
                x[i] = ndimage.uniform_filter1d(x[i], int(rng.integers(2, 5)))
        return x


def training_noises(data: Path) -> list[Floats]:
    """Channels of NSTDB `em` and `bw`, minutes 0-20, float32 at 100 Hz."""
    channels: list[Floats] = []
    for kind in ("em", "bw"):
        fs, noise = nstdb(data, kind, "train")
        channels += list(resample(noise, fs, NETWORK_FS).astype(np.float32))
    return channels


def signal_power(x: Floats, fs: float = NETWORK_FS) -> npt.NDArray[np.float64]:
    """(stretch,): (median over 1 s of peak to peak)^2 / 8, as the `nst` tool of NSTDB defines it."""
    second = round(fs)
    blocks = x[:, : x.shape[1] // second * second].reshape(len(x), -1, second)
    return np.asarray(np.median(np.ptp(blocks, axis=2), axis=1).astype(np.float64) ** 2 / 8)


def at_snr(
    rng: np.random.Generator, noises: Sequence[Floats], length: int, power: float, decibel: float
) -> Floats:
    """`length` samples of one of the noises, so loud that signal power over noise power is `decibel`."""
    noise = noises[int(rng.integers(len(noises)))]
    first = int(rng.integers(0, len(noise) - length))
    piece = noise[first : first + length] - noise[first : first + length].mean()
    scale = np.sqrt(power / (np.mean(piece.astype(np.float64) ** 2) + 1e-9)) * 10 ** (-decibel / 20)
    return np.asarray(piece * np.float32(scale), dtype=np.float32)


def _cut(rng: np.random.Generator, track: Track, start: float, length: int, stretch: float) -> Floats:
    """(length,): one lead, or a mixture of two; a strip that is too short is held at its end."""
    leads = track.signal
    at = start * NETWORK_FS + np.arange(length) * stretch
    first, last = int(at[0]), min(int(at[-1]) + 2, leads.shape[1])
    if len(leads) > 1 and rng.random() < 0.3:
        angle = rng.uniform(0, 2 * np.pi)
        lead = np.cos(angle) * leads[0, first:last] + np.sin(angle) * leads[1, first:last]
    else:
        lead = leads[rng.integers(len(leads)), first:last]
    return np.asarray(np.interp(at - first, np.arange(len(lead)), lead), dtype=np.float32)
