from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

from models.dataset.annotated import Annotated
from models.evaluation.judged import Judged
from models.evaluation.rhythm_figures import rhythm_figures
from models.evaluation.rhythms import label_of
from models.evaluation.served import SaidEpisode, Served
from models.verdicts import Screening

Make = Callable[..., Annotated]
Say = Callable[..., Served]
Episode = Callable[..., SaidEpisode]


def judged(truth: Annotated, served: Served) -> Judged:
    return Judged(truth=truth, served=served, blind=replace(served, episodes=(), windows=()))


def test_episodes_and_durations_of_a_worked_example(truth: Make, served: Say, episode: Episode) -> None:
    """AF 10-20 s and 40-44 s; said 12-22 s and 43-53 s: 9 of 14 s found, 9 of 20 s said are right."""
    true = truth(
        rhythms=(
            (0, 999, "N"),
            (1000, 1999, "AFIB"),
            (2000, 3999, "N"),
            (4000, 4399, "AFIB"),
            (4400, 5999, "N"),
        )
    )
    said = served(episodes=(episode("AFIB", 1200, 2199), episode("AFIB", 4300, 5299)))
    figures = rhythm_figures([judged(true, said)])
    assert figures["rhythm"]["AFIB"] == {
        "episodes": 2,
        "said": 2,
        "seconds": 14.0,
        "episode_se": 0.5,
        "episode_ppv": 0.5,
        "duration_se": round(9 / 14, 4),
        "duration_ppv": 0.45,
    }
    assert figures["worst"]["AFIB"] == [{"record": "a", "missed_s": 5.0, "false_s": 11.0}]
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_flutter_called_af_is_wrong_apart_and_right_together(
    truth: Make, served: Say, episode: Episode
) -> None:
    true = truth(rhythms=((0, 2999, "AFIB"), (3000, 5999, "AFL")))
    figures = rhythm_figures([judged(true, served(episodes=(episode("AFIB", 0, 5999),)))])["rhythm"]
    assert figures["AFIB"]["duration_ppv"] == 0.5
    assert figures["AFL"]["duration_se"] == 0.0
    assert (figures["AFIB+AFL"]["duration_se"], figures["AFIB+AFL"]["duration_ppv"]) == (1.0, 1.0)


def test_what_is_said_where_nothing_is_annotated_counts_neither_way(
    truth: Make, served: Say, episode: Episode
) -> None:
    true = truth(rhythms=((0, 999, "AFIB"), (1000, 1999, "NOISE")))
    said = served(episodes=(episode("AFIB", 0, 3000), episode("VF", 1000, 1900)))
    figures = rhythm_figures([judged(true, said), judged(truth({100: "N"}), said)])
    assert figures["rhythm"]["AFIB"]["duration_ppv"] == 1.0
    assert figures["dangerous"]["false_alarms"] == 0
    assert len(figures["per_record"]) == 1


def test_danger_is_found_by_either_name_and_its_delay_is_when_it_was_said(
    truth: Make, served: Say, episode: Episode, window: Callable[..., Screening]
) -> None:
    """VF 10-20 s called VT with what was heard by 14 s, first flagged window to its end at 12 s; VT 30-32 s
    missed; one VF said for nothing at 50 s: one false alarm in 48 s."""
    true = truth(
        rhythms=((0, 999, "N"), (1000, 1999, "VFL"), (2000, 2999, "N"), (3000, 3199, "VT"), (3200, 5999, "N"))
    )
    said = served(
        episodes=(
            episode("VT", 1100, 1900, said=1400),
            episode("VF", 5000, 5200),
            episode("VT", 5500, 5600, alarm=False),
        ),
        windows=(window(0, flagged=True), window(200, flagged=True), window(300, flagged=False)),
    )
    danger = rhythm_figures([judged(true, said)])["dangerous"]
    vf = danger["VF"]
    assert (vf["episodes"], vf["sensitivity"], vf["sensitivity_same_label"]) == (1, 1.0, 0.0)
    assert vf["delay_s"] == {"median": 4.0, "worst": 4.0}
    assert vf["evidence_s"]["median"] == 1.0
    assert vf["screener_s"]["median"] == 1.99
    assert vf["lasting_5_s"]["episodes"] == 1
    assert danger["VT"]["sensitivity"] == 0.0
    assert danger["VT"]["lasting_5_s"]["episodes"] == 0
    assert danger["missed"] == [{"record": "a", "label": "VT", "lasts_s": 2.0}]
    assert danger["false_by_record"] == [{"record": "a", "label": "VF", "at_s": 50.0}]
    assert danger["false_alarms_per_hour"] == 75.0
    assert danger["false_episodes_per_hour"] == 150.0


def test_baselines_and_the_zeroed_run_never_beat_looking(truth: Make, served: Say, episode: Episode) -> None:
    true = truth(rhythms=((0, 2999, "N"), (3000, 5999, "AFIB")))
    figures = rhythm_figures([judged(true, served(episodes=(episode("AFIB", 3000, 5999),)))])
    rows = figures["baselines"]["AFIB"]
    assert rows["whole strip"]["duration_se"] == 1.0
    assert rows["whole strip"]["duration_ppv"] == 0.5
    assert rows["never"]["duration_se"] == rows["zeroed"]["duration_se"] == 0.0
    assert rows["constant"]["duration_se"] == 0.0  # 0-30 s of the minute


def test_names_of_databases_become_labels() -> None:
    assert [label_of(name) for name in ("VFIB", "J", "SBR", "BII", "P", "AF", "IVR")] == [
        "VF",
        "NOD",
        "SINUS",
        "AVB",
        "PACED",
        "AFIB",
        "IVR",
    ]
