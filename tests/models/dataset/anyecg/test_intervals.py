"""The paper's interval rule, its grammar and its score, against cases worked by hand."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.dataset.anyecg.intervals import clipped, format_answer, iou, parse_answer, score, target_spans

BEATS = [0.5, 1.5, 2.5, 3.1, 4.5, 5.5, 6.5, 7.5, 8.5, 9.5]  # the beat at 3.1 s is early


def targets(*indices: int) -> list[bool]:
    return [index in indices for index in range(len(BEATS))]


def test_a_span_runs_from_the_beat_before_to_the_beat_after() -> None:
    assert target_spans(BEATS, targets(3), 0.0, 10.0) == ((2.5, 4.5),)


def test_times_count_from_the_start_of_the_strip() -> None:
    assert target_spans(BEATS, targets(3), 2.0, 10.0) == ((0.5, 2.5),)


def test_a_neighbour_outside_the_strip_is_clipped_to_its_edge() -> None:
    assert target_spans(BEATS, targets(3), 3.0, 4.0) == ((0.0, 1.0),)


def test_a_target_outside_the_strip_gives_no_span_although_its_neighbour_is_inside() -> None:
    assert target_spans(BEATS, targets(3), 4.0, 10.0) == ()


def test_neighbouring_targets_are_one_span() -> None:
    assert target_spans(BEATS, targets(3, 4), 0.0, 10.0) == ((2.5, 5.5),)


def test_spans_that_touch_at_a_shared_neighbour_are_one() -> None:
    assert target_spans(BEATS, targets(3, 5), 0.0, 10.0) == ((2.5, 6.5),)


def test_spans_with_an_interval_between_them_stay_two() -> None:
    assert target_spans(BEATS, targets(3, 6), 0.0, 10.0) == ((2.5, 4.5), (5.5, 7.5))


def test_before_the_first_and_after_the_last_beat_the_strip_closes_the_span() -> None:
    assert target_spans(BEATS, targets(0), 0.0, 10.0) == ((0.0, 1.5),)
    assert target_spans(BEATS, targets(9), 0.0, 10.0) == ((8.5, 10.0),)


def test_without_beats_or_targets_there_is_no_span() -> None:
    assert target_spans([], [], 0.0, 10.0) == ()
    assert target_spans(BEATS, targets(), 0.0, 10.0) == ()


def test_a_rhythm_is_clipped_as_it_is() -> None:
    assert clipped([(5.0, 12.0), (12.0, 14.04), (20.0, 50.0)], 10.0, 40.0) == ((0.0, 4.0), (10.0, 30.0))


def test_the_answer_of_the_paper() -> None:
    assert format_answer(((1.9, 3.1), (6.8, 8.1)), "PVC") == "Duration: 1.9s-3.1s, 6.8s-8.1s"
    assert (
        format_answer((), "premature ventricular contraction") == "No Premature ventricular contraction Found"
    )


@pytest.mark.parametrize(
    "text",
    [
        "", "Duration:", "Duration: 1.9-", "Duration: 3.1s-1.9s", "Duration: 2.0s-2.0s", "none",
        "Duration: 1.0s-3.0s, 2.0s-4.0s", "No PVC", "1.9s-3.1s", "Duration: 1.9s-3.1s and more",
    ],
)  # fmt: skip
def test_what_is_not_the_grammar_is_not_parsed(text: str) -> None:
    assert parse_answer(text) is None


def test_overlap_over_union_worked_by_hand() -> None:
    assert iou([(0.0, 2.0)], [(1.0, 3.0)], 10.0) == pytest.approx(1 / 3)
    assert iou([(0.0, 2.0), (4.0, 6.0)], [(1.0, 5.0)], 10.0) == pytest.approx(2 / 6)
    assert iou([(0.0, 10.0)], [(2.0, 4.5)], 10.0) == pytest.approx(0.25)
    assert iou([(0.0, 99.0)], [(0.0, 10.0)], 10.0) == 1.0
    assert iou([(0.0, 1.0)], [(5.0, 6.0)], 10.0) == 0.0


def test_an_empty_answer_agrees_only_with_an_empty_one() -> None:
    assert iou([], [], 10.0) == 1.0
    assert iou([], [(0.0, 1.0)], 10.0) == 0.0
    assert iou([(0.0, 1.0)], [], 10.0) == 0.0
    assert iou(None, [], 10.0) == 0.0


def test_a_negative_counts_only_word_for_word() -> None:
    truth = "No Premature ventricular contraction Found"
    assert score(truth, truth, 10.0) == 1.0
    assert score("No Atrial premature beat Found", truth, 10.0) == 0.0
    assert score("Duration: 0.5s-2.5s", truth, 10.0) == 0.0
    assert score(truth, "Duration: 0.5s-2.5s", 10.0) == 0.0
    assert score("there is none", truth, 10.0) == 0.0
    assert score("Duration: 0.5s-2.5s", "Duration: 0.5s-1.5s", 10.0) == pytest.approx(0.5)


intervals = st.lists(st.floats(0.25, 3.0), min_size=0, max_size=60)


@given(intervals, st.data())
def test_spans_are_sorted_disjoint_inside_and_cover_every_target(
    gaps: list[float], data: st.DataObject
) -> None:
    beats = [sum(gaps[: i + 1]) for i in range(len(gaps))]
    wanted = data.draw(st.lists(st.booleans(), min_size=len(beats), max_size=len(beats)))
    start = data.draw(st.floats(0.0, 60.0))
    seconds = data.draw(st.integers(5, 60))
    spans = target_spans(beats, wanted, start, start + seconds)
    assert all(first < last for first, last in spans)
    assert all(a[1] < b[0] for a, b in pairwise(spans))
    assert all(first >= 0 and last <= seconds for first, last in spans)
    for beat, is_target in zip(beats, wanted, strict=True):
        if is_target and start <= beat < start + seconds:
            assert any(first - 0.051 <= beat - start <= last + 0.051 for first, last in spans)
    assert bool(spans) == any(w and start <= b < start + seconds for b, w in zip(beats, wanted, strict=True))


@given(st.lists(st.integers(0, 3000), unique=True, max_size=20))
def test_what_is_formatted_is_parsed_again(edges: list[int]) -> None:
    edges = sorted(edges)[: len(edges) // 2 * 2]
    spans = tuple((a / 10, b / 10) for a, b in zip(edges[::2], edges[1::2], strict=True))
    assert parse_answer(format_answer(spans, "atrial premature beat")) == spans


@given(st.lists(st.tuples(st.floats(0, 60), st.floats(0.1, 60)), max_size=8))
def test_every_answer_agrees_with_itself_and_overlap_is_symmetric(pairs: list[tuple[float, float]]) -> None:
    spans = [(first, first + length) for first, length in pairs]
    other = [(first / 2, first / 2 + length) for first, length in pairs[:3]]
    inside = [(first, last) for first, last in spans if first < 60]
    assert iou(inside, inside, 60.0) == pytest.approx(1.0)
    assert iou(spans, other, 60.0) == pytest.approx(iou(other, spans, 60.0))
