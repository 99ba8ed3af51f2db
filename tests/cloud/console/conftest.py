"""A console on a real server over a real store, a made episode whose every pixel is known, and a browser."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import uvicorn
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.routing import APIRoute
from playwright.sync_api import Browser, Page, sync_playwright

from cloud.ask import Asking
from cloud.broker import free_port
from cloud.config import PeopleConfig
from cloud.console.app import create_app
from cloud.docket import Called, Docket
from cloud.people import People
from cloud.replays import Replays
from cloud.roles import LOCAL, Role
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome, Receipt
from cloud.strips import Readings
from cloud.turns import Turns
from models.anyecg.chat.runtime import Chat
from models.anyecg.evidence import Evidence
from models.ecg import Clock, Segment, make_id, read_only, segment_id
from models.verdicts import Alert, Finding, Priority, Report
from models.wire import encode_segment

FS = 250.0
PART = 5000  # samples, 20 s
GAP = (1250, 500)  # (first, count): 5 s to 7 s
LEAD_OFF = (2250, 250)  # 9 s to 10 s
SPAN = (500, 530)  # first and last sample of the V finding
UTC_0 = 1_700_000_000.0
BROWSER_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Server:
    """The console as the node runs it, in a thread of the test."""

    def __init__(
        self,
        store: SqliteStore,
        port: int | None = None,
        asking: Asking | None = None,
        people: PeopleConfig | None = None,
        replays: Replays | None = None,
    ) -> None:
        self.port = port or free_port()
        self._app = create_app(store, "ward-7", asking, people=people, replays=replays)
        options = uvicorn.Config(
            self._app, host="127.0.0.1", port=self.port, log_level="critical", lifespan="on", ws="none"
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),))
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        await self._server.serve()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def stop(self) -> None:
        """Ends it as the node does; once is enough and twice does no harm."""
        if self.running:
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def _end(self) -> None:
        self._app.state.hub.close()
        self._server.handle_exit(signal.SIGTERM, None)


@pytest.fixture(scope="session")
def routes_of() -> Callable[[FastAPI], list[APIRoute]]:
    """Every route of an app, also of the routers that it includes."""

    def found(app: FastAPI) -> list[APIRoute]:
        included = [getattr(route, "original_router", None) for route in app.routes]
        every = [*app.routes, *(route for router in included if router for route in router.routes)]
        return [route for route in every if isinstance(route, APIRoute)]

    return found


PLANS = {  # by the question, as a model reads it
    "how many beats?": ["measure BEATS"],
    "and together?": ["compare RATE"],
    "lies?": ["count V", "9 V."],
}


@pytest.fixture
def server(
    store: SqliteStore, tmp_path: Path, readings: Readings, scripted: Callable[..., Chat]
) -> Iterator[Server]:
    """With a language model that knows the answers to PLANS."""
    chat = scripted(lambda question: PLANS.get(question, ["findings"]))
    asking = Asking(store, readings, chat, Turns(1), 20.0)
    running = Server(store, asking=asking, replays=Replays(tmp_path / "replays", store))
    yield running
    running.stop()


PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As real as others, at a thousandth of the cost."""
    quick = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr("cloud.passwords.PasswordHasher", quick)


@pytest.fixture
def people(store: SqliteStore) -> People:
    """An admin `chief`, a nurse, a clinician and a viewer of each of the wards A and B, and an operator."""
    made = People(store)
    made.add(LOCAL, "chief", PASSWORD, Role.ADMIN)
    made.add(LOCAL, "operator", PASSWORD, Role.OPERATOR)
    for ward in "AB":
        for role in (Role.NURSE, Role.CLINICIAN, Role.VIEWER):
            made.add(LOCAL, f"{role}-{ward.lower()}", PASSWORD, role, [ward])
    return made


@pytest.fixture
def enter(people: People, server: Server) -> Iterator[Callable[[str], httpx.Client]]:
    """A signed-in client by name."""
    with contextlib.ExitStack() as open_clients:

        def signed_in(name: str) -> httpx.Client:
            client = open_clients.enter_context(httpx.Client(base_url=server.url, timeout=20))
            answer = client.post("/login", data={"name": name, "password": PASSWORD})
            assert (answer.status_code, answer.headers["location"]) == (303, "/")
            return client

        yield signed_in


@pytest.fixture(scope="module")  # longer, and its event loop would stand in the way of asynchronous tests
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page at one device pixel to the CSS pixel; anything in its console and any foreign request fails."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, color_scheme="light")
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda message: complaints.append(message.text) if server.running else None)
    opened.on("request", lambda r: None if r.url.startswith(server.url) else complaints.append(r.url))
    yield opened
    found = list(complaints)  # closing cuts requests short, which is no fault of the page
    context.close()
    assert found == []


def square_part(number: int, patch_id: str = "made", millivolts: int = 1, begin: int = 0) -> Segment:
    """20 s of one lead that is 1 mV for the first half of every second and 0 for the other.

    Its episode begins with part `begin`.
    """
    first = number * PART
    high = np.arange(first, first + PART) % 250 < 125
    counts = np.where(high, 1000 * millivolts, 0)[None].astype(np.int32)
    gaps = (GAP,) if number == 0 else ()
    for start, count in gaps:
        counts[:, start : start + count] = 0
    return Segment(
        id=segment_id(patch_id, 1, first, first + PART - 1),
        patch_id=patch_id,
        boot_id=1,
        episode_id=segment_id(patch_id, 1, begin * PART, begin * PART + PART - 1),
        part=number - begin,
        final=False,
        continues=None,
        opened_by="screener",
        first=first,
        fs=FS,
        leads=("II",),
        counts=read_only(counts),
        uv_per_count=(1.0,),
        gaps=gaps,
        lead_off=(LEAD_OFF,) if number == 0 else (),
        clock=Clock(utc_0=UTC_0, fs=FS, quality="arrival", received_at=UTC_0 + (first + PART) / FS),
    )


def finding(segment: Segment, label: str, first: int, last: int) -> Finding:
    return Finding(
        segment_id=segment.id,
        label=label,
        first=first,
        last=last,
        leads=segment.leads,
        probability=0.93,
        evidence={
            "threshold": 0.5,
            "r_peak": 515,
            "qrs_ms": 124,
            "rr_ms": None,
            "model": "screener/1 0a1b2c3d",
        },
    )


def alert_of(segment: Segment, before: Alert | None, rule: str, priority: Priority, at: int) -> Alert:
    """Raised, or raised again by a further cause."""
    cause = {
        "episode_id": segment.episode_id,
        "boot_id": segment.boot_id,
        "label": "VT",
        "rule": rule,
        "priority": str(priority),
        "at": at,
        "utc": UTC_0 + at / FS,
    }
    return Alert(
        id=before.id if before else make_id("alert", segment.episode_id),
        patch_id=segment.patch_id,
        episode_id=segment.episode_id,
        label="VT",
        priority=priority,
        state="raised",
        at=at,
        rule=rule,
        history=(*(before.history if before else ()), cause),
    )


Commit = Callable[..., Segment]
Settle = Callable[..., None]


@pytest.fixture
def settle(store: SqliteStore) -> Settle:
    """Finishes the oldest job as a worker would: with what was found, an alert about it, and reports."""

    def put(
        segment: Segment,
        *,
        spans: Sequence[tuple[str, int, int]] = (("V", *SPAN),),
        rule: str = "ventricular tachycardia of 6 beats or more",
        priority: Priority = Priority.HIGH,
        at: int = SPAN[1],
        reports: tuple[Report, ...] = (),
        evidence: dict[str, Evidence] | None = None,
    ) -> None:
        now = time.time()
        job = store.claim("test", 60.0, now=now)
        assert job is not None

        def judge(docket: Docket) -> list[Called]:
            alert = alert_of(segment, docket.open, rule, priority, at)
            return [Called(alert=alert, change="raised again" if docket.open else "raised")]

        outcome = Outcome(
            episode_id=segment.episode_id,
            findings=tuple(finding(segment, *span) for span in spans),
            open=(),
            reports=reports,
            judge=judge,
            evidence=evidence or {},
        )
        assert store.finish(job, outcome, now=now)

    return put


@pytest.fixture
def commit(store: SqliteStore, settle: Settle) -> Commit:
    """Commits a part as the inbox would and, with `found`, settles it as a worker would."""

    def put(
        number: int = 0,
        *,
        patch_id: str = "made",
        millivolts: int = 1,
        begin: int = 0,
        found: bool = True,
        **more: Any,
    ) -> Segment:
        segment = square_part(number, patch_id, millivolts, begin)
        payload = encode_segment(segment, number, "ward-7")
        receipt = store.commit_segment(payload, segment, seq=number, site="ward-7", now=time.time())
        assert receipt is Receipt.COMMITTED
        if found:
            settle(segment, **more)
        return segment

    return put


@pytest.fixture
def beat(store: SqliteStore) -> Callable[..., None]:
    """A heartbeat of a patch, as the inbox keeps it; keywords replace its fields."""

    def put(patch_id: str = "made", **more: object) -> None:
        now = time.time()
        fields = {
            "v": 1,
            "patch_id": patch_id,
            "boot_id": 1,
            "newest": PART - 1,
            "newest_utc": now - 2.0,
            "fs": FS,
            "battery_mv": 3010,
            "lead_off": [],
            "outbox_depth": 0,
            "ended": False,
            "at": now,
        }
        store.heartbeat(patch_id, "ward-7", {**fields, **more}, now=now)

    return put
