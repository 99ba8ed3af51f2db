"""Replay: the same bytes whatever the speed and the chunks, in the order things happen."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from anyecg import replay_lines
from models.recordings import Recording

KEYS = {
    "window": {"record", "start_s", "end_s", "scores", "quality", "flagged"},
    "segment": {"id", "episode_id", "part", "final", "start_s", "end_s", "sha256"},
    "finding": {"label", "code", "start_s", "end_s", "leads", "probability", "evidence"},
    "report": {"id", "episode_id", "part", "text", "findings"},
    "alert": {"id", "label", "priority", "state", "time_s"},
    "summary": {"record", "windows", "flagged", "segments", "findings", "alerts"},
}


async def lines_of(recording: Recording, **how: Any) -> list[str]:
    return [json.dumps(line) async for line in replay_lines(recording, **how)]


@pytest.fixture(scope="module")
def whole() -> list[str]:
    import asyncio

    from models.recordings import open_recording

    return asyncio.run(lines_of(open_recording("excerpt")))


def test_every_line_has_its_type_and_its_keys(whole: list[str]) -> None:
    for line in map(json.loads, whole):
        assert KEYS[line["type"]] <= line.keys()
    assert json.loads(whole[-1])["type"] == "summary"


def test_the_excerpt_is_one_episode_and_raises_an_alert_about_ventricular_ectopy(whole: list[str]) -> None:
    lines = [json.loads(line) for line in whole]
    segments = [line for line in lines if line["type"] == "segment"]
    assert len(segments) >= 15
    assert {s["episode_id"] for s in segments} == {segments[0]["id"]}
    assert [s["part"] for s in segments] == list(range(len(segments)))
    assert [s["final"] for s in segments] == [False] * (len(segments) - 1) + [True]
    assert all(a["end_s"] == b["start_s"] for a, b in pairwise(segments))
    alerts = [line for line in lines if line["type"] == "alert"]
    assert any(alert["label"] in {"V", "VT"} for alert in alerts)
    assert Counter(line["label"] for line in lines if line["type"] == "finding")["V"] > 50


def test_what_a_part_shows_follows_it(whole: list[str]) -> None:
    seen: set[str] = set()
    for line in map(json.loads, whole):
        if line["type"] == "segment":
            seen.add(line["id"])
        elif line["type"] == "finding":
            assert line["segment_id"] in seen


@pytest.mark.parametrize("seed", [0, 1])
async def test_blocks_split_at_random_give_identical_bytes(
    excerpt: Recording, whole: list[str], seed: int
) -> None:
    sizes = np.random.default_rng(seed).integers(1, 4000, 200).tolist()
    assert await lines_of(excerpt, sizes=sizes) == whole


async def test_speed_50_gives_identical_bytes(excerpt: Recording, whole: list[str]) -> None:
    assert await lines_of(excerpt, speed=50.0) == whole
