"""Lines for machines: one JSON object each, in seconds, with everything a noun says."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from models.ecg import Segment, read_only, segment_id
from models.lines import Summary, line, seconds
from models.verdicts import Alert, Finding, Measurements, Priority, Quality, Report, Screening

FS = 360.0

SCREENING = Screening(
    first=1800,
    last=5399,
    scores={"abnormal": 0.91, "V": 0.88},
    quality=Quality(readable=False, reasons={"V1": ("noise",)}),
    flagged=True,
    rules=("chaos",),
    model="screener/1",
)
FINDING = Finding(
    segment_id="S",
    label="V",
    first=361,
    last=400,
    leads=("II",),
    probability=0.75,
    evidence={"rr_ms": 400},
)
PAUSE = Finding(
    segment_id="S", label="PAUSE", first=0, last=1079, leads=("II",), probability=None, evidence={"rr_s": 3.0}
)
REPORT = Report(
    id="R",
    episode_id="E",
    segment_ids=("a", "b", "c"),
    findings=(FINDING, PAUSE),
    measurements=Measurements(
        beats=3,
        heart_rate_mean=60.0,
        heart_rate_min=None,
        heart_rate_max=None,
        rr_median=1000.0,
        pr=None,
        qrs=None,
        qt=None,
        analysed_s=3.0,
        not_analysed_s=0.0,
    ),
    narrative="one\ntwo",
    abstentions=("Not assessed: ST.",),
    model="template/1",
)
ALERT = Alert(
    id="A",
    patch_id="p",
    episode_id="E",
    label="VF",
    priority=Priority.HIGH,
    state="raised",
    at=900,
    rule="fibrillation",
)


def segment(**fields: Any) -> Segment:
    return Segment(
        **{
            "id": segment_id("p", 1, 360, 719),
            "patch_id": "p",
            "boot_id": 1,
            "episode_id": segment_id("p", 1, 360, 719),
            "part": 0,
            "final": False,
            "continues": None,
            "opened_by": "marker",
            "first": 360,
            "fs": FS,
            "leads": ("II",),
            "counts": read_only(np.arange(360, dtype=np.int32)[None]),
            "uv_per_count": (1.0,),
        }
        | fields
    )


@pytest.mark.parametrize("noun", [SCREENING, segment(), FINDING, PAUSE, REPORT, ALERT])
def test_every_line_is_json_of_its_type_and_comes_back_as_it_was(noun: Any) -> None:
    said = line(noun, FS)
    kinds = {Screening: "window", Segment: "segment", Finding: "finding", Report: "report", Alert: "alert"}
    assert next(iter(said)) == "type"
    assert said["type"] == kinds[type(noun)]
    assert json.loads(json.dumps(said, allow_nan=False)) == said


def test_a_stretch_ends_with_the_last_samples_end() -> None:
    assert (seconds(0, FS), seconds(1, FS), seconds(36_000, FS)) == (0.0, 0.0028, 100.0)
    window = line(SCREENING, FS)
    assert (window["start_s"], window["end_s"]) == (5.0, 15.0)
    assert (window["flagged"], window["rules"], window["quality"]) == (
        True,
        ["chaos"],
        {"readable": False, "reasons": {"V1": ["noise"]}, "score": {}},
    )


def test_a_segment_says_what_of_it_is_missing() -> None:
    said = line(segment(gaps=((400, 36), (500, 36)), final=True), FS)
    assert (said["start_s"], said["end_s"], said["missing_s"], said["final"]) == (1.0, 2.0, 0.2, True)
    assert said["sha256"] == segment().sha256


def test_a_finding_by_rule_has_no_probability_and_no_code_where_there_is_none() -> None:
    assert (line(FINDING, FS)["code"], line(FINDING, FS)["probability"]) == ("17338001", 0.75)
    assert (line(PAUSE, FS)["code"], line(PAUSE, FS)["probability"]) == (None, None)
    assert line(PAUSE, FS)["end_s"] == 3.0


def test_a_report_names_the_newest_part_and_repeats_its_findings() -> None:
    said = line(REPORT, FS)
    assert (said["part"], said["text"], said["abstentions"]) == (2, "one\ntwo", ["Not assessed: ST."])
    assert [f["label"] for f in said["findings"]] == ["V", "PAUSE"]
    assert said["findings"][0] == {k: v for k, v in line(FINDING, FS).items() if k != "type"}


def test_an_alert_says_its_priority_in_words_and_its_time_in_seconds() -> None:
    said = line(ALERT, FS)
    assert (said["priority"], said["time_s"], said["label"], said["state"]) == ("high", 2.5, "VF", "raised")


def test_the_summary_counts_what_was_said_and_names_the_record_on_every_line() -> None:
    summary = Summary("208", FS)
    lines = [summary.add(line(n, FS)) for n in (SCREENING, segment(), FINDING, FINDING, PAUSE, REPORT, ALERT)]
    assert all(list(said)[:2] == ["type", "record"] and said["record"] == "208" for said in lines)
    assert summary.line(missing=36, unreadable=1800) == {
        "type": "summary",
        "record": "208",
        "windows": 1,
        "flagged": 1,
        "missing_s": 0.1,
        "unreadable_s": 5.0,
        "segments": 1,
        "findings": {"PAUSE": 1, "V": 2},
        "alerts": 1,
    }
