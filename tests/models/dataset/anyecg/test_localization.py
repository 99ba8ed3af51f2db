"""Where a class is, recomputed from the annotation files; what they do not settle is not asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.dataset import annotated
from models.dataset.annotated import Rhythm
from models.dataset.anyecg.classes import FINDABLE, assessed, found
from models.dataset.anyecg.intervals import format_answer, parse_answer
from models.dataset.anyecg.localization import localization, open_detection
from models.dataset.anyecg.rows import Row
from models.dataset.anyecg.timeline import Strip, Timeline, cut, timeline_of

FS = 100.0
SYMBOLS = {"V": "V", "S": "AaJS", "F": "F", "L": "L", "R": "R", "PACED": "/", "E": "E", "e": "e", "j": "j"}
NOTES = {"AFIB": "AFIB", "AFL": "AFL", "VT": "VT", "B": "B", "T": "T", "SVTA": "SVTA", "NOD": "NOD"}


def made(
    symbols: str, *, rr: float = 0.8, source: str = "mitdb", rhythms: tuple[Rhythm, ...] = ()
) -> Timeline:
    """Beats every `rr` s from 0.4 s on, at 100 Hz."""
    length = round(len(symbols) * rr * FS)
    return Timeline(
        record=f"{source}/made", patient="made", source=source, fs=FS, leads=("MLII", "V1"), length=length,
        beats=np.array([round((0.4 + i * rr) * FS) for i in range(len(symbols))]),
        symbols=np.array(list(symbols)), rhythms=rhythms, beats_known=True, holes=(),
        blocked=np.empty(0, dtype=np.int64),
    )  # fmt: skip


def strip_of(timeline: Timeline, start: float, seconds: float) -> Strip:
    strip = cut(timeline, start, seconds, ("MLII",))
    assert strip is not None
    return strip


def test_a_ventricular_beat_is_found_between_its_neighbours() -> None:
    strip = strip_of(made("NNNVNNNNNNNNNNN"), 0.8, 10.0)
    assert found(FINDABLE["V"], strip) == ((1.2, 2.8),)  # 2.0 to 3.6 s of the recording


def test_an_unclassifiable_beat_leaves_every_beat_class_open() -> None:
    strip = strip_of(made("NNNQNNNNNNNNNNN"), 0.0, 10.0)
    assert found(FINDABLE["V"], strip) is None
    assert found(FINDABLE["S"], strip) is None


def test_an_escape_beat_leaves_ventricular_premature_beats_open() -> None:
    assert found(FINDABLE["V"], strip_of(made("NNNENNNNNNNNNNN"), 0.0, 10.0)) is None


def test_a_blocked_atrial_beat_leaves_atrial_premature_beats_open() -> None:
    timeline = replace(made("N" * 15), blocked=np.array([500]))
    assert found(FINDABLE["S"], strip_of(timeline, 0.0, 10.0)) is None
    assert found(FINDABLE["V"], strip_of(timeline, 0.0, 10.0)) == ()


def test_a_beat_cut_by_an_edge_is_neither_there_nor_absent() -> None:
    timeline = made("NNNVNNNNNNNNNNNNNN")  # V at 2.8 s
    assert found(FINDABLE["V"], strip_of(timeline, 2.75, 10.0)) is None
    assert found(FINDABLE["V"], strip_of(timeline, 2.9, 10.0)) is None
    assert found(FINDABLE["V"], strip_of(timeline, 3.0, 10.0)) == ()


def test_an_atrial_beat_that_opens_the_strip_has_nothing_to_be_early_against() -> None:
    timeline = made("NNNANNNNNNNNNNNNNN")
    assert found(FINDABLE["S"], strip_of(timeline, 2.4, 10.0)) is None
    assert found(FINDABLE["S"], strip_of(timeline, 1.6, 10.0)) == ((0.4, 2.0),)


def test_a_stretch_without_annotated_beats_answers_nothing() -> None:
    timeline = replace(made("N" * 40), holes=((1000, 1600),))
    assert found(FINDABLE["V"], strip_of(timeline, 5.0, 10.0)) is None
    assert found(FINDABLE["PAUSE"], strip_of(timeline, 5.0, 10.0)) is None
    assert found(FINDABLE["V"], strip_of(timeline, 17.0, 10.0)) == ()


def test_a_rhythm_is_absent_only_where_the_rhythm_is_known() -> None:
    timeline = made("N" * 40, rhythms=(Rhythm(first=0, last=1499, name="N"),))
    assert found(FINDABLE["AFIB"], strip_of(timeline, 0.0, 15.0)) == ()
    assert found(FINDABLE["AFIB"], strip_of(timeline, 0.0, 15.1)) is None


def test_a_rhythm_of_which_an_edge_leaves_too_little_is_not_asked_for() -> None:
    rhythms = (Rhythm(first=0, last=999, name="N"), Rhythm(first=1000, last=3000, name="AFIB"))
    timeline = made("N" * 40, rhythms=rhythms)
    assert found(FINDABLE["AFIB"], strip_of(timeline, 2.0, 10.0)) is None  # 2 s of it
    assert found(FINDABLE["AFIB"], strip_of(timeline, 4.0, 10.0)) == ((6.0, 10.0),)


def test_a_pause_is_asked_for_only_where_the_limit_is_clear() -> None:
    steady = made("NNNNNNNNNNNN")
    beats = np.array([40, 120, 200, 200 + 250, 530, 610, 690, 770, 850, 930])
    paused = replace(steady, beats=beats, symbols=np.array(["N"] * 10), length=1000)
    assert found(FINDABLE["PAUSE"], strip_of(paused, 0.0, 10.0)) == ((2.0, 4.5),)
    close = replace(paused, beats=beats - np.where(beats > 300, 47, 0))
    assert found(FINDABLE["PAUSE"], strip_of(close, 0.0, 9.5)) is None
    assert found(FINDABLE["PAUSE"], strip_of(paused, 2.1, 7.0)) is None  # the edge hides where it began


def test_a_database_is_not_asked_for_what_it_does_not_annotate() -> None:
    strip = strip_of(made("N" * 15, source="svdb"), 0.0, 10.0)
    assert found(FINDABLE["L"], strip) is None
    assert {item.label for item in assessed("svdb")} == {"V", "S", "PAUSE"}


@pytest.fixture(scope="module")
def raw(ecg_data: Path) -> dict[str, tuple[Any, int]]:
    """(annotations, samples) straight from the files."""
    wfdb = pytest.importorskip("wfdb")
    return {
        f"mitdb/{name}": (
            wfdb.rdann(str(ecg_data / "mitdb" / name), "atr"),
            wfdb.rdheader(str(ecg_data / "mitdb" / name)).sig_len,
        )
        for name in ("201", "207", "223")
    }


@pytest.fixture(scope="module")
def timelines(ecg_data: Path) -> list[Timeline]:
    return [timeline_of(record) for record in annotated.mitdb(ecg_data, ["201", "207", "223"])]


@pytest.fixture(scope="module")
def rows(timelines: list[Timeline]) -> list[Row]:
    return [row for timeline in timelines for row in localization(timeline, 3)]


def test_the_rows_hold_every_protocol_and_both_answers(rows: list[Row]) -> None:
    assert {row["evidence"]["kind"] for row in rows} == {
        "early",
        "anywhere",
        "elsewhere",
        "another",
        "absent",
    }
    assert {len(row["ecgs"][0]["leads"]) for row in rows} == {1, 2}
    seconds = [row["ecgs"][0]["end"] - row["ecgs"][0]["start"] for row in rows]
    assert min(seconds) == pytest.approx(10.0, abs=0.01)
    assert 60 < max(seconds) <= 300.01


def test_every_localization_is_what_the_annotation_files_say(
    rows: list[Row], raw: dict[str, tuple[Any, int]]
) -> None:
    checked = {"beat": 0, "rhythm": 0}
    for row in rows:
        marks, length = raw[row["ecgs"][0]["record"]]
        start, end = round(row["ecgs"][0]["start"] * 360), round(row["ecgs"][0]["end"] * 360)
        if row["type"] in SYMBOLS:
            expected, kind = beat_tenths(marks, SYMBOLS[row["type"]], start, end), "beat"
        elif row["type"] in NOTES:
            expected, kind = rhythm_tenths(marks, NOTES[row["type"]], start, end, length), "rhythm"
        else:
            continue
        spans = parse_answer(row["messages"][1]["content"])
        assert spans is not None
        covered = {n for a, b in spans for n in range(round(a * 10), round(b * 10))}
        assert len(covered ^ expected) <= 2 * len(spans), row  # a tenth at each rounded edge
        checked[kind] += 1
    assert min(checked.values()) > 50


def beat_tenths(marks: Any, symbols: str, start: int, end: int) -> set[int]:
    """Tenths of a second painted one beat at a time."""
    beats = [(int(s), y) for s, y in zip(marks.sample, marks.symbol, strict=True) if y in "NLRejAaJSVFE/fQ"]
    beats = [(start, ""), *beats, (end, "")] if beats[-1][0] < end else [(start, ""), *beats]
    painted: set[int] = set()
    for before, (at, symbol), after in zip(beats, beats[1:], beats[2:], strict=False):
        if symbol in symbols and start <= at < end:
            first, last = max(before[0], start), min(after[0], end)
            painted |= set(range(round((first - start) / 36), round((last - start) / 36)))
    return painted


def rhythm_tenths(marks: Any, note: str, start: int, end: int, length: int) -> set[int]:
    changes = [
        (int(s), a.strip("\0")) for s, a in zip(marks.sample, marks.aux_note, strict=True) if a[:1] == "("
    ]
    painted: set[int] = set()
    for (at, name), (until, _) in zip(changes, [*changes[1:], (length, "")], strict=True):
        if name == f"({note}" and at < end and until > start:
            painted |= set(range(round((max(at, start) - start) / 36), round((min(until, end) - start) / 36)))
    return painted


def test_a_hard_negative_is_absent_from_its_strip_and_present_in_its_recording(
    rows: list[Row], raw: dict[str, tuple[Any, int]]
) -> None:
    seen = 0
    for row in rows:
        kind = row["evidence"]["kind"]
        if kind not in {"elsewhere", "another"} or row["type"] not in SYMBOLS:
            continue
        marks, _ = raw[row["ecgs"][0]["record"]]
        start, end = row["ecgs"][0]["start"] * 360, row["ecgs"][0]["end"] * 360
        low, high = np.searchsorted(marks.sample, [start, end])
        inside = set(marks.symbol[low:high])
        assert row["messages"][1]["content"].startswith("No ")
        assert not inside & set(SYMBOLS[row["type"]])
        assert set(marks.symbol) & set(SYMBOLS[row["type"]])
        assert kind != "another" or inside & set("VAaJSFE") - set(SYMBOLS[row["type"]])
        seen += 1
    assert seen > 30


def test_the_early_protocol_begins_within_two_seconds(rows: list[Row]) -> None:
    for row in rows:
        if row["evidence"]["kind"] == "early":
            spans = parse_answer(row["messages"][1]["content"])
            assert spans
            assert spans[0][0] <= 2.0


def test_question_and_answer_call_the_class_by_the_same_name(rows: list[Row]) -> None:
    for row in rows:
        name, answer = row["evidence"]["name"], row["messages"][1]["content"]
        assert name.split()[-1].lower() in row["messages"][0]["content"].lower()
        assert answer == format_answer(parse_answer(answer) or (), name)


def test_open_detection_names_exactly_what_is_found(timelines: list[Timeline]) -> None:
    by_record = {timeline.record: timeline for timeline in timelines}
    found_rows = [row for timeline in timelines for row in open_detection(timeline, 3)]
    assert {bool(row["evidence"]["found"]) for row in found_rows} == {True, False}
    for row in found_rows:
        ecg = row["ecgs"][0]
        strip = cut(by_record[ecg["record"]], ecg["start"], ecg["end"] - ecg["start"], tuple(ecg["leads"]))
        assert strip is not None
        lines = row["messages"][1]["content"].splitlines()
        there = [item for item in assessed("mitdb") if found(item, strip)]
        assert row["evidence"]["found"] == [item.label for item in there]
        said = [line.split(": ")[0].lower() for line in lines if ": " in line]
        assert said == [item.names[0].lower() for item in there]
