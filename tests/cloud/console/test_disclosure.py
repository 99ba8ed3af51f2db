"""Full disclosure in a real browser: a day from the recorder's own files, and a minute a click away."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from cloud.assignments import Assignments
from cloud.commands import State
from cloud.disclosure import HELD, NOTHING, PER_MINUTE, Columns, pieces
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from edge.pulls import minutes, stretches
from edge.recorded import Recorded
from edge.records import Head, Kind, Record, boot_key, encode, encode_head
from edge.records import Page as File
from models.commands import Answer, PullRange, body_of
from models.ecg import Clock, GapReason, Segment, read_only
from models.ranges import Pulled, encode_range, reduced
from models.wire import compress
from tests.cloud.console.test_axe import found

FS = 250.0
PATCH, BOOT = "made", 1
HOUR = round(3600 * FS)
DAY = (datetime.now(UTC).astimezone() - timedelta(days=1)).date()
BEGIN = datetime(DAY.year, DAY.month, DAY.day).astimezone().timestamp()
OFF = range(5 * 3600, 5 * 3600 + 95)  # seconds of the day in which the patch was out of range
UNRECORDED = range(20 * 3600, 24 * 3600)


def second_of_ecg() -> np.ndarray[Any, Any]:
    """One beat: P, QRS of 1.2 mV, T."""
    t = np.arange(round(FS)) / FS
    waves = [
        (0.2, 0.03, 0.12),
        (0.36, 0.008, -0.15),
        (0.385, 0.011, 1.2),
        (0.41, 0.009, -0.25),
        (0.62, 0.05, 0.28),
    ]
    beat = sum(high * np.exp(-(((t - at) / wide) ** 2)) for at, wide, high in waves)
    return np.round(1000 * np.asarray(beat)).astype(np.int32)


def write_day(folder: Path) -> Recorded:
    """A day as the recorder writes it, of which one stretch is a gap and the evening is not there.

    A record holds up to a minute, where a recorder's holds a second: as much to draw, and less to unpack.
    """
    head = Head(patch_id=PATCH, boot_id=BOOT, fs=FS, leads=("II",), uv_per_count=(1.0,))
    folder.mkdir()
    for hour in range(UNRECORDED[0] // 3600):
        data = bytearray(encode_head(head))
        for at in range(hour * 3600, (hour + 1) * 3600, 60):
            held = [second for second in range(at, at + 60) if second not in OFF]
            if held:
                payload = compress(np.tile(second_of_ecg(), len(held))[None])
                data += record(Kind.SAMPLES, held[0], len(held), payload)
            if OFF[0] == at:
                data += record(Kind.GAP, at, len(OFF), str(GapReason.TOO_LONG).encode())
        (folder / File(hour + 1, hour, boot_key(PATCH, BOOT)).name).write_bytes(bytes(data))
    return Recorded(folder)


def record(kind: Kind, second: int, seconds: int, payload: bytes) -> bytes:
    clock = Clock(utc_0=BEGIN, fs=FS, error_s=0.05, quality="arrival")
    first, count = round(second * FS), round(seconds * FS)
    return encode(Record(kind=kind, first=first, count=count, clock=clock, payload=payload))


class Edge:
    """Answers what the cloud asks, from the recorder's files, as `edge.commands` does."""

    def __init__(self, store: SqliteStore, recorded: Recorded) -> None:
        self.store, self.recorded = store, recorded
        store._db.execute(
            "PRAGMA synchronous=OFF"
        )  # 1,440 commits: how sure each is, is not what is shown here

    def answer(self) -> int:
        """How many commands it did."""
        waiting = [one for one in self.store.commands.of_patch(PATCH) if one.state is State.WAITING]
        for asked in waiting:
            pull = body_of(asked.kind, asked.body)
            assert isinstance(pull, PullRange)
            wanted = stretches(self.recorded, PATCH, pull)
            for stretch in wanted:
                for one in minutes(self.recorded, stretch, pull.resolution):
                    self.store.ranges.commit(
                        encode_range(one, 1, "ward-7"), one, seq=1, site="ward-7", now=time.time()
                    )
            told = {"stretches": [[boot[1], first, last] for boot, first, last in wanted]}
            state = "done" if wanted else "refused"
            self.store.commands.answered(PATCH, Answer(id=asked.id, state=state, told=told), now=time.time())
        return len(waiting)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return write_day(tmp_path_factory.mktemp("edge") / "recorder")


@pytest.fixture
def edge(store: SqliteStore, recorded: Recorded, beat: Callable[..., None]) -> Edge:
    beat()
    return Edge(store, recorded)


@pytest.fixture
def opened(page: Page, server: Any, edge: Edge) -> Page:
    page.goto(f"{server.url}/patches/{PATCH}/disclosure?day={DAY}")
    page.wait_for_selector("#disclosure[data-ready]")
    return page


@pytest.mark.timeout(300)
def test_a_day_is_fetched_shown_at_once_and_a_minute_of_it_opens_at_25_mm_a_second(
    opened: Page, edge: Edge, server: Any
) -> None:
    assert opened.locator("#here").inner_text() == "0 of 1440 minutes here, 0 with gaps, 1440 not fetched."
    with opened.expect_response("**/fetch?**"):
        opened.click("#fetch")
    opened.wait_for_selector("#fetch[disabled]")
    assert edge.answer() == 1
    opened.wait_for_selector("#fetch:not([disabled])", timeout=20_000)
    assert opened.locator("#here").inner_text() == "1198 of 1440 minutes here, 242 with gaps, 0 not fetched."

    took = []
    for _ in range(3):
        begun = time.monotonic()
        opened.goto(f"{server.url}/patches/{PATCH}/disclosure?day={DAY}")
        opened.wait_for_selector("#disclosure[data-ready]")
        took.append(time.monotonic() - begun)
    crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # who else wants the cores meanwhile
    assert sorted(took)[1] < 1.5 * crowd, took

    opened.locator("#day").focus()
    for _ in range(5):
        opened.keyboard.press("ArrowRight")
    opened.wait_for_selector("#disclosure[data-hour='5']")
    opened.keyboard.press("ArrowDown")
    label = opened.locator("#rows").get_attribute("aria-label") or ""
    assert "minute 05:01 chosen: 35 s too long" in label
    for _ in range(2):
        opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    opened.get_by_text("Fetching this minute").wait_for()
    assert edge.answer() == 1
    opened.wait_for_selector("ecg-strip[data-ready]")
    assert "60 s" in (opened.locator("ecg-strip").get_attribute("aria-label") or "")
    assert "25 mm/s" in opened.locator("ecg-strip .scale").inner_text()
    assert found(opened) == []


def test_an_hour_that_came_while_another_was_shown_is_there_when_it_is_shown_again(
    page: Page, edge: Edge, server: Any
) -> None:
    third = {"from": BEGIN + 3 * 3600, "seconds": 3600}
    assert httpx.post(f"{server.url}/api/patches/{PATCH}/fetch", params=third).status_code == 200
    page.goto(f"{server.url}/patches/{PATCH}/disclosure?day={DAY}")
    page.locator("#day").focus()

    page.wait_for_selector("#disclosure[data-ready]")

    def turn(key: str, times: int, hour: int) -> None:
        for _ in range(times):
            page.keyboard.press(key)
        page.wait_for_selector(f"#disclosure[data-hour='{hour}']")

    rows = page.locator("#rows")
    turn("ArrowRight", 3, hour=3)
    expect(rows).to_have_attribute("aria-label", re.compile("minute 03:00 chosen: 60 s not fetched"))
    turn("ArrowRight", 2, hour=5)
    assert edge.answer() == 1
    page.wait_for_selector("#fetch:not([disabled])")
    turn("ArrowLeft", 2, hour=3)
    expect(rows).to_have_attribute("aria-label", re.compile("minute 03:00 chosen: 60 s held"))


def test_nothing_is_drawn_where_nothing_is_and_why_is_said(edge: Edge, server: Any) -> None:
    asked = {"from": BEGIN, "seconds": 86_400}
    assert httpx.post(f"{server.url}/api/patches/{PATCH}/fetch", params=asked).status_code == 200
    edge.answer()
    day = httpx.get(f"{server.url}/api/patches/{PATCH}/disclosure", params={"day": str(DAY)}).json()
    states = [state for _, _, state in day["minutes"]]
    assert states[300:303] == ["too long", "too long", "held"]
    assert set(states[20 * 60 :]) == {"not recorded"}
    assert [low for low, _, state in day["minutes"] if state == "not recorded"] == [None] * 240
    wanted = {"from": BEGIN + 300 * 60, "minutes": 2}
    rows = httpx.get(f"{server.url}/api/patches/{PATCH}/disclosure/rows", params=wanted).json()["rows"]
    assert [row["runs"] for row in rows] == [
        [[0, 600, "too long"]],
        [[0, 350, "too long"], [350, 250, "held"]],
    ]
    values = np.frombuffer(base64.b64decode(rows[1]["values"]), dtype="<i2")
    assert set(values[:700].tolist()) == {NOTHING}
    beats = values[700:].reshape(-1, 20)  # a second each
    assert beats.max(axis=1).tolist() == [second_of_ecg().max()] * 25
    assert beats.min(axis=1).tolist() == [second_of_ecg().min()] * 25


def test_what_made_room_at_the_edge_is_not_called_unrecorded(
    server: Any, store: SqliteStore, beat: Callable[..., None]
) -> None:
    beat()
    asked = {"from": BEGIN, "seconds": 3600, "full": True}
    assert httpx.post(f"{server.url}/api/patches/{PATCH}/fetch", params=asked).status_code == 200
    told = {"stretches": [], "evicted": [(BEGIN + 600, BEGIN + 1200)]}
    for one in store.commands.of_patch(PATCH):
        store.commands.answered(PATCH, Answer(id=one.id, state="refused", told=told), now=time.time())
    day = httpx.get(f"{server.url}/api/patches/{PATCH}/disclosure", params={"day": str(DAY)}).json()
    states = [state for _, _, state in day["minutes"]]
    assert states[:60] == ["not recorded"] * 10 + ["evicted"] * 10 + ["not recorded"] * 40
    said = [
        httpx.get(f"{server.url}/api/patches/{PATCH}/minutes/{BEGIN + 60 * minute}").json()["detail"]
        for minute in (5, 15)
    ]
    assert said == [
        "Nothing of this minute was recorded.",
        "What was recorded of this minute made room at the edge for what is newer.",
    ]


@pytest.mark.parametrize("evicted", [7, [[1.0]], [["a", "b"]], [[-1.0, 2.0]]])
def test_an_answer_with_times_that_are_none_is_no_answer(evicted: Any) -> None:
    with pytest.raises(ValueError, match="told"):
        Answer(id="A" * 26, state="done", told={"evicted": evicted})


def test_what_is_offline_is_said_and_another_wards_patch_does_not_exist(
    opened: Page, store: SqliteStore, server: Any
) -> None:
    store.state(PATCH, "ward-7", online=False, now=time.time())
    opened.click("#fetch")
    opened.get_by_text("The edge is offline: it sends when it is back.").wait_for()
    nowhere = f"{server.url}/patches/nobody/disclosure"
    assert httpx.get(nowhere).status_code == 404


def test_wards_are_told_apart(enter: Callable[[str], httpx.Client], edge: Edge) -> None:
    chief = enter("chief")
    assign = {"patch": PATCH, "patient": "P1", "ward": "A", "from": ""}
    assert chief.post("/patches/assign", data=assign).status_code == 303
    paths = [
        f"/patches/{PATCH}/disclosure",
        f"/api/patches/{PATCH}/disclosure?day={datetime.now(UTC).astimezone().date()}",
        f"/api/patches/{PATCH}/disclosure/rows?from={time.time()}",
        f"/api/patches/{PATCH}/minutes/{time.time() + 5}",
    ]
    for path in paths:
        assert enter("nurse-a").get(path).status_code in {200, 202}, path
    later = [path for path in paths if "day" not in path and path[1:] != "patches/made/disclosure"]
    for path in later:
        assert enter("nurse-b").get(path).status_code == 404, path
    assert enter("nurse-b").post(
        f"/api/patches/{PATCH}/fetch?from={time.time() + 1}&seconds=60"
    ).status_code in {404, 422}


def test_a_pull_is_theirs_who_may_see_its_time_also_after_the_patch_has_moved(
    enter: Callable[[str], httpx.Client], edge: Edge, store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, assignments = BEGIN + 21 * 3600 + 30, Assignments(store)
    assignments.assign(LOCAL, PATCH, "one", "A", start=BEGIN)
    with monkeypatch.context() as then:
        then.setattr("cloud.assignments.time.time", lambda: moved)
        assignments.assign(LOCAL, PATCH, "two", "B")
    before, after, api = enter("nurse-a"), enter("nurse-b"), f"/api/patches/{PATCH}"
    minutes = [BEGIN + 20.5 * 3600, moved - 30]  # nothing was recorded; the second is of both hands
    for at in minutes:
        assert before.post(f"{api}/fetch?from={at}&seconds=60&full=true").status_code == 200
    waiting = [c.get(f"{api}/disclosure?day={DAY}").json()["waiting"] for c in (before, after)]
    assert waiting == [2, 0]
    assert edge.answer() == 2
    assert [before.get(f"{api}/minutes/{at}").json()["over"] for at in minutes] == [True, True]
    assert after.get(f"{api}/minutes/{minutes[1]}").json()["over"] is False
    states = [state for _, _, state in before.get(f"{api}/disclosure?day={DAY}").json()["minutes"]]
    assert states[1229:1232] == ["unknown", "not recorded", "unknown"]


def test_what_an_edge_has_answered_stays_answered_however_much_is_asked_later(
    edge: Edge, server: Any, store: SqliteStore
) -> None:
    unrecorded = {"from": BEGIN + 21 * 3600, "seconds": 3600}
    assert httpx.post(f"{server.url}/api/patches/{PATCH}/fetch", params=unrecorded).status_code == 200
    edge.answer()
    with store.writing() as db:
        (row,) = db.query("select * from commands")
        elsewhere = json.dumps(json.loads(row["body"]) | {"begin": 1.0, "end": 61.0})
        later = {"body": elsewhere, "asked_at": row["asked_at"] + 1}
        db.table("commands").insert_all(row | later | {"id": f"C{number}"} for number in range(1200))
    day = httpx.get(f"{server.url}/api/patches/{PATCH}/disclosure", params={"day": str(DAY)}).json()
    assert {state for _, _, state in day["minutes"][21 * 60 : 22 * 60]} == {"not recorded"}


def test_episodes_and_what_was_found_in_them_are_coloured(
    page: Page, server: Any, commit: Callable[..., Segment], beat: Callable[..., None]
) -> None:
    beat()
    commit(spans=[("AFIB", 1000, 3000), ("V", 500, 530)])
    page.goto(f"{server.url}/patches/{PATCH}/disclosure?day=2023-11-14")
    page.wait_for_selector("#disclosure[data-ready]")
    begin = float(page.locator("#disclosure").get_attribute("data-begin") or "")
    rows = httpx.get(
        f"{server.url}/api/patches/{PATCH}/disclosure/rows",
        params={"from": begin + math.floor((1_700_000_000 - begin) / 3600) * 3600},
    ).json()
    assert {mark["label"] for mark in rows["marks"]} == {"episode", "AFIB", "V"}
    runs = [run for row in rows["rows"] for run in row["runs"] if run[2] != "unknown"]
    assert [state for _, _, state in runs].count("missing") == 1
    assert sum(count for _, count, state in runs if state == "missing") == 20  # the part's own gap, 2 s


@settings(max_examples=40)
@given(st.data())
def test_every_extreme_is_in_the_columns_and_no_column_invents_one(data: st.DataObject) -> None:
    fs = data.draw(st.sampled_from([100.0, 125.0, 250.0, 360.0]))
    count = data.draw(st.integers(1, round(20 * fs)))
    counts = np.random.default_rng(data.draw(st.integers(0, 2**32))).integers(
        -3000, 3000, (1, count), dtype=np.int32
    )
    holes = sorted(data.draw(st.sets(st.integers(0, count - 1), max_size=6)))
    gaps = tuple((first, 1, GapReason.TOO_LONG) for first in holes)
    missing = np.zeros(count, dtype=np.bool_)
    missing[holes] = True
    resolution = data.draw(st.sampled_from([1, round(fs / 10)]))
    values = reduced(np.where(missing, 0, counts), missing, resolution)
    pulled = Pulled(
        patch_id="p", boot_id=1, first=0, last=count - 1, fs=fs, leads=("II",), resolution=resolution,
        counts=read_only(values), uv_per_count=(1.0,), gaps=gaps, clock=Clock(utc_0=1e9, fs=fs * 1.0001),
    )  # fmt: skip
    columns = Columns(1e9, 1)
    for piece in pieces([pulled], [], "II"):
        columns.paint(piece)
    drawn = columns.ordered().reshape(PER_MINUTE, 2)
    held = drawn[drawn[:, 0] != NOTHING]
    there = counts[0][~missing]
    if len(there) == 0:
        assert len(held) == 0
        return
    assert (held.min(), held.max()) == (there.min(), there.max())
    assert set(held.ravel().tolist()) <= set(there.tolist())
    assert np.all(columns.states[drawn[:, 0] != NOTHING] == HELD)
