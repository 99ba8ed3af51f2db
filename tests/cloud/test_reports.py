"""The template report: each number is a measurement or a finding, and nothing reassures without evidence."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from cloud.analysis import EpisodeAnalysis
from cloud.analyst import EpisodeAnalyst
from cloud.config import RuleConfig
from cloud.reading import facts
from cloud.reports import (
    BY_A_MODEL,
    FOOT,
    PLAN,
    is_due,
    left_to_the_template,
    write_report,
    written_by,
)
from models.anyecg.chat.names import NAMES, NOT_ASSESSED
from models.anyecg.grounding import check
from models.anyecg.localizer import Localizer
from models.ecg import Segment, make_id
from models.verdicts import LABELS, Finding, Measurements, Report

MakePart = Callable[..., Segment]
HEAD = "Template report. AI-generated, not yet reviewed."


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
        analyst, part = Known(network, list(found), measured), make_part(1)
        return write_report(analyst, ("a", "b"), part, facts(analyst, part, (0.0, 100.0)))

    return written


def test_every_sentence_of_a_real_report_holds_against_its_evidence(
    network: Localizer, excerpt_parts: list[Segment]
) -> None:
    episode = EpisodeAnalysis(network, RuleConfig())
    for part in excerpt_parts:
        episode.push(part)
    for report in episode.reports:
        evidence = episode.evidence[report.id]
        head, *sentences, foot = report.narrative.splitlines()
        assert (head, foot) == (HEAD, FOOT)
        assert len(sentences) > 3
        assert all(check(sentence, PLAN, [evidence]).supported for sentence in sentences)
        assert (evidence.start, evidence.end) == (0.0, (30.0, 90.0)[len(report.segment_ids) > 1])
        for label in {f.label for f in report.findings}:
            assert LABELS[label].plain in report.narrative.lower()


def test_what_was_found_and_measured_is_said_with_what_it_rests_on(write: Callable[..., Report]) -> None:
    report = write(
        finding("V", 250, 260, 0.61),
        finding("V", 910, 920, 0.98),
        finding("VT", 910, 1109),
        finding("AFIB", 0, 3999, 0.7),
    )
    assert report.narrative.splitlines() == [
        HEAD,
        "Report: Atrial fibrillation for 40.0 s [a12]; ventricular tachycardia for 2.0 s [a13];"
        " mean rate 71/min [a4]; lowest rate 58/min [a5]; highest rate 93/min [a6].",
        "2 ventricular premature beats, first at 2.5 s, last at 9.1 s [a11].",
        "1 episode of atrial fibrillation from 0.0 s to 40.0 s, 40.0 s in all [a12].",
        "1 episode of ventricular tachycardia from 9.1 s to 11.1 s, 2.0 s in all [a13].",
        "PR interval 162 ms [a8]; QRS duration not measured [a9]; QT interval 402 ms [a10].",
        report.abstentions[-1],
        FOOT,
    ]


def test_every_report_says_what_it_is_and_what_it_is_not(write: Callable[..., Report]) -> None:
    for report in (write(), write(measured=NOTHING), write(finding("VF", 0, 400, 0.9))):
        lines = report.narrative.splitlines()
        assert lines[0] == HEAD
        assert lines[-1] == "Decision support. Not a diagnosis. Not for emergency monitoring."
        assert report.model == "template/2"


def test_nothing_found_is_said_of_what_was_analysed_only(write: Callable[..., Report]) -> None:
    assert "No abnormal beat or rhythm was found in the 31 s analysed" in write().narrative
    blind = write(measured=NOTHING)
    assert "was found" not in blind.narrative
    assert "Nothing could be analysed, so nothing is ruled out" in blind.narrative
    assert "mean rate not measured" in blind.narrative


def test_unreadable_signal_is_no_abnormal_rhythm_and_hides_none(write: Callable[..., Report]) -> None:
    noise = write(finding("NOISE", 0, 499), measured=dataclasses.replace(MEASURED, not_analysed_s=5.0))
    assert "5.0 s could not be analysed and may hide something [a2]." in noise.abstentions
    assert noise.abstentions[0] in noise.narrative
    assert "No alerts is not normal: 5.0 s could not be analysed." in noise.narrative
    assert "1 stretch of unreadable signal from 0.0 s to 5.0 s, 5.0 s in all" in noise.narrative
    both = write(finding("NOISE", 0, 499), finding("PAUSE", 500, 900))
    assert "No abnormal beat or rhythm" not in both.narrative
    assert "1 pause from 5.0 s to 9.0 s, 4.0 s in all" in both.narrative


def test_what_was_all_analysed_says_nothing_of_normal(write: Callable[..., Report]) -> None:
    assert "No alerts is not normal" not in write().narrative
    assert len(write().abstentions) == 1


def test_what_is_not_assessed_is_listed_every_time(write: Callable[..., Report]) -> None:
    (said,) = write().abstentions
    listed = said.removesuffix(".").removeprefix("Not assessed: ").split(", ")
    by_label = [NAMES[label].plain for label in NOT_ASSESSED]
    assert listed == [*by_label, "electrical axis", "form of P and T waves"]


def test_a_report_covers_parts_and_is_named_by_the_newest(
    write: Callable[..., Report], make_part: MakePart
) -> None:
    part = make_part(1)
    report = write(finding("V", 1, 9, 0.9))
    assert (report.episode_id, report.segment_ids) == (part.episode_id, ("a", "b"))
    assert report.id == make_id(part.episode_id, 1)


def test_runs_that_still_go_on_are_in_the_report(network: Localizer, make_part: MakePart) -> None:
    analyst, part = Known(network, [finding("V", 1, 9, 0.9)], MEASURED), make_part(0)
    analyst.open = [finding("PAUSE", 100, 599)]
    report = write_report(analyst, ("a",), part, facts(analyst, part, (0.0, 100.0)))
    assert [f.label for f in report.findings] == ["V", "PAUSE"]
    assert "5.0 s in all" in report.narrative


def test_a_report_is_due_with_part_0_every_fourth_and_the_final_one(make_part: MakePart) -> None:
    due = [number for number in range(12) if is_due(make_part(number))]
    assert due == [0, 4, 8]
    assert is_due(make_part(7, final=True))


def test_a_stretch_unlike_what_was_learned_is_told_apart_from_noise(write: Callable[..., Report]) -> None:
    strange, _ = write(finding("UNFAMILIAR", 0, 1199)).abstentions
    assert strange.startswith("12.0 s are unlike what the network has learned")


def test_who_wrote_a_report_stands_first(
    write: Callable[..., Report], network: Localizer, make_part: MakePart
) -> None:
    report = write()
    evidence = facts(Known(network, [], MEASURED), make_part(1), (0.0, 100.0))
    by_a_model = written_by(report, ["Report: mean rate 71/min [a4]."], evidence, "model/1")
    assert by_a_model.narrative.splitlines() == [
        f"{BY_A_MODEL}. AI-generated, not yet reviewed.",
        "Report: mean rate 71/min [a4].",
        FOOT,
    ]
    assert (by_a_model.id, by_a_model.model) == (report.id, "model/1")
    left = left_to_the_template(report, "it was late", evidence)
    assert left.narrative == report.narrative.replace("Template report.", "Template report: it was late.")
