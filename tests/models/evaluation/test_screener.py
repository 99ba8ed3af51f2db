from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from models.dataset.annotated import Annotated, Rhythm, mitdb, nstdb
from models.errors import RecordingError
from models.evaluation.held_out import HeldOut, stretch_scores, window_scores
from models.evaluation.screener import (
    baselines,
    beat_figures,
    cross_fitted,
    evaluate,
    operating_point,
    window_figures,
)
from models.screener.runtime import Screener
from models.signals.conditioning import resample


@pytest.fixture(scope="module")
def screener() -> Screener:
    return Screener()


def test_shipped_figures_belong_to_the_shipped_weights(screener: Screener) -> None:
    figures = evaluate()
    assert figures["operating"]["threshold"] == screener.threshold
    assert figures["operating"]["token_thresholds"] == screener.token_thresholds
    assert figures["operating"]["beat_thresholds"] == screener.beat_thresholds
    for name in ("clean, lead 0", "em 12 dB, lead 0", "em 6 dB, lead 0"):
        rows = figures["windows"][name]["records"]
        assert len(rows) == 22
        assert sum(row["windows"] for row in rows) == figures["windows"][name]["windows"]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_the_network_beats_what_is_blind_to_the_ecg() -> None:
    figures = evaluate()
    blind = max(row["auroc"] for row in figures["baselines"].values())
    assert figures["windows"]["clean, lead 0"]["auroc"] > blind
    assert figures["windows"]["em 6 dB, lead 0"]["auroc"] > blind


def test_a_zeroed_ecg_tells_the_network_nothing(screener: Screener) -> None:
    """Every zeroed window gets one score, whatever it held, so it ranks like a constant."""
    scores = [screener.run(np.zeros((leads, 3600), dtype=np.float32), 360.0).window for leads in (1, 2, 12)]
    assert scores == pytest.approx([scores[0]] * 3, abs=1e-6)


def test_a_folder_without_a_training_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"folds\.json"):
        evaluate(tmp_path, tmp_path)


def test_figures_of_a_record_count_every_window_and_beat(ecg_data: Path, screener: Screener) -> None:
    """Two short records as two folds; wiring, not accuracy."""
    held = [scored(screener, ecg_data, name, fold) for fold, name in enumerate(("208", "119", "220"))]
    point = operating_point(held)
    clean = window_figures(held, "clean, lead 0", point)
    assert clean["windows"] == 3 * 18
    assert clean["abnormal"] == sum(row["abnormal"] for row in clean["records"])
    assert clean["specificity"] >= 0.8
    beats = beat_figures(held, point)
    assert beats["V"]["beats"] == sum(int(np.isin(r.stretches.kinds, (2, 3)).sum()) for r in held)
    assert beats["V"]["sensitivity"] > 0.8  # learned records
    assert set(cross_fitted(held)) == {"sensitivity", "specificity", "ece"}
    assert next(iter(baselines(held).values()))["auroc"] == 0.5


def scored(screener: Screener, data: Path, name: str, fold: int) -> HeldOut:
    record = three_minutes(next(mitdb(data, [name])))
    fs, noise = nstdb(data, "em", "test")
    windows = window_scores(screener, record, resample(noise, fs, record.fs).astype(np.float32))
    assert set(windows.logits) == {
        f"{noise}, {leads}"
        for noise in ("clean", "em 12 dB", "em 6 dB")
        for leads in ("lead 0", "both leads")
    }
    stretches = stretch_scores(screener, record)
    assert len(stretches.beats) == len(record.beats)
    return HeldOut(record=name, source="mitdb", fold=fold, windows=windows, stretches=stretches)


def three_minutes(record: Annotated) -> Annotated:
    from dataclasses import replace

    end = round(180 * record.fs)
    kept = record.beats < end
    return replace(
        record,
        microvolts=record.microvolts[:, :end],
        beats=record.beats[kept],
        symbols=record.symbols[kept],
        rhythms=tuple(
            Rhythm(first=r.first, last=min(r.last, end - 1), name=r.name)
            for r in record.rhythms
            if r.first < end
        ),
    )
