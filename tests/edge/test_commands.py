"""Commands at the edge: a mark opens its episode once, a pull comes from the recorder, whatever dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import commands as commands_module
from edge.agent import heartbeat
from edge.commands import GONE, LATE, NOTHING, Commands
from edge.export import Format, Moment, export, listed
from edge.intake import Intake
from edge.outbox import REJECTIONS, Outbox, migrations
from edge.recorded import Recorded
from edge.recorder import Recorder
from edge.records import pages
from models.commands import Answer, Command, decode, encode
from models.ecg import Clock, Gap, GapReason, RecordingEnd, SampleBlock, Segment, Window, make_id, read_only
from models.ranges import Pulled, decode_range, reduced
from models.sqlite import connect
from models.verdicts import Quality, Screening
from models.wire import decode_segment

FS = 50.0
NOW = 1_760_000_000.0  # when sample 0 was
BOOT = ("p", 1)


def quiet(window: Window) -> Screening:
    return Screening(
        first=window.first,
        last=window.last,
        scores={},
        quality=Quality(readable=True),
        flagged=False,
        model="-",
    )


def second(number: int, boot: int = 1) -> SampleBlock:
    """Every sample tells its own index."""
    first = round(number * FS)
    return SampleBlock(
        patch_id="p",
        boot_id=boot,
        first=first,
        fs=FS,
        leads=("II",),
        counts=read_only(np.arange(first, first + round(FS), dtype=np.int32)[None]),
        uv_per_count=(5.0,),
    )


class Edge:
    """An edge without its uplink, as it is after a start; what it answers is in `said`."""

    def __init__(self, folder: Path, later: list[Edge] | None = None, late_s: float = 0.0) -> None:
        self.folder, self.said = folder, list[Answer]()
        self.later: list[Edge] = [] if later is None else later
        self.box = Outbox(folder / "outbox.db", "home")
        clock = Clock(utc_0=NOW + late_s, fs=FS, quality="recording")
        self.intake = Intake(quiet, self.box.restore, clock, marks=self.box.marks)
        self.recorder = Recorder(folder / "recorder", 10_000_000, headroom=0)
        self.recorded = Recorded(folder / "recorder")
        self.commands = Commands(
            self.box,
            self.intake,
            self.recorder,
            self.recorded,
            lambda _, said: self.said.append(decode(Answer, said)),
        )

    def hear(self, begin: int, end: int, boot: int = 1) -> None:
        """Seconds of signal, as `monitor()` takes them in."""
        for number in range(begin, end):
            self.push(second(number, boot))

    def push(self, item: Any) -> None:
        made = [o for o in self.intake.push(item) if not isinstance(o, Screening)]
        self.recorder.push(item, self.intake.clock.at)
        if made and self.intake.boot:
            self.box.commit(self.intake.boot, made, self.intake.state)

    async def ask(self, kind: str, body: dict[str, Any], me: str = "mark") -> None:
        self.recorder.store()
        self.commands.take("p", encode(Command(id=make_id(me), kind=kind, body=body)))
        await self.work()

    async def work(self, turns: int = 3) -> None:
        """So many turns of everything that waits."""
        done = Counter[str]()
        task = asyncio.ensure_future(self.commands.run(lambda: None))
        ask = self.commands._outcome

        async def counted(do: Any, row: Any) -> Answer | None:
            answer = await ask(do, row)
            done[row["id"]] += 1
            return answer

        self.commands._outcome = counted  # type: ignore[method-assign]
        held = "select count(*) from commands where answer is null"
        async with asyncio.timeout(20):
            while self.box.db.execute(held).fetchone()[0] and max(done.values(), default=0) < turns:
                await asyncio.sleep(0.02)
        self.commands._outcome = ask  # type: ignore[method-assign]
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    def parts(self) -> list[Segment]:
        return [decode_segment(pending.payload)[0] for pending in self.box.oldest(1000)]

    def killed(self, late_s: float = 0.0) -> Edge:
        """Another process at the same place, whose clock says so much more."""
        self.close()
        again = Edge(self.folder, self.later, late_s)
        self.later.append(again)
        return again

    def close(self) -> None:
        """What a kill does to its files: nothing that was pushed since the last second is there."""
        self.recorder._waiting.clear()
        self.recorder.close()
        self.box.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_module, "TICK_S", 0.02)


@pytest.fixture
def edge(tmp_path: Path) -> Iterator[Edge]:
    made = Edge(tmp_path)
    yield made
    for one in (made, *made.later):
        one.close()


def pulled(edge: Edge) -> list[Pulled]:
    return [decode_range(pending.payload)[0] for pending in edge.box.oldest(10_000, kind="range")]


def marked(edge: Edge) -> list[tuple[float, float, str, list[float]]]:
    """(begin, end, opened by, markers) of the parts 0, in seconds."""
    return [
        (p.first / FS, (p.last + 1) / FS, p.opened_by, [m / FS for m in p.markers])
        for p in edge.parts()
        if p.part == 0
    ]


async def test_a_mark_of_now_opens_an_episode_as_the_button_does(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 99.5})
    assert edge.said == []  # its window has not come to its end
    edge.hear(100, 111)
    await edge.work()
    assert marked(edge) == [(60, 100, "marker", [99.5])]
    (answer,) = edge.said
    assert (answer.state, answer.told) == ("done", {"how": "episode", "boot_id": 1, "sample": 4975})
    edge.recorder.store()
    assert [(m.first, m.source) for m in edge.recorded.markers(BOOT, 0, 10_000)] == [(4975, "symptom")]


async def test_a_mark_whose_window_has_gone_opens_at_the_next_one_and_is_in_its_lead_in(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 75.0})
    edge.hear(100, 111)
    await edge.work()
    ((begin, _, opened_by, markers),) = marked(edge)
    assert begin <= 75.0
    assert (opened_by, markers) == ("marker", [75.0])
    assert [answer.state for answer in edge.said] == ["done"]


async def test_a_mark_in_an_open_episode_is_in_its_part_or_is_sent_as_a_range(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 99.5}, "first")
    edge.hear(100, 122)
    await edge.ask("mark", {"at": NOW + 80.0}, "left")  # part 0 has
    await edge.ask("mark", {"at": NOW + 121.5}, "open")
    edge.hear(122, 140)
    await edge.work()
    told = {a.id: (a.told["how"], a.told.get("sample")) for a in edge.said}
    assert told == {
        make_id("first"): ("episode", 4975),
        make_id("left"): ("range", None),
        make_id("open"): ("episode", 6075),
    }
    assert [m for part in edge.parts() for m in part.markers] == [4975, 6075]


async def test_a_mark_further_back_is_the_stretch_around_it_from_the_recorder(edge: Edge) -> None:
    edge.hear(0, 400)
    await edge.ask("mark", {"at": NOW + 200.0})
    (answer,) = edge.said
    assert (answer.state, answer.reason, answer.told["how"]) == ("done", LATE, "range")
    sent = pulled(edge)
    assert sent[0].first <= (200 - 60) * FS
    assert sent[-1].last + 1 >= (200 + 60) * FS
    assert marked(edge) == []


async def test_a_mark_of_before_everything_is_refused_in_a_sentence(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW - 5000.0})
    assert [(a.state, a.reason) for a in edge.said] == [("refused", NOTHING)]


async def test_a_command_that_comes_again_is_answered_again_and_done_once(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 99.5})
    edge.hear(100, 111)
    await edge.work()
    for _ in range(3):
        await edge.ask("mark", {"at": NOW + 99.5})
    edge.hear(111, 200)
    assert len(marked(edge)) == 1
    assert edge.said == edge.said[:1] * 4


async def test_a_killed_edge_forgets_no_mark_and_opens_one_episode_for_it(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 99.5})
    again = edge.killed()  # before its window came to its end
    state = again.box.restore(*BOOT)
    assert state is not None
    assert state.resume_at is not None
    again.hear(int(state.resume_at / FS), 100)
    await again.work()
    again.hear(100, 111)
    await again.work()
    third = again.killed()
    third.hear(65, 200)
    await third.work()
    assert [(opened_by, markers) for _, _, opened_by, markers in marked(third)] == [("marker", [99.5])]
    assert [a.state for a in again.said + third.said] == ["done"]


@pytest.mark.parametrize("late_s", [227.0, 0.1, -0.1])
async def test_a_mark_noted_before_a_kill_stays_where_it_was_whatever_the_clock_says_then(
    edge: Edge, late_s: float
) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 99.5})
    again = edge.killed(late_s)
    again.hear(55, 100)
    await again.work()
    again.hear(100, 111)
    await again.work()
    assert [(opened_by, markers) for _, _, opened_by, markers in marked(again)] == [("marker", [99.5])]
    assert [(a.state, a.told["how"]) for a in again.said] == [("done", "episode")]


async def test_a_mark_is_not_lost_where_its_window_is_decided_at_once_after_a_kill(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 99.5})
    again = edge.killed()
    state = again.box.restore(*BOOT)
    assert state is not None
    assert state.resume_at is not None
    again.hear(int(state.resume_at / FS), 140)  # before the commands have their turn
    await again.work()
    assert [(opened_by, markers) for _, _, opened_by, markers in marked(again)] == [("marker", [99.5])]
    assert [a.told["how"] for a in again.said] == ["episode"]


async def test_a_mark_waits_for_a_patch_that_is_away_and_is_opened_when_it_goes_on(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 140.0})
    assert edge.said == []
    edge.push(Gap(patch_id="p", boot_id=1, first=5000, count=1000, reason=GapReason.EVICTED))
    edge.hear(120, 160)
    await edge.work()
    assert [a.told["sample"] for a in edge.said] == [7000]


async def test_a_recording_that_ends_before_the_mark_was_reached_sends_what_there_is(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 105.0})
    edge.push(RecordingEnd(patch_id="p", boot_id=1, last=4999))
    await edge.work()
    assert [(a.state, a.reason) for a in edge.said] == [("done", LATE)]
    assert pulled(edge)[-1].last == 4999


async def test_a_patch_that_begins_anew_before_the_mark_was_reached_loses_it_not(edge: Edge) -> None:
    edge.hear(0, 100)
    await edge.ask("mark", {"at": NOW + 104.0})
    edge.hear(110, 140, boot=2)
    edge.recorder.store()
    await edge.work()
    assert [a.state for a in edge.said] == ["done"]


async def test_another_edges_patch_is_left_to_that_edge_and_junk_changes_nothing(edge: Edge) -> None:
    edge.hear(0, 20)
    edge.commands.take("q", encode(Command(id=make_id("q"), kind="mark", body={"at": NOW})))
    for junk in (b"", b"\xff", encode(Answer(id=make_id("x"), state="done"))):
        edge.commands.take("p", junk)
    await edge.work()
    assert edge.said == []
    await edge.ask("reboot", {})
    await edge.ask("pull-range", {"resolution": 0}, "pull")
    assert [a.state for a in edge.said] == ["refused", "refused"]


def told(edge: Edge) -> list[tuple[int, int, str]]:
    """Spans of samples that came and of gaps, joined: (first, count, "" or why)."""
    spans: list[tuple[int, int, str]] = []
    for one in pulled(edge):
        at = one.first
        for first, count, why in (*one.gaps, (one.last + 1, 0, "")):
            if first > at:
                assert one.counts[0, at - one.first : first - one.first].tolist() == list(range(at, first))
            spans += [(at, first - at, ""), (first, count, str(why))]
            at = first + count
    out: list[tuple[int, int, str]] = []
    for first, count, why in spans:
        if not count:
            continue
        if out and out[-1][2] == why and sum(out[-1][:2]) == first:
            out[-1] = (out[-1][0], out[-1][1] + count, why)
        else:
            out.append((first, count, why))
    return out


async def test_a_pull_is_every_sample_once_in_minutes_and_what_is_not_there_a_gap_with_its_reason(
    edge: Edge,
) -> None:
    edge.hear(0, 100)
    edge.push(Gap(patch_id="p", boot_id=1, first=5000, count=1000, reason=GapReason.TOO_LONG))
    edge.hear(120, 180)
    edge.recorder.store()
    page = edge.folder / "recorder" / pages(edge.folder / "recorder")[0].name
    data = bytearray(page.read_bytes())
    data[len(data) // 2] ^= 255  # a bit of a record is torn
    page.write_bytes(bytes(data))
    await edge.ask("pull-range", {"boot_id": 1, "first": 100, "last": 9999, "resolution": 1}, "pull")
    assert edge.said == []  # not before the cloud has all of it
    spans = told(edge)
    assert {why for _, _, why in spans} == {"", "too long", "corrupt", "not recorded"}
    assert (spans[0][0], sum(count for _, count, _ in spans)) == (100, 9900)
    assert (5000, 1000, "too long") in spans
    assert spans[-1] == (9000, 1000, "not recorded")
    assert all((one.last + 1 - one.first) / FS <= 60 for one in pulled(edge))


async def test_what_was_evicted_comes_as_that(edge: Edge) -> None:
    for hour in range(3):
        edge.hear(3600 * hour + 3400, 3600 * hour + 3610)
        edge.recorder.store()
    edge.recorder.close()
    assert edge.recorder._shelf.evict("the budget is used up")
    body = {"begin": NOW, "end": NOW + 4000.0, "resolution": 50}
    await edge.ask("pull-range", body, "pull")
    await edge.work()
    assert {str(why) for one in pulled(edge) for _, _, why in one.gaps} == {"evicted", "not recorded"}
    assert pulled(edge)[0].first == 3400 * FS


async def test_a_boot_of_which_nothing_is_left_is_not_called_unrecorded(edge: Edge) -> None:
    edge.hear(0, 20)
    edge.recorder.store()
    edge.hear(100, 120, boot=2)
    edge.recorder.store()
    edge.recorder.close()
    assert edge.recorder._shelf.evict("the budget is used up")
    assert [boot for _, boot in edge.recorded.boots()] == [2]
    first = edge.recorded.evicted()[0]
    assert first.from_utc is not None
    await edge.ask("pull-range", {"begin": NOW - 10, "end": first.from_utc + 10, "resolution": 1}, "pull")
    (answer,) = edge.said
    assert (answer.state, answer.reason) == ("refused", GONE)
    assert answer.told == {"stretches": [], "evicted": [[first.from_utc, first.from_utc + 10]]}


async def test_a_boot_of_which_a_gap_alone_is_left_stands_in_nobodys_way(edge: Edge) -> None:
    edge.hear(3590, 3600)
    edge.recorder.store()
    edge.push(Gap(patch_id="p", boot_id=1, first=180_000, count=2500, reason=GapReason.TOO_LONG))
    edge.recorder.store()
    edge.hear(3700, 3730, boot=2)
    edge.recorder.store()
    edge.recorder.close()
    assert edge.recorder._shelf.evict("the budget is used up")
    assert [boot for _, boot in edge.recorded.boots()] == [1, 2]
    assert [one["boot_id"] for one in listed(edge.recorded, lambda _: None)["boots"]] == [2]
    body = {"begin": NOW + 3500, "end": NOW + 3750, "resolution": 1}
    await edge.ask("pull-range", body, "pull")
    sent = {(one.boot_id, one.first, one.last, one.held) for one in pulled(edge)}
    assert sent == {(1, 179_500, 179_999, 0), (2, 185_000, 185_999, 1000), (2, 186_000, 186_499, 500)}
    assert {str(why) for one in pulled(edge) for _, _, why in one.gaps} == {"evicted"}
    begin, end = (Moment(NOW + s, absolute=True) for s in (3500, 3750))
    out = edge.folder / "rec"
    (span,) = export(edge.recorded, begin, end, out, edge.recorded.boots(), Format.WFDB, lambda _: None)[
        "spans"
    ]
    assert (span["boot_id"], span["first"], span["last"]) == (2, 185_000, 186_499)


async def test_a_day_that_was_nowhere_recorded_is_refused_and_a_stretch_too_long_too(edge: Edge) -> None:
    edge.hear(0, 20)
    await edge.ask("pull-range", {"begin": NOW - 9e4, "end": NOW - 8e4, "resolution": 25}, "before")
    await edge.ask("pull-range", {"boot_id": 1, "first": 0, "last": 10**9, "resolution": 1}, "long")
    assert [a.state for a in edge.said] == ["refused", "refused"]
    assert edge.said[0].reason == NOTHING
    assert "at most 3600 s" in edge.said[1].reason


async def test_a_pull_goes_on_after_a_kill_and_leaves_room_for_what_an_alert_waits_for(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_module, "ON_THE_WAY", 10)
    edge.hear(0, 30)
    edge.hear(7100, 7210)
    body = {"begin": NOW, "end": NOW + 7300.0, "resolution": 50}
    await edge.ask("pull-range", body, "pull")
    first = pulled(edge)
    assert len(first) == 60  # the first hour, and no more of it before the cloud has taken these
    assert edge.said == []
    for one in first:
        edge.box.acknowledge(one.id, 0)
    again = edge.killed()
    for _ in range(3):
        await again.work()
        for one in pulled(again):
            again.box.acknowledge(one.id, 0)
            first.append(one)
    await again.work()
    assert [a.state for a in again.said] == ["done"]
    assert [(one.first, one.last) for one in first] == sorted({(one.first, one.last) for one in first})
    assert (first[0].first, first[-1].last) == (0, 7210 * FS - 1)


async def test_a_pull_goes_on_where_it_was_though_a_boot_left_the_disk_beside_a_kill(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands_module, "ON_THE_WAY", 0)
    edge.hear(3580, 3620)  # two hours of sample index, two pieces
    edge.recorder.store()
    edge.hear(3700, 3730, boot=2)
    await edge.ask("pull-range", {"begin": NOW + 3500, "end": NOW + 3750, "resolution": 1}, "pull")
    assert [(one.boot_id, one.first) for one in pulled(edge)] == [(1, 179_000)]
    edge.box.acknowledge(pulled(edge)[0].id, 0)
    edge.recorder.close()
    assert edge.recorder._shelf.evict("the budget is used up")
    assert edge.recorder._shelf.evict("the budget is used up")
    again = edge.killed()
    assert [boot for _, boot in again.recorded.boots()] == [2]
    sent = []
    for _ in range(4):
        await again.work()
        sent += [(one.boot_id, one.first, one.held) for one in pulled(again)]
        for one in pulled(again):
            again.box.acknowledge(one.id, 0)
    assert sent == [(2, 185_000, 1000), (2, 186_000, 500)]
    (answer,) = again.said
    assert (answer.state, answer.told["evicted"][0][0]) == ("done", NOW + 3580)


async def test_a_pull_that_an_older_edge_began_begins_anew(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    old = connect(path)
    migrations.apply(old, stop_before="0004")
    body = json.dumps({"boot_id": 1, "first": 0, "last": 999, "resolution": 1})
    row = {
        "id": make_id("pull"),
        "dev": "p",
        "kind": "pull-range",
        "body": body,
        "came_at": 1.0,
        "reached": 1,
    }
    old.table("commands").insert(row)
    old.close()
    edge = Edge(tmp_path)
    try:
        edge.hear(0, 20)
        edge.recorder.store()
        await edge.work()
        assert [(one.first, one.last) for one in pulled(edge)] == [(0, 999)]
        assert edge.said == []
    finally:
        edge.close()


async def test_a_pull_of_which_the_cloud_refused_a_minute_is_not_done_until_it_is_asked_again(
    edge: Edge,
) -> None:
    edge.hear(0, 130)
    body = {"begin": NOW, "end": NOW + 130, "resolution": 1}
    await edge.ask("pull-range", body, "pull")
    taken, refused, _ = pulled(edge)
    for _ in range(REJECTIONS):
        edge.box.reject(refused.id, "hash")
    edge.box.acknowledge(taken.id, 0)
    await edge.work()
    assert edge.said == []
    edge.box.acknowledge(pulled(edge)[0].id, 0)
    await edge.work()
    assert [(a.state, "stretches" in a.told) for a in edge.said] == [("refused", False)]
    assert "refused 1 of the minutes" in edge.said[0].reason
    assert heartbeat(edge.intake, edge.box)["range_refused"] == 1
    await asyncio.sleep(0.01)
    await edge.ask("pull-range", body, "again")
    for one in pulled(edge):
        edge.box.acknowledge(one.id, 0)
    await edge.work()
    assert [a.state for a in edge.said] == ["refused", "done"]


@settings(max_examples=60)
@given(st.data())
def test_pairs_are_the_least_and_the_greatest_in_the_order_in_which_they_came(data: st.DataObject) -> None:
    resolution = data.draw(st.integers(2, 9))
    values = data.draw(st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=40))
    gone = data.draw(st.lists(st.booleans(), min_size=len(values), max_size=len(values)))
    pairs = reduced(np.array([values], dtype=np.int32), np.array(gone), resolution)[0].reshape(-1, 2).tolist()
    for i, pair in enumerate(pairs):
        here = slice(i * resolution, (i + 1) * resolution)
        there = [value for value, missing in zip(values[here], gone[here], strict=True) if not missing]
        if not there:
            assert pair == [0, 0]
            continue
        assert sorted(pair) == [min(there), max(there)]
        if pair[0] != pair[1]:
            assert there.index(pair[0]) < len(there) - there[::-1].index(pair[1])
