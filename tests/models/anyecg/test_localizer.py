from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.anyecg.familiar import Familiar
from models.anyecg.labels import BEATS, MORPHOLOGY, RHYTHMS, TOKEN
from models.anyecg.localizer import NETWORKS, WEIGHTS, Localization, Localizer, label_of, localize, per_step
from models.errors import RecordingError
from models.evaluation.beats import match_beats
from models.recordings import Recording
from models.signals.rpeaks import r_peaks

FS = 250.0
LEADS = ("MLII", "V1")


@pytest.fixture(scope="module")
def localizer() -> Localizer:
    return Localizer()


@pytest.fixture(scope="module")
def minute(excerpt: Recording) -> np.ndarray:
    """(lead, sample) microvolts: the first minute of the excerpt, and 37 samples."""
    scale = np.asarray(excerpt.uv_per_count, dtype=np.float32)[:, None]
    return excerpt.counts[:, : round(60 * excerpt.fs) + 37] * scale


@pytest.fixture(scope="module")
def found(localizer: Localizer, excerpt: Recording, minute: np.ndarray) -> Localization:
    return localizer.run(minute, excerpt.fs, excerpt.leads)


def beating(fs: float, samples: int, leads: int = 2, seed: int = 0) -> np.ndarray:
    t = np.arange(samples) / fs
    beat = 1000 * np.exp(-0.5 * ((t % 0.83 - 0.3) / 0.012) ** 2)
    return np.stack([beat * (1 - 0.5 * i) for i in range(leads)]).astype(np.float32) + np.random.default_rng(
        seed
    ).normal(0, 10, (leads, samples)).astype(np.float32)


def whole(found: Localization, samples: int, fs: float) -> None:
    """Everything that holds of any answer about a stretch."""
    beats = len(found.peaks)
    assert (found.beats.shape, found.morphology.shape) == ((beats, len(BEATS)), (beats, len(MORPHOLOGY)))
    assert found.irregularity.shape == (beats,)
    assert (np.diff(found.peaks) > 0).all()
    assert ((found.peaks >= 0) & (found.peaks < samples)).all()
    np.testing.assert_allclose(found.beats.sum(axis=1), 1, atol=1e-5)
    assert (found.beats >= 0).all()
    assert ((found.rhythm >= 0) & (found.rhythm <= 1)).all()
    seconds = samples / fs
    assert found.rhythm.shape[1] == len(RHYTHMS)
    assert len(found.rhythm) * found.step_s == pytest.approx(seconds, abs=found.step_s)
    assert found.strange.shape == (len(found.tokens),)
    assert np.isfinite(found.strange).all()
    assert len(found.tokens) * TOKEN / 128 == pytest.approx(seconds, abs=TOKEN / 128 + 0.01)


def test_the_beats_of_a_minute(found: Localization, excerpt: Recording, minute: np.ndarray) -> None:
    whole(found, minute.shape[1], excerpt.fs)
    detected = r_peaks(minute, excerpt.fs)
    assert 60 < len(detected) < 130
    matches = match_beats(detected, found.peaks, excerpt.fs)
    assert (matches.found_of >= 0).mean() > 0.95
    assert (matches.truth_of >= 0).mean() > 0.95


def test_chances_and_forms_are_of_the_beats(found: Localization) -> None:
    chances, forms = found.chances(), found.forms()
    assert len(chances) == len(forms) == len(found.peaks)
    assert all(sum(row.values()) == pytest.approx(1, abs=1e-3) for row in chances)
    assert [row["V"] for row in chances] == pytest.approx(found.beats[:, 2].tolist(), abs=1e-3)
    assert set(forms) <= set(MORPHOLOGY)
    np.testing.assert_allclose(found.morphology.sum(axis=1), 1, atol=0.1)  # a mean of logs sums to 1 or less


def test_the_same_stretch_is_read_the_same_twice(
    found: Localization, excerpt: Recording, minute: np.ndarray
) -> None:
    again = Localizer().run(minute, excerpt.fs, excerpt.leads)
    for name in ("peaks", "beats", "morphology", "rhythm", "tokens", "strange", "irregularity"):
        np.testing.assert_array_equal(getattr(again, name), getattr(found, name))


def test_a_stretch_of_less_than_two_seconds_is_refused(localizer: Localizer) -> None:
    with pytest.raises(ValueError, match=r"1\.99 s of signal; the localizer needs 2"):
        localizer.run(beating(FS, 497), FS, LEADS)
    whole(localizer.run(beating(FS, 500), FS, LEADS), 500, FS)


def test_no_beat_is_found_where_no_sample_is(
    localizer: Localizer, excerpt: Recording, minute: np.ndarray, found: Localization
) -> None:
    first, end = round(20 * excerpt.fs), round(26 * excerpt.fs)
    missing = np.zeros(minute.shape[1], dtype=np.bool_)
    missing[first:end] = True
    holed = localizer.run(np.where(missing, 0, minute).astype(np.float32), excerpt.fs, excerpt.leads, missing)
    assert ((found.peaks >= first) & (found.peaks < end)).any()
    assert not missing[holed.peaks].any()
    kept = found.peaks[(found.peaks < first - 180) | (found.peaks > end + 180)]
    assert (match_beats(kept, holed.peaks, excerpt.fs).found_of >= 0).mean() > 0.9


@pytest.mark.parametrize("level", [0.0, 1234.0, -32768.0])
def test_a_flat_line_holds_no_beat(localizer: Localizer, level: float) -> None:
    flat = localizer.run(np.full((2, 2500), level, dtype=np.float32), FS, LEADS)
    whole(flat, 2500, FS)
    assert len(flat.peaks) == 0
    assert flat.chances() == flat.forms() == []


def test_nothing_but_missing_samples_holds_no_beat(localizer: Localizer) -> None:
    dark = localizer.run(beating(FS, 2500), FS, LEADS, np.ones(2500, dtype=np.bool_))
    assert len(dark.peaks) == 0


@settings(max_examples=25)
@given(
    fs=st.sampled_from([100.0, 128.0, 130.0, 300.0, 512.0, 977.0]) | st.floats(100, 1000),
    seconds=st.floats(2, 20),
    leads=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_any_length_and_rate_is_read(
    localizer: Localizer, fs: float, seconds: float, leads: int, seed: int
) -> None:
    samples = int(np.ceil(seconds * fs))
    x = beating(fs, samples, leads, seed)
    found = localizer.run(x, fs, ("MLII", "V1", "nameless")[:leads])
    whole(found, samples, fs)
    assert len(found.peaks) <= seconds / 0.19 + 1
    expected = np.arange(0.3, samples / fs, 0.83)
    inner = np.rint(expected[(expected > 0.5) & (expected < samples / fs - 0.5)] * fs).astype(np.int64)
    assert (match_beats(inner, found.peaks, fs).found_of >= 0).mean() >= 0.5 or len(inner) < 4


class Told:
    """Networks that answer what a test wants: R peaks at `peaks` seconds, classes, chances of AFIB and VT."""

    familiar = Familiar.of(np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32))

    def __init__(
        self, peaks: np.ndarray, classes: list[float], atrial: float = 0.0, tachycardia: float = 0.0
    ) -> None:
        self.peaks, self.classes, self.atrial, self.tachycardia = peaks, classes, atrial, tachycardia
        self.fibrillation = (1.0, 0.0, 0.0)

    def dense(self, x, lead, gain):  # type: ignore[no-untyped-def]
        steps = x.shape[1] // 4
        middles = (np.arange(steps) + 0.5) * 4 / 128
        heat = np.exp(-0.5 * ((middles[:, None] - self.peaks) / 0.037) ** 2).max(axis=1).astype(np.float32)
        logs = np.log(np.broadcast_to(np.asarray(self.classes, dtype=np.float32), (steps, 3)))
        return heat, logs, np.zeros((x.shape[1] // TOKEN, 6), dtype=np.float32)

    def rhythm(self, x, lead, gain, rr):  # type: ignore[no-untyped-def]
        steps = np.zeros((x.shape[1] // 64, len(RHYTHMS)), dtype=np.float32)
        steps[:, RHYTHMS.index("AFIB")] = self.atrial
        steps[:, RHYTHMS.index("VT")] = self.tachycardia
        return steps

    def beats(self, shapes, numbers, rr):  # type: ignore[no-untyped-def]
        assert len(shapes) == len(numbers) == len(rr)
        logs = np.log(np.broadcast_to(np.asarray(self.classes, dtype=np.float32), (len(rr), 3)))
        return logs, np.log(np.full((len(rr), len(MORPHOLOGY)), 0.25, dtype=np.float32))


SIGNAL = beating(FS, 10_000)  # 40 s
REGULAR = np.arange(0.5, 40, 0.8)
UNSTEADY, IRREGULAR = (
    np.cumsum(np.exp(np.random.default_rng(1).normal(np.log(0.75), spread, 48))) for spread in (0.12, 0.24)
)
MOSTLY_S = [0.25, 0.6, 0.15]


def test_a_peak_lies_at_the_centre_of_its_heat() -> None:
    at = np.sort(REGULAR + np.random.default_rng(0).uniform(-0.1, 0.1, len(REGULAR)))
    found = localize(Told(at, MOSTLY_S), SIGNAL, FS, LEADS)
    assert np.abs(found.peaks / FS - at).max() < 0.005


def test_beats_at_300_a_minute_stay_apart() -> None:
    fast = np.arange(0.5, 39, 0.2)
    assert len(localize(Told(fast, MOSTLY_S), SIGNAL, FS, LEADS).peaks) == len(fast)


def test_early_beats_of_a_regular_rhythm_stay_supraventricular() -> None:
    found = localize(Told(REGULAR, MOSTLY_S), SIGNAL, FS, LEADS)
    np.testing.assert_allclose(found.beats, np.broadcast_to(MOSTLY_S, found.beats.shape), atol=1e-4)


def test_where_every_interval_differs_an_early_beat_is_normal() -> None:
    found = localize(Told(IRREGULAR, MOSTLY_S), SIGNAL, FS, LEADS)
    assert found.irregularity.min() > 0.12
    whole(found, SIGNAL.shape[1], FS)
    np.testing.assert_allclose(found.beats[:, 1], 0.05 * 0.6, atol=1e-4)
    np.testing.assert_allclose(found.beats[:, 0], 0.25 + 0.95 * 0.6, atol=1e-4)


def test_where_the_atria_fibrillate_an_early_beat_is_normal() -> None:
    """Intervals that are neither regular nor irregular enough by themselves."""
    found = localize(Told(UNSTEADY, MOSTLY_S, atrial=0.9), SIGNAL, FS, LEADS)
    inside = (found.peaks > 6 * FS) & (found.peaks < 34 * FS)
    assert found.irregularity.max() < 0.12
    np.testing.assert_allclose(found.beats[inside, 1], 0.05 * 0.6, atol=1e-4)
    np.testing.assert_allclose(found.beats.sum(axis=1), 1, atol=1e-5)
    sinus = localize(Told(UNSTEADY, MOSTLY_S, atrial=0.1), SIGNAL, FS, LEADS)
    np.testing.assert_allclose(sinus.beats[:, 1], 0.6, atol=1e-4)


def test_fibrillation_is_what_the_signal_and_the_intervals_say_together() -> None:
    for peaks in (UNSTEADY, IRREGULAR):
        told = Told(peaks, MOSTLY_S, atrial=0.5)
        told.fibrillation = (1.0, 10.0, -1.0)
        found = localize(told, SIGNAL, FS, LEADS)
        expected = 1 / (1 + np.exp(1 - 10 * min(found.irregularity[0], 0.25)))
        assert found.rhythm[0, RHYTHMS.index("AFIB")] == pytest.approx(expected, abs=1e-3)


def test_a_regular_rhythm_is_no_fibrillation() -> None:
    found = localize(Told(REGULAR, MOSTLY_S, atrial=0.9), SIGNAL, FS, LEADS)
    assert not found.rhythm[:, RHYTHMS.index("AFIB")].any()


def test_too_few_beats_to_judge_their_intervals_are_not_a_regular_rhythm() -> None:
    """10 s at about 65 a minute: 11 beats."""
    few = IRREGULAR[IRREGULAR < 10][:11]
    found = localize(Told(few, MOSTLY_S, atrial=0.9), SIGNAL[:, :2500], FS, LEADS)
    assert len(found.peaks) == 11
    assert found.rhythm[:, RHYTHMS.index("AFIB")].max() > 0.5


def test_a_step_has_the_value_of_the_beat_nearest_to_it() -> None:
    """Steps are 0.5 s, their middles at 0.25, 0.75, 1.25, ... s; between the beats is 1.2 s."""
    values = np.asarray([0.1, 0.3], dtype=np.float32)
    assert per_step(values, np.asarray([0.4, 2.0]), 5).tolist() == pytest.approx([0.1, 0.1, 0.3, 0.3, 0.3])
    assert np.isnan(per_step(values[:0], np.zeros(0), 3)).all()


def test_in_a_ventricular_tachycardia_every_beat_is_ventricular() -> None:
    sure = localize(Told(REGULAR, MOSTLY_S, tachycardia=0.9), SIGNAL, FS, LEADS)
    inside = (sure.peaks > FS) & (sure.peaks < 39 * FS)
    np.testing.assert_allclose(sure.beats[inside, 2], 0.1 * 0.15 + 0.9, atol=1e-3)
    unsure = localize(Told(REGULAR, MOSTLY_S, tachycardia=0.4), SIGNAL, FS, LEADS)
    np.testing.assert_allclose(unsure.beats[:, 2], 0.15, atol=1e-4)


@pytest.mark.parametrize(
    ("chances", "label"),
    [
        ({"N": 0.9, "S": 0.05, "V": 0.05}, "N"),
        ({"N": 0.5, "S": 0.3, "V": 0.2}, "S"),
        ({"N": 0.5, "S": 0.1, "V": 0.4}, "V"),
        ({"N": 0.1, "S": 0.45, "V": 0.45}, "S"),  # 1.5 times its threshold, V 1.125 times
    ],
)
def test_the_class_that_is_further_over_its_threshold(chances: dict[str, float], label: str) -> None:
    assert label_of(chances, {"S": 0.3, "V": 0.4}) == label


def test_a_network_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    for name in NETWORKS[1:]:
        shutil.copy(WEIGHTS / f"{name}.onnx", tmp_path)
    with pytest.raises(RecordingError, match=r"dense\.onnx is missing; train it: anyecg train localizer\."):
        Localizer(tmp_path)


def test_the_model_names_its_version_and_its_bytes(localizer: Localizer) -> None:
    assert localizer.model.startswith(f"localizer/{localizer.metadata['version']} ")
    assert set(localizer.thresholds) >= {"S", "V", "AFIB", "VF"}
    assert all(0 < threshold < 1 for threshold in localizer.thresholds.values())
