from __future__ import annotations

from models.evaluation.beats import match_beats


def test_beats_within_150_ms_match_and_others_do_not() -> None:
    matches = match_beats([100, 200, 300], [114, 216, 300], fs=100)
    assert matches.found_of.tolist() == [0, -1, 2]
    assert matches.truth_of.tolist() == [0, -1, 2]


def test_a_beat_matches_once_and_the_closest_pair_wins() -> None:
    matches = match_beats([100, 110], [108], fs=100)
    assert matches.found_of.tolist() == [-1, 0]
    assert match_beats([100], [95, 101], fs=100).truth_of.tolist() == [-1, 0]


def test_no_beats_at_all_match_nothing() -> None:
    assert match_beats([], [5], fs=100).truth_of.tolist() == [-1]
    assert match_beats([5], [], fs=100).found_of.tolist() == [-1]
