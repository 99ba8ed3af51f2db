"""The audit chain: what happened to everything that concerns a patient, each row bound to the one before.

    captured, queued, committed ──▶ analysed ──▶ report ──▶ alert ──▶ who saw, acknowledged, edited, signed

A row is written in the transaction of what it tells of, so that neither is there without the other; the
writer's lock of `Memory.writing()` puts the rows of all threads and processes in one order. `anyecg audit
verify` (`cloud/audit_check.py`) finds whatever was changed afterwards.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cloud.chain import ORIGIN, Head, What, Who, canonical, following, sha256_of_row, sha256_of_text
from cloud.memory import Memory
from cloud.rows import Row
from cloud.store import Job, Outcome, Written
from models.ecg import Segment
from models.errors import DeliveryError
from models.verdicts import Alert, Report

HEADS = ".audit-heads"  # beside the store


class Audit:
    """Appends to the chain of a store; everything but the readings within its `writing()`."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def append(
        self,
        what: What,
        *,
        who: str,
        now: float,
        patch_id: str | None = None,
        episode_id: str | None = None,
        segment_id: str | None = None,
        report_id: str | None = None,
        alert_id: str | None = None,
        **details: Any,
    ) -> Head:
        """One row more. `who` is a user's name or a `Who`; ValueError where a number in `details` is none."""
        said = {
            "at": now,
            "who": who,
            "what": what,
            "patch_id": patch_id,
            "episode_id": episode_id,
            "segment_id": segment_id,
            "report_id": report_id,
            "alert_id": alert_id,
            "details": canonical(details),
        }
        row = following(self.head(), said)
        self._memory.insert("audit", row)
        return Head(row["number"], row["hash"])

    def head(self) -> Head:
        row = self._memory.one("select number, hash from audit order by number desc limit 1")
        return ORIGIN if row is None else Head(**row)

    def report_head(self, report: Report) -> Head | None:
        """The row that tells of a report as it stands now: whoever has both can show that neither changed."""
        row = self._memory.one(
            "select number, hash from audit where episode_id = ? and report_id = ?"
            " and what in (?, ?, ?) order by number desc limit 1",
            *(report.episode_id, report.id, What.REPORT_MADE, What.REPORT_RENEWED, What.REPORT_WRITTEN),
        )
        return None if row is None else Head(**row)

    def analysed_by(self, episode_id: str) -> tuple[str, str] | None:
        """(network, SHA-256 of its weights) that read the episode's newest part."""
        row = self._memory.one(
            "select details from audit where episode_id = ? and what = ? order by number desc limit 1",
            episode_id,
            What.ANALYSED,
        )
        told = json.loads(row["details"]) if row else {}
        return (told["network"], told["weights"]) if told.get("network") else None

    # -- what the store tells ------------------------------------------------------------------------

    def committed(self, payload: bytes, segment: Segment, seq: int, now: float) -> None:
        """Captured and queued are in it too, by the edge's clock; one that tells nothing refuses no part."""
        clock = segment.clock
        self.append(
            What.COMMITTED,
            who=Who.CLOUD,
            now=now,
            patch_id=segment.patch_id,
            episode_id=segment.episode_id,
            segment_id=segment.id,
            boot_id=segment.boot_id,
            first=segment.first,
            last=segment.last,
            sampled_at=_finite(clock.utc(segment.first) if clock.fs else None),
            edge_received_at=_finite(clock.received_at),
            seq=seq,
            sha256=segment.sha256,
            payload=hashlib.sha256(payload).hexdigest(),
            screeners=sorted({screening.model for screening in segment.screenings}),
        )

    def refused(
        self, payload: bytes, reason: str, segment_id: str | None, patch_id: str | None, now: float
    ) -> None:
        told = {"reason": reason, "payload": hashlib.sha256(payload).hexdigest()}
        self.append(What.REFUSED, who=Who.CLOUD, now=now, patch_id=patch_id, segment_id=segment_id, **told)

    def analysed(self, job: Job, outcome: Outcome, now: float) -> None:
        """Also where nothing new was found: that a part was read is a statement about the patient."""
        self.append(
            What.ANALYSED,
            who=Who.WORKER,
            now=now,
            patch_id=job.patch_id,
            episode_id=job.episode_id,
            segment_id=job.segment_id,
            network=outcome.network,
            weights=outcome.network_sha256,
            findings=len(outcome.findings),
            open=len(outcome.open),
        )

    def reported(
        self, what: What, who: Who, report: Report, stored: str, patch_id: str, now: float, **counts: Any
    ) -> None:
        """`stored` is the report's JSON in the store."""
        self.append(
            what,
            who=who,
            now=now,
            patch_id=patch_id,
            episode_id=report.episode_id,
            report_id=report.id,
            model=report.model,
            parts=len(report.segment_ids),
            sha256=sha256_of_text(stored),
            **counts,
        )

    def written(self, written: Written, stored: str, patch_id: str, now: float) -> None:
        """By a language model, whose sentences were held to the findings; or left to the template."""
        counts = {name: getattr(written, name) for name in ("claims", "replaced", "added")}
        self.reported(What.REPORT_WRITTEN, Who.REPORTER, written.report, stored, patch_id, now, **counts)

    def alerted(self, alert: Alert, did: str, who: str, stored: str, now: float, **details: Any) -> None:
        """What was done to an alert, and by whom; `stored` is its JSON in the store from then on."""
        self.append(
            What(f"alert {did}"),
            who=who,
            now=now,
            patch_id=alert.patch_id,
            episode_id=alert.history[-1]["episode_id"] if alert.history else alert.episode_id,
            report_id=alert.report_id,
            alert_id=alert.id,
            label=alert.label,
            priority=str(alert.priority),
            rule=alert.rule,
            causes=len(alert.history),
            sha256=sha256_of_text(stored),
            **details,
        )

    def wrote(self, table: str, what: What, row: Row, *, report_id: str | None = None, **details: Any) -> int:
        """What a person wrote: put into its table, told of and announced; its id. `row` is all but that."""
        ident = int(self._memory.scalar(f"select coalesce(max(id), 0) + 1 from {table}"))  # noqa: S608
        row = {"id": ident, **row}
        episode_id, now = row["episode_id"], row["at"]
        self._memory.insert(table, row)
        patch = self._memory.scalar("select max(patch_id) from segments where episode_id = ?", episode_id)
        told = {"patch_id": patch, "episode_id": episode_id}
        details |= {table: ident, "row": sha256_of_row(row)}
        self.append(what, who=row["who"], now=now, report_id=report_id, **told, **details)
        self._memory.tell("report" if report_id else "annotation", {**told, "what": what}, now)
        return ident

    def technical(self, what: What, patch_id: str, now: float, **details: str) -> None:
        self.append(what, who=Who.CLOUD, now=now, patch_id=patch_id, **details)


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


class Heads:
    """The file of heads: one JSON line each, on the disk when `append` returns.

    It tells of a cut-off tail what the chain itself cannot, the better the further from the store it is kept.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, head: Head, now: float) -> None:
        """DeliveryError where it cannot be written. A line that a power failure tore is taken out first."""
        line = canonical({"time": now, **asdict(head)}) + "\n"
        try:
            with self.path.open("ab+") as file:
                file.seek(0)
                held = file.read()
                if not held.endswith(b"\n"):
                    file.truncate(held.rfind(b"\n") + 1)
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DeliveryError(f"The heads of the audit {self.path} cannot be written: {error}.") from error

    def read(self) -> list[tuple[float, Head]]:
        """(time, head) in the order noted, without a torn last line; DeliveryError where that cannot be."""
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
            noted = [json.loads(line) for line in lines]
            if not noted:
                raise ValueError("no head")
            return [(float(n["time"]), Head(int(n["number"]), str(n["hash"]))) for n in noted]
        except OSError as error:
            sentence = (
                f"The heads of the audit {self.path} cannot be read: {error.strerror}; name their file."
            )
            raise DeliveryError(sentence) from error
        except (ValueError, TypeError, KeyError) as error:
            raise DeliveryError(f"{self.path} is no file of the audit's heads: {error!r}.") from error
