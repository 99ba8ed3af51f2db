"""`fit_gate(data, out)`: the whole recipe of the gate, from the databases to `gate.json`.

An answer belongs to a bag: a noisy strip has clear pieces, so it is the mean over a strip that is asked to be
unreadable, not each of its pieces (Dietterich TG et al., Artificial Intelligence 89:31-71, 1997).
Five folds of whole patients: every figure in the file, and the threshold, come from networks that had not
seen the patient. The threshold is where 5 % of the normal strips of CinC 2017 would be gated: chosen without
noisy strips, DS1, CUDB and the wearable set. The shipped network is learned from every row.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from models.evaluation.metrics import auroc, sigmoid
from models.quality.rows import Row, rows
from models.signals.gate import CLIP, Gate
from models.signals.indices import INDICES

Floats = npt.NDArray[np.float64]
FOLDS = 5
UNITS = 16  # of one member; members are averaged, which is one network with all their units
MEMBERS = 2
DECAY = 1e-4
STEPS = 200
NORMAL_LOST = 0.05  # of the normal strips
DIGITS = 5  # of the shipped weights


def fit_gate(data: Path, out: Path, seed: int = 0) -> dict[str, Any]:
    """Fits, writes `out` as JSON and returns it."""
    made = fitted(list(rows(data, seed)), seed)
    out.write_text(json.dumps(made, indent=1) + "\n")
    return made


def fitted(every: Sequence[Row], seed: int = 0) -> dict[str, Any]:
    """The gate and the figures of its folds."""
    fold = folds(every, seed)
    scores = np.empty(len(every))
    for k in range(FOLDS):
        gate = learned([row for row, of in zip(every, fold, strict=True) if of != k], seed + 10 * k)
        for i in np.flatnonzero(fold == k):
            scores[i] = gate(every[int(i)].indices).mean()
    strips = {kind: _strips(every, scores, f"strip {kind}") for kind in "NAO~"}
    threshold = _threshold(strips["N"])
    gate = replace(learned(every, seed + 10 * FOLDS), threshold=threshold)
    written = {k: np.round(v, DIGITS).tolist() for k, v in asdict(gate).items()}
    return {"indices": list(INDICES), **written, "held_out": _figures(every, scores, strips, threshold)}


def _threshold(normal: Floats) -> float:
    """Half way between the last normal strip that may be lost and the next."""
    lost = max(1, int(NORMAL_LOST * len(normal)))
    return float(np.sort(normal)[::-1][lost - 1 : lost + 1].mean())


def folds(every: Sequence[Row], seed: int) -> npt.NDArray[np.int64]:
    """(row,): whole patients dealt out, database by database."""
    patients = sorted({row.patient for row in every})
    shuffled = np.random.default_rng(seed).permutation(len(patients))
    dealt = sorted(zip((p.split("/")[0] for p in patients), shuffled.tolist(), patients, strict=True))
    of = {patient: i % FOLDS for i, (_, _, patient) in enumerate(dealt)}
    return np.asarray([of[row.patient] for row in every])


class _Bags(NamedTuple):
    """Pieces that share an answer: all of a strip, all of a window, or one spoilt piece alone."""

    x: npt.NDArray[np.float32]  # (piece, index), standardized
    of: npt.NDArray[np.int64]  # (piece,) its bag
    answer: Floats  # (bag,)
    weight: Floats  # (bag,)

    def drawn(self, rng: np.random.Generator) -> _Bags:
        """Each bag with a chance in proportion to its weight; those that weigh more than 1 keep the rest."""
        held = rng.random(len(self.weight)) < self.weight
        place = np.cumsum(held) - 1
        inside = held[self.of]
        weight = np.maximum(self.weight[held], 1.0)
        return _Bags(self.x[inside], place[self.of[inside]], self.answer[held], weight / weight.sum())


def learned(every: Sequence[Row], seed: int) -> Gate:
    """Members from different starts, each on bags of its own draw."""
    x = np.concatenate([row.indices for row in every])
    asked = np.concatenate([np.isfinite(row.answer) for row in every])
    mean, scale = x[asked].mean(axis=0), x[asked].std(axis=0) + 1e-6
    bags = _bags(every, np.clip((x - mean) / scale, -CLIP, CLIP).astype(np.float32))
    members = []
    for m in range(MEMBERS):
        rng = np.random.default_rng([seed, m])
        members.append(_member(rng, bags.drawn(rng)))
    hidden, bias, output, offset = (list(part) for part in zip(*members, strict=True))
    return Gate(
        mean=mean,
        scale=scale,
        hidden=np.concatenate(hidden, axis=1),
        bias=np.concatenate(bias),
        output=np.concatenate(output) / MEMBERS,
        offset=float(np.mean(offset)),
        threshold=0.0,
    )


def _bags(every: Sequence[Row], x: npt.NDArray[np.float32]) -> _Bags:
    names = [name for i, row in enumerate(every) for name in _bag_names(i, row)]
    index = {name: k for k, name in enumerate(dict.fromkeys(names))}
    of = np.asarray([index[name] for name in names])
    answer, weight = np.empty(len(index)), np.empty(len(index))
    answer[of] = np.concatenate([row.answer for row in every])
    weight[of] = np.concatenate([np.full(len(row.answer), row.weight) for row in every])
    return _Bags(x, of, np.nan_to_num(answer), np.where(np.isfinite(answer), weight, 0.0))


def _bag_names(i: int, row: Row) -> list[str]:
    """(piece,)"""
    pieces = range(len(row.answer))
    if row.kind.startswith("strip"):
        return [row.record for _ in pieces]
    return [f"{i} {k if row.kind == 'spoilt' else 'window'}" for k in pieces]


def _member(rng: np.random.Generator, bags: _Bags) -> tuple[Floats, Floats, Floats, float]:
    """Weighted cross entropy of the bags' mean log odds with weight decay, by L-BFGS."""
    x, of, answer, weight = bags
    count, size = x.shape[1], np.bincount(of).astype(np.float64)
    ends = np.cumsum([count * UNITS, UNITS, UNITS])

    def parts(p: Floats) -> tuple[Floats, Floats, Floats, float]:
        hidden, bias, output, offset = np.split(p, ends)
        return hidden.reshape(count, UNITS), bias, output, float(offset[0])

    def loss(p: Floats) -> tuple[float, Floats]:
        hidden, bias, output, offset = parts(p)
        units = np.tanh(x @ hidden.astype(np.float32) + bias.astype(np.float32))
        z = np.bincount(of, units @ output) / size + offset
        value = float(weight @ (np.logaddexp(0, z) - answer * z))
        wrong = (weight * (sigmoid(z) - answer) / size)[of]
        back = ((1 - units**2) * np.outer(wrong, output)).astype(np.float32)
        slopes = [(x.T @ back).ravel() + 2 * DECAY * hidden.ravel(), back.sum(axis=0)]
        slopes += [units.T @ wrong + 2 * DECAY * output, np.asarray([wrong.sum()])]
        return value + DECAY * float((hidden**2).sum() + (output**2).sum()), np.concatenate(slopes)

    start = [rng.normal(0, count**-0.5, count * UNITS), np.zeros(UNITS)]
    start += [rng.normal(0, UNITS**-0.5, UNITS), np.zeros(1)]
    found = minimize(loss, np.concatenate(start), jac=True, method="L-BFGS-B", options={"maxiter": STEPS})
    return parts(np.asarray(found.x))


def _strips(every: Sequence[Row], scores: Floats, kind: str) -> Floats:
    """(strip,) mean over its windows."""
    of: dict[str, list[float]] = {}
    for row, score in zip(every, scores, strict=True):
        if row.kind == kind:
            of.setdefault(row.record, []).append(float(score))
    return np.asarray([np.mean(held) for held in of.values()])


def _figures(
    every: Sequence[Row], scores: Floats, strips: dict[str, Floats], threshold: float
) -> dict[str, Any]:
    first = np.asarray([row.kind == "mitdb" for row in every])
    second = np.asarray([row.kind == "mitdb, lead 1" for row in every])
    abnormal = np.asarray([row.abnormal for row in every])[first]
    one, two = scores[first] >= threshold, np.minimum(scores[first], scores[second]) >= threshold
    readable = np.concatenate([strips[kind] for kind in "NAO"])
    return {
        "strips gated": {kind: _share(held >= threshold) for kind, held in strips.items()},
        "strips auroc": auroc(np.r_[strips["~"], readable], np.r_[strips["~"] < np.inf, readable == np.inf]),
        "ds1 abnormal gated": {"lead 0": _share(one[abnormal]), "two leads": _share(two[abnormal])},
        "ds1 normal gated": {"lead 0": _share(one[~abnormal]), "two leads": _share(two[~abnormal])},
        "ds1 abnormal windows": int(abnormal.sum()),
    }


def _share(held: npt.NDArray[np.bool_]) -> float:
    return round(float(held.mean()), 4)
