"""The lane of replays: real recordings over a real broker, each run for itself, and nobody is ever called."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from anyecg import main
from cloud.config import CloudConfig, EscalationStep
from cloud.console.app import create_app
from cloud.dispatcher import Dispatcher, dispatchers
from cloud.inbox import Inbox
from cloud.replay_diff import pairs
from cloud.replay_lane import ReplayInbox, ReplayLane
from cloud.replays import Replays, RunError, UnknownRunError
from cloud.sqlite_store import SqliteStore
from edge.replay import publish
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.recordings import Recording
from models.wire import encode_segment

MakePart = Callable[..., Segment]


@pytest.fixture
def replays(store: SqliteStore, tmp_path: Path) -> Replays:
    return Replays(tmp_path / "cloud.db.replays", store)


class Node:
    """Live inbox, dispatchers and replay lane as a node runs them, over one broker that is listened to."""

    def __init__(self, url: str, port: int, replays: Replays, network: Localizer) -> None:
        steps = (EscalationStep(to="page"),)
        config = CloudConfig(broker=url, alerts={"escalation": steps})
        self.heard: list[tuple[str, bytes]] = []
        self.lane = ReplayLane(replays, network, config)
        self.inboxes = [
            Inbox(url, "home", replays.live),
            ReplayInbox(url, "home", replays, self.lane.news),
        ]
        self.threads: list[ReplayLane | Dispatcher] = [self.lane, *dispatchers(replays.live, config)]
        self._ear = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="ear", protocol=mqtt.MQTTv5)
        subscribed = threading.Event()
        self._ear.on_connect = lambda c, *_: c.subscribe("#", 1)
        self._ear.on_subscribe = lambda *_: subscribed.set()
        self._ear.on_message = lambda _c, _u, m: self.heard.append((m.topic, bytes(m.payload)))
        self._ear.connect_async("127.0.0.1", port)
        self._ear.loop_start()
        assert subscribed.wait(20)
        for one in (*self.inboxes, *self.threads):
            one.start()

    def stop(self) -> None:
        for inbox in self.inboxes:
            inbox.stop()
        for thread in self.threads:
            thread.stop()
        for thread in self.threads:
            thread.join()
        self._ear.disconnect()
        self._ear.loop_stop()


@pytest.fixture
def node(broker: Any, replays: Replays, network: Localizer) -> Iterator[Node]:
    running = Node(broker.url, broker.port, replays, network)
    yield running
    running.stop()


def analysed(replays: Replays, run: str) -> dict[str, Any]:
    end = time.monotonic() + 90
    while (summary := replays.summary(run))["pending"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    return summary


async def test_a_replay_that_would_alert_calls_nobody_and_leaves_no_trace_among_live_data(
    broker: Any, node: Node, replays: Replays, excerpt: Recording
) -> None:
    live = replays.live
    before = (live.last_event(), live.audit.head())
    first = await publish([excerpt], broker.url, "one")
    again = await publish([excerpt], broker.url, "two")
    assert first == again
    assert first["segments"] > 3
    one, two = [await asyncio.to_thread(analysed, replays, run) for run in ("one", "two")]
    assert one["alerts"] > 0  # live, somebody would have been called
    assert one["findings"] == two["findings"] != {}
    assert one["parts"] == two["parts"] == first["segments"]
    assert (live.last_event(), live.audit.head()) == before
    assert live.stats()["segments"] == live.stats()["alerts"] == 0
    assert live.scalar("select count(*) from deliveries") == 0
    roots = {topic.split("/")[0] for topic, _ in node.heard if topic != "ecg/v1/home/cloud/state"}
    assert roots == {"replay"}
    runs = {topic.split("/")[2] for topic, _ in node.heard if topic.startswith("replay/")}
    assert runs == {"one", "two", "home"}  # the last is the node's own state


def test_two_runs_of_one_recording_do_not_differ_and_one_is_deleted_alone(
    replays: Replays, network: Localizer, excerpt_parts: list[Segment]
) -> None:
    inbox = ReplayInbox("mqtt://127.0.0.1:1", "home", replays, lambda _: None)  # never connected
    for run, parts in (("a", excerpt_parts), ("b", excerpt_parts), ("c", excerpt_parts[:2])):
        for number, part in enumerate(parts):
            inbox._take(f"replay/v1/{run}/{part.patch_id}/seg", encode_segment(part, number, run))
    lane = ReplayLane(replays, network, CloudConfig())
    while lane.step():
        pass
    with TestClient(create_app(replays.live, replays=replays), base_url="http://127.0.0.1") as client:
        assert {run["run"] for run in client.get("/api/replays").json()} == {"a", "b", "c"}
        same = client.get("/api/replays/a/diff/b").json()
        assert same["only_a"] == same["only_b"] == same["moved"] == []
        assert sum(counts["same"] for counts in same["labels"].values()) == sum(
            same["a"]["findings"].values()
        )
        less = client.get("/api/replays/a/diff/c").json()
        assert less["only_a"]
        assert [network["network"] for network in less["a"]["networks"]] == [network.model]
        for path in ("/replays", "/replays/a", "/replays/diff?a=a&b=c"):
            page = client.get(path)
            assert page.status_code == 200
            assert page.text.count("REPLAY") > 1
        episode = excerpt_parts[0].episode_id
        assert "REPLAY</text>" in client.get(f"/replays/a/episodes/{episode}/strip.svg").text
        assert "REPLAY" not in client.get("/").text
        assert episode not in client.get("/fragments/queues").text
        assert client.post("/replays/delete", data={"run": "b"}).status_code == 200
        assert {run["run"] for run in client.get("/api/replays").json()} == {"a", "c"}
        for path in ("/replays/b", "/api/replays/b", "/api/replays/a/diff/b", "/replays/%2e%2e%2fcloud"):
            assert client.get(path).status_code == 404
    row = replays.live.one("select who, what, details from audit order by number desc limit 1")
    assert row is not None
    assert (row["who"], row["what"], json.loads(row["details"])) == (
        "local",
        "deleted",
        {"kind": "replay", "run": "b"},
    )
    inbox._take(f"replay/v1/b/{excerpt_parts[0].patch_id}/seg", encode_segment(excerpt_parts[0], 0, "b"))
    assert replays.summary("b")["parts"] == 1  # anew, and not into a file that is gone
    inbox.stop()


@pytest.mark.parametrize("run", ["../cloud", "", "a b", "x" * 65, "a.db", "ä"])
def test_a_name_that_is_none_of_a_run_makes_no_file(replays: Replays, tmp_path: Path, run: str) -> None:
    with pytest.raises(RunError):
        replays.open(run, make=True)
    with pytest.raises(UnknownRunError):
        replays.delete(run, who="x", now=0.0)
    assert not (tmp_path / "cloud.db.replays").exists()


def test_a_run_too_many_is_refused_and_says_so(
    replays: Replays, monkeypatch: pytest.MonkeyPatch, make_part: MakePart
) -> None:
    monkeypatch.setattr("cloud.replays.MOST", 1)
    replays.open("one", make=True).close()
    inbox = ReplayInbox("mqtt://127.0.0.1:1", "home", replays, lambda _: None)
    said: list[Any] = []
    monkeypatch.setattr(inbox, "_answer", lambda *told: said.append(told))
    part = make_part()
    inbox._take("replay/v1/two/p/seg", encode_segment(part, 1, "two"))
    assert said == [("two", "p", part.id, "rejected:run", None)]
    assert replays.names() == ["one"]


def test_the_lane_waits_while_a_live_part_does(
    replays: Replays, network: Localizer, make_part: MakePart, excerpt_parts: list[Segment]
) -> None:
    part, live = make_part(), excerpt_parts[0]
    store = replays.open("one", make=True)
    store.commit_segment(encode_segment(part, 1, "one"), part, seq=1, site="one", now=0.0)
    replays.live.commit_segment(encode_segment(live, 1, "home"), live, seq=1, site="home", now=0.0)
    lane = ReplayLane(replays, network, CloudConfig())
    lane.start()
    time.sleep(0.5)
    assert store.pending() == 1
    with replays.live.writing() as db:
        db.execute("update jobs set done = 1")
    lane.news("one")
    end = time.monotonic() + 30
    while store.pending():
        assert time.monotonic() < end
        time.sleep(0.02)
    lane.stop()
    lane.join()
    store.close()


def test_runs_go_by_their_days(replays: Replays, make_part: MakePart) -> None:
    for run, at in (("old", 0.0), ("new", 86_400.0 * 9)):
        with contextlib.closing(replays.open(run, make=True)) as store:
            part = make_part()
            store.commit_segment(encode_segment(part, 1, run), part, seq=1, site=run, now=at)
    replays.expire(5, who="retention", now=86_400.0 * 10)
    assert replays.names() == ["new"]


Spans = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 8), st.sampled_from("VN")), max_size=12)


def found(spans: list[tuple[int, int, str]]) -> list[dict[str, Any]]:
    rows = [
        {"patch_id": "p", "boot_id": 1, "label": label, "first": first, "last": first + more}
        for first, more, label in spans
    ]
    return sorted(rows, key=lambda row: (row["label"], row["first"], row["last"]))


@given(a=Spans, b=Spans)
def test_every_finding_of_both_runs_is_in_the_difference_once(
    a: list[tuple[int, int, str]], b: list[tuple[int, int, str]]
) -> None:
    mine, its = found(a), found(b)
    got = list(pairs(mine, its))
    key = json.dumps
    assert sorted(key(one) for one, _ in got if one) == sorted(map(key, mine))
    assert sorted(key(one) for _, one in got if one) == sorted(map(key, its))
    for one, other in got:
        if one and other:
            assert one["label"] == other["label"]
            assert one["first"] <= other["last"]
            assert other["first"] <= one["last"]
    assert all(x == y for x, y in pairs(mine, mine))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--to", "mqtt://127.0.0.1:1", "--run", "a b"), "--run 'a b'"),
        (("--to", "mqtt://127.0.0.1:1", "--jsonl"), "--jsonl goes without --to"),
        (("--run", "a"), "--run names what is sent"),
        (("--to", "http://x"), "not a broker address"),
    ],
)
def test_the_command_says_what_is_wrong_in_a_sentence(
    excerpt: Recording,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.setattr(sys, "argv", ["anyecg", "replay", "excerpt", *more])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
