"""The node as a process: it answers, says when it goes, and refuses what it cannot have in one sentence."""

from __future__ import annotations

import asyncio
import logging
import queue
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud.audit_check import verify
from cloud.broker import free_port
from cloud.config import CloudConfig
from cloud.node import _watch_patches, check_patches, serve
from cloud.sqlite_store import SqliteStore
from models.errors import DeliveryError, UsageError
from models.wire import topic, unpack

ROOT = Path(__file__).resolve().parents[2]
CONFIG = CloudConfig()


class BrokerProcess(Protocol):
    port: int
    url: str


@pytest.fixture
def states(broker: BrokerProcess) -> Iterator[queue.Queue[str]]:
    """What is said on the cloud's state topic."""
    heard: queue.Queue[str] = queue.Queue()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="watcher", protocol=mqtt.MQTTv5)
    client.reconnect_delay_set(1, 1)
    client.on_connect = lambda c, *_: c.subscribe(topic("home", "cloud", "state"), 1)
    client.on_message = lambda _c, _u, message: heard.put(unpack(bytes(message.payload))["state"])
    client.connect_async("127.0.0.1", broker.port)
    client.loop_start()
    yield heard
    client.disconnect()
    client.loop_stop()


def hears(heard: queue.Queue[str], state: str) -> None:
    while heard.get(timeout=40) != state:
        pass


def healthy(port: int) -> int:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        with (
            suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=5) as reply,
        ):
            return int(reply.status)
        time.sleep(0.1)
    raise AssertionError("the node does not answer")


@pytest.fixture
def node(broker: BrokerProcess, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    config = f"CloudConfig(broker={broker.url!r}, store='sqlite:///{tmp_path / 'cloud.db'}', port={port})"
    code = "import asyncio; from cloud.config import CloudConfig; from cloud.node import serve; "
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}asyncio.run(serve({config}))"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process, port
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_node_answers_and_when_told_to_end_says_so_and_ends_within_seconds(
    node: tuple[subprocess.Popen[str], int], states: queue.Queue[str], number: signal.Signals, tmp_path: Path
) -> None:
    process, port = node
    hears(states, "online")
    assert healthy(port) == 200
    process.send_signal(number)
    _, said = process.communicate(timeout=15)
    assert process.returncode == 0
    assert "Traceback" not in said
    hears(states, "offline")
    chain = verify(str(tmp_path / "cloud.db"))
    assert (chain["problems"], chain["heads"]) == ([], 2)  # noted at its start and at its end


def test_a_killed_node_is_offline_by_its_last_will(
    node: tuple[subprocess.Popen[str], int], states: queue.Queue[str]
) -> None:
    process, _ = node
    hears(states, "online")
    process.kill()
    hears(states, "offline")


async def test_a_page_port_that_is_taken_is_one_sentence(
    node: tuple[subprocess.Popen[str], int], broker: BrokerProcess, tmp_path: Path
) -> None:
    _, port = node
    await asyncio.to_thread(healthy, port)
    config = CloudConfig(broker=broker.url, store=f"sqlite:///{tmp_path / 'other.db'}", port=port)
    with pytest.raises(DeliveryError, match=f"page cannot listen on .*{port}: another program already does"):
        await serve(config)
    assert not (tmp_path / "other.db").exists()


async def test_weights_that_are_none_are_one_sentence_and_make_no_store(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_text("not a network")
    for weights in (broken, tmp_path / "nowhere.onnx"):
        store = f"sqlite:///{tmp_path / 'other.db'}"
        config = CloudConfig(store=store, port=free_port(), weights=weights)
        with pytest.raises(UsageError, match=f"{weights.name} cannot be loaded"):
            await serve(config)
    assert not (tmp_path / "other.db").exists()


def hear(store: SqliteStore, at: float, **more: Any) -> None:
    beat = {"newest": round(100 * at), "newest_utc": at, "fs": 100.0, "boot_id": 1}
    store.heartbeat("p", "home", beat | more, now=at)


def standing(store: SqliteStore, now: float) -> list[str]:
    check_patches(store, CONFIG, now)
    return sorted(alert.kind for alert in store.technical_alerts())


def test_what_holds_is_raised_once_and_cleared_once(store: SqliteStore) -> None:
    hear(store, 1000.0)
    for now in (1061.0, 1062.0, 1063.0):
        assert standing(store, now) == ["silent"]
    hear(store, 1064.0)
    assert standing(store, 1065.0) == standing(store, 1066.0) == []
    changes = [event.data["change"] for event in store.events(0) if event.kind == "technical"]
    assert changes == ["raised", "cleared"]


def test_every_patch_has_its_own(store: SqliteStore) -> None:
    hear(store, 1000.0)
    beat = {"newest": 106_000, "newest_utc": 1060.0, "fs": 100.0, "boot_id": 1}
    store.heartbeat("q", "home", beat, now=1060.0)
    check_patches(store, CONFIG, 1070.0)
    assert [(alert.patch_id, alert.kind) for alert in store.technical_alerts()] == [("p", "silent")]


def test_an_edge_that_lives_without_samples_is_no_signal_until_samples_come(store: SqliteStore) -> None:
    hear(store, 1000.0)
    hear(store, 1080.0, newest_utc=1000.0, newest=100_000)
    assert standing(store, 1081.0) == ["no signal"]
    hear(store, 1085.0)
    assert standing(store, 1086.0) == []


async def test_a_store_that_is_away_does_not_end_the_watch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(SqliteStore):
        gone = True

        def patches(self) -> Any:
            if self.gone:
                raise DeliveryError("The disk is full.")
            return super().patches()

    monkeypatch.setattr("cloud.node.TICK_S", 0.01)
    store = Away(str(tmp_path / "away.db"))
    hear(store, 1000.0)
    watch = asyncio.create_task(_watch_patches(store, CONFIG))
    with caplog.at_level(logging.ERROR):
        while "could not be checked" not in caplog.text:
            await asyncio.sleep(0.01)
    store.gone = False
    while not store.technical_alerts():
        await asyncio.sleep(0.01)
    watch.cancel()
    await asyncio.gather(watch, return_exceptions=True)
    await asyncio.sleep(0.1)  # what it does in its thread
    store.close()
