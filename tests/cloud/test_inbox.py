"""The inbox over a real broker: acknowledged after the commit, whatever is sent to it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any, Protocol

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.config import CloudConfig
from cloud.inbox import Inbox
from cloud.node import check_patches
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.errors import UsageError
from models.wire import encode_segment, pack, unpack

MakePart = Callable[..., Segment]
BEAT = {"v": 1, "patch_id": "p", "boot_id": 1, "newest": 6000, "newest_utc": 1060.0, "fs": 100.0}


class BrokerProcess(Protocol):
    port: int
    url: str

    def start(self) -> None: ...
    def kill(self) -> None: ...


@pytest.fixture
def edge(patch_edge: Any, inbox: Inbox) -> Any:
    patch_edge.hears("online")
    return patch_edge


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_an_acknowledged_segment_is_in_the_store_and_the_same_again_is_a_duplicate(
    edge: Any, store: SqliteStore, make_part: MakePart
) -> None:
    part = make_part(0)
    edge.send(encode_segment(part, 0, "home"))
    ack = edge.acks.get(timeout=20)
    assert store.sha256s() == {part.id: part.sha256}
    assert ack == {"v": 1, "id": part.id, "status": "committed", "sha256": part.sha256}
    edge.send(encode_segment(part, 0, "home"))
    assert edge.answer() == "duplicate"
    assert store.pending() == 1


def test_a_conflict_is_refused_kept_and_raised_as_a_technical_alert(
    edge: Any, store: SqliteStore, make_part: MakePart
) -> None:
    edge.send(encode_segment(make_part(0, value=1), 0, "home"))
    edge.send(encode_segment(make_part(0, value=2), 0, "home"))
    assert [edge.answer(), edge.answer()] == ["committed", "rejected:conflict"]
    (letter,) = store.rejects()
    assert (letter.reason, letter.patch_id) == ("conflict", "p")
    assert letter.payload == encode_segment(make_part(0, value=2), 0, "home")
    assert [alert.kind for alert in store.technical_alerts()] == ["conflict"]
    assert store.sha256s() == {make_part(0).id: make_part(0, value=1).sha256}


def test_what_cannot_be_read_is_a_dead_letter_and_the_next_one_is_taken(
    edge: Any, store: SqliteStore, make_part: MakePart
) -> None:
    good = encode_segment(make_part(0), 0, "home")
    fields = unpack(good)
    edge.send(b"\xff not cbor")
    edge.send(pack(fields | {"v": 9}))
    edge.send(pack(fields | {"sha256": "0" * 64}))
    edge.send(pack(fields | {"count": -1}))
    edge.send(good, dev="somebody-else")
    edge.send(good)
    answers = [edge.answer() for _ in range(5)]
    assert answers == ["rejected:version", "rejected:hash", "rejected:schema", "rejected:topic", "committed"]
    reasons = [letter.reason for letter in reversed(store.rejects())]
    assert reasons == ["cbor", "version", "hash", "schema", "topic"]


def test_a_segment_sent_while_the_broker_was_killed_is_taken_when_it_is_back(
    broker: BrokerProcess, edge: Any, store: SqliteStore, make_part: MakePart
) -> None:
    broker.kill()
    broker.start()
    edge.hears("online")
    edge.send(encode_segment(make_part(0), 0, "home"))
    assert edge.answer() == "committed"
    assert len(store.sha256s()) == 1


def test_a_heartbeat_and_a_state_are_what_the_page_shows(edge: Any, store: SqliteStore) -> None:
    edge.send(pack(BEAT | {"unreadable_total_s": 5.0, "missing_total_s": 2.0}), "hb")
    wait_until(lambda: bool(store.patches()))
    (patch,) = store.patches()
    assert (patch.online, patch.not_analysed_s, patch.newest_age_s(1070.0)) == (True, 7.0, 10.0)
    edge.send(pack({"state": "offline"}), "state")
    wait_until(lambda: not store.patches()[0].online)
    assert store.patches()[0].heartbeat["newest"] == 6000


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1", "mqtt://", "mqtt://h:port", "mqtt://h:99999", "mqtt://[h"]
)
def test_an_address_that_is_none_is_one_sentence(store: SqliteStore, url: str) -> None:
    with pytest.raises(UsageError, match="mqtt://host:port"):
        Inbox(url, "home", store)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(payload=st.binary(max_size=300), kind=st.sampled_from(["seg", "hb", "state"]))
def test_no_bytes_end_the_inbox(deaf: Inbox, payload: bytes, kind: str) -> None:
    deaf._take(f"ecg/v1/home/p/{kind}", payload)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.just([]),
)
NAMES = st.sampled_from(
    ["patch_id", "boot_id", "newest", "newest_utc", "fs", "unreadable_s", "missing_s", "unreadable_total_s",
     "missing_total_s", "ended", "refused", "unknown"]
)  # fmt: skip


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strange=st.dictionaries(NAMES, VALUES, min_size=1, max_size=3))
def test_no_heartbeat_ends_the_inbox_and_what_is_kept_of_it_is_json(
    deaf: Inbox, store: SqliteStore, strange: dict[str, Any]
) -> None:
    deaf._take("ecg/v1/home/p/hb", pack(BEAT | strange))
    for event in store.events(store.last_event() - 1):
        json.dumps(event.data, allow_nan=False)
    check_patches(store, CloudConfig(), 2000.0)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(
        ["seq", "part", "gaps", "lead_off", "markers", "uv_per_count", "clock", "screenings"]
    ),
    value=st.one_of(st.just(2**70), st.just(-5), st.just(float("nan")), VALUES),
)
def test_no_envelope_ends_the_inbox(deaf: Inbox, make_part: MakePart, name: str, value: object) -> None:
    fields = unpack(encode_segment(make_part(0), 0, "home"))
    deaf._take("ecg/v1/home/p/seg", cbor2.dumps(fields | {name: value}))


def test_heartbeats_that_come_together_are_one_commit(
    edge: Any, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    announce = store._announce
    monkeypatch.setattr(store, "_announce", lambda: (commits.append(1), announce()))
    for number in range(10):
        edge.send(pack(BEAT | {"patch_id": f"p{number}"}), kind="hb", dev=f"p{number}")
    wait_until(lambda: len(store.patches()) == 10)
    assert len(commits) < 5
