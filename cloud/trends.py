"""The rows a day is drawn from, as the edges counted them: each once, by its id."""

from __future__ import annotations

import dataclasses
import json
from datetime import date

from cloud.memory import Memory
from cloud.rows import Row
from cloud.store import Receipt
from models.ecg import Clock
from models.verdicts import TrendRow


class Trends:
    """May be used from any thread. Errors of the database are DeliveryError."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def commit(self, row: TrendRow, *, seq: int, site: str, now: float) -> Receipt:
        """Insert-or-ignore by id, with its event, committed on return."""
        with self._memory.writing() as db:
            held = self._memory.one("select sha256 from trends where id = ?", row.id)
            if held is not None:
                return Receipt.DUPLICATE if held["sha256"] == row.sha256 else Receipt.CONFLICT
            where = {"utc": row.utc, "sha256": row.sha256, "seq": seq, "site": site, "received_at": now}
            db.table("trends").insert(_columns(row) | where)
            told = {"patch_id": row.patch_id, "boot_id": row.boot_id, "first": row.first}
            self._memory.tell("trend", told, now)
        return Receipt.COMMITTED

    def rows(self, patch_id: str, from_utc: float, to_utc: float) -> list[TrendRow]:
        """Those that begin from `from_utc` to before `to_utc` (Unix seconds), in order.

        A row whose clock is unknown is kept, and lies in no such stretch.
        """
        held = self._memory.all(
            "select * from trends where patch_id = ? and utc >= ? and utc < ? order by utc, boot_id, first",
            patch_id,
            from_utc,
            to_utc,
        )
        return [_trend_row(row) for row in held]

    def days(self, patch_id: str) -> list[date]:
        """The days, of UTC, in which rows begin, in order."""
        held = self._memory.all(
            "select distinct date(utc, 'unixepoch') as day from trends"
            " where patch_id = ? and utc is not null order by day",
            patch_id,
        )
        return [date.fromisoformat(row["day"]) for row in held]


def _columns(row: TrendRow) -> Row:
    fields = dataclasses.asdict(row)
    return fields | {"clock": json.dumps(fields["clock"])}


def _trend_row(held: Row) -> TrendRow:
    fields = {field.name: held[field.name] for field in dataclasses.fields(TrendRow)}
    return TrendRow(**fields | {"clock": Clock(**json.loads(held["clock"]))})
