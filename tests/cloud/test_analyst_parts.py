"""The analyst on what the edge really cuts: late and lost parts, gaps, and windows that cannot be read."""

from __future__ import annotations

import dataclasses
from collections import Counter

import numpy as np
import pytest

from cloud.analysis import Analysis, EpisodeAnalysis
from cloud.analyst import AFTER_HOLE_S, DECIDE_S, EpisodeAnalyst
from cloud.calling import judge
from cloud.config import RuleConfig
from edge.intake import Intake
from edge.screening import WindowScreener
from models.anyecg.labels import RHYTHMS
from models.anyecg.localizer import Localization, Localizer
from models.ecg import Mask, Microvolts, Segment, read_only, segment_id
from models.recordings import Recording, RecordingSource, make_recording
from models.screener.runtime import Screener
from models.signals.quality import assess
from models.verdicts import LABELS, Alert, Finding, Quality, Report, Screening

RULES = RuleConfig()


def cut(network: Localizer, recording: Recording, seconds: float | None = None) -> list[Segment]:
    """The recording's parts as the edge cuts them, and the first `seconds` of it at most."""
    intake = Intake(WindowScreener(Screener()))
    if seconds is not None:
        short = recording.counts[:, : round(seconds * recording.fs)]
        recording = make_recording("cut", recording.fs, ["MLII"], short, list(recording.uv_per_count))
    out = []
    for item in RecordingSource(recording).blocks():
        out += [part for part in intake.push(item) if isinstance(part, Segment)]
    return out


def folded(network: Localizer, parts: list[Segment]) -> EpisodeAnalysis:
    episode = EpisodeAnalysis(network, RULES)
    for part in parts:
        episode.push(part)
    return episode


def noisy(excerpt: Recording, first_s: float, last_s: float) -> Recording:
    """90 s of the excerpt with movement that hides every beat in one stretch."""
    counts = np.array(excerpt.counts[:, : round(90 * excerpt.fs)])
    a, b = round(first_s * excerpt.fs), round(last_s * excerpt.fs)
    movement = np.cumsum(np.random.default_rng(3).normal(0, 60, b - a))
    counts[0, a:b] += np.rint(movement - movement.mean()).astype(np.int32)
    return make_recording("noisy", excerpt.fs, ["MLII"], counts, list(excerpt.uv_per_count))


@pytest.fixture(scope="module")
def parts(network: Localizer, excerpt: Recording) -> list[Segment]:
    return cut(network, excerpt, 145)


@pytest.fixture(scope="module")
def whole(network: Localizer, parts: list[Segment]) -> EpisodeAnalysis:
    return folded(network, parts)


def test_a_beat_is_decided_once_and_a_finding_belongs_to_the_part_that_holds_it(
    whole: EpisodeAnalysis, parts: list[Segment]
) -> None:
    holds = {part.id: part for part in parts}
    fs = parts[0].fs
    peaks = [beat.r for beat in whole.analyst.beats]
    assert min(np.diff(peaks)) > 0.2 * fs
    beats = [f for f in whole.analyst.findings if f.label in {"S", "V"}]
    assert len({f.evidence["r_peak"] for f in beats}) == len(beats) > 40
    for finding in beats:
        part = holds[finding.segment_id]
        assert part.first <= finding.evidence["r_peak"] <= part.last
    for finding in whole.analyst.findings:
        if LABELS[finding.label].kind != "beat":
            part = holds[finding.segment_id]
            assert part.first <= finding.first <= part.last


def test_a_beat_in_the_last_second_of_a_part_is_decided_with_the_next_one(
    network: Localizer, parts: list[Segment]
) -> None:
    analyst = EpisodeAnalyst(network)
    for part in parts[:-1]:
        before = len(analyst.beats)
        fresh = analyst.push(part)
        latest = part.last - DECIDE_S * part.fs
        assert all(beat.r <= latest for beat in analyst.beats)
        assert all(f.evidence["r_peak"] <= latest for f in fresh if f.label in {"S", "V"})
        assert len(analyst.beats) > before
    analyst.push(parts[-1])
    assert analyst.beats[-1].r > parts[-1].last - parts[-1].fs
    assert analyst.open == []


def test_every_push_returns_what_became_new_and_nothing_twice(
    network: Localizer, parts: list[Segment], whole: EpisodeAnalysis
) -> None:
    analyst = EpisodeAnalyst(network)
    said = [finding for part in parts for finding in analyst.push(part)]
    assert said == analyst.findings == whole.analyst.findings
    names = Counter((f.label, f.first) for f in said)
    assert set(names.values()) == {1}


def test_live_and_at_once_alert_alike(
    network: Localizer, parts: list[Segment], whole: EpisodeAnalysis
) -> None:
    live = Analysis(network)
    alert = [x for part in parts for x in live.push(part) if isinstance(x, Alert)][-1]
    at_once, change = judge(None, whole.causes, parts[-1])
    assert at_once is not None
    assert change == "raised"
    assert (at_once.id, at_once.label, at_once.at) == (alert.id, alert.label, alert.at)


def test_a_part_that_did_not_come_is_missing_and_no_pause(network: Localizer, parts: list[Segment]) -> None:
    lost = parts[4]
    episode = folded(network, [*parts[:4], *parts[5:]])
    analyst = episode.analyst
    assert not [beat for beat in analyst.beats if lost.first <= beat.r <= lost.last]
    (dark,) = analyst.darks
    after = round(AFTER_HOLE_S * lost.fs)
    assert (dark.first, dark.last, dark.why) == (lost.first, lost.last + after, "missing")
    assert not [s for s in analyst.spells if s.first <= dark.last and s.last >= dark.first]
    assert not [c for c in episode.causes if c.label == "PAUSE"]
    seconds = lost.counts.shape[1] / lost.fs + AFTER_HOLE_S
    measured = analyst.measurements()
    assert measured.not_analysed_s == pytest.approx(seconds)
    assert measured.analysed_s + measured.not_analysed_s == pytest.approx(parts[-1].last / lost.fs, abs=0.01)
    said = episode.reports[-1].narrative
    assert f"No alerts is not normal: {seconds:.1f} s could not be analysed." in said
    follows = next(f for f in analyst.findings if f.label == "V" and f.first > lost.last)
    first_after = next(beat.r for beat in analyst.beats if beat.r > dark.last)
    if follows.evidence["r_peak"] == first_after:
        assert follows.evidence["rr_ms"] is None


@pytest.mark.parametrize("late", [1, 4])
def test_a_part_that_comes_late_gives_what_it_gives_in_order(
    network: Localizer, parts: list[Segment], whole: EpisodeAnalysis, late: int
) -> None:
    without = [*parts[:late], *parts[late + 1 :]]
    episode = folded(network, without)
    assert not episode.follows(parts)
    again = folded(network, parts)
    assert again.analyst.findings == whole.analyst.findings
    assert again.reports == whole.reports
    assert again.causes == whole.causes


def with_gap(part: Segment, first: int, count: int) -> Segment:
    counts = np.array(part.counts)
    counts[:, first - part.first : first - part.first + count] = 0
    return dataclasses.replace(part, counts=read_only(counts), gaps=((first, count),))


def test_a_gap_inside_a_part_is_not_analysed_and_nothing_is_found_in_it(
    network: Localizer, parts: list[Segment]
) -> None:
    fs = parts[0].fs
    first, count = parts[3].first + round(4 * fs), round(6 * fs)
    holed = [*parts[:3], with_gap(parts[3], first, count), *parts[4:]]
    analyst = folded(network, holed).analyst
    assert not [beat for beat in analyst.beats if first <= beat.r < first + count]
    assert not [
        f for f in analyst.findings if f.label == "PAUSE" and f.first < first + count and f.last >= first
    ]
    assert analyst.measurements().not_analysed_s == 6.0 + AFTER_HOLE_S


@pytest.mark.parametrize(("first_s", "last_s"), [(0.0, 12.0), (30.0, 55.0)])
def test_no_beat_is_called_where_the_edge_could_not_read_and_the_seconds_are_counted(
    network: Localizer, excerpt: Recording, first_s: float, last_s: float
) -> None:
    recording = noisy(excerpt, first_s, last_s)
    cuts = cut(network, recording)
    assert len(cuts) >= 4
    episode = folded(network, cuts)
    fs = recording.fs
    unread = np.zeros(recording.counts.shape[1], dtype=bool)
    seen = -1
    for screening in sorted({(s.first, s.last, s.quality.readable) for p in cuts for s in p.screenings}):
        first, last, readable = screening
        if not readable:
            unread[max(first, seen + 1) : last + 1] = True
        seen = last
    unread[: cuts[0].first] = False
    assert unread.sum() >= 9 * fs
    called = [f for f in episode.analyst.findings if f.label in {"S", "V"}]
    assert called
    assert not [f for f in called if unread[f.evidence["r_peak"]]]
    assert episode.analyst.measurements().not_analysed_s == pytest.approx(unread.sum() / fs, abs=0.01)
    technical = [f for f in episode.analyst.findings if f.label == "NOISE"]
    assert sum(f.last + 1 - f.first for f in technical) == unread.sum()
    assert "No alerts is not normal" in episode.reports[-1].narrative


def test_measurements_are_plausible_and_none_where_nothing_can_be_measured(
    network: Localizer, whole: EpisodeAnalysis, parts: list[Segment]
) -> None:
    m = whole.analyst.measurements()
    assert m.heart_rate_min is not None
    assert m.heart_rate_mean is not None
    assert m.heart_rate_max is not None
    assert 40 < m.heart_rate_min < m.heart_rate_mean < m.heart_rate_max < 160
    assert m.beats == len(whole.analyst.beats)
    assert m.rr_median is not None
    assert 400 < m.rr_median < 1000
    assert m.qrs is not None
    assert 60 < m.qrs < 140
    assert m.qt is not None
    assert 250 < m.qt < 480
    assert m.pr is None or 90 < m.pr < 300
    nothing = EpisodeAnalyst(network)
    part = parts[0]
    nothing.push(with_gap(part, part.first, part.counts.shape[1]))
    none = nothing.measurements()
    assert (none.beats, none.analysed_s) == (0, 0.0)
    assert {none.heart_rate_mean, none.heart_rate_min, none.rr_median, none.pr, none.qrs, none.qt} == {None}


def test_an_episode_too_short_for_the_network_says_that_it_was_not_analysed(
    network: Localizer, parts: list[Segment]
) -> None:
    part = parts[0]
    last = part.first + round(part.fs) - 1
    name = segment_id(part.patch_id, part.boot_id, part.first, last)
    second = dataclasses.replace(
        part, id=name, episode_id=name, final=True, counts=part.counts[:, : round(part.fs)], screenings=()
    )
    episode = folded(network, [second])
    assert episode.analyst.measurements().analysed_s == 0
    (report,) = episode.reports
    assert "Nothing could be analysed, so nothing is ruled out" in report.narrative
    assert "No abnormal beat" not in report.narrative


def test_lead_off_and_gaps_excuse_a_standstill_and_are_told(network: Localizer, parts: list[Segment]) -> None:
    part = parts[0]
    counts = np.array(part.counts)
    half = counts.shape[1] // 2
    counts[:, half:] = 0
    first = part.first + half
    off = dataclasses.replace(
        part, counts=read_only(counts), lead_off=((first, counts.shape[1] - half),), final=True, screenings=()
    )
    episode = folded(network, [off])
    assert {f.label for f in episode.analyst.findings if f.first >= first} == {"LEADOFF"}
    assert episode.analyst.measurements().not_analysed_s == pytest.approx(
        (counts.shape[1] - half) / part.fs, abs=0.01
    )
    assert episode.causes == [c for c in episode.causes if c.label not in {"PAUSE", "VF"}]


def test_a_lead_off_span_inside_an_unreadable_window_does_not_shorten_it(
    network: Localizer, parts: list[Segment]
) -> None:
    part = parts[0]
    fs = round(part.fs)
    bad: list[Screening] = [
        dataclasses.replace(
            s, quality=dataclasses.replace(s.quality, readable=False, reasons={"MLII": ("lead off",)})
        )
        for s in part.screenings
    ]
    off = dataclasses.replace(
        part, screenings=tuple(bad), lead_off=((part.first + fs, fs), (part.first + 4 * fs, fs)), final=True
    )
    analyst = folded(network, [off]).analyst
    (lead_off,) = [f for f in analyst.findings if f.label == "LEADOFF"]
    assert (lead_off.first, lead_off.last) == (bad[0].first, bad[-1].last)


def test_the_noise_that_is_put_in_is_what_the_edge_calls_unreadable(
    network: Localizer, excerpt: Recording
) -> None:
    from models.ecg import Window

    recording = noisy(excerpt, 30.0, 55.0)
    a = round(35 * recording.fs)
    x = recording.counts[:, a : a + 3600].astype(np.float32) * np.float32(recording.uv_per_count[0])
    window = Window(
        first=a, fs=recording.fs, leads=("MLII",), microvolts=x, missing=np.zeros(3600, dtype=np.bool_)
    )
    assert not assess(window).readable


def test_what_a_replay_says_is_findings_then_report_then_alert(
    network: Localizer, parts: list[Segment]
) -> None:
    analysis = Analysis(network)
    order = {Finding: 0, Report: 1, Alert: 2}
    for part in parts:
        kinds = [order[type(noun)] for noun in analysis.push(part)]
        assert kinds == sorted(kinds)


class Certain(Localizer):
    """The shipped network, but sure of one rhythm wherever it listens."""

    rhythm = "VF"

    def run(
        self, microvolts: Microvolts, fs: float, leads: tuple[str, ...], missing: Mask | None = None
    ) -> Localization:
        found = super().run(microvolts, fs, leads, missing)
        rhythm = np.array(found.rhythm)
        rhythm[:, RHYTHMS.index(self.rhythm)] = 1.0
        return dataclasses.replace(found, rhythm=rhythm)


def unreadable(part: Segment, why: str) -> Segment:
    """The part with all its windows unreadable."""
    bad = Quality(readable=False, reasons=dict.fromkeys(part.leads, (why,)))
    return dataclasses.replace(
        part, final=True, screenings=tuple(dataclasses.replace(s, quality=bad) for s in part.screenings)
    )


@pytest.mark.parametrize(
    ("why", "heard"), [("noise", True), ("saturated", True), ("flat", True), ("lead off", False)]
)
def test_noise_never_excuses_fibrillation_of_the_ventricles_and_a_lead_that_is_off_does(
    parts: list[Segment], why: str, heard: bool
) -> None:
    episode = folded(Certain(), [*parts[:2], unreadable(parts[2], why)])
    last = max((f.last for f in episode.analyst.findings if f.label == "VF"), default=-1)
    assert (last > parts[2].last - parts[2].fs) == heard
    assert last >= parts[2].first - parts[2].fs
    assert episode.causes[0].label == "VF"


def test_nothing_is_heard_in_a_hole(parts: list[Segment]) -> None:
    episode = folded(Certain(), [parts[0], parts[1], parts[4], parts[5]])
    spans = [(f.first, f.last) for f in [*episode.analyst.findings, *episode.analyst.open] if f.label == "VF"]
    assert len(spans) == 2
    assert spans[0][1] < parts[2].first
    assert spans[1][0] > parts[3].last - parts[3].fs


def test_atrial_fibrillation_is_not_told_from_what_cannot_be_read(
    parts: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.analyst.AF_IRREGULARITY", 0.0)  # the excerpt has no such rhythm
    network = Certain()
    network.rhythm = "AFIB"
    readable = folded(network, parts[:5])
    assert "AFIB" in {spell.label for spell in readable.analyst.spells}
    assert readable.analyst.measurements().pr is None
    dark = folded(network, [dataclasses.replace(unreadable(p, "noise"), final=False) for p in parts[:5]])
    assert not {"AFIB", "S", "V"} & {spell.label for spell in dark.analyst.spells}
    assert dark.causes == []
