from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.anyecg.batches import Noise
from models.dataset.tracks import AF, NOT_AF, NOT_VF, OTHER_RHYTHM, UNKNOWN, VF, VT, F, N, S, Track, V
from models.screener import batches
from models.screener.batches import WINDOW, Sampler, targets
from models.screener.labels import LABELS

MakeTrack = Callable[..., Track]
TOKENS = 40
S_TOKEN, V_TOKEN, AFIB_TOKEN, VF_TOKEN, RHYTHM_TOKEN = range(len(LABELS))


def paced_at(rate: float) -> np.ndarray:
    """Beats of half a minute at this rate."""
    return np.arange(0.2, 30, 60 / rate)


def for_seconds(code: int, seconds: float, otherwise: int = 0) -> np.ndarray:
    """Half a minute of `otherwise` with `code` from 1 s on."""
    rhythm = np.full(30 * 128, otherwise)
    rhythm[128 : round((1 + seconds) * 128)] = code
    return rhythm


def abnormal(track: Track, start: float = 0.0, stretch: float = 1.0) -> float:
    return targets(track, start, WINDOW, stretch).abnormal


def one(kind: int) -> dict[str, object]:
    beats = np.arange(0.4, 30, 0.8)
    return {"beats": beats, "kinds": np.where(np.arange(len(beats)) == 5, kind, N)}


def with_pause(seconds: float) -> np.ndarray:
    beats = np.arange(0.4, 30, 0.8)
    return np.concatenate([beats[:5], beats[5:] - beats[5] + beats[4] + seconds])


@pytest.mark.parametrize("source", ["mitdb", "svdb"])
@pytest.mark.parametrize("kind", [S, V, F])
def test_a_premature_or_fusion_beat_makes_a_window_abnormal(
    make_track: MakeTrack, kind: int, source: str
) -> None:
    track = make_track(seconds=30, source=source, **one(kind))
    assert abnormal(track) == 1
    assert abnormal(track, start=4.0) == 1  # at 4.4 s
    assert abnormal(track, start=4.5) == 0


@pytest.mark.parametrize("code", [OTHER_RHYTHM, AF, VF, VT])
def test_two_seconds_of_another_rhythm_make_a_window_abnormal(make_track: MakeTrack, code: int) -> None:
    """Pre-excitation, bigeminy, block and nodal rhythm are OTHER_RHYTHM."""
    assert abnormal(make_track(seconds=30, rhythm=for_seconds(code, 2.0))) == 1
    assert abnormal(make_track(seconds=30, rhythm=for_seconds(code, 1.5))) == 0


@pytest.mark.parametrize(("pause", "wanted"), [(2.5, 1), (2.4, 0), (4.0, 1)])
def test_a_pause_of_two_and_a_half_seconds_makes_a_window_abnormal(
    make_track: MakeTrack, pause: float, wanted: int
) -> None:
    assert abnormal(make_track(seconds=30, beats=with_pause(pause))) == wanted


@pytest.mark.parametrize(("rate", "wanted"), [(45, 1), (52, 0), (60, 0), (100, 0), (118, 0), (130, 1)])
def test_a_mean_rate_outside_50_to_120_makes_a_window_abnormal(
    make_track: MakeTrack, rate: float, wanted: int
) -> None:
    assert abnormal(make_track(seconds=30, beats=paced_at(rate))) == wanted


def test_a_window_played_faster_is_judged_as_it_is_heard(make_track: MakeTrack) -> None:
    track = make_track(seconds=30, beats=paced_at(100))
    assert abnormal(track, stretch=1.0) == 0
    assert abnormal(track, stretch=1.3) == 1


def test_asystole_is_abnormal(make_track: MakeTrack) -> None:
    assert abnormal(make_track(seconds=30, beats=[])) == 1
    assert abnormal(make_track(seconds=30, beats=[5.0])) == 1


def test_paced_beats_and_bundle_branch_block_alone_are_normal(make_track: MakeTrack) -> None:
    """Paced beats have no AAMI class, blocked ones are N."""
    beats = np.arange(0.4, 30, 0.8)
    assert abnormal(make_track(seconds=30, beats=beats, kinds=[UNKNOWN] * len(beats), morphology=3)) == 0
    assert abnormal(make_track(seconds=30, morphology=1)) == 0


@pytest.mark.parametrize(
    ("source", "rhythm", "wanted"),
    [
        ("cinc2017", N, 0),
        ("cinc2017", AF, 1),
        ("cinc2017", NOT_AF, np.nan),  # "other": something, or nothing
        ("cpsc2021", NOT_AF, np.nan),
        ("afpdb", NOT_AF, np.nan),
        ("afpdb", AF, 1),
        ("cudb-vf", NOT_VF, np.nan),
        ("cudb-vf", VF, 1),
        ("aftdb", UNKNOWN, np.nan),
    ],
)
def test_a_window_is_judged_as_far_as_its_database_says(
    make_track: MakeTrack, source: str, rhythm: int, wanted: float
) -> None:
    beats = np.arange(0.4, 30, 0.8)
    track = make_track(seconds=30, source=source, beats=beats, kinds=[UNKNOWN] * len(beats), rhythm=rhythm)
    assert abnormal(track) == pytest.approx(wanted, nan_ok=True)


def test_a_beat_marks_its_token_and_the_neighbour_within_60_ms(make_track: MakeTrack) -> None:
    """3.0 s is the edge of tokens 11 and 12; 4.12 s lies inside token 16; 4.95 s is 50 ms from token 20."""
    track = make_track(seconds=30, beats=[0.5, 3.0, 4.12, 4.95, 6.0], kinds=[N, V, S, F, N])
    found = targets(track, 0.0, WINDOW)
    assert found.tokens.shape == found.known.shape == (TOKENS, len(LABELS))
    assert np.flatnonzero(found.tokens[:, V_TOKEN]).tolist() == [11, 12, 19, 20]
    assert np.flatnonzero(found.tokens[:, S_TOKEN]).tolist() == [16]
    later = targets(track, 1.0, WINDOW)
    assert np.flatnonzero(later.tokens[:, V_TOKEN]).tolist() == [7, 8, 15, 16]
    faster = targets(track, 0.9, WINDOW, 2.0)
    assert np.flatnonzero(faster.tokens[:, S_TOKEN]).tolist() == [6]  # at 1.61 s


def test_rhythm_marks_the_tokens_it_lasts(make_track: MakeTrack) -> None:
    found = targets(make_track(seconds=30, rhythm=for_seconds(AF, 3.0)), 0.0, WINDOW)
    lasts = list(range(4, 16))
    assert np.flatnonzero(found.tokens[:, AFIB_TOKEN]).tolist() == lasts
    assert np.flatnonzero(found.tokens[:, RHYTHM_TOKEN]).tolist() == lasts
    assert not found.tokens[:, [S_TOKEN, V_TOKEN, VF_TOKEN]].any()


def test_classes_carry_no_weight_in_fibrillation_of_the_ventricles(make_track: MakeTrack) -> None:
    found = targets(make_track(seconds=30, rhythm=for_seconds(VF, 3.0)), 0.0, WINDOW)
    assert np.flatnonzero(found.tokens[:, VF_TOKEN]).tolist() == list(range(4, 16))
    assert np.flatnonzero(found.known[:, S_TOKEN] == 0).tolist() == list(range(4, 16))
    assert (found.known[:, S_TOKEN] == found.known[:, V_TOKEN]).all()
    assert (found.known[:, 2:] == 1).all()


@pytest.mark.parametrize(
    ("source", "rhythm", "known"),
    [
        ("mitdb", 0, [1, 1, 1, 1, 1]),
        ("svdb", NOT_VF, [1, 1, 0, 1, 0]),
        ("cpsc2021", NOT_AF, [0, 0, 1, 1, 0]),
        ("cpsc2021", AF, [0, 0, 1, 1, 1]),
        ("cinc2017", 0, [0, 0, 1, 1, 1]),
        ("cudb-vf", UNKNOWN, [0, 0, 0, 0, 0]),
    ],
)
def test_tokens_weigh_what_their_database_says(
    make_track: MakeTrack, source: str, rhythm: int, known: list[int]
) -> None:
    found = targets(make_track(seconds=30, source=source, rhythm=rhythm), 0.0, WINDOW)
    assert (found.known == np.asarray(known)).all()


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(batches, "BATCH", 12)
    return 12


def test_a_batch_is_a_function_of_seed_and_step(cohort: list[Track], noise: Noise, few: int) -> None:
    one, two = Sampler(cohort, noise), Sampler(cohort, noise)
    two.batch(0, 1)
    arrays = one.batch(0, 5)
    assert [a.tobytes() for a in arrays] == [a.tobytes() for a in two.batch(0, 5)]
    assert one.batch(0, 6)[0].tobytes() != arrays[0].tobytes()
    assert one.batch(1, 5)[0].tobytes() != arrays[0].tobytes()


def test_batches_are_what_the_network_takes(cohort: list[Track], noise: Noise, few: int) -> None:
    leads, wished, judged = set(), [], []
    for step in range(8):
        x, lead, gain, tokens, known, window, window_known = Sampler(cohort, noise).batch(0, step)
        leads.add(x.shape[1])
        assert x.shape == (few, lead.shape[1], WINDOW)
        assert lead.shape == gain.shape == (few, x.shape[1])
        assert tokens.shape == known.shape == (few, TOKENS, len(LABELS))
        assert window.shape == window_known.shape == (few,)
        assert lead.dtype == np.int64
        assert {a.dtype for a in (x, gain, tokens, known, window, window_known)} == {np.dtype(np.float32)}
        assert all(np.isfinite(a).all() for a in (x, gain, window))
        assert set(np.unique(tokens)) <= {0, 1}
        wished += window[window_known > 0].tolist()
        judged += window_known.tolist()
    assert leads == {1, 2}
    assert 0.3 < np.mean(wished) < 0.9
    assert np.mean(judged) > 0.7


def test_a_class_of_window_that_is_scarce_is_looked_for(
    make_track: MakeTrack, noise: Noise, few: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a record in fibrillation a fifth of the time; up to six tries find a wished window more often."""
    monkeypatch.setattr(batches, "RARE_SHARE", 0.0)
    rhythm = np.where(np.arange(600 * 128) < 120 * 128, AF, 0)
    sampler = Sampler([make_track(seconds=600, rhythm=rhythm)], noise)
    wished = np.concatenate([sampler.batch(0, step)[5] for step in range(10)])
    assert 0.28 < wished.mean() < 0.5


def test_a_third_of_the_windows_lies_over_a_rare_beat(make_track: MakeTrack, noise: Noise, few: int) -> None:
    beats = np.arange(0.4, 900, 0.8)
    track = make_track(seconds=900, beats=beats, kinds=np.where(np.arange(len(beats)) == 700, V, N))
    sampler = Sampler([track], noise)
    held = np.concatenate([sampler.batch(0, step)[3][:, :, V_TOKEN].any(axis=1) for step in range(8)])
    assert 0.2 < held.mean() < 0.5
