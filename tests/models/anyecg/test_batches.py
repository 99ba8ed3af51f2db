from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.anyecg import batches
from models.anyecg.batches import (
    BEAT_SHARES,
    LENGTH,
    RHYTHM_SHARES,
    Noise,
    Sampler,
    beats_wanted,
    leads_of,
    muscle,
    placed,
    power,
    rare_beat,
    record_odds,
    rhythm_of,
    rhythm_wanted,
    seen,
    spoilt,
)
from models.anyecg.labels import LEAD_NAMES, RHYTHMS, STEP, TOKEN
from models.dataset.tracks import AF, NOT_AF, NOT_VF, OTHER_RHYTHM, UNKNOWN, VF, VT, F, N, S, Track, V
from models.signals.conditioning import NETWORK_FS

MakeTrack = Callable[..., Track]
STEPS = LENGTH // STEP
BEATS = [0.5, 1.5, 3.0, 4.0, 5.0]
FEW = 3  # stretches in a batch


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("shares", "wanted"), [(BEAT_SHARES, beats_wanted), (RHYTHM_SHARES, rhythm_wanted)])
def test_a_batch_is_a_function_of_seed_and_step(
    cohort: list[Track], noise: Noise, shares: dict[str, float], wanted: batches.Wanted
) -> None:
    one, two = Sampler(cohort, noise, shares, wanted), Sampler(cohort, noise, shares, wanted)
    two.batch(FEW, 0, 1)  # what was drawn before does not matter
    arrays = one.batch(FEW, 0, 5)
    for mine, its in zip(arrays, two.batch(FEW, 0, 5), strict=True):
        assert mine.dtype == its.dtype
        assert mine.tobytes() == its.tobytes()
    for other in ((0, 6), (1, 5)):
        assert one.batch(FEW, *other)[0].tobytes() != arrays[0].tobytes()


def test_a_batch_is_what_the_networks_take(cohort: list[Track], noise: Noise) -> None:
    counts = set()
    for step in range(4):
        x, lead, gain, *dense = Sampler(cohort, noise, BEAT_SHARES, beats_wanted).batch(FEW, 0, step)
        counts.add(x.shape[1])
        assert x.shape == (FEW, lead.shape[1], LENGTH)
        assert lead.shape == gain.shape == (FEW, x.shape[1])
        assert [a.dtype for a in (x, lead, gain)] == [np.float32, np.int64, np.float32]
        assert all(np.isfinite(a).all() for a in (x, gain, *dense))
        assert [a.shape for a in dense] == [(FEW, STEPS)] * 4
        assert [a.dtype for a in dense] == [np.float32, np.float32, np.int64, np.float32]
    assert counts == {1, 2}
    *_, rr, wanted, known = Sampler(cohort, noise, RHYTHM_SHARES, rhythm_wanted).batch(FEW, 0, 0)
    assert rr.shape == (FEW, LENGTH // TOKEN, 6)
    assert wanted.shape == known.shape == (FEW, LENGTH // TOKEN // 2, len(RHYTHMS))
    assert rr.dtype == wanted.dtype == known.dtype == np.float32


def test_databases_without_a_record_are_not_drawn(make_track: MakeTrack, noise: Noise) -> None:
    strip = make_track(source="svdb", kinds=[S] * 75, rhythm=NOT_VF)
    *_, beat, known = Sampler([strip], noise, BEAT_SHARES, beats_wanted).batch(FEW, 0, 0)
    assert set(beat[known > 0].tolist()) == {S}


def test_a_ventricular_beat_marks_its_steps(make_track: MakeTrack, rng: np.random.Generator) -> None:
    """The V at 3.0 s lies 2.0 s into a stretch from 1.0 s: step 64 begins there."""
    track = make_track(beats=BEATS, kinds=[N, N, V, N, S])
    peak, known_peak, beat, known = beats_wanted(rng, track, 1.0, 1.0)
    assert np.flatnonzero(beat == V).tolist() == [63, 64, 65]
    assert known[63:66].tolist() == [1, 1, 1]
    assert peak[63:65].tolist() == pytest.approx([np.exp(-0.125 / 1.2**2)] * 2)
    assert peak[50] == peak[80] == 0
    assert (known_peak == 1).all()
    assert np.flatnonzero(beat == S).tolist() == [127, 128, 129]
    assert known[127:130].tolist() == [1.5] * 3
    assert known.sum() == 3 * 3 + 4.5  # beats at 1.5, 3, 4 and 5 s; the one at 0.5 s lies before


def test_a_stretch_played_faster_has_its_beats_earlier(
    make_track: MakeTrack, rng: np.random.Generator
) -> None:
    track = make_track(beats=BEATS, kinds=[N, N, V, N, N])
    _, _, beat, _ = beats_wanted(rng, track, 1.0, 2.0)
    assert np.flatnonzero(beat == V).tolist() == [31, 32, 33]


def test_beats_of_unknown_kind_are_peaks_without_a_class(
    make_track: MakeTrack, rng: np.random.Generator
) -> None:
    peak, known_peak, _, known = beats_wanted(rng, make_track(beats=BEATS, kinds=[UNKNOWN] * 5), 0.0, 1.0)
    assert (peak > 0.9).sum() == 10
    assert (known_peak == 1).all()
    assert not known.any()


def test_fibrillation_of_the_ventricles_masks_heat_and_classes(
    make_track: MakeTrack, rng: np.random.Generator
) -> None:
    rhythm = np.zeros(60 * 128)
    rhythm[round(2.5 * 128) : round(4.5 * 128)] = VF
    track = make_track(beats=BEATS, kinds=[N, N, V, N, N], rhythm=rhythm)
    _, known_peak, beat, known = beats_wanted(rng, track, 0.0, 1.0)
    assert np.flatnonzero(known_peak == 0).tolist() == list(range(80, 144))
    assert not known[beat == V].any()
    assert not known[80:144].any()
    assert known.sum() == 9


def test_where_not_every_beat_is_marked_no_heat_is_learned(
    make_track: MakeTrack, rng: np.random.Generator
) -> None:
    _, known_peak, _, _ = beats_wanted(rng, make_track(source="cudb-vf"), 0.0, 1.0)
    assert not known_peak.any()


def test_rhythm_codes_say_what_is_wanted_and_what_is_known() -> None:
    """Columns AFIB, VF, VT."""
    codes = np.asarray([0, OTHER_RHYTHM, AF, VF, VT, NOT_AF, NOT_VF, UNKNOWN], dtype=np.int8)
    wanted, known = rhythm_of(codes)
    assert wanted.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], *[[0, 0, 0]] * 3]
    assert known.tolist() == [*[[1, 1, 1]] * 5, [1, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_rhythm_is_wanted_step_by_step_and_unknown_after_a_strip_ends(
    make_track: MakeTrack, rng: np.random.Generator
) -> None:
    rhythm = np.zeros(20 * 128)
    rhythm[10 * 128 :] = AF
    track = make_track(seconds=20.0, rhythm=rhythm)
    rr, wanted, known = rhythm_wanted(rng, track, 5.0, 1.0)
    assert np.flatnonzero(wanted[:, 0])[0] == 10
    assert np.flatnonzero(known[:, 0]).tolist() == list(range(30))  # 15 s are left
    assert not wanted[:, 1:].any()
    assert rr.shape == (LENGTH // TOKEN, 6)


def test_intervals_are_sometimes_withheld_and_beats_lost(make_track: MakeTrack) -> None:
    track, found = make_track(), []
    for seed in range(40):
        rr, *_ = rhythm_wanted(np.random.default_rng(seed), track, 0.0, 1.0)
        found.append(int(rr[:, 4].sum()))
    assert 0 < found.count(0) < 20
    assert max(found) == 40  # in 32 s, every 0.8 s
    assert any(30 < count < 40 for count in found)


def test_a_stretch_lies_inside_its_record_and_over_rare_beats_half_the_time(make_track: MakeTrack) -> None:
    beats = np.arange(0.4, 600, 0.8)
    kinds = np.where(np.arange(len(beats)) == 375, V, N)  # at 300.4 s
    track = make_track(seconds=600, beats=beats, kinds=kinds)
    starts = np.asarray([placed(np.random.default_rng(seed), track, 32.0) for seed in range(300)])
    assert starts.min() >= 0
    assert starts.max() <= 600 - 32
    over = (starts < 300.4) & (starts + 32 > 300.4)
    assert 0.4 < over.mean() < 0.65
    assert placed(np.random.default_rng(0), make_track(seconds=20), 32.0) == 0.0


def test_records_with_ectopic_beats_and_fibrillation_are_drawn_more_often(make_track: MakeTrack) -> None:
    plain, early = make_track(), make_track(kinds=[S] * 75)
    fibrillating = make_track(rhythm=AF)
    odds = record_odds([plain, early, fibrillating])
    np.testing.assert_allclose(odds * 6, [1, 2, 3])


def test_raw_leads_keep_their_name_upright_and_lose_it_upside_down(make_track: MakeTrack) -> None:
    track = make_track(leads=("MLII", "V1"))
    named, flipped, mixed = set(), 0, 0
    for seed in range(80):
        x, lead = leads_of(np.random.default_rng(seed), track, 3.0, 1280, 1.0, 2)
        assert x.shape == (2, 1280)
        for row, name in zip(x, lead.tolist(), strict=True):
            raw = track.signal[:, 384 : 384 + 1280]
            at = [i for i in (0, 1) if np.array_equal(row, raw[i])]
            upside = [i for i in (0, 1) if np.array_equal(row, -raw[i])]
            if name:
                assert [LEAD_NAMES[name]] == [track.leads[i] for i in at]
                named.add(LEAD_NAMES[name])
            flipped += bool(upside)
            mixed += not at and not upside
    assert named == {"MLII", "V1"}
    assert 10 < flipped < 40
    assert 50 < mixed < 110


def test_one_lead_can_be_asked_for_twice_and_beyond_its_end_is_held(make_track: MakeTrack) -> None:
    track = make_track(seconds=5, leads=("I",))
    x, _ = leads_of(np.random.default_rng(0), track, 1.0, 1280, 1.0, 2)
    assert x.shape == (2, 1280)
    assert np.ptp(x[:, 513:]) == pytest.approx(abs(x[0, 600] - x[1, 600]))


def test_noise_is_as_loud_as_its_decibels_say(
    make_track: MakeTrack, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 6 dB; each lead's own noise is at most 12 dB softer."""
    monkeypatch.setattr(batches, "NOISE_DB", (6.0, 6.0))
    x = make_track(seconds=30).signal
    for seed in range(6):
        added = spoilt(np.random.default_rng(seed), x, noise) - x
        decibel = 10 * np.log10(power(x) / (added**2).mean(axis=1))
        assert ((decibel > 5.5) & (decibel < 18.5)).all()
        assert abs(np.corrcoef(added)[0, 1]) < 0.9


def test_power_of_a_sine_is_that_of_its_peak_to_peak() -> None:
    sine = 100 * np.sin(2 * np.pi * 5 * np.arange(1280) / NETWORK_FS)
    assert power(sine[None].astype(np.float32))[0] == pytest.approx(200**2 / 8, rel=0.01)


def test_muscle_noise_has_unit_power_and_nothing_slow() -> None:
    for seed in range(8):
        x = muscle(np.random.default_rng(seed), 4096)
        assert x.std() == pytest.approx(1, abs=1e-3)
        spectrum = np.abs(np.fft.rfft(x)) ** 2
        hz = np.fft.rfftfreq(4096, 1 / NETWORK_FS)
        assert spectrum[(hz > 9) & (hz < 44)].sum() / spectrum.sum() > 0.95


def test_noise_is_drawn_with_unit_power(noise: Noise) -> None:
    for seed in range(6):
        assert noise.draw(np.random.default_rng(seed), 1280).std() == pytest.approx(1, abs=0.01)


def test_the_network_sees_amplitude_in_the_gain(make_track: MakeTrack) -> None:
    x, lead = make_track(seconds=10).signal, np.asarray([1, 0])
    quiet, loud = (seen(np.random.default_rng(0), x * factor, lead) for factor in (1, np.float32(2)))
    np.testing.assert_allclose(quiet[0], loud[0], atol=1e-4)
    np.testing.assert_allclose(loud[2] - quiet[2], np.log(2), atol=1e-5)


def test_fusion_beats_are_taught_as_ventricular_with_more_weight(
    make_track: MakeTrack, rng: np.random.Generator
) -> None:
    _, _, beat, known = beats_wanted(rng, make_track(beats=BEATS, kinds=[N, N, F, N, N]), 0.0, 1.0)
    assert known[beat == V].tolist() == [4, 4, 4]


def test_a_rare_beat_is_ectopic_or_a_fusion_beat(rng: np.random.Generator) -> None:
    kinds = np.asarray([UNKNOWN, N, S, N, V, F, N], dtype=np.int8)
    assert {rare_beat(rng, kinds) for _ in range(60)} == {2, 4, 5}
    assert rare_beat(rng, kinds[:2]) is None
