from __future__ import annotations

import json
import lzma
from pathlib import Path

import numpy as np
import pytest

from models.evaluation.quality import quality_figures
from models.recordings import Recording
from models.signals.conditioning import resample


@pytest.fixture
def data(tmp_path: Path, excerpt: Recording, monkeypatch: pytest.MonkeyPatch) -> Path:
    """20 s of a wearable, the first half real beats of grade 1, the second a walk of grade 4; two ECGs."""
    monkeypatch.setenv("ANYECG_CACHE", str(tmp_path / "cache"))
    first = round(50 * excerpt.fs)
    clean = resample(excerpt.counts[0, first : first + round(10 * excerpt.fs)] * 5.0, excerpt.fs, 500.0)
    walk = np.cumsum(np.random.default_rng(1).normal(0, 60, 5000))
    folder = tmp_path / "wearable-motion" / "01"
    (folder / "labels").mkdir(parents=True)
    counts = np.rint(np.concatenate([clean, walk]) + 2000).astype(int)
    with lzma.open(folder / "01_03_klud.csv.xz", "wt") as file:
        file.write("\n".join(f"2024-03-26 15:04:53.249732 ; {count}" for count in counts))
    rows = [f"{a};{a + 1000};3;{1 if a < 5000 else 4};1" for a in range(0, 10000, 1000)]
    (folder / "labels" / "01_03_klud_2.csv").write_text(
        "\n".join(["start;end;activity;artifact;electrode", *rows])
    )
    phone = tmp_path / "cinc2011"
    (phone / "set-a").mkdir(parents=True)
    for name, kind, x in (("1", "acceptable", clean), ("2", "unacceptable", walk)):
        (phone / f"RECORDS-{kind}").write_text(f"{name}\n")
        with lzma.open(phone / "set-a" / f"{name}.txt.xz", "wt") as file:
            for i, value in enumerate(np.rint(x / 5).astype(int)):
                file.write(",".join(map(str, [i, *[value] * 12])) + "\n")
    return tmp_path


def test_what_is_there_is_judged_and_what_is_not_is_named(data: Path) -> None:
    figures = quality_figures(data)
    assert figures["absent"] == ["strips", "ptbxl", "ds1", "cudb"]
    json.dumps(figures, allow_nan=False)
    wearable = figures["wearable"]
    assert wearable["10 s around"]["1"]["windows"] == wearable["10 s around"]["4"]["windows"] == 5
    assert wearable["10 s of one grade"]["1"] == {"windows": 3, "share": 0.0}
    assert wearable["10 s of one grade"]["4"] == {"windows": 3, "share": 1.0}
    assert wearable["10 s of one grade"]["2"] == {"windows": 0, "share": None}
    assert set(wearable["in 10 s by electrode"]) == {"textile"}
    assert wearable["auroc 4 against 1"] == 1.0
    assert figures["cinc2011"]["auroc, worst lead"] == 1.0
    assert figures["cinc2011"]["with an unreadable lead"] == {"acceptable": 0.0, "unacceptable": 1.0}


def test_the_held_out_figures_of_the_shipped_gate_reach_what_is_asked(data: Path) -> None:
    held_out = quality_figures(data)["held_out"]
    assert held_out["strips gated"]["N"] <= 0.051
    assert held_out["ds1 abnormal gated"]["lead 0"] <= 0.02
