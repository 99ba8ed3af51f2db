"""Rows beside segments on disk and on the way: exactly once through any kill, and never before a segment."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge.agent import heartbeat, monitor
from edge.intake import Intake
from edge.outbox import REJECTIONS, Outbox, migrations
from edge.segments import SegmenterState
from edge.uplink import ROOM, WINDOW, Uplink
from models.ecg import (
    Clock,
    RecordingEnd,
    SampleBlock,
    Segment,
    StreamItem,
    Window,
    read_only,
    row_id,
    segment_id,
)
from models.sqlite import connect
from models.verdicts import Quality, Screening, Seen, TrendRow
from models.wire import decode_row, encode_segment, pack, topic, unpack

BOOT = ("p", 1)
FS = 20.0
SECONDS = 250


def make_row(number: int) -> TrendRow:
    return TrendRow(
        id=row_id(*BOOT, number * 6000),
        patch_id="p",
        boot_id=1,
        first=number * 6000,
        last=number * 6000 + 5999,
        fs=100.0,
        missing_s=1.5,
        unreadable_s=0.0,
        flagged_s=20.0,
        beats=70 + number % 9,
        n_V=2,
        n_S=1,
        af_s=0.0,
        hr_min=61.2,
        hr_mean=70.0,
        hr_max=None,
        model="by hand",
        clock=Clock(utc_0=1000.0, fs=100.0, error_s=0.05, quality="arrival", received_at=1060.0),
    )


def make_part(number: int) -> Segment:
    first = number * 100
    return Segment(
        id=segment_id(*BOOT, first, first + 99),
        patch_id="p",
        boot_id=1,
        episode_id=segment_id(*BOOT, 0, 99),
        part=number,
        final=False,
        continues=None,
        opened_by="screener",
        first=first,
        fs=100.0,
        leads=("II",),
        counts=read_only(np.full((1, 100), number, dtype=np.int32)),
        uv_per_count=(1.0,),
    )


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", "home")
    yield outbox
    outbox.close()


def test_rows_wait_beside_segments_and_no_figure_of_segments_counts_them(box: Outbox) -> None:
    rows, parts = [make_row(i) for i in range(4)], [make_part(i) for i in range(2)]
    box.commit(BOOT, [rows[0], parts[0], *rows[1:], parts[1]], SegmenterState())
    assert [p.id for p in box.oldest(9)] == [part.id for part in parts]
    assert [decode_row(p.payload)[0] for p in box.oldest(9, {rows[1].id}, "trend")] == [rows[0], *rows[2:]]
    assert box.oldest(-2, {rows[0].id}, "trend") == []
    box.acknowledge(rows[0].id, 400)
    for _ in range(REJECTIONS):
        box.reject(rows[1].id, "conflict")
    assert (box.depth(), box.counter("acknowledged"), box.dead()) == (2, 0, 0)
    assert (box.depth("trend"), box.dead("trend"), box.counter("uplink_bytes")) == (2, 1, 400)
    for part in parts:
        box.acknowledge(part.id, 1)
    assert (box.depth(), box.oldest_age_s(), box.counter("acknowledged")) == (0, 0.0, 2)


def test_what_an_older_version_left_in_the_outbox_is_segments(tmp_path: Path) -> None:
    old = connect(tmp_path / "outbox.db")
    migrations.apply(old, stop_before="0002")
    row = [7, make_part(0).id, "p", encode_segment(make_part(0), 7, "home"), 1.0, 0]
    old.execute("insert into outbox values (?, ?, ?, ?, ?, ?)", row)
    old.execute("insert into dead values ('X', 'p', ?, 'hash', 1.0)", [b""])
    old.close()
    box = Outbox(tmp_path / "outbox.db", "home")
    box.commit(BOOT, [make_row(0)], SegmenterState())
    assert [p.id for p in box.oldest(9)] == [make_part(0).id]
    assert (box.depth("trend"), box.dead(), box.dead("trend")) == (1, 1, 0)
    box.close()


def screen(window: Window) -> Screening:
    """A beat every second; 100 s to 130 s are flagged."""
    beats = range(-(-window.first // round(FS)) * round(FS), window.last + 1, round(FS))
    return Screening(
        first=window.first,
        last=window.last,
        scores={},
        quality=Quality(readable=True),
        flagged=100 * FS <= window.first < 130 * FS,
        model="by hand",
        seen=Seen(beats=tuple((beat, "N") for beat in beats), af=()),
    )


async def stream(first: int) -> AsyncIterator[StreamItem]:
    """A patch that plays a recording of `SECONDS` from a sample on, and ends."""
    counts = np.arange(SECONDS * round(FS), dtype=np.int32)[None]
    for at in range(first, counts.shape[1], 37):
        yield SampleBlock(
            patch_id="p",
            boot_id=1,
            first=at,
            fs=FS,
            leads=("II",),
            counts=counts[:, at : at + 37],
            uv_per_count=(1.0,),
        )
    yield RecordingEnd(patch_id="p", boot_id=1, last=counts.shape[1] - 1)


def run_edge(box: Outbox) -> Intake:
    """From where the outbox's state says, to the recording's end."""
    state = box.restore(*BOOT)
    intake = Intake(screen, box.restore)
    asyncio.run(monitor(stream((state and state.resume_at) or 0), intake, box, lambda: None))
    return intake


DYING = """
import os, sys
from pathlib import Path
from edge.outbox import Outbox
from edge.segments import SegmenterState
from tests_trend_kept import run_edge

commits, moment, insert = int(sys.argv[2]), sys.argv[3], Outbox._insert

class Dying(Outbox):
    def commit(self, boot, made, state):
        global commits
        commits -= 1
        if commits == 0 and moment == "before":  # made, and nothing of it is inserted
            os.kill(os.getpid(), 9)
        super().commit(boot, made, state)
        if commits == 0 and moment == "after":  # on disk, and nobody is told
            os.kill(os.getpid(), 9)

    def _insert(self, made):
        insert(self, made)
        if commits == 0 and moment == "within":  # the row is inserted, its state is not yet
            os.kill(os.getpid(), 9)

run_edge(Dying(Path(sys.argv[1]), "home"))
"""


def test_an_edge_killed_around_its_commits_makes_every_row_exactly_once(tmp_path: Path) -> None:
    copy = tmp_path / "tests_trend_kept.py"
    copy.write_text(Path(__file__).read_text(encoding="utf-8"), encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(Path(__file__).parents[2])])
    for commits, moment in [(2, "before"), (2, "within"), (3, "after")]:
        killed = subprocess.run(
            [sys.executable, "-c", DYING, str(tmp_path / "killed.db"), str(commits), moment],
            env={**os.environ, "PYTHONPATH": path},
            check=False,
        )
        assert killed.returncode == -signal.SIGKILL
    boxes = [Outbox(tmp_path / name, "home") for name in ("killed.db", "whole.db")]
    for box in boxes:
        run_edge(box)
    killed_rows, rows = ([decode_row(p.payload)[0] for p in box.oldest(99, (), "trend")] for box in boxes)
    assert [(row.covered_s, row.beats) for row in rows] == [(60, 60)] * 4 + [(10, 10)]
    assert killed_rows == rows
    assert [p.id for p in boxes[0].oldest(99)] == [p.id for p in boxes[1].oldest(99)]
    for box in boxes:
        box.close()


def test_a_heartbeat_tells_rows_apart_from_segments(box: Outbox) -> None:
    beat = heartbeat(run_edge(box), box)
    assert (beat["trend_depth"], beat["trend_refused"]) == (5, 0)
    assert beat["segments"] == beat["outbox_depth"] == box.depth() > 0


class Cloud:
    """Remembers what came; acknowledges the kinds it is told to."""

    def __init__(self, port: int, *kinds: str) -> None:
        self.came: list[tuple[str, str]] = []
        self._kinds = kinds
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="cloud", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe(
            [(topic("+", "+", "seg"), 1), (topic("+", "+", "trend"), 1)]
        )
        self.client.on_subscribe = lambda c, *_: c.publish(
            topic("home", "cloud", "state"), pack({"state": "online"}), qos=1, retain=True
        )
        self.client.on_message = self._take
        self.client.connect_async("127.0.0.1", port, 5)
        self.client.loop_start()

    def _take(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        kind, me = message.topic.rpartition("/")[2], unpack(message.payload)["id"]
        self.came.append((kind, me))
        if kind in self._kinds:
            ack = pack({"v": 1, "id": me, "status": "committed", "sha256": None})
            client.publish(topic("home", "p", "ack"), ack, qos=1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextlib.asynccontextmanager
async def sending(box: Outbox, url: str) -> AsyncIterator[Uplink]:
    uplink = Uplink(url, "home", box)
    task = asyncio.ensure_future(uplink.run())
    try:
        yield uplink
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def test_segments_leave_before_rows_that_were_there_first(broker: Any, box: Outbox) -> None:
    rows, parts = [make_row(i) for i in range(20)], [make_part(i) for i in range(20)]
    box.commit(BOOT, [*rows, *parts], SegmenterState())
    cloud = Cloud(broker.port, "seg", "trend")
    async with sending(box, broker.url), asyncio.timeout(20):
        while box.depth() + box.depth("trend"):
            await asyncio.sleep(0.02)
    cloud.close()
    first_come = list(dict.fromkeys(cloud.came))
    assert [me for kind, me in first_come if kind == "seg"] == [part.id for part in parts]
    assert [me for kind, me in first_come if kind == "trend"] == [row.id for row in rows]
    assert first_come.index(("trend", rows[0].id)) >= len(parts) - (WINDOW - ROOM)


async def test_rows_that_nobody_acknowledges_keep_no_segment_waiting(
    broker: Any, box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.uplink.RESEND_S", 60.0)
    box.commit(BOOT, [make_row(i) for i in range(20)], SegmenterState())
    cloud = Cloud(broker.port, "seg")
    async with sending(box, broker.url) as uplink, asyncio.timeout(20):
        while len(cloud.came) < WINDOW - ROOM:
            await asyncio.sleep(0.02)
        parts = [make_part(i) for i in range(12)]
        box.commit(BOOT, parts, SegmenterState())
        uplink.notify()
        async with asyncio.timeout(20):  # less than the rows' own timeout
            while box.depth():
                await asyncio.sleep(0.02)
    cloud.close()
    assert box.depth("trend") == 20
    assert len({me for kind, me in cloud.came if kind == "trend"}) == WINDOW - ROOM
