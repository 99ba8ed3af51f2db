"""The store: nothing twice, nothing half, one worker a patch, and a lease that runs out."""

from __future__ import annotations

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cloud.docket import Called
from cloud.sqlite_store import SqliteStore
from cloud.store import Job, Outcome, Receipt, open_store
from models.ecg import Segment
from models.errors import DeliveryError, UsageError
from models.verdicts import Alert, Finding, Priority
from models.wire import encode_segment

ROOT = Path(__file__).resolve().parents[2]
MakePart = Callable[..., Segment]


def commit(store: SqliteStore, part: Segment, now: float = 1.0) -> Receipt:
    return store.commit_segment(encode_segment(part, 0, "home"), part, seq=0, site="home", now=now)


def claim(store: SqliteStore, owner: str = "a", now: float = 10.0) -> Job:
    job = store.claim(owner, 30.0, now=now)
    assert job is not None
    return job


def beat(part: Segment, first: int, label: str = "V") -> Finding:
    return Finding(
        segment_id=part.id,
        label=label,
        first=first,
        last=first + 9,
        leads=part.leads,
        probability=0.9,
        evidence={"r_peak": first + 4},
    )


def outcome(part: Segment, *findings: Finding, still_open: tuple[Finding, ...] = ()) -> Outcome:
    return Outcome(
        episode_id=part.episode_id,
        findings=findings,
        open=still_open,
        reports=(),
    )


def test_a_segment_comes_back_as_it_was_committed(store: SqliteStore, make_part: MakePart) -> None:
    part = make_part(0, value=-7)
    assert commit(store, part) is Receipt.COMMITTED
    back = store.segment(part.id)
    assert back is not None
    assert (back.counts == part.counts).all()
    assert store.sha256s() == {part.id: part.sha256}
    assert [event.kind for event in store.events(0)] == ["segment"]


def test_the_same_segment_is_a_duplicate_and_makes_no_second_job(
    store: SqliteStore, make_part: MakePart
) -> None:
    assert commit(store, make_part(0)) is Receipt.COMMITTED
    assert commit(store, make_part(0)) is Receipt.DUPLICATE
    assert store.pending() == 1
    assert store.last_event() == 1


def test_the_same_id_with_other_samples_is_a_conflict_and_the_first_stays(
    store: SqliteStore, make_part: MakePart
) -> None:
    first, second = make_part(0, value=1), make_part(0, value=2)
    commit(store, first)
    assert commit(store, second) is Receipt.CONFLICT
    assert store.sha256s() == {first.id: first.sha256}
    assert store.pending() == 1


def test_parts_come_in_sample_order_whatever_order_they_arrived_in(
    store: SqliteStore, make_part: MakePart
) -> None:
    for number in (2, 0, 1):
        commit(store, make_part(number, final=number == 2))
    episode_id = make_part(0).episode_id
    assert [part.part for part in store.parts(episode_id)] == [0, 1, 2]
    episode = store.episode(episode_id)
    assert episode is not None
    assert (episode.parts, episode.final, episode.first, episode.last, episode.pending) == (
        3,
        True,
        0,
        299,
        3,
    )
    assert episode.utc(100) == 1001.0


def test_two_workers_never_hold_the_same_patch_but_share_the_patches(
    store: SqliteStore, make_part: MakePart
) -> None:
    for part in (make_part(0), make_part(1), make_part(0, patch="q")):
        commit(store, part)
    first, second = claim(store, "a"), claim(store, "b")
    assert (first.patch_id, second.patch_id) == ("p", "q")
    assert store.claim("c", 30.0, now=11.0) is None
    assert store.finish(first, outcome(make_part(0)), now=12.0)
    assert claim(store, "c", now=13.0).segment_id == make_part(1).id


def test_a_dead_workers_job_is_claimed_again_after_its_lease_and_its_late_word_counts_for_nothing(
    store: SqliteStore, make_part: MakePart
) -> None:
    part = make_part(0)
    commit(store, part)
    dead = claim(store, "dead", now=10.0)
    assert store.claim("other", 30.0, now=39.0) is None
    again = claim(store, "other", now=41.0)
    assert (again.segment_id, again.attempts) == (part.id, 2)
    assert not store.finish(dead, outcome(part, beat(part, 10)), now=42.0)
    assert store.findings(part.episode_id) == []
    assert store.finish(again, outcome(part, beat(part, 20)), now=43.0)
    assert not store.finish(again, outcome(part), now=44.0)
    assert [f.finding.first for f in store.findings(part.episode_id)] == [20]
    assert store.pending() == 0


def test_a_postponed_job_waits_and_lets_the_others_pass(store: SqliteStore, make_part: MakePart) -> None:
    commit(store, make_part(0))
    commit(store, make_part(1))
    store.postpone(claim(store), "broken", now=10.0, until=60.0)
    assert claim(store, now=20.0).segment_id == make_part(1).id
    assert claim(store, now=61.0).segment_id == make_part(0).id


def test_a_run_that_grows_keeps_its_id_and_the_moment_it_was_first_shown(
    store: SqliteStore, make_part: MakePart
) -> None:
    part = make_part(0)
    commit(store, part)
    commit(store, make_part(1))
    run = beat(part, 10, "VT")
    assert store.finish(claim(store), outcome(part, still_open=(run,)), now=20.0)
    grown = dataclasses.replace(run, last=150)
    assert store.finish(claim(store, now=21.0), outcome(part, grown), now=22.0)
    (kept,) = store.findings(part.episode_id)
    assert (kept.finding.last, kept.open, kept.timing.shown_at) == (150, False, 20.0)
    assert kept.timing.sampled_at == pytest.approx(1000.19)


def test_a_finding_that_a_fuller_episode_no_longer_shows_is_removed_and_said_so(
    store: SqliteStore, make_part: MakePart
) -> None:
    part = make_part(0)
    commit(store, part)
    commit(store, make_part(1))
    store.finish(claim(store), outcome(part, beat(part, 10), beat(part, 40)), now=20.0)
    (gone, _) = store.findings(part.episode_id)
    before = store.last_event()
    store.finish(claim(store, now=21.0), outcome(part, beat(part, 40)), now=22.0)
    (event,) = store.events(before)
    assert event.data["removed"] == [gone.id]
    assert event.data["findings"] == []
    assert store.finding_counts() == {"V": 1}


def test_what_did_not_change_is_not_told_again(store: SqliteStore, make_part: MakePart) -> None:
    part = make_part(0)
    commit(store, part)
    commit(store, make_part(1))
    store.finish(claim(store), outcome(part, beat(part, 10)), now=20.0)
    before = store.last_event()
    store.finish(claim(store, now=21.0), outcome(part, beat(part, 10)), now=22.0)
    assert store.events(before) == []


def test_latencies_are_from_the_sample_and_from_the_edge_to_the_event(
    store: SqliteStore, make_part: MakePart
) -> None:
    part = make_part(0)  # sample i was taken at 1000 + i/100, its last reached the edge at 1001
    commit(store, part)
    alert = Alert(
        id="A" * 26,
        patch_id="p",
        episode_id=part.episode_id,
        label="V",
        priority=Priority.LOW,
        state="raised",
        at=50,
        rule="made",
    )
    called = (Called(alert=alert, change="raised"),)
    found = dataclasses.replace(outcome(part, beat(part, 11)), judge=lambda _: called)
    assert store.finish(claim(store, now=1001.0), found, now=1003.0)
    stats = store.stats()
    assert stats["latency_s"] == {"n": 2, "p50": pytest.approx(2.65), "p95": pytest.approx(2.785)}
    assert stats["pipeline_s"] == {"n": 2, "p50": 2.0, "p95": 2.0}
    assert (stats["alerts"], stats["findings"], stats["pending"]) == (1, {"V": 1}, 0)
    assert store.open_alert("p") == alert
    assert store.open_alert("q") is None


def test_a_technical_alert_stands_once_until_it_is_cleared(store: SqliteStore) -> None:
    for now in (1.0, 2.0):
        store.raise_technical("p", "silent", "No heartbeat.", now=now)
    (standing,) = store.technical_alerts()
    assert (standing.raised_at, standing.cleared_at) == (1.0, None)
    for now in (3.0, 4.0):
        store.clear_technical("p", "silent", now=now)
    assert store.technical_alerts() == []
    assert [t.cleared_at for t in store.technical_alerts(standing=False)] == [3.0]
    assert [event.data["change"] for event in store.events(0)] == ["raised", "cleared"]


def test_unreadable_seconds_run_on_until_something_could_be_read(store: SqliteStore) -> None:
    def hear(newest: int, unreadable: float) -> float:
        beat = {"newest": newest, "fs": 100.0, "boot_id": 1, "unreadable_s": unreadable, "missing_s": 0.0}
        store.heartbeat("p", "home", beat, now=newest / 100)
        return store.patches()[0].unreadable_run_s

    assert [hear(6000, 60.0), hear(12000, 60.0), hear(18000, 10.0), hear(24000, 60.0)] == [60, 120, 0, 60]


def test_a_hop_that_is_not_counted_yet_does_not_end_a_dark_stretch(store: SqliteStore) -> None:
    """Heartbeats every 15 s of a patch that is never read; hops of 5 s, so now and then one has only two."""
    for newest_s, unreadable in ((14.9, 10.0), (29.9, 15.0), (44.8, 15.0), (59.6, 15.0)):
        beat = {"newest": round(100 * newest_s), "fs": 100.0, "boot_id": 1, "unreadable_s": unreadable}
        store.heartbeat("p", "home", beat, now=newest_s)
    assert store.patches()[0].unreadable_run_s == 55.0


def test_somebody_who_waits_is_woken_by_a_commit_of_another_thread(
    store: SqliteStore, make_part: MakePart
) -> None:
    other = threading.Thread(target=commit, args=(store, make_part(0)))
    other.start()
    assert store.wait(0, 20.0)
    other.join()
    assert not store.wait(store.last_event(), 0.01)


def test_who_is_woken_waits_again_and_does_not_spin(store: SqliteStore) -> None:
    """One that ends wakes the others too: they look once and go on waiting."""
    store.wake()
    assert store.wait(0, 20.0)
    assert not store.wait(0, 0.01)
    with ThreadPoolExecutor(1) as late:  # it comes to wait only after it was woken
        assert late.submit(store.wait, 0, 20.0).result()
        assert not late.submit(store.wait, 0, 0.01).result()


def test_a_store_opens_again_with_everything_it_held(tmp_path: Path, make_part: MakePart) -> None:
    path = str(tmp_path / "again.db")
    first = SqliteStore(path)
    commit(first, make_part(0))
    first.close()
    second = open_store(f"sqlite:///{path}")
    assert second.sha256s() == {make_part(0).id: make_part(0).sha256}
    assert second.last_event() == 1
    second.close()


def test_a_folder_that_is_not_there_and_another_database_are_one_sentence_each(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="cannot be opened"):
        SqliteStore(str(tmp_path / "nowhere" / "cloud.db"))
    with pytest.raises(UsageError, match="sqlite:///PATH"):
        open_store("postgresql://host/db")


KILLED = """
import os, signal, sys
from cloud.alert_book import AlertBook
from cloud.docket import Called
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from models.wire import decode_segment

kept = {where}

def dying(*what):
    kept(*what)
    os.kill(os.getpid(), signal.SIGKILL)

store = SqliteStore(sys.argv[1])
{where} = dying
payload = open(sys.argv[2], "rb").read()
part, envelope = decode_segment(payload)
if "{where}" == "SqliteStore.tell":
    store.commit_segment(payload, part, seq=0, site="home", now=1.0)
job = store.claim("a", 30.0, now=1.0)
from models.verdicts import Alert, Finding, Measurements, Priority, Report
found = Finding(segment_id=part.id, label="V", first=1, last=9, leads=("II",), probability=0.9, evidence={{}})
nothing = dict.fromkeys("heart_rate_mean heart_rate_min heart_rate_max rr_median pr qrs qt".split())
report = Report(id="R", episode_id=part.episode_id, segment_ids=(part.id,), findings=(found,),
                measurements=Measurements(beats=1, analysed_s=1.0, not_analysed_s=0.0, **nothing),
                narrative="made", abstentions=(), model="made")
alert = Alert(id="A", patch_id="p", episode_id=part.episode_id, label="V", priority=Priority.LOW,
              state="raised", at=9, rule="made")
store.finish(job, Outcome(episode_id=part.episode_id, findings=(found,), open=(), reports=(report,),
             judge=lambda _: (Called(alert=alert, change="raised"),)), now=2.0)
"""


def killed_at(where: str, folder: Path, part: Segment) -> Path:
    """The database after a process was killed with -9 in the middle of a transaction."""
    (folder / "part").write_bytes(encode_segment(part, 0, "home"))
    code = textwrap.dedent(KILLED).format(where=where)
    command = [sys.executable, "-c", code, str(folder / "cloud.db"), str(folder / "part")]
    ended = subprocess.run(command, cwd=ROOT, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert ended.returncode == -signal.SIGKILL
    return folder / "cloud.db"


def test_a_kill_before_the_commit_of_a_segment_leaves_neither_it_nor_its_event(
    tmp_path: Path, make_part: MakePart
) -> None:
    path = killed_at("SqliteStore.tell", tmp_path, make_part(0))
    with sqlite3.connect(path) as db:
        counts = [
            db.execute(f"select count(*) from {t}").fetchone()[0] for t in ("segments", "jobs", "events")
        ]
    db.close()
    assert counts == [0, 0, 0]


def test_a_kill_between_what_was_found_and_the_done_mark_leaves_the_job_to_be_done_once(
    tmp_path: Path, make_part: MakePart
) -> None:
    part = make_part(0)
    before = SqliteStore(str(tmp_path / "cloud.db"))
    commit(before, part)
    before.close()
    store = SqliteStore(str(killed_at("AlertBook.take", tmp_path, part)))
    assert [*store.findings(part.episode_id), *store.reports(part.episode_id), *store.alerts()] == []
    assert [event.kind for event in store.events(0)] == ["segment"]
    assert store.pending() == 1
    assert store.finish(claim(store, now=100.0), outcome(part, beat(part, 1)), now=101.0)
    assert store.finding_counts() == {"V": 1}
    store.close()
