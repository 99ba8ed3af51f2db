"""Readiness and figures: each check fails by itself, for real, and the figures are those of the store."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cloud.config import CloudConfig
from cloud.health import HeadNote, Health, standing_still, writable
from cloud.inbox import Inbox
from cloud.metrics import PATCHES, Metrics
from cloud.sqlite_store import SqliteStore
from cloud.store import Job
from cloud.worker import Worker
from models.ecg import Segment
from models.wire import encode_segment, pack

MakePart = Callable[..., Segment]


def figures(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """(name, label values) -> figure."""
    families = text_string_to_metric_families(metrics.text().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def test_a_check_that_fails_or_cannot_be_made_is_named() -> None:
    def broken() -> str:
        raise RuntimeError("secret")

    failing = Health({"a": lambda: None, "b": lambda: "It is away.", "c": broken}).failing()
    assert failing == {"b": "It is away.", "c": "It cannot be checked; the log says why."}


def test_many_askers_make_one_check() -> None:
    asked: list[int] = []
    health = Health({"a": lambda: asked.append(1)})
    threads = [threading.Thread(target=health.failing) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(asked) == 1


def test_a_store_that_cannot_be_written_is_not_ready(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Health({"store": writable(store)}).failing() == {}
    monkeypatch.setattr("models.sqlite.BUSY_MS", 10)
    other = SqliteStore(str(tmp_path / "cloud.db"))
    with sqlite3.connect(tmp_path / "cloud.db", isolation_level=None) as holder:
        holder.execute("begin immediate")
        assert set(Health({"store": writable(other)}).failing()) == {"store"}
        holder.execute("rollback")
    assert Health({"store": writable(other)}).failing() == {}
    other.close()


def test_a_broker_that_is_killed_is_seen(broker: Any, store: SqliteStore) -> None:
    inbox = Inbox(broker.url, "home", store)
    inbox.start()
    try:
        _until(lambda: inbox.connected)
        broker.kill()
        _until(lambda: not inbox.connected)
        broker.start()
        _until(lambda: inbox.connected)
    finally:
        inbox.stop()


def _until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


class Slow(Worker):
    """Hangs at its part until it is let go."""

    def work(self, job: Job) -> bool:
        release.wait(30)
        return True


release = threading.Event()


def test_a_worker_that_hangs_at_a_part_and_one_that_ended_are_seen(
    store: SqliteStore, make_part: MakePart, network: Any
) -> None:
    release.clear()
    took: list[float] = []
    worker = Slow(store, network, CloudConfig(), took.append)
    assert "1 ended" in (standing_still([worker], 5.0) or "")
    worker.start()
    assert standing_still([worker], 5.0) is None
    part = make_part()
    store.commit_segment(encode_segment(part, 1, "home"), part, seq=1, site="home", now=time.time())
    _until(lambda: worker.busy_s > 0.05)
    assert "1 are longer than 0.05 s" in (standing_still([worker], 0.05) or "")
    release.set()
    _until(lambda: bool(took))
    worker.stop()
    worker.join()
    assert took[0] > 0.05


def test_a_head_that_was_not_noted_is_said(store: SqliteStore, tmp_path: Path) -> None:
    head = HeadNote(store)
    assert head.wrong()
    (tmp_path / "cloud.db.audit-heads").mkdir()  # it cannot be written
    head.note()
    assert head.wrong()
    (tmp_path / "cloud.db.audit-heads").rmdir()
    head.note()
    assert head.wrong() is None


def test_figures_are_those_of_the_inbox_and_of_the_store(store: SqliteStore, make_part: MakePart) -> None:
    metrics = Metrics(store)
    inbox = Inbox("mqtt://127.0.0.1:1", "home", store, metrics.received)  # never connected
    now = time.time()
    part, other = make_part(), make_part(value=2)
    for payload in (encode_segment(part, 1, "home"), encode_segment(part, 1, "home"), b"junk"):
        inbox._take("ecg/v1/home/p/seg", payload)
    inbox._take("ecg/v1/home/p/seg", encode_segment(other, 2, "home"))
    inbox._take("ecg/v1/home/p/trend", pack({}))
    store.heartbeat("p", "home", {"newest": 1, "newest_utc": now - 50, "fs": 100.0, "boot_id": 1}, now=now)
    metrics.analysed(0.2)
    metrics.watch_clients(lambda: 3)
    seen = figures(metrics)
    for outcome in ("committed", "duplicate", "conflict", "refused"):
        assert seen["anyecg_received_total", "seg", outcome] == 1
    assert seen["anyecg_received_total", "trend", "refused"] == 1
    assert seen["anyecg_queue_jobs",] == 1
    assert 0 <= seen["anyecg_queue_oldest_seconds",] < 60
    assert seen["anyecg_technical_alerts", "conflict"] == 1
    assert seen["anyecg_newest_sample_age_seconds", "p"] == pytest.approx(50, abs=30)
    assert seen["anyecg_analysis_seconds_count",] == 1
    assert seen["anyecg_sse_clients",] == 3
    assert seen["anyecg_events_total",] == store.last_event()
    assert seen["anyecg_audit_head_number",] == store.audit.head().number
    assert seen["anyecg_store_bytes",] > 4096
    assert seen["anyecg_reports", "template"] == seen["anyecg_claims_replaced",] == 0
    assert seen["anyecg_reports_left_to_template",] == 0


def test_every_figure_has_its_help_and_our_name(store: SqliteStore) -> None:
    families = list(text_string_to_metric_families(Metrics(store).text().decode()))
    assert len(families) > 10
    assert all(family.name.startswith("anyecg_") and family.documentation for family in families)


def test_the_ages_of_many_patches_are_bounded(store: SqliteStore) -> None:
    for number in range(PATCHES + 5):
        beat = {"newest": 1, "newest_utc": 1.0, "fs": 100.0, "boot_id": 1}
        store.heartbeat(f"p{number}", "home", beat, now=float(number))
    seen = figures(Metrics(store))
    ages = {labels[0] for name, *labels in seen if name == "anyecg_newest_sample_age_seconds"}
    assert len(ages) == PATCHES
    assert "p0" not in ages
    assert seen["anyecg_patches",] == PATCHES + 5
