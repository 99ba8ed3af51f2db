"""A row of the audit chain, and the hash that binds it to the row before it.

Functions of rows and of a connection, and of nothing else of the cloud: the migration begins a chain with
them, `cloud/audit.py` goes on with it, and `cloud/audit_check.py` holds it to them.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Row = dict[str, Any]

SUBJECTS = ("patch_id", "episode_id", "segment_id", "report_id", "alert_id")
HASHED = ("number", "at", "who", "what", *SUBJECTS, "details", "previous")
COLUMNS = (*HASHED, "hash")

STORED = """
select 'segment' as kind, id from segments
union all select 'report', id from reports
union all select 'alert', id from alerts
"""
"""Kind and id of everything that the chain must tell of; all of it was there before the chain was."""


class Who(StrEnum):
    """Who did it, where it was no person: no user may be called so."""

    EDGE = "edge"
    CLOUD = "cloud"
    WORKER = "worker"
    ANALYSIS = "analysis"
    RECORDING = "recording"  # that went on for long without an alert's label
    REPORTER = "reporter"
    RETENTION = "retention"
    NOBODY = "nobody"  # who was not let in


class What(StrEnum):
    """What was done. "deleted" is done to whatever of segment, report and alert the row names; of a segment
    only the samples go, and the row has the hashes of what is left.

    A row that begins with "alert" or "report" and has a `sha256` in its details gives that of the whole
    (its JSON in the store) from then on. What a person wrote is told with the id of its row of `revisions`,
    `signatures` or `annotations`, and with the SHA-256 of that row.
    """

    ADOPTED = "adopted"  # what was there before the chain: its first row
    COMMITTED = "committed"
    REFUSED = "refused"  # also the same id with other samples: reason "conflict"
    ANALYSED = "analysed"
    REPORT_MADE = "report made"
    REPORT_RENEWED = "report renewed"  # the episode shows something else now
    REPORT_WRITTEN = "report written"  # by a language model, or left to the template with the reason
    REPORT_EDITED = "report edited"
    REPORT_SIGNED = "report signed"
    REPORT_ADDED = "report addendum"  # to a signed one, with its own signature
    ANNOTATED = "strip annotated"
    ALERT_RAISED = "alert raised"
    ALERT_RAISED_AGAIN = "alert raised again"
    ALERT_ADDED = "alert added"  # to its history
    ALERT_CORRECTED = "alert corrected"
    ALERT_SEEN = "alert seen"
    ALERT_ACKNOWLEDGED = "alert acknowledged"
    ALERT_ESCALATED = "alert escalated"  # by a person, at once
    ALERT_RESOLVED = "alert resolved"
    ALERT_SUPPRESSED = "alert suppressed"
    ALERT_UNDONE = "alert undone"  # its suppression
    THRESHOLDS_SET = "thresholds set"  # of a patch
    QUIET_SET = "quiet rule set"
    QUIET_ENDED = "quiet rule ended"
    USER_ADDED = "user added"
    USER_DISABLED = "user disabled"
    USER_WARDS = "wards changed"  # of a user
    USER_PASSWORD = "password changed"  # noqa: S105 - no password
    INVITED = "patient invited"  # by a code
    CODE_USED = "code used"
    SIGNED_IN = "signed in"
    SIGN_IN_REFUSED = "sign-in refused"  # also of a code
    SIGNED_OUT = "signed out"
    ASSIGNED = "patch assigned"
    MOVED = "patch moved"  # to another patient or ward
    UNASSIGNED = "patch ended"  # on nobody from then on
    COMMAND_ASKED = "command asked"  # of an edge
    COMMAND_ANSWERED = "command answered"
    SYMPTOM = "symptom told"  # by a patient; of the note only the SHA-256
    TECHNICAL_RAISED = "technical alert raised"
    TECHNICAL_CLEARED = "technical alert cleared"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Head:
    """A row by its number and hash: whoever knows both can tell whether it, or any before it, was changed."""

    number: int
    hash: str  # hex


ORIGIN = Head(0, "0" * 64)


def canonical(value: object) -> str:
    """JSON in its one form: keys sorted, no spaces, ASCII; ValueError where a number is none."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def sha256_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_of_row(row: Mapping[str, Any]) -> str:
    """Of a stored row, every column of it."""
    return sha256_of_text(canonical(dict(row)))


def hash_of(row: Mapping[str, Any]) -> str:
    """Hex SHA-256 over everything in a row but its hash."""
    return sha256_of_text(canonical({name: row[name] for name in HASHED}))


def following(head: Head, said: Mapping[str, Any]) -> Row:
    """The row after `head` that says so; `said` has every column but number, previous and hash."""
    row: Row = {**said, "number": head.number + 1, "previous": head.hash}
    return {name: row[name] for name in HASHED} | {"hash": hash_of(row)}


def adopted(stored: Iterable[tuple[str, str]], now: float) -> Row:
    """Row 1: how much was there before the chain began, and a digest of the ids; `stored` by kind and id."""
    said = {"at": now, "who": Who.CLOUD, "what": What.ADOPTED, "details": canonical(inventory(stored))}
    return following(ORIGIN, dict.fromkeys(SUBJECTS) | said)


def inventory(stored: Iterable[tuple[str, str]]) -> Row:
    """{"segments", "reports", "alerts": how many, "ids": SHA-256 over a line for each}."""
    counts: Counter[str] = Counter()
    digest = hashlib.sha256()
    for kind, ident in stored:
        counts[f"{kind}s"] += 1
        digest.update(f"{kind} {ident}\n".encode(errors="surrogateescape"))
    return {name: counts[name] for name in ("segments", "reports", "alerts")} | {"ids": digest.hexdigest()}
