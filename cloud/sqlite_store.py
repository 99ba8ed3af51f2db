"""The store on SQLite: one transaction a decision."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloud.alert_book import AlertBook
from cloud.alerts import State
from cloud.annotations import Annotations
from cloud.audit import HEADS, Audit, Heads
from cloud.chain import Head, What, Who
from cloud.commands import Commands
from cloud.config import EscalationStep
from cloud.memory import Memory
from cloud.patient_rules import PatientRules
from cloud.ranges import Ranges
from cloud.rows import (
    REPORT,
    Row,
    draft_of,
    finding_json,
    finding_row,
    patch_of,
    report_row,
    segment_row,
    spread,
    stored_alert,
    stored_evidence,
    stored_finding,
    timing_of,
)
from cloud.signing import Signing
from cloud.store import (
    Draft,
    Episode,
    Event,
    Job,
    Outcome,
    Patch,
    Receipt,
    Reject,
    StoredAlert,
    StoredFinding,
    TechnicalAlert,
    Timing,
    Written,
    finding_sets,
)
from cloud.symptoms import Symptoms
from cloud.trends import Trends
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.verdicts import Alert, Report
from models.wire import decode_segment

DELETED = "select id from segments where episode_id = ? and deleted_at is not null"
HOP_S = 5.0  # the edge counts unreadable signal a hop at a time: the newest hop may not be counted yet


class SqliteStore(Memory):
    """`cloud.store.Store`; see there. Errors of the database are DeliveryError."""

    def __init__(self, path: str, escalation: Sequence[EscalationStep] = ()) -> None:
        super().__init__(path)
        self.audit = Audit(self)
        self.trends = Trends(self)
        self.ranges = Ranges(self)
        self.commands = Commands(self)
        self.symptoms = Symptoms(self, self.commands)
        self.signing = Signing(self, self.audit, self.report)
        self.annotations = Annotations(self, self.audit)
        self.patient_rules = PatientRules(self, self.audit)
        self.book = AlertBook(self, self.patient_rules, escalation, self.audit)
        self._heads = Heads(Path(path + HEADS))

    # -- inbox ---------------------------------------------------------------------------------------

    def commit_segment(self, payload: bytes, segment: Segment, *, seq: int, site: str, now: float) -> Receipt:
        with self.writing() as db:
            held = self.one("select sha256 from segments where id = ?", segment.id)
            if held is not None:
                return Receipt.DUPLICATE if held["sha256"] == segment.sha256 else Receipt.CONFLICT
            db.table("segments").insert(segment_row(payload, segment, seq, site, now))
            job = {"segment_id": segment.id, "episode_id": segment.episode_id, "patch_id": segment.patch_id}
            db.table("jobs").insert(job)
            told = {"segment_id": segment.id, "episode_id": segment.episode_id, "patch_id": segment.patch_id}
            told |= {name: getattr(segment, name) for name in ("boot_id", "part", "final", "first", "last")}
            self.tell("segment", told, now)
            self.audit.committed(payload, segment, seq, now)
        return Receipt.COMMITTED

    def reject(
        self,
        payload: bytes,
        *,
        topic: str,
        reason: str,
        segment_id: str | None,
        patch_id: str | None,
        now: float,
    ) -> None:
        row = {"topic": topic, "reason": reason, "segment_id": segment_id, "patch_id": patch_id}
        with self.writing() as db:
            db.table("rejects").insert({**row, "payload": payload, "received_at": now})
            self.audit.refused(payload, reason, segment_id, patch_id, now)

    def heartbeat(self, patch_id: str, site: str, heartbeat: Mapping[str, Any], *, now: float) -> None:
        """Seconds unreadable and missing run on over heartbeats until more than a hop could be read."""
        before = self.one("select * from patches where patch_id = ?", patch_id) or {}
        lost = float(heartbeat.get("unreadable_s", 0)) + float(heartbeat.get("missing_s", 0))
        heard = int(heartbeat["newest"]) - int(json.loads(before.get("heartbeat") or "{}").get("newest", 0))
        dark = lost > 0 and lost >= heard / float(heartbeat["fs"]) - HOP_S
        row = {
            "patch_id": patch_id,
            "site": site,
            "online": 1,
            "heard_at": now,
            "boot_id": heartbeat["boot_id"],
            "heartbeat": json.dumps(heartbeat),
            "unreadable_s": float(heartbeat.get("unreadable_total_s", 0)),
            "missing_s": float(heartbeat.get("missing_total_s", 0)),
            "unreadable_run_s": lost + float(before.get("unreadable_run_s", 0)) if dark else 0.0,
        }
        self._put_patch(row, now)

    def state(self, patch_id: str, site: str, online: bool, *, now: float) -> None:
        """Offline is said by the broker, and said again whenever we come back to it: nobody was heard."""
        before = self.one("select * from patches where patch_id = ?", patch_id) or {
            "boot_id": None,
            "heartbeat": "{}",
            "unreadable_s": 0.0,
            "missing_s": 0.0,
            "unreadable_run_s": 0.0,
        }
        heard_at = now if online else before.get("heard_at", now)
        row = {**before, "patch_id": patch_id, "site": site, "online": int(online), "heard_at": heard_at}
        self._put_patch(row, now)

    def _put_patch(self, row: Row, now: float) -> None:
        with self.writing() as db:
            db.table("patches").upsert(row, pk="patch_id")
            self.tell("patch", dataclasses.asdict(patch_of(row)), now)

    # -- queue ---------------------------------------------------------------------------------------

    def claim(self, owner: str, lease_s: float, *, now: float) -> Job | None:
        with self.writing() as db:
            row = self.one(
                "select * from jobs where not done and lease_until < ? and patch_id not in"
                " (select patch_id from jobs where not done and lease_until >= ? and owner is not null)"
                " order by id limit 1",
                now,
                now,
            )
            if row is None:
                return None
            lease = {"owner": owner, "lease_until": now + lease_s, "attempts": row["attempts"] + 1}
            db.table("jobs").update(row["id"], lease)
        names = ("id", "segment_id", "episode_id", "patch_id")
        return Job(
            **{name: row[name] for name in names},
            owner=owner,
            until=lease["lease_until"],
            attempts=lease["attempts"],
        )

    def finish(self, job: Job, outcome: Outcome, *, now: float) -> bool:
        with self.writing() as db:
            held = self.one("select owner, lease_until, done from jobs where id = ?", job.id)
            if held is None or held["done"] or (held["owner"], held["lease_until"]) != (job.owner, job.until):
                return False
            segment = self.one("select * from segments where id = ?", job.segment_id)
            assert segment is not None
            self.audit.analysed(job, outcome, now)
            self._put_findings(job, outcome, segment, now)
            self._put_reports(job, outcome, now)
            self.book.take(db, outcome, segment, now)
            db.table("jobs").update(job.id, {"done": 1, "owner": None, "lease_until": 0.0})
        return True

    def postpone(self, job: Job, reason: str, *, now: float, until: float) -> None:  # noqa: ARG002
        with self.writing() as db:
            db.table("jobs").update(job.id, {"owner": None, "lease_until": until, "reason": reason})

    def pending(self) -> int:
        return int(self.scalar("select count(*) from jobs where not done"))

    def claim_report(self, lease_s: float, *, now: float) -> Draft | None:
        with self.writing() as db:
            row = self.one(
                "select * from reports r where written is null and evidence is not null and lease_until < ?"
                " and position = (select max(position) from reports where episode_id = r.episode_id)"
                " order by due_at, id limit 1",
                now,
            )
            if row is None:
                return None
            lease = {"lease_until": now + lease_s, "attempts": row["attempts"] + 1}
            db.table("reports").update(row["id"], lease)
        return draft_of(row | lease)

    def release_report(self, draft: Draft) -> None:
        with self.writing() as db:
            row = self.one("select * from reports where id = ?", draft.report.id)
            if row is not None and draft_of(row) == draft:
                db.table("reports").update(row["id"], {"lease_until": 0.0, "attempts": draft.attempts - 1})

    def write_report(self, draft: Draft, written: Written, *, now: float) -> bool:
        with self.writing() as db:
            row = self.one("select * from reports where id = ?", draft.report.id)
            if row is None or row["written"] is not None or draft_of(row) != draft:
                return False
            counts = {name: getattr(written, name) for name in ("claims", "replaced", "added")}
            stored = REPORT.dump_json(written.report).decode()
            db.table("reports").update(row["id"], {"written": stored, **counts})
            patch = self.scalar("select patch_id from segments where episode_id = ?", row["episode_id"])
            self._tell_report(written.report, patch, now)
            self.audit.written(written, stored, patch, now)
        return True

    def _put_findings(self, job: Job, outcome: Outcome, segment: Row, now: float) -> None:
        """Insert what is new, renew what grew, delete what a fuller episode no longer shows."""
        held = {
            row["id"]: row
            for row in self.all("select * from findings where episode_id = ?", outcome.episode_id)
        }
        kept, changed = set(), []
        for finding, is_open in finding_sets(outcome):
            row = finding_row(finding, outcome.episode_id, is_open, segment, now)
            before = held.get(row["id"])
            kept.add(row["id"])
            if before is not None:
                row |= {name: before[name] for name in ("sampled_at", "edge_received_at", "shown_at")}
            if row != before:
                self._db.table("findings").upsert(row, pk="id")
                changed.append(finding_json(row))
        deleted = {row["id"] for row in self.all(DELETED, outcome.episode_id)}  # nothing can show them anew
        gone = sorted(i for i in held.keys() - kept if held[i]["segment_id"] not in deleted)
        for finding_id in gone:
            self._db.table("findings").delete(finding_id)
        if changed or gone:
            told = {"episode_id": outcome.episode_id, "patch_id": job.patch_id, "removed": gone}
            told |= {
                "findings": [f for f in changed if not f["open"]],
                "open": [f for f in changed if f["open"]],
            }
            self.tell("findings", told, now)

    def _put_reports(self, job: Job, outcome: Outcome, now: float) -> None:
        """A report that changed is a template's again."""
        for position, report in enumerate(outcome.reports):
            row = report_row(report, outcome.episode_id, position, outcome.evidence.get(report.id))
            before = self.one(f"select {', '.join(row)} from reports where id = ?", report.id)  # noqa: S608
            if row == before:
                continue
            fresh: Row = {"written": None, "due_at": now, "lease_until": 0.0, "attempts": 0}
            self._db.table("reports").upsert(row | fresh, pk="id")
            self._tell_report(report, job.patch_id, now)
            what = What.REPORT_MADE if before is None else What.REPORT_RENEWED
            self.audit.reported(what, Who.WORKER, report, row["report"], job.patch_id, now)

    def _tell_report(self, report: Report, patch_id: str, now: float) -> None:
        told = {"episode_id": report.episode_id, "patch_id": patch_id, "report_id": report.id}
        self.tell("report", {**told, "part": len(report.segment_ids) - 1}, now)

    # -- reading -------------------------------------------------------------------------------------

    def segment(self, segment_id: str) -> Segment | None:
        row = self.one("select payload from segments where id = ? and deleted_at is null", segment_id)
        return decode_segment(row["payload"])[0] if row else None

    def sha256s(self) -> dict[str, str]:
        return {row["id"]: row["sha256"] for row in self.all("select id, sha256 from segments")}

    def parts(self, episode_id: str) -> list[Segment]:
        rows = self.all(
            "select payload from segments where episode_id = ? and deleted_at is null order by first",
            episode_id,
        )
        return [decode_segment(row["payload"])[0] for row in rows]

    def segments_between(self, patch_id: str, begin: float, end: float) -> list[Segment]:
        rows = self.all(
            "select payload from segments where patch_id = ? and deleted_at is null"
            " and utc_0 + (last + 1) / clock_fs > ? and utc_0 + first / clock_fs < ? order by boot_id, first",
            patch_id,
            begin,
            end,
        )
        return [decode_segment(row["payload"])[0] for row in rows]

    def episodes(self, patch_id: str | None = None, limit: int = 100) -> list[Episode]:
        rows = self.all(
            "select episode_id from segments where ? is null or patch_id = ?"
            " group by episode_id order by max(received_at) desc limit ?",
            patch_id,
            patch_id,
            limit,
        )
        found = (self.episode(row["episode_id"]) for row in rows)
        return [episode for episode in found if episode is not None]

    def episode(self, episode_id: str) -> Episode | None:
        columns = "patch_id, boot_id, first, last, fs, leads, final, continues, opened_by, utc_0, clock_fs"
        rows = self.all(
            f"select {columns}, received_at, deleted_at from segments where episode_id = ? order by first",  # noqa: S608
            episode_id,
        )
        if not rows:
            return None
        head, newest = rows[0], rows[-1]
        pending = "select count(*) from jobs where episode_id = ? and not done"
        return Episode(
            id=episode_id,
            first=head["first"],
            last=newest["last"],
            leads=tuple(json.loads(head["leads"])),
            parts=len(rows),
            final=any(row["final"] for row in rows),
            utc_0=newest["utc_0"],
            clock_fs=newest["clock_fs"],
            received_at=max(row["received_at"] for row in rows),
            deleted_at=max((row["deleted_at"] for row in rows if row["deleted_at"]), default=None),
            pending=int(self.scalar(pending, episode_id)),
            **{name: head[name] for name in ("patch_id", "boot_id", "fs", "continues", "opened_by")},
        )

    def findings(self, episode_id: str) -> list[StoredFinding]:
        rows = self.all("select * from findings where episode_id = ? order by first, label", episode_id)
        return [stored_finding(row) for row in rows]

    def finding_counts(self) -> dict[str, int]:
        rows = self.all("select label, count(*) as n from findings group by label order by label")
        return {row["label"]: row["n"] for row in rows}

    def report(self, episode_id: str) -> Report | None:
        reports = self.reports(episode_id)
        return reports[-1] if reports else None

    def reports(self, episode_id: str) -> list[Report]:
        rows = self.all(
            "select coalesce(written, report) as said from reports where episode_id = ? order by position",
            episode_id,
        )
        return [REPORT.validate_json(row["said"]) for row in rows]

    def evidence(self, report_id: str) -> Evidence | None:
        row = self.one("select evidence from reports where id = ? and evidence is not null", report_id)
        return stored_evidence(row) if row else None

    def alerts(
        self, limit: int = 100, states: Collection[State] = tuple(State), *, patch_id: str | None = None
    ) -> list[StoredAlert]:
        rows = self.all(
            "select * from alerts where state in (select value from json_each(?))"
            " and (? is null or patch_id = ?) order by state in ('raised', 'seen') desc,"
            " state = 'acknowledged' desc, priority desc, updated_at desc limit ?",
            json.dumps(list(states)),
            patch_id,
            patch_id,
            limit,
        )
        return [stored_alert(row) for row in rows]

    def alert(self, alert_id: str) -> StoredAlert | None:
        row = self.one("select * from alerts where id = ?", alert_id)
        return stored_alert(row) if row else None

    def open_alert(self, patch_id: str, at: float | None = None) -> Alert | None:
        return self.book.docket(patch_id, time.time() if at is None else at).open

    def patches(self) -> list[Patch]:
        return [patch_of(row) for row in self.all("select * from patches order by patch_id")]

    def rejects(self, limit: int = 100) -> list[Reject]:
        return [Reject(**row) for row in self.all("select * from rejects order by id desc limit ?", limit)]

    # -- technical alerts ----------------------------------------------------------------------------

    def technical_alerts(self, standing: bool = True, limit: int = 100) -> list[TechnicalAlert]:
        rows = self.all(
            "select * from technical where cleared_at is null or not ? order by raised_at desc limit ?",
            standing,
            limit,
        )
        return [TechnicalAlert(**{**row, "id": str(row["id"])}) for row in rows]

    def raise_technical(self, patch_id: str, kind: str, text: str, *, now: float) -> None:
        standing = "select 1 from technical where patch_id = ? and kind = ? and cleared_at is null"
        with self.writing() as db:
            if self.one(standing, patch_id, kind) is None:
                row = {"patch_id": patch_id, "kind": kind, "text": text, "raised_at": now}
                db.table("technical").insert({**row, "cleared_at": None})
                self.tell("technical", {"change": "raised", "technical": row}, now)
                self.audit.technical(What.TECHNICAL_RAISED, patch_id, now, kind=kind, text=text)

    def clear_technical(self, patch_id: str, kind: str, *, now: float) -> None:
        where = "patch_id = ? and kind = ? and cleared_at is null"
        if self.one(f"select 1 from technical where {where}", patch_id, kind) is None:  # noqa: S608
            return
        with self.writing() as db:
            db.execute(f"update technical set cleared_at = ? where {where}", [now, patch_id, kind])  # noqa: S608
            self.tell(
                "technical", {"change": "cleared", "technical": {"patch_id": patch_id, "kind": kind}}, now
            )
            self.audit.technical(What.TECHNICAL_CLEARED, patch_id, now, kind=kind)

    # -- audit ---------------------------------------------------------------------------------------

    def note_head(self, *, now: float) -> None:
        self._heads.append(self.audit.head(), now)

    def report_head(self, report: Report) -> Head | None:
        return self.audit.report_head(report)

    def analysed_by(self, episode_id: str) -> tuple[str, str] | None:
        return self.audit.analysed_by(episode_id)

    # -- live stream ---------------------------------------------------------------------------------

    def events(self, after: int, limit: int = 500) -> list[Event]:
        rows = self.all("select * from events where id > ? order by id limit ?", after, limit)
        return [Event(**{**row, "data": json.loads(row["data"])}) for row in rows]

    # -- figures -------------------------------------------------------------------------------------

    def timings(self, since: float) -> list[tuple[str, Timing]]:
        columns = "patch_id, {0}.sampled_at, {0}.edge_received_at, {0}.shown_at"
        found = f"select {columns.format('f')} from findings f join segments s on s.id = f.segment_id"  # noqa: S608
        raised = f"select {columns.format('a')} from alerts a"  # noqa: S608
        rows = self.all(f"{found} where f.shown_at >= ?", since)
        rows += self.all(f"{raised} where a.shown_at >= ?", since)
        return [(row["patch_id"], timing_of(row)) for row in rows]

    def size_bytes(self) -> int:
        """Of the file."""
        return int(self.scalar("select page_count * page_size from pragma_page_count(), pragma_page_size()"))

    def stats(self) -> dict[str, Any]:
        rows = self.all("select sampled_at, edge_received_at, shown_at from findings where label = 'V'")
        rows += self.all("select sampled_at, edge_received_at, shown_at from alerts")
        return {
            "segments": self.scalar("select count(*) from segments"),
            "pending": self.pending(),
            "findings": self.finding_counts(),
            "alerts": self.scalar("select count(*) from alerts"),
            "technical": self.scalar("select count(*) from technical"),
            "rejected": self.scalar("select count(*) from rejects"),
            "language": self.one(
                "select coalesce(sum(claims + replaced + added > 0), 0) as reports,"
                " coalesce(sum(claims + replaced + added = 0), 0) as left_to_template,"
                " coalesce(sum(claims), 0) as claims, coalesce(sum(replaced), 0) as replaced,"
                " coalesce(sum(added), 0) as added from reports where written is not null"
            ),
            "latency_s": spread([row["shown_at"] - row["sampled_at"] for row in rows if row["sampled_at"]]),
            "pipeline_s": spread(
                [row["shown_at"] - row["edge_received_at"] for row in rows if row["edge_received_at"]]
            ),
        }
