"""The embedded broker, as the real MQTT 5 clients see it."""

from __future__ import annotations

import os
import queue
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from cloud.broker import free_port, run_broker
from models.errors import DeliveryError

ROOT = Path(__file__).resolve().parents[2]


def wait_until_listening(port: int, timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        else:
            return


@contextmanager
def connected(
    port: int, client_id: str, will: str | None = None
) -> Iterator[tuple[Client, queue.Queue[Any]]]:
    """A connected client and what it hears: messages, and "subscribed" when a subscription holds."""
    heard: queue.Queue[Any] = queue.Queue()
    client = Client(CallbackAPIVersion.VERSION2, client_id, protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _data, message: heard.put(message)
    client.on_subscribe = lambda *_: heard.put("subscribed")
    client.on_connect = lambda *_: heard.put("connected")
    if will:
        client.will_set(will, b"offline", qos=1)
    wait_until_listening(port)
    client.connect("127.0.0.1", port, keepalive=5)
    client.loop_start()
    try:
        assert heard.get(timeout=10) == "connected"
        yield client, heard
    finally:
        client.disconnect()
        client.loop_stop()


def subscribe(client: Client, heard: queue.Queue[Any], topic: str) -> None:
    client.subscribe(topic, qos=1)
    assert heard.get(timeout=10) == "subscribed"


def test_a_message_of_200_kilobytes_passes_unchanged_at_qos_1(broker: Any) -> None:
    payload = os.urandom(200_000)
    with connected(broker.port, "cloud") as (cloud, heard), connected(broker.port, "edge") as (edge, _):
        subscribe(cloud, heard, "ecg/v1/+/+/seg")
        edge.publish("ecg/v1/home/p1/seg", payload, qos=1).wait_for_publish(10)
        message = heard.get(timeout=10)
    assert isinstance(message, MQTTMessage)
    assert (message.topic, message.qos) == ("ecg/v1/home/p1/seg", 1)
    assert message.payload == payload


def test_the_last_will_is_delivered_when_a_client_is_cut(broker: Any) -> None:
    with (
        connected(broker.port, "cloud") as (cloud, heard),
        connected(broker.port, "edge", "state") as (edge, _),
    ):
        subscribe(cloud, heard, "state")
        sock = edge.socket()
        assert sock is not None
        sock.shutdown(socket.SHUT_RDWR)
        assert heard.get(timeout=10).payload == b"offline"


def test_a_killed_broker_comes_back_on_its_port_at_once(broker: Any) -> None:
    """Its connections are still in TIME_WAIT, or in FIN_WAIT towards clients that have not noticed."""
    for number in range(3):
        with connected(broker.port, f"edge{number}") as (edge, heard):
            subscribe(edge, heard, "a")
            broker.kill()
            broker.start()
            wait_until_listening(broker.port)
            assert broker.process.poll() is None
            assert heard.get(timeout=15) == "connected"  # paho's own reconnect


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_and_leaves_no_files(number: signal.Signals, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "anyecg", "broker", "run", "--port", str(port)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "TMPDIR": str(tmp_path)}, stderr=subprocess.PIPE
    )
    wait_until_listening(port)
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == 0
    assert b"Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_it_listens_on_this_machine_only(broker: Any) -> None:
    wait_until_listening(broker.port)
    listening = [c for c in psutil.Process(broker.process.pid).net_connections() if c.status == "LISTEN"]
    assert [(c.laddr.ip, c.laddr.port) for c in listening] == [("127.0.0.1", broker.port)]


def test_a_taken_port_is_refused_in_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(
            DeliveryError, match=r"^The broker cannot listen on 127\.0\.0\.1:\d+: .*--port\.$"
        ):
            run_broker(taken.getsockname()[1])


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's range of client ports")
def test_a_chosen_port_is_never_one_that_a_client_is_given() -> None:
    """Else an edge knocking at a broker being restarted can connect to itself and keep the port from it."""
    first_of_clients = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    assert all(free_port() < first_of_clients for _ in range(50))
