"""The rules, on made beats: what each needs, where it begins, and that the dark never counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import accumulate

import numpy as np
import pytest

from cloud.rules import Beat, Dark, Spell, forms, patterns, pauses, rates, runs, stretches

FS = 100.0


def beats_of(labels: str, rr_s: float | list[float] = 0.8, begin: int = 100) -> list[Beat]:
    steps = [rr_s] * (len(labels) - 1) if isinstance(rr_s, float) else rr_s
    at = accumulate((round(s * FS) for s in steps), initial=begin)
    return [
        Beat(r=r, label=label, first=r - 6, last=r + 8, readable=True, segment_id="s")
        for r, label in zip(at, labels, strict=True)
    ]


def dark(first: int, last: int, why: str = "missing") -> Dark:
    return Dark(first=first, last=last, why=why, segment_id="s")


def standing(beats: list[Beat], decided: int, *darks: Dark, ended: bool = False) -> list[Spell]:
    return pauses(beats, darks, FS, begin=0, decided=decided, segment_id="s", ended=ended)


@pytest.mark.parametrize(
    ("labels", "rr_s", "found"),
    [
        ("NVVN", 0.4, []),
        ("NVVVN", 0.4, ["VT"]),
        ("NVVVN", 0.8, ["V"]),
        ("NVVSVN", 0.4, []),
        ("VVVNVVVV", 0.4, ["VT", "VT"]),
    ],
)
def test_three_ventricular_beats_in_a_row_are_a_run_and_a_tachycardia_over_100(
    labels: str, rr_s: float, found: list[str]
) -> None:
    assert [spell.label for spell in runs(beats_of(labels, rr_s), [], FS, ended=True)] == found


def test_a_run_spans_its_first_onset_to_its_last_offset_and_knows_its_rate() -> None:
    (run,) = runs(beats_of("NVVVN", 0.4), [], FS, ended=True)
    assert (run.first, run.last, run.marks) == (134, 228, (140, 180, 220))
    assert run.evidence["rate_bpm"] == 150.0


def test_a_run_at_the_end_of_what_is_decided_is_open_until_another_beat_or_the_end() -> None:
    assert [s.open for s in runs(beats_of("NVVV", 0.4), [], FS, ended=False)] == [True]
    assert [s.open for s in runs(beats_of("NVVVN", 0.4), [], FS, ended=False)] == [False]
    assert [s.open for s in runs(beats_of("NVVV", 0.4), [], FS, ended=True)] == [False]


def test_a_run_does_not_cross_what_cannot_be_read() -> None:
    row = beats_of("VVVV", 0.4)
    assert runs(row, [dark(150, 170)], FS, ended=True) == []
    assert runs(row, [dark(190, 195)], FS, ended=True)[0].marks == (100, 140, 180)
    assert runs(row, [dark(230, 240)], FS, ended=True)[0].marks == (100, 140, 180, 220)


@pytest.mark.parametrize(
    ("labels", "found"),
    [("NVNVN", []), ("NVNVNVN", ["B"]), ("NNVNNVNNVN", ["T"]), ("NVNVNNVN", []), ("VNVNVNNVNNV", ["B", "T"])],
)
def test_every_second_or_third_beat_ventricular_three_times_is_a_pattern(
    labels: str, found: list[str]
) -> None:
    assert [spell.label for spell in patterns(beats_of(labels), [], ended=True)] == found


def test_a_pattern_may_go_on_until_a_beat_contradicts_it() -> None:
    assert [s.open for s in patterns(beats_of("VNVNVN"), [], ended=False)] == [True]
    assert [s.open for s in patterns(beats_of("VNVNVNN"), [], ended=False)] == [False]


def test_a_pause_needs_two_and_a_half_seconds_from_beat_to_beat() -> None:
    beats = beats_of("NNNN", [0.8, 2.49, 2.5])
    (pause,) = standing(beats, beats[-1].r)
    assert (pause.first, pause.last, pause.open) == (beats[2].r, beats[3].r, False)
    assert pause.evidence["rr_s"] == 2.5


@pytest.mark.parametrize("why", ["missing", "lead off", "noise", "saturated"])
def test_no_pause_is_found_where_beats_could_not_have_been_seen(why: str) -> None:
    beats = beats_of("NN", [4.0])
    assert standing(beats, beats[-1].r, dark(300, 310, why)) == []


def test_a_flat_stretch_with_the_leads_on_is_asystole_and_no_excuse() -> None:
    beats = beats_of("NN", [4.0])
    assert len(standing(beats, beats[-1].r, dark(300, 400, "flat"))) == 1


def test_a_standstill_is_said_after_three_seconds_without_waiting_for_the_next_beat() -> None:
    beats = beats_of("NN")
    assert standing(beats, beats[-1].r + 299) == []
    (pause,) = standing(beats, beats[-1].r + 300)
    assert (pause.first, pause.open) == (beats[-1].r, True)
    later = standing([*beats, *beats_of("N", begin=beats[-1].r + 450)], beats[-1].r + 600)
    assert (later[0].first, later[0].open, later[0].evidence["rr_s"]) == (pause.first, False, 4.5)


def test_an_episode_without_any_beat_is_a_standstill_from_its_beginning() -> None:
    (pause,) = standing([], 500)
    assert (pause.first, pause.last, pause.open) == (0, 500, True)


@pytest.mark.parametrize(("rr_s", "label"), [(1.6, "BRADY"), (0.44, "TACHY"), (1.45, None), (0.48, None)])
def test_the_mean_rate_over_30_s_decides_slow_and_fast(rr_s: float, label: str | None) -> None:
    found = rates(beats_of("N" * 90, rr_s), [], FS, slow=40, fast=130, ended=True)
    assert [spell.label for spell in found] == ([label] if label else [])


def test_a_rate_needs_30_s_without_a_hole() -> None:
    fast = beats_of("N" * 69, 0.44)  # 29.9 s
    assert rates(fast, [], FS, slow=40, fast=130, ended=True) == []
    longer = beats_of("N" * 120, 0.44)
    middle = (longer[0].r + longer[-1].r) // 2
    assert rates(longer, [dark(middle, middle + 5)], FS, slow=40, fast=130, ended=True) == []


def test_a_stretch_is_bridged_over_short_dips_and_dropped_where_it_is_short() -> None:
    tokens = np.zeros(60, dtype=np.float32)
    tokens[10:20] = tokens[23:33] = 1.0
    tokens[50:53] = 1.0
    found = stretches(tokens, threshold=0.5, average=3, least=6, bridge=6, ended=True)
    assert [(first, last, going_on) for first, last, _, going_on in found] == [(10, 32, False)]


def test_what_a_rule_closed_stays_closed_whatever_comes_after_it() -> None:
    generator = np.random.default_rng(7)
    for _ in range(50):
        row = beats_of("".join(generator.choice(list("NNVVS"), 40)), 0.5)
        closed: set[tuple[str, int, int]] = set()
        for n in range(1, len(row) + 1):
            spells = runs(row[:n], [], FS, ended=False) + patterns(row[:n], [], ended=False)
            now = {(s.label, s.first, s.last) for s in spells if not s.open}
            assert closed <= now
            closed = now


def shaped(form: str, count: int, others: int = 0) -> list[Beat]:
    rows = beats_of("N" * (count + others))
    return [replace(beat, form=form if i < count else "PLAIN") for i, beat in enumerate(rows)]


@pytest.mark.parametrize(
    ("count", "others", "told"), [(10, 0, True), (9, 0, False), (6, 4, True), (5, 5, False)]
)
def test_pacing_is_told_once_from_three_in_five_of_ten_beats(count: int, others: int, told: bool) -> None:
    spells = forms(beats := shaped("PACED", count, others), ended=True)
    assert [spell.label for spell in spells] == ["PACED"] * told
    if told:
        assert (spells[0].first, spells[0].last) == (beats[0].first, beats[count - 1].last)
        assert not spells[0].open


def test_ventricular_and_unreadable_beats_have_no_say_in_the_form() -> None:
    beats = [replace(beat, label="V", form="PACED") for beat in shaped("PACED", 20)]
    assert forms(beats, ended=True) == []
    assert forms([replace(beat, readable=False) for beat in shaped("PACED", 20)], ended=True) == []
