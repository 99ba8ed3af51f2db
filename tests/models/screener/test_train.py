from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from models.errors import UsageError

pytest.importorskip("torch", reason="the train extra is not installed")

SCRIPT = """
import sys
from pathlib import Path
import torch
from models.dataset.annotated import mitdb
from models.screener.batches import Sampler, training_noises
from models.screener.tracks import track_of
from models.screener.train import fit
torch.set_num_threads(1)
data, checkpoint, steps = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
tracks = [track_of(record) for record in mitdb(data, ["208", "119"])]
net = fit(checkpoint, Sampler(tracks, training_noises(data)), steps=steps, seed=1, every=3)
print(float(sum(p.double().abs().sum() for p in net.state_dict().values())))
"""
STEPS = 9


def start(data: Path, checkpoint: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(data), str(checkpoint), str(STEPS)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_killed_training_goes_on_and_ends_with_the_same_weights(tmp_path: Path, ecg_data: Path) -> None:
    with start(ecg_data, tmp_path / "killed") as doomed:
        assert doomed.stderr is not None
        said = doomed.stderr.readline()
        assert said.startswith(f"killed: step 3/{STEPS} loss ")
        doomed.kill()
    with start(ecg_data, tmp_path / "killed") as resumed:
        weights, progress = resumed.communicate()
    with start(ecg_data, tmp_path / "whole") as whole:
        expected, _ = whole.communicate()
    step = int(progress.split("going on from step ")[1].split()[0])
    assert 3 <= step < STEPS
    assert weights == expected != ""


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    from models.screener.train import claim

    run = {"data": "a", "folds": 3, "seed": 0, "epochs": 8}
    claim(tmp_path, run)
    claim(tmp_path, run)
    with pytest.raises(UsageError, match=r"give another --out"):
        claim(tmp_path, {**run, "seed": 1})
    assert json.loads((tmp_path / "run.json").read_text()) == run
