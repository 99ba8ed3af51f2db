from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from models.dataset.annotated import Annotated
from models.dataset.anyecg.intervals import Span
from models.evaluation.folder import Case
from models.evaluation.localization import answered, localization_figures
from models.evaluation.served import SaidBeat, SaidEpisode, Served
from models.evaluation.strips import Strip, alone, said_spans, strips_of
from models.recordings import make_recording

Make = Callable[..., Annotated]
Say = Callable[..., Served]


def strip(kind: str, answer: tuple[Span, ...], protocol: str = "paper", record: str = "a") -> Strip:
    """Ten seconds."""
    return Strip(
        record=record, kind=kind, protocol=protocol, first=0, last=999, fs=100.0, leads=(0,), answer=answer
    )


def case(truth: Annotated, seconds: int = 300) -> Case:
    counts = np.arange(2 * seconds * 100).reshape(2, -1)
    return Case(truth=truth, recording=make_recording("a", 100.0, ["II", "V1"], counts, [5.0, 5.0]))


def test_the_answer_is_the_papers_interval_around_the_beats_said(
    served: Say, episode: Callable[..., SaidEpisode]
) -> None:
    said = served({80: "N", 160: "N", 220: "V", 330: "N", 900: "S"}, samples=1000)
    assert said_spans(said, "V") == ((1.6, 3.3),)
    assert said_spans(said, "S") == ((3.3, 10.0),)
    assert said_spans(said, "L") == ()
    shaped = replace(said, beats=tuple(replace(b, morphology="L") for b in said.beats))
    assert said_spans(shaped, "L") == ((0.0, 10.0),)
    unread = replace(said, beats=(SaidBeat(r=220, label="V", readable=False),))
    assert said_spans(unread, "V") == ()
    assert said_spans(served(episodes=(episode("AFL", 200, 499),), samples=1000), "AFIB") == ((2.0, 5.0),)


def test_figures_of_a_worked_example(served: Say) -> None:
    """V: one of two intervals of 2 s found (0.5), one negative right; S: missed (0), negative with a false
    one (0); micro over the 4 rows, macro over the 2 types."""
    nothing = served(samples=1000)
    v = served({200: "N", 300: "V", 400: "N"}, samples=1000)
    rows = [
        answered(strip("V", ((2.0, 4.0), (6.0, 8.0))), v, nothing),
        answered(strip("V", ()), nothing, nothing),
        answered(strip("S", ((2.0, 4.0),)), nothing, nothing),
        answered(strip("S", ()), served({500: "S"}, samples=1000), nothing),
        answered(strip("V", ((2.0, 4.0),), "anywhere"), v, nothing),
    ]
    figures = localization_figures(rows)
    paper = figures["localization"]
    assert (paper["micro_iou"], paper["macro_iou"]) == (0.375, 0.375)
    assert (paper["positives"], paper["negatives"]) == (0.25, 0.5)
    assert paper["by_type"]["V"] == {
        "positives": 0.5,
        "negatives": 1.0,
        "strips": 2,
        "positive_strips": 1,
    }
    assert paper["anywhere"]["positives"] == 1.0
    baselines = figures["baselines"]["paper"]
    assert baselines["constant"]["positives"] == pytest.approx((0.5 / 5.5 + 0.5 / 3.5) / 2, abs=1e-4)
    assert baselines["whole strip"]["positives"] == pytest.approx((0.4 + 0.2) / 2)
    assert (baselines["never"]["positives"], baselines["never"]["negatives"]) == (0.0, 1.0)
    assert baselines["zeroed"] == baselines["never"]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_nothing_said_of_a_strip_that_cannot_be_read_is_no_answer(served: Say) -> None:
    dark = served(samples=1000, unreadable=((0, 599), (100, 200)))
    partly = served(samples=1000, unreadable=((0, 399),))
    rows = [answered(strip("V", ()), said, dark) for said in (dark, partly)]
    assert localization_figures(rows)["localization"]["negatives"] == 0.5
    assert localization_figures(rows)["baselines"]["paper"]["zeroed"]["negatives"] == 0.0


def test_strips_hold_what_they_say_and_are_the_same_every_time(truth: Make) -> None:
    beats = dict.fromkeys(range(50, 30_000, 100), "N") | {5050: "V", 15_050: "V", 15_250: "A", 20_050: "L"}
    whole = case(truth(beats, ((0, 9999, "N"), (10_000, 14_999, "AFIB"), (15_000, 29_999, "N"))))
    strips = list(strips_of(whole, 3))
    assert strips == list(strips_of(whole, 3))
    assert {s.kind for s in strips if s.answer} == {"V", "S", "L", "AFIB"}
    assert {s.leads for s in strips} == {(0,), (0, 1)}
    for s in strips:
        assert 10 <= s.seconds <= 60
        assert 0 <= s.first < s.last < 30_000
        targets = {"V": (5050, 15_050), "S": (15_250,), "L": (20_050,), "R": (), "AFIB": (10_000,)}[s.kind]
        if s.kind != "AFIB":
            assert bool(s.answer) == any(s.first <= at <= s.last for at in targets)
        if s.answer and s.protocol == "paper":
            assert s.answer[0][0] <= 2.0
    assert sum(bool(s.answer) for s in strips if s.kind == "V" and s.protocol == "anywhere") == 2
    placed = [s.answer[0][0] for s in strips if s.answer and s.protocol == "anywhere"]
    assert max(placed) > 2.0


def test_nothing_is_asked_that_was_not_annotated(truth: Make) -> None:
    assert {s.kind for s in strips_of(case(truth(rhythms=((0, 29_999, "N"),))), 2)} == {"AFIB"}
    assert {s.kind for s in strips_of(case(truth({50: "N"})), 2)} == {"V", "S", "L", "R"}
    assert list(strips_of(case(truth({50: "V"}), seconds=9), 2)) == []


def test_a_strip_is_cut_out_with_its_leads(truth: Make) -> None:
    whole = case(truth({50: "N"}))
    piece = alone(whole.recording, replace(strip("V", ()), first=1000, last=1999, leads=(1,)))
    assert piece.leads == ("V1",)
    np.testing.assert_array_equal(piece.counts, whole.recording.counts[1:, 1000:2000])
