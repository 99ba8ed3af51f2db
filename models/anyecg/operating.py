"""Thresholds and calibration of the localizer, chosen on records that the networks had not learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from models.anyecg.labels import RHYTHMS
from models.anyecg.localizer import MOST_IRREGULAR, REGULAR, RHYTHM_S, Localizer, fibrillating, per_step
from models.dataset.annotated import DS1, Annotated
from models.dataset.tracks import AF, NOT_AF, NOT_VF, SINUS_RHYTHM, VF, VT, Codes, F, S, V, track_of
from models.evaluation.beats import match_beats
from models.evaluation.metrics import Floats, f_curve, logistic, logit, platt, sigmoid
from models.signals.conditioning import NETWORK_FS

STRETCH_S, HOP_S = 60.0, 40.0
GRID = np.linspace(0.05, 0.95, 91)
BEAT_SOURCES = ("mitdb", "svdb")
RHYTHM_SOURCES = {  # whose steps choose a rhythm's calibration and threshold
    "AFIB": ("mitdb", "afpdb", "cpsc2021"),
    "VF": ("mitdb", "cudb-vf", "vfdb"),
    "VT": ("mitdb", "vfdb"),
}
CODE = {"AFIB": AF, "VF": VF, "VT": VT}
MISS_WEIGHS = 2.0  # beta of the rhythms' F: a missed one costs more than a false one
AVERAGE = {"AFIB": 8, "VF": 2, "VT": 5}  # steps over which the analyst smooths before it compares
LASTING, LEAST = 10, 4  # steps of a VF that must be found (5 s), and of one that is told (2 s)
CHOSEN = (
    "records of patient-grouped folds, all leads: S and V at the largest F1, AFIB at the largest F2 of "
    "smoothed 0.5 s steps, each the mean over the databases; VF in the middle of where the most episodes of "
    "5 s are found with the fewest false ones; Platt's scale and offset on the same steps"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """One record by the networks that left it out."""

    record: str
    source: str
    chances: Floats  # (beat, 2) of S and V at the beats found
    kinds: Codes  # (beat,) of the annotated beat within 150 ms, -1 where none or unknown
    missed: tuple[int, int]  # annotated S and V that were not found
    rhythm: Floats  # (step, RHYTHMS) logits
    irregularity: Floats  # (step,)
    codes: Codes  # (step,)


def held_out(network: Localizer, record: Annotated) -> HeldOut:
    """Stretches of 60 s that overlap by 20 s, the middle of each kept."""
    track = track_of(record)
    kept = list(_stretches(network, record))
    peaks, chances, steps, rhythm, irregular = (np.concatenate(column) for column in zip(*kept, strict=True))
    annotated = np.rint(track.beats * record.fs).astype(np.int64)
    matches = match_beats(annotated, peaks, record.fs)
    kinds = np.where(matches.truth_of >= 0, track.kinds[matches.truth_of], -1) if len(annotated) else None
    lost = track.kinds[matches.found_of < 0]
    return HeldOut(
        record=record.record,
        source=record.source,
        chances=chances,
        kinds=np.full(len(peaks), -1, dtype=np.int8) if kinds is None else kinds.astype(np.int8),
        missed=(int((lost == S).sum()), int(((lost == V) | (lost == F)).sum())),
        rhythm=logit(rhythm),
        irregularity=irregular,
        codes=track.rhythm[np.minimum((steps * NETWORK_FS).astype(np.int64), len(track.rhythm) - 1)],
    )


def _stretches(
    network: Localizer, record: Annotated
) -> Iterator[tuple[npt.NDArray[np.int64], Floats, Floats, Floats, Floats]]:
    """(peaks, chances of S and V, seconds of the rhythm steps, their probabilities and irregularity)."""
    count, fs = record.microvolts.shape[1], record.fs
    margin = (STRETCH_S - HOP_S) / 2
    for start in np.arange(0, max(1.0, count / fs - STRETCH_S + HOP_S), HOP_S):
        a, b = round(start * fs), min(count, round((start + STRETCH_S) * fs))
        found = network.run(record.microvolts[:, a:b], fs, record.leads)
        low, high = (
            (0.0 if a == 0 else start + margin),
            (count / fs if b == count else start + STRETCH_S - margin),
        )
        chances = np.asarray([[c["S"], c["V"]] for c in found.chances()]).reshape(-1, 2)
        at = start + (np.arange(len(found.rhythm)) + 0.5) * RHYTHM_S
        beats = (found.peaks + a >= low * fs) & (found.peaks + a < high * fs)
        steps = (at >= low) & (at < high)
        irregular = per_step(found.irregularity, found.peaks / fs, len(at))
        yield found.peaks[beats] + a, chances[beats], at[steps], found.rhythm[steps], irregular[steps]


def operating_point(rows: Sequence[HeldOut]) -> dict[str, Any]:
    """`fibrillation`, `scale` and `offset` of the rhythms, `thresholds`, and `chosen`.

    Fibrillation of the atria is weighed outside the graph, so its scale there is 1; a database counts as much
    as another, so that hours of one patient do not decide.
    """
    fibrillation = _fibrillation(rows)
    fits = [(1.0, 0.0) if label == "AFIB" else _fit(rows, label) for label in RHYTHMS]
    thresholds = {
        "AFIB": _rhythm_threshold(rows, "AFIB", fibrillation),
        "VF": _vf_threshold(rows, fits[RHYTHMS.index("VF")]),
        "VT": _rhythm_threshold(rows, "VT", fits[RHYTHMS.index("VT")]),
    }
    for column, label in enumerate(("S", "V")):
        thresholds[label] = _best([_beats(rows, source, column) for source in BEAT_SOURCES])
    return {
        "fibrillation": [round(x, 4) for x in fibrillation],
        "scale": [round(scale, 4) for scale, _ in fits],
        "offset": [round(offset, 4) for _, offset in fits],
        "thresholds": thresholds,
        "chosen": CHOSEN,
    }


def _fibrillation(rows: Sequence[HeldOut]) -> tuple[float, float, float]:
    """Slopes of the network's logit and of the irregularity, and the offset."""
    features, truths, weights = [], [], []
    for source in RHYTHM_SOURCES["AFIB"]:
        own = [(r, *_steps(r, "AFIB")) for r in rows if r.source == source]
        if not own:
            continue
        used = [k & (r.irregularity >= REGULAR) for r, _, _, k in own]
        logits = np.concatenate([x[u] for (_, x, _, _), u in zip(own, used, strict=True)])
        irregular = np.concatenate([r.irregularity[u] for (r, *_), u in zip(own, used, strict=True)])
        features.append(np.stack([logits, np.minimum(irregular, MOST_IRREGULAR)]))
        truths.append(np.concatenate([t[u] for (_, _, t, _), u in zip(own, used, strict=True)]))
        weights.append(np.full(len(logits), 1000.0 / max(1, len(logits))))
    wave, intervals, offset = logistic(
        np.concatenate(features, axis=1), np.concatenate(truths), np.concatenate(weights)
    )
    return wave, intervals, offset


def _beats(rows: Sequence[HeldOut], source: str, column: int) -> tuple[Floats, npt.NDArray[np.bool_], int]:
    """(chances, truth, beats missed) of S (column 0) or V with F (1); in MIT-BIH of DS1 alone."""
    own = [r for r in rows if r.source == source and (source != "mitdb" or r.record[6:] in DS1)]
    kinds = np.concatenate([np.empty(0, dtype=np.int8), *(r.kinds for r in own)])
    truth = kinds == S if column == 0 else (kinds == V) | (kinds == F)
    return (
        np.concatenate([np.empty(0), *(r.chances[:, column] for r in own)]),
        truth,
        sum(r.missed[column] for r in own),
    )


def _steps(row: HeldOut, label: str) -> tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """(logits, truth, known) of a record's steps."""
    known = row.codes >= SINUS_RHYTHM
    if label != "VT":
        known |= row.codes == NOT_AF
    if label == "VF":
        known |= row.codes == NOT_VF
    return row.rhythm[:, RHYTHMS.index(label)], row.codes == CODE[label], known


def _fit(rows: Sequence[HeldOut], label: str) -> tuple[float, float]:
    parts = [_steps(r, label) for r in rows if r.source in RHYTHM_SOURCES[label]]
    logits = np.concatenate([x[k] for x, _, k in parts])
    truth = np.concatenate([t[k] for _, t, k in parts])
    return platt(logits, truth) if truth.any() else (1.0, 0.0)


def _rhythm_threshold(rows: Sequence[HeldOut], label: str, fit: tuple[float, ...]) -> float:
    groups = []
    for source in RHYTHM_SOURCES[label]:
        chances, truths = [], []
        for row in (r for r in rows if r.source == source):
            logits, truth, known = _steps(row, label)
            if label == "AFIB":
                p = fibrillating(logits, row.irregularity, fit)
            else:
                p = sigmoid(fit[0] * logits + fit[1])
            chances.append(_smoothed(p, label)[known])
            truths.append(truth[known])
        if chances:
            groups.append((np.concatenate(chances), np.concatenate(truths), 0))
    return _best(groups, MISS_WEIGHS)


def _vf_threshold(rows: Sequence[HeldOut], fit: tuple[float, float]) -> float:
    """By episodes, for it is episodes that are missed and that call a nurse."""
    errors = np.zeros((len(GRID), 2), dtype=np.int64)  # missed, false
    for row in (r for r in rows if r.source in {*RHYTHM_SOURCES["VF"], "afpdb"}):
        logits, truth, known = _steps(row, "VF")
        smooth = _smoothed(sigmoid(fit[0] * logits + fit[1]), "VF")
        lasting = _runs(truth, LASTING)
        for i, threshold in enumerate(GRID):
            told = _runs(smooth >= threshold, LEAST)
            errors[i, 0] += sum(not any(a <= last and first <= b for a, b in told) for first, last in lasting)
            errors[i, 1] += sum(not truth[a : b + 1].any() and bool(known[a : b + 1].all()) for a, b in told)
    fewest = min(map(tuple, errors.tolist()))
    best = GRID[[tuple(row) == fewest for row in errors.tolist()]]
    return round(float(best[len(best) // 2]), 3)


def _runs(on: npt.NDArray[np.bool_], least: int) -> list[tuple[int, int]]:
    """(first, last) of the stretches of at least so many steps."""
    edges = np.flatnonzero(np.diff(on.astype(np.int8), prepend=0, append=0)).reshape(-1, 2).tolist()
    return [(first, after - 1) for first, after in edges if after - first >= least]


def _smoothed(p: Floats, label: str) -> Floats:
    return np.convolve(p, np.full(AVERAGE[label], 1 / AVERAGE[label]), mode="same")


def _best(groups: Sequence[tuple[Floats, npt.NDArray[np.bool_], int]], beta: float = 1.0) -> float:
    """The threshold with the largest mean F-beta of the groups that hold positives."""
    curves = []
    for p, truth, missed in groups:
        if truth.any():
            found = np.concatenate([p, np.full(missed, -1.0)])
            curves.append(
                f_curve(found, np.concatenate([truth, np.ones(missed, dtype=np.bool_)]), GRID, beta)
            )
    return round(float(GRID[int(np.argmax(np.mean(curves, axis=0)))]), 3) if curves else 0.5
