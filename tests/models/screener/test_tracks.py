from __future__ import annotations

from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from models.dataset.annotated import Annotated, Rhythm
from models.screener.batches import Sampler
from models.screener.labels import LABELS
from models.screener.tracks import Track, folds_of, targets, track_of

S, V, AFIB, VF, RHYTHM = range(len(LABELS))


def record(
    symbols: str = "N" * 60,
    rhythm: str = "N",
    *,
    interval: float = 0.8,
    source: str = "mitdb",
    name: str = "1",
) -> Annotated:
    """A beat every `interval` seconds from 0.4 s on; one rhythm throughout."""
    fs = 200.0
    beats = np.round((0.4 + interval * np.arange(len(symbols))) * fs).astype(np.int64)
    length = int(beats[-1] + 0.4 * fs)
    rng = np.random.default_rng(0)
    return Annotated(
        record=f"{source}/{name}",
        patient=f"{source}/{name}",
        source=source,
        fs=fs,
        leads=("I",),
        microvolts=rng.normal(0, 100, (1, length)).astype(np.float32),
        beats=beats,
        symbols=np.asarray(list(symbols)),
        rhythms=(Rhythm(first=0, last=length - 1, name=rhythm),) if rhythm else (),
        labelled=frozenset({"beats", "rhythm"}),
    )


def test_a_ventricular_beat_marks_its_token_and_the_window() -> None:
    found = targets(track_of(record("NNNNVNNNNNNNNNNN")), 0.0, 1000)  # R peak of the V at 3.6 s
    assert np.flatnonzero(found.tokens[:, V]).tolist() == [11]
    assert not found.tokens[:, S].any()
    assert found.abnormal == 1


def test_a_peak_within_60_ms_of_an_edge_marks_both_tokens() -> None:
    found = targets(track_of(record("NNNANNNNNNNNNNNN")), 0.0, 1000)  # 2.8 s; an edge lies at 2.88 s
    assert np.flatnonzero(found.tokens[:, S]).tolist() == [8]
    shifted = targets(track_of(record("NNNANNNNNNNNNNNN")), 0.97, 1000)  # 1.83 s; edges at 1.6 and 1.92 s
    assert np.flatnonzero(shifted.tokens[:, S]).tolist() == [5]
    near = targets(track_of(record("NNNANNNNNNNNNNNN")), 0.9, 1000)  # 1.90 s
    assert np.flatnonzero(near.tokens[:, S]).tolist() == [5, 6]


def test_a_fusion_beat_counts_as_ventricular_with_more_weight() -> None:
    found = targets(track_of(record("NNNNFNNNNNNNNNNN")), 0.0, 1000)
    assert np.flatnonzero(found.tokens[:, V]).tolist() == [11]
    assert found.known[11, V] > found.known[10, V] == 1


@pytest.mark.parametrize(("interval", "abnormal"), [(0.8, 0), (0.45, 1), (1.3, 1), (2.6, 1)])
def test_sinus_rhythm_is_abnormal_when_slow_fast_or_pausing(interval: float, abnormal: float) -> None:
    assert targets(track_of(record("N" * 40, interval=interval)), 0.0, 1000).abnormal == abnormal


def test_a_rhythm_marks_every_token_it_holds() -> None:
    af = targets(track_of(record(rhythm="AFIB")), 0.0, 1000)
    assert af.tokens[:, AFIB].all()
    assert af.tokens[:, RHYTHM].all()
    assert not af.tokens[:, VF].any()
    flutter = targets(track_of(record(rhythm="VFL")), 0.0, 1000)
    assert flutter.tokens[:, VF].all()
    assert not flutter.known[:, V].any()  # nobody marked beats inside it


def test_what_no_one_annotated_is_unknown_and_not_normal() -> None:
    unlabelled = replace(record("?" * 60, rhythm="", source="cudb-vf"), labelled=frozenset({"rhythm"}))
    found = targets(track_of(unlabelled), 0.0, 1000)
    assert not found.known[:, [S, V, AFIB, RHYTHM]].any()
    assert found.known[2:-2, VF].all()  # regular beats are no VF
    assert isnan(found.abnormal)


def test_a_patient_never_lies_in_two_folds() -> None:
    tracks = [track_of(record(name=str(i))) for i in range(9)]
    tracks = [replace(t, patient=f"mitdb/{i // 3}") for i, t in enumerate(tracks)]
    folds = folds_of(tracks, 3, seed=0)
    assert sorted(set(folds.tolist())) == [0, 1, 2]
    assert all(len(set(folds[i : i + 3].tolist())) == 1 for i in (0, 3, 6))


def test_a_batch_depends_on_its_seed_alone() -> None:
    tracks: list[Track] = [track_of(record("NNVNNANNFN" * 8))]
    noise = [np.random.default_rng(1).normal(size=20_000).astype(np.float32)]
    once, again, other = (Sampler(tracks, noise).batch(0, step) for step in (7, 7, 8))
    np.testing.assert_array_equal(once.x, again.x)
    np.testing.assert_array_equal(once.tokens, again.tokens)
    assert not np.array_equal(once.x, other.x)
