"""Where alerts and their transitions are kept: every change passes through `_put`, in one transaction with
what has to follow from it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloud.alerts import (
    ANALYSIS,
    CALLING,
    OPEN,
    Acknowledge,
    Action,
    Effect,
    Escalate,
    Evidence,
    Hear,
    Recur,
    Resolve,
    See,
    Standing,
    State,
    Suppress,
    Undo,
    step,
)
from cloud.assignments import tenure
from cloud.audit import Audit
from cloud.config import EscalationStep
from cloud.deliveries import Deliveries, Delivery
from cloud.docket import Closed, Docket, told
from cloud.memory import Memory
from cloud.patient_rules import PatientRules
from cloud.quiet import RefusedError, quiet_rule
from cloud.rows import ALERT, Row, sampled_at, standing_of, standing_row, stored_alert, timing_columns
from cloud.store import Outcome, StoredAlert, finding_sets
from models.errors import AnyEcgError
from models.sqlite import Database


class UnknownAlertError(AnyEcgError):
    """There is no alert of that id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """What happened to an alert, as it was recorded."""

    id: int
    alert_id: str
    version: int
    did: str
    state: str
    who: str
    screen: str | None
    at: float  # Unix s
    reason: str | None


class AlertBook:
    """Tables `alerts` and `alert_transitions`."""

    def __init__(
        self, memory: Memory, rules: PatientRules, escalation: Sequence[EscalationStep], audit: Audit
    ) -> None:
        self.deliveries = Deliveries(memory, escalation)
        self._audit = audit
        self._memory = memory
        self._rules = rules

    # -- what the analysis says ------------------------------------------------------------------------

    def take(self, db: Database, outcome: Outcome, segment: Row, now: float) -> None:
        """What an analysed part means for its patient's alerts, inside the transaction of the job."""
        patch_id, at = segment["patch_id"], self._began(outcome.episode_id, now)
        for called in outcome.judge(self.docket(patch_id, at, outcome.episode_id)):
            row = self._row(called.alert.id)
            rule = None if called.quiet is None else self._rules.quiet(called.quiet)
            action = Evidence(alert=called.alert, change=called.change, quiet=rule)
            fresh = timing_columns(segment, called.alert.at, now) if row is None else {}
            self._apply(db, row, action, now, fresh | {"updated_at": now})
        shown = {
            f.label
            for f, _ in finding_sets(outcome)
            if f.first <= segment["last"] and f.last >= segment["first"]
        }
        for row in self._rows_of(patch_id, at, outcome.episode_id, "state = 'acknowledged'"):
            if standing_of(row).alert.label in shown:
                self._apply(db, row, Recur(), now)

    def docket(self, patch_id: str, at: float, episode_id: str = "") -> Docket:
        """Alerts, not resolved, of the patient who had the patch `at`, and all that tell of this episode."""
        episode_id = episode_id or "no episode"
        rows = self._rows_of(
            patch_id,
            at,
            episode_id,
            "(state != 'resolved' or instr(alert, ?) > 0) order by priority desc, shown_at desc, id",
            episode_id,
        )
        standing = [standing_of(row) for row in rows]
        opened = [s.alert for s in standing if s.state in OPEN]
        resolved = [s for s in standing if s.state is State.RESOLVED]
        return Docket(
            open=opened[0] if opened else None,
            beside=frozenset[Any]().union(*(told(alert) for alert in opened[1:])),
            quiet={s.quiet: s.alert for s in standing if s.quiet is not None},
            closed=tuple(
                Closed(told=told(s.alert), boot_id=s.boot_id, through=s.through or -1) for s in resolved
            ),
            ids=frozenset(row["id"] for row in rows),
        )

    # -- what people do --------------------------------------------------------------------------------

    def see(self, alert_id: str, who: str, screen: str, version: int, *, now: float) -> Standing:
        """
        Raises, as do all of these:
            UnknownAlertError: no such alert.
            StaleError: somebody was first; the error says who and when.
            RefusedError: it is not done; the sentence says why.
        """
        return self._act(alert_id, See(who=who, screen=screen, version=version), now)

    def acknowledge(self, alert_id: str, who: str, screen: str, version: int, *, now: float) -> Standing:
        return self._act(alert_id, Acknowledge(who=who, screen=screen, version=version), now)

    def escalate(self, alert_id: str, who: str, version: int, reason: str | None, *, now: float) -> Standing:
        """Everybody on the chain is told now, whoever was told before."""
        return self._act(alert_id, Escalate(who=who, version=version, reason=reason), now)

    def resolve(self, alert_id: str, who: str, version: int, reason: str | None, *, now: float) -> Standing:
        return self._act(alert_id, Resolve(who=who, version=version, reason=reason), now)

    def suppress(
        self, alert_id: str, who: str, screen: str, version: int, *, hours: float, reason: str, now: float
    ) -> Standing:
        """With a quiet rule for its label up to its priority, for so many hours."""
        with self._memory.writing() as db:
            row = self._row_of(alert_id)
            alert = standing_of(row).alert
            if self._left(row, now):
                raise RefusedError(
                    f"Patch {alert.patch_id} has changed hands since: acknowledge and resolve the alert."
                )
            rule = quiet_rule(
                alert.patch_id, alert.label, alert.priority, hours=hours, reason=reason, who=who, now=now
            )
            rule = replace(rule, id=self._rules.add(db, rule))  # refused, it goes with the transaction
            return self._apply(db, row, Suppress(who=who, screen=screen, version=version, rule=rule), now)

    def undo(self, alert_id: str, who: str, version: int, reason: str | None, *, now: float) -> Standing:
        """Raised again with the time of its evidence; the quiet rule ends."""
        return self._act(alert_id, Undo(who=who, version=version, reason=reason), now)

    def _act(self, alert_id: str, action: Action, now: float) -> Standing:
        with self._memory.writing() as db:
            row = self._row_of(alert_id)
            if isinstance(action, Resolve):
                boot_id, through = self._analysed(standing_of(row))
                action = replace(action, boot_id=boot_id, through=through)
            return self._apply(db, row, action, now)

    # -- what time does --------------------------------------------------------------------------------

    def hear(self, now: float) -> None:
        """Count the recording that acknowledged alerts have behind them, by the heartbeats: what the patch
        records in other hands says nothing of whom an alert is about."""
        for row in self._rows("state = 'acknowledged'"):
            before, action = standing_of(row), None if self._left(row, now) else self._heard(row)
            if action is not None and step(before, action, now)[0] != before:
                with self._memory.writing() as db:
                    self._apply(db, self._row_of(row["id"]), action, now)

    def remind(self, delivery: Delivery, now: float) -> None:
        """The pages, of an alert that nobody has answered."""
        with self._memory.writing():
            standing = standing_of(self._row_of(delivery.alert_id))
            if standing.state in CALLING:
                self._tell(standing, "escalated", "time", now)

    # -- reading ---------------------------------------------------------------------------------------

    def transitions(self, alert_id: str) -> list[Transition]:
        """Oldest first."""
        rows = self._memory.all("select * from alert_transitions where alert_id = ? order by id", alert_id)
        return [Transition(**row) for row in rows]

    def current(self, patch_id: str, now: float) -> StoredAlert | None:
        """What who follows a patch is told: the most urgent alert that nobody has answered, of whomever; or
        else the most urgent acknowledged one, or the newest, of whom the patch is on now before others."""
        begin, _ = tenure(self._memory, patch_id, now)
        row = self._memory.one(
            "select * from alerts where patch_id = ?"
            " order by state in ('raised', 'seen') desc,"
            " case when state in ('raised', 'seen') then priority end desc,"
            " coalesce(sampled_at, shown_at) >= ? desc,"
            " state = 'acknowledged' desc, case when state = 'acknowledged' then priority end desc,"
            " updated_at desc limit 1",
            patch_id,
            begin,
        )
        return None if row is None else stored_alert(row)

    # -- one transition --------------------------------------------------------------------------------

    def _apply(
        self, db: Database, row: Row | None, action: Action, now: float, fresh: Row | None = None
    ) -> Standing:
        before = None if row is None else standing_of(row)
        after, effects = step(before, action, now)
        if after != before:
            self._put(db, before, after, action, effects, now, (row or {}) | (fresh or {}))
        return after

    def _put(
        self,
        db: Database,
        before: Standing | None,
        after: Standing,
        action: Action,
        effects: Sequence[Effect],
        now: float,
        row: Row,
    ) -> None:
        """The one place where an alert changes."""
        key = {"id": after.alert.id, "patch_id": after.alert.patch_id}
        stands = standing_row(after)
        db.table("alerts").upsert({**row, **key, **stands}, pk="id")
        did, who, screen, reason = _said(action, after)
        for effect in effects:
            match effect:
                case Effect.RECORD:
                    said = {"did": did, "state": after.state, "who": who, "screen": screen, "reason": reason}
                    noted = {"alert_id": after.alert.id, "version": after.version, "at": now}
                    db.table("alert_transitions").insert(noted | said)
                    told = {"version": after.version, "reason": reason, "screen": screen}
                    self._audit.alerted(after.alert, did, who, stands["alert"], now, **told)
                case Effect.TELL:
                    self._tell(after, did, who, now)
                case Effect.CALL:
                    self.deliveries.schedule(db, after)
                case Effect.ESCALATE:
                    self.deliveries.escalate(db, after, now)
                case Effect.HUSH:
                    self.deliveries.hush(db, after.alert.id)
                case Effect.PUBLISH:
                    self.deliveries.publish(db, after, now)
                case Effect.LIFT:
                    assert before is not None
                    assert before.quiet is not None
                    self._rules.end(db, before.quiet, who, reason or did, now)

    def _tell(self, standing: Standing, did: str, who: str, now: float) -> None:
        alert = standing.alert
        newest = alert.history[-1]["episode_id"] if alert.history else alert.episode_id
        shown = ALERT.dump_python(alert, mode="json") | {"priority": str(alert.priority)}
        said = {"change": did, "alert": shown, "episode_id": newest}
        self._memory.tell("alert", {**said, "version": standing.version, "who": who}, now)

    # -- rows ------------------------------------------------------------------------------------------

    def _heard(self, row: Row) -> Hear | None:
        """What the patch's newest heartbeat says; nothing of it may be on its way or wait for analysis."""
        patch = self._memory.one("select * from patches where patch_id = ?", row["patch_id"])
        beat = json.loads(patch["heartbeat"]) if patch else {}
        if patch is None or not beat:
            return None
        pending = "select count(*) from jobs where patch_id = ? and not done"
        boot_id, through = self._analysed(standing_of(row))
        same = boot_id == beat["boot_id"]
        return Hear(
            boot_id=beat["boot_id"],
            heard_s=beat["newest"] / beat["fs"] - patch["unreadable_s"] - patch["missing_s"],
            settled=not beat.get("outbox_depth") and not self._memory.scalar(pending, row["patch_id"]),
            through=max(through or -1, beat["newest"]) if same else beat["newest"],
        )

    def _analysed(self, standing: Standing) -> tuple[int | None, int | None]:
        """(boot, newest sample analysed) of the episode that the alert tells of last."""
        newest = standing.alert.history[-1] if standing.alert.history else None
        if newest is None:
            return None, None
        last = self._memory.scalar(
            "select max(s.last) from segments s join jobs j on j.segment_id = s.id"
            " where s.episode_id = ? and j.done",
            newest["episode_id"],
        )
        return newest["boot_id"], last

    def _rows(self, where: str, *values: object) -> list[Row]:
        return self._memory.all(f"select * from alerts where {where}", *values)  # noqa: S608

    def _rows_of(self, patch_id: str, at: float, episode_id: str, where: str, *values: object) -> list[Row]:
        """Of whom the patch was on at that time, because evidence of one patient joins no alert of another;
        and of the episode, because it may go on in other hands and what it told there is told."""
        begin, end = tenure(self._memory, patch_id, at)
        held = "coalesce(sampled_at, shown_at) >= ? and coalesce(sampled_at, shown_at) < ?"
        theirs = f"patch_id = ? and ({held} or instr(alert, ?) > 0)"
        return self._rows(f"{theirs} and {where}", patch_id, begin, end, episode_id, *values)

    def _left(self, row: Row, now: float) -> bool:
        """Whether the patch has changed hands since what an alert tells of."""
        at = row["shown_at"] if row["sampled_at"] is None else row["sampled_at"]
        return tenure(self._memory, row["patch_id"], at)[1] <= now

    def _began(self, episode_id: str, now: float) -> float:
        """When the episode was recorded; where its clock is not known, now."""
        first = self._memory.one(
            "select first, utc_0, clock_fs from segments where episode_id = ? order by first limit 1",
            episode_id,
        )
        began = None if first is None else sampled_at(first, first["first"])
        return now if began is None else began

    def _row(self, alert_id: str) -> Row | None:
        return self._memory.one("select * from alerts where id = ?", alert_id)

    def _row_of(self, alert_id: str) -> Row:
        if (row := self._row(alert_id)) is None:
            raise UnknownAlertError(f"There is no alert {alert_id}.")
        return row


def _said(action: Action, after: Standing) -> tuple[str, str, str | None, str | None]:
    """(what was done, who, on which screen, why) of a transition."""
    screen = getattr(action, "screen", None)
    match action:
        case Evidence():
            did = after.did if after.state is State.SUPPRESSED and after.version == 1 else action.change
            return did, ANALYSIS, screen, after.reason
        case See():
            return State.SEEN, action.who, screen, None
        case _:
            return after.did, after.by, screen, after.reason
