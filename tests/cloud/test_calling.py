"""The table of alerts: what each rule needs, how urgent it is, and that a patient has one open alert."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from cloud.analysis import Analysis, EpisodeAnalysis
from cloud.analyst import EpisodeAnalyst
from cloud.calling import Cause, call, causes, judge
from cloud.config import RuleConfig
from cloud.docket import Closed, Docket, told
from cloud.rules import Beat, Dark, Spell, pauses, rates, runs
from models.anyecg.localizer import Localizer
from models.ecg import Clock, Segment, make_id, read_only
from models.verdicts import Alert, Priority

FS = 100.0
RULES = RuleConfig()


def row(labels: str, rr_s: float = 0.4, begin: int = 100, *, readable: bool = True) -> list[Beat]:
    return [
        Beat(r=r, label=label, first=r - 6, last=r + 8, readable=readable, segment_id="s")
        for i, label in enumerate(labels)
        for r in [begin + round(i * rr_s * FS)]
    ]


def spell(label: str, seconds: float, first: int = 1000, marks: tuple[int, ...] = ()) -> Spell:
    last = first + round(seconds * FS) - 1
    return Spell(label=label, first=first, last=last, segment_id="s", open=False, evidence={}, marks=marks)


def held(network: Localizer, *spells: Spell, beats: list[Beat] | None = None) -> list[Cause]:
    """What alerts would rest on, of an analyst that has found these."""
    analyst = EpisodeAnalyst(network)
    analyst.spells, analyst.beats = list(spells), beats or []
    return causes(analyst, RULES, FS)


def brief(found: list[Cause]) -> list[tuple[Priority, str, int]]:
    return [(cause.priority, cause.label, cause.at) for cause in found]


@pytest.mark.parametrize(
    ("label", "seconds", "expected"),
    [
        ("VF", 1.99, []),
        ("VF", 2.0, [(Priority.HIGH, "VF", 1200)]),
        ("PAUSE", 2.99, []),
        ("PAUSE", 3.0, [(Priority.HIGH, "PAUSE", 1300)]),
        ("AFIB", 29.9, []),
        ("AFIB", 30.0, [(Priority.MEDIUM, "AFIB", 4000)]),
        ("B", 60.0, []),
        ("T", 60.0, []),
        ("NOISE", 600.0, []),
        ("LEADOFF", 600.0, []),
    ],
)
def test_a_stretch_calls_from_its_least_length_on_and_names_the_sample_at_which_it_had_it(
    network: Localizer, label: str, seconds: float, expected: list[tuple[Priority, str, int]]
) -> None:
    assert brief(held(network, spell(label, seconds))) == expected


@pytest.mark.parametrize(
    ("labels", "rr_s", "expected"),
    [
        ("NVVN", 0.4, []),
        ("NVVVN", 0.8, [(Priority.MEDIUM, "V", 340)]),
        ("NVVVN", 0.4, [(Priority.MEDIUM, "VT", 220)]),
        ("NVVVVVN", 0.4, [(Priority.MEDIUM, "VT", 220)]),
        ("NVVVVVVN", 0.4, [(Priority.HIGH, "VT", 340), (Priority.MEDIUM, "VT", 220)]),
        ("NVVVVVVVVVN", 0.4, [(Priority.HIGH, "VT", 340), (Priority.MEDIUM, "VT", 220)]),
        ("NVVVVVVN", 0.8, [(Priority.MEDIUM, "V", 340)]),
    ],
)
def test_three_in_a_row_are_medium_and_six_of_a_tachycardia_high(
    network: Localizer, labels: str, rr_s: float, expected: list[tuple[Priority, str, int]]
) -> None:
    found = held(network, *runs(row(labels, rr_s), [], FS, ended=True))
    assert brief(found) == expected


@pytest.mark.parametrize("slow_first", [True, False])
def test_a_tachycardia_inside_a_long_slow_run_still_calls(network: Localizer, slow_first: bool) -> None:
    """Their mean rate is under 100/min, but six beats came at over 100 in the end or at first."""
    slow, fast = [0.9] * 14, [0.4] * 5
    steps = [*slow, *fast] if slow_first else [*fast, *slow]
    beats, r = row("V"), 100
    for step in steps:
        r += round(step * FS)
        beats += row("V", begin=r)
    found = held(network, *runs(beats, [], FS, ended=True))
    assert (found[0].priority, found[0].label) == (Priority.HIGH, "VT")
    assert found[0].at == (beats[18].r if slow_first else beats[5].r)


@pytest.mark.parametrize(
    ("rr_s", "label", "rule"),
    [
        (1.6, "BRADY", "mean rate below 40/min over 30 s"),
        (0.44, "TACHY", "mean rate above 130/min over 30 s"),
    ],
)
def test_a_slow_or_fast_mean_rate_over_30_s_is_medium_at_the_beat_that_completes_30_s(
    network: Localizer, rr_s: float, label: str, rule: str
) -> None:
    beats = row("N" * 100, rr_s)
    found = held(network, *rates(beats, [], FS, slow=40, fast=130, ended=True))
    (cause,) = found
    assert (cause.priority, cause.label, cause.rule) == (Priority.MEDIUM, label, rule)
    assert cause.at == next(beat.r for beat in beats if beat.r - beats[0].r >= 30 * FS)


@pytest.mark.parametrize(("rr_s", "calls"), [(12.0, True), (12.1, False)])
def test_six_ventricular_beats_within_a_minute_are_low(network: Localizer, rr_s: float, calls: bool) -> None:
    beats = row("VVVVVV", rr_s)
    assert brief(held(network, beats=beats)) == [(Priority.LOW, "V", beats[5].r)] * calls


def test_ventricular_beats_in_what_cannot_be_read_are_not_counted(network: Localizer) -> None:
    assert held(network, beats=row("VVVVVVVV", 2.0, readable=False)) == []


def test_the_most_urgent_cause_is_the_alert_and_the_others_are_in_its_history(
    network: Localizer, make_part: object
) -> None:
    beats = row("N" + "V" * 6 + "N")
    found = held(network, *runs(beats, [], FS, ended=True), beats=beats)
    part = make_part()  # type: ignore[operator]
    alert, change = judge(None, found, part)
    assert alert is not None
    assert (change, alert.priority, alert.label, alert.at) == ("raised", Priority.HIGH, "VT", 340)
    assert (alert.id, alert.episode_id) == (make_id("alert", part.episode_id), part.episode_id)
    assert alert.rule == "ventricular tachycardia of 6 beats or more"
    entries = [(entry["priority"], entry["label"], entry["at"]) for entry in alert.history]
    assert entries == [("high", "VT", 340), ("medium", "VT", 220), ("low", "V", 340)]
    assert all(entry["utc"] == part.clock.utc(entry["at"]) for entry in alert.history)
    assert judge(alert, found, part) == (alert, None)


LOW = Cause(priority=Priority.LOW, label="V", at=10, rule="low")
MEDIUM = Cause(priority=Priority.MEDIUM, label="AFIB", at=20, rule="medium")
HIGH = Cause(priority=Priority.HIGH, label="VF", at=30, rule="high")


def test_a_patient_has_one_open_alert_and_only_a_higher_priority_raises_it_again(make_part: object) -> None:
    first, second, third = (make_part(begin=begin) for begin in (0, 1000, 2000))  # type: ignore[operator]
    alert, change = judge(None, [MEDIUM], first)
    assert alert is not None
    added, change = judge(alert, [MEDIUM, LOW], second)
    assert added is not None
    assert (added.id, added.label, added.episode_id, change) == (alert.id, "AFIB", first.episode_id, "added")
    assert [entry["episode_id"] for entry in added.history] == [first.episode_id] + 2 * [second.episode_id]
    again, change = judge(added, [HIGH, LOW], third)
    assert again is not None
    assert (again.id, again.label, again.at, change) == (alert.id, "VF", 30, "raised again")
    assert (again.episode_id, again.rule) == (third.episode_id, "high")
    assert again.history[:3] == added.history
    assert judge(again, [MEDIUM], first) == (again, None)
    later, change = judge(again, [HIGH], second)
    assert later is not None
    assert (later.episode_id, change) == (third.episode_id, "added")


def brief_calls(docket: Docket, holding: list[Cause], part: Segment) -> list[tuple[str, str, int | None]]:
    return [(called.alert.label, called.change, called.quiet) for called in call(docket, holding, part)]


def test_an_alert_is_raised_again_also_where_a_lesser_cause_of_the_same_parts_comes_first(
    make_part: object,
) -> None:
    first, second = make_part(), make_part(begin=500)  # type: ignore[operator]
    alert, _ = judge(None, [MEDIUM], first)
    again, change = judge(alert, [LOW, HIGH], second)
    assert again is not None
    assert (again.priority, change) == (Priority.HIGH, "raised again")
    assert judge(None, [LOW, HIGH], second)[1] == "raised"


def test_what_a_quiet_rule_covers_goes_to_that_rules_own_alert_beside_what_calls(make_part: object) -> None:
    part = make_part()  # type: ignore[operator]
    quiet = dataclasses.replace(MEDIUM, quiet=7)
    calls = call(Docket(), [HIGH, quiet], part)
    assert [(c.alert.label, c.change, c.quiet) for c in calls] == [
        ("VF", "raised", None),
        ("AFIB", "raised", 7),
    ]
    assert len({c.alert.id for c in calls}) == 2
    known = Docket(open=calls[0].alert, quiet={7: calls[1].alert})
    assert call(known, [HIGH, quiet], part) == []


def test_a_cause_is_told_once_whichever_alert_of_the_patient_tells_it(make_part: object) -> None:
    """After an undo an open alert tells what a quiet rule had covered; after a suppression the reverse."""
    part = make_part()  # type: ignore[operator]
    alert, _ = judge(None, [MEDIUM], part)
    assert alert is not None
    quiet = dataclasses.replace(MEDIUM, quiet=7)
    assert brief_calls(Docket(open=alert), [quiet], part) == []
    assert brief_calls(Docket(quiet={7: alert}), [MEDIUM], part) == []
    assert brief_calls(Docket(beside=told(alert)), [MEDIUM], part) == []


def test_what_a_resolved_alert_told_is_told_and_what_came_after_it_is_a_new_alert(make_part: object) -> None:
    part = make_part()  # type: ignore[operator]
    alert, _ = judge(None, [MEDIUM], part)
    assert alert is not None
    closed = Closed(told=told(alert), boot_id=part.boot_id, through=25)
    docket = Docket(closed=(closed,), ids={alert.id})
    later = dataclasses.replace(MEDIUM, at=26)
    assert docket.through(part.boot_id) == 25
    assert call(docket, [MEDIUM], part) == []
    (called,) = call(docket, [MEDIUM, later], part)
    assert (called.change, called.alert.at, len(called.alert.history)) == ("raised", 26, 1)
    assert called.alert.id == make_id("alert", part.episode_id, alert.id)


def test_nothing_found_is_no_alert_and_takes_none_back(make_part: object) -> None:
    part = make_part()  # type: ignore[operator]
    assert judge(None, [], part) == (None, None)
    alert, _ = judge(None, [HIGH], part)
    assert judge(alert, [], part) == (alert, None)


def test_what_once_held_stays_a_cause_however_its_stretch_goes_on(network: Localizer) -> None:
    """An open atrial fibrillation may stop being one; those who get all parts at once must alert alike."""
    analyst = EpisodeAnalyst(network)
    analyst.spells = [spell("AFIB", 40.0)]
    before = causes(analyst, RULES, FS)
    analyst.spells = []
    assert causes(analyst, RULES, FS, before) == before
    analyst.spells = [spell("AFIB", 50.0, first=2000)]
    assert causes(analyst, RULES, FS, before) == before


def stand(beats: list[Beat], decided: int, darks: tuple[Dark, ...] = ()) -> list[Spell]:
    return pauses(beats, darks, FS, begin=0, decided=decided, segment_id="s", ended=False)


def test_a_standstill_at_the_very_beginning_of_an_episode_calls_also_when_it_is_over(
    network: Localizer,
) -> None:
    going_on = held(network, *stand([], 350))
    over = held(network, *stand(row("NNN", begin=420), 520))
    assert brief(going_on) == brief(over) == [(Priority.HIGH, "PAUSE", 300)]


def test_an_alert_of_a_replay_is_that_of_an_analysis_that_gets_every_part_at_once(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    analysis, episode = Analysis(network), EpisodeAnalysis(network, RULES)
    said = [x for part in excerpt_parts for x in analysis.push(part) if isinstance(x, Alert)]
    for part in excerpt_parts:
        episode.push(part)
    alert, _ = judge(None, episode.causes, excerpt_parts[-1])
    assert alert is not None
    assert (alert.id, alert.label, alert.priority, alert.at, alert.rule) == (
        (said[-1].id, said[-1].label, said[-1].priority, said[-1].at, said[-1].rule)
    )
    assert {alert.id} == {make_id("alert", excerpt_parts[0].episode_id)}
    assert all(a.priority < b.priority for a, b in pairwise(said))


def test_a_part_with_an_unknown_clock_alerts_all_the_same(make_part: object) -> None:
    part = dataclasses.replace(make_part(), clock=Clock())  # type: ignore[operator]
    alert, change = judge(None, [HIGH], part)
    assert alert is not None
    assert (change, alert.history[0]["utc"]) == ("raised", None)


def test_a_silent_lead_without_gap_is_a_standstill_alert(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    """Nothing between the electrodes and no word of a lead off: it must call, whatever the cause."""
    part = excerpt_parts[0]
    counts = part.counts.copy()
    counts[:, part.counts.shape[1] // 2 :] = int(counts[0, 0])
    analysis = Analysis(network)
    flat = dataclasses.replace(part, counts=read_only(counts))
    alerts = [x for x in analysis.push(flat) if isinstance(x, Alert)]
    assert ("PAUSE", Priority.HIGH) in {(alert.label, alert.priority) for alert in alerts}
