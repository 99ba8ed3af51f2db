"""Commands over a real broker to a real edge with a virtual patch: kill -9 loses none and doubles none."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloud.audit_check import verify
from cloud.broker import free_port
from cloud.commands import Asked, State
from cloud.sqlite_store import SqliteStore
from firmware_bridge.sim.simulate import simulation
from models.recordings import Recording

ROOT = Path(__file__).resolve().parents[1]
SPEED = 2
EDGE = """
import asyncio, sys
from pathlib import Path
from edge.agent import run
from edge.config import EdgeConfig, PatchConfig
patch = PatchConfig(radio="tcp-client:127.0.0.1:" + sys.argv[1])
asyncio.run(run(EdgeConfig(broker=sys.argv[2], state=Path(sys.argv[3]), heartbeat_s=0.5, patch=patch)))
"""
NODE = """
import asyncio, sys
from cloud.config import ChatConfig, CloudConfig
from cloud.node import serve
chat = ChatConfig(size="off")
asyncio.run(serve(CloudConfig(broker=sys.argv[2], store=sys.argv[3], port=int(sys.argv[1]), chat=chat)))
"""


class Processes:
    """Edges and nodes, ended by kill -9."""

    def __init__(self, hci: int, broker: str, folder: Path) -> None:
        self._edge = (EDGE, str(hci), broker, str(folder))
        self._node = (NODE, str(free_port()), broker, f"sqlite:///{folder / 'cloud.db'}")
        self._running: list[subprocess.Popen[bytes]] = []

    def edge(self) -> subprocess.Popen[bytes]:
        return self._start(self._edge)

    def node(self) -> subprocess.Popen[bytes]:
        return self._start(self._node)

    def _start(self, what: tuple[str, ...]) -> subprocess.Popen[bytes]:
        self._running.append(subprocess.Popen([sys.executable, "-c", *what], cwd=ROOT))
        return self._running[-1]

    def close(self) -> None:
        for process in self._running:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()


async def until(holds: Callable[[], Any], seconds: float = 150.0) -> None:
    async with asyncio.timeout(seconds):
        while not await asyncio.to_thread(holds):
            await asyncio.sleep(0.1)


def kept(outbox: Path) -> int:
    """Commands that the edge has on its disk."""
    with contextlib.closing(sqlite3.connect(outbox)) as db:
        return int(db.execute("select count(*) from commands").fetchone()[0])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "cloud.db"))
    yield opened
    opened.close()


@pytest.mark.timeout(500)
async def test_a_mark_and_a_pull_outlive_kill_9_of_edge_and_node(
    broker: Any, store: SqliteStore, excerpt: Recording, tmp_path: Path
) -> None:
    patch = excerpt.patch_id

    def asked(command_id: str) -> Asked:
        found = store.commands.of(command_id)
        assert found is not None
        return found

    async with simulation(excerpt, speed=SPEED) as radio:
        running = Processes(radio.port, broker.url, tmp_path)
        try:
            edge, node = running.edge(), running.node()
            await until(lambda: any(p.heartbeat.get("newest_utc") for p in store.patches()))
            await asyncio.sleep(3)
            kill(edge)
            at = time.time()
            mark = store.commands.send(patch, "mark", {"at": at, "symptom_id": "s1"}, by="anna", now=at)
            body = {"begin": at - 3, "end": at - 1, "resolution": 1}
            pull = store.commands.send(patch, "pull-range", body, by="anna", now=at)
            await until(lambda: asked(mark).sends and asked(pull).sends)  # to nobody
            kill(node)
            assert {asked(mark).state, asked(pull).state} == {State.WAITING}
            running.node()
            edge = running.edge()
            await until(lambda: kept(tmp_path / "outbox.db") == 2)
            kill(edge)
            running.edge()
            await until(lambda: State.WAITING not in {asked(mark).state, asked(pull).state})
            await until(lambda: store.ranges.between(patch, at - 3, at - 1))
            if asked(mark).told["how"] == "range":
                await until(lambda: store.ranges.between(patch, at - 1, at + 1))
        finally:
            await asyncio.to_thread(running.close)

    assert asked(mark).state is State.DONE
    if asked(mark).told["how"] == "episode":
        sample = asked(mark).told["sample"]
        parts = [part for episode in store.episodes(patch) for part in store.parts(episode.id)]
        assert [sample in part.markers for part in parts if part.first <= sample <= part.last] == [True]
    else:  # the patch had sent more than 30 s of signal before the node was there again
        assert asked(mark).told["stretches"]
        assert [one for one in store.ranges.between(patch, at - 1, at + 1) if one.resolution == 1]
    assert asked(pull).state is State.DONE
    answers = store.all("select details from audit where what = 'command answered'")
    assert len(answers) == 2  # once each
    for pulled in store.ranges.between(patch, at - 3, at - 1):
        first, after = pulled.first, min(pulled.last + 1, excerpt.counts.shape[1])
        here = pulled.counts[0][: after - first]
        missing = {s for a, count, _ in pulled.gaps for s in range(a, a + count)}
        for offset in range(0, after - first, 7):
            if first + offset not in missing:
                assert here[offset] == excerpt.counts[0, first + offset]
    store.note_head(now=time.time())
    assert [p for p in verify(str(tmp_path / "cloud.db"))["problems"] if p["number"] is not None] == []
