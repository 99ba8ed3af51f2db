"""The inbox when things go wrong: killed between commit and word, a full disk, and strange messages."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import pytest

from cloud.config import CloudConfig
from cloud.inbox import Inbox
from cloud.node import check_patches
from cloud.sqlite_store import SqliteStore
from cloud.store import Receipt
from models.ecg import Segment
from models.errors import DeliveryError
from models.wire import MAX_PAYLOAD, encode_segment, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
MakePart = Callable[..., Segment]
BEAT = {"v": 1, "patch_id": "p", "boot_id": 1, "newest": 6000, "newest_utc": 1060.0, "fs": 100.0}
DYING = """
import os, signal, sys, time
from cloud.inbox import Inbox
from cloud.store import open_store
class Dying(Inbox):
    def _answer(self, *_):
        os.kill(os.getpid(), signal.SIGKILL)
Dying(sys.argv[1], "home", open_store("sqlite:///" + sys.argv[2])).start()
time.sleep(60)
"""


class BrokerProcess(Protocol):
    port: int
    url: str


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_node_killed_between_commit_and_word_is_sent_it_again_and_has_it_once(
    broker: BrokerProcess, patch_edge: Any, tmp_path: Path, make_part: MakePart
) -> None:
    path = tmp_path / "cloud.db"
    part = make_part(0)
    dying = subprocess.Popen([sys.executable, "-c", DYING, broker.url, str(path)], cwd=ROOT)
    patch_edge.hears("online")
    patch_edge.send(encode_segment(part, 0, "home"))
    assert dying.wait(timeout=30) == -signal.SIGKILL
    patch_edge.hears("offline")
    assert patch_edge.acks.empty()
    store = SqliteStore(str(path))
    assert store.sha256s() == {part.id: part.sha256}
    inbox = Inbox(broker.url, "home", store)
    inbox.start()
    patch_edge.hears("online")
    patch_edge.send(encode_segment(part, 0, "home"))
    ack = patch_edge.acks.get(timeout=20)
    assert (ack["id"], ack["status"]) == (part.id, "duplicate")
    assert (store.pending(), len(store.sha256s())) == (1, 1)
    assert [event.kind for event in store.events(0)].count("segment") == 1
    inbox.stop()
    patch_edge.hears("offline")
    store.close()


class Full(SqliteStore):
    """A store whose disk is full until `room`."""

    room = False
    refused = 0

    def commit_segment(self, payload: bytes, segment: Segment, *, seq: int, site: str, now: float) -> Receipt:
        if not self.room:
            self.refused += 1
            raise DeliveryError("The disk is full.")
        return super().commit_segment(payload, segment, seq=seq, site=site, now=now)


def test_what_cannot_be_stored_is_not_acknowledged_and_is_taken_when_there_is_room_again(
    broker: BrokerProcess, patch_edge: Any, tmp_path: Path, make_part: MakePart
) -> None:
    """More of them than a broker lets be on the way: the inbox must not starve of its own backlog."""
    store = Full(str(tmp_path / "full.db"))
    inbox = Inbox(broker.url, "home", store)
    inbox.start()
    patch_edge.hears("online")
    payload = encode_segment(make_part(0), 0, "home")
    for sent in range(1, 151):
        patch_edge.send(payload)
        if sent % 50 == 0:
            wait_until(lambda n=sent: store.refused == n)  # type: ignore[misc]
    assert patch_edge.acks.empty()
    assert store.rejects() == []
    store.room = True
    patch_edge.send(payload)
    assert patch_edge.acks.get(timeout=20)["status"] == "committed"
    inbox.stop()
    store.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"fs": 0},
        {"fs": float("nan")},
        {"fs": None},
        {"newest": "soon"},
        {"newest": -1},
        {"newest_utc": float("inf")},
        {"refused": "many"},
        {"refused": None},
        {"boot_id": -1},
        {"unreadable_s": float("nan")},
        {"missing_total_s": "x"},
        {"patch_id": None},
    ],
)
def test_a_heartbeat_with_nonsense_is_a_dead_letter_and_changes_nothing(
    deaf: Inbox, store: SqliteStore, wrong: dict[str, Any]
) -> None:
    deaf._take("ecg/v1/home/p/hb", pack(BEAT))
    before = store.patches()
    deaf._take("ecg/v1/home/p/hb", pack(BEAT | {"newest": 7000} | wrong))
    assert store.patches() == before
    assert [letter.reason for letter in store.rejects()] == ["schema"]
    check_patches(store, CloudConfig(), time.time())


def test_a_heartbeat_without_its_numbers_or_of_another_patch_is_refused(
    deaf: Inbox, store: SqliteStore
) -> None:
    for missing in ("patch_id", "boot_id", "newest", "fs"):
        deaf._take("ecg/v1/home/p/hb", pack({k: v for k, v in BEAT.items() if k != missing}))
    deaf._take("ecg/v1/home/other/hb", pack(BEAT))
    assert store.patches() == []
    assert [letter.reason for letter in store.rejects()] == ["topic"] + 4 * ["schema"]


def test_what_a_heartbeat_says_is_kept_word_for_word(deaf: Inbox, store: SqliteStore) -> None:
    said = BEAT | {"refused": 2, "battery_mv": 3900, "lead_off": ["II"], "ended": False, "missing_s": 1.5}
    deaf._take("ecg/v1/home/p/hb", pack(said | {"of a later version": 1}))
    (patch,) = store.patches()
    assert dict(patch.heartbeat) == said


def test_a_message_larger_than_is_read_is_a_dead_letter_without_being_read(
    deaf: Inbox, store: SqliteStore, make_part: MakePart
) -> None:
    fields = unpack(encode_segment(make_part(0), 0, "home"))
    deaf._take("ecg/v1/home/p/seg", pack(fields | {"samples": b"\0" * MAX_PAYLOAD}))
    (letter,) = store.rejects()
    assert (letter.reason, letter.segment_id, store.pending()) == ("size", None, 0)


def test_a_gain_that_is_no_number_is_refused_and_not_analysed_as_silence(
    deaf: Inbox, store: SqliteStore, make_part: MakePart
) -> None:
    fields = unpack(encode_segment(make_part(0), 0, "home"))
    deaf._take("ecg/v1/home/p/seg", pack(fields | {"uv_per_count": [float("nan")]}))
    (letter,) = store.rejects()
    assert (letter.reason, letter.segment_id, store.pending()) == ("schema", fields["id"], 0)


def test_the_clouds_own_state_makes_no_patch(deaf: Inbox, store: SqliteStore) -> None:
    deaf._take("ecg/v1/home/cloud/state", pack({"state": "online"}))
    assert store.patches() == []


def test_an_offline_patch_stays_silent_however_often_the_broker_repeats_it(
    deaf: Inbox, store: SqliteStore
) -> None:
    """Its last will is retained: a node that comes back is told again, and has heard nobody."""
    deaf._take("ecg/v1/home/p/hb", pack(BEAT))
    heard = store.patches()[0].heard_at
    deaf._take("ecg/v1/home/p/state", pack({"state": "offline"}))
    (patch,) = store.patches()
    assert (patch.online, patch.heard_at) == (False, heard)
    check_patches(store, CloudConfig(), heard + 61.0)
    assert "silent" in [alert.kind for alert in store.technical_alerts()]


def test_segments_the_cloud_refused_are_told_until_the_edge_has_none(deaf: Inbox, store: SqliteStore) -> None:
    deaf._take("ecg/v1/home/p/hb", pack(BEAT | {"refused": 3, "newest_utc": None}))
    check_patches(store, CloudConfig(), time.time())
    check_patches(store, CloudConfig(), time.time())
    assert [alert.kind for alert in store.technical_alerts()] == ["refused"]
    deaf._take("ecg/v1/home/p/hb", pack(BEAT | {"refused": 0, "newest_utc": None}))
    check_patches(store, CloudConfig(), time.time())
    assert store.technical_alerts() == []


class Answers(Inbox):
    """Never connected; remembers what it would have answered."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__("mqtt://127.0.0.1:1", "home", store)
        self.said: list[str] = []

    def _answer(self, site: str, dev: str, segment: str, status: str, sha256: str | None) -> None:
        self.said.append(status)


def test_a_store_that_cannot_be_opened_for_a_moment_refuses_no_segment(
    store: SqliteStore, make_part: MakePart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(path: str) -> Any:
        raise sqlite3.OperationalError("unable to open database file")

    inbox, payload = Answers(store), encode_segment(make_part(0), 0, "home")
    with ThreadPoolExecutor(1) as paho, monkeypatch.context() as patched:
        patched.setattr("cloud.memory.connect", away)
        with pytest.raises(DeliveryError, match="unable to open"):
            paho.submit(inbox._take, "ecg/v1/home/p/seg", payload).result()
        assert inbox.said == []
        patched.undo()
        paho.submit(inbox._take, "ecg/v1/home/p/seg", payload).result()
    assert (inbox.said, store.rejects()) == (["committed"], [])
