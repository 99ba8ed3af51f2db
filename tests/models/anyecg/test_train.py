"""A whole training in small: folds, resumption, choice of thresholds, and networks that are served."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from models.anyecg import sequences, train
from models.anyecg.encoder import Size
from models.anyecg.labels import RHYTHMS
from models.anyecg.localizer import NETWORKS, Localizer
from models.anyecg.net import BeatNet, DenseNet, RhythmNet
from models.anyecg.train import Recipe
from models.dataset.annotated import Annotated, Rhythm
from models.dataset.tracks import track_of
from models.errors import UsageError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MakeAnnotated = Callable[..., Annotated]
TINY = Size((2, 4), (6, 6, 8, 10))
SMALL = Recipe(folds=2, dense_steps=2, rhythm_steps=2, beats_steps=2, beats_seeds=2)


def spans(*names: str) -> tuple[Rhythm, ...]:
    """One rhythm after the other, each for as long, over 84 s at 250 Hz."""
    edges = np.linspace(0, 84 * 250, len(names) + 1).astype(int).tolist()
    return tuple(
        Rhythm(first=a, last=b - 1, name=n) for n, (a, b) in zip(names, pairwise(edges), strict=True)
    )


@pytest.fixture(scope="module")
def records(annotated: MakeAnnotated) -> list[Annotated]:
    """84 s each; every fold has every class of beat and every rhythm."""
    ectopic, unknown = "NNNVNNNNNSNNNN" * 6, "?" * 84
    told = [
        *((f"mitdb/{name}", ectopic, spans("N", "AFIB", "VFL", "VT")) for name in (101, 106, 108, 109)),
        *((f"svdb/{name}", ectopic, ()) for name in (800, 801)),
        *((f"cudb-vf/cu0{name}", unknown, spans("VFL")) for name in (1, 2)),
    ]
    return [annotated(*record, seed=seed) for seed, record in enumerate(told)]


@pytest.fixture(scope="module")
def training(records: list[Annotated], nstdb_folder: Path) -> Iterator[Callable[..., None]]:
    """`training(out, recipe, only)` on `records`."""
    beats = np.cumsum(np.random.default_rng(0).uniform(0.6, 1.0, 200))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "development_tracks", lambda _: map(track_of, records))
        patch.setattr(train, "interval_records", lambda _: [(beats, np.arange(200).astype(np.int8) % 3)])
        for name, source in (("mitdb", "mitdb"), ("svdb", "svdb"), ("cudb_vf", "cudb-vf")):
            own = [record for record in records if record.source == source]
            patch.setattr(train, name, lambda _, own=own: iter(own))
        for name in ("cpsc2021", "vfdb", "afpdb"):
            patch.setattr(train, name, lambda _: iter(()))
        patch.setattr(train, "DenseNet", lambda: DenseNet(TINY))
        patch.setattr(train, "RhythmNet", lambda: RhythmNet(TINY, hidden=6))
        patch.setattr(train, "BeatNet", lambda: BeatNet(hidden=6))
        for name in ("DENSE_BATCH", "RHYTHM_BATCH", "FAMILIAR_BATCHES"):
            patch.setattr(train, name, 2)
        patch.setattr(sequences, "BEATS_PER_BATCH", 72)
        yield lambda out, recipe=SMALL, only=NETWORKS: train.train(out, nstdb_folder, recipe, only)


@pytest.fixture(scope="module")
def out(training: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("training")
    training(out)
    return out


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.onnx"))}


def test_every_fold_and_the_whole_have_three_networks(out: Path) -> None:
    folders = ("", "fold0/", "fold1/")
    assert set(files(out)) == {f"{folder}{name}.onnx" for folder in folders for name in NETWORKS}
    assert len(set(files(out).values())) == 9


def test_folds_say_who_was_left_out(out: Path, records: list[Annotated]) -> None:
    fold_of = json.loads((out / "folds.json").read_text())
    assert set(fold_of) == {record.record for record in records}
    for source in ("mitdb", "svdb", "cudb-vf"):
        assert {k for name, k in fold_of.items() if name.startswith(source)} == {0, 1}


def test_what_was_trained_can_be_served(out: Path, records: list[Annotated]) -> None:
    for folder in (out, out / "fold0"):
        localizer = Localizer(folder)
        assert set(localizer.thresholds) == {"S", "V", *RHYTHMS}
        assert localizer.metadata["version"] == train.VERSION
        assert len(localizer.metadata["data_sha256"]) == 64
        assert "patient-grouped folds" in localizer.metadata["chosen"]
        found = localizer.run(records[0].microvolts[:, :7500], 250.0, ("MLII", "V1"))
        assert np.isfinite(found.rhythm).all()
        assert np.isfinite(found.strange).all()


def test_a_folder_with_other_settings_is_refused(out: Path, training: Callable[..., None]) -> None:
    with pytest.raises(UsageError, match="give another --out"):
        training(out, SMALL.model_copy(update={"dense_steps": 3}))


def test_without_folds_one_set_of_networks_has_plain_thresholds(
    training: Callable[..., None], tmp_path: Path
) -> None:
    """How a database is left out and tested on."""
    training(tmp_path, SMALL.model_copy(update={"folds": 0, "without": ("svdb",)}))
    assert set(files(tmp_path)) == {f"{name}.onnx" for name in NETWORKS}
    assert set(Localizer(tmp_path).thresholds.values()) == {0.5}


def test_a_finished_training_asked_again_leaves_every_network_as_it_is(
    out: Path, training: Callable[..., None]
) -> None:
    before = files(out)
    training(out)
    assert files(out) == before


def test_networks_trained_one_by_one_are_those_trained_together(
    out: Path, training: Callable[..., None], tmp_path: Path
) -> None:
    for network in ("rhythm", "dense", "beats", "dense"):
        training(tmp_path, SMALL, (network,))
    mine, its = files(tmp_path), files(out)
    assert [name for name in its if mine[name] != its[name]] == []  # a calibration is not calibrated again


def test_folds_of_the_other_databases_choose_where_one_is_left_out(
    training: Callable[..., None], tmp_path: Path
) -> None:
    training(tmp_path, SMALL.model_copy(update={"without": ("cudb-vf",)}))
    assert "patient-grouped folds" in Localizer(tmp_path).metadata["chosen"]
    assert not any(name.startswith("cudb") for name in json.loads((tmp_path / "folds.json").read_text()))
