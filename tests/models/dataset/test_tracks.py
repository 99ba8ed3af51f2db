from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.dataset.annotated import Annotated, Rhythm
from models.dataset.tracks import (
    AF,
    LBBB,
    NOT_AF,
    NOT_VF,
    OTHER_RHYTHM,
    PACED,
    PLAIN,
    RBBB,
    SINUS_RHYTHM,
    UNKNOWN,
    VF,
    VT,
    F,
    N,
    S,
    Track,
    V,
    data_hash,
    fold_by_record,
    folds_of,
    track_of,
)

MakeAnnotated = Callable[..., Annotated]
SOURCES = ("mitdb", "svdb", "cinc2017")


def bare(source: str, patient: str, record: str, rhythm: int = SINUS_RHYTHM) -> Track:
    return Track(
        record=record,
        patient=patient,
        source=source,
        leads=("I",),
        signal=np.zeros((1, 16), dtype=np.float32),
        beats=np.zeros(0),
        kinds=np.zeros(0, dtype=np.int8),
        morphology=np.zeros(0, dtype=np.int8),
        beats_known=True,
        rhythm=np.full(16, rhythm, dtype=np.int8),
    )


@given(
    patients=st.lists(
        st.tuples(st.sampled_from(SOURCES), st.integers(0, 30), st.integers(1, 3), st.integers(-3, 4)),
        max_size=40,
    ),
    folds=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_a_patient_is_never_in_two_folds(
    patients: list[tuple[str, int, int, int]], folds: int, seed: int
) -> None:
    """Patients of several records, and of several databases."""
    tracks = [
        bare(source, f"p{patient}", f"{source}/{i}.{k}", rhythm)
        for i, (source, patient, records, rhythm) in enumerate(patients)
        for k in range(records)
    ]
    fold = folds_of(tracks, folds, seed)
    assert len(fold) == len(tracks)
    assert all(0 <= k < folds for k in fold)
    of: dict[str, set[int]] = {}
    for track, k in zip(tracks, fold.tolist(), strict=True):
        of.setdefault(track.patient, set()).add(k)
    assert all(len(where) == 1 for where in of.values())
    assert folds_of(tracks, folds, seed).tolist() == fold.tolist()


@given(
    counts=st.dictionaries(st.sampled_from(SOURCES), st.integers(6, 20), min_size=1),
    folds=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_every_fold_has_its_share_of_every_database(counts: dict[str, int], folds: int, seed: int) -> None:
    tracks = [bare(s, f"{s}/{i}", f"{s}/{i}") for s, count in counts.items() for i in range(count)]
    fold = folds_of(tracks, folds, seed)
    for source, count in counts.items():
        held = np.bincount(
            [k for t, k in zip(tracks, fold, strict=True) if t.source == source], minlength=folds
        )
        assert held.max() - held.min() <= 1
        assert held.sum() == count


@given(rare=st.integers(4, 12), folds=st.integers(2, 4), seed=st.integers(0, 99))
def test_records_with_fibrillation_are_dealt_out_evenly(rare: int, folds: int, seed: int) -> None:
    tracks = [bare("mitdb", f"p{i}", f"mitdb/{i}", VF if i < rare else 0) for i in range(30)]
    held = np.bincount(folds_of(tracks, folds, seed)[:rare], minlength=folds)
    assert held.max() - held.min() <= 1


def test_another_seed_deals_otherwise() -> None:
    tracks = [bare("mitdb", f"p{i}", f"mitdb/{i}") for i in range(20)]
    assert folds_of(tracks, 4, 0).tolist() != folds_of(tracks, 4, 1).tolist()


def test_folds_are_written_for_whoever_evaluates(tmp_path: Path) -> None:
    tracks = [bare("mitdb", f"p{i}", f"mitdb/{i}") for i in range(8)]
    fold_of = fold_by_record(tmp_path / "folds.json", tracks, 4, 0)
    assert json.loads((tmp_path / "folds.json").read_text()) == fold_of
    assert [fold_of[t.record] for t in tracks] == folds_of(tracks, 4, 0).tolist()


def test_beats_are_classes_of_aami_and_escape_beats_are_normal(annotated: MakeAnnotated) -> None:
    symbols = "NLRBnejAaJSVErF/f?Q"
    track = track_of(annotated(symbols=symbols))
    expected = [N] * 7 + [S] * 4 + [V] * 3 + [F] + [UNKNOWN] * 4
    assert track.kinds.tolist() == expected
    assert track.kinds.dtype == np.int8
    np.testing.assert_allclose(track.beats, np.arange(len(symbols)) + 0.5)


def test_morphology_is_told_by_mit_bih_alone(annotated: MakeAnnotated) -> None:
    symbols = "NLR/AeVF"
    told = track_of(annotated(symbols=symbols)).morphology.tolist()
    assert told == [PLAIN, LBBB, RBBB, PACED, PLAIN, PLAIN, UNKNOWN, UNKNOWN]
    assert set(track_of(annotated("svdb/800", symbols)).morphology.tolist()) == {UNKNOWN}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        *((name, SINUS_RHYTHM) for name in ("N", "SBR", "P")),
        *((name, AF) for name in ("AFIB", "AFL")),
        ("VFL", VF),
        ("VT", VT),
        *((name, OTHER_RHYTHM) for name in ("B", "T", "PREX", "SVTA", "NOD", "IVR", "AB", "BII")),
    ],
)
def test_rhythms_of_mit_bih(annotated: MakeAnnotated, name: str, code: int) -> None:
    """From 4 s to 8 s; outside an annotated stretch nothing is known."""
    rhythm = track_of(annotated(rhythms=(Rhythm(first=1000, last=1999, name=name),))).rhythm
    assert rhythm.shape == (20 * 128,)
    assert set(rhythm[512:1024].tolist()) == {code}
    assert set(rhythm[:512].tolist()) == set(rhythm[1024:].tolist()) == {UNKNOWN}


@pytest.mark.parametrize("source", ["afpdb", "cpsc2021"])
def test_elsewhere_n_says_no_more_than_that_it_is_not_fibrillation(
    annotated: MakeAnnotated, source: str
) -> None:
    spans = (Rhythm(first=0, last=2499, name="N"), Rhythm(first=2500, last=4999, name="AFIB"))
    rhythm = track_of(annotated(f"{source}/1", rhythms=spans)).rhythm
    assert set(rhythm[:1280].tolist()) == {NOT_AF}
    assert set(rhythm[1280:].tolist()) == {AF}


def test_beats_without_rhythm_are_at_least_no_ventricular_fibrillation(annotated: MakeAnnotated) -> None:
    assert set(track_of(annotated("svdb/800")).rhythm.tolist()) == {NOT_VF}
    beats = [1.0, 2.0, 3.0, 6.0, 7.0]
    fibrillates = (Rhythm(first=1000, last=1249, name="VFL"),)
    creighton = track_of(annotated("cudb-vf/1", "?" * 5, fibrillates, at=beats)).rhythm[: 8 * 128]
    seconds = creighton.reshape(-1, 128)
    assert [set(row.tolist()) for row in seconds] == [
        *({UNKNOWN}, {NOT_VF}, {NOT_VF}, {UNKNOWN}, {VF}),
        *([] if len(seconds) < 6 else [{UNKNOWN}] * (len(seconds) - 5)),
    ]


def test_the_signal_is_at_the_networks_rate_and_in_microvolts(annotated: MakeAnnotated) -> None:
    record = annotated(symbols="NNNNVNNNNN")
    track = track_of(record)
    assert track.signal.shape == (2, 1280)
    assert track.signal.dtype == np.float32
    assert track.seconds == 10.0
    assert 600 < track.signal[0, 64] < 1100
    assert (track.record, track.patient, track.source, track.leads) == (
        record.record,
        record.patient,
        record.source,
        record.leads,
    )


@pytest.mark.parametrize(
    ("source", "known"),
    [("mitdb", True), ("svdb", True), ("cpsc2021", True), ("cudb-vf", False), ("afpdb", False)],
)
def test_who_marks_every_beat(annotated: MakeAnnotated, source: str, known: bool) -> None:
    assert track_of(annotated(f"{source}/1")).beats_known == known


def test_the_hash_changes_with_a_label_a_sample_and_the_order(annotated: MakeAnnotated) -> None:
    one, two = track_of(annotated()), track_of(annotated("mitdb/106"))
    usual = data_hash([one, two])
    assert data_hash([track_of(annotated()), two]) == usual
    relabelled = one.kinds.copy()
    relabelled[3] = V
    moved = one.beats.copy()
    moved[3] += 0.01
    louder = one.signal.copy()
    louder[0, 100] += 1
    rhythm = one.rhythm.copy()
    rhythm[5] = AF
    blocked = one.morphology.copy()
    blocked[0] = LBBB
    changed = (
        {"kinds": relabelled},
        {"beats": moved},
        {"signal": louder},
        {"rhythm": rhythm},
        {"morphology": blocked},
        {"record": "mitdb/102"},
    )
    hashes = {data_hash([replace(one, **change), two]) for change in changed} | {data_hash([two, one]), usual}
    assert len(hashes) == len(changed) + 2
