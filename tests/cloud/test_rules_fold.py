"""Whatever comes later, what a rule has closed stays: the cloud tells it once and never takes it back."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.rules import Beat, Dark, Spell, irregularity, patterns, pauses, rates, runs, stretches

FS = 100.0
Said = set[tuple[str, int, int]]


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Beat], list[Dark]]:
    """Up to a minute and a half of beats in any order and rhythm, and what of it cannot be read."""
    count = draw(st.integers(2, 120))
    labels = draw(st.lists(st.sampled_from("NNVVS"), min_size=count, max_size=count))
    pace = draw(st.sampled_from([0.4, 0.46, 0.8, 1.5, 1.6]))
    steps = draw(st.lists(st.sampled_from([pace, pace, pace, 0.3, 2.6, 4.0]), min_size=count, max_size=count))
    at = list(accumulate(round(s * FS) for s in steps))
    starts = draw(st.lists(st.integers(0, at[-1]), max_size=3))
    whys = draw(st.lists(st.sampled_from(["missing", "noise", "flat", "lead off"]), min_size=3, max_size=3))
    darks = [
        Dark(first=first, last=first + 400, why=why, segment_id="s")
        for first, why in zip(sorted(starts), whys, strict=False)
    ]
    beats = [
        Beat(
            r=r,
            label=label,
            first=r - 6,
            last=r + 8,
            readable=not any(d.first <= r <= d.last for d in darks),
            segment_id="s",
        )
        for r, label in zip(at, labels, strict=True)
    ]
    return beats, darks


def closed_at(beats: list[Beat], darks: list[Dark], decided: int) -> list[Spell]:
    """All rules at a moment: beats up to `decided`, darks that had begun."""
    seen = [beat for beat in beats if beat.r <= decided]
    dark = [d for d in darks if d.first <= decided]
    return [
        *runs(seen, dark, FS, ended=False),
        *patterns(seen, dark, ended=False),
        *pauses(seen, dark, FS, begin=0, decided=decided, segment_id="s", ended=False),
        *rates(seen, dark, FS, slow=40, fast=130, ended=False),
    ]


@settings(max_examples=150)
@given(stream=streams())
def test_more_beats_never_change_a_spell_that_was_closed(stream: tuple[list[Beat], list[Dark]]) -> None:
    beats, darks = stream
    closed: Said = set()
    for decided in [*(beat.r for beat in beats[::3]), beats[-1].r + 1000]:
        spells = closed_at(beats, darks, decided)
        now = {(s.label, s.first, s.last) for s in spells if not s.open}
        assert closed <= now
        growing = {(s.label, s.first) for s in spells if s.open}
        assert not growing & {(label, first) for label, first, _ in now}
        closed = now


@settings(max_examples=150)
@given(stream=streams(), extra=st.integers(1, 3000))
def test_the_end_closes_everything_and_adds_nothing(
    stream: tuple[list[Beat], list[Dark]], extra: int
) -> None:
    beats, darks = stream
    decided = beats[-1].r + extra
    ended = [
        *runs(beats, darks, FS, ended=True),
        *patterns(beats, darks, ended=True),
        *pauses(beats, darks, FS, begin=0, decided=decided, segment_id="s", ended=True),
        *rates(beats, darks, FS, slow=40, fast=130, ended=True),
    ]
    assert not any(spell.open for spell in ended)
    going_on = closed_at(beats, darks, decided)
    assert {(s.label, s.first, s.last) for s in ended} == {(s.label, s.first, s.last) for s in going_on}


@settings(max_examples=150)
@given(
    tokens=st.lists(st.sampled_from([0.0, 0.2, 0.6, 1.0]), min_size=1, max_size=150),
    average=st.integers(1, 5),
    bridge=st.integers(1, 8),
)
def test_more_tokens_never_change_a_stretch_that_was_closed(
    tokens: list[float], average: int, bridge: int
) -> None:
    row = np.array(tokens, dtype=np.float32)
    closed: set[tuple[int, int]] = set()
    for n in range(1, len(row) + 1):
        found = stretches(row[:n], threshold=0.5, average=average, least=3, bridge=bridge, ended=False)
        now = {(first, last) for first, last, _, going_on in found if not going_on}
        assert closed <= now
        closed = now


def test_a_slow_rate_that_pauses_for_a_moment_is_one_stretch() -> None:
    """Between two 30 s that overlap nothing is closed, though the newest 30 s were not slow."""
    steps = [1.6] * 25 + [0.5] * 12 + [1.6] * 30
    at = list(accumulate((round(s * FS) for s in steps), initial=0))
    beats = [Beat(r=r, label="N", first=r, last=r, readable=True, segment_id="s") for r in at]
    told: dict[int, set[int]] = {}
    for n in range(1, len(beats) + 1):
        for spell in rates(beats[:n], [], FS, slow=40, fast=130, ended=False):
            if not spell.open:
                told.setdefault(spell.first, set()).add(spell.last)
    assert all(len(lasts) == 1 for lasts in told.values())


def test_a_slow_heart_is_slow_although_most_of_its_signal_is_flat() -> None:
    at = [round(i * 2.0 * FS) for i in range(30)]
    flat = [Dark(first=0, last=at[-1] + 100, why="flat", segment_id="s")]
    beats = [Beat(r=r, label="N", first=r, last=r, readable=False, segment_id="s") for r in at]
    (slow,) = rates(beats, flat, FS, slow=40, fast=130, ended=False)
    assert (slow.label, slow.evidence["rate_bpm"]) == ("BRADY", 30.0)
    noise = [Dark(first=0, last=at[-1] + 100, why="noise", segment_id="s")]
    assert rates(beats, noise, FS, slow=40, fast=130, ended=False) == []


def test_a_standstill_at_the_beginning_is_said_when_it_is_over_too() -> None:
    def beat(r: int) -> Beat:
        return Beat(r=r, label="N", first=r, last=r, readable=True, segment_id="b")

    def found(*beats: Beat, decided: int) -> list[tuple[int, int, bool]]:
        spells = pauses(list(beats), [], FS, begin=50, decided=decided, segment_id="a", ended=False)
        assert all(spell.segment_id == "a" for spell in spells)
        return [(spell.first, spell.last, spell.open) for spell in spells]

    assert found(decided=349) == []
    assert found(decided=400) == [(50, 400, True)]
    assert found(beat(450), decided=500) == [(50, 450, False)]
    assert found(beat(349), decided=400) == []


@pytest.mark.parametrize(("steps", "expected"), [([0.8] * 9, 0.0), ([0.6, 1.0] * 5, 0.5), ([0.8] * 7, None)])
def test_irregularity_is_the_change_from_beat_to_beat_over_the_interval(
    steps: list[float], expected: float | None
) -> None:
    at = list(accumulate((round(s * FS) for s in steps), initial=0))
    beats = [Beat(r=r, label="N", first=r, last=r, readable=True, segment_id="s") for r in at]
    assert irregularity(beats, [], 0, at[-1]) == (pytest.approx(expected) if expected else expected)


def test_intervals_over_a_hole_say_nothing_about_irregularity() -> None:
    at = [*range(0, 800, 80), *range(5033, 5833, 80)]
    beats = [Beat(r=r, label="N", first=r, last=r, readable=True, segment_id="s") for r in at]
    hole = [Dark(first=900, last=4900, why="missing", segment_id="s")]
    assert irregularity(beats, hole, 0, at[-1]) == 0.0
    alone = [Dark(first=r + 40, last=r + 41, why="missing", segment_id="s") for r in at]
    assert irregularity(beats, alone, 0, at[-1]) is None


def one(r: int) -> Beat:
    return Beat(r=r, label="N", first=r, last=r, readable=True, segment_id="s")


@pytest.mark.parametrize("why", ["missing", "noise", "saturated", "lead off"])
@pytest.mark.parametrize(
    ("dark", "found"),
    [
        ((200, 399), [(400, 1000, True)]),  # a fall, then nothing
        ((401, 699), [(100, 400, False), (700, 1000, True)]),
        ((401, 1000), [(100, 400, False)]),  # nothing, then compressions
        ((150, 750), []),
        ((350, 750), []),
    ],
)
def test_a_standstill_beside_what_cannot_be_read_is_one(
    why: str, dark: tuple[int, int], found: list[tuple[int, int, bool]]
) -> None:
    darks = [Dark(first=dark[0], last=dark[1], why=why, segment_id="d")]
    spells = pauses([one(20), one(100)], darks, FS, begin=0, decided=1000, segment_id="s", ended=False)
    assert [(s.first, s.last, s.open) for s in spells] == found
    assert all(s.segment_id == ("s" if s.first == 100 else "d") for s in spells)


def test_a_pause_between_two_beats_with_a_hole_in_it_is_no_pause_of_two_and_a_half_seconds() -> None:
    hole = [Dark(first=390, last=395, why="missing", segment_id="s")]
    assert (
        pauses([one(100), one(390 + 290)], hole, FS, begin=0, decided=700, segment_id="s", ended=True) == []
    )
    assert len(pauses([one(100), one(360)], hole, FS, begin=0, decided=400, segment_id="s", ended=True)) == 1
