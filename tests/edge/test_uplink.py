"""The uplink over a real broker: eight on the way at most, deleted on the cloud's word, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from edge import uplink as uplink_module
from edge.outbox import Outbox
from edge.segments import SegmenterState
from edge.uplink import WINDOW, Uplink
from models.ecg import Clock, Segment, read_only, row_id, segment_id
from models.errors import DeliveryError
from models.ranges import Pulled
from models.verdicts import TrendRow
from models.wire import decode_segment, pack, topic, unpack

BOOT = ("p", 1)


def make_part(number: int) -> Segment:
    first, samples = number * 100, 100
    return Segment(
        id=segment_id(*BOOT, first, first + samples - 1),
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
        counts=read_only(np.full((1, samples), number, dtype=np.int32)),
        uv_per_count=(1.0,),
    )


def make_range(number: int) -> Pulled:
    part = make_part(number)
    named = ("patch_id", "boot_id", "first", "last", "fs", "leads", "counts", "uv_per_count")
    return Pulled(resolution=1, **{name: getattr(part, name) for name in named})


def make_row(number: int) -> TrendRow:
    first = number * 6000
    return TrendRow(
        id=row_id(*BOOT, first), patch_id="p", boot_id=1, first=first, last=first + 5999, fs=100.0,
        missing_s=0.0, unreadable_s=0.0, flagged_s=0.0, beats=0, n_V=0, n_S=0, af_s=0.0,
        hr_min=None, hr_mean=None, hr_max=None, model="-", clock=Clock(),
    )  # fmt: skip


class Cloud:
    """Answers every segment as `verdict` says ("" = not at all), and remembers what came."""

    def __init__(self, port: int, verdict: Callable[[str], str]) -> None:
        self.came: list[str] = []
        self.seen: list[tuple[str, dict[str, Any]]] = []
        self._verdict = verdict
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="cloud", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe(
            [(topic("+", "+", kind), 1) for kind in ("seg", "state", "hb")]
        )
        self.client.on_subscribe = lambda c, *_: c.publish(
            topic("home", "cloud", "state"), pack({"state": "online"}), qos=1, retain=True
        )
        self.client.on_message = self._take
        self.client.connect_async("127.0.0.1", port, 5)
        self.client.loop_start()

    def _take(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        if not message.topic.endswith("/seg"):
            self.seen.append((message.topic, unpack(message.payload)))
            return
        segment, envelope = decode_segment(message.payload)
        self.came.append(segment.id)
        if status := self._verdict(segment.id):
            ack = {"v": 1, "id": segment.id, "status": status, "sha256": envelope.sha256}
            client.publish(topic("home", "p", "ack"), pack(ack), qos=1)

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


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", "home")
    yield outbox
    outbox.close()


def fill(box: Outbox, count: int) -> list[str]:
    made = [make_part(i) for i in range(count)]
    box.commit(BOOT, made, SegmenterState())
    return [part.id for part in made]


async def test_segments_arrive_oldest_first_and_go_when_the_cloud_says_committed(
    broker: Any, box: Outbox
) -> None:
    ids = fill(box, 30)
    cloud = Cloud(broker.port, lambda _: "committed")
    async with sending(box, broker.url):
        await until(lambda: box.depth() == 0)
    cloud.close()
    assert cloud.came == ids
    assert box.counter("acknowledged") == 30
    assert box.counter("uplink_bytes") > 30 * 100


async def test_nothing_goes_on_the_brokers_word_alone_and_at_most_eight_are_on_the_way(
    broker: Any, box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uplink_module, "RESEND_S", 0.5)
    ids = fill(box, 20)
    cloud = Cloud(broker.port, lambda _: "")
    async with sending(box, broker.url):
        await until(lambda: len(cloud.came) >= 3 * WINDOW)
    cloud.close()
    assert set(cloud.came) == set(ids[:WINDOW])  # sent again and again, and none behind them
    assert box.depth() == 20


async def test_a_refused_segment_is_set_aside_and_the_others_go_on(broker: Any, box: Outbox) -> None:
    ids = fill(box, 12)
    cloud = Cloud(broker.port, lambda i: "rejected:hash" if i == ids[3] else "committed")
    async with sending(box, broker.url):
        await until(lambda: box.depth() == 0)
    cloud.close()
    assert box.dead() == 1
    assert Counter(cloud.came)[ids[3]] == 3
    assert set(cloud.came) == set(ids)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "edge.uplink"]


async def test_why_the_broker_is_not_reached_is_said_when_it_changes(
    broker: Any, box: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(uplink_module, "BACKOFF_S", (0.05, 0.1))
    broker.kill()
    tries = 0

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal tries
        tries += 1
        await reader.read(100)
        if tries < 4:
            writer.write(bytes([0x20, 3, 0, 0x86, 0]))  # CONNACK: bad user name or password
            await reader.read(100)
        elif tries < 7:
            writer.write(bytes([0x20, 3, 0, 0, 0]))
            mid = (await reader.read(200))[2:4]
            writer.write(bytes([0x90, 6, *mid, 0, 1, 0x87, 1]))  # SUBACK: one is not authorized
            await asyncio.sleep(0.2)
        writer.close()

    async with sending(box, broker.url):
        await asyncio.sleep(1)
        async with await asyncio.start_server(refuse, "127.0.0.1", broker.port):
            await until(lambda: tries > 9)
        await until(lambda: not warnings(caplog)[-1].endswith("it ends the connection"))
        broker.start()
        await until(lambda: warnings(caplog)[-1].endswith("all is well again"))
    said = warnings(caplog)
    whys = ["Connection refused", "Bad user name or password", "refused: Not authorized", "it ends"]
    assert [next((why for why in whys if why in one), one) for one in said[:4]] == whys
    assert len(said) < 9


async def test_a_killed_broker_costs_no_segment(broker: Any, box: Outbox) -> None:
    ids = fill(box, 40)
    half = threading.Event()
    cloud = Cloud(broker.port, lambda _: (half.set() if len(cloud.came) > 15 else None) or "committed")
    async with sending(box, broker.url) as uplink:
        await asyncio.to_thread(half.wait, 20)
        broker.kill()
        broker.start()
        uplink.notify()
        await until(lambda: box.depth() == 0, 40)
    cloud.close()
    assert set(cloud.came) == set(ids)


async def test_a_patch_is_online_with_its_edge_and_offline_by_last_will(broker: Any, box: Outbox) -> None:
    cloud = Cloud(broker.port, lambda _: "committed")
    async with sending(box, broker.url) as uplink:
        uplink.announce("p")
        await until(lambda: (topic("home", "p", "state"), {"state": "online"}) in cloud.seen)
        uplink.heartbeat({"patch_id": "p", "v": 1})
        await until(lambda: (topic("home", "p", "hb"), {"patch_id": "p", "v": 1}) in cloud.seen)
        assert uplink._client is not None
        sock = uplink._client.socket()
        assert sock is not None
        sock.close()  # cut, without a word
        await until(lambda: (topic("home", "p", "state"), {"state": "offline"}) in cloud.seen)
    cloud.close()


async def test_parts_go_before_rows_and_rows_before_ranges(broker: Any, box: Outbox) -> None:
    box.db["commands"].insert({"id": "c", "dev": "p", "kind": "pull-range", "body": "{}", "came_at": 0.0})
    box.commit_pulled([make_range(i) for i in range(6)], "c", 1)
    box.commit(BOOT, [make_row(i) for i in range(6)], SegmenterState())
    fill(box, 6)
    kinds, there = list[str](), threading.Event()
    listener = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=mqtt.MQTTv5)
    listener.on_connect = lambda c, *_: c.subscribe("ecg/v1/home/p/#", 1)
    listener.on_message = lambda _c, _u, message: kinds.append(message.topic.rsplit("/", 1)[1])
    listener.on_subscribe = lambda *_: there.set()
    listener.connect_async("127.0.0.1", broker.port)
    listener.loop_start()
    await until(there.is_set)
    async with sending(box, broker.url):
        await until(lambda: len(kinds) >= 6)
        await asyncio.sleep(0.3)
    listener.disconnect()
    listener.loop_stop()
    assert kinds == ["seg"] * 6  # nobody acknowledges: what is left of the eight is an alert's


async def test_a_command_reaches_who_takes_it_and_its_answer_the_cloud(broker: Any, box: Outbox) -> None:
    heard, answers, there = list[tuple[str, bytes]](), list[bytes](), threading.Event()
    cloud = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="asking", protocol=mqtt.MQTTv5)
    cloud.on_connect = lambda c, *_: c.subscribe(topic("home", "+", "answer"), 1)
    cloud.on_message = lambda _c, _u, message: answers.append(bytes(message.payload))
    cloud.on_subscribe = lambda *_: there.set()
    cloud.connect_async("127.0.0.1", broker.port)
    cloud.loop_start()
    await until(there.is_set)
    async with sending(box, broker.url) as uplink:
        uplink.command = lambda dev, payload: heard.append((dev, payload))
        await until(lambda: uplink._client is not None)
        cloud.publish(topic("home", "p", "cmd"), b"do", qos=1)
        await until(lambda: bool(heard))
        uplink.answer("p", b"done")
        await until(lambda: bool(answers))
    cloud.disconnect()
    cloud.loop_stop()
    assert (heard, answers) == ([("p", b"do")], [b"done"])


async def test_junk_on_the_acknowledgement_topic_changes_nothing(broker: Any, box: Outbox) -> None:
    fill(box, 3)
    cloud = Cloud(broker.port, lambda _: "")
    async with sending(box, broker.url):
        await until(lambda: len(cloud.came) == 3)
        for junk in (b"", b"\xff", pack({"id": 3}), pack({"id": "X", "status": "committed"})):
            cloud.client.publish(topic("home", "p", "ack"), junk, qos=1).wait_for_publish(5)
        await asyncio.sleep(0.3)
    cloud.close()
    assert box.depth() == 3


def test_an_address_that_is_none_is_one_clear_sentence(box: Outbox) -> None:
    for url in ("localhost:1883", "http://x", "mqtt://", "mqtt://x:y", "mqtt://x:99999"):
        with pytest.raises(DeliveryError, match="not a broker address"):
            Uplink(url, "home", box)
