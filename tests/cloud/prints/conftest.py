"""A made tracing whose every millimetre is known, and a real episode that a worker analysed."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from cloud.config import CloudConfig
from cloud.prints.tracing import Tracing
from cloud.sqlite_store import SqliteStore
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.ecg import Clock, Segment, read_only
from models.verdicts import Finding
from models.wire import encode_segment

UTC_0 = 1_700_000_000.0
GAP_S = (33.0, 2.5)  # begin and length, in the analysed episode
SVG = "{http://www.w3.org/2000/svg}"

Make = Callable[..., Tracing]


def finding(label: str, first: int, last: int, probability: float | None = 0.93, **evidence: Any) -> Finding:
    return Finding(
        segment_id="S",
        label=label,
        first=first,
        last=last,
        leads=("II",),
        probability=probability,
        evidence={"threshold": 0.5, "model": "localizer/3 0a1b2c3d", **evidence},
    )


@pytest.fixture(scope="session")
def made() -> Make:
    """Leads that are 1 mV for the first half of every second and 0 for the other."""

    def make(
        seconds: float = 10.0,
        *,
        fs: float = 250.0,
        first: int = 0,
        leads: tuple[str, ...] = ("II",),
        millivolts: float = 1.0,
        gap: tuple[int, int] | None = None,
        **more: Any,
    ) -> Tracing:
        count = round(seconds * fs)
        high = np.arange(first, first + count) % fs < fs / 2
        counts = np.where(high, round(1000 * millivolts), 0)[None].repeat(len(leads), axis=0)
        missing = np.zeros(count, dtype=np.bool_)
        if gap is not None:
            missing[gap[0] : gap[0] + gap[1]] = True
        return Tracing(
            patch_id=more.pop("patch_id", "made"),
            boot_id=1,
            first=first,
            fs=fs,
            leads=leads,
            counts=read_only(np.where(missing, 0, counts).astype(np.int32)),
            uv_per_count=(1.0,) * len(leads),
            missing=read_only(missing),
            clock=more.pop("clock", Clock(utc_0=UTC_0, fs=fs)),
            **more,
        )

    return make


@pytest.fixture(scope="session")
def found() -> Callable[..., Finding]:
    return finding


@pytest.fixture(scope="session")
def parts(excerpt_parts: list[Segment]) -> list[Segment]:
    """90 s of the excerpt, of which 2.5 s never came, on a clock that a calendar knows."""
    out = []
    for part in excerpt_parts:
        first, count = (round(s * part.fs) for s in GAP_S)
        clock = replace(part.clock, utc_0=UTC_0)
        if not part.first <= first <= part.last:
            out.append(replace(part, clock=clock))
            continue
        counts = part.counts.copy()
        counts[:, first - part.first : first - part.first + count] = 0
        out.append(replace(part, clock=clock, counts=read_only(counts), gaps=((first, count),)))
    return out


@pytest.fixture(scope="session")
def kept(
    tmp_path_factory: pytest.TempPathFactory, network: Localizer, parts: list[Segment]
) -> Iterator[SqliteStore]:
    """The store of a node that took those parts and analysed them. Nobody changes it."""
    store = SqliteStore(str(tmp_path_factory.mktemp("prints") / "cloud.db"))
    worker = Worker(store, network, CloudConfig())
    for part in parts:
        payload = encode_segment(part, part.part, "home")
        store.commit_segment(payload, part, seq=part.part, site="home", now=UTC_0 + 100)
    while (job := store.claim("test", 60.0, now=time.time())) is not None:
        assert worker.work(job)
    yield store
    store.close()


@pytest.fixture(scope="session")
def episode_id(parts: list[Segment]) -> str:
    return parts[0].episode_id


@pytest.fixture(scope="session")
def kept_path(kept: SqliteStore) -> Path:
    return Path(str(kept.one("select file from pragma_database_list")["file"]))  # type: ignore[index]


@pytest.fixture(scope="session")
def traces() -> Callable[[str], list[list[tuple[float, float]]]]:
    """Of every line piece on a strip its points, mm from the left edge of its row and up from its zero."""

    def read(svg: str) -> list[list[tuple[float, float]]]:
        out = []
        for path in ET.fromstring(svg).iter(f"{SVG}path"):
            if path.get("class") == "trace":
                left = float(re.findall(r"translate\(([\d.]+)", path.get("transform") or "")[0])
                out += [_points(piece, left) for piece in (path.get("d") or "").split("M")[1:]]
        return out

    return read


def _points(piece: str, left: float) -> list[tuple[float, float]]:
    head, _, tail = piece.partition("l")
    start = [int(n) for n in head.split("h")[0].split()]
    steps = np.array([int(n) for n in tail.split()], dtype=np.int64).reshape(-1, 2)
    at = np.vstack([start, start + np.cumsum(steps, axis=0)]) / 100
    return [(left + x, -y) for x, y in at.tolist()]
