"""Commands: kept until they are answered, said again until then, one however often it is asked for."""

from __future__ import annotations

import time
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.enums import CallbackAPIVersion

from cloud.audit_check import verify
from cloud.commands import MOST_PULLS, REPEAT_S, Commands, State
from cloud.inbox import Inbox
from cloud.sqlite_store import SqliteStore
from models.commands import Answer, Command, body_of, decode, encode
from models.ecg import make_id
from models.errors import PayloadError, UsageError

MARK = {"at": 1000.0, "symptom_id": "s1"}
PULL = {"begin": 0.0, "end": 3600.0, "resolution": 25}


def hear(store: SqliteStore, *, now: float = 0.0) -> None:
    store.state("p", "home", online=True, now=now)


def due(store: SqliteStore, now: float) -> list[str]:
    return [asked.id for _, asked in store.commands.due(now)]


def test_a_command_waits_until_its_edge_answers_and_its_story_is_in_the_audit_chain(
    store: SqliteStore, tmp_path: Any
) -> None:
    hear(store)
    me = store.commands.send("p", "mark", MARK, by="anna", now=5.0)
    (asked,) = store.commands.of_patch("p")
    assert (asked.id, asked.state, asked.body, asked.asked_by) == (me, State.WAITING, MARK, "anna")
    store.commands.answered("p", Answer(id=me, state="done", told={"how": "episode"}), now=7.0)
    store.commands.answered("p", Answer(id=me, state="refused", reason="late"), now=8.0)  # the first stands
    again = store.commands.of(me)
    assert again is not None
    assert (again.state, again.told, again.answered_at) == (State.DONE, {"how": "episode"}, 7.0)
    rows = store.all("select what, who from audit where what like 'command%' order by number")
    assert [(row["what"], row["who"]) for row in rows] == [
        ("command asked", "anna"),
        ("command answered", "edge"),
    ]
    store.note_head(now=9.0)
    assert verify(str(tmp_path / "cloud.db"))["problems"] == []


def test_it_is_said_again_until_then_less_and_less_often_and_at_once_when_the_edge_comes(
    store: SqliteStore,
) -> None:
    me = store.commands.send("p", "mark", MARK, by="anna", now=0.0)
    assert due(store, 1.0) == []  # nobody knows where the patch is
    hear(store)
    sent = []
    now = 0.0
    while now < 200:
        for _, asked in store.commands.due(now):
            store.commands.sent(asked, now)
            sent.append(now)
        now += 1.0
    assert sent == [0.0, REPEAT_S, 3 * REPEAT_S, 7 * REPEAT_S, 15 * REPEAT_S]
    store.commands.hasten("p", 200.0)
    assert due(store, 200.0) == [me]
    store.commands.answered("p", Answer(id=me, state="done"), now=201.0)
    store.commands.hasten("p", 400.0)
    assert due(store, 1e6) == []


def test_a_mark_is_one_however_often_it_is_asked_for_and_a_pull_while_it_waits(store: SqliteStore) -> None:
    commands = store.commands
    mark = commands.send("p", "mark", MARK, by="anna", now=0.0)
    commands.answered("p", Answer(id=mark, state="done"), now=1.0)
    assert commands.send("p", "mark", MARK, by="anna", now=2.0) == mark
    pull = commands.send("p", "pull-range", PULL, by="anna", now=0.0)
    assert commands.send("p", "pull-range", PULL, by="bob", now=1.0) == pull
    commands.answered("p", Answer(id=pull, state="done"), now=2.0)
    assert commands.send("p", "pull-range", PULL, by="bob", now=3.0) != pull  # the day has grown


def test_what_is_no_command_or_too_much_is_refused_in_a_sentence(store: SqliteStore) -> None:
    for kind, body in [
        ("reboot", {}),
        ("mark", {}),
        ("mark", {"at": float("inf")}),
        ("pull-range", {**PULL, "end": 90_000.0}),
        ("pull-range", {**PULL, "resolution": 1, "end": 3601.0}),
        ("pull-range", {**PULL, "boot_id": 1, "first": 0, "last": 5}),
        ("pull-range", {"boot_id": 1, "first": 9, "last": 5, "resolution": 1}),
    ]:
        with pytest.raises(UsageError):
            store.commands.send("p", kind, body, by="anna", now=0.0)
    for i in range(MOST_PULLS):
        store.commands.send("p", "pull-range", {**PULL, "begin": float(i)}, by="anna", now=0.0)
    with pytest.raises(UsageError, match="wait for patch p"):
        store.commands.send("p", "pull-range", {**PULL, "begin": 999.0}, by="anna", now=0.0)
    store.commands.send("p", "mark", MARK, by="anna", now=0.0)  # never refused for that


def test_nobody_answers_for_another_patch(store: SqliteStore, deaf: Inbox) -> None:
    me = store.commands.send("p", "mark", MARK, by="anna", now=0.0)
    for where, payload in [
        ("ecg/v1/home/q/answer", encode(Answer(id=me, state="done"))),
        ("ecg/v1/home/p/answer", encode(Answer(id=make_id("x"), state="done"))),
        ("ecg/v1/home/p/answer", b"junk"),
    ]:
        deaf._take(where, payload)
    asked = store.commands.of(me)
    assert asked is not None
    assert asked.state is State.WAITING
    assert [reject.reason for reject in store.rejects()] == ["cbor", "unknown", "unknown"]


class Edge:
    """Answers every command after the first `deaf` times that it hears it."""

    def __init__(self, port: int, deaf: int = 0) -> None:
        self.came: list[Command] = []
        self._deaf = deaf
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="edge", protocol=mqtt.MQTTv5)
        self.client.on_connect = lambda c, *_: c.subscribe("ecg/v1/home/+/cmd", 1)
        self.client.on_message = self._take
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _take(self, client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        command = decode(Command, bytes(message.payload))
        self.came.append(command)
        if len(self.came) > self._deaf:
            answer = encode(Answer(id=command.id, state="done"))
            client.publish(message.topic.replace("cmd", "answer"), answer, qos=1)


def test_commands_survive_the_store_and_reach_an_edge_over_the_broker(
    broker: Any, store: SqliteStore, inbox: Inbox, tmp_path: Any
) -> None:
    hear(store)
    store.commands.send("p", "mark", MARK, by="anna", now=0.0)
    other = SqliteStore(str(tmp_path / "cloud.db"))  # as after a restart
    edge = Edge(broker.port, deaf=2)
    deadline = time.monotonic() + 20
    now = 1.0
    while Commands(other).of_patch("p")[0].state is State.WAITING and time.monotonic() < deadline:
        inbox.deliver(now)
        now += 200.0  # whatever patience it has
        time.sleep(0.2)
    assert Commands(other).of_patch("p")[0].state is State.DONE
    assert len(edge.came) >= 3
    assert body_of(edge.came[0].kind, edge.came[0].body).model_dump() == MARK
    edge.client.disconnect()
    edge.client.loop_stop()
    other.close()


@given(st.binary(max_size=200))
def test_junk_is_no_command(payload: bytes) -> None:
    with pytest.raises(PayloadError):
        decode(Command, payload)
