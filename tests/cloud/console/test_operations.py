"""What watches the node: alive, ready, figures, logs without names; and what a page hears of what is gone."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from cloud.config import RetentionConfig
from cloud.console.app import create_app
from cloud.console.live import Hub
from cloud.console.seen import everything
from cloud.health import Health
from cloud.people import People
from cloud.retention import Retention
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.errors import DeliveryError
from models.verdicts import Priority

PASSWORD = "correct horse battery"
LATER = 400 * 86_400.0  # s
Commit = Callable[..., Segment]


def client_of(app: FastAPI, peer: str = "127.0.0.1", **headers: str) -> TestClient:
    return TestClient(
        app, base_url="http://127.0.0.1", client=(peer, 1), headers=headers, follow_redirects=False
    )


def test_a_node_is_ready_or_says_with_503_what_fails(store: SqliteStore) -> None:
    broken: dict[str, str] = {}
    health = Health({"broker": lambda: broken.get("broker")})
    client = client_of(create_app(store, health=health))
    assert client.get("/readyz").json() == {"ready": True, "failing": {}}
    broken["broker"] = "No connection."
    health._asked_at = float("-inf")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json() == {"ready": False, "failing": {"broker": "No connection."}}
    assert client.get("/healthz").json() == {"status": "ok"}


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("192.0.2.1", {}, 401),
        ("127.0.0.1", {"X-Forwarded-For": "192.0.2.1"}, 401),
        ("127.0.0.1", {"Forwarded": "for=127.0.0.1"}, 401),
        ("a-socket", {}, 401),
    ],
)
def test_figures_are_for_this_machine_and_not_for_whom_a_proxy_on_it_speaks(
    store: SqliteStore, people: People, peer: str, headers: dict[str, str], status: int
) -> None:
    answer = client_of(create_app(store), peer, **headers).get("/metrics")
    assert answer.status_code == status
    assert ("anyecg_queue_jobs" in answer.text) is (status == 200)


def test_figures_name_patches_and_no_patient(store: SqliteStore, clinic: TestClient) -> None:
    text = clinic.get("/metrics").text
    assert 'patch="patch-a"' in text
    assert "Kanarienvogel" not in text


@pytest.fixture
def clinic(store: SqliteStore, commit: Commit, beat: Callable[..., None]) -> Iterator[TestClient]:
    """A patch on a patient of that name, with an alert."""
    with client_of(create_app(store)) as client:
        form = {
            "patch": "patch-a",
            "patient": "one",
            "ward": "A",
            "name": "Kanarienvogel",
            "phone": "0123987",
        }
        assert client.post("/patches/assign", data=form).status_code == 303
        beat("patch-a")
        commit(patch_id="patch-a", priority=Priority.MEDIUM)
        yield client


def test_no_log_names_a_patient_whatever_is_done_or_goes_wrong(
    store: SqliteStore, clinic: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    episode, alert = store.episodes()[0].id, store.alerts()[0].alert.id
    name = "Kanarienvogel"
    for path in ("/", "/patches", f"/fragments/episodes/{episode}", f"/episodes/{episode}/report.pdf",
                 f"/episodes/{episode}/export", f"/episodes/{name}/report.pdf", f"/api/alerts/{name}",
                 f"/patches/{name}/day.pdf?from={name}&to={name}"):  # fmt: skip
        clinic.get(path)
    body = {"version": 1, "screen": name, "hours": 1, "reason": name}
    for what in ("seen", "acknowledge", "suppress", "undo", "resolve"):
        clinic.post(f"/api/alerts/{alert}/{what}", json=body)
    for sent in ({"name": name, "password": name}, {"code": name, "name": name, "password": name}):
        for path in ("/login", "/join", "/people/add", "/patches/assign", "/patches/end", "/password"):
            clinic.post(path, data=sent)
    clinic.post("/ask", json={"episodes": [name], "question": name})
    store.close()
    try:
        clinic.get("/patches")
    except DeliveryError:  # as a server logs it
        logging.getLogger("test").exception("it listens")
    ours = [r for r in caplog.records if not r.name.startswith(("httpx", "httpcore", "asyncio"))]
    assert "it listens" in [record.getMessage() for record in ours]
    assert not [record for record in ours if name in record.getMessage() + str(record.exc_text)]


def test_a_page_whose_last_event_is_kept_no_more_is_told_to_reload(store: SqliteStore) -> None:
    for _ in range(3):
        store.raise_technical("p", "lag", "late", now=1.0)
        store.clear_technical("p", "lag", now=1.0)
    last = store.last_event()
    Retention(store, RetentionConfig(events_days=1)).sweep(LATER)

    async def heard(after: int, count: int) -> list[str]:
        hub, out = Hub(store), list[str]()
        async for message in hub.stream(after, lambda: everything(store)):
            assert hub.clients == 1
            out.append(message)
            if len(out) == count:
                break
        return out[1:]  # after "retry"

    old = asyncio.run(heard(1, 3))
    assert old[0] == f"id: {last - 1}\nevent: reload\ndata: {{}}\n\n"
    assert old[1].startswith(f"id: {last}\nevent: technical")
    assert asyncio.run(heard(last - 1, 2))[0].startswith(f"id: {last}\nevent: technical")


def test_pages_say_that_samples_were_deleted_and_draw_them_as_a_gap(
    store: SqliteStore, clinic: TestClient
) -> None:
    stored = store.alerts()[0]
    store.book.see(stored.alert.id, "local", "s", 1, now=time.time())
    standing = store.book.acknowledge(stored.alert.id, "local", "s", 2, now=time.time())
    store.book.resolve(stored.alert.id, "local", standing.version, "over", now=time.time())
    gone = Retention(store, RetentionConfig(samples_days=1)).sweep(time.time() + LATER)
    assert gone["samples"] == 1
    episode = store.episodes()[0]
    assert "samples deleted on " in clinic.get(f"/fragments/episodes/{episode.id}").text
    data = clinic.get(f"/api/episodes/{episode.id}").json()
    assert data["gaps"] == [[episode.first, episode.last + 1 - episode.first]]
    assert data["samples_deleted_at"] == episode.deleted_at
    assert [found["label"] for found in data["findings"]] == ["V"]
    counts = clinic.get(f"/api/episodes/{episode.id}/samples").content
    assert set(counts) == {0}
    for path in ("strip.svg", "report.pdf", "export"):
        assert clinic.get(f"/episodes/{episode.id}/{path}").status_code in {200, 422}
    told = [json.loads(row["data"]) for row in store.all("select data from events where kind = 'deleted'")]
    assert told == [{"patch_id": "patch-a", "episode_id": episode.id}]


def test_a_stream_that_ends_is_counted_no_more(store: SqliteStore) -> None:
    hub = Hub(store)

    async def look() -> None:
        stream: Any = hub.stream(0, lambda: everything(store))
        await anext(stream)
        assert hub.clients == 1
        await stream.aclose()

    asyncio.run(look())
    assert hub.clients == 0
