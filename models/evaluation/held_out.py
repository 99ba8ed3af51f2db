"""Scores of records by a network that did not learn them: what thresholds and figures are made from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import Annotated, cinc2017, cpsc2021, cudb_vf, mitdb, nstdb, svdb, vfdb
from models.ecg import Microvolts
from models.errors import RecordingError
from models.evaluation.beats import match_beats
from models.evaluation.metrics import Floats, logit
from models.screener.batches import at_snr, signal_power
from models.screener.labels import TOKEN
from models.screener.runtime import Screener
from models.screener.tracks import Track, targets, track_of
from models.signals.conditioning import NETWORK_FS, resample
from models.signals.rpeaks import r_peaks

WINDOW_S, STRETCH_S = 10, 45  # what the edge judges, what the cloud reads at once
CONDITIONS = {"clean": None, "em 12 dB": 12.0, "em 6 dB": 6.0}  # dB of electrode motion


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowScores:
    """Every whole 10 s of a record, back to back; rows of `logits` by condition and leads."""

    abnormal: Floats  # (window,), nan where nobody can say
    logits: Mapping[str, Floats]  # "clean, lead 0" and so on -> (window,)
    rate: Floats  # beats per minute by `r_peaks`, all a listener without the shape would know
    irregularity: Floats  # largest |RR(i+1) - RR(i)| over the median RR


@dataclass(frozen=True, slots=True, kw_only=True)
class StretchScores:
    """Every 45 s of a record, lead 0 alone."""

    tokens: Floats  # (token, label) logits
    wanted: Floats  # (token, label)
    known: Floats
    beats: Floats  # (beat, 2) logits of S and V at annotated R peaks
    kinds: npt.NDArray[np.int8]  # (beat,): 0 other, 1 S, 2 V, 3 F
    found: Floats  # (found beat, 2) logits at the peaks `r_peaks` found
    found_kinds: npt.NDArray[np.int8]  # (found beat,): of the annotated beat within 150 ms, -1 where none


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One record's scores by the network of the fold that left it out."""

    record: str
    source: str
    fold: int
    windows: WindowScores
    stretches: StretchScores


def fold_networks(training: Path) -> tuple[dict[str, int], dict[int, Screener]]:
    """(fold of each record, network of each fold); RecordingError if `training` is not finished."""
    if not (training / "folds.json").is_file():
        raise RecordingError(f"{training} holds no folds.json; run `anyecg train screener --out {training}`.")
    fold_of: dict[str, int] = json.loads((training / "folds.json").read_text())
    return fold_of, {k: Screener(training / f"fold{k}.onnx") for k in sorted(set(fold_of.values()))}


def held_out_strips(data: Path, training: Path) -> Iterator[tuple[str, Floats]]:
    """(class, AFIB logits (token,)) of each CinC 2017 strip that is N, A or O; no network learned an O."""
    fold_of, networks = fold_networks(training)
    for kind, strip in cinc2017(data):
        if (kind in {"N", "A"} and strip.record in fold_of) or kind == "O":
            network = networks[fold_of.get(strip.record, 0)]
            tokens = network.run(strip.microvolts, strip.fs).tokens
            yield kind, logit(tokens[:, network.labels.index("AFIB")])


def held_out(data: Path, training: Path) -> Iterator[HeldOut]:
    """Scores of every record with its own fold's network; RecordingError if `training` is not finished."""
    fold_of, networks = fold_networks(training)
    fs, noise = nstdb(data, "em", "test")
    for record in (*mitdb(data), *svdb(data), *cpsc2021(data), *cudb_vf(data), *vfdb(data)):
        fold = fold_of[record.record]
        yield HeldOut(
            record=record.record,
            source=record.source,
            fold=fold,
            windows=window_scores(networks[fold], record, resample(noise, fs, record.fs).astype(np.float32)),
            stretches=stretch_scores(networks[fold], record),
        )


def window_scores(network: Screener, record: Annotated, noise: Microvolts) -> WindowScores:
    """`noise`: channels of electrode motion at the record's rate."""
    track = track_of(record)
    cuts = list(_cuts(record, WINDOW_S))
    variants = _variants(record, noise)
    logits = {
        name: np.asarray([logit(network.run(x[:, a:b], record.fs).window) for a, b in cuts])
        for name, x in variants.items()
    }
    rates = [_rate(record.microvolts[:1, a:b], record.fs) for a, b in cuts]
    return WindowScores(
        abnormal=np.asarray(
            [targets(track, a / record.fs, round(WINDOW_S * NETWORK_FS)).abnormal for a, _ in cuts]
        ),
        logits=logits,
        rate=np.asarray([rate for rate, _ in rates]),
        irregularity=np.asarray([irregular for _, irregular in rates]),
    )


def _variants(record: Annotated, noise: Microvolts) -> dict[str, Microvolts]:
    """The record's lead 0 and, if it has two, both: clean, and for MIT-BIH with noise."""
    x = record.microvolts
    noisy = {k: v for k, v in CONDITIONS.items() if v is None or record.source == "mitdb"}
    variants = {}
    for name, decibel in noisy.items():
        spoilt = x if decibel is None else x + _noise(record, noise, decibel)
        variants[f"{name}, lead 0"] = spoilt[:1]
        if len(x) > 1 and record.source == "mitdb":
            variants[f"{name}, both leads"] = spoilt
    return variants


def _noise(record: Annotated, noise: Microvolts, decibel: float) -> Microvolts:
    """(lead, sample): another stretch of the noise every 10 s, at one loudness for the whole record."""
    rng = np.random.default_rng(sum(record.record.encode()))
    length = round(WINDOW_S * record.fs)
    powers = signal_power(record.microvolts, record.fs)
    pieces = -(-record.microvolts.shape[1] // length)
    rows = [
        np.concatenate([at_snr(rng, list(noise), length, float(power), decibel) for _ in range(pieces)])
        for power in powers
    ]
    return np.stack(rows)[:, : record.microvolts.shape[1]]


def _rate(microvolts: Microvolts, fs: float) -> tuple[float, float]:
    """(beats per minute, irregularity) of a window; (0, 0) with fewer than three beats."""
    rr = np.diff(r_peaks(microvolts, fs)) / fs
    if len(rr) < 2:
        return 0.0, 0.0
    return float(60 / rr.mean()), float(np.abs(np.diff(rr)).max() / np.median(rr))


def stretch_scores(network: Screener, record: Annotated) -> StretchScores:
    """Tokens, annotated beats and found beats of the record's lead 0, in 45 s stretches."""
    track = track_of(record)
    kinds = track.kinds if track.classes_known else np.zeros(len(record.beats), dtype=np.int8)
    parts = [_stretch(network, record, track, kinds, a, b) for a, b in _cuts(record, STRETCH_S)]
    tokens, wanted, known, beats, of, found, found_of = (
        np.concatenate(rows) for rows in zip(*parts, strict=True)
    )
    return StretchScores(
        tokens=tokens,
        wanted=wanted,
        known=known,
        beats=beats,
        kinds=of,
        found=found,
        found_kinds=found_of,
    )


def _stretch(
    network: Screener, record: Annotated, track: Track, kinds: npt.NDArray[np.int8], a: int, b: int
) -> tuple[npt.NDArray[Any], ...]:
    scores = network.run(record.microvolts[:1, a:b], record.fs)
    want = targets(track, a / record.fs, len(scores.tokens) * TOKEN)
    low, high = np.searchsorted(record.beats, (a, b))
    true = record.beats[low:high] - a
    peaks = r_peaks(record.microvolts[:1, a:b], record.fs)
    of = match_beats(true, peaks, record.fs).truth_of
    found_kinds = np.full(len(peaks), -1, dtype=np.int8)
    found_kinds[of >= 0] = kinds[low:high][of[of >= 0]]
    return (
        logit(scores.tokens),
        want.tokens,
        want.known,
        logit(network.beat_probabilities(scores, true / record.fs)),
        kinds[low:high],
        logit(network.beat_probabilities(scores, peaks / record.fs)),
        found_kinds,
    )


def _cuts(record: Annotated, seconds: int) -> Iterator[tuple[int, int]]:
    """(first, end) samples of stretches back to back; a rest shorter than 10 s is left out."""
    length, size = record.microvolts.shape[1], round(seconds * record.fs)
    for first in range(0, length, size):
        end = min(first + size, length)
        if end - first >= WINDOW_S * record.fs:
            yield first, end
