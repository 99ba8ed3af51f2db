"""Rows of the trend in the cloud: once each, refused with a reason, and read by patch and time."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.inbox import Inbox
from cloud.sqlite_store import SqliteStore
from cloud.store import Receipt
from edge.intake import Intake
from edge.outbox import Outbox
from edge.screening import WindowScreener
from edge.uplink import Uplink
from models.ecg import Clock, row_id
from models.errors import PayloadError
from models.recordings import Recording, RecordingSource
from models.screener.runtime import Screener
from models.verdicts import Screening, TrendRow
from models.wire import MAX_ROW, decode_row, encode_row, pack, unpack

ROOT = Path(__file__).resolve().parents[2]
NOON = 1_700_000_000.0 // 86_400 * 86_400 + 43_200
CLOCK = Clock(utc_0=NOON, fs=100.0, error_s=0.05, quality="arrival", received_at=NOON + 60)
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


def make_row(minute: int = 0, *, patch: str = "p", beats: int = 70, clock: Clock = CLOCK) -> TrendRow:
    first = minute * 6000
    return TrendRow(
        id=row_id(patch, 1, first),
        patch_id=patch,
        boot_id=1,
        first=first,
        last=first + 5999,
        fs=100.0,
        missing_s=1.5,
        unreadable_s=2.5,
        flagged_s=20.0,
        beats=beats,
        n_V=2,
        n_S=1,
        af_s=0.25,
        hr_min=61.2,
        hr_mean=70.0,
        hr_max=None,
        model="screener/2 0123abcd",
        clock=clock,
    )


def every(store: SqliteStore, patch: str = "p") -> list[TrendRow]:
    return store.trends.rows(patch, 0, 2.0**33)


def test_a_row_reads_back_as_it_was_and_tells_the_page(store: SqliteStore) -> None:
    row = make_row()
    assert store.trends.commit(row, seq=3, site="home", now=1.0) is Receipt.COMMITTED
    assert every(store) == [row]
    (event,) = store.events(0)
    assert (event.kind, event.data) == ("trend", {"patch_id": "p", "boot_id": 1, "first": 0})


def test_the_same_row_is_a_duplicate_whatever_its_clock_and_another_is_a_conflict(store: SqliteStore) -> None:
    again = replace(CLOCK, utc_0=NOON + 0.3)
    made = [make_row(), make_row(), make_row(clock=again), make_row(beats=71)]
    receipts = [store.trends.commit(row, seq=1, site="home", now=1.0) for row in made]
    assert receipts == [Receipt.COMMITTED, Receipt.DUPLICATE, Receipt.DUPLICATE, Receipt.CONFLICT]
    assert every(store) == [make_row()]
    assert store.last_event() == 1


def test_rows_are_read_by_patch_and_time_and_days_are_those_that_have_some(store: SqliteStore) -> None:
    for minute in (3, 1, 2, 12 * 60, 36 * 60 - 1):
        store.trends.commit(make_row(minute), seq=1, site="home", now=1.0)
    store.trends.commit(make_row(1, patch="q"), seq=1, site="home", now=1.0)
    store.trends.commit(make_row(5, clock=Clock()), seq=1, site="home", now=1.0)
    between = store.trends.rows("p", NOON + 60, NOON + 180)
    assert [row.first // 6000 for row in between] == [1, 2]
    assert [row.first // 6000 for row in every(store)] == [1, 2, 3, 720, 2159]
    assert store.trends.days("p") == [date(2023, 11, 14), date(2023, 11, 15)]
    assert store.trends.days("nobody") == []


def test_a_row_is_acknowledged_after_its_commit_over_a_real_broker(
    inbox: Inbox, patch_edge: Any, store: SqliteStore
) -> None:
    patch_edge.hears("online")
    row = make_row()
    patch_edge.send(encode_row(row, 5, "home"), "trend")
    ack = patch_edge.acks.get(timeout=20)
    assert every(store) == [row]
    assert ack == {"v": 1, "id": row.id, "status": "committed", "sha256": row.sha256}
    patch_edge.send(encode_row(row, 5, "home"), "trend")
    patch_edge.send(encode_row(make_row(beats=71), 5, "home"), "trend")
    patch_edge.send(encode_row(row, 5, "home"), "trend", dev="somebody-else")
    patch_edge.send(pack(unpack(encode_row(row, 5, "home")) | {"v": 2}), "trend")
    answers = [patch_edge.answer() for _ in range(4)]
    assert answers == ["duplicate", "rejected:conflict", "rejected:topic", "rejected:version"]
    letters = {letter.reason: letter for letter in store.rejects()}
    assert letters["conflict"].payload == encode_row(make_row(beats=71), 5, "home")
    assert [alert.kind for alert in store.technical_alerts()] == ["conflict"]
    assert every(store) == [row]


def test_a_node_killed_between_commit_and_word_has_the_row_once(
    broker: Any, patch_edge: Any, tmp_path: Path
) -> None:
    path, payload = tmp_path / "killed.db", encode_row(make_row(), 1, "home")
    dying = subprocess.Popen([sys.executable, "-c", DYING, broker.url, str(path)], cwd=ROOT)
    patch_edge.hears("online")
    patch_edge.send(payload, "trend")
    assert dying.wait(timeout=60) == -signal.SIGKILL
    patch_edge.hears("offline")
    assert patch_edge.acks.empty()
    store = SqliteStore(str(path))
    inbox = Inbox(broker.url, "home", store)
    inbox.start()
    patch_edge.hears("online")
    patch_edge.send(payload, "trend")
    assert patch_edge.answer() == "duplicate"
    assert every(store) == [make_row()]
    inbox.stop()
    store.close()


async def test_the_rows_of_a_recording_reach_the_cloud_though_the_broker_is_killed(
    broker: Any, inbox: Inbox, store: SqliteStore, excerpt: Recording, tmp_path: Path
) -> None:
    """The whole way: windows, outbox, a broker that dies with what it holds, inbox, table."""
    recorded = Clock(utc_0=NOON, fs=excerpt.fs, error_s=1.0, quality="recording")
    intake, box = Intake(WindowScreener(Screener()), recorded=recorded), Outbox(tmp_path / "o.db", "home")
    rows: list[TrendRow] = []
    for item in RecordingSource(excerpt).blocks():
        made = [o for o in intake.push(item) if not isinstance(o, Screening)]
        rows += [o for o in made if isinstance(o, TrendRow)]
        assert intake.boot is not None
        box.commit(intake.boot, made, intake.state)
    uplink = Uplink(broker.url, "home", box)
    sending = asyncio.ensure_future(uplink.run())
    async with asyncio.timeout(60):
        while box.depth() > 5:
            await asyncio.sleep(0.01)
        broker.kill()
        broker.start()
        while box.depth() + box.depth("trend"):
            await asyncio.sleep(0.05)
    sending.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await sending
    box.close()
    assert store.trends.rows(excerpt.patch_id, NOON, NOON + 86_400) == rows
    assert sum(row.covered_s for row in rows) == pytest.approx(300)
    assert store.rejects() == []


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"v": 2}, "version"),
        ({"v": None}, "version"),
        ({"beats": 71}, "hash"),
        ({"missing_s": 1.25}, "hash"),
        ({"sha256": "0" * 64}, "hash"),
        ({"missing_s": 58.0}, "schema"),
        ({"af_s": float("nan")}, "schema"),
        ({"hr_mean": float("inf")}, "schema"),
        ({"hr_min": 0}, "schema"),
        ({"n_V": 70}, "schema"),
        ({"beats": -1}, "schema"),
        ({"last": -1}, "schema"),
        ({"last": 2**60}, "schema"),
        ({"last": 12_000}, "schema"),
        ({"fs": 0}, "schema"),
        ({"boot_id": 2**40}, "schema"),
        ({"model": 3}, "schema"),
        ({"clock": {"utc_0": float("nan"), "fs": 100.0}}, "schema"),
        ({"clock": {"utc_0": 1e300, "fs": 100.0}}, "schema"),
        ({"clock": {"utc_0": 0.0, "fs": 0.0}}, "schema"),
        ({"clock": {"error_s": float("inf")}}, "schema"),
        ({"id": row_id("p", 1, 1)}, "hash"),
        ({"padding": "x" * MAX_ROW}, "size"),
    ],
)
def test_a_row_with_nonsense_is_refused_with_a_reason(wrong: dict[str, Any], reason: str) -> None:
    with pytest.raises(PayloadError) as refused:
        decode_row(pack(unpack(encode_row(make_row(), 1, "home")) | wrong))
    assert refused.value.reason == reason


def test_an_id_of_another_row_is_refused_though_the_hash_is_right() -> None:
    with pytest.raises(PayloadError) as refused:
        decode_row(encode_row(replace(make_row(), id=row_id("p", 1, 1)), 1, "home"))
    assert refused.value.reason == "id"


def test_what_a_later_version_adds_is_ignored() -> None:
    payload = pack(unpack(encode_row(make_row(), 1, "home")) | {"n_F": 3})
    assert decode_row(payload)[0] == make_row()


FIELDS = sorted(unpack(encode_row(make_row(), 1, "home")))
VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.binary(max_size=4),
    st.just([]),
    st.dictionaries(st.sampled_from(["utc_0", "fs", "error_s"]), st.floats(), max_size=3),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(strange=st.dictionaries(st.sampled_from(FIELDS), VALUES, min_size=1, max_size=3))
def test_no_row_ends_the_inbox_and_what_is_kept_can_be_drawn(
    deaf: Inbox, store: SqliteStore, strange: dict[str, Any]
) -> None:
    deaf._take("ecg/v1/home/p/trend", cbor2.dumps(unpack(encode_row(make_row(), 1, "home")) | strange))
    assert all(replace(row, clock=CLOCK) == make_row() for row in every(store))
    store.trends.days("p")


@settings(max_examples=300)
@given(at=st.integers(0, len(encode_row(make_row(), 1, "home")) - 1), bit=st.integers(0, 7))
def test_a_bit_turned_on_the_way_is_refused_or_changes_nothing_that_was_counted(at: int, bit: int) -> None:
    payload = bytearray(encode_row(make_row(), 1, "home"))
    payload[at] ^= 1 << bit
    with contextlib.suppress(PayloadError):
        assert replace(decode_row(bytes(payload))[0], clock=CLOCK) == make_row()
