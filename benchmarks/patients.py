"""Simulated patients for `benchmarks.load`: real recordings through the real edge, sent by many over MQTT."""

from __future__ import annotations

import heapq
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from edge.intake import Intake
from edge.screening import WindowScreener
from models.ecg import Clock, Segment, row_id, segment_id
from models.evaluation.served import cut
from models.recordings import Recording, RecordingSource, open_recording
from models.screener.runtime import Screener
from models.verdicts import TrendRow
from models.wire import encode_row, encode_segment, pack, topic, unpack

DATABASE = "mitdb"
RECORDS = 16  # different hearts, each worn by many
HEARTBEAT_S = 15.0  # as an edge has it by default
A_CONNECTION = 10  # patients
WAIT_S = 60.0  # for what is still on its way at the end

Made = Segment | TrendRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart:
    """What the edge made of a recording."""

    fs: float
    made: tuple[Made, ...]

    @classmethod
    def of(cls, recording: Recording) -> Heart:
        intake = Intake(WindowScreener(Screener()))
        items = RecordingSource(recording).blocks()
        out = [one for item in items for one in intake.push(item) if isinstance(one, Segment | TrendRow)]
        return cls(fs=recording.fs, made=tuple(out))


def hearts_of(seconds: float) -> list[Heart]:
    """Of as many records as there are, so many seconds of each; without ANYECG_DATA, of the excerpt."""
    data = Path(os.environ.get("ANYECG_DATA", "/nowhere")) / DATABASE
    paths = [str(path.with_suffix("")) for path in sorted(data.glob("*.hea"))[:RECORDS]] or ["excerpt"]
    out = []
    for path in paths:
        recording = open_recording(path)
        last = min(round(seconds * recording.fs), recording.counts.shape[1]) - 1
        out.append(Heart.of(cut(recording, 0, last)))
    return out


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """One patch from `start` on (Unix seconds of sample 0); `ill` ones forward what was flagged."""

    patch_id: str
    site: str
    heart: Heart
    start: float
    ill: bool

    def messages(self, until: float) -> Iterator[tuple[float, str, bytes]]:
        """(Unix seconds, topic, payload), each when its last sample has been taken; in no order."""
        kept = [one for one in self.heart.made if isinstance(one, TrendRow) or self.ill]
        for seq, one in enumerate(self._worn(kept)):
            at = self.start + (one.last + 1) / one.fs
            if isinstance(one, Segment):
                yield at, topic(self.site, self.patch_id, "seg"), encode_segment(one, seq, self.site)
            else:
                yield at, topic(self.site, self.patch_id, "trend"), encode_row(one, seq, self.site)
        at = self.start + HEARTBEAT_S
        while at < until:
            yield at, topic(self.site, self.patch_id, "hb"), pack(self._heartbeat(at))
            at += HEARTBEAT_S

    def _worn(self, made: Sequence[Made]) -> Iterator[Made]:
        """The same under this patch's own name and clock; ids follow from these."""
        me, boot = self.patch_id, 1
        ids = {s.id: segment_id(me, boot, s.first, s.last) for s in made if isinstance(s, Segment)}
        for one in made:
            at = self.start + (one.last + 1) / one.fs
            clock = Clock(utc_0=self.start, fs=one.fs, error_s=0.05, quality="arrival", received_at=at)
            own: dict[str, Any] = {"patch_id": me, "boot_id": boot, "clock": clock}
            if isinstance(one, Segment):
                own |= {"id": ids[one.id], "episode_id": ids[one.episode_id]}
                own["continues"] = None if one.continues is None else ids[one.continues]
            else:
                own["id"] = row_id(me, boot, one.first)
            yield replace(one, **own)

    def _heartbeat(self, at: float) -> dict[str, Any]:
        newest = round((at - self.start) * self.heart.fs)
        told = {"newest": newest, "newest_utc": at, "fs": self.heart.fs, "at": at, "battery_mv": 3900}
        return {"v": 1, "patch_id": self.patch_id, "boot_id": 1, **told}


class Uplinks(threading.Thread):
    """Sends what the patients have to say, when it is due; counts what the cloud says it committed."""

    def __init__(self, port: int, patients: Sequence[Patient], until: float) -> None:
        super().__init__(name="patients", daemon=True)
        self._port, self._patients, self._until = port, patients, until
        self.sent = {"seg": 0, "trend": 0, "hb": 0}
        self.acknowledged: set[str] = set()
        self.answers: dict[str, int] = {}

    def run(self) -> None:
        clients = {site: self._connected(site) for site in {patient.site for patient in self._patients}}
        due = [message for patient in self._patients for message in patient.messages(self._until)]
        heapq.heapify(due)
        while due and due[0][0] < self._until:
            at, where, payload = heapq.heappop(due)
            time.sleep(max(0.0, at - time.time()))
            _, _, site, _, kind = where.split("/")
            clients[site].publish(where, payload, qos=0 if kind == "hb" else 1)
            self.sent[kind] += 1
        owed, patience = self.sent["seg"] + self.sent["trend"], time.time() + WAIT_S
        while len(self.acknowledged) < owed and time.time() < patience:
            time.sleep(0.1)
        for client in clients.values():
            client.disconnect()
            client.loop_stop()

    def _connected(self, site: str) -> mqtt.Client:
        ready = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"edge-{site}", protocol=mqtt.MQTTv5)
        client.on_connect = lambda c, *_: c.subscribe(topic(site, "+", "ack"), 1)
        client.on_subscribe = lambda *_: ready.set()
        client.on_message = self._take
        client.connect("127.0.0.1", self._port)
        client.loop_start()
        ready.wait(10)
        return client

    def _take(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        said = unpack(bytes(message.payload))
        self.answers[said["status"]] = self.answers.get(said["status"], 0) + 1
        self.acknowledged.add(said["id"])


def patch_id(number: int) -> str:
    return f"p{number:03d}"


def ward(hearts: Sequence[Heart], count: int, begin: float, ill: float) -> list[Patient]:
    """`count` patients who begin one after the other within a minute, a share of them `ill`."""
    every = round(1 / ill) if ill else count + 1
    return [
        Patient(
            patch_id=patch_id(number),
            site=f"home-{number // A_CONNECTION}",
            heart=hearts[number % len(hearts)],
            start=begin + 60.0 * ((7 * number) % count) / count,
            ill=number % every == 0,
        )
        for number in range(count)
    ]
