"""Workers over a real store and network: any order, any number, any death, the same result."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.alerts import OPEN, State
from cloud.assignments import Assignments
from cloud.config import CloudConfig
from cloud.quiet import QuietRule
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from cloud.store import Job
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.ecg import Segment, segment_id
from models.errors import DeliveryError
from models.verdicts import Priority
from models.wire import encode_segment

CONFIG = CloudConfig()


def commit(store: SqliteStore, part: Segment) -> None:
    store.commit_segment(encode_segment(part, part.part, "home"), part, seq=part.part, site="home", now=1.0)


def drain(store: SqliteStore, worker: Worker) -> None:
    while (job := store.claim("test", 30.0, now=time.time())) is not None:
        assert worker.work(job)


def shown(store: SqliteStore, episode_id: str) -> dict[str, Any]:
    return {
        "findings": [(f.id, f.finding, f.open) for f in store.findings(episode_id)],
        "reports": store.reports(episode_id),
        "alerts": [stored.alert for stored in store.alerts()],
    }


class Breaking(Worker):
    """A worker whose every analysis fails."""

    def work(self, job: Job) -> bool:
        raise ValueError(job.id)


class Absent(SqliteStore):
    """A store whose first two claims find it busy."""

    absences = 2

    def claim(self, owner: str, lease_s: float, *, now: float) -> Job | None:
        if self.absences:
            self.absences -= 1
            raise DeliveryError("The store is busy.")
        return super().claim(owner, lease_s, now=now)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def in_order(
    tmp_path_factory: pytest.TempPathFactory, network: Localizer, excerpt_parts: list[Segment]
) -> dict[str, Any]:
    """What one worker shows that gets every part as it comes."""
    store = SqliteStore(str(tmp_path_factory.mktemp("cloud") / "cloud.db"))
    worker = Worker(store, network, CONFIG)
    for part in excerpt_parts:
        commit(store, part)
        drain(store, worker)
    result = shown(store, excerpt_parts[0].episode_id)
    store.close()
    assert len(result["findings"]) > 20
    assert len(result["alerts"]) == 1
    return result


def test_a_part_that_comes_late_changes_nothing_in_the_end(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment], in_order: dict[str, Any]
) -> None:
    worker = Worker(store, network, CONFIG)
    for number in (0, 2, 1, 4, 3, 2):
        commit(store, excerpt_parts[number])
        drain(store, worker)
    assert shown(store, excerpt_parts[0].episode_id) == in_order


def test_a_worker_that_starts_anew_with_every_part_shows_the_same(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment], in_order: dict[str, Any]
) -> None:
    for part in excerpt_parts:
        commit(store, part)
        drain(store, Worker(store, network, CONFIG))
    assert shown(store, excerpt_parts[0].episode_id) == in_order


@pytest.mark.parametrize("fresh", [False, True])
def test_parts_are_judged_by_the_quiet_rules_of_their_commit_by_any_worker_at_any_time(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment], fresh: bool
) -> None:
    """Committed at 1.0 while the rule was in force, analysed long after its end."""
    rule = QuietRule(
        patch_id="excerpt",
        label="V",
        priority=Priority.MEDIUM,
        since=0.0,
        until=2.0,
        reason="known",
        who="ann",
    )
    with store.writing() as db:
        store.patient_rules.add(db, rule)
    worker = Worker(store, network, CONFIG)
    for part in excerpt_parts:
        commit(store, part)
        drain(store, Worker(store, network, CONFIG) if fresh else worker)
    quiet = [stored.alert for stored in store.alerts(states=[State.SUPPRESSED])]
    assert [{entry["label"] for entry in alert.history} for alert in quiet] == [{"V"}]
    calling = [entry for stored in store.alerts(states=OPEN) for entry in stored.alert.history]
    assert not [entry for entry in calling if entry["label"] == "V" and entry["priority"] != "high"]


def test_evidence_of_one_patient_never_joins_the_alert_of_another_also_when_it_comes_late(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, assignments = Worker(store, network, CONFIG), Assignments(store)
    patch, now = excerpt_parts[0].patch_id, [0.0]
    monkeypatch.setattr("cloud.assignments.time.time", lambda: now[0])
    assignments.assign(LOCAL, patch, "one", "A", start=-1.0)
    now[0] = 1000.0
    assignments.assign(LOCAL, patch, "two", "B")
    of_two = shifted(excerpt_parts[:3], round(2000 * excerpt_parts[0].fs))
    for part in (*of_two, *excerpt_parts[:3]):  # the first patient's come last
        commit(store, part)
        drain(store, worker)
    causes = {
        stored.alert.episode_id: {entry["episode_id"] for entry in stored.alert.history}
        for stored in store.alerts()
    }
    assert causes == {part.episode_id: {part.episode_id} for part in (of_two[0], excerpt_parts[0])}


def shifted(parts: list[Segment], by: int) -> list[Segment]:
    """The same signal so many samples later, as an episode of its own."""
    head = parts[0]
    episode = segment_id(head.patch_id, head.boot_id, head.first + by, head.last + by)
    return [
        replace(
            part,
            id=segment_id(part.patch_id, part.boot_id, part.first + by, part.last + by),
            episode_id=episode,
            first=part.first + by,
        )
        for part in parts
    ]


def test_two_workers_on_a_backlog_show_the_same(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment], in_order: dict[str, Any]
) -> None:
    for part in excerpt_parts:
        commit(store, part)
    workers = [Worker(store, network, CONFIG) for _ in range(2)]
    for worker in workers:
        worker.start()
    wait_until(lambda: not store.pending())
    for worker in workers:
        worker.stop()
        worker.join()
    assert shown(store, excerpt_parts[0].episode_id) == in_order


def test_a_worker_that_died_in_the_middle_is_replaced_after_its_lease_with_one_report(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment]
) -> None:
    commit(store, excerpt_parts[0])
    dead = store.claim("dead", 30.0, now=time.time() - 31.0)
    assert dead is not None
    drain(store, Worker(store, network, CONFIG))
    assert not Worker(store, network, CONFIG).work(dead)
    assert len(store.reports(excerpt_parts[0].episode_id)) == 1
    assert sum(event.kind == "report" for event in store.events(0)) == 1
    assert sum(event.kind == "alert" for event in store.events(0)) == len(store.alerts())


def test_when_something_was_first_shown_outlives_every_recomputation(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment]
) -> None:
    worker = Worker(store, network, CONFIG)
    commit(store, excerpt_parts[0])
    drain(store, worker)
    before = {f.id: f.timing.shown_at for f in store.findings(excerpt_parts[0].episode_id)}
    commit(store, excerpt_parts[1])
    drain(store, Worker(store, network, CONFIG))
    after = {f.id: f.timing.shown_at for f in store.findings(excerpt_parts[0].episode_id)}
    assert before
    assert {key: after[key] for key in before} == before


def test_a_part_that_cannot_be_analysed_is_kept_and_said_and_tried_again(
    store: SqliteStore, network: Localizer, excerpt_parts: list[Segment]
) -> None:
    commit(store, excerpt_parts[0])
    worker = Breaking(store, network, CONFIG)
    worker.start()
    wait_until(lambda: bool(store.technical_alerts()))
    worker.stop()
    worker.join()
    assert [alert.kind for alert in store.technical_alerts()] == ["not analysed"]
    assert store.pending() == 1
    job = store.claim("test", 30.0, now=time.time() + 60)
    assert job is not None
    assert Worker(store, network, CONFIG).work(job)
    assert store.technical_alerts() == []


def test_a_store_that_is_away_for_a_moment_does_not_end_the_analysis(
    tmp_path: Path, network: Localizer, excerpt_parts: list[Segment], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloud.worker.RETRY_S", 0.01)
    store = Absent(str(tmp_path / "away.db"))
    commit(store, excerpt_parts[0])
    worker = Worker(store, network, CONFIG)
    worker.start()
    wait_until(lambda: not store.pending())
    worker.stop()
    worker.join()
    assert store.absences == 0
    store.close()
