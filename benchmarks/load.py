"""What a node carries: many patients over the embedded broker, nurses with open pages over HTTP.

    python -m benchmarks.load [--patients 200] [--clients 20] [--seconds 180] [--ill 0.1]

Broker and node are processes as `anyecg broker run` and `anyecg cloud run` start them, with four wards and a
nurse a page. Patients send what the real edge makes of real recordings (`benchmarks.patients`): heartbeats
every 15 s, a trend row a minute, and the ill ones their parts, each when its last sample is taken. A page
reads `/events` and renews the queues when the browser's page does. Printed as JSON: from an event's commit to
its line in each page, CPU (of one core) and memory of the node, events that a page missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from benchmarks.patients import Uplinks, hearts_of, patch_id, ward
from cloud.assignments import Assignments
from cloud.broker import free_port
from cloud.console.seen import Seen
from cloud.people import People
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.store import open_store
from cloud.supervisor import ProcessSpec, Supervisor, listening

PASSWORD = "correct horse battery"
WARDS = "ABCD"
RENEW_S = {"patch": 2.0, "technical": 0.15, "assignment": 0.15, "alert": 0.15}  # as console.js
QUIET_S, SETTLE_S = 8.0, 90.0  # at the end: no news for so long, or no more patience


@dataclass
class Page:
    """A nurse's open page, which knows what happened up to the event `after`."""

    name: str
    ward: str
    after: int = 0
    ids: list[int] = field(default_factory=list)
    waits: list[tuple[str, float]] = field(default_factory=list)  # (kind, s from commit to here)
    renewals: list[float] = field(default_factory=list)  # s
    failed: int = 0
    due: float = math.inf  # monotonic seconds: the next renewal
    opened: asyncio.Event = field(default_factory=asyncio.Event)

    async def watch(self, url: str, over: asyncio.Event) -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            await http.post("/login", data={"name": self.name, "password": PASSWORD})
            tasks = [asyncio.create_task(work(http)) for work in (self._listen, self._renew)]
            await over.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _listen(self, http: httpx.AsyncClient) -> None:
        async with http.stream("GET", f"/events?after={self.after}", timeout=None) as answer:
            self.opened.set()
            async for ident, kind, data in _events(answer):
                self.ids.append(ident)
                self.waits.append((kind, time.time() - data["written_at"]))
                self.due = min(self.due, time.monotonic() + RENEW_S.get(kind, math.inf))

    async def _renew(self, http: httpx.AsyncClient) -> None:
        while True:
            await asyncio.sleep(0.02)
            if time.monotonic() < self.due:
                continue
            begun, self.due = time.monotonic(), math.inf
            try:
                answer = await http.get("/fragments/queues")
                self.failed += answer.status_code != 200
            except httpx.HTTPError:
                self.failed += 1
            self.renewals.append(time.monotonic() - begun)


async def _events(answer: httpx.Response) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    ident, kind = 0, ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            ident = int(value)
        elif name == "event":
            kind = value
        elif name == "data" and kind != "beat":
            yield ident, kind, json.loads(value)


class Meter:
    """CPU time and memory of a process."""

    def __init__(self, pid: int) -> None:
        self._process, self._resident = psutil.Process(pid), [0]
        self._begun, self._spent = time.monotonic(), self._cpu_s()

    async def run(self) -> None:
        while True:
            self._resident.append(self._process.memory_info().rss)
            await asyncio.sleep(1)

    def figures(self) -> dict[str, float]:
        cores = (self._cpu_s() - self._spent) / (time.monotonic() - self._begun)
        return {"cpu_of_a_core": round(cores, 2), "peak_mb": round(max(self._resident) / 1e6)}

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


def furnish(store: SqliteStore, pages: Sequence[Page], patches: Sequence[str]) -> None:
    """Users and assignments, before the node starts."""
    people, assignments = People(store), Assignments(store)
    people.add(LOCAL, "chief", PASSWORD, Role.ADMIN)
    for page in pages:
        people.add(LOCAL, page.name, PASSWORD, Role.NURSE, [page.ward])
    for number, patch in enumerate(patches):
        where = WARDS[number % len(WARDS)]
        assignments.assign(
            LOCAL, patch, f"patient-{patch}", where, start=time.time() - 3600, name=f"Mrs {patch}"
        )


def due(store: SqliteStore, ward: str, after: int) -> set[int]:
    """The events that a nurse of the ward should have been told."""
    nurse = Person(name="nurse", role=Role.NURSE, wards=frozenset({ward}))
    seen, out = Seen(store, Assignments(store), nurse), set[int]()
    while events := store.events(after):
        out |= {event.id for event in seen.of(events)}
        after = events[-1].id
    return out


def spread(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {"n": 0}
    p50, p95, most = np.percentile(values, [50, 95, 100])
    return {"n": len(values), "p50": round(p50, 3), "p95": round(p95, 3), "max": round(most, 3)}


async def settled(pages: Sequence[Page]) -> None:
    """Until no page hears anything new: what is still on its way is not lost."""
    until, before = time.monotonic() + SETTLE_S, -1
    while time.monotonic() < until and (heard := sum(len(page.ids) for page in pages)) != before:
        before = heard
        await asyncio.sleep(QUIET_S)


def processes(port: int, broker_port: int, folder: Path) -> list[ProcessSpec]:
    config = folder / "cloud.toml"
    config.write_text(
        f'broker = "mqtt://127.0.0.1:{broker_port}"\nport = {port}\nstore = "{url_of(folder)}"\n'
    )
    command = [sys.executable, "-P", "-m", "anyecg"]
    return [
        ProcessSpec(
            name="broker",
            argv=[*command, "broker", "run", "--port", str(broker_port)],
            ready=listening(broker_port),
        ),
        ProcessSpec(
            name="cloud", argv=[*command, "cloud", "run", "--config", str(config)], ready=listening(port)
        ),
    ]


def url_of(folder: Path) -> str:
    return f"sqlite:///{(folder / 'cloud.db').as_posix()}"


async def measure(asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    port, broker_port = free_port(), free_port()
    pages = [Page(f"nurse-{n}", WARDS[n % len(WARDS)]) for n in range(asked.clients)]
    hearts = hearts_of(asked.seconds)
    with contextlib.closing(open_store(url_of(folder))) as store:
        furnish(store, pages, [patch_id(n) for n in range(asked.patients)])
        for page in pages:
            page.after = store.last_event()
    async with Supervisor(processes(port, broker_port, folder), say=say) as running:
        over = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            for page in pages:
                tasks.create_task(page.watch(f"http://127.0.0.1:{port}", over))
            for page in pages:  # signing in costs what it must
                await page.opened.wait()
            meters = {name: Meter(pid) for name, pid in running.pids.items()}
            metering = [tasks.create_task(meter.run()) for meter in meters.values()]
            begin = time.time()
            uplinks = Uplinks(
                broker_port, ward(hearts, asked.patients, begin, asked.ill), begin + asked.seconds
            )
            uplinks.start()
            await asyncio.sleep(asked.seconds)
            figures = {name: meter.figures() for name, meter in meters.items()}
            await asyncio.to_thread(uplinks.join)
            await settled(pages)
            over.set()
            for task in metering:
                task.cancel()
    with contextlib.closing(open_store(url_of(folder))) as store:
        wanted = {page.ward: due(store, page.ward, page.after) for page in pages[: len(WARDS)]}
        return figures | {
            "sent": uplinks.sent,
            "acknowledged": uplinks.answers,
            "waiting_for_analysis": store.pending(),
            "events": dict(Counter(kind for kind, _ in pages[0].waits)) if pages else {},
            "commit_to_event_s": spread([s for page in pages for _, s in page.waits]),
            "alert_to_event_s": spread([s for page in pages for kind, s in page.waits if kind == "alert"]),
            "queues_s": spread([s for page in pages for s in page.renewals]),
            "refused_requests": sum(page.failed for page in pages),
            "lost": sum(len(wanted[page.ward] - set(page.ids)) for page in pages),
            "twice": sum(len(page.ids) - len(set(page.ids)) for page in pages),
            "load_average": os.getloadavg()[0],
            "cpus": os.cpu_count(),
        }


def say(text: str) -> None:
    print(text, file=sys.stderr)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--clients", type=int, default=20, help="open pages")
    parser.add_argument("--seconds", type=float, default=180.0)
    parser.add_argument("--ill", type=float, default=0.1, help="share of the patients who forward parts")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        figures = asyncio.run(measure(asked, Path(folder)))
    print(json.dumps(vars(asked) | figures, indent=2))


if __name__ == "__main__":
    main()
