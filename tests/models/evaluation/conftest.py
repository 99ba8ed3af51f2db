"""Hand-made truth and hand-made verdicts, 100 samples a second, so that every count is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from models.dataset.annotated import Annotated, Rhythm
from models.evaluation.served import SaidBeat, SaidEpisode, Served
from models.recordings import Recording, make_recording
from models.verdicts import Quality, Screening

FS = 100.0

MakeTruth = Callable[..., Annotated]
MakeServed = Callable[..., Served]


def make_truth(
    beats: dict[int, str] | None = None,
    rhythms: tuple[tuple[int, int, str], ...] = (),
    record: str = "a",
) -> Annotated:
    """Beats as sample -> WFDB symbol, rhythms as (first, last, WFDB name)."""
    marks = sorted((beats or {}).items())
    return Annotated(
        record=record,
        patient=record,
        source="hand",
        fs=FS,
        leads=("II",),
        microvolts=np.empty((1, 0), dtype=np.float32),
        beats=np.asarray([at for at, _ in marks], dtype=np.int64),
        symbols=np.asarray([symbol for _, symbol in marks], dtype=np.str_),
        rhythms=tuple(Rhythm(first=a, last=b, name=name) for a, b, name in rhythms),
        labelled=frozenset({"beats"} if marks else ()) | frozenset({"rhythm"} if rhythms else ()),
    )


def make_served(
    beats: dict[int, str] | None = None,
    episodes: tuple[SaidEpisode, ...] = (),
    windows: tuple[Screening, ...] = (),
    unreadable: tuple[tuple[int, int], ...] = (),
    samples: int = 6000,
) -> Served:
    return Served(
        fs=FS,
        samples=samples,
        models=("hand/1",),
        beats=tuple(SaidBeat(r=at, label=label) for at, label in sorted((beats or {}).items())),
        episodes=episodes,
        windows=windows,
        unreadable=unreadable,
    )


def make_episode(
    label: str, first: int, last: int, *, said: int | None = None, alarm: bool = True
) -> SaidEpisode:
    heard = last if said is None else said
    return SaidEpisode(label=label, first=first, last=last, evident=first, said=heard, alarm=alarm)


def make_window(
    first: int,
    *,
    flagged: bool,
    readable: bool = True,
    score: float = 0.5,
    rules: tuple[str, ...] = (),
    af: float = 0.0,
) -> Screening:
    """Ten seconds."""
    return Screening(
        first=first,
        last=first + 999,
        scores={"abnormal": score, "AFIB": af},
        quality=Quality(readable=readable),
        flagged=flagged,
        rules=rules,
        model="hand/1",
    )


@pytest.fixture
def truth() -> MakeTruth:
    return make_truth


@pytest.fixture
def served() -> MakeServed:
    return make_served


@pytest.fixture
def episode() -> Callable[..., SaidEpisode]:
    return make_episode


@pytest.fixture
def window() -> Callable[..., Screening]:
    return make_window


@pytest.fixture
def ramp() -> Recording:
    """Two leads of a minute that count their samples, the second one upwards from 10,000."""
    counts = np.stack([np.arange(6000), np.arange(10_000, 16_000)]).astype(np.int32)
    missing = np.zeros(counts.shape, dtype=np.bool_)
    missing[:, 1000:1200] = True
    missing[1, 3000:3100] = True
    return make_recording("ramp", FS, ["II", "V1"], counts, [5.0, 5.0], missing=missing)
