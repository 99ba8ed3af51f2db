"""What is not kept for ever: rules in days, one for each kind of thing; every deletion is in the audit.

Nothing goes that an alert stands on which nobody has closed, and nothing that was not analysed. Samples leave
their row behind, so that pages can say when they were deleted. The store's file does not shrink: the room is
used again.
"""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass

from cloud.audit import Audit
from cloud.chain import What, Who
from cloud.config import RetentionConfig
from cloud.memory import Memory
from cloud.rows import Row
from models.sqlite import Database

logger = logging.getLogger(__name__)

DAY_S = 86_400.0
EPISODES, ROWS = 50, 5000  # of one transaction: others wait for the writer's lock
NOTHING = hashlib.sha256(b"").hexdigest()

GOING = """
select s.episode_id from segments s where {} group by s.episode_id
having max(s.received_at) < ?
and not exists (select 1 from jobs j where j.episode_id = s.episode_id and not j.done)
and not exists (select 1 from alerts a where a.state != 'resolved' and instr(a.alert, s.episode_id) > 0)
limit ?
"""
"""Episodes that have come, were analysed and are over; an alert that is suppressed can be undone."""

UNTOUCHED = """
select episode_id from reports
except select episode_id from revisions except select episode_id from signatures
"""  # what a person wrote or signed rests on its report, and stays


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """Rows of a table that go by their age alone."""

    table: str
    at: str  # column: Unix seconds
    stays: str = "false"  # SQL: what stays all the same


PLAIN = {  # by the name of the rule, without its _days
    "trends": Plain(table="trends", at="received_at"),
    "ranges": Plain(table="ranges", at="received_at"),
    "events": Plain(table="events", at="written_at", stays="id = (select max(id) from events)"),
    "rejects": Plain(
        table="rejects",
        at="received_at",
        stays="reason = 'conflict' and exists (select 1 from technical t where t.patch_id = rejects.patch_id"
        " and kind = 'conflict' and cleared_at is null)",
    ),
}


class Retention:
    """May be used from any thread. Errors of the database are DeliveryError."""

    def __init__(self, memory: Memory, config: RetentionConfig) -> None:
        self._memory, self._audit, self._config = memory, Audit(memory), config

    def sweep(self, now: float) -> dict[str, int]:
        """Everything that is due; rule -> how much went. Interrupted, it goes on the next time."""
        gone = dict.fromkeys((*PLAIN, "samples", "reports"), 0)
        for rule in gone:
            days = getattr(self._config, f"{rule}_days")
            if days is not None:
                gone[rule] = self._all_of(rule, now - days * DAY_S, f"{rule}_days = {days:g}", now)
        if any(gone.values()):
            logger.info("deleted by rule: %s", json.dumps(gone))
        return gone

    def _all_of(self, name: str, before: float, rule: str, now: float) -> int:
        count = 0
        while True:
            with self._memory.writing() as db:
                if name in PLAIN:
                    went = more = self._rows(db, PLAIN[name], before, rule, now)
                else:
                    went, more = self._episodes(db, name, before, rule, now)
            count += went
            if not more:
                return count

    def _rows(self, db: Database, kind: Plain, before: float, rule: str, now: float) -> int:
        rows = self._memory.all(
            f"select id, {kind.at} as at from {kind.table} where {kind.at} < ? and not ({kind.stays})"  # noqa: S608
            f" order by {kind.at}, id limit ?",
            before,
            ROWS,
        )
        if rows:
            ids = json.dumps([row["id"] for row in rows])
            db.execute(f"delete from {kind.table} where id in (select value from json_each(?))", [ids])  # noqa: S608
            told = {"kind": kind.table, "rows": len(rows), "begin": rows[0]["at"], "end": rows[-1]["at"]}
            self._deleted(rule, now, **told, ids=hashlib.sha256(ids.encode()).hexdigest())
        return len(rows)

    def _episodes(self, db: Database, name: str, before: float, rule: str, now: float) -> tuple[int, int]:
        """(segments or reports that went, episodes)."""
        held = "s.deleted_at is null" if name == "samples" else f"s.episode_id in ({UNTOUCHED})"
        episodes = [row["episode_id"] for row in self._memory.all(GOING.format(held), before, EPISODES)]
        take = self._samples if name == "samples" else self._reports
        return sum(take(db, episode, rule, now) for episode in episodes), len(episodes)

    def _samples(self, db: Database, episode_id: str, rule: str, now: float) -> int:
        rows = self._memory.all(
            "select id, patch_id, sha256 from segments where episode_id = ? and deleted_at is null",
            episode_id,
        )
        for row in rows:
            db.execute("update segments set payload = x'', deleted_at = ? where id = ?", [now, row["id"]])
            stands = {"sha256": row["sha256"], "payload": NOTHING}  # of what is left
            self._deleted(
                rule, now, **_about(row, episode_id), segment_id=row["id"], kind="samples", **stands
            )
        self._memory.tell("deleted", _about(rows[0], episode_id), now)
        return len(rows)

    def _reports(self, db: Database, episode_id: str, rule: str, now: float) -> int:
        rows = self._memory.all(
            "select id, (select patch_id from segments s where s.episode_id = r.episode_id) as patch_id"
            " from reports r where episode_id = ?",
            episode_id,
        )
        for row in rows:
            db.execute("delete from reports where id = ?", [row["id"]])
            self._deleted(rule, now, **_about(row, episode_id), report_id=row["id"], kind="report")
        self._memory.tell("deleted", _about(rows[0], episode_id), now)
        return len(rows)

    def _deleted(self, rule: str, now: float, **told: str | float) -> None:
        self._audit.append(What.DELETED, who=Who.RETENTION, now=now, rule=rule, **told)  # type: ignore[arg-type]


def _about(row: Row, episode_id: str) -> dict[str, str]:
    return {"patch_id": row["patch_id"], "episode_id": episode_id}
