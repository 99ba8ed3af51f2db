from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import pytest

from models.dataset.annotated import Annotated
from models.evaluation.abnormal import Truth
from models.evaluation.judged import Judged
from models.evaluation.screener_figures import af_scores, screener_figures
from models.evaluation.served import Served
from models.verdicts import Screening

Make = Callable[..., Annotated]
Say = Callable[..., Served]
Window = Callable[..., Screening]
SINUS = ((0, 5999, "N"),)


def beating(every: int = 80, end: int = 6000, **other: str) -> dict[int, str]:
    return dict.fromkeys(range(40, end, every), "N") | {int(at[1:]): symbol for at, symbol in other.items()}


@pytest.mark.parametrize("symbol", ["V", "E", "F", "A", "a", "J", "S"])
def test_one_ectopic_beat_makes_its_window_abnormal(truth: Make, symbol: str) -> None:
    judge = Truth(truth(beating(_1000=symbol), SINUS))
    assert judge(500, 1499) is True
    assert judge(1, 999) is False
    assert judge(1001, 2000) is False


@pytest.mark.parametrize("symbol", ["L", "R", "/", "e", "j", "Q"])
def test_block_pacing_and_escape_beats_alone_are_not_abnormal(truth: Make, symbol: str) -> None:
    beats = dict.fromkeys(range(40, 6000, 80), symbol)
    assert Truth(truth(beats, ((0, 5999, "P"),)))(0, 999) is False


def test_two_seconds_of_another_rhythm_are_abnormal_and_less_is_not(truth: Make) -> None:
    judge = Truth(truth(beating(), ((0, 2999, "N"), (3000, 5999, "AFIB"))))
    assert judge(2200, 3199) is True
    assert judge(2199, 3198) is False


def test_pauses_and_rates_are_abnormal(truth: Make) -> None:
    paused = dict.fromkeys([*range(0, 500, 80), *range(640, 6000, 80)], "N")
    assert Truth(truth(dict.fromkeys((*range(0, 401, 80), *range(650, 6000, 80)), "N")))(0, 999) is True
    assert Truth(truth(paused))(0, 999) is False
    assert Truth(truth(dict.fromkeys(range(0, 6000, 49), "N")))(0, 999) is True  # 122/min
    assert Truth(truth(dict.fromkeys(range(0, 6000, 51), "N")))(0, 999) is False
    assert Truth(truth(dict.fromkeys(range(0, 6000, 121), "N")))(0, 999) is True  # 49.6/min
    assert Truth(truth(dict.fromkeys(range(0, 6000, 119), "N")))(0, 999) is False


def test_what_nobody_annotated_is_not_normal(truth: Make) -> None:
    assert Truth(truth(rhythms=((0, 2999, "N"), (3000, 5999, "AFIB"))))(0, 999) is None
    half = Truth(truth(beating(_4500="V"), ((0, 2999, "N"),)))
    assert half(0, 999) is False
    assert half(2500, 3499) is None
    assert half(4000, 4999) is True


def test_an_unreadable_window_is_missed_or_a_false_alarm(truth: Make, served: Say, window: Window) -> None:
    """Six windows: abnormal flagged, abnormal unreadable, abnormal unreadable but flagged by a rule;
    normal quiet, normal unreadable, normal flagged."""
    true = truth(beating(_300="V", _1300="V", _2300="V"), SINUS)
    said = served(
        windows=(
            window(0, flagged=True, score=0.9),
            window(1000, flagged=False, readable=False, score=0.8),
            window(2000, flagged=True, readable=False, rules=("chaos",), score=0.1),
            window(3000, flagged=False, score=0.2),
            window(4000, flagged=False, readable=False, score=0.1),
            window(5000, flagged=True, score=0.7),
        )
    )
    figures = screener_figures([Judged(truth=true, served=said, blind=served(windows=said.windows[:1]))])
    row = figures["screener"]
    assert (row["sensitivity"], row["specificity"]) == (0.6667, 0.3333)
    assert (row["windows"], row["abnormal"], row["unreadable"], row["unreadable_abnormal"]) == (6, 3, 2, 1)
    # abnormal rank 0.9, 0, 1; normal 0.2, 1, 0.7
    assert row["auroc"] == round((2 + 0 + 2.5) / 9, 4)
    assert (row["back_to_back"]["windows"], row["back_to_back"]["sensitivity"]) == (3, 1.0)
    assert figures["worst"][0] == {"record": "a", "missed": 1, "false_alarms": 2}
    assert figures["calibration"]["by_score"]["window"]["scores"] == 3
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_what_never_looks_ranks_like_a_coin(truth: Make, served: Say, window: Window) -> None:
    windows = tuple(window(at, flagged=at == 0) for at in (0, 1000, 2000))
    zeroes = tuple(window(at, flagged=True, rules=("asystole",)) for at in (0, 1000, 2000))
    judged = Judged(
        truth=truth(beating(_300="V"), SINUS), served=served(windows=windows), blind=served(windows=zeroes)
    )
    baselines = screener_figures([judged])["baselines"]
    assert {row["auroc"] for row in baselines.values()} == {0.5}
    assert baselines["zeroed"] == {"sensitivity": 1.0, "specificity": 0.0, "auroc": 0.5}
    assert baselines["never"] == {"sensitivity": 0.0, "specificity": 1.0, "auroc": 0.5}


def test_the_short_window_at_the_end_is_not_judged(truth: Make, served: Say, window: Window) -> None:
    short = replace(window(5500, flagged=True), last=5999)
    judged = Judged(truth=truth(beating(), SINUS), served=served(windows=(short,)), blind=served())
    assert screener_figures([judged])["screener"]["windows"] == 0
    assert screener_figures([judged])["screener"]["auroc"] is None


def test_af_of_ten_seconds_is_calibrated_on_half_of_it(truth: Make, served: Say, window: Window) -> None:
    true = truth(beating(), ((0, 499, "N"), (500, 999, "AFIB"), (1000, 5999, "N")))
    said = served(
        windows=tuple(window(at, flagged=True, af=af) for at, af in ((0, 1.0), (500, 0.3), (1000, 0.0)))
    )
    steps = replace(said, rhythm={"AFIB": (0.0,) * 10 + (1.0,) * 10})
    (score, af), _ = af_scores(Judged(truth=true, served=steps, blind=said))
    assert (score, af) == (0.5, True)
    by_score = screener_figures([Judged(truth=true, served=said, blind=said)])["calibration"]["by_score"]
    assert by_score["AFIB"]["scores"] == 2
    assert by_score["AFIB"]["ece"] == 0.0
