"""Training of the localizer: folds by patient first, then the shipped networks on every development record.

    anyecg train localizer --out DIR        (reads ANYECG_DATA)

DIR receives `fold<k>/` with the networks that left fold k out, `folds.json` (which fold left a record out)
and, once thresholds and calibration were chosen on the held-out records, the shipped `dense.onnx`,
`beats.onnx` and `rhythm.onnx`. A killed training goes on from its last checkpoints; several may work on one
DIR, each on `--only` some of the networks. Single-threaded on a CPU, so a seed means the same weights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch  # noqa: TID251 - a training file
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor, nn  # noqa: TID251

from models.anyecg.batches import BEAT_SHARES, RHYTHM_SHARES, Noise, Sampler, beats_wanted, rhythm_wanted
from models.anyecg.export import export_beats, export_dense, export_rhythm
from models.anyecg.familiar import WINDOW, Familiar
from models.anyecg.labels import RHYTHMS
from models.anyecg.localizer import Localizer
from models.anyecg.net import BeatNet, DenseNet, RhythmNet
from models.anyecg.operating import held_out, operating_point
from models.anyecg.sequences import BeatSampler, IntervalSampler
from models.dataset.annotated import Annotated, cpsc2021, cudb_vf, mitdb, svdb, vfdb
from models.dataset.atrial import afpdb
from models.dataset.development import development_tracks, interval_records
from models.dataset.tracks import Track, data_hash, fold_by_record
from models.signals.conditioning import NETWORK_FS
from models.training import DEVICE, claim, fit, say

VERSION = "3"
RHYTHM_CHECKPOINT = "rhythm.checkpoint"
PLAIN = {
    "scale": [1.0] * len(RHYTHMS),
    "offset": [0.0] * len(RHYTHMS),
    "fibrillation": (1.0, 0.0, 0.0),
    "thresholds": dict.fromkeys(("S", "V", *RHYTHMS), 0.5),
    "chosen": "not chosen yet",
}
NETWORKS = ("dense", "beats", "rhythm")
INTERVAL_SEQUENCES, INTERVAL_LOSS = 16, 0.25
MORPHOLOGY_LOSS = 0.3
FAMILIAR, FAMILIAR_BATCHES = 2, 80  # a stream of random numbers of its own, and how much is looked at
PEAK_LOSS, PEAK_WEIGHT = 4.0, 4.0
DENSE_BATCH, RHYTHM_BATCH = 12, 24
POSITIVE = (1.0, 2.0, 2.0)  # weight of a step that holds the rhythm, in the order of RHYTHMS
Rows = Sequence[Tensor]


class Recipe(BaseModel):
    """How long and how often; the figures of CARD.md are those of the defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    folds: int = Field(4, ge=0, le=10, description="of patients; 0: no cross-validation, thresholds of 0.5")
    seed: int = 0
    without: tuple[str, ...] = Field((), description="databases left out, to be tested on")
    dense_steps: int = Field(700, ge=1)
    rhythm_steps: int = Field(900, ge=1)
    beats_steps: int = Field(400, ge=1)
    beats_seeds: int = Field(2, ge=1, description="networks whose mean classifies beats")

    @field_validator("folds")
    @classmethod
    def _two_or_none(cls, folds: int) -> int:
        if folds == 1:
            raise ValueError("one fold would leave nothing to learn: give 0 or at least 2")
        return folds


@dataclass(frozen=True, slots=True)
class Part:
    """What one fold, or the shipped networks, are fitted with."""

    folder: Path
    learned: Sequence[Track]
    noise: Noise
    intervals: IntervalSampler
    recipe: Recipe
    metadata: Mapping[str, Any]


def train(out: Path, data: Path, recipe: Recipe, only: Sequence[str] = NETWORKS) -> None:
    """Fits what is missing in `out`, and chooses thresholds once all is there."""
    torch.set_num_threads(1)
    say("reading the records")
    tracks = [t for t in development_tracks(data) if t.source not in recipe.without]
    fingerprint = data_hash(tracks)
    claim(out / "localizer.json", {"data": fingerprint, "version": VERSION, **recipe.model_dump(mode="json")})
    fold_of = fold_by_record(out / "folds.json", tracks, recipe.folds, recipe.seed)
    noise, intervals = Noise(data), IntervalSampler(interval_records(data))
    metadata = {"name": "localizer", "version": VERSION, "fs": NETWORK_FS, "licence": "Apache-2.0"}
    metadata |= {"data_sha256": fingerprint}
    for fold, folder in folders(out, recipe).items():
        learned = [t for t in tracks if fold_of[t.record] != fold]
        folder.mkdir(parents=True, exist_ok=True)
        for network in only:
            FITS[network](Part(folder, learned, noise, intervals, recipe, metadata))
    if recipe.folds and all(
        (f / f"{n}.onnx").is_file() for f in folders(out, recipe).values() for n in NETWORKS
    ):
        choose(out, data, recipe, fold_of, metadata)


def folders(out: Path, recipe: Recipe) -> dict[int, Path]:
    """Where each fold's networks go, and last those that learned every record (no fold: -1)."""
    return {**{k: out / f"fold{k}" for k in range(recipe.folds)}, -1: out}


def choose(
    out: Path, data: Path, recipe: Recipe, fold_of: Mapping[str, int], metadata: Mapping[str, Any]
) -> None:
    """Calibrates and sets thresholds on held-out records: the shipped ones on all of them, a fold's on those
    of the other folds, so that its figures carry no optimism from the choice."""
    say("scoring the held-out records")
    for folder in folders(out, recipe).values():  # they may hold the choice of an earlier run
        operate(folder, metadata, PLAIN)
    networks = {k: Localizer(folder) for k, folder in folders(out, recipe).items()}
    rows = [held_out(networks[fold_of[r.record]], r) for r in _scored(data) if r.record in fold_of]
    for k, folder in folders(out, recipe).items():
        point = operating_point([row for row in rows if fold_of[row.record] != k])
        operate(folder, metadata, point)
        say(f"{folder}: {point['thresholds']}")


def _scored(data: Path) -> Iterator[Annotated]:
    yield from (*mitdb(data), *svdb(data), *cpsc2021(data), *cudb_vf(data), *vfdb(data))
    yield from (r for r in afpdb(data) if r.rhythms)


def fit_dense(part: Part) -> None:
    sampler = Sampler(part.learned, part.noise, BEAT_SHARES, beats_wanted)

    def loss_of(net: DenseNet, step: int) -> Tensor:
        return dense_loss(net, tensors(sampler.batch(DENSE_BATCH, part.recipe.seed, step)))

    checkpoint = part.folder / "dense.checkpoint"
    net = fit(checkpoint, DenseNet, loss_of, steps=part.recipe.dense_steps, seed=part.recipe.seed, rate=3e-3)
    familiar = familiar_with(net, sampler, part.recipe.seed)
    export_dense(net, part.folder / "dense.onnx", {**part.metadata, "familiar": familiar.to_metadata()})


def familiar_with(net: DenseNet, sampler: Sampler, seed: int) -> Familiar:
    """What the trained network's tokens look like on what it learned."""
    windows = []
    with torch.no_grad():
        for i in range(FAMILIAR_BATCHES):
            x, lead, gain, *_ = (torch.from_numpy(a) for a in sampler.batch(DENSE_BATCH, seed, i, FAMILIAR))
            tokens = net(x, lead, gain).tokens
            whole = tokens[:, : tokens.shape[1] // WINDOW * WINDOW]
            windows.append(whole.reshape(-1, WINDOW, tokens.shape[2]).mean(dim=1).numpy())
    return Familiar.of(np.concatenate(windows))


def dense_loss(net: DenseNet, rows: Rows) -> Tensor:
    """Log-loss of the heat, heavier on the peaks, and cross-entropy of the classes at annotated beats."""
    x, lead, gain, peak, known_peak, beat, known_beat = rows
    found = net(x, lead, gain)
    weight = (1 + PEAK_WEIGHT * peak) * known_peak
    heat = nn.functional.binary_cross_entropy_with_logits(found.peak, peak, weight=weight, reduction="sum")
    return PEAK_LOSS * heat / known_peak.sum().clamp(min=1) + weighted(found.beat, beat, known_beat)


def fit_rhythm(part: Part) -> None:
    sampler = Sampler(part.learned, part.noise, RHYTHM_SHARES, rhythm_wanted)

    def loss_of(net: RhythmNet, step: int) -> Tensor:
        x, lead, gain, rr, rhythm, known = tensors(sampler.batch(RHYTHM_BATCH, part.recipe.seed, step))
        weight = torch.tensor(POSITIVE, device=DEVICE)
        loss = nn.functional.binary_cross_entropy_with_logits(
            net(x, lead, gain, rr), rhythm, weight=known, pos_weight=weight, reduction="none"
        )
        each = loss.sum(dim=(0, 1)) / known.sum(dim=(0, 1)).clamp(min=1)  # rare rhythms are known rarely
        return each.sum()

    checkpoint = part.folder / RHYTHM_CHECKPOINT
    fit(checkpoint, RhythmNet, loss_of, steps=part.recipe.rhythm_steps, seed=part.recipe.seed, rate=3e-3)
    operate(part.folder, part.metadata, PLAIN)


def operate(folder: Path, metadata: Mapping[str, Any], point: Mapping[str, Any]) -> None:
    """Writes the rhythm network of a folder with calibration and thresholds, which travel with it."""
    net = RhythmNet()
    net.load_state_dict(torch.load(folder / RHYTHM_CHECKPOINT, weights_only=True, map_location="cpu")["net"])
    export_rhythm(net.eval(), folder / "rhythm.onnx", point["scale"], point["offset"], {**metadata, **point})


def fit_beats(part: Part) -> None:
    """Networks of several seeds; their mean is what is exported."""
    sampler = BeatSampler(part.learned, part.noise)
    nets = []
    for seed in range(part.recipe.seed, part.recipe.seed + part.recipe.beats_seeds):

        def loss_of(net: BeatNet, step: int, seed: int = seed) -> Tensor:
            batch = tensors(sampler.batch(seed, step))
            alone = tensors(part.intervals.batch(INTERVAL_SEQUENCES, batch[2].shape[1], seed, step, 1))
            return beats_loss(net, batch) + INTERVAL_LOSS * weighted(net(None, None, alone[0])[0], *alone[1:])

        checkpoint = part.folder / f"beats{seed}.checkpoint"
        nets.append(fit(checkpoint, BeatNet, loss_of, steps=part.recipe.beats_steps, seed=seed, rate=2e-3))
    export_beats(nets, part.folder / "beats.onnx", part.metadata)


def beats_loss(net: BeatNet, rows: Rows) -> Tensor:
    shapes, numbers, rr, kinds, known, morphology, known_morphology = rows
    beat, form = net(shapes, numbers, rr)
    return weighted(beat, kinds, known) + MORPHOLOGY_LOSS * weighted(form, morphology, known_morphology)


def weighted(logits: Tensor, wanted: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy over what somebody annotated, each with its weight."""
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
    return (loss * known.flatten()).sum() / known.sum().clamp(min=1)


def tensors(arrays: Sequence[Any]) -> list[Tensor]:
    return [torch.from_numpy(a).to(DEVICE) for a in arrays]


FITS: dict[str, Callable[[Part], None]] = {"dense": fit_dense, "beats": fit_beats, "rhythm": fit_rhythm}
