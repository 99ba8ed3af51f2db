"""What the cloud's tests share: a store on disk, made parts, and the parts of a real recording."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cloud.sqlite_store import SqliteStore
from models.ecg import Clock, Segment, read_only, segment_id
from models.recordings import Recording
from models.screener.runtime import Screener

MakePart = Callable[..., Segment]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "cloud.db"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def make_part() -> MakePart:
    """Part `number` of an episode that begins at `begin`: 1 s of made counts."""

    def make(
        number: int = 0, *, patch: str = "p", begin: int = 0, final: bool = False, value: int = 1
    ) -> Segment:
        first = begin + 100 * number
        return Segment(
            id=segment_id(patch, 1, first, first + 99),
            patch_id=patch,
            boot_id=1,
            episode_id=segment_id(patch, 1, begin, begin + 99),
            part=number,
            final=final,
            continues=None,
            opened_by="screener",
            first=first,
            fs=100.0,
            leads=("II",),
            counts=read_only(np.full((1, 100), value, dtype=np.int32)),
            uv_per_count=(1.0,),
            clock=Clock(utc_0=1000.0, fs=100.0, quality="arrival", received_at=1000.0 + (first + 100) / 100),
        )

    return make


@pytest.fixture(scope="session")
def network() -> Screener:
    return Screener()


@pytest.fixture(scope="session")
def excerpt_parts(excerpt: Recording) -> list[Segment]:
    """90 s of the excerpt as one episode: 30 s, then four times 15 s."""
    fs = excerpt.fs
    edges = [0, *(round(s * fs) for s in (30, 45, 60, 75, 90))]
    episode = segment_id(excerpt.patch_id, excerpt.boot_id, 0, edges[1] - 1)
    return [
        Segment(
            id=segment_id(excerpt.patch_id, excerpt.boot_id, first, after - 1),
            patch_id=excerpt.patch_id,
            boot_id=excerpt.boot_id,
            episode_id=episode,
            part=part,
            final=part == 4,
            continues=None,
            opened_by="screener",
            first=first,
            fs=fs,
            leads=excerpt.leads,
            counts=read_only(excerpt.counts[:, first:after]),
            uv_per_count=excerpt.uv_per_count,
            clock=Clock(utc_0=0.0, fs=fs, quality="arrival", received_at=after / fs),
        )
        for part, (first, after) in enumerate(pairwise(edges))
    ]
