"""Deliveries over real servers: once where they can be, again where nobody knows, never after an answer."""

from __future__ import annotations

import email
import json
import queue
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud.broker import free_port
from cloud.channels import Channel, Mail, Mqtt, Page, Webhook, alert_topic, signature
from cloud.config import AlertsConfig, CloudConfig, EscalationStep, MailConfig
from cloud.deliveries import LEASE_S
from cloud.dispatcher import Dispatcher, check_alerts
from cloud.docket import Called
from cloud.node import check_deliveries
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from models.config import load
from models.ecg import Segment, make_id
from models.errors import UsageError
from models.verdicts import Alert, Priority
from models.wire import encode_segment

ROOT = Path(__file__).resolve().parents[2]
SECRET = "between us"
CONFIG = CloudConfig(alerts=AlertsConfig(give_up_s=600.0))


class Hook(ThreadingHTTPServer):
    """A real web server: keeps what was posted and answers with `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status, self.location = 204, ""
        super().__init__(("127.0.0.1", 0), _Taken)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/alerts?token=hidden"

    def keys(self) -> list[str]:
        return [headers["idempotency-key"] for headers, _ in self.got]


class _Taken(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
        self._say(self.server.status)

    def do_GET(self) -> None:
        self._say(200)

    def _say(self, status: int) -> None:
        self.send_response(status)
        if status == 302:
            self.send_header("Location", self.server.location)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hook() -> Iterator[Hook]:
    running = Hook()
    yield running
    running.shutdown()
    running.server_close()


class Post(socketserver.ThreadingTCPServer):
    """As much of SMTP as a message needs."""

    daemon_threads = True

    def __init__(self) -> None:
        self.got: queue.Queue[bytes] = queue.Queue()
        super().__init__(("127.0.0.1", 0), _Session)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Session(socketserver.StreamRequestHandler):
    server: Post

    def handle(self) -> None:
        self.wfile.write(b"220 here\r\n")
        for line in iter(self.rfile.readline, b""):
            match line[:4].upper().strip():
                case b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    self.server.got.put(b"".join(iter(self.rfile.readline, b".\r\n")))
                    self.wfile.write(b"250 taken\r\n")
                case b"QUIT":
                    self.wfile.write(b"221 bye\r\n")
                    return
                case _:
                    self.wfile.write(b"250 fine\r\n")


Raise = Callable[..., Alert]


def opened(path: Path, *steps: tuple[float, str]) -> SqliteStore:
    return SqliteStore(str(path), [EscalationStep(after_s=after, to=to) for after, to in steps])


@pytest.fixture
def call_in(make_part: Callable[..., Segment]) -> Raise:
    """An alert that calls at `now`, as a worker commits it."""

    def put(
        store: SqliteStore, now: float = 1000.0, priority: Priority = Priority.MEDIUM, begin: int = 0
    ) -> Alert:
        part = make_part(begin=begin)
        store.commit_segment(encode_segment(part, 0, "home"), part, seq=0, site="home", now=now)
        entry = {"episode_id": part.episode_id, "boot_id": 1, "label": "AFIB", "rule": "made", "at": 50}
        alert = Alert(
            id=make_id("alert", part.episode_id),
            patch_id="p",
            episode_id=part.episode_id,
            label="AFIB",
            priority=priority,
            state="raised",
            at=50,
            rule="made",
            history=({**entry, "priority": str(priority), "utc": 1000.5},),
        )
        called = (Called(alert=alert, change="raised"),)
        job = store.claim("test", 30.0, now=now)
        assert job is not None
        outcome = Outcome(
            episode_id=part.episode_id, findings=(), open=(), reports=(), judge=lambda _: called
        )
        assert store.finish(job, outcome, now=now)
        return alert

    return put


def acknowledge(store: SqliteStore, alert: Alert, now: float) -> None:
    stored = store.alert(alert.id)
    assert stored is not None
    seen = store.book.see(alert.id, "ann", "desk", stored.standing.version, now=now)
    store.book.acknowledge(alert.id, "ann", "desk", seen.version, now=now)


def drain(store: SqliteStore, channel: Channel, now: float) -> int:
    """How many deliveries went out, or were tried, when it was `now`."""
    dispatcher, tries = Dispatcher(store, channel, CONFIG, clock=lambda: now), 0
    while dispatcher.dispatch():
        tries += 1
    return tries


def states(store: SqliteStore, alert: Alert, channel: str) -> list[str]:
    return [row["state"] for row in store.book.deliveries.of_alert(alert.id) if row["channel"] == channel]


def test_a_webhook_gets_signed_json_with_its_key_and_no_name(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db", (0, hook.url))
    alert = call_in(store)
    assert drain(store, Webhook(SECRET), 1000.0) == 1
    ((headers, body),) = hook.got
    said = json.loads(body)
    assert (said["id"], said["state"], said["priority"], said["recorded_utc"]) == (
        alert.id,
        "raised",
        "medium",
        1000.5,
    )
    assert said["wording"].startswith("Decision support. Not a diagnosis.")
    assert headers["idempotency-key"] == said["key"] == f"{alert.id}/1/0s/{hook.url}"
    assert headers["x-anyecg-signature"] == signature(SECRET.encode(), headers["x-anyecg-timestamp"], body)
    assert drain(store, Webhook(SECRET), 5000.0) == 0
    store.close()


def test_what_fell_due_while_the_server_was_down_happens_once(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    path = tmp_path / "cloud.db"
    store = opened(path, (60, hook.url), (120, hook.url))
    alert = call_in(store)
    assert drain(store, Webhook(SECRET), 1059.0) == 0
    store.close()
    again = opened(path, (60, hook.url), (120, hook.url))
    assert drain(again, Webhook(SECRET), 90_000.0) == 2
    assert drain(again, Webhook(SECRET), 190_000.0) == 0
    assert hook.keys() == [f"{alert.id}/1/60s/{hook.url}", f"{alert.id}/1/120s/{hook.url}"]
    again.close()


def test_nobody_is_paged_after_an_acknowledgement_nor_by_an_old_one_after_a_restart(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    path = tmp_path / "cloud.db"
    store = opened(path, (0, hook.url), (60, hook.url))
    alert = call_in(store)
    assert drain(store, Webhook(SECRET), 1000.0) == 1
    acknowledge(store, alert, 1059.0)
    assert drain(store, Webhook(SECRET), 1061.0) == 0
    store.close()
    months = 90 * 86_400.0
    again = opened(path, (0, hook.url), (60, hook.url))
    assert drain(again, Webhook(SECRET), 1000.0 + months) == 0
    assert len(hook.got) == 1
    again.close()


def test_a_delivery_that_fails_is_tried_later_and_later_and_said_until_somebody_answers(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db", (0, hook.url))
    alert = call_in(store)
    hook.status = 500
    tried = [now for now in range(1000, 1700) if drain(store, Webhook(SECRET), float(now))]
    assert tried == [1000, 1002, 1006, 1014, 1030, 1062, 1126, 1254, 1510]  # given up after 600 s: the next
    assert set(hook.keys()) == {f"{alert.id}/1/0s/{hook.url}"}
    check_deliveries(store, 1700.0)
    (technical,) = store.technical_alerts()
    assert (technical.patch_id, technical.kind) == ("p", "delivery")
    assert technical.text == "An alert cannot be delivered to the webhook at 127.0.0.1: it answered 500."
    assert drain(store, Webhook(SECRET), 1810.0) == 1
    assert drain(store, Webhook(SECRET), 9000.0) == 0
    assert states(store, alert, "webhook") == ["given up"]
    check_deliveries(store, 9000.0)
    assert len(store.technical_alerts()) == 1
    acknowledge(store, alert, 9001.0)
    check_deliveries(store, 9002.0)
    assert store.technical_alerts() == []
    store.close()


def test_a_delivery_that_comes_through_at_last_clears_its_technical_alert(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db", (0, hook.url))
    call_in(store)
    hook.status = 503
    drain(store, Webhook(SECRET), 1000.0)
    check_deliveries(store, 1001.0)
    assert len(store.technical_alerts()) == 1
    hook.status = 200
    assert drain(store, Webhook(SECRET), 1002.0) == 1
    check_deliveries(store, 1003.0)
    assert store.technical_alerts() == []
    store.close()


def test_a_redirection_is_no_delivery(tmp_path: Path, hook: Hook, call_in: Raise) -> None:
    """Followed, the POST would become a GET without a body, and be answered with 200."""
    store = opened(tmp_path / "cloud.db", (0, hook.url))
    alert = call_in(store)
    hook.status, hook.location = 302, hook.url
    drain(store, Webhook(SECRET), 1000.0)
    assert states(store, alert, "webhook") == ["waiting"]
    store.close()


def test_nobody_there_is_one_sentence(tmp_path: Path, call_in: Raise) -> None:
    store = opened(tmp_path / "cloud.db", (0, f"http://127.0.0.1:{free_port()}/"))
    call_in(store)
    drain(store, Webhook(SECRET), 1000.0)
    assert "Connection refused" in store.book.deliveries.failing()["p"]
    store.close()


def test_an_e_mail_has_the_same_message_id_with_every_try(tmp_path: Path, call_in: Raise) -> None:
    server = Post()
    store = opened(tmp_path / "cloud.db", (0, "mailto:head@clinic.example"))
    alert = call_in(store)
    dead = Mail(MailConfig(host="127.0.0.1", port=free_port()))
    alive = Mail(MailConfig(host="127.0.0.1", port=server.server_address[1], sender="ecg@clinic.example"))
    assert drain(store, dead, 1000.0) == 1
    assert states(store, alert, "email") == ["waiting"]
    assert drain(store, alive, 1002.0) == 1
    mail = email.message_from_bytes(server.got.get(timeout=10))
    assert mail["To"] == "head@clinic.example"
    assert mail["Subject"] == "medium alert, patch p: atrial fibrillation"
    assert mail["Message-ID"].endswith("@clinic.example>")
    assert mail["Idempotency-Key"] == f"{alert.id}/1/0s/mailto:head@clinic.example"
    assert "Not for emergency monitoring" in mail.get_payload()
    store.close()
    server.shutdown()
    server.server_close()


def test_an_escalation_by_hand_goes_out_at_once_and_says_who_asked(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db", (600, hook.url))
    alert = call_in(store)
    assert drain(store, Webhook(SECRET), 1010.0) == 0
    store.book.escalate(alert.id, "ann", 1, None, now=1010.0)
    assert drain(store, Webhook(SECRET), 1010.0) == 1
    ((headers, body),) = hook.got
    said = json.loads(body)
    assert (said["escalated_by"], said["escalated_utc"], said["state"]) == ("ann", 1010.0, "raised")
    assert headers["idempotency-key"] == f"{alert.id}/2/600s/{hook.url}"
    assert drain(store, Webhook(SECRET), 1600.0) == 1  # and when it is due, for nobody has answered
    store.close()


def test_an_escalation_to_the_page_is_an_event(tmp_path: Path, call_in: Raise) -> None:
    store = opened(tmp_path / "cloud.db", (120, "page"))
    call_in(store)
    page = Page(lambda delivery: store.book.remind(delivery, 1120.0))
    assert drain(store, page, 1119.0) == 0
    assert drain(store, page, 1120.0) == 1
    assert [e.data["change"] for e in store.events(0) if e.kind == "alert"] == ["raised", "escalated"]
    store.close()


TOML = """
[alerts]
{secret}
[[alerts.escalation]]
after_s = 120
priority = "medium"
to = "https://hook.example/alerts"
"""


def test_a_webhook_without_a_secret_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "cloud.toml"
    path.write_text(TOML.format(secret=""))
    with pytest.raises(UsageError, match=r"set secret beneath \[alerts\]"):
        check_alerts(load(path, CloudConfig).alerts)
    path.write_text(TOML.format(secret=f'secret = "{SECRET}"'))
    config = load(path, CloudConfig)
    check_alerts(config.alerts)
    assert [step.channel for step in config.alerts.escalation] == ["webhook"]
    assert SECRET not in repr(config)
    path.write_text(TOML.format(secret="").replace("https:", "gopher:"))
    with pytest.raises(UsageError, match="to = 'gopher"):
        load(path, CloudConfig)


KILLED = """
import os, signal, sys
from cloud.channels import Webhook
from cloud.config import CloudConfig
from cloud.dispatcher import Dispatcher
from cloud.sqlite_store import SqliteStore

class Dying(Webhook):
    def send(self, delivery, said):
        super().send(delivery, said)
        os.kill(os.getpid(), signal.SIGKILL)

Dispatcher(SqliteStore(sys.argv[1]), Dying(sys.argv[2]), CloudConfig(), clock=lambda: 1000.0).dispatch()
"""


def test_a_dispatcher_killed_between_delivery_and_mark_delivers_once_more_under_the_same_key(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    path = tmp_path / "cloud.db"
    store = opened(path, (0, hook.url))
    alert = call_in(store)
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path), SECRET], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(hook.got) == 1
    assert drain(store, Webhook(SECRET), 1000.0 + LEASE_S - 1) == 0
    assert drain(store, Webhook(SECRET), 1000.0 + LEASE_S) == 1
    assert drain(store, Webhook(SECRET), 90_000.0) == 0
    assert hook.keys() == 2 * [f"{alert.id}/1/0s/{hook.url}"]
    store.close()


class Gateway:
    """A nurse's gateway that follows `alert/v1/home/+`."""

    def __init__(self, port: int) -> None:
        self.heard: queue.Queue[tuple[str, dict[str, Any]]] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe(alert_topic("home", "+"), 1)
        self.client.on_message = lambda _c, _u, m: self.heard.put((m.topic, json.loads(m.payload)))
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def hears(self, state: str) -> dict[str, Any]:
        while True:
            topic, said = self.heard.get(timeout=30)
            assert topic == "alert/v1/home/p"
            if said["state"] == state:
                return said

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@contextmanager
def following(port: int) -> Iterator[Gateway]:
    gateway = Gateway(port)
    try:
        yield gateway
    finally:
        gateway.close()


@contextmanager
def dispatching(store: SqliteStore, channel: Channel) -> Iterator[None]:
    dispatcher = Dispatcher(store, channel, CONFIG)
    dispatcher.start()
    try:
        yield
    finally:
        dispatcher.stop()
        store.wake()
        dispatcher.join()


def test_a_gateway_follows_a_patch_also_when_it_comes_late_and_when_the_broker_lost_it(
    tmp_path: Path, broker: Any, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db")
    out = Mqtt(broker.url, "home", lambda: store.book.deliveries.publish_again(time.time()))
    with dispatching(store, out):
        with following(broker.port) as gateway:
            alert = call_in(store, time.time())
            assert gateway.hears("raised")["id"] == alert.id
            acknowledge(store, alert, time.time())
            assert gateway.hears("acknowledged")["acknowledged_by"] == "ann"
        with following(broker.port) as late:
            assert late.hears("acknowledged")["version"] == 3
        broker.kill()
        broker.start()
        with following(broker.port) as later:
            assert later.hears("acknowledged")["version"] == 3
    store.close()


def test_a_gateway_hears_of_an_alert_that_nobody_has_answered_before_an_answered_one_that_is_worse(
    tmp_path: Path, broker: Any, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db")
    with dispatching(store, Mqtt(broker.url, "home", lambda: None)), following(broker.port) as gateway:
        known = call_in(store, time.time())
        seen = store.book.see(known.id, "ann", "desk", 1, now=time.time())
        store.book.suppress(known.id, "ann", "desk", seen.version, hours=1, reason="known", now=time.time())
        worse = call_in(store, time.time(), Priority.HIGH, begin=1000)
        acknowledge(store, worse, time.time())
        assert gateway.hears("acknowledged")["id"] == worse.id
        store.book.undo(known.id, "bob", seen.version + 1, None, now=time.time())
        assert gateway.hears("raised")["id"] == known.id
        acknowledge(store, known, time.time())
        assert gateway.hears("acknowledged")["id"] == worse.id
    store.close()


def test_a_broker_that_is_away_is_a_delivery_that_fails(tmp_path: Path, call_in: Raise) -> None:
    store = opened(tmp_path / "cloud.db")
    call_in(store)
    channel = Mqtt(f"mqtt://127.0.0.1:{free_port()}", "home", lambda: None)
    drain(store, channel, 1000.0)
    channel.close()
    expected = "An alert cannot be delivered to the broker: there is no connection."
    assert store.book.deliveries.failing() == {"p": expected}
    store.close()


def test_a_dispatcher_sends_as_soon_as_something_is_committed(
    tmp_path: Path, hook: Hook, call_in: Raise
) -> None:
    store = opened(tmp_path / "cloud.db", (0, hook.url))
    with dispatching(store, Webhook(SECRET)):
        call_in(store, time.time())
        deadline = time.monotonic() + 20
        while not hook.got:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    store.close()
