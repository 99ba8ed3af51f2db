"""The fold over a real recording: the same findings however its parts came, every beat once."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from cloud.analysis import Analysis, EpisodeAnalysis
from cloud.analyst import AFTER_HOLE_S, EpisodeAnalyst
from cloud.calling import Cause, judge
from cloud.config import RuleConfig
from cloud.reports import FOOT, REVIEW, TEMPLATE
from cloud.rules import Beat
from models.anyecg.localizer import Localizer
from models.ecg import Segment, read_only
from models.verdicts import Alert, Priority, Report


@pytest.fixture(scope="module")
def whole(network: Localizer, excerpt_parts: list[Segment]) -> EpisodeAnalysis:
    episode = EpisodeAnalysis(network, RuleConfig())
    for part in excerpt_parts:
        episode.push(part)
    return episode


def test_every_beat_is_decided_once_and_belongs_to_the_part_that_holds_it(
    whole: EpisodeAnalysis, excerpt_parts: list[Segment]
) -> None:
    beats = whole.analyst.beats
    assert np.diff([beat.r for beat in beats]).min() > 0.2 * excerpt_parts[0].fs
    holds = {part.id: (part.first, part.last) for part in excerpt_parts}
    for beat in beats:
        first, last = holds[beat.segment_id]
        assert first <= beat.r <= last
        assert beat.first < beat.r < beat.last


def test_beats_follow_each_other_across_the_seams_as_inside_the_parts(
    whole: EpisodeAnalysis, excerpt_parts: list[Segment]
) -> None:
    fs = excerpt_parts[0].fs
    rr = np.diff([beat.r for beat in whole.analyst.beats]) / fs
    assert rr.max() < 2.0  # record 208 has no longer interval there: no beat was lost at a seam
    assert len(rr) + 1 == pytest.approx(90 / np.mean(rr), abs=2)


def test_ventricular_findings_are_one_a_beat_with_evidence_and_threshold(whole: EpisodeAnalysis) -> None:
    found = [f for f in whole.analyst.findings if f.label == "V"]
    assert len(found) > 20
    assert len({f.first for f in found}) == len(found)
    for finding in found:
        assert finding.first < finding.evidence["r_peak"] < finding.last
        assert finding.probability is not None
        assert finding.probability >= finding.evidence["threshold"]


def test_nothing_depends_on_how_often_or_from_where_the_fold_began(
    network: Localizer, whole: EpisodeAnalysis, excerpt_parts: list[Segment]
) -> None:
    again = EpisodeAnalysis(network, RuleConfig())
    said = []
    for part in excerpt_parts:
        assert again.follows(excerpt_parts)
        said += [f for f in again.push(part) if not isinstance(f, Report)]
    assert again.analyst.findings == whole.analyst.findings
    assert Counter(map(repr, said)) == Counter(map(repr, whole.analyst.findings))
    assert again.reports == whole.reports
    assert again.analyst.open == []


def test_a_part_is_not_followed_by_another_ones_episode(
    whole: EpisodeAnalysis, excerpt_parts: list[Segment]
) -> None:
    assert not whole.follows([excerpt_parts[0], *excerpt_parts[2:]])


def test_a_part_that_lacks_is_dark_and_counted_as_not_analysed(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    analyst = EpisodeAnalyst(network)
    part = excerpt_parts[0]
    lost = ((part.first + 1000, 2500),)
    counts = part.counts.copy()
    counts[:, 1000:3500] = 0
    analyst.push(dataclasses.replace(part, counts=read_only(counts), gaps=lost, final=True))
    measured = analyst.measurements()
    assert measured.not_analysed_s == pytest.approx(2500 / part.fs + AFTER_HOLE_S, abs=0.01)
    assert not any(lost[0][0] <= beat.r < lost[0][0] + 2500 for beat in analyst.beats)
    assert not [spell for spell in analyst.spells if spell.label == "PAUSE"]


def test_a_report_is_due_with_part_0_every_fourth_and_the_last_and_says_what_it_is(
    whole: EpisodeAnalysis,
) -> None:
    assert [len(report.segment_ids) - 1 for report in whole.reports] == [0, 4]
    for report in whole.reports:
        lines = report.narrative.splitlines()
        assert (lines[0], lines[-1]) == (f"{TEMPLATE}. {REVIEW}", FOOT)
        assert f"mean rate {report.measurements.heart_rate_mean:.0f}/min [a4]" in lines[1]
        assert any(line.startswith("Not assessed:") and "QTc" in line for line in lines)
    counted = Counter(f.label for f in whole.reports[-1].findings)
    assert f"{counted['V']} ventricular premature beats" in whole.reports[-1].narrative


def test_the_alert_names_the_last_beat_its_rule_needed(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    analysis = Analysis(network)
    alerts = [item for part in excerpt_parts for item in analysis.push(part) if isinstance(item, Alert)]
    assert alerts
    assert {alert.id for alert in alerts} == {alerts[0].id}
    assert [a.priority for a in alerts] == sorted({a.priority for a in alerts})
    assert all(alert.at <= excerpt_parts[-1].last for alert in alerts)


def test_an_episode_judged_again_changes_nothing_and_the_next_one_is_added(
    whole: EpisodeAnalysis, excerpt_parts: list[Segment]
) -> None:
    newest = excerpt_parts[-1]
    alert, change = judge(None, whole.causes, newest)
    assert alert is not None
    assert change == "raised"
    assert judge(alert, whole.causes, newest) == (alert, None)
    joined, change = judge(alert, whole.causes, dataclasses.replace(newest, episode_id="B" * 26))
    assert joined is not None
    assert (joined.id, joined.at, change) == (alert.id, alert.at, "added")
    assert {entry["episode_id"] for entry in joined.history} == {alert.episode_id, "B" * 26}


def test_only_a_higher_priority_raises_an_alert_again(excerpt_parts: list[Segment]) -> None:
    part = excerpt_parts[0]
    low, medium, also = (
        Cause(priority=Priority.LOW, label="V", at=10, rule="made"),
        Cause(priority=Priority.MEDIUM, label="AFIB", at=20, rule="made"),
        Cause(priority=Priority.MEDIUM, label="TACHY", at=30, rule="made"),
    )
    first, change = judge(None, [low], part)
    assert first is not None
    assert (first.priority, first.at, change) == (Priority.LOW, 10, "raised")
    second, change = judge(first, [medium, low], part)
    assert second is not None
    assert (second.id, second.priority, second.at, change) == (first.id, Priority.MEDIUM, 20, "raised again")
    third, change = judge(second, [medium, also, low], part)
    assert third is not None
    assert (third.label, third.at, change, len(third.history)) == ("AFIB", 20, "added", 3)


@pytest.mark.parametrize(
    ("labels", "rr_s", "next_s", "goes_on"),
    [
        ("SSSSSS", 0.4, 0.41, True),
        ("SSSSSS", 0.4, 0.5, False),  # it ended
        ("NSSSSS", 0.4, 0.4, False),  # too short to tell
        ("SSSVSS", 0.4, 0.4, False),
        ("SSSSSS", 0.7, 0.7, False),  # no tachycardia
    ],
)
def test_a_supraventricular_run_goes_on_at_its_rate_and_ends_with_it(
    network: Localizer, labels: str, rr_s: float, next_s: float, goes_on: bool
) -> None:
    analyst = EpisodeAnalyst(network)
    fs = 100.0
    at = [round(i * rr_s * fs) for i in range(len(labels))]
    analyst.beats = [
        Beat(r=r, label=label, first=r - 5, last=r + 5, readable=True, segment_id="s")
        for r, label in zip(at, labels, strict=True)
    ]
    assert analyst._run_goes_on(at[-1] + round(next_s * fs), fs) is goes_on
