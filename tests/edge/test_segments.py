"""Episodes and parts: the boundaries of the design, and nothing that depends on chunking or restarts."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.segments import Decided, Segmenter, SegmenterState
from models.ecg import Counts, Gap, GapReason, Marker, RecordingEnd, SampleBlock, Segment, Window
from models.verdicts import Quality, Screening, TrendRow

FS = 20.0
FLAG, QUIET, NOISE = 100, 1, 7  # what a made recording says of itself, by its highest sample


def screen(window: Window) -> Screening:
    """Flags a window that holds FLAG, cannot read one that holds only NOISE or nothing."""
    heard = window.microvolts[0][~window.missing]
    highest = int(heard.max()) if len(heard) else NOISE
    return Screening(
        first=window.first,
        last=window.last,
        scores={},
        quality=Quality(readable=highest != NOISE),
        flagged=highest == FLAG,
        model="by hand",
    )


def recording(seconds: float, flags: Iterable[float] = (), noise: tuple[float, float] = (0, 0)) -> Counts:
    counts = np.full((1, round(seconds * FS)), QUIET, dtype=np.int32)
    counts[:, round(noise[0] * FS) : round(noise[1] * FS)] = NOISE
    for second in flags:
        counts[0, round(second * FS)] = FLAG
    return counts


def block(counts: Counts, first: int, fs: float = FS) -> SampleBlock:
    return SampleBlock(
        patch_id="p", boot_id=1, first=first, fs=fs, leads=("II",), counts=counts, uv_per_count=(1.0,)
    )


def play(counts: Counts, cuts: Iterable[int] = (), *, first: int = 0) -> list[Decided]:
    return feed(Segmenter(screen), counts, sorted({0, counts.shape[1], *cuts}), first=first)


def feed(
    segmenter: Segmenter, counts: Counts, edges: list[int], *, first: int = 0, ends: bool = True
) -> list[Decided]:
    out: list[Decided] = []
    for a, b in itertools.pairwise(edges):
        out += segmenter.push(block(counts[:, a:b], first + a))
    if ends:
        out += segmenter.push(RecordingEnd(patch_id="p", boot_id=1, last=first + counts.shape[1] - 1))
    return out


def parts(out: Iterable[Decided]) -> list[Segment]:
    return [o for o in out if isinstance(o, Segment)]


def spans(out: Iterable[Decided]) -> list[tuple[float, float]]:
    return [(s.first / FS, (s.last + 1) / FS) for s in parts(out)]


def test_part_0_begins_30_s_before_the_flagged_window_and_leaves_with_its_end() -> None:
    first = parts(play(recording(200, [103])))[0]
    assert (first.first / FS, (first.last + 1) / FS, first.part) == (65.0, 105.0, 0)
    assert first.episode_id == first.id


def test_a_part_carries_the_verdict_on_every_window_that_ends_in_it() -> None:
    for part in parts(play(recording(200, [103]))):
        ends = [(screening.last + 1) / FS for screening in part.screenings]
        first = part.first / FS
        assert ends == [end for end in np.arange(10, 205, 5) if first < end <= (part.last + 1) / FS]


def test_later_parts_are_15_s_and_30_s_of_quiet_close_the_episode() -> None:
    # the windows from 95 s and 100 s hold 103 s; quiet ones end at 115 .. 140 s
    assert spans(play(recording(200, [103]))) == [(65, 105), (105, 120), (120, 135), (135, 140)]
    assert [s.final for s in parts(play(recording(200, [103])))] == [False, False, False, True]


def test_unreadable_windows_are_neither_flagged_nor_quiet() -> None:
    out = play(recording(300, [103], noise=(110, 150)))
    # the nine windows that touch the noise, from 105 s to 145 s, do not count
    assert spans(out)[-1][1] == 140 + 9 * 5
    assert parts(out)[-1].final


def test_an_episode_never_reaches_before_sample_0_or_into_the_one_before() -> None:
    assert spans(play(recording(60, [3])))[0] == (0, 10)
    out = play(recording(200, [20, 70]))
    second = [s for s in parts(out) if s.part == 0][1]
    assert second.first == next(s for s in parts(out) if s.final).last + 1


def test_at_5_min_an_open_episode_ends_and_the_next_one_continues_it() -> None:
    out = parts(play(recording(700, np.arange(40, 690, 4))))
    first, second, _ = (s for s in out if s.part == 0)
    ended = next(s for s in out if s.final)
    assert (ended.last + 1 - first.first) / FS == pytest.approx(310)
    assert (second.continues, second.first) == (first.id, ended.last + 1)
    assert (second.last + 1 - second.first) / FS == 15
    assert first.continues is None


def test_an_episode_that_ends_with_the_recording_has_a_final_part_that_covers_it() -> None:
    for seconds in (45.0, 50.0, 52.3, 47.05):
        last = parts(play(recording(seconds, [22, 30, 38, 44])))[-1]
        assert last.final
        assert last.last == round(seconds * FS) - 1


def test_a_recording_shorter_than_a_window_is_still_judged() -> None:
    out = play(recording(4, [1]))
    assert [type(o) for o in out] == [Screening, Segment, TrendRow]
    assert parts(out)[0].final


def test_every_sample_of_a_recording_lies_in_a_window() -> None:
    seen = [o for o in play(recording(63.4)) if isinstance(o, Screening)]
    assert seen[0].first == 0
    assert seen[-1].last == round(63.4 * FS) - 1
    assert all(b.first <= a.last + 1 for a, b in itertools.pairwise(seen))


def test_the_button_opens_an_episode() -> None:
    segmenter = Segmenter(screen)
    segmenter.push(Marker(patch_id="p", boot_id=1, first=round(42 * FS)))
    out = feed(segmenter, recording(100), [0, round(100 * FS)])
    assert spans(out)[0] == (5, 45)
    assert parts(out)[0].opened_by == "marker"
    assert parts(out)[0].markers == (round(42 * FS),)


def test_a_gap_is_listed_and_its_samples_are_0() -> None:
    segmenter = Segmenter(screen)
    counts = recording(100, [50])
    hole = (round(40 * FS), round(3 * FS))
    out = feed(segmenter, counts[:, : hole[0]], [0, hole[0]], ends=False)
    out += segmenter.push(
        Gap(patch_id="p", boot_id=1, first=hole[0], count=hole[1], reason=GapReason.EVICTED)
    )
    out += feed(segmenter, counts[:, sum(hole) :], [0, counts.shape[1] - sum(hole)], first=sum(hole))
    holding = next(s for s in parts(out) if s.first <= hole[0] <= s.last)
    assert holding.gaps == (hole,)
    assert not holding.microvolts[0][holding.missing].any()


def test_ten_hours_of_gap_do_not_make_ten_hours_of_parts() -> None:
    segmenter = Segmenter(screen)
    out = feed(segmenter, recording(60, [55]), [0, round(60 * FS)], ends=False)
    count = round(36_000 * FS)
    out += segmenter.push(
        Gap(patch_id="p", boot_id=1, first=round(60 * FS), count=count, reason=GapReason.TOO_LONG)
    )
    assert sum(s.counts.shape[1] for s in parts(out)) <= 320 * FS
    assert segmenter.state.missing > count - 20 * FS
    assert segmenter.state.episode is None


def test_silence_sends_what_is_held_but_one_sample_and_the_grid_stays() -> None:
    segmenter = Segmenter(screen)
    counts = recording(200, [103])
    out = feed(segmenter, counts, [0, round(112 * FS)], ends=False)
    out += segmenter.idle()
    assert spans(out) == [(65, 105), (105, 112 - 1 / FS)]
    assert segmenter.idle() == []
    out += feed(segmenter, counts[:, round(112 * FS) :], [0, round(88 * FS)], first=round(112 * FS))
    assert spans(out)[2:] == [(112 - 1 / FS, 120), (120, 135), (135, 140)]


flags = st.lists(st.floats(0, 79), max_size=6)


@given(flags, st.lists(st.integers(1, 1599), max_size=12))
@settings(max_examples=60)
def test_any_chunking_gives_the_same_windows_and_segments(at: list[float], cuts: list[int]) -> None:
    counts = recording(80, at)
    whole, split = play(counts), play(counts, cuts)
    assert [str(o) for o in split] == [str(o) for o in whole]


@given(flags, st.integers(1, 1599))
@settings(max_examples=60)
def test_a_restart_from_the_saved_state_derives_the_same_segments(at: list[float], killed_at: int) -> None:
    counts = recording(80, at)
    before = Segmenter(screen)
    out = feed(before, counts, [0, killed_at], ends=False)
    state = SegmenterState.from_json(before.state.to_json())
    first = state.resume_at or 0
    out += feed(Segmenter(screen, state), counts[:, first:], [0, counts.shape[1] - first], first=first)
    assert [str(o) for o in out] == [str(o) for o in play(counts)]


@given(st.integers(0, 400), flags)
@settings(max_examples=30)
def test_a_stream_may_begin_anywhere(first: int, at: list[float]) -> None:
    out = play(recording(80, at), first=first)
    seen = [o for o in out if isinstance(o, Screening)]
    assert seen[0].first <= first <= seen[0].last
    assert all(s.first >= first for s in parts(out))


def test_a_rate_off_the_grid_is_counted_in_samples() -> None:
    fs = 497.5
    counts = np.full((1, round(60 * fs)), QUIET, dtype=np.int32)
    segmenter = Segmenter(screen)
    out = segmenter.push(block(counts, 0, fs))
    firsts = [o.first for o in out if isinstance(o, Screening)]
    assert firsts == [round(k * 5 * fs) for k in range(len(firsts))]
