"""The trend: each beat once, each second once, and the same rows whatever the chunks, gaps and restarts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.intake import Intake
from edge.screening import WindowScreener
from edge.segments import Decided, Segmenter, SegmenterState
from models.ecg import Counts, Gap, GapReason, RecordingEnd, SampleBlock, Window, row_id
from models.recordings import Recording, RecordingSource
from models.screener.runtime import Screener
from models.signals.rpeaks import r_peaks
from models.verdicts import Quality, Screening, Seen, TrendRow

FS = 20.0
BEATS = {50: "N", 60: "V", 70: "S"}  # what a made recording says of itself, sample by sample
AF, NOISE = 3, 7


def screen(window: Window) -> Screening:
    """Reads the codes; a window with NOISE in it, or in which nothing was heard, cannot be read."""
    codes = window.microvolts[0]
    readable = not (codes == NOISE).any() and not window.missing.all()
    seen = Seen(
        beats=tuple((window.first + int(i), BEATS[int(codes[i])]) for i in np.flatnonzero(codes > NOISE)),
        af=tuple((window.first + int(i), 1) for i in np.flatnonzero(codes == AF)),
    )
    return Screening(
        first=window.first,
        last=window.last,
        scores={},
        quality=Quality(readable=readable),
        flagged=bool((codes == 60).any()),
        model="by hand",
        seen=seen if readable else None,
    )


def recording(seconds: float, beats: Iterable[tuple[float, int]] = ()) -> Counts:
    counts = np.zeros((1, round(seconds * FS)), dtype=np.int32)
    for at, code in beats:
        counts[0, round(at * FS)] = code
    return counts


def block(counts: Counts, first: int) -> SampleBlock:
    return SampleBlock(
        patch_id="p", boot_id=1, first=first, fs=FS, leads=("II",), counts=counts, uv_per_count=(1.0,)
    )


def feed(segmenter: Segmenter, counts: Counts, edges: Sequence[int], first: int = 0) -> list[Decided]:
    """The stretches between the edges, sample `first` being the first of `counts`."""
    return [
        out
        for a, b in itertools.pairwise(edges)
        for out in segmenter.push(block(counts[:, a - first : b - first], a))
    ]


def rows_of(out: Iterable[Decided]) -> list[TrendRow]:
    return [o for o in out if isinstance(o, TrendRow)]


def end(segmenter: Segmenter) -> list[Decided]:
    return segmenter.push(RecordingEnd(patch_id="p", boot_id=1, last=0))


def play(
    counts: Counts,
    cuts: Iterable[int] = (),
    *,
    first: int = 0,
    screen: Callable[[Window], Screening] = screen,
) -> list[TrendRow]:
    segmenter = Segmenter(screen)
    edges = sorted({first, first + counts.shape[1], *cuts})
    return rows_of([*feed(segmenter, counts, edges, first), *end(segmenter)])


def steady(seconds: float, rr: float) -> Counts:
    return recording(seconds, [(at, 50) for at in np.arange(0.5, seconds - 0.1, rr)])


def total(rows: Iterable[TrendRow], name: str) -> float:
    return float(sum(getattr(row, name) for row in rows))


beats = st.lists(st.tuples(st.floats(0, 129.9), st.sampled_from(sorted(BEATS))), max_size=60)


def test_rows_begin_at_every_minute_of_the_sample_index_and_say_what_they_cover() -> None:
    rows = play(recording(200), first=round(25 * FS))
    assert [(row.first / FS, row.covered_s) for row in rows] == [(25, 35), (60, 60), (120, 60), (180, 45)]
    assert [row.id for row in rows] == [row_id("p", 1, row.first) for row in rows]
    assert all(a.last + 1 == b.first for a, b in itertools.pairwise(rows))


def test_a_recording_shorter_than_a_window_has_its_row() -> None:
    (row,) = play(recording(4, [(1, 50), (2, 60)]))
    assert (row.covered_s, row.beats, row.n_V, row.flagged_s) == (4, 2, 1, 4)


def test_a_steady_heart_has_one_rate_and_a_few_beats_have_no_extremes() -> None:
    rows = play(steady(120, 0.75))
    assert {(row.hr_min, row.hr_mean, row.hr_max) for row in rows} == {(80.0, 80.0, 80.0)}
    (few,) = play(recording(30, [(10, 50), (11, 50), (12, 50)]))
    assert (few.hr_min, few.hr_mean, few.hr_max) == (None, 60.0, None)
    (none,) = play(recording(30, [(10, 50)]))
    assert (none.beats, none.hr_mean) == (1, None)


def test_the_slowest_and_the_fastest_eight_intervals_are_found_across_windows() -> None:
    at = [0.5, *(0.5 + np.cumsum([1.0] * 10 + [0.5] * 12 + [1.5] * 12 + [1.0] * 12))]
    (row,) = play(recording(59, [(second, 50) for second in at]))
    assert (row.hr_min, row.hr_max) == (40.0, 120.0)


def test_what_cannot_be_read_is_said_and_neither_beat_nor_interval_is_taken_from_it() -> None:
    counts = steady(120, 1.0)
    counts[0, round(30 * FS)] = NOISE
    rows = play(counts)
    assert [row.unreadable_s for row in rows] == [10.0, 0.0]  # two windows hold it, 5 s each
    assert [row.beats for row in rows] == [50, 60]
    assert {row.hr_mean for row in rows} == {60.0}


def test_a_gap_is_missing_and_no_interval_runs_across_it() -> None:
    counts, segmenter = steady(120, 1.0), Segmenter(screen)
    hole = Gap(
        patch_id="p", boot_id=1, first=round(28.1 * FS), count=round(1.8 * FS), reason=GapReason.EVICTED
    )
    out = feed(segmenter, counts, [0, hole.first])
    out += [
        *segmenter.push(hole),
        *feed(segmenter, counts, [hole.last + 1, counts.shape[1]]),
        *end(segmenter),
    ]
    rows = rows_of(out)
    assert [(row.missing_s, row.unreadable_s, row.beats) for row in rows] == [(1.8, 0.0, 58), (0.0, 0.0, 60)]
    assert {(row.hr_min, row.hr_mean, row.hr_max) for row in rows} == {(60.0, 60.0, 60.0)}


def test_two_hours_out_of_range_are_120_rows_that_say_so() -> None:
    segmenter, after = Segmenter(screen), round(7260 * FS)
    out = feed(segmenter, steady(60, 1.0), [0, round(60 * FS)])
    out += feed(segmenter, steady(60, 1.0), [after, after + round(60 * FS)], after)
    rows = rows_of([*out, *end(segmenter)])
    assert len(rows) == 122
    assert [row.missing_s for row in rows[1:-1]] == [60.0] * 120
    assert {(row.beats, row.hr_mean, row.flagged_s) for row in rows[1:-1]} == {(0, None, 0.0)}
    assert (rows[0].beats, rows[-1].beats) == (60, 60)


def test_seconds_of_fibrillation_are_counted_once() -> None:
    counts = recording(130)
    counts[0, round(50 * FS) : round(75 * FS)] = AF
    assert [row.af_s for row in play(counts)] == [10.0, 15.0, 0.0]


@given(beats, st.lists(st.integers(1, 2599), max_size=12), st.integers(0, 2000))
@settings(max_examples=40)
def test_every_beat_and_every_second_is_counted_once_whatever_the_chunks(
    made: list[tuple[float, int]], cuts: list[int], first: int
) -> None:
    apart = sorted({round(at * 2): (at, code) for at, code in made}.values())
    apart = [b for a, b in itertools.pairwise([(-1.0, 0), *apart]) if b[0] - a[0] > 0.2]
    counts = recording(130, apart)
    rows = play(counts, first=first)
    assert play(counts, (first + cut for cut in cuts), first=first) == rows
    assert total(rows, "beats") == np.isin(counts, list(BEATS)).sum()
    assert (total(rows, "n_V"), total(rows, "n_S")) == ((counts == 60).sum(), (counts == 70).sum())
    assert total(rows, "covered_s") == pytest.approx(130)
    assert total(rows, "missing_s") == total(rows, "unreadable_s") == 0


@given(beats, st.lists(st.integers(1, 2599), min_size=1, max_size=4))
@settings(max_examples=40)
def test_an_edge_killed_anywhere_makes_the_same_rows(made: list[tuple[float, int]], kills: list[int]) -> None:
    counts = recording(130, made)
    counts[0, round(90 * FS)] = NOISE
    segmenter, out, first = Segmenter(screen), [], 0
    for kill in sorted(kills):
        out += feed(segmenter, counts[:, first:], [first, max(first, kill)], first)
        state = SegmenterState.from_json(segmenter.state.to_json())
        segmenter, first = Segmenter(screen, state), state.resume_at or 0
    out += [*feed(segmenter, counts[:, first:], [first, counts.shape[1]], first), *end(segmenter)]
    assert rows_of(out) == play(counts)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_a_beat_at_the_seam_is_counted_once_where_two_windows_place_it_apart(seed: int) -> None:
    def unsure(window: Window) -> Screening:
        rng, said = np.random.default_rng([seed, window.first]), screen(window)
        assert said.seen is not None
        moved = sorted((beat + int(rng.integers(-1, 2)), kind) for beat, kind in said.seen.beats)
        return Screening(**{**fields(said), "seen": Seen(beats=tuple(moved), af=())})

    counts = recording(200, [(at, 50) for at in np.arange(0.5, 199, 0.35)])
    assert total(play(counts, screen=unsure), "beats") == (counts == 50).sum()


def fields(screening: Screening) -> dict[str, Any]:
    return {name: getattr(screening, name) for name in Screening.__dataclass_fields__}


def test_a_state_of_a_version_that_knew_no_trend_goes_on_with_the_first_sample_not_screened() -> None:
    counts, before = steady(200, 1.0), Segmenter(screen)
    feed(before, counts, [0, round(100 * FS)])
    text = before.state.to_json()
    old = SegmenterState.from_json(text[: text.index(',"trend"')] + "}")
    assert old.trend is None
    after, first = Segmenter(screen, old), old.resume_at or 0
    rows = rows_of([*feed(after, counts[:, first:], [first, counts.shape[1]], first), *end(after)])
    assert [(row.first / FS, row.covered_s) for row in rows] == [(95, 25), (120, 60), (180, 20)]
    assert [row.beats for row in rows] == [25, 60, 20]


@pytest.fixture(scope="module")
def excerpt_rows(excerpt: Recording) -> list[TrendRow]:
    intake = Intake(WindowScreener(Screener()))
    return rows_of(out for item in RecordingSource(excerpt).blocks() for out in intake.push(item))


def test_the_rows_of_the_excerpt_hold_the_beats_and_the_seconds_of_the_whole(
    excerpt: Recording, excerpt_rows: list[TrendRow]
) -> None:
    microvolts = (excerpt.counts * np.asarray(excerpt.uv_per_count)[:, None]).astype(np.float32)
    whole = len(r_peaks(microvolts, excerpt.fs))
    assert total(excerpt_rows, "beats") == pytest.approx(whole, rel=0.02)
    assert total(excerpt_rows, "covered_s") == pytest.approx(excerpt.counts.shape[1] / excerpt.fs)
    assert total(excerpt_rows, "n_V") == pytest.approx(149, rel=0.1)  # 93 V and 56 F beats, by the experts
    assert total(excerpt_rows, "missing_s") == 0
    assert all(80 < (row.hr_mean or 0) < 130 for row in excerpt_rows)


def test_fibrillating_ventricles_have_no_beats() -> None:
    fs, rng = 250.0, np.random.default_rng(0)
    t = np.arange(2500) / fs
    x = 400 * np.sin(2 * np.pi * (5 * t + 0.3 * np.sin(t))) + rng.normal(0, 20, len(t))
    said = WindowScreener(Screener())(
        Window(
            first=0,
            fs=fs,
            leads=("II",),
            microvolts=x[None].astype(np.float32),
            missing=np.zeros(len(t), dtype=np.bool_),
        )
    )
    assert said.rules == ("chaos",)
    assert said.seen is None
