"""A console on a real server over a real store, a made episode whose every pixel is known, and a browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from cloud.broker import free_port
from cloud.console.app import create_app
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome, Receipt
from models.ecg import Clock, Segment, make_id, read_only, segment_id
from models.verdicts import Alert, Finding, Priority
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

    def __init__(self, store: SqliteStore) -> None:
        self.port = free_port()
        options = uvicorn.Config(
            create_app(store, "ward-7"),
            host="127.0.0.1",
            port=self.port,
            log_level="critical",
            lifespan="on",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(options)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        """Ends it; once is enough and twice does no harm."""
        self._server.should_exit = True
        self._thread.join()


@pytest.fixture
def server(store: SqliteStore) -> Iterator[Server]:
    running = Server(store)
    yield running
    running.stop()


@pytest.fixture(scope="module")  # longer, and its event loop would stand in the way of asynchronous tests
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=BROWSER_ARGS)
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """A page at one device pixel to the CSS pixel, that fails on any script error or refused resource."""
    context = browser.new_context(viewport={"width": 1500, "height": 1000}, color_scheme="light")
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
    yield opened
    found = list(complaints)  # closing cuts requests short, which is no fault of the page
    context.close()
    assert found == []


def square_part(number: int, patch_id: str = "made") -> Segment:
    """20 s of one lead that is 1 mV for the first half of every second and 0 for the other."""
    first = number * PART
    counts = np.where(np.arange(first, first + PART) % 250 < 125, 1000, 0)[None].astype(np.int32)
    gaps = (GAP,) if number == 0 else ()
    for start, count in gaps:
        counts[:, start : start + count] = 0
    return Segment(
        id=segment_id(patch_id, 1, first, first + PART - 1),
        patch_id=patch_id,
        boot_id=1,
        episode_id=segment_id(patch_id, 1, 0, PART - 1),
        part=number,
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


def v_finding(segment: Segment) -> Finding:
    return Finding(
        segment_id=segment.id,
        label="V",
        first=SPAN[0],
        last=SPAN[1],
        leads=segment.leads,
        probability=0.93,
        evidence={"threshold": 0.5, "r_peak": 515, "qrs_ms": 124, "model": "screener/1 0a1b2c3d"},
    )


def run_alert(segment: Segment) -> Alert:
    rule = "ventricular tachycardia of 6 beats or more"
    cause = {
        "episode_id": segment.episode_id,
        "boot_id": segment.boot_id,
        "label": "VT",
        "rule": rule,
        "priority": "high",
        "at": SPAN[1],
        "utc": UTC_0 + SPAN[1] / FS,
    }
    return Alert(
        id=make_id("alert", segment.episode_id),
        patch_id=segment.patch_id,
        episode_id=segment.episode_id,
        label="VT",
        priority=Priority.HIGH,
        state="raised",
        at=SPAN[1],
        rule=rule,
        history=(cause,),
    )


Commit = Callable[..., Segment]


@pytest.fixture
def commit(store: SqliteStore) -> Commit:
    """Commits a part as the inbox would and, with `found`, its finding and alert as a worker would."""

    def put(number: int = 0, *, patch_id: str = "made", found: bool = True) -> Segment:
        segment, now = square_part(number, patch_id), time.time()
        payload = encode_segment(segment, number, "ward-7")
        assert store.commit_segment(payload, segment, seq=number, site="ward-7", now=now) is Receipt.COMMITTED
        if found:
            job = store.claim("test", 60.0, now=now)
            assert job is not None
            outcome = Outcome(
                episode_id=segment.episode_id,
                findings=(v_finding(segment),),
                open=(),
                reports=(),
                alert=run_alert(segment),
                alert_change="raised",
            )
            assert store.finish(job, outcome, now=now)
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
