"""The node: technical alerts come and go, and the process ends when it is told to, having lost nothing."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud.audit import HEADS
from cloud.broker import free_port
from cloud.config import CloudConfig
from cloud.node import check_patches
from cloud.reports import BY_A_MODEL
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.wire import encode_segment, topic

ROOT = Path(__file__).resolve().parents[2]
CONFIG = CloudConfig()


class BrokerProcess(Protocol):
    port: int
    url: str


def hear(store: SqliteStore, at: float, **more: Any) -> None:
    beat = {"newest": round(100 * at), "newest_utc": at, "fs": 100.0, "boot_id": 1}
    store.heartbeat("p", "home", beat | more, now=at)


def kinds(store: SqliteStore, now: float) -> list[str]:
    check_patches(store, CONFIG, now)
    return sorted(alert.kind for alert in store.technical_alerts())


def test_a_patch_is_silent_after_a_minute_without_a_heartbeat_until_the_next(store: SqliteStore) -> None:
    hear(store, 1000.0)
    assert "silent" not in kinds(store, 1060.0)
    assert "silent" in kinds(store, 1061.0)
    hear(store, 1070.0)
    assert kinds(store, 1071.0) == []


def test_a_recording_that_has_ended_is_not_silent(store: SqliteStore) -> None:
    hear(store, 1000.0, ended=True)
    assert kinds(store, 5000.0) == []


def test_a_patch_that_cannot_be_read_for_two_minutes_is_said(store: SqliteStore) -> None:
    hear(store, 1000.0)
    for minute in (1, 2):
        hear(store, 1000.0 + 60 * minute, unreadable_s=60.0)
        assert kinds(store, 1001.0 + 60 * minute) == []
    hear(store, 1180.0, missing_s=60.0)
    assert kinds(store, 1181.0) == ["unreadable"]
    hear(store, 1240.0)
    assert kinds(store, 1241.0) == []


def test_a_lead_off_a_low_battery_and_samples_that_come_late_are_said_while_they_hold(
    store: SqliteStore,
) -> None:
    hear(store, 1000.0, lead_off=["II", "V1"], battery_mv=3299)
    assert kinds(store, 1001.0) == ["battery", "lead off"]
    assert "Lead off: II, V1." in [alert.text for alert in store.technical_alerts()]
    hear(store, 1015.0, battery_mv=3300, newest_utc=984.0)
    assert kinds(store, 1016.0) == ["lag"]
    hear(store, 1030.0, newest_utc=1000.0)
    assert kinds(store, 1044.0) == []  # 30 s old when it was heard: it grows until the next heartbeat
    hear(store, 1045.0, newest_utc=960.0)
    assert kinds(store, 1046.0) == ["no signal"]
    hear(store, 1060.0, ended=True, lead_off=["II"], battery_mv=3000, newest_utc=1000.0)
    assert kinds(store, 1061.0) == []


def reported(store: SqliteStore, episode: str) -> str:
    report = store.report(episode)
    return report.narrative if report else ""


class Node:
    """`serve()` in a process of its own."""

    def __init__(self, url: str, path: Path) -> None:
        config = f"CloudConfig(broker={url!r}, store='sqlite:///{path}', port={free_port()}, lease_s=1.0)"
        code = "import asyncio; from cloud.config import CloudConfig; from cloud.node import serve; "
        code += f"asyncio.run(serve({config}))"
        self.process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def publish(port: int, parts: list[Segment], until: Callable[[], bool]) -> None:
    """Every part again and again, as an edge does that hears no answer."""
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="sender", protocol=mqtt.MQTTv5)
    client.reconnect_delay_set(1, 1)
    client.connect_async("127.0.0.1", port)
    client.loop_start()
    deadline = time.monotonic() + 60
    while not until():
        assert time.monotonic() < deadline
        for part in parts:
            client.publish(
                topic("home", part.patch_id, "seg"), encode_segment(part, part.part, "home"), qos=1
            )
        time.sleep(1.0)
    client.disconnect()
    client.loop_stop()


@pytest.fixture
def start(broker: BrokerProcess, tmp_path: Path) -> Iterator[Callable[[], Node]]:
    """Starts a node on the test's store; none outlives the test."""
    nodes: list[Node] = []

    def begin() -> Node:
        nodes.append(Node(broker.url, tmp_path / "cloud.db"))
        return nodes[-1]

    yield begin
    for node in nodes:
        node.process.kill()
        node.process.wait()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_node_that_ends_in_the_middle_goes_on_where_it_was(
    number: signal.Signals,
    tmp_path: Path,
    broker: BrokerProcess,
    start: Callable[[], Node],
    excerpt_parts: list[Segment],
) -> None:
    store = SqliteStore(str(tmp_path / "cloud.db"))
    node = start()
    publish(broker.port, excerpt_parts[:3], lambda: len(store.sha256s()) == 3)
    ended = node.end(number)
    assert ended == (0 if number is signal.SIGTERM else -number)
    node = start()
    publish(broker.port, excerpt_parts, lambda: len(store.sha256s()) == 5)
    wait_until(lambda: not store.pending())
    episode = excerpt_parts[0].episode_id
    wait_until(lambda: reported(store, episode).startswith(BY_A_MODEL))
    assert node.end(signal.SIGTERM) == 0
    assert store.sha256s() == {part.id: part.sha256 for part in excerpt_parts}
    assert [len(report.segment_ids) for report in store.reports(excerpt_parts[0].episode_id)] == [1, 5]
    assert len(store.alerts()) == 1
    raised = [event for event in store.events(0, limit=10_000) if event.kind == "alert"]
    assert [event.data["change"] for event in raised].count("raised") == 1
    store.close()


def test_a_node_that_is_told_to_end_before_its_page_is_there_ends_in_order(
    tmp_path: Path, start: Callable[[], Node]
) -> None:
    node, heads = start(), tmp_path / f"cloud.db{HEADS}"
    wait_until(heads.exists)  # it takes parts in, and loads its language model
    assert node.end(signal.SIGTERM) == 0
    assert len(heads.read_text().splitlines()) == 2  # at the start, and at a clean stop
