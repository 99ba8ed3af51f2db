"""Rows of the SQLite store to the nouns of `cloud.store`, and back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cloud.alerts import Standing
from cloud.store import Draft, Patch, StoredAlert, StoredFinding, Timing
from models.anyecg.chat.readings import evidence_from
from models.anyecg.evidence import Evidence
from models.ecg import Segment, make_id
from models.verdicts import Alert, Finding, Report

ALERT: TypeAdapter[Alert] = TypeAdapter(Alert)
STANDING: TypeAdapter[Standing] = TypeAdapter(Standing)
REPORT: TypeAdapter[Report] = TypeAdapter(Report)

Row = dict[str, Any]


def segment_row(payload: bytes, segment: Segment, seq: int, site: str, now: float) -> Row:
    names = (
        "id",
        "episode_id",
        "patch_id",
        "boot_id",
        "part",
        "continues",
        "opened_by",
        "first",
        "last",
        "fs",
    )
    return {name: getattr(segment, name) for name in names} | {
        "final": int(segment.final),
        "leads": json.dumps(segment.leads),
        "sha256": segment.sha256,
        "seq": seq,
        "site": site,
        "utc_0": segment.clock.utc_0,
        "clock_fs": segment.clock.fs,
        "edge_received_at": segment.clock.received_at,
        "received_at": now,
        "payload": payload,
    }


def finding_row(finding: Finding, episode_id: str, is_open: bool, segment: Row, now: float) -> Row:
    row = {
        "id": make_id("finding", episode_id, finding.label, finding.first),
        "episode_id": episode_id,
        "segment_id": finding.segment_id,
        "label": finding.label,
        "first": finding.first,
        "last": finding.last,
        "leads": json.dumps(finding.leads),
        "probability": finding.probability,
        "evidence": json.dumps(dict(finding.evidence)),
        "open": int(is_open),
    }
    return row | timing_columns(segment, finding.last, now)


def timing_columns(segment: Row, sample: int, now: float) -> Row:
    """When the sample was taken and when the part that decided it had reached the edge."""
    return {
        "sampled_at": sampled_at(segment, sample),
        "edge_received_at": segment["edge_received_at"],
        "shown_at": now,
    }


def sampled_at(segment: Row, sample: int) -> float | None:
    """Unix seconds, by the part's clock; None where that is not known."""
    known = segment["utc_0"] is not None and segment["clock_fs"]
    return segment["utc_0"] + sample / segment["clock_fs"] if known else None


def _finding(row: Row) -> Finding:
    names = ("segment_id", "label", "first", "last", "probability")
    leads, evidence = tuple(json.loads(row["leads"])), json.loads(row["evidence"])
    return Finding(**{name: row[name] for name in names}, leads=leads, evidence=evidence)


def finding_json(row: Row) -> Row:
    finding = _finding(row)
    return dataclasses.asdict(finding) | {"id": row["id"], "code": finding.code, "open": bool(row["open"])}


def stored_finding(row: Row) -> StoredFinding:
    return StoredFinding(id=row["id"], finding=_finding(row), open=bool(row["open"]), timing=timing_of(row))


def stored_alert(row: Row) -> StoredAlert:
    return StoredAlert(standing=standing_of(row), timing=timing_of(row), updated_at=row["updated_at"])


def standing_of(row: Row) -> Standing:
    """One of before there were courses has been raised, and nothing more."""
    alert = ALERT.validate_json(row["alert"])
    if row["course"] is None:
        return Standing(alert=alert, at=row["shown_at"], called_at=row["shown_at"])
    return STANDING.validate_python({**json.loads(row["course"]), "alert": alert})


def standing_row(standing: Standing) -> Row:
    alert = standing.alert
    return {
        "alert": ALERT.dump_json(alert).decode(),
        "course": STANDING.dump_json(standing, exclude={"alert"}).decode(),
        "state": alert.state,
        "priority": int(alert.priority),
    }


def timing_of(row: Row) -> Timing:
    return Timing(sampled_at=row["sampled_at"], received_at=row["edge_received_at"], shown_at=row["shown_at"])


def report_row(report: Report, episode_id: str, position: int, evidence: Evidence | None) -> Row:
    return {
        "id": report.id,
        "episode_id": episode_id,
        "position": position,
        "report": REPORT.dump_json(report).decode(),
        "evidence": None if evidence is None else json.dumps(dataclasses.asdict(evidence)),
    }


def stored_evidence(row: Row) -> Evidence:
    return evidence_from(json.loads(row["evidence"]))


def draft_of(row: Row) -> Draft:
    report = REPORT.validate_json(row["report"])
    lease = {"until": row["lease_until"], "attempts": row["attempts"]}
    return Draft(report=report, evidence=stored_evidence(row), **lease)


def patch_of(row: Row) -> Patch:
    names = ("patch_id", "site", "heard_at", "unreadable_s", "missing_s", "unreadable_run_s")
    fields = {name: row[name] for name in names}
    return Patch(**fields, online=bool(row["online"]), heartbeat=json.loads(row["heartbeat"]))


def spread(seconds: Sequence[float]) -> dict[str, Any]:
    if not seconds:
        return {"n": 0, "p50": None, "p95": None}
    p50, p95 = np.percentile(seconds, [50, 95])
    return {"n": len(seconds), "p50": round(float(p50), 3), "p95": round(float(p95), 3)}
