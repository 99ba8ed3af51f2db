from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from models.dataset.annotated import Annotated
from models.evaluation.beat_figures import beat_figures
from models.evaluation.beats import paired
from models.evaluation.judged import Judged
from models.evaluation.served import SaidBeat, Served

Make = Callable[..., Annotated]
Say = Callable[..., Served]


def judged(truth: Annotated, served: Served) -> Judged:
    return Judged(truth=truth, served=served, blind=replace(served, beats=()))


def test_figures_of_a_worked_example(truth: Make, served: Say) -> None:
    """V: 2 right of 4 (one missed, one called N); said V: 2 right, 1 on N, 1 on F, 1 on Q, 1 on nothing."""
    true = truth(
        {100: "N", 200: "V", 300: "V", 400: "V", 500: "V", 600: "F", 700: "Q", 800: "A", 900: "N", 1000: "j"}
    )
    said = served(
        {100: "V", 205: "V", 300: "V", 400: "N", 600: "V", 700: "V", 800: "S", 900: "N", 1000: "N", 1100: "V"}
    )
    figures = beat_figures([judged(true, said)])
    assert figures["detection"] == {"se": 0.9, "ppv": 0.9, "beats": 10}
    v = figures["beats"]["V"]
    assert (v["beats"], v["se"], v["ppv"], v["f1"]) == (4, 0.5, 0.5, 0.5)
    assert v["strict"] == {"ppv": 0.4, "f1": 0.4444}
    assert figures["beats"]["S"]["f1"] == 1.0
    n = figures["beats"]["N"]
    assert (n["beats"], n["se"], n["ppv"]) == (3, 0.6667, 0.6667)
    assert figures["beats"]["F"]["f1"] == 0.0
    assert figures["worst"]["V"][0] == {"record": "a", "errors": 5, "mostly": "N called V: 1"}
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_escape_beats_are_n_by_aami_and_paced_ones_q(truth: Make, served: Say) -> None:
    pairs = paired(truth(dict(zip(range(100, 1200, 100), "eJ/fQ?BnErS", strict=True))), [])
    assert [pair.truth for pair in pairs] == ["N", "S", "Q", "Q", "Q", "Q", "N", "N", "V", "V", "S"]
    assert {pair.label for pair in pairs} == {"missed"}


def test_beats_in_flutter_and_before_the_skip_are_not_compared(truth: Make, served: Say) -> None:
    true = truth({100: "N", 600: "V", 900: "N"}, ((500, 700, "VFL"),))
    pairs = paired(true, served({100: "N", 550: "V", 650: "V", 900: "N"}).beats, skip_s=2.0)
    assert [(pair.truth, pair.label) for pair in pairs] == [("N", "N")]


def test_an_unreadable_beat_is_not_said_and_counts_as_missed(truth: Make, served: Say) -> None:
    true = truth({100: "N", 200: "V"})
    said = served(unreadable=((150, 250),))
    said = replace(said, beats=(SaidBeat(r=100, label="N"), SaidBeat(r=200, label="V", readable=False)))
    figures = beat_figures([judged(true, said)])
    assert figures["detection"]["se"] == 0.5
    assert figures["beats"]["V"]["se"] == 0.0
    assert figures["unreadable"]["beats"] == 1
    assert figures["unreadable"]["with_unreadable"]["beats"]["V"]["f1"] == 1.0


def test_morphology_is_judged_on_normal_and_paced_beats(truth: Make, served: Say) -> None:
    true = truth(
        {100: "L", 200: "L", 300: "N", 400: "R", 500: "V", **dict.fromkeys(range(600, 3000, 100), "N")}
    )
    said = served(dict.fromkeys(true.beats.tolist(), "N"))
    shapes = {100: "L", 300: "L", 400: "R", 500: "L"}
    said = replace(said, beats=tuple(replace(b, morphology=shapes.get(b.r)) for b in said.beats))
    beats = beat_figures([judged(true, said)])["beats"]
    assert (beats["L"]["beats"], beats["L"]["se"], beats["L"]["ppv"]) == (2, 0.5, 0.5)
    assert beats["R"]["f1"] == 1.0


def test_paced_records_stand_apart(truth: Make, served: Say) -> None:
    paced = judged(truth({100: "/", 200: "/", 300: "V"}, record="p"), served({100: "N", 200: "N", 300: "N"}))
    plain = judged(truth({100: "N", 200: "V"}), served({100: "N", 200: "V"}))
    figures = beat_figures([paced, plain])
    assert figures["beats"]["V"]["f1"] == 1.0
    assert figures["paced"]["beats"]["V"]["se"] == 0.0
    assert [(row["record"], row["paced"]) for row in figures["per_record"]] == [("p", True), ("a", False)]


def test_baselines_need_no_ecg(truth: Make, served: Say) -> None:
    """Every beat found called V: 1 right of 4 said; a beat every 0.8 s meets the beat at 160 and at 800."""
    true = truth({160: "V", 300: "N", 500: "N", 800: "N"})
    said = served({160: "V", 300: "N", 500: "N", 800: "N"}, samples=1000)
    baselines = beat_figures([judged(true, said)])["baselines"]
    assert baselines["whole strip"]["V"] == {"se": 1.0, "ppv": 0.25, "f1": 0.4}
    assert baselines["never"]["V"] == {"se": 0.0, "ppv": None, "f1": 0.0}
    assert baselines["zeroed"]["V"]["f1"] == 0.0
    assert baselines["constant"]["V"]["se"] == 1.0
    assert baselines["constant"]["V"]["ppv"] == pytest.approx(1 / 12, abs=1e-3)


def test_probabilities_of_beats_are_judged_where_they_are_given(truth: Make, served: Say) -> None:
    said = served({100: "V", 200: "V", 300: "N"})
    chances = {100: {"V": 1.0}, 200: {"V": 0.75}, 300: {}}
    said = replace(said, beats=tuple(replace(b, chances=chances[b.r]) for b in said.beats))
    calibration = beat_figures([judged(truth({100: "V", 200: "N", 300: "N"}), said)])["calibration"]
    assert calibration["by_score"]["V"]["scores"] == 2
    assert calibration["ece"] == pytest.approx(0.375)
    assert "S" not in calibration["by_score"]
