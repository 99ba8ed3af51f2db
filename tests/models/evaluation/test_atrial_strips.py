from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from models.errors import RecordingError
from models.evaluation.atrial_strips import heard, is_strip_folder, read_strips, strip_figures
from models.evaluation.served import SaidEpisode, Served
from models.verdicts import Screening


def test_af_is_called_where_half_of_the_strip_is(
    served: Callable[..., Served], episode: Callable[..., SaidEpisode], window: Callable[..., Screening]
) -> None:
    half = served(episodes=(episode("AFIB", 0, 1999), episode("AFL", 5000, 5999)))
    less = served(episodes=(episode("AFIB", 0, 2998),), windows=(window(0, flagged=True, af=0.25),))
    assert heard("x", "A", half).called
    assert not heard("x", "A", less).called
    assert heard("x", "A", less).score == 0.25
    assert heard("x", "A", half).score is None


def test_f1_is_weighted_to_the_class_shares_of_the_whole_database(
    served: Callable[..., Served], episode: Callable[..., SaidEpisode]
) -> None:
    """Called: 3 of 4 A, 1 of 10 N, 1 of 2 O, no noisy one: 568.5 right, 507.6 + 1207.5 wrong."""
    af, nothing = served(episodes=(episode("AFIB", 0, 5999),)), served()
    kinds = {"A": (3, 1), "N": (1, 9), "O": (1, 1), "~": (0, 2)}
    rows = [
        heard(f"{kind}{i}", kind, af if i < called else nothing)
        for kind, (called, other) in kinds.items()
        for i in range(called + other)
    ]
    figures = strip_figures(rows, [heard(r.record, r.kind, nothing) for r in rows])
    af_figures = figures["rhythm"]["AFIB"]
    assert figures["strips"] == {"A": 4, "N": 10, "O": 2, "~": 2}
    assert af_figures["called"] == {"A": 0.75, "N": 0.1, "O": 0.5, "~": 0.0}
    assert af_figures["ppv"] == pytest.approx(568.5 / 2283.6, abs=1e-4)
    assert af_figures["f1"] == pytest.approx(2 * 0.75 * 0.2489 / 0.9989, abs=1e-3)
    assert af_figures["best_possible"] == {"f1": None}  # nothing was scored
    baselines = figures["baselines"]
    assert baselines["never"]["f1"] == baselines["zeroed"]["f1"] == 0.0
    assert baselines["whole strip"]["ppv"] == pytest.approx(758 / 8528, abs=1e-4)


def test_scores_are_ranked_and_the_best_threshold_is_named(served: Callable[..., Served]) -> None:
    scores = {"A0": 0.9, "A1": 0.6, "N0": 0.7, "N1": 0.1}
    said = {name: replace(served(), rhythm={"AFIB": (score,)}) for name, score in scores.items()}
    rows = [heard(name, name[0], of) for name, of in said.items()]
    af = strip_figures(rows, rows)["rhythm"]["AFIB"]
    assert af["auroc_of_scores"] == 0.75
    assert af["best_possible"]["called"] == {"A": 0.5, "N": 0.0}
    assert 0.69 < af["best_possible"]["threshold"] <= 0.9
    assert af["f1"] == 0.0


def test_strips_are_read_as_microvolts_and_a_wrong_name_is_said(tmp_path: Path) -> None:
    savemat(tmp_path / "A1.mat", {"val": np.arange(3000, dtype=np.int16)[None]})
    assert not is_strip_folder(tmp_path)
    (tmp_path / "REFERENCE-v3.csv").write_text("A1,~\nA2,N\n")
    assert is_strip_folder(tmp_path)
    (((name, kind), recording),) = read_strips(tmp_path, ["A1"])
    assert (name, kind, recording.fs, recording.uv_per_count) == ("A1", "~", 300.0, (1.0,))
    assert recording.counts[0, 1234] == 1234
    for wrong in ("A2", "A3"):
        with pytest.raises(RecordingError, match=f"no strip {wrong}"):
            list(read_strips(tmp_path, [wrong]))
