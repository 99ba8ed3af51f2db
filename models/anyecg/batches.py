"""Training batches of the dense and the rhythm network: 32 s of one or two leads, spoilt as real ones are.

Every batch is a function of (seed, step), so an interrupted training goes on as if it had not been.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.anyecg.labels import LEAD_NAMES, RHYTHM_TOKENS, STEP, TOKEN
from models.anyecg.rr import Floats, rr_tokens
from models.dataset.annotated import nstdb
from models.dataset.tracks import AF, NOT_AF, NOT_VF, SINUS_RHYTHM, UNKNOWN, VF, VT, Codes, F, N, S, Track, V
from models.signals.conditioning import NETWORK_FS, filtered, scaled

LENGTH = 4096  # samples: 32 s
BEAT_SHARES = {"mitdb": 0.5, "svdb": 0.38, "cpsc2021": 0.06, "cudb-vf": 0.06}
RHYTHM_SHARES = {
    "cinc2017": 0.50,
    "mitdb": 0.13,
    "afpdb": 0.10,
    "cudb-vf": 0.10,
    "cpsc2021": 0.05,
    "aftdb": 0.04,
    "clinical": 0.04,
    "vfdb": 0.04,
}
RARE_SHARE = 0.5  # of the stretches of beat-annotated records: placed over a random S, V or F beat
TAUGHT = np.asarray([N, S, V, V])  # of N, S, V, F: what the network shall say
WEIGHTS = np.asarray([1.0, 1.5, 1.0, 4.0], dtype=np.float32)  # and its weight in the loss
PEAK_SIGMA = 1.2  # steps: 37 ms
NOISE_DB = (0.0, 24.0)


Arrays = tuple[npt.NDArray[np.generic], ...]
Wanted = Callable[[np.random.Generator, Track, float, float], Arrays]


class Noise:
    """Electrode motion and baseline wander of NSTDB (training minutes), and muscle-like bursts."""

    def __init__(self, data: Path) -> None:
        self.channels: list[Floats] = []
        for kind in ("em", "bw"):
            fs, noise = nstdb(data, kind, "train")
            rows = filtered(noise, fs)
            self.channels += [row / row.std() for row in rows]

    def draw(self, rng: np.random.Generator, length: int) -> Floats:
        """(length,) of unit power."""
        if rng.random() < 0.25:
            return muscle(rng, length)
        channel = self.channels[int(rng.integers(len(self.channels)))]
        first = int(rng.integers(0, len(channel) - length))
        piece = channel[first : first + length]
        return np.asarray(piece / max(1e-6, float(piece.std())), dtype=np.float32)


def muscle(rng: np.random.Generator, length: int) -> Floats:
    """White noise between a random 10-25 Hz and the band's end, in bursts or throughout; unit power."""
    spectrum = np.fft.rfft(rng.normal(size=length))
    hz = np.fft.rfftfreq(length, 1 / NETWORK_FS)
    spectrum[(hz < rng.uniform(10, 25)) | (hz > 42)] = 0
    x = np.fft.irfft(spectrum, length)
    if rng.random() < 0.6:
        knots = rng.random(length // 64 + 2) < rng.uniform(0.2, 0.8)
        x = x * np.interp(np.arange(length), np.arange(len(knots)) * 64, knots)
    return np.asarray(x / max(1e-6, float(x.std())), dtype=np.float32)


class Sampler:
    """Draws (x (stretch, lead, sample), lead, gain, and what is wanted of them) from `tracks`.

    `shares` says how often each source is drawn, `wanted(rng, track, start, stretch)` gives the targets.
    """

    def __init__(
        self, tracks: Sequence[Track], noise: Noise, shares: Mapping[str, float], wanted: Wanted
    ) -> None:
        self._noise, self._wanted = noise, wanted
        self._groups = {s: [t for t in tracks if t.source == s] for s in shares}
        self._sources = [s for s in shares if self._groups[s]]
        odds = np.asarray([shares[s] for s in self._sources])
        self._shares = odds / odds.sum()
        self._odds = {s: record_odds(group) for s, group in self._groups.items() if group}

    def batch(self, size: int, *seed: int) -> Arrays:
        rng = np.random.default_rng(seed)
        count = 1 + int(rng.random() < 0.5)
        rows = [self._draw(rng, count) for _ in range(size)]
        return tuple(np.stack(column) for column in zip(*rows, strict=True))

    def _draw(self, rng: np.random.Generator, count: int) -> Arrays:
        source = self._sources[rng.choice(len(self._sources), p=self._shares)]
        group = self._groups[source]
        track = group[rng.choice(len(group), p=self._odds[source])]
        stretch = float(np.exp(rng.normal(0, 0.1)))
        start = placed(rng, track, LENGTH / NETWORK_FS * stretch)
        x, lead = leads_of(rng, track, start, LENGTH, stretch, count)
        if rng.random() < 0.5:
            x = spoilt(rng, x, self._noise)
        return (*seen(rng, x, lead), *self._wanted(rng, track, start, stretch))


def seen(rng: np.random.Generator, x: Floats, lead: npt.NDArray[np.int64]) -> Arrays:
    """(x, lead, gain) as a network sees them, somewhat louder or softer."""
    y, gain = scaled(x)
    loud = np.float32(np.exp(rng.normal(0, 0.15)))
    return y * loud, lead, (gain + rng.normal(0, 0.3)).astype(np.float32)


def record_odds(group: Sequence[Track]) -> npt.NDArray[np.float64]:
    """How likely a record is drawn: more with S or V beats, AF, VF or VT in it."""
    w = np.asarray(
        [
            1
            + min(1.0, float((t.kinds == S).sum()) / 50)
            + 0.5 * min(1.0, float((t.kinds == V).sum()) / 50)
            + 2.0 * bool((t.rhythm >= AF).any() and t.source != "cinc2017")
            for t in group
        ]
    )
    return np.asarray(w / w.sum())


def placed(rng: np.random.Generator, track: Track, seconds: float) -> float:
    """Where a stretch of the record starts: anywhere, over a rare beat, or over a change of rhythm."""
    last = max(0.0, track.seconds - seconds)
    rare = rare_beat(rng, track.kinds)
    if rare is not None and rng.random() < RARE_SHARE:
        return float(np.clip(track.beats[rare] - rng.uniform(0, seconds), 0, last))
    if rng.random() < 0.4:
        held = np.flatnonzero(np.diff(np.maximum(track.rhythm, UNKNOWN), prepend=UNKNOWN) != 0)
        if len(held):
            return float(np.clip(rng.choice(held) / NETWORK_FS - rng.uniform(0, seconds), 0, last))
    return float(rng.uniform(0, last))


def rare_beat(rng: np.random.Generator, kinds: Codes) -> int | None:
    """The place of an S, V or F beat; None where there is none."""
    rare = np.flatnonzero((kinds >= S) & (kinds <= F))
    return int(rng.choice(rare)) if len(rare) else None


def leads_of(
    rng: np.random.Generator, track: Track, start: float, length: int, stretch: float, count: int
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """(lead, length) microvolts and the leads' indices: raw leads, sometimes upside down, or mixtures."""
    at = start * NETWORK_FS + np.arange(length) * stretch
    first, last = int(at[0]), min(int(at[-1]) + 2, track.signal.shape[1])
    raw = track.signal[:, first:last]
    have = len(raw)
    order = rng.permutation(have)
    rows, names = [], []
    for i in range(count):
        if have > 1 and rng.random() < 0.5:
            angle = rng.uniform(0, 2 * np.pi)
            row, name = np.cos(angle) * raw[order[0]] + np.sin(angle) * raw[order[1]], 0
        else:
            which = int(order[i % have])
            flip = rng.random() < 0.25
            known = track.leads[which] in LEAD_NAMES and not flip and rng.random() < 0.5
            row = -raw[which] if flip else raw[which]
            name = LEAD_NAMES.index(track.leads[which]) if known else 0
        rows.append(np.interp(at - first, np.arange(raw.shape[1]), row))
        names.append(name)
    return np.asarray(rows, dtype=np.float32), np.asarray(names, dtype=np.int64)


def spoilt(rng: np.random.Generator, x: Floats, noise: Noise) -> Floats:
    """With noise of 0-24 dB (of the signal's power as the `nst` tool defines it), its own on every lead."""
    decibel = rng.uniform(*NOISE_DB)
    out = x.copy()
    for i, p in enumerate(power(x)):
        own = decibel + rng.uniform(0, 12) * (rng.random() < 0.5)
        out[i] += noise.draw(rng, x.shape[1]) * np.float32(np.sqrt(p) * 10 ** (-own / 20))
    return out


def power(x: Floats) -> npt.NDArray[np.float64]:
    """(lead,): (median over 1 s of peak to peak)^2 / 8, a signal's power as NSTDB's tool `nst` has it."""
    second = round(NETWORK_FS)
    blocks = x[:, : x.shape[1] // second * second].reshape(len(x), -1, second)
    return np.asarray(np.median(np.ptp(blocks, axis=2), axis=1).astype(np.float64) ** 2 / 8)


def beats_wanted(_rng: np.random.Generator, track: Track, start: float, stretch: float) -> Arrays:
    """(peak, known_peak, beat, known_beat), each (step,): heat of the R peaks and classes; `known` weighs."""
    steps = LENGTH // STEP
    a, b = np.searchsorted(track.beats, (start - 1, start + LENGTH / NETWORK_FS * stretch + 1))
    at = (track.beats[a:b] - start) / stretch * NETWORK_FS / STEP - 0.5  # the middle of step k is k
    kinds = track.kinds[a:b]
    grid = np.arange(steps)
    peak = np.zeros(steps, dtype=np.float32)
    beat = np.zeros(steps, dtype=np.int64)
    known = np.zeros(steps, dtype=np.float32)
    for middle, kind in zip(at, kinds, strict=True):
        low, high = max(0, int(middle) - 5), min(steps, int(middle) + 7)
        if low >= high:
            continue
        near = np.exp(-((grid[low:high] - middle) ** 2) / (2 * PEAK_SIGMA**2))
        peak[low:high] = np.maximum(peak[low:high], near)
        centre = round(float(middle))
        if kind != UNKNOWN and 1 <= centre < steps - 1:
            beat[centre - 1 : centre + 2] = TAUGHT[kind]
            known[centre - 1 : centre + 2] = WEIGHTS[kind]
    sample = _samples(start, stretch, steps, STEP, track)
    known_peak = np.full(steps, float(track.beats_known), dtype=np.float32)
    known_peak[track.rhythm[sample] == VF] = 0
    known *= track.rhythm[sample] != VF
    return peak, known_peak, beat, known


def _samples(start: float, stretch: float, count: int, step: int, track: Track) -> npt.NDArray[np.int64]:
    """(count,) the record's sample at the middle of every step."""
    at = start * NETWORK_FS + (np.arange(count) + 0.5) * step * stretch
    return np.asarray(np.minimum(at.astype(np.int64), track.signal.shape[1] - 1))


def rhythm_wanted(rng: np.random.Generator, track: Track, start: float, stretch: float) -> Arrays:
    """(rr (token, 6), rhythm (step, RHYTHMS), known); a detector loses and displaces beats, and so do we."""
    tokens = LENGTH // TOKEN
    seconds = LENGTH / NETWORK_FS * stretch
    a, b = np.searchsorted(track.beats, (start, start + seconds))
    beats = (track.beats[a:b] - start) / stretch
    beats = np.sort(beats[rng.random(len(beats)) > 0.03] + rng.normal(0, 0.008, 1))
    rr = rr_tokens(beats, tokens)
    if rng.random() < 0.2:
        rr[:] = 0
    steps = tokens // RHYTHM_TOKENS
    codes = track.rhythm[_samples(start, stretch, steps, TOKEN * RHYTHM_TOKENS, track)]
    wanted, known = rhythm_of(codes)
    known[(np.arange(steps) + 1) * TOKEN * RHYTHM_TOKENS * stretch > (track.seconds - start) * NETWORK_FS] = 0
    return rr, wanted, known


def rhythm_of(codes: Codes) -> tuple[Floats, Floats]:
    """(step, RHYTHMS) wanted and known of rhythm codes."""
    wanted = np.stack([codes == AF, codes == VF, codes == VT], axis=1).astype(np.float32)
    certain = codes >= SINUS_RHYTHM
    not_af = codes == NOT_AF
    known = np.stack([certain | not_af, certain | not_af | (codes == NOT_VF), certain], axis=1)
    return wanted, known.astype(np.float32)
