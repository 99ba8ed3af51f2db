from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.anyecg import sequences
from models.anyecg.batches import Noise
from models.anyecg.net import BeatNet
from models.anyecg.rr import rr_numbers
from models.anyecg.sequences import LENGTHS, SHORT, BeatSampler, IntervalSampler, _labels
from models.anyecg.shapes import ABSOLUTE, WIDTH
from models.dataset.tracks import LBBB, UNKNOWN, F, N, S, Track, V

MakeTrack = Callable[..., Track]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "BEATS_PER_BATCH", 72)


def test_a_batch_of_beats_is_a_function_of_seed_and_step(cohort: list[Track], noise: Noise) -> None:
    one, two = BeatSampler(cohort, noise), BeatSampler(cohort, noise)
    two.batch(0, 1)
    arrays = one.batch(0, 5)
    assert [a.tobytes() for a in arrays] == [a.tobytes() for a in two.batch(0, 5)]
    assert one.batch(0, 6)[0].tobytes() != arrays[0].tobytes()
    assert one.batch(1, 5)[0].tobytes() != arrays[0].tobytes()


def test_batches_are_what_the_classifier_takes(cohort: list[Track], noise: Noise) -> None:
    sampler, lengths, leads = BeatSampler(cohort, noise), set(), set()
    for step in range(26):
        shapes, numbers, rr, kinds, known, morphology, told = sampler.batch(0, step)
        rows, length, count = shapes.shape[:3]
        lengths.add(length)
        leads.add(count)
        assert rows == 72 // length
        assert shapes.shape == (rows, length, count, 2, WIDTH)
        assert numbers.shape == (rows, length, count, BeatNet.SHAPE)
        assert rr.shape == (rows, length, BeatNet.RR)
        assert {a.shape for a in (kinds, known, morphology, told)} == {(rows, length)}
        assert {a.dtype for a in (shapes, numbers, rr, known, told)} == {np.dtype(np.float32)}
        assert kinds.dtype == morphology.dtype == np.int64
        assert all(np.isfinite(a).all() for a in (shapes, numbers, rr, known))
    assert lengths == {length for length, _ in LENGTHS}
    assert leads == {1, 2}


def test_short_sequences_also_come_from_clinical_records_for_the_morphology_of_whole_beats(
    make_track: MakeTrack, noise: Noise
) -> None:
    rhythm = make_track(kinds=[V] * 75, morphology=UNKNOWN)
    clinical = make_track(source="clinical", record="b", kinds=[UNKNOWN] * 75, morphology=LBBB)
    sampler, shares = BeatSampler([rhythm, clinical], noise), []
    for step in range(30):
        shapes, _, _, kinds, known, morphology, told = sampler.batch(0, step)
        blocked = ~known.any(axis=1)
        absolute = shapes[:, :, :, 0].any(axis=(1, 2, 3))
        assert (told.astype(bool) == (blocked & absolute)[:, None]).all()
        assert (morphology[told > 0] == LBBB).all()
        assert (known.astype(bool) == ~blocked[:, None]).all()
        assert (kinds[~blocked] == V).all()
        assert kinds.shape[1] == SHORT or not blocked.any()
        if kinds.shape[1] == SHORT:
            shares.append(blocked.mean())
    assert 0.3 < np.mean(shares) < 0.7


def test_some_sequences_know_a_beat_only_by_how_it_differs(cohort: list[Track], noise: Noise) -> None:
    relative = []
    for step in range(8):
        shapes, numbers, *_ = BeatSampler(cohort, noise).batch(2, step)
        dark = ~shapes[:, :, :, 0].any(axis=(1, 2, 3))
        assert (~numbers[:, :, :, list(ABSOLUTE)].any(axis=(1, 2, 3)) == dark).all()
        assert shapes[:, :, :, 1].any(axis=(1, 2, 3)).all()
        relative += dark.tolist()
    assert 0.1 < np.mean(relative) < 0.7


def test_half_the_sequences_hold_a_rare_beat(make_track: MakeTrack, noise: Noise) -> None:
    beats = np.arange(0.4, 900, 0.8)
    track = make_track(seconds=900, beats=beats, kinds=np.where(np.arange(len(beats)) == 700, S, N))
    held = [
        bool(row.any()) for step in range(10) for row in BeatSampler([track], noise).batch(0, step)[3] == S
    ]
    assert 0.35 < np.mean(held) < 0.75


def test_labels_weigh_what_somebody_said() -> None:
    kinds = np.asarray([N, S, V, F, UNKNOWN], dtype=np.int8)
    wanted, weight, morphology, told = _labels(kinds, np.asarray([0, LBBB, 2, UNKNOWN, 3], dtype=np.int8))
    assert wanted.tolist() == [N, S, V, V, 0]
    assert weight.tolist() == [1, 1.5, 1, 4, 0]
    assert morphology.tolist() == [0, LBBB, 2, 0, 3]
    assert told.tolist() == [1, 1, 1, 0, 1]


@pytest.fixture(scope="module")
def intervals() -> list[tuple[np.ndarray, np.ndarray]]:
    rng, records = np.random.default_rng(0), []
    for count in (40, 200, 300):
        kinds = np.where(rng.random(count) < 0.02, S, N).astype(np.int8)
        kinds[::50] = UNKNOWN
        records.append((np.cumsum(rng.uniform(0.6, 1.0, count)), kinds))
    return records


def test_intervals_alone_are_a_function_of_seed_and_step(
    intervals: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    one, two = IntervalSampler(intervals), IntervalSampler(intervals)
    for mine, its in zip(one.batch(4, 24, 0, 3, 1), two.batch(4, 24, 0, 3, 1), strict=True):
        assert mine.tobytes() == its.tobytes()
    assert one.batch(4, 24, 0, 4, 1)[0].tobytes() != one.batch(4, 24, 0, 3, 1)[0].tobytes()


def test_intervals_alone_carry_kinds_and_weights_of_their_beats(
    intervals: list[tuple[np.ndarray, np.ndarray]],
) -> None:
    rr, kinds, known = IntervalSampler(intervals).batch(6, 72, 0, 0, 1)
    assert rr.shape == (6, 72, BeatNet.RR)
    assert kinds.shape == known.shape == (6, 72)
    assert set(kinds.ravel().tolist()) == {N, S}
    assert set(known[kinds == S].tolist()) == {1.5}
    assert set(known[kinds == N].tolist()) == {0, 1}


def test_a_record_of_few_beats_is_left_out() -> None:
    short, long = np.arange(50) * 0.5, np.arange(100) * 1.0
    rr, *_ = IntervalSampler([(short, np.zeros(50, np.int8)), (long, np.zeros(100, np.int8))]).batch(20, 8, 0)
    usual = rr_numbers(long[:8])[0, 0]
    assert np.abs(rr[:, :, 0] - usual).max() < 0.5  # half a second would be 0.69 below
