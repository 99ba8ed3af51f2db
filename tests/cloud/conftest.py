"""What the cloud's tests share: a store on disk, made parts, and the parts of a real recording."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from cloud import reading
from cloud.config import RuleConfig
from cloud.inbox import Inbox
from cloud.sqlite_store import SqliteStore
from cloud.strips import Readings
from models.anyecg.chat.eyes import Eyes
from models.anyecg.chat.forms import FORMS
from models.anyecg.chat.prompt import Floats, Ints, answering
from models.anyecg.chat.runtime import Chat
from models.anyecg.chat.tokenizer import ANSWER, QUESTION, learn
from models.anyecg.localizer import Localizer
from models.ecg import Clock, Segment, read_only, segment_id
from models.recordings import Recording
from models.wire import topic, unpack

MakePart = Callable[..., Segment]


class Edge:
    """Publishes as patch `p` of site `home` and keeps the acknowledgements."""

    def __init__(self, port: int) -> None:
        self.acks: queue.Queue[dict[str, Any]] = queue.Queue()
        self.states: queue.Queue[str] = queue.Queue()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="edge", protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda c, *_: c.subscribe(
            [(topic("home", "+", "ack"), 1), (topic("home", "cloud", "state"), 1)]
        )
        self.client.on_message = self._take
        self.client.connect_async("127.0.0.1", port)
        self.client.loop_start()

    def _take(self, _client: mqtt.Client, _user: Any, message: mqtt.MQTTMessage) -> None:
        said = unpack(bytes(message.payload))
        if message.topic.endswith("/ack"):
            self.acks.put(said)
        else:
            self.states.put(said["state"])

    def hears(self, state: str) -> None:
        while self.states.get(timeout=30) != state:
            pass

    def send(self, payload: bytes, kind: str = "seg", dev: str = "p") -> None:
        self.client.publish(f"ecg/v1/home/{dev}/{kind}", payload, qos=1)

    def answer(self) -> str:
        return str(self.acks.get(timeout=20)["status"])

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def patch_edge(broker: Any) -> Iterator[Edge]:
    running = Edge(broker.port)
    yield running
    running.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "cloud.db"))
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def make_part() -> MakePart:
    """Part `number` of an episode that begins at `begin`: 1 s of made counts."""

    def make(
        number: int = 0, *, patch: str = "p", begin: int = 0, final: bool = False, value: int = 1
    ) -> Segment:
        first = begin + 100 * number
        return Segment(
            id=segment_id(patch, 1, first, first + 99),
            patch_id=patch,
            boot_id=1,
            episode_id=segment_id(patch, 1, begin, begin + 99),
            part=number,
            final=final,
            continues=None,
            opened_by="screener",
            first=first,
            fs=100.0,
            leads=("II",),
            counts=read_only(np.full((1, 100), value, dtype=np.int32)),
            uv_per_count=(1.0,),
            clock=Clock(utc_0=1000.0, fs=100.0, quality="arrival", received_at=1000.0 + (first + 100) / 100),
        )

    return make


@pytest.fixture(scope="session")
def network() -> Localizer:
    return Localizer()


@pytest.fixture(scope="session")
def eyes() -> Eyes:
    return Eyes()


@pytest.fixture
def readings(store: SqliteStore, network: Localizer, eyes: Eyes) -> Readings:
    return Readings(store, network, eyes, RuleConfig())


WORDS = learn([w for form in FORMS.values() for w in form.wordings] * 3)


class Scripted:
    """A decoder that answers by `says(question)`: the first line is its plan, the others are sentences."""

    width = reading.width(Eyes())

    def __init__(self, says: Callable[[str], Sequence[str]]) -> None:
        self._says = says

    def connect(self, content: Floats) -> Floats:
        return np.zeros((len(content) + 2, 1), dtype=np.float32)

    def nothing(self) -> tuple[int, ...]:
        return ()

    def read(self, ids: Ints, given: Floats | None, cache: Any) -> tuple[Floats, Any]:
        held = (*cache, *ids.tolist())
        logits = np.zeros(WORDS.size, dtype=np.float32)
        if WORDS.one(ANSWER) in held:
            asked, begin = held.index(WORDS.one(QUESTION)), held.index(WORDS.one(ANSWER))
            lines = "\n".join(self._says(WORDS.decode(held[asked + 1 : begin])))
            logits[answering(WORDS, lines)[len(held) - begin - 1]] = 20.0
        return logits, held


@pytest.fixture
def inbox(broker: Any, store: SqliteStore) -> Iterator[Inbox]:
    running = Inbox(broker.url, "home", store)
    running.start()
    yield running
    running.stop()


@pytest.fixture
def deaf(store: SqliteStore) -> Inbox:
    """Never connected: what it makes of messages."""
    return Inbox("mqtt://127.0.0.1:1", "home", store)


@pytest.fixture(scope="session")
def scripted(unruly: type[Chat]) -> Callable[..., Chat]:
    """A real `Chat` whose decoder says what a test wants."""

    def make(says: Callable[[str], Sequence[str]], longest: int = 20_000) -> Chat:
        return unruly(Scripted(says), WORDS, longest, model="scripted/1")

    return make


@pytest.fixture(scope="session")
def excerpt_parts(excerpt: Recording) -> list[Segment]:
    """90 s of the excerpt as one episode: 30 s, then four times 15 s."""
    fs = excerpt.fs
    edges = [0, *(round(s * fs) for s in (30, 45, 60, 75, 90))]
    episode = segment_id(excerpt.patch_id, excerpt.boot_id, 0, edges[1] - 1)
    return [
        Segment(
            id=segment_id(excerpt.patch_id, excerpt.boot_id, first, after - 1),
            patch_id=excerpt.patch_id,
            boot_id=excerpt.boot_id,
            episode_id=episode,
            part=part,
            final=part == 4,
            continues=None,
            opened_by="screener",
            first=first,
            fs=fs,
            leads=excerpt.leads,
            counts=read_only(excerpt.counts[:, first:after]),
            uv_per_count=excerpt.uv_per_count,
            clock=Clock(utc_0=0.0, fs=fs, quality="arrival", received_at=after / fs),
        )
        for part, (first, after) in enumerate(pairwise(edges))
    ]
