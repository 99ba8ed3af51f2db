"""The template report: each number is a measurement or a finding, and nothing reassures without evidence."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

import pytest

from cloud.analysis import EpisodeAnalysis
from cloud.analyst import EpisodeAnalyst
from cloud.config import RuleConfig
from cloud.reports import FOOT, HEAD, is_due, write_report
from models.anyecg.localizer import Localizer
from models.ecg import Segment, make_id
from models.verdicts import LABELS, DecidedBy, Finding, Kind, Measurements, Report

MakePart = Callable[..., Segment]
NUMBER = re.compile(r"\d+(?:\.\d+)?")
FS = 100.0


class Known(EpisodeAnalyst):
    """An analyst that has found and measured what a test says."""

    def __init__(self, network: Localizer, found: list[Finding], measured: Measurements) -> None:
        super().__init__(network)
        self.findings, self._measured = found, measured

    def measurements(self) -> Measurements:
        return self._measured


def finding(label: str, first: int, last: int, probability: float | None = None) -> Finding:
    evidence = {"threshold": 0.5} if probability is not None else {"rule": "holds"}
    return Finding(
        segment_id="s",
        label=label,
        first=first,
        last=last,
        leads=("II",),
        probability=probability,
        evidence=evidence,
    )


MEASURED = Measurements(
    beats=37,
    heart_rate_mean=71.4,
    heart_rate_min=58.2,
    heart_rate_max=93.0,
    rr_median=840.0,
    pr=162.0,
    qrs=None,
    qt=401.6,
    analysed_s=31.25,
    not_analysed_s=0.0,
)
NOTHING = Measurements(
    beats=0,
    heart_rate_mean=None,
    heart_rate_min=None,
    heart_rate_max=None,
    rr_median=None,
    pr=None,
    qrs=None,
    qt=None,
    analysed_s=0.0,
    not_analysed_s=10.0,
)


@pytest.fixture
def write(network: Localizer, make_part: MakePart) -> Callable[..., Report]:
    def written(*found: Finding, measured: Measurements = MEASURED) -> Report:
        return write_report(Known(network, list(found), measured), ("a", "b"), make_part(1))

    return written


def evidence_of(report: Report, fs: float) -> set[str]:
    """Every number that may be said, as it would be written."""
    m = report.measurements
    said = {f"{m.beats}", f"{m.analysed_s:.0f}", f"{m.not_analysed_s:.1f}", "8"}  # of "over 8 beats"
    for value in (m.heart_rate_mean, m.heart_rate_min, m.heart_rate_max, m.pr, m.qrs, m.qt):
        said |= {f"{value:.0f}"} if value is not None else set()
    for label in LABELS:
        group = [f for f in report.findings if f.label == label]
        said |= {f"{len(group)}", f"{sum(f.last + 1 - f.first for f in group) / fs:.1f}"}
    for f in report.findings:
        said.add(f"{f.first / fs:.1f}")
        if f.probability is not None:
            said |= {f"{f.probability:.2f}", f"{f.evidence['threshold']:.2f}"}
    return said


def test_every_number_of_a_real_report_is_measured_or_found(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    episode = EpisodeAnalysis(network, RuleConfig())
    for part in excerpt_parts:
        episode.push(part)
    for report in episode.reports:
        numbers = NUMBER.findall(report.narrative)
        assert len(numbers) > 5
        assert set(numbers) <= evidence_of(report, excerpt_parts[0].fs)
        for label in {f.label for f in report.findings}:
            assert LABELS[label].plain in report.narrative.lower()


def test_a_beats_and_a_rhythms_sentence(write: Callable[..., Report]) -> None:
    report = write(
        finding("V", 250, 260, 0.61),
        finding("V", 910, 920, 0.98),
        finding("VT", 910, 1109),
        finding("AFIB", 0, 3999, 0.7),
    )
    lines = report.narrative.splitlines()
    assert lines == [
        HEAD,
        "31 s analysed, 37 beats, mean rate 71/min (58 to 93/min over 8 beats).",
        "2 ventricular premature beats (first at 2.5 s, last at 9.1 s), "
        "probability 0.61 to 0.98, threshold 0.50.",
        "Atrial fibrillation: 1 x, 40.0 s in all (first at 0.0 s, last at 0.0 s), "
        "probability 0.70 to 0.70, threshold 0.50.",
        "Ventricular tachycardia: 1 x, 2.0 s in all (first at 9.1 s, last at 9.1 s), by rule.",
        "Normal beats, median: PR 162 ms, QRS not measured, QT 402 ms.",
        report.abstentions[-1],
        FOOT,
    ]
    assert set(NUMBER.findall(report.narrative)) <= evidence_of(report, FS)


def test_every_report_says_what_it_is_and_what_it_is_not(write: Callable[..., Report]) -> None:
    for report in (write(), write(measured=NOTHING), write(finding("VF", 0, 400, 0.9))):
        lines = report.narrative.splitlines()
        assert "AI-generated, not yet reviewed" in lines[0]
        assert lines[-1] == "Decision support. Not a diagnosis. Not for emergency monitoring."
        assert report.model == "template/1"


def test_nothing_found_is_said_of_what_was_analysed_only(write: Callable[..., Report]) -> None:
    assert "No abnormal beat or rhythm was found in what was analysed." in write().narrative
    blind = write(measured=NOTHING)
    assert "No abnormal" not in blind.narrative
    assert "Nothing was analysed." in blind.narrative
    assert "the heart rate was not measured" in blind.narrative


def test_unreadable_signal_is_no_abnormal_rhythm_and_hides_none(write: Callable[..., Report]) -> None:
    noise = write(finding("NOISE", 0, 499), measured=dataclasses.replace(MEASURED, not_analysed_s=5.0))
    assert "No abnormal beat or rhythm was found in what was analysed." in noise.narrative
    assert "Unreadable signal: 1 x, 5.0 s in all" in noise.narrative
    assert noise.abstentions[0] == "No alerts is not normal: 5.0 s could not be analysed."
    assert noise.abstentions[0] in noise.narrative
    both = write(finding("NOISE", 0, 499), finding("PAUSE", 500, 900))
    assert "No abnormal" not in both.narrative
    assert "Pause: 1 x, 4.0 s in all" in both.narrative


def test_what_was_all_analysed_says_nothing_of_normal(write: Callable[..., Report]) -> None:
    assert "No alerts is not normal" not in write().narrative
    assert len(write().abstentions) == 1


def test_what_is_not_assessed_is_listed_every_time(write: Callable[..., Report]) -> None:
    (said,) = write().abstentions
    listed = said.removeprefix("Not assessed: ").split(", ")
    for row in LABELS.values():
        assert (row.plain in listed) == (row.decided_by is DecidedBy.NOT_ASSESSED)
    assert said.startswith("Not assessed: ")
    assert said.endswith("ST, QTc.")


def test_the_order_is_that_of_the_table_whatever_was_found_first(write: Callable[..., Report]) -> None:
    labels = ["LEADOFF", "TACHY", "T", "VF", "V", "S"]
    report = write(
        *(finding(label, i, i + 9, 0.9 if label in "SV" else None) for i, label in enumerate(labels))
    )
    places = [report.narrative.lower().index(LABELS[label].plain) for label in reversed(labels)]
    assert places == sorted(places)
    assert all(LABELS[label].kind in Kind for label in labels)


def test_a_report_covers_parts_and_is_named_by_the_newest(
    write: Callable[..., Report], make_part: MakePart
) -> None:
    part = make_part(1)
    report = write(finding("V", 1, 9, 0.9))
    assert (report.episode_id, report.segment_ids) == (part.episode_id, ("a", "b"))
    assert report.id == make_id(part.episode_id, 1)


def test_runs_that_still_go_on_are_in_the_report(network: Localizer, make_part: MakePart) -> None:
    analyst = Known(network, [finding("V", 1, 9, 0.9)], MEASURED)
    analyst.open = [finding("PAUSE", 100, 599)]
    report = write_report(analyst, ("a",), make_part(0))
    assert [f.label for f in report.findings] == ["V", "PAUSE"]
    assert "Pause: 1 x, 5.0 s in all" in report.narrative


def test_a_report_is_due_with_part_0_every_fourth_and_the_final_one(make_part: MakePart) -> None:
    due = [number for number in range(12) if is_due(make_part(number))]
    assert due == [0, 4, 8]
    assert is_due(make_part(7, final=True))


def test_a_stretch_unlike_what_was_learned_is_told_apart_from_noise(write: Callable[..., Report]) -> None:
    strange, _ = write(finding("UNFAMILIAR", 0, 1199)).abstentions
    assert strange.startswith("12.0 s are unlike anything the network has learned")
