"""From MQTT into the store: verify, commit, and only then acknowledge.

The edge deletes a segment, a trend row or a range on our word alone, so our word is given after the commit
and never before; the broker's message is released last of all. What cannot be read is kept as a dead letter
with its reason.
"""

from __future__ import annotations

import logging
import queue
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from cloud.store import Receipt, Store
from models.commands import Answer, Command, decode, encode
from models.errors import DeliveryError, PayloadError, UsageError
from models.ranges import RangeEnvelope, decode_range
from models.wire import (
    Envelope,
    Kind,
    Root,
    RowEnvelope,
    checked,
    decode_row,
    decode_segment,
    pack,
    topic,
    unpack,
)

logger = logging.getLogger(__name__)

KEEPALIVE_S = 10
RECONNECT_S = (1, 5)
KINDS: Sequence[Kind] = ("seg", "trend", "range", "hb", "state", "answer")
KEPT = {"Segment": "seg", "Row": "trend", "Range": "range"}  # what has our word, by its kind
PULSES = {"hb", "state"}  # nobody waits for our word on them: what comes meanwhile is one commit
PULSE_S = 0.5


class Heartbeat(BaseModel):
    """What an edge says of itself; see `edge.agent.heartbeat`. Unknown keys are left out."""

    model_config = ConfigDict(frozen=True)

    v: int = 1
    patch_id: str
    boot_id: Annotated[int, Field(ge=0, lt=2**32)]
    newest: Annotated[int, Field(ge=0, lt=2**53)]
    fs: Annotated[float, Field(gt=0, le=10_000)]
    newest_utc: FiniteFloat | None = None
    at: FiniteFloat = 0.0
    windows: int = 0
    flagged: int = 0
    unreadable_s: FiniteFloat = 0.0  # since the heartbeat before
    missing_s: FiniteFloat = 0.0
    unreadable_total_s: FiniteFloat = 0.0  # of this boot
    missing_total_s: FiniteFloat = 0.0
    battery_mv: int | None = None
    lead_off: list[str] = []
    outbox_depth: int = 0
    outbox_oldest_s: FiniteFloat = 0.0
    trend_depth: int = 0
    trend_refused: int = 0
    range_refused: int = 0
    segments: int = 0
    acknowledged: int = 0
    refused: int = 0
    uplink_bytes: int = 0
    raw_bytes: int = 0
    ended: bool = False
    recorder: str | None = None  # of the edge's own recording: "off", "ok", "full" or "failed: " and why
    recorder_bytes: int = 0
    recorder_oldest: int | None = None
    recorder_oldest_utc: FiniteFloat | None = None


class Inbox:
    """`start()` connects in the background and keeps trying; everything happens in paho's thread.

    Args:
        url: `mqtt://host:port`.
        site: whose `cloud/state` this node announces; segments of every site are taken.
        received: told the kind of each segment and row ("seg", "trend") and what became of it.
    """

    def __init__(
        self,
        url: str,
        site: str,
        store: Store,
        received: Callable[[str, str], object] = lambda _kind, _outcome: None,
        *,
        root: Root = "ecg",
        kinds: Sequence[Kind] = KINDS,
    ) -> None:
        self._address = broker_address(url)
        self._store = store
        self._topic = partial(topic, root=root)
        self._kinds = kinds
        self._state = self._topic(site, "cloud", "state")
        self._site = site
        self._pulses: queue.SimpleQueue[tuple[str, bytes] | None] = queue.SimpleQueue()
        self._pulse = threading.Thread(target=self._take_pulses, name="pulses", daemon=True)
        self._received = received
        # A fixed id: a node that comes back takes its predecessor's place at once.
        self._client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"anyecg-{'cloud' if root == 'ecg' else root}-{site}",
            protocol=mqtt.MQTTv5,
            manual_ack=True,
        )
        self._client.reconnect_delay_set(*RECONNECT_S)
        self._client.will_set(self._state, pack({"state": "offline"}), qos=1, retain=True)
        self._client.on_socket_open = no_delay
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    @property
    def connected(self) -> bool:
        return self._client.is_connected()

    def start(self) -> None:
        self._pulse.start()
        self._client.connect_async(*self._address, KEEPALIVE_S)
        self._client.loop_start()

    def stop(self) -> None:
        if self._client.is_connected():
            self._client.publish(self._state, pack({"state": "offline"}), qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_stop()
        if self._pulse.is_alive():
            self._pulses.put(None)
            self._pulse.join()

    def deliver(self, now: float) -> None:
        """Commands that are due go to their edges; not where no broker is there: paho would keep them."""
        if not self._client.is_connected():
            return
        for site, asked in self._store.commands.due(now):
            command = Command(id=asked.id, kind=asked.kind, body=dict(asked.body))
            self._client.publish(self._topic(site, asked.patch_id, "cmd"), encode(command), qos=1)
            self._store.commands.sent(asked, now)

    def _on_connect(
        self, client: mqtt.Client, _u: Any, _f: Any, code: ReasonCode, _p: Properties | None
    ) -> None:
        if code.is_failure:
            logger.warning("the broker refuses us: %s", code)
            return
        client.subscribe([(self._topic("+", "+", kind), 1) for kind in self._kinds])

    def _on_subscribe(self, client: mqtt.Client, *_: Any) -> None:
        """Heard from here on: an edge sends again what it sent while nobody listened."""
        client.publish(self._state, pack({"state": "online"}), qos=1, retain=True)

    def _on_message(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        try:
            if message.topic.rpartition("/")[2] in PULSES:
                self._pulses.put((message.topic, bytes(message.payload)))
            else:
                self._take(message.topic, bytes(message.payload))
        except Exception:  # without our own acknowledgement the edge keeps it and sends it again
            logger.exception("a message on %s could not be stored", message.topic)
        # The broker's copy goes in any case: it would give us nothing more once 100 of them are not released.
        client.ack(message.mid, message.qos)

    def _take_pulses(self) -> None:
        """All that came within half a second in one transaction, in order; the pulse thread."""
        while (first := self._pulses.get()) is not None:
            time.sleep(PULSE_S)
            held = [first, *(self._pulses.get() for _ in range(self._pulses.qsize()))]
            try:
                with self._store.writing():
                    for where, payload in filter(None, held):
                        self._take(where, payload)
            except Exception:
                logger.exception("%d heartbeats could not be stored; the next ones say more", len(held))
            if None in held:
                return

    def _take(self, where: str, payload: bytes) -> None:
        _, _, site, dev, kind = where.split("/")
        now = time.time()
        try:
            if kind == "seg":
                self._take_segment(where, payload, now)
            elif kind == "trend":
                self._take_row(where, payload, now)
            elif kind == "range":
                self._take_range(where, payload, now)
            elif kind == "hb":
                self._take_heartbeat(site, dev, unpack(payload), now)
            elif kind == "answer":
                self._store.commands.answered(dev, decode(Answer, payload), now=now)
            elif dev != "cloud":
                self._take_state(site, dev, unpack(payload), now)
        except DeliveryError:
            raise
        except Exception as error:  # one message must never end paho's thread, and with it all hearing
            refusal = error if isinstance(error, PayloadError) else PayloadError("internal", repr(error))
            ours = kind in KEPT.values()
            segment = _readable_id(payload) if ours else None
            logger.warning("refused a message on %s: %s", where, refusal, exc_info=refusal is not error)
            self._store.reject(
                payload, topic=where, reason=refusal.reason, segment_id=segment, patch_id=dev, now=now
            )
            if ours:
                self._received(kind, "refused")
                self._refuse(site, dev, payload, refusal.reason)

    def _take_segment(self, where: str, payload: bytes, now: float) -> None:
        segment, envelope = decode_segment(payload)
        _came_as_its_own("Segment", envelope, where)
        receipt = self._store.commit_segment(payload, segment, seq=envelope.seq, site=envelope.site, now=now)
        self._give_word("Segment", envelope, receipt, where, payload, now)

    def _take_row(self, where: str, payload: bytes, now: float) -> None:
        row, envelope = decode_row(payload)
        _came_as_its_own("Row", envelope, where)
        receipt = self._store.trends.commit(row, seq=envelope.seq, site=envelope.site, now=now)
        self._give_word("Row", envelope, receipt, where, payload, now)

    def _take_range(self, where: str, payload: bytes, now: float) -> None:
        pulled, envelope = decode_range(payload)
        _came_as_its_own("Range", envelope, where)
        receipt = self._store.ranges.commit(payload, pulled, seq=envelope.seq, site=envelope.site, now=now)
        self._give_word("Range", envelope, receipt, where, payload, now)

    def _give_word(
        self,
        what: str,
        envelope: Envelope | RowEnvelope | RangeEnvelope,
        receipt: Receipt,
        where: str,
        payload: bytes,
        now: float,
    ) -> None:
        """The acknowledgement of what is committed; another content under its id is kept and raised."""
        me, dev = envelope.id, envelope.patch_id
        if receipt is Receipt.CONFLICT:
            text = f"{what} {me} came twice with different content; the second was kept aside."
            self._store.reject(payload, topic=where, reason="conflict", segment_id=me, patch_id=dev, now=now)
            self._store.raise_technical(dev, "conflict", text, now=now)
        self._received(KEPT[what], receipt.name.lower())
        self._answer(envelope.site, dev, me, receipt.value, envelope.sha256)

    def _take_heartbeat(self, site: str, dev: str, beat: dict[str, Any], now: float) -> None:
        read = checked(Heartbeat, beat, f"The heartbeat of {dev}")
        if read.patch_id != dev:
            raise PayloadError("topic", f"The heartbeat of {read.patch_id} came as {dev}'s.")
        self._store.heartbeat(dev, site, read.model_dump(exclude_unset=True), now=now)

    def _take_state(self, site: str, dev: str, said: dict[str, Any], now: float) -> None:
        online = said.get("state") == "online"
        self._store.state(dev, site, online, now=now)
        if online:
            self._store.commands.hasten(dev, now)

    def _refuse(self, site: str, dev: str, payload: bytes, reason: str) -> None:
        if segment := _readable_id(payload):
            self._answer(site, dev, segment, f"rejected:{reason}", None)

    def _answer(self, site: str, dev: str, segment: str, status: str, sha256: str | None) -> None:
        ack = {"v": 1, "id": segment, "status": status, "sha256": sha256}
        self._client.publish(self._topic(site, dev, "ack"), pack(ack), qos=1)


def _came_as_its_own(what: str, envelope: Envelope | RowEnvelope | RangeEnvelope, where: str) -> None:
    if where.split("/")[2:4] != [envelope.site, envelope.patch_id]:
        raise PayloadError("topic", f"{what} {envelope.id} of {envelope.patch_id} came on {where}.")


def _readable_id(payload: bytes) -> str | None:
    try:
        segment = unpack(payload).get("id")
    except PayloadError:
        return None
    return segment if isinstance(segment, str) else None


def no_delay(_client: mqtt.Client, _user: Any, sock: Any) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def broker_address(url: str) -> tuple[str, int]:
    refusal = f"{url!r} is not a broker address; write mqtt://host:port."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 1883  # reading a port that is no number raises
    except ValueError as error:
        raise UsageError(refusal) from error
    if parts.scheme != "mqtt" or not host:
        raise UsageError(refusal)
    return host, port
