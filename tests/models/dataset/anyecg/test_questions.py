"""Answers about strips, reports and comparisons, recomputed from annotation files and statements."""

from __future__ import annotations

import re
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from models.dataset import annotated, clinical
from models.dataset.anyecg.bedside import clinical_questions, names_of, visits
from models.dataset.anyecg.comparison import comparison, rhythm_changes
from models.dataset.anyecg.ecgqa import ecgqa, samples
from models.dataset.anyecg.findings import findings
from models.dataset.anyecg.questions import questions
from models.dataset.anyecg.reports import clinical_reports, strip_reports
from models.dataset.anyecg.rows import ECG, Row
from models.dataset.anyecg.timeline import Timeline, timeline_of
from models.dataset.clinical import Clinical, rhythm

BEATS = set("NLRejAaJSVFE/fQ")
V, S = set("V"), set("AaJS")


@pytest.fixture(scope="module")
def marks(ecg_data: Path) -> dict[str, Any]:
    wfdb = pytest.importorskip("wfdb")
    return {f"mitdb/{n}": wfdb.rdann(str(ecg_data / "mitdb" / n), "atr") for n in ("119", "201", "223")}


@pytest.fixture(scope="module")
def timelines(ecg_data: Path) -> list[Timeline]:
    return [timeline_of(record) for record in annotated.mitdb(ecg_data, ["119", "201", "223"])]


@pytest.fixture(scope="module")
def asked(timelines: list[Timeline]) -> list[Row]:
    return [row for timeline in timelines for row in questions(timeline, 5)]


def beats_of(ecg: dict[str, Any], marks: dict[str, Any]) -> list[tuple[float, str]]:
    """(seconds from the start of the strip, symbol) of its beats, from the file."""
    record = marks[ecg["record"]]
    start, end = round(ecg["start"] * 360), round(ecg["end"] * 360)
    both = zip(record.sample, record.symbol, strict=True)
    return [((s - start) / 360, y) for s, y in both if y in BEATS and start <= s < end]


def rate_of(beats: list[tuple[float, str]]) -> int:
    return round(60 * (len(beats) - 1) / (beats[-1][0] - beats[0][0]))


def numbers(text: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", text)]


def test_rates_counts_and_runs_are_those_of_the_annotation_files(
    asked: list[Row], marks: dict[str, Any]
) -> None:
    seen: Counter[str] = Counter()
    for row in asked:
        kind, answer = row["evidence"]["kind"], row["messages"][1]["content"]
        beats = beats_of(row["ecgs"][0], marks)
        wanted = V if row["type"] == "V" else S
        number = sum(symbol in wanted for _, symbol in beats)
        match kind:
            case "rate":
                assert numbers(answer)[-1] == rate_of(beats) or f"{rate_of(beats)}/min" in answer
            case "count":
                assert str(number) in (answer, answer.split(": ")[-1].split()[0])
            case "burden":
                assert f"{round(100 * number / len(beats))} %" in answer
            case "run":
                text = "".join("V" if s in V else "." for _, s in beats)
                longest = max(len(run) for run in text.split("."))
                assert numbers(answer)[0] == longest
            case "when":
                first = next(t for t, s in beats if s in (wanted if row["type"] != "F" else "F"))
                assert f"{first:.1f}s" in answer
            case "longest RR":
                longest_rr = max(b[0] - a[0] for a, b in pairwise(beats))
                assert f"{longest_rr:.1f} s" in answer
            case "order":
                ahead = next(s for _, s in beats if s in V | S)
                assert answer.lower().startswith(("ventricular", "the ventricular")) == (ahead in V)
            case "regular":
                intervals = [b[0] - a[0] for a, b in pairwise(beats)]
                steady = max(intervals) / min(intervals) < 1.3
                assert answer.lower().startswith(("yes", "regular")) == steady
            case _:
                continue
        seen[kind] += 1
    assert len(seen) == 8
    assert min(seen.values()) >= 3, seen


def test_reports_of_strips_hold_the_counts_of_the_annotation_files(
    timelines: list[Timeline], marks: dict[str, Any]
) -> None:
    rows = [row for timeline in timelines for row in strip_reports(timeline, 5)]
    assert len(rows) > 20
    for row in rows:
        beats, answer = beats_of(row["ecgs"][0], marks), row["messages"][1]["content"]
        for words, symbols in (("Ventricular", V), ("Supraventricular", S)):
            number = sum(symbol in symbols for _, symbol in beats)
            assert f"{words} premature beats: {number or 'none'}." in answer
        assert f"Mean rate {rate_of(beats)}/min" in answer


def test_comparisons_are_differences_of_what_the_annotation_files_say(
    timelines: list[Timeline], marks: dict[str, Any]
) -> None:
    seen: Counter[str] = Counter()
    for row in (row for timeline in timelines for row in comparison([timeline], 5)):
        kind, answer = row["evidence"]["kind"], row["messages"][1]["content"]
        strips = [beats_of(ecg, marks) for ecg in row["ecgs"]]
        counts = [sum(s in (V if row["type"] == "V" else S) for _, s in beats) for beats in strips]
        if kind == "counts":
            assert [numbers(part)[-1] for part in answer.split(".")[0].split(",")] == counts
            if len(counts) == 2 and counts[0] != counts[1]:
                assert numbers(answer.split(".")[1])[0] == abs(counts[1] - counts[0])
                assert ("more" in answer) == (counts[1] > counts[0])
        elif kind == "most":
            assert numbers(answer) == [counts.index(max(counts)) + 1, max(counts)]
        elif kind == "rates":
            rates = [rate_of(beats) for beats in strips]
            assert numbers(answer)[0] == rates[0]
            assert numbers(answer)[2] == rates[1]
            assert ("faster" in answer) == (rates[1] > rates[0])
        elif kind == "fastest":
            rates = [rate_of(beats) for beats in strips]
            assert numbers(answer) == [rates.index(max(rates)) + 1, max(rates)]
        seen[kind] += 1
        assert 2 <= len(row["ecgs"]) <= 6
        assert row["messages"][0]["content"].count(ECG) == len(row["ecgs"])
    assert {"counts", "rates", "fastest", "rhythms"} <= set(seen)


def test_strips_around_a_change_of_rhythm_lie_in_one_rhythm_each(
    timelines: list[Timeline], marks: dict[str, Any]
) -> None:
    names = {
        "N": "sinus rhythm",
        "B": "ventricular bigeminy",
        "T": "ventricular trigeminy",
        "VT": "ventricular tachy",
    }
    changed = []
    for row in (row for timeline in timelines for row in rhythm_changes(timeline, 5)):
        if row["evidence"]["kind"] != "rhythms":
            continue
        for ecg, said in zip(row["ecgs"], row["evidence"]["rhythms"], strict=True):
            record = marks[ecg["record"]]
            notes = [
                (s / 360, n.strip("\0(")) for s, n in zip(record.sample, record.aux_note, strict=True) if n
            ]
            before = [name for at, name in notes if at <= ecg["start"] + 0.01]
            assert said.startswith(names.get(before[-1], said))
            assert not [name for at, name in notes if ecg["start"] + 0.01 < at < ecg["end"] - 0.01]
        changed.append(len(set(row["evidence"]["rhythms"])) > 1)
    assert {True, False} == set(changed)


def test_a_record_without_rhythm_annotations_gives_no_rhythm_answer(ecg_data: Path) -> None:
    record = next(iter(annotated.svdb(ecg_data)))
    timeline = timeline_of(record)
    kinds = {row["evidence"]["kind"] for row in questions(timeline, 5)}
    assert "rate" in kinds
    assert "rhythm" not in kinds
    assert all("rhythm" not in row["messages"][1]["content"] for row in strip_reports(timeline, 5))


@pytest.fixture(scope="module")
def ecgs(ecg_data: Path) -> list[Clinical]:
    pytest.importorskip("wfdb")
    return list(clinical.ptbxl(ecg_data))


def test_twelve_leads_report_all_statements_and_fewer_leads_the_rhythm(ecgs: list[Clinical]) -> None:
    for ecg in ecgs:
        for row in clinical_reports(ecg, 5):
            answer = row["messages"][1]["content"].removeprefix("Report: ").rstrip(".").lower()
            if len(row["ecgs"][0]["leads"]) == 12:
                assert answer.split(", ") == [name.lower() for name in findings(ecg) or []]
            else:
                assert rhythm(ecg) is not None
                assert not {"infarction", "axis", "hypertrophy", "normal"} & set(answer.split())


def test_a_finding_is_denied_only_where_nothing_stated_resembles_it(ecgs: list[Clinical]) -> None:
    names = names_of(ecgs)
    answers: Counter[bool] = Counter()
    for ecg in ecgs[:80]:
        stated = [name.lower() for name in findings(ecg) or []]
        for row in clinical_questions(ecg, names, 5):
            if row["evidence"]["kind"] != "finding":
                continue
            question = row["messages"][0]["content"].lower()
            yes = row["messages"][1]["content"].lower().startswith("yes")
            assert yes == any(name in question for name in stated)
            answers[yes] += 1
    assert min(answers[True], answers[False]) > 20


def test_visits_give_their_dates_and_the_difference_of_their_statements(ecgs: list[Clinical]) -> None:
    by_patient: dict[str, list[Clinical]] = {}
    for ecg in sorted(ecgs, key=lambda ecg: ecg.recorded):
        by_patient.setdefault(ecg.patient, []).append(ecg)
    pairs = [some for some in by_patient.values() if len(some) > 1]
    rows = [row for earlier, later in pairs for row in visits(earlier, later, 5)]
    assert len(pairs) > 5
    for row in rows:
        assert len(re.findall(r"\d{4}-\d\d-\d\d", row["messages"][0]["content"])) == 2
        before, after = set(row["evidence"]["earlier"]), set(row["evidence"]["later"])
        said = set(row["messages"][1]["content"].lower().rstrip(".").split(", "))
        differs = {"visit new": after - before, "visit gone": before - after, "visit shared": after & before}
        if row["evidence"]["kind"] in differs:
            assert said == ({name.lower() for name in differs[row["evidence"]["kind"]]} or {"none"})


def test_ecg_qa_rows_are_its_samples_over_ecgs_that_are_here(ecg_data: Path, ecgs: list[Clinical]) -> None:
    here = {ecg.record: ecg for ecg in ecgs}
    by_sample = {sample.sample: sample for sample in samples(ecg_data)}
    rows = list(ecgqa(ecg_data, here))
    assert Counter(len(row["ecgs"]) for row in rows) == {1: 306, 2: 172}
    for row in rows:
        sample = by_sample[row["evidence"]["sample"]]
        assert sample.question in row["messages"][0]["content"]
        assert row["messages"][1]["content"] == ", ".join(sample.answers)
        assert tuple(ecg["record"] for ecg in row["ecgs"]) == sample.records
