"""A whole training of the screener in small: folds, resumption, calibration, and a network that is served."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from models.dataset.tracks import Track
from models.errors import UsageError
from models.screener import batches, train
from models.screener.runtime import Screener
from models.screener.train import Recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

SMALL = Recipe(folds=2, steps=3)


@pytest.fixture(scope="module")
def tracks(make_track: Callable[..., Track]) -> list[Track]:
    """One and a half minutes each: a third of it fast, and a few ventricular beats."""
    found = []
    for i, record in enumerate(("101", "106", "108", "109", "112", "114", "800", "801")):
        beats = np.concatenate([np.arange(0.4 + i / 20, 60, 0.8), np.arange(60.2, 90, 0.4)])
        kinds = np.where(np.arange(len(beats)) % 40 == 9, 2, 0)
        source = "svdb" if record.startswith("8") else "mitdb"
        rhythm = -2 if source == "svdb" else 0
        found.append(make_track(90.0, beats, kinds, rhythm=rhythm, source=source, record=record))
    return found


@pytest.fixture(scope="module")
def training(tracks: list[Track], nstdb_folder: Path) -> Iterator[Callable[..., None]]:
    """`training(out, recipe)` on `tracks`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "development_tracks", lambda _: iter(tracks))
        patch.setattr(batches, "BATCH", 8)
        yield lambda out, recipe=SMALL: train.train(out, nstdb_folder, recipe)


@pytest.fixture(scope="module")
def out(training: Callable[..., None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("training")
    training(out)
    return out


def files(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in sorted(out.rglob("*.onnx"))}


def test_every_fold_and_the_whole_have_a_network_of_their_own(out: Path, tracks: list[Track]) -> None:
    assert set(files(out)) == {"screener.onnx", "fold0/screener.onnx", "fold1/screener.onnx"}
    assert len(set(files(out).values())) == 3
    assert set(json.loads((out / "folds.json").read_text())) == {track.record for track in tracks}


def test_what_was_trained_can_be_served(out: Path, tracks: list[Track]) -> None:
    for folder in (out, out / "fold0"):
        screener = Screener(folder / "screener.onnx")
        assert 0 < screener.threshold <= 1
        assert "patient-grouped folds" in screener.metadata["chosen"]
        assert len(screener.metadata["data_sha256"]) == 64
        assert 0 <= screener.run(tracks[0].signal[:, :1280], 128.0, ("MLII", "V1")).window <= 1


def test_a_finished_training_asked_again_leaves_every_network_as_it_is(
    out: Path, training: Callable[..., None]
) -> None:
    before = files(out)
    training(out)
    assert files(out) == before


def test_a_folder_with_other_settings_is_refused(out: Path, training: Callable[..., None]) -> None:
    with pytest.raises(UsageError, match="give another --out"):
        training(out, SMALL.model_copy(update={"steps": 4}))
