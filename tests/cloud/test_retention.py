"""Retention: what is old goes by rule, with a row of the audit; what is open or nobody read stays."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.audit_check import verify
from cloud.chain import sha256_of_text
from cloud.config import RetentionConfig
from cloud.docket import Called
from cloud.retention import DAY_S, Retention
from cloud.roles import Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome, Receipt
from models.ecg import Clock, Segment, make_id, read_only, row_id
from models.ranges import Pulled, encode_range
from models.verdicts import Alert, Finding, Measurements, Priority, Report, TrendRow
from models.wire import encode_segment

MakePart = Callable[..., Segment]
NOW = 10_000_000.0
UNMEASURED: Any = dict.fromkeys(
    ("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median", "pr", "qrs", "qt")
)
OLD = NOW - 31 * DAY_S
EVERYTHING = RetentionConfig(
    samples_days=30,
    reports_days=30,
    trends_days=30,
    ranges_days=30,
    events_days=30,
    rejects_days=30,
    replays_days=30,
)


@pytest.fixture
def kept(store: SqliteStore, make_part: MakePart) -> Callable[..., Segment]:
    """A part as inbox and worker leave it behind: with a finding, a report and, where asked, an alert."""

    def keep(at: float, *, analysed: bool = True, alert: bool = False, **where: Any) -> Segment:
        part = make_part(**where)
        store.commit_segment(encode_segment(part, 1, "home"), part, seq=1, site="home", now=at)
        if analysed:
            settle(store, part, at, alert=alert)
        return part

    return keep


def settle(store: SqliteStore, part: Segment, at: float, *, alert: bool = False) -> None:
    job = store.claim("test", 60.0, now=at)
    assert job is not None
    found = Finding(
        segment_id=part.id,
        label="V",
        first=part.first,
        last=part.first + 5,
        leads=("II",),
        probability=0.9,
        evidence={},
    )
    report = Report(
        id=make_id("report", part.episode_id, part.id),
        episode_id=part.episode_id,
        segment_ids=(part.id,),
        findings=(found,),
        measurements=Measurements(beats=1, analysed_s=1.0, not_analysed_s=0.0, **UNMEASURED),
        narrative="One beat.",
        abstentions=(),
        model="template",
    )
    raised = Alert(
        id=make_id("alert", part.episode_id),
        patch_id=part.patch_id,
        episode_id=part.episode_id,
        label="VT",
        priority=Priority.MEDIUM,
        state="raised",
        at=part.last,
        rule="a run",
        history=(
            {
                "episode_id": part.episode_id,
                "boot_id": 1,
                "label": "VT",
                "rule": "a run",
                "priority": "medium",
                "at": part.last,
                "utc": None,
            },
        ),
    )
    outcome = Outcome(
        episode_id=part.episode_id,
        findings=(found,),
        open=(),
        reports=(report,),
        judge=lambda _: [Called(alert=raised, change="raised")] if alert else (),
    )
    assert store.finish(job, outcome, now=at)


def sound(store: SqliteStore, tmp_path: Path) -> bool:
    """`anyecg audit verify` finds nothing."""
    store.note_head(now=NOW)
    return verify(str(tmp_path / "cloud.db"))["problems"] == []


def deletions(store: SqliteStore) -> list[dict[str, Any]]:
    rows = store.all(
        "select segment_id, report_id, details from audit where what = 'deleted' order by number"
    )
    return [{**row, **json.loads(row["details"])} for row in rows]


def test_without_rules_nothing_goes(store: SqliteStore, kept: Callable[..., Segment]) -> None:
    part = kept(OLD)
    store.reject(b"?", topic="t", reason="cbor", segment_id=None, patch_id="p", now=OLD)
    assert not any(Retention(store, RetentionConfig()).sweep(NOW).values())
    assert store.parts(part.episode_id)
    assert deletions(store) == []


def test_what_is_old_goes_and_each_deletion_is_in_the_audit(
    store: SqliteStore, kept: Callable[..., Segment], tmp_path: Path
) -> None:
    old, new = kept(OLD), kept(NOW - 1, begin=5000)
    for at in (OLD, NOW - 1):
        store.reject(b"?", topic="t", reason="cbor", segment_id=None, patch_id="p", now=at)
    gone = Retention(store, EVERYTHING).sweep(NOW)
    assert gone == {"trends": 0, "ranges": 0, "events": 3, "rejects": 1, "samples": 1, "reports": 1}
    assert (store.parts(old.episode_id), store.report(old.episode_id)) == ([], None)
    episode = store.episode(old.episode_id)
    assert episode is not None
    assert episode.deleted_at == NOW
    assert [found.finding.label for found in store.findings(old.episode_id)] == ["V"]
    assert store.parts(new.episode_id)
    assert store.report(new.episode_id)
    assert [reject.received_at for reject in store.rejects()] == [NOW - 1]
    told = deletions(store)
    assert [(row["kind"], row["rule"]) for row in told] == [
        ("events", "events_days = 30"),
        ("rejects", "rejects_days = 30"),
        ("samples", "samples_days = 30"),
        ("report", "reports_days = 30"),
    ]
    assert told[2]["segment_id"] == old.id
    assert not any(Retention(store, EVERYTHING).sweep(NOW).values())
    assert sound(store, tmp_path)


def test_rows_a_minute_go_by_when_they_came(store: SqliteStore, tmp_path: Path) -> None:
    base = TrendRow(
        id="", clock=Clock(),
        patch_id="p", boot_id=1, first=0, last=5999, fs=100.0, missing_s=0.0, unreadable_s=0.0, flagged_s=0.0,
        beats=60, n_V=0, n_S=0, af_s=0.0, hr_min=60.0, hr_mean=60.0, hr_max=60.0, model="m",
    )  # fmt: skip
    for number, at in enumerate((OLD, OLD + 1, NOW - 1)):
        first = 6000 * number
        row = dataclasses.replace(base, id=row_id("p", 1, first), first=first, last=first + 5999)
        store.trends.commit(row, seq=number, site="home", now=at)
    assert Retention(store, EVERYTHING).sweep(NOW)["trends"] == 2
    assert store.scalar("select first from trends") == 12_000
    assert deletions(store)[0]["rows"] == 2
    assert sound(store, tmp_path)


def test_what_was_pulled_goes_by_when_it_came_and_may_come_again(store: SqliteStore, tmp_path: Path) -> None:
    def pull(second: int, at: float) -> Receipt:
        one = Pulled(
            patch_id="p", boot_id=1, first=100 * second, last=100 * second + 99, fs=100.0, leads=("II",),
            resolution=1, counts=read_only(np.ones((1, 100), dtype=np.int32)), uv_per_count=(1.0,),
        )  # fmt: skip
        return store.ranges.commit(encode_range(one, second, "home"), one, seq=second, site="home", now=at)

    for second, at in enumerate((OLD, OLD + 1, NOW - 1)):
        pull(second, at)
    assert Retention(store, EVERYTHING).sweep(NOW)["ranges"] == 2
    assert store.scalar("select first from ranges") == 200
    (told,) = deletions(store)
    assert [told[name] for name in ("kind", "rule", "rows", "begin", "end")] == [
        "ranges", "ranges_days = 30", 2, OLD, OLD + 1,
    ]  # fmt: skip
    assert pull(0, NOW) is Receipt.COMMITTED
    assert sound(store, tmp_path)


def test_samples_that_were_tampered_with_after_their_deletion_are_found(
    store: SqliteStore, kept: Callable[..., Segment], tmp_path: Path
) -> None:
    part = kept(OLD)
    Retention(store, EVERYTHING).sweep(NOW)
    store.note_head(now=NOW)
    with sqlite3.connect(tmp_path / "cloud.db") as db:
        db.execute("update segments set payload = x'00' where id = ?", [part.id])
    (problem,) = verify(str(tmp_path / "cloud.db"))["problems"]
    assert part.id in problem["text"]


@pytest.mark.parametrize("answer", ["nothing", "acknowledged", "suppressed", "resolved"])
def test_what_an_alert_stands_on_stays_until_it_is_resolved(
    store: SqliteStore, kept: Callable[..., Segment], tmp_path: Path, answer: str
) -> None:
    part = kept(OLD, alert=True)
    (stored,) = store.alerts()
    ident, book = stored.alert.id, store.book
    if answer != "nothing":
        standing = book.see(ident, "anna", "s", 1, now=OLD)
        if answer == "suppressed":
            book.suppress(ident, "anna", "s", standing.version, hours=1, reason="noise", now=OLD)
        else:
            standing = book.acknowledge(ident, "anna", "s", standing.version, now=OLD)
        if answer == "resolved":
            book.resolve(ident, "anna", standing.version, "over", now=OLD)
    gone = Retention(store, EVERYTHING).sweep(NOW)
    assert (gone["samples"], gone["reports"]) == ((1, 1) if answer == "resolved" else (0, 0))
    assert bool(store.parts(part.episode_id)) is (answer != "resolved")
    assert sound(store, tmp_path)


@pytest.mark.parametrize("signed", [False, True])
def test_a_report_that_a_person_edited_or_signed_stays_with_what_was_written(
    store: SqliteStore, kept: Callable[..., Segment], tmp_path: Path, signed: bool
) -> None:
    part, untouched = kept(OLD), kept(OLD, begin=5000)
    report = store.report(part.episode_id)
    assert report is not None
    weber = Person(name="weber", role=Role.CLINICIAN)
    rests = sha256_of_text(report.narrative)
    if signed:
        done = {"sha256": rests, "version": 0, "for_patient": "All well."}
        store.signing.sign(part.episode_id, weber, now=OLD, **done)
    else:
        done = {"rests_on": rests, "version": 0}
        store.signing.revise(part.episode_id, weber, ["1 early beat."], now=OLD, **done)
    assert Retention(store, EVERYTHING).sweep(NOW)["reports"] == 1
    assert store.report(part.episode_id) == report
    assert store.report(untouched.episode_id) is None
    assert sound(store, tmp_path)


def test_what_was_not_analysed_stays_however_old(store: SqliteStore, kept: Callable[..., Segment]) -> None:
    read, unread = kept(OLD), kept(OLD, begin=5000, analysed=False)
    late = kept(OLD, begin=0, number=1, analysed=False)
    assert Retention(store, EVERYTHING).sweep(NOW)["samples"] == 0
    assert store.parts(read.episode_id)[-1].id == late.id
    assert store.parts(unread.episode_id)


def test_a_part_that_comes_after_the_others_were_deleted_takes_no_finding_away(
    store: SqliteStore, kept: Callable[..., Segment], tmp_path: Path
) -> None:
    first = kept(OLD)
    Retention(store, EVERYTHING).sweep(NOW)
    late = kept(NOW, number=1)
    assert [part.id for part in store.parts(first.episode_id)] == [late.id]
    assert [f.finding.segment_id for f in store.findings(first.episode_id)] == [first.id, late.id]
    assert sound(store, tmp_path)


def test_a_conflict_that_is_still_raised_keeps_its_dead_letter(store: SqliteStore) -> None:
    for patch in ("p", "q"):
        store.reject(b"?", topic="t", reason="conflict", segment_id=None, patch_id=patch, now=OLD)
        store.raise_technical(patch, "conflict", "twice", now=OLD)
    store.clear_technical("q", "conflict", now=OLD)
    assert Retention(store, EVERYTHING).sweep(NOW)["rejects"] == 1
    assert [reject.patch_id for reject in store.rejects()] == ["p"]


def test_the_newest_event_stays_so_that_numbers_go_on(store: SqliteStore) -> None:
    for _ in range(3):
        store.raise_technical("p", "lag", "late", now=OLD)
        store.clear_technical("p", "lag", now=OLD)
    last = store.last_event()
    assert Retention(store, EVERYTHING).sweep(NOW)["events"] == last - 1
    assert store.last_event() == last
    store.raise_technical("p", "lag", "late", now=NOW)
    assert [event.id for event in store.events(0)] == [last, last + 1]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ages=st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.booleans()), min_size=1, max_size=6))
def test_exactly_what_is_old_analysed_and_without_an_alert_goes(
    tmp_path: Path, make_part: MakePart, ages: list[tuple[int, bool, bool]]
) -> None:
    path = tmp_path / f"{time.monotonic_ns()}.db"
    store = SqliteStore(str(path))
    stays = set()
    for number, (days, analysed, alert) in enumerate(ages):
        part, at = make_part(begin=number * 5000, patch=f"p{number}"), NOW - days * DAY_S
        store.commit_segment(encode_segment(part, 1, "home"), part, seq=1, site="home", now=at)
        if analysed:
            with store.writing() as db:  # whichever is claimed next is this one
                db.execute("update jobs set lease_until = 0 where segment_id = ?", [part.id])
                db.execute(
                    "update jobs set lease_until = 1e12, owner = null where segment_id != ?", [part.id]
                )
            settle(store, part, at, alert=alert)
        if days <= 30 or alert or not analysed:
            stays.add(part.episode_id)
    Retention(store, EVERYTHING).sweep(NOW)
    assert {episode.id for episode in store.episodes() if store.parts(episode.id)} == stays
    store.note_head(now=NOW)
    assert verify(str(path))["problems"] == []
    store.close()


def _sweep_for_ever(path: str) -> None:
    store = SqliteStore(path)
    while True:
        Retention(store, EVERYTHING).sweep(NOW)


def test_a_sweep_that_is_killed_leaves_a_chain_that_tells_the_truth(
    store: SqliteStore, kept: Callable[..., Segment], tmp_path: Path
) -> None:
    for number in range(120):
        kept(OLD, begin=number * 5000)
    sweeping = multiprocessing.get_context("spawn").Process(
        target=_sweep_for_ever, args=(str(tmp_path / "cloud.db"),)
    )
    sweeping.start()
    while not deletions(store):
        time.sleep(0.001)
    assert sweeping.pid is not None
    os.kill(sweeping.pid, signal.SIGKILL)
    sweeping.join()
    assert sound(store, tmp_path)
    Retention(store, EVERYTHING).sweep(NOW)
    assert store.scalar("select count(*) from segments where deleted_at is null") == 0
    assert sound(store, tmp_path)
