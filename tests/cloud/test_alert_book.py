"""Alerts over a real database: what people do meets what the analysis finds, and nothing is lost between."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from cloud.alert_book import UnknownAlertError
from cloud.alerts import RESOLVE_S, StaleError, Standing, State
from cloud.assignments import Assignments
from cloud.audit_check import verify
from cloud.calling import Cause, call
from cloud.config import EscalationStep, RuleConfig
from cloud.patient_rules import PatientRules
from cloud.quiet import RefusedError, Thresholds, quiet_rule, quieted
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from models.ecg import Segment, make_id
from models.sqlite import connect
from models.verdicts import Finding, Priority
from models.wire import encode_segment

MakePart = Callable[..., Segment]
Say = Callable[..., Segment]
Assign = Callable[..., object]
LOW = Cause(priority=Priority.LOW, label="V", at=10, rule="low")
MEDIUM = Cause(priority=Priority.MEDIUM, label="AFIB", at=20, rule="medium")
HIGH = Cause(priority=Priority.HIGH, label="VF", at=30, rule="high")
STEPS = (
    EscalationStep(after_s=0, priority="low", to="mailto:desk@clinic.example"),
    EscalationStep(after_s=120, priority="medium", to="page"),
    EscalationStep(after_s=600, priority="high", to="mailto:head@clinic.example"),
)


@pytest.fixture
def store(tmp_path: Path) -> Any:
    opened = SqliteStore(str(tmp_path / "cloud.db"), STEPS)
    yield opened
    opened.close()


@pytest.fixture
def say(store: SqliteStore, make_part: MakePart) -> Say:
    """Commits a part at `now` and settles it as a worker would that found these causes in its episode."""

    def put(
        *causes: Cause,
        now: float = 1000.0,
        labels: Sequence[str] = (),
        again: Sequence[Cause] = (),
        number: int = 0,
        begin: int = 0,
    ) -> Segment:
        part = make_part(number, begin=begin)
        store.commit_segment(encode_segment(part, 0, "home"), part, seq=0, site="home", now=now)
        force = store.patient_rules.of_part(part.id, RuleConfig())
        held = [_with_quiet(cause, quieted(force.quiet, cause.label, cause.priority)) for cause in causes]
        found = tuple(
            Finding(
                segment_id=part.id,
                label=label,
                first=part.first,
                last=part.first + 5,
                leads=("II",),
                probability=0.9,
                evidence={},
            )
            for label in labels
        )
        job = store.claim("test", 30.0, now=now)
        assert job is not None

        def judge(docket: Any) -> Any:
            since = docket.through(part.boot_id)
            return call(docket, [*held, *(c for c in again if since is not None and c.at > since)], part)

        outcome = Outcome(episode_id=part.episode_id, findings=found, open=(), reports=(), judge=judge)
        assert store.finish(job, outcome, now=now)
        return part

    return put


@pytest.fixture
def assign(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> Assign:
    """Puts patch p on a patient from that moment on."""

    def put(patient: str, at: float, ward: str = "A") -> object:
        with monkeypatch.context() as clock:
            clock.setattr("cloud.assignments.time.time", lambda: at)
            return Assignments(store).assign(LOCAL, "p", patient, ward)

    return put


def _with_quiet(cause: Cause, rule: int | None) -> Cause:
    return Cause(priority=cause.priority, label=cause.label, at=cause.at, rule=cause.rule, quiet=rule)


def only(store: SqliteStore) -> Standing:
    (stored,) = store.alerts()
    return stored.standing


def answer(store: SqliteStore, alert_id: str, now: float = 1010.0, who: str = "ann") -> Standing:
    """Seen and acknowledged."""
    stored = store.alert(alert_id)
    assert stored is not None
    seen = store.book.see(alert_id, who, "desk", stored.standing.version, now=now)
    return store.book.acknowledge(alert_id, who, "desk", seen.version, now=now)


def waiting(store: SqliteStore, alert_id: str) -> list[tuple[float, float]]:
    """(step, due) of what waits to be delivered by escalation."""
    rows = store.book.deliveries.of_alert(alert_id)
    return [
        (row["after_s"], row["due_at"])
        for row in rows
        if row["state"] == "waiting" and row["channel"] != "mqtt"
    ]


def hear(
    store: SqliteStore, newest_s: float, *, boot_id: int = 1, outbox: int = 0, lost_s: float = 0.0
) -> None:
    beat = {"newest": round(newest_s * 100), "fs": 100.0, "boot_id": boot_id, "outbox_depth": outbox}
    store.heartbeat("p", "home", beat | {"missing_total_s": lost_s}, now=newest_s)
    store.book.hear(newest_s)


def test_every_transition_is_recorded_with_who_when_and_why(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    done = answer(store, only(store).alert.id)
    store.book.resolve(done.alert.id, "bob", done.version, "paroxysmal, known", now=1020.0)
    recorded = [
        (t.did, t.version, t.who, t.screen, t.at, t.reason) for t in store.book.transitions(done.alert.id)
    ]
    assert recorded == [
        ("raised", 1, "analysis", None, 1000.0, None),
        ("seen", 2, "ann", "desk", 1010.0, None),
        ("acknowledged", 3, "ann", "desk", 1010.0, None),
        ("resolved", 4, "bob", None, 1020.0, "paroxysmal, known"),
    ]
    told = [(e.data["change"], e.data["version"]) for e in store.events(0) if e.kind == "alert"]
    assert told == [("raised", 1), ("seen", 2), ("acknowledged", 3), ("resolved", 4)]


def test_an_escalation_is_due_by_priority_from_the_moment_it_called(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    assert waiting(store, only(store).alert.id) == [(0, 1000.0), (120, 1120.0)]


def test_nothing_waits_after_an_acknowledgement(store: SqliteStore, say: Say) -> None:
    say(HIGH)
    alert_id = only(store).alert.id
    assert len(waiting(store, alert_id)) == 3
    answer(store, alert_id)
    assert waiting(store, alert_id) == []


def test_worse_evidence_escalates_anew_and_what_was_ignored_is_overdue(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    say(MEDIUM, HIGH, number=1, now=1200.0)
    assert (only(store).state, only(store).alert.label) == (State.RAISED, "VF")
    assert waiting(store, only(store).alert.id) == [(0, 1000.0), (120, 1120.0), (600, 1600.0)]
    answer(store, only(store).alert.id, now=1210.0)
    say(LOW, begin=1000, now=5000.0)
    assert waiting(store, only(store).alert.id) == []


def test_an_escalation_by_hand_is_due_at_once_is_audited_and_takes_nothing_from_the_chain(
    tmp_path: Path, store: SqliteStore, say: Say
) -> None:
    say(HIGH)
    raised = only(store)
    store.book.escalate(raised.alert.id, "bob", raised.version, "alone on the ward", now=1050.0)
    due = [(0, 1000.0), (0, 1050.0), (600, 1050.0), (120, 1120.0), (600, 1600.0)]
    assert waiting(store, raised.alert.id) == due
    row = store.all("select * from audit order by number")[-1]
    assert (row["what"], row["who"], row["alert_id"]) == ("alert escalated", "bob", raised.alert.id)
    assert [t.did for t in store.book.transitions(raised.alert.id)] == ["raised", "escalated"]
    answer(store, raised.alert.id, now=1060.0)
    assert waiting(store, raised.alert.id) == []
    called = store.book.escalate(raised.alert.id, "bob", only(store).version, None, now=1070.0)
    assert waiting(store, raised.alert.id) == [(0, 1070.0), (600, 1070.0)]
    assert called.state is State.ACKNOWLEDGED
    store.note_head(now=1080.0)
    assert verify(str(tmp_path / "cloud.db"))["problems"] == []


def test_after_resolution_new_evidence_opens_a_new_alert_and_old_evidence_does_not(
    store: SqliteStore, say: Say
) -> None:
    first = say(MEDIUM)
    done = answer(store, only(store).alert.id)
    store.book.resolve(done.alert.id, "ann", done.version, None, now=1020.0)
    say(MEDIUM, number=1)
    assert only(store).state is State.RESOLVED
    assert store.open_alert("p") is None
    later = Cause(priority=Priority.MEDIUM, label="AFIB", at=first.last + 150, rule="medium")
    say(MEDIUM, number=2, again=[later])
    fresh = store.open_alert("p")
    assert fresh is not None
    assert (fresh.id, fresh.at) == (make_id("alert", first.episode_id, done.alert.id), later.at)
    say(MEDIUM, number=3, again=[later])
    assert [entry["at"] for entry in (store.open_alert("p") or fresh).history] == [later.at]
    say(MEDIUM, begin=5000)
    assert len((store.open_alert("p") or fresh).history) == 2


def test_a_resolution_while_a_part_is_analysed_is_not_undone_by_it(
    store: SqliteStore, make_part: MakePart, say: Say
) -> None:
    """What to call for is decided in the transaction: the worker had seen the alert open."""
    say(MEDIUM)
    done = answer(store, only(store).alert.id)
    part = make_part(1)
    store.commit_segment(encode_segment(part, 1, "home"), part, seq=1, site="home", now=1011.0)
    job = store.claim("test", 30.0, now=1011.0)
    assert job is not None
    store.book.resolve(done.alert.id, "ann", done.version, None, now=1012.0)
    outcome = Outcome(
        episode_id=part.episode_id,
        findings=(),
        open=(),
        reports=(),
        judge=lambda docket: call(docket, [MEDIUM, HIGH], part),
    )
    assert store.finish(job, outcome, now=1013.0)
    states = {stored.alert.label: stored.standing.state for stored in store.alerts()}
    assert states == {"AFIB": State.RESOLVED, "VF": State.RAISED}


@pytest.mark.parametrize("parts", [(0, 1, 2, 3), (2, 0, 1, 3)])
def test_what_an_episode_tells_in_the_hands_that_it_went_on_in_is_told_once_and_stays_answered(
    store: SqliteStore, say: Say, assign: Assign, parts: tuple[int, ...]
) -> None:
    """Part 0 was recorded before the patch was assigned, and may come after a part of then."""
    assign("bert", 1001.0)
    fibrillation = Cause(priority=Priority.HIGH, label="VF", at=150, rule="high")
    for number in parts[:3]:
        say(*(() if number == 0 and number == parts[0] else [fibrillation]), number=number)
    assert [transition.did for transition in store.book.transitions(only(store).alert.id)] == ["raised"]
    done = answer(store, only(store).alert.id)
    store.book.resolve(done.alert.id, "ann", done.version, None, now=1020.0)
    say(fibrillation, number=parts[3])
    assert only(store).state is State.RESOLVED
    later = Cause(priority=Priority.HIGH, label="VF", at=450, rule="high")
    say(fibrillation, number=4, again=[later])
    assert (store.open_alert("p", 1001.0) or done.alert).id != done.alert.id


def test_an_episode_that_goes_on_in_other_hands_begins_the_hour_of_its_alert_anew(
    store: SqliteStore, say: Say, assign: Assign
) -> None:
    assign("bert", 1001.0)
    fibrillation = Cause(priority=Priority.HIGH, label="VF", at=150, rule="high")
    for number in (0, 1):
        say(*[fibrillation] * number, number=number)
    answer(store, only(store).alert.id)
    hear(store, 2000)
    hear(store, 2100)
    say(fibrillation, number=2, labels=["VF"])
    assert only(store).quiet_s == 0


@pytest.mark.parametrize("outbox", [0, 3])
def test_an_acknowledged_alert_resolves_by_recording_once_all_of_it_is_here(
    store: SqliteStore, say: Say, outbox: int
) -> None:
    say(MEDIUM)
    answer(store, only(store).alert.id)
    hear(store, 2000)
    hear(store, 2000 + RESOLVE_S + 99, lost_s=100.0)
    assert only(store).state is State.ACKNOWLEDGED
    hear(store, 2000 + RESOLVE_S + 100, lost_s=100.0, outbox=outbox)
    assert only(store).state is (State.ACKNOWLEDGED if outbox else State.RESOLVED)


def test_an_hour_without_recording_resolves_nothing(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    answer(store, only(store).alert.id)
    for now in (2000.0, 9000.0, 90_000.0):
        store.book.hear(now)
    hear(store, 2000)
    store.book.hear(90_000.0)
    assert only(store).state is State.ACKNOWLEDGED


def test_the_label_seen_again_in_a_new_part_begins_the_hour_anew(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    answer(store, only(store).alert.id)
    hear(store, 2000)
    hear(store, 2000 + RESOLVE_S - 1)
    say(MEDIUM, begin=200_000, labels=["V"])
    assert only(store).quiet_s == 0  # the same label calls again: it is added
    hear(store, 2000 + RESOLVE_S - 1)
    hear(store, 2000 + 2 * RESOLVE_S - 2)
    say(number=1, begin=200_000, labels=["AFIB"])
    hear(store, 2000 + 2 * RESOLVE_S)
    assert only(store).state is State.ACKNOWLEDGED


def test_what_another_patient_records_resolves_nothing(store: SqliteStore, say: Say, assign: Assign) -> None:
    assign("anna", 900.0)
    say(MEDIUM)
    answer(store, only(store).alert.id)
    hear(store, 2000)
    assign("bert", 2100.0)
    hear(store, 2000 + 2 * RESOLVE_S)
    acknowledged = only(store)
    assert acknowledged.state is State.ACKNOWLEDGED
    done = store.book.resolve(acknowledged.alert.id, "ann", acknowledged.version, None, now=9900.0)
    assert done.state is State.RESOLVED


def test_an_unacknowledged_alert_outlives_any_recording(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    hear(store, 2000)
    hear(store, 2000 + 100 * RESOLVE_S)
    assert only(store).state is State.RAISED


def test_two_at_once_are_one_acknowledgement_and_one_who_is_told_who_was_first(
    store: SqliteStore, say: Say
) -> None:
    say(MEDIUM)
    alert_id = only(store).alert.id
    version = 0
    for who in ("ann", "bob"):
        version = store.book.see(alert_id, who, "desk", 1, now=1001.0).version
    both, outcomes = threading.Barrier(2), {}

    def acknowledge(who: str) -> None:
        both.wait()
        try:
            outcomes[who] = store.book.acknowledge(alert_id, who, "desk", version, now=1002.0).by
        except StaleError as error:
            outcomes[who] = str(error)

    threads = [threading.Thread(target=acknowledge, args=(who,)) for who in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = only(store).acknowledged_by
    assert first is not None
    second = "bob" if first == "ann" else "ann"
    assert outcomes[first] == first
    assert outcomes[second].startswith(f"{first} was first: acknowledged at 1970-01-01 00:16:42 UTC.")


def suppress(store: SqliteStore, now: float = 1010.0, hours: float = 1.0) -> Standing:
    alert_id = only(store).alert.id
    seen = store.book.see(alert_id, "ann", "desk", only(store).version, now=now)
    return store.book.suppress(alert_id, "ann", "desk", seen.version, hours=hours, reason="known", now=now)


def test_what_a_quiet_rule_covers_is_kept_and_counted_in_its_own_alert_and_calls_nobody(
    store: SqliteStore, say: Say
) -> None:
    say(MEDIUM)
    suppress(store)
    first = only(store).alert.id
    say(MEDIUM, begin=1000, now=1100.0)
    say(MEDIUM, begin=2000, now=1200.0)
    assert (only(store).alert.id, only(store).state, len(only(store).alert.history)) == (
        first,
        State.SUPPRESSED,
        3,
    )
    assert waiting(store, first) == []
    assert store.open_alert("p") is None


def test_the_audit_tells_how_an_alert_came_that_a_quiet_rule_kept_from_calling(
    tmp_path: Path, store: SqliteStore, say: Say
) -> None:
    rule = quiet_rule("p", "AFIB", Priority.MEDIUM, hours=1, reason="known", who="ann", now=900.0)
    with store.writing() as db:
        store.patient_rules.add(db, rule)
    say(MEDIUM)
    quiet = only(store)
    assert (quiet.state, quiet.version) == (State.SUPPRESSED, 1)
    store.book.undo(quiet.alert.id, "bob", 1, None, now=1200.0)
    suppress(store, now=1300.0)
    store.note_head(now=1400.0)
    assert verify(str(tmp_path / "cloud.db"))["problems"] == []
    with store.writing() as db:
        db.execute("delete from alerts")
    gone = verify(str(tmp_path / "cloud.db"))["problems"]
    assert [problem["kind"] for problem in gone] == ["not in the store"]


def test_a_part_is_judged_by_the_rules_of_its_commit_however_late_it_is_analysed(
    store: SqliteStore, say: Say
) -> None:
    say(MEDIUM)
    suppress(store, hours=1.0)
    segment = say(MEDIUM, begin=1000, now=1010.0 + 3599.0)
    assert store.open_alert("p") is None
    assert store.patient_rules.of_part(segment.id, RuleConfig()).quiet != ()
    say(MEDIUM, begin=2000, now=1010.0 + 3600.0)
    called = store.open_alert("p")
    assert called is not None
    assert {s.standing.state for s in store.alerts()} == {State.SUPPRESSED, State.RAISED}


def test_a_quiet_rule_holds_neither_another_label_nor_anything_worse(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    suppress(store)
    say(
        MEDIUM,
        Cause(priority=Priority.HIGH, label="AFIB", at=40, rule="made"),
        begin=1000,
        now=1100.0,
    )
    called = store.open_alert("p")
    assert called is not None
    assert [entry["priority"] for entry in called.history] == ["high"]


def test_undo_raises_what_was_suppressed_with_the_time_of_its_evidence_and_ends_the_rule(
    store: SqliteStore, say: Say
) -> None:
    say(MEDIUM)
    quiet = suppress(store)
    back = store.book.undo(quiet.alert.id, "bob", quiet.version, "looks worse", now=1300.0)
    assert (back.state, back.alert.at, back.alert.history) == (State.RAISED, 20, quiet.alert.history)
    assert waiting(store, quiet.alert.id) == [(0, 1300.0), (120, 1420.0)]
    say(LOW, MEDIUM, begin=1000, now=1400.0)
    assert len(only(store).alert.history) == 3
    (ended,) = store.all("select * from quiet_rules")
    assert (ended["ended_at"], ended["ended_by"], ended["ended_why"]) == (1300.0, "bob", "looks worse")


@pytest.mark.parametrize(("reason", "why"), [("not AF after all", "not AF after all"), (None, "resolved")])
def test_a_suppressed_alert_that_is_resolved_leaves_no_quiet_rule_in_force(
    store: SqliteStore, say: Say, reason: str | None, why: str
) -> None:
    say(MEDIUM)
    quiet = suppress(store)
    store.book.resolve(quiet.alert.id, "bob", quiet.version, reason, now=1300.0)
    (ended,) = store.all("select * from quiet_rules")
    assert (ended["ended_at"], ended["ended_by"], ended["ended_why"]) == (1300.0, "bob", why)
    say(MEDIUM, begin=1000, now=1400.0)
    assert store.open_alert("p") is not None


def test_a_refused_suppression_leaves_no_rule(store: SqliteStore, say: Say) -> None:
    say(MEDIUM)
    with pytest.raises(RefusedError, match="Look at the strip first"):
        store.book.suppress(only(store).alert.id, "ann", "desk", 1, hours=1, reason="known", now=1001.0)
    assert store.all("select * from quiet_rules") == []


def test_a_patchs_own_thresholds_hold_from_when_they_were_set_and_keep_their_bounds(
    store: SqliteStore,
) -> None:
    rules, base = store.patient_rules, RuleConfig()

    def set_to(own: dict[str, Any], at: float, reason: str = "athlete") -> None:
        rules.set_thresholds(Thresholds(patch_id="p", own=own, at=at, who="ann", reason=reason), base)

    set_to({"slow_bpm": 34}, 100.0)
    set_to({}, 200.0)
    slow = [rules.at("p", moment, base).thresholds.slow_bpm for moment in (99.0, 100.0, 199.0, 200.0)]
    assert slow == [40.0, 34.0, 34.0, 40.0]
    assert rules.at("q", 150.0, base) == rules.at("p", 99.0, base)
    for own, reason, sentence in (
        ({"pause_s": 1.0}, "why not", "pause_s"),
        ({"pause_s": 9999}, "why not", "pause_s"),
        ({"vt_beats": 100_000}, "why not", "vt_beats"),
        ({"fast_bpm": float("inf")}, "why not", "fast_bpm"),
        ({"slow_bpm": float("nan")}, "why not", "slow_bpm"),
        ({"slow": 34}, "why not", "slow"),
        ({"slow_bpm": 34}, " ", "reason"),
    ):
        with pytest.raises(RefusedError, match=sentence):
            set_to(own, 300.0, reason)


def test_a_quiet_rule_ends_with_the_hands_that_its_patient_was_in(
    store: SqliteStore, say: Say, assign: Assign
) -> None:
    assign("anna", 900.0)
    say(MEDIUM)
    quiet = suppress(store, hours=100.0).alert
    assign("bert", 2000.0)
    assert store.patient_rules.at("p", 1999.0, RuleConfig()).quiet != ()
    assert store.patient_rules.at("p", 2000.0, RuleConfig()).quiet == ()
    say(MEDIUM, begin=1000, now=2100.0)  # of Anna, and late
    assert only(store).state is State.SUPPRESSED
    assert len(only(store).alert.history) == 2
    for begin, whose in ((100_000, 2000.0), (99_950, 1999.0)):  # of the second one half is Anna's
        say(Cause(priority=Priority.MEDIUM, label="AFIB", at=begin, rule="medium"), begin=begin, now=2100.0)
        called = store.open_alert("p", whose)
        assert called is not None
        assert called.id != quiet.id


def test_thresholds_that_were_set_when_the_bounds_were_wider_hold_no_more(store: SqliteStore) -> None:
    wide = {"patch_id": "p", "own": '{"pause_s": 9999.0}', "at": 100.0, "who": "ann", "reason": "noise"}
    with store.writing() as db:
        db.table("thresholds").insert(wide)
    assert store.patient_rules.at("p", 200.0, RuleConfig()).thresholds == RuleConfig()


def for_an_athlete(store: SqliteStore) -> PatientRules:
    """The rules, after Anna's own thresholds were set."""
    own = Thresholds(patch_id="p", own={"slow_bpm": 34}, at=1010.0, who="ann", reason="Anna: athlete")
    store.patient_rules.set_thresholds(own, RuleConfig())
    return store.patient_rules


def test_thresholds_end_with_the_hands_that_their_patient_was_in(
    store: SqliteStore, say: Say, assign: Assign
) -> None:
    base = RuleConfig()
    assign("anna", 900.0)
    rules = for_an_athlete(store)
    assign("bert", 2000.0)
    parts = [say(begin=begin, now=2100.0) for begin in (1000, 99_950, 100_000)]
    assert [rules.of_part(part.id, base).thresholds.slow_bpm for part in parts] == [34.0, 40.0, 40.0]
    assert rules.at("p", 2000.0, base).thresholds == base
    assert rules.thresholds("p", 2000.0) is None


def test_thresholds_go_with_the_patient_to_another_ward_and_what_was_quiet_is_that_wards_own(
    store: SqliteStore, say: Say, assign: Assign
) -> None:
    base = RuleConfig()
    assign("anna", 900.0)
    rules = for_an_athlete(store)
    say(MEDIUM)
    suppress(store, hours=100.0)
    assign("anna", 2000.0, "B")
    assign("anna", 3000.0, "C")
    force = [rules.at("p", moment, base) for moment in (1999.0, 2000.0, 3100.0)]
    assert [(one.thresholds.slow_bpm, len(one.quiet)) for one in force] == [(34.0, 1), (34.0, 0), (34.0, 0)]
    assign("bert", 4000.0)
    assign("anna", 5000.0)
    assert [rules.at("p", moment, base).thresholds.slow_bpm for moment in (3999.0, 4000.0, 5000.0)] == [
        34.0,
        40.0,
        40.0,
    ]


def test_an_alert_of_a_patient_whom_the_patch_has_left_is_not_suppressed_for_the_next(
    store: SqliteStore, say: Say, assign: Assign
) -> None:
    assign("anna", 900.0)
    say(MEDIUM)
    assign("bert", 2000.0)
    with pytest.raises(RefusedError, match="Patch p has changed hands since: acknowledge and resolve"):
        suppress(store, now=2000.0)
    assert store.all("select * from quiet_rules") == []


def test_who_follows_a_patch_hears_of_whom_it_is_on_now_once_nobody_elses_alert_calls(
    store: SqliteStore, say: Say, assign: Assign
) -> None:
    def told() -> tuple[str, State]:
        stored = store.book.current("p", 2200.0)
        assert stored is not None
        return stored.alert.label, stored.standing.state

    assign("anna", 900.0)
    say(HIGH)
    anna = only(store).alert.id
    assign("bert", 2000.0)
    say(Cause(priority=Priority.MEDIUM, label="AFIB", at=100_020, rule="medium"), begin=100_000, now=2100.0)
    (bert,) = {stored.alert.id for stored in store.alerts()} - {anna}
    assert told() == ("VF", State.RAISED)
    answer(store, anna, now=2110.0)
    assert told() == ("AFIB", State.RAISED)
    answer(store, bert, now=2120.0)
    assert told() == ("AFIB", State.ACKNOWLEDGED)


def test_an_alert_of_before_there_were_courses_is_raised_at_version_1_and_can_be_answered(
    tmp_path: Path, store: SqliteStore, say: Say
) -> None:
    """A database of the version before: the same rows, without what the migration adds."""
    say(MEDIUM)
    alert_id = only(store).alert.id
    old = tmp_path / "old.db"
    with sqlite3.connect(tmp_path / "cloud.db") as source, sqlite3.connect(old) as target:
        source.backup(target)
    db = connect(old)
    db.execute("drop index alerts_patch")
    for column in ("state", "course"):
        db.execute(f"alter table alerts drop column {column}")
    for table in ("alert_transitions", "deliveries", "thresholds", "quiet_rules"):
        db.execute(f"drop table {table}")
    db.execute("delete from _sqlite_migrations where name = '0005'")
    db.close()
    opened = SqliteStore(str(old), STEPS)
    assert (only(opened).state, only(opened).version, waiting(opened, alert_id)) == (State.RAISED, 1, [])
    assert answer(opened, alert_id).state is State.ACKNOWLEDGED
    opened.close()


def test_an_alert_that_is_not_there_is_one_sentence(store: SqliteStore) -> None:
    with pytest.raises(UnknownAlertError, match="There is no alert nowhere"):
        store.book.see("nowhere", "ann", "desk", 1, now=1.0)
