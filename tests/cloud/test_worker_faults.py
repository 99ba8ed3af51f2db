"""What a worker does when something goes wrong: it tells, it goes on, and no job is lost."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import cloud.worker
from cloud.config import CloudConfig
from cloud.sqlite_store import SqliteStore
from cloud.store import Job
from cloud.worker import FAILED, Worker
from models.anyecg.localizer import Localizer
from models.ecg import Segment, segment_id
from models.errors import DeliveryError
from models.wire import encode_segment

CONFIG = CloudConfig()


def commit(store: SqliteStore, part: Segment) -> None:
    store.commit_segment(encode_segment(part, part.part, "home"), part, seq=part.part, site="home", now=1.0)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 40
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def of_patch(patch: str, parts: list[Segment]) -> list[Segment]:
    """The same signal as another patch's."""
    head = segment_id(patch, parts[0].boot_id, parts[0].first, parts[0].last)
    return [
        dataclasses.replace(
            part,
            patch_id=patch,
            id=segment_id(patch, part.boot_id, part.first, part.last),
            episode_id=head,
        )
        for part in parts
    ]


def poisonous(part: Segment) -> Segment:
    """It decodes, and cannot be analysed: a gain that is no number of this world."""
    return dataclasses.replace(part, uv_per_count=(float("nan"),))


class Fragile(Localizer):
    """The shipped network, which cannot analyse while it is told not to."""

    broken = False

    def run(self, *stretch: Any) -> Any:
        if self.broken:
            raise ArithmeticError("made to fail")
        return super().run(*stretch)


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> Fragile:
    monkeypatch.setattr(cloud.worker, "RETRY_S", 0.2)
    return Fragile()


@pytest.fixture
def working(store: SqliteStore) -> Iterator[Callable[..., Worker]]:
    """Starts workers; none outlives the test."""
    workers: list[Worker] = []

    def begin(network: Localizer, at: SqliteStore = store) -> Worker:
        workers.append(Worker(at, network, CONFIG))
        workers[-1].start()
        return workers[-1]

    yield begin
    for worker in workers:
        worker.stop()
    store.wake()
    for worker in workers:
        worker.join()


def test_a_part_that_cannot_be_analysed_is_told_and_tried_until_it_can(
    store: SqliteStore,
    fragile: Fragile,
    working: Callable[..., Worker],
    excerpt_parts: list[Segment],
) -> None:
    fragile.broken = True
    commit(store, excerpt_parts[0])
    worker = working(fragile)
    wait_until(lambda: bool(store.technical_alerts()))
    (told,) = store.technical_alerts()
    assert (told.kind, told.patch_id) == (FAILED, excerpt_parts[0].patch_id)
    assert "ArithmeticError" in told.text
    assert (store.pending(), store.findings(excerpt_parts[0].episode_id)) == (1, [])
    fragile.broken = False
    wait_until(lambda: not store.pending())
    wait_until(lambda: not store.technical_alerts())
    assert worker.is_alive()
    assert len(store.reports(excerpt_parts[0].episode_id)) == 1
    raised = [event.data["change"] for event in store.events(0) if event.kind == "technical"]
    assert raised == ["raised", "cleared"]


def test_one_episode_that_cannot_be_analysed_does_not_hold_up_the_others(
    store: SqliteStore,
    network: Localizer,
    working: Callable[..., Worker],
    excerpt_parts: list[Segment],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cloud.worker, "RETRY_S", 30.0)
    bad = of_patch("bad", excerpt_parts)[0]

    class Picky(Worker):
        def work(self, job: Job) -> bool:
            if job.patch_id == "bad":
                raise RuntimeError("poison")
            return super().work(job)

    commit(store, bad)
    for part in excerpt_parts[:2]:
        commit(store, part)
    worker = Picky(store, network, CONFIG)
    worker.start()
    wait_until(lambda: store.pending() == 1)
    worker.stop()
    store.wake()
    worker.join()
    assert len(store.findings(excerpt_parts[0].episode_id)) > 3
    assert [alert.patch_id for alert in store.technical_alerts()] == ["bad"]


def test_a_store_that_is_away_for_a_moment_does_not_end_the_analysis(
    fragile: Fragile, tmp_path: Path, excerpt_parts: list[Segment]
) -> None:
    class Away(SqliteStore):
        gone = threading.Event()
        asked = 0

        def claim(self, owner: str, lease_s: float, *, now: float) -> Job | None:
            self.asked += 1
            if not self.gone.is_set():
                raise DeliveryError("The disk is full.")
            return super().claim(owner, lease_s, now=now)

    store = Away(str(tmp_path / "away.db"))
    commit(store, excerpt_parts[0])
    worker = Worker(store, fragile, CONFIG)
    worker.start()
    wait_until(lambda: store.asked > 1)
    assert worker.is_alive()
    store.gone.set()
    wait_until(lambda: not store.pending())
    worker.stop()
    store.wake()
    worker.join()
    assert len(store.reports(excerpt_parts[0].episode_id)) == 1
    store.close()


def test_two_workers_on_many_episodes_leave_what_one_leaves(
    tmp_path: Path, network: Localizer, working: Callable[..., Worker], excerpt_parts: list[Segment]
) -> None:
    episodes = [of_patch(f"patch{i}", excerpt_parts[:3]) for i in range(4)]
    results = []
    for count in (1, 2):
        store = SqliteStore(str(tmp_path / f"{count}.db"))
        for number in range(3):
            for parts in episodes:
                commit(store, parts[number])
        workers = [Worker(store, network, CONFIG) for _ in range(count)]
        for worker in workers:
            worker.start()
        wait_until(lambda at=store: not at.pending())  # type: ignore[misc]
        for worker in workers:
            worker.stop()
        store.wake()
        for worker in workers:
            worker.join()
        shown = [
            (
                [(f.id, f.finding, f.open) for f in store.findings(parts[0].episode_id)],
                store.reports(parts[0].episode_id),
            )
            for parts in episodes
        ]
        alerts = sorted((a.alert.id, a.alert.label, a.alert.at, a.alert.rule) for a in store.alerts())
        changes = [e.data["change"] for e in store.events(0, limit=10_000) if e.kind == "alert"]
        assert len(alerts) == 4
        assert changes.count("raised") == 4
        results.append((shown, alerts))
        store.close()
    assert results[0] == results[1]


def test_a_gain_that_is_no_number_harms_nobody_else(
    store: SqliteStore, fragile: Fragile, working: Callable[..., Worker], excerpt_parts: list[Segment]
) -> None:
    commit(store, poisonous(of_patch("bad", excerpt_parts)[0]))
    commit(store, excerpt_parts[0])
    worker = working(fragile)
    wait_until(lambda: bool(store.reports(excerpt_parts[0].episode_id)))
    assert worker.is_alive()
    wait_until(lambda: bool(store.technical_alerts()))
    assert [(alert.kind, alert.patch_id) for alert in store.technical_alerts()] == [(FAILED, "bad")]
