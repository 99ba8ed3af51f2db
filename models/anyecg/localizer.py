"""Every beat and rhythm of a stretch: where, which class, how sure. numpy and ONNX Runtime only.

Leads together: the dense network finds R peaks and has a first opinion of their class, the beat classifier
reads them as a sequence, each beside the usual beat of the stretch, the rhythm network reads the signal with
the RR intervals. One stretch is 2 s to about a minute; longer signal is read in stretches that share context
(`cloud.analyst` folds a stream so).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnxruntime
from scipy import signal

from models.anyecg.familiar import Familiar
from models.anyecg.fusion import fused, ventricular_shares
from models.anyecg.labels import BEATS, MORPHOLOGY, RHYTHM_TOKENS, RHYTHMS, STEP, TOKEN, lead_indices
from models.anyecg.rr import lag_irregularity, rr_numbers, rr_tokens
from models.anyecg.shapes import aligned, cut, describe
from models.ecg import Mask, Microvolts
from models.errors import RecordingError
from models.signals.conditioning import NETWORK_FS, condition
from models.signals.quality import FLAT_UV

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Seconds = npt.NDArray[np.float64]

WEIGHTS = Path(__file__).parent
NETWORKS = ("dense", "rhythm", "beats")
PEAK = 0.40  # probability over which a local maximum is an R peak
APART_S = 0.19
SPAN = 2  # steps on both sides of the maximum whose centroid is the peak
CLASSIFIER_SHARE = 0.7  # of the log-probability of a beat; the rest is the dense network's
IRREGULAR = 0.12  # `lag_irregularity` over which early beats are atrial fibrillation's, not ectopic
REGULAR = 0.05  # and below which no rhythm is fibrillation
NEUTRAL = 0.1  # where too few intervals are known to tell
MOST_IRREGULAR = 0.25  # beyond, more says no more
FIBRILLATING, AROUND_STEPS = 0.5, 20  # mean probability of fibrillation over 10 s, to the same end
MOVED = 0.95  # of P(S), there, to P(N)
TACHYCARDIA = 0.5  # mean probability of VT over as many steps, from which on it decides its beats
TACHYCARDIA_STEPS = 5
LEAST_S = 2.0
RHYTHM_S = TOKEN * RHYTHM_TOKENS / NETWORK_FS


class Nets(Protocol):
    """The three networks, probabilities out (log-probabilities of classes); see `models.anyecg.net`."""

    familiar: Familiar
    fibrillation: tuple[float, ...]  # slope of the logit, slope of the irregularity, offset

    def dense(
        self, x: Floats, lead: npt.NDArray[np.int64], gain: Floats
    ) -> tuple[Floats, Floats, Floats]: ...

    def rhythm(self, x: Floats, lead: npt.NDArray[np.int64], gain: Floats, rr: Floats) -> Floats: ...

    def beats(self, shapes: Floats, numbers: Floats, rr: Floats) -> tuple[Floats, Floats]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Localization:
    """What a stretch holds; sample offsets are at the stretch's own rate."""

    peaks: npt.NDArray[np.int64]  # (beat,) R peaks
    beats: Floats  # (beat, BEATS) probabilities
    morphology: Floats  # (beat, MORPHOLOGY) probabilities
    rhythm: Floats  # (step, RHYTHMS) probabilities, a step every `step_s`
    tokens: Floats  # (token, channel) of the encoder, 0.25 s each
    strange: Floats  # (token,) how unlike the training records, 1 is usual; see `models.anyecg.familiar`
    irregularity: Floats  # (beat,), NaN where too few intervals are known
    shares: Floats  # (beat,) of a ventricular beat in it; see `models.anyecg.fusion`
    step_s: float = RHYTHM_S

    def chances(self) -> list[dict[str, float]]:
        """Probability of each class of each beat."""
        return [dict(zip(BEATS, row, strict=True)) for row in self.beats.round(4).tolist()]

    def labels(self, thresholds: Mapping[str, float]) -> list[str]:
        """N, S, V, or F of each beat: what no network calls ectopic may be a fusion beat."""
        of_networks = (label_of(chances, thresholds) for chances in self.chances())
        mixtures = fused(self.shares)
        return ["F" if m and label == "N" else label for label, m in zip(of_networks, mixtures, strict=True)]

    def forms(self) -> list[str]:
        """PLAIN, L, R or PACED, the likeliest for each beat."""
        return [MORPHOLOGY[i] for i in self.morphology.argmax(axis=1).tolist()]


class OnnxNets:
    """The shipped networks, or those in a folder, each on one thread."""

    def __init__(self, folder: Path = WEIGHTS) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        files = {name: (folder / f"{name}.onnx").read_bytes() for name in NETWORKS}
        self._sessions = {
            name: onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            for name, file in files.items()
        }
        self.sha256 = hashlib.sha256(b"".join(files.values())).hexdigest()
        self.metadata: Mapping[str, str] = self._sessions["rhythm"].get_modelmeta().custom_metadata_map
        dense = self._sessions["dense"].get_modelmeta().custom_metadata_map
        self.fibrillation = tuple(json.loads(self.metadata["fibrillation"]))
        self.familiar = Familiar.from_metadata(json.loads(dense["familiar"]))

    def dense(self, x: Floats, lead: npt.NDArray[np.int64], gain: Floats) -> tuple[Floats, Floats, Floats]:
        peak, beat, tokens = self._run("dense", signal=x, lead=lead, gain=gain)
        return peak, beat, tokens

    def rhythm(self, x: Floats, lead: npt.NDArray[np.int64], gain: Floats, rr: Floats) -> Floats:
        return self._run("rhythm", signal=x, lead=lead, gain=gain, rr=rr)[0]

    def beats(self, shapes: Floats, numbers: Floats, rr: Floats) -> tuple[Floats, Floats]:
        beat, morphology = self._run("beats", shapes=shapes, numbers=numbers, rr=rr)
        return beat, morphology

    def _run(self, network: str, **inputs: npt.NDArray[Any]) -> tuple[Floats, ...]:
        return tuple(self._sessions[network].run(None, inputs))


def label_of(chances: Mapping[str, float], thresholds: Mapping[str, float]) -> str:
    """S or V where its probability reaches its threshold, the one further over it; else N."""
    over = {label: chances[label] / thresholds[label] for label in ("S", "V")}
    best = max(over, key=lambda label: over[label])
    return best if over[best] >= 1 else "N"


class Localizer:
    """The networks and what was chosen for them on records they had not learned.

    `thresholds` are on probabilities: of a rhythm step (AFIB, VF) and of a beat (V, S). RecordingError where
    `folder` lacks a network.
    """

    def __init__(self, folder: Path | None = None) -> None:
        try:
            self._nets = OnnxNets(folder or WEIGHTS)
        except FileNotFoundError as error:
            raise RecordingError(f"{error.filename} is missing; train it: anyecg train localizer.") from error
        self.metadata = metadata = self._nets.metadata
        self.thresholds: Mapping[str, float] = json.loads(metadata["thresholds"])
        self.unfamiliar = self._nets.familiar.threshold  # on `Localization.strange`
        self.sha256 = self._nets.sha256  # hex, over the networks' files
        self.model = f"localizer/{metadata['version']} {self.sha256[:8]}"

    def run(
        self, microvolts: Microvolts, fs: float, leads: tuple[str, ...], missing: Mask | None = None
    ) -> Localization:
        """Reads (lead, sample) microvolts of 2 s to about a minute; ValueError if shorter."""
        return localize(self._nets, microvolts, fs, leads, missing)


def localize(
    nets: Nets, microvolts: Microvolts, fs: float, leads: tuple[str, ...], missing: Mask | None = None
) -> Localization:
    """Reads (lead, sample) microvolts; ValueError if shorter than 2 s."""
    if microvolts.shape[1] < LEAST_S * fs:
        raise ValueError(f"{microvolts.shape[1] / fs:.2f} s of signal; the localizer needs {LEAST_S} s.")
    x, gain = condition(microvolts, fs, missing)
    length = x.shape[1]
    padded = np.pad(x, ((0, 0), (0, -length % (TOKEN * RHYTHM_TOKENS))))
    names = lead_indices(leads)
    peak, opinion, tokens = nets.dense(padded, names, gain)
    seconds = _peaks(peak[: -(-length // STEP)])
    if missing is not None:
        seconds = seconds[~missing[np.minimum((seconds * fs).astype(np.int64), len(missing) - 1)]]
    rhythm = nets.rhythm(padded, names, gain, rr_tokens(seconds, len(tokens)))
    beats, morphology, irregular, shares = _classes(nets, x, seconds, opinion)
    irregular_steps = per_step(irregular, seconds, len(rhythm))
    rhythm = _with_intervals(rhythm, irregular_steps, nets.fibrillation)
    rhythm[_flat(microvolts, fs, len(rhythm)), RHYTHMS.index("VF")] = 0.0
    beats = _gated(beats, irregular, seconds, rhythm[:, RHYTHMS.index("AFIB")])
    beats = _in_tachycardia(beats, seconds, rhythm[:, RHYTHMS.index("VT")])
    return Localization(
        peaks=np.minimum(np.rint(seconds * fs).astype(np.int64), microvolts.shape[1] - 1),
        beats=beats,
        morphology=morphology,
        rhythm=rhythm[: int(-(-length // (TOKEN * RHYTHM_TOKENS)))],
        tokens=tokens[: -(-length // TOKEN)],
        strange=nets.familiar.strangeness(tokens[: -(-length // TOKEN)]),
        irregularity=irregular,
        shares=shares,
    )


def _flat(microvolts: Microvolts, fs: float, steps: int) -> Mask:
    """(step,) whether every lead hardly moves: that may be a standstill, but no heart fibrillates in it."""
    starts = np.rint(np.arange(steps) * RHYTHM_S * fs).astype(np.int64)
    starts = starts[starts < microvolts.shape[1]]
    moved = np.maximum.reduceat(microvolts, starts, axis=1) - np.minimum.reduceat(microvolts, starts, axis=1)
    flat: Mask = np.asarray((moved < FLAT_UV).all(axis=0))
    return np.pad(flat, (0, steps - len(flat)), constant_values=True)


def _peaks(peak: Floats) -> npt.NDArray[np.float64]:
    """Seconds of the R peaks: local maxima of the heat, placed at its centroid."""
    at, _ = signal.find_peaks(peak, height=PEAK, distance=round(APART_S * NETWORK_FS / STEP))
    around = np.pad(peak, SPAN)[at[:, None] + np.arange(2 * SPAN + 1)]
    shift = (around * np.arange(-SPAN, SPAN + 1)).sum(axis=1) / np.maximum(around.sum(axis=1), 1e-6)
    return np.asarray((at + shift + 0.5) * STEP / NETWORK_FS)


def _classes(
    nets: Nets, x: Floats, seconds: Seconds, opinion: Floats
) -> tuple[Floats, Floats, Floats, Floats]:
    """(beat, BEATS), (beat, MORPHOLOGY) probabilities, (beat,) irregularity and ventricular shares."""
    if not len(seconds):
        none = np.zeros(0, np.float32)
        return np.zeros((0, len(BEATS)), np.float32), np.zeros((0, len(MORPHOLOGY)), np.float32), none, none
    at = np.minimum(np.rint(seconds * NETWORK_FS).astype(np.int64), x.shape[1] - 1)
    lying = aligned(x, at)
    sequence, morphology = nets.beats(*describe(cut(x, lying)), rr_numbers(seconds))
    dense = opinion[np.minimum(at // STEP, len(opinion) - 1)]
    mixed = np.exp(CLASSIFIER_SHARE * sequence + (1 - CLASSIFIER_SHARE) * dense)
    mixed /= mixed.sum(axis=1, keepdims=True)
    ventricular = mixed[:, BEATS.index("V")]
    shares = ventricular_shares(x, lying, ventricular)
    return mixed, np.exp(morphology), lag_irregularity(seconds, ventricular > 0.5), shares


def per_step(of_beats: Floats, seconds: Seconds, steps: int) -> Floats:
    """(step,) the value of the beat nearest to each rhythm step; NaN without beats."""
    if not len(seconds):
        return np.full(steps, np.nan, dtype=np.float32)
    between = (seconds[1:] + seconds[:-1]) / 2
    return of_beats[np.searchsorted(between, (np.arange(steps) + 0.5) * RHYTHM_S)]


def fibrillating(wave: Doubles, irregular: Doubles, fit: tuple[float, ...]) -> Doubles:
    """Probability of atrial fibrillation from the network's logit and the irregularity of the intervals.

    Regular intervals are no fibrillation, whatever the wave looks like: a fast sinus rhythm may hide its P.
    """
    slope, intervals, offset = fit
    irregular = np.where(np.isnan(irregular), NEUTRAL, irregular)
    z = slope * wave + intervals * np.minimum(irregular, MOST_IRREGULAR) + offset
    return np.where(irregular < REGULAR, 0.0, 1 / (1 + np.exp(-z)))


def _with_intervals(rhythm: Floats, irregular: Floats, fit: tuple[float, ...]) -> Floats:
    out, at = rhythm.copy(), RHYTHMS.index("AFIB")
    p = np.clip(rhythm[:, at].astype(np.float64), 1e-6, 1 - 1e-6)
    out[:, at] = fibrillating(np.log(p / (1 - p)), irregular.astype(np.float64), fit)
    return out


def _gated(beats: Floats, irregular: Floats, seconds: Seconds, fibrillation: Floats) -> Floats:
    """Where every interval differs from the next, or the atria fibrillate, early says nothing."""
    smooth = _smooth(fibrillation, AROUND_STEPS)
    steps = np.minimum((seconds / RHYTHM_S).astype(np.int64), len(smooth) - 1)
    closed = (irregular > IRREGULAR) | (smooth[steps] > FIBRILLATING)
    s, n = BEATS.index("S"), BEATS.index("N")
    moved = np.where(closed, MOVED * beats[:, s], 0.0).astype(np.float32)
    out = beats.copy()
    out[:, s] -= moved
    out[:, n] += moved
    return out


def _smooth(x: Floats, steps: int) -> Floats:
    """(step,) mean of as many steps around each, of fewer in a shorter stretch."""
    window = np.ones(min(steps, len(x)), dtype=np.float32)
    there = np.convolve(np.ones(len(x), dtype=np.float32), window, mode="same")  # fewer at the ends
    return np.convolve(x, window, mode="same") / there


def _in_tachycardia(beats: Floats, seconds: Seconds, tachycardia: Floats) -> Floats:
    """In a ventricular tachycardia every beat is ventricular: among its like none stands out."""
    near = _smooth(tachycardia, TACHYCARDIA_STEPS)
    p = near[np.minimum((seconds / RHYTHM_S).astype(np.int64), len(near) - 1)][:, None]
    ventricular = np.eye(len(BEATS), dtype=np.float32)[BEATS.index("V")]
    return np.where(p > TACHYCARDIA, (1 - p) * beats + p * ventricular, beats).astype(np.float32)
