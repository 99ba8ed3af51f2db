"""What a nurse must see, on disk before it is sent and until the cloud has committed it.

SQLite with WAL and synchronous=FULL. One transaction holds the segments and trend rows of a moment and the
segmenter state that goes with them, so a killed edge neither loses one nor makes it twice. Each leaves only
when the cloud's own acknowledgement says `committed` or `duplicate`; three terminal rejections move it to
`dead`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.segments import SegmenterState
from models.ecg import Segment
from models.errors import DeliveryError
from models.ranges import Pulled, decode_range, encode_range
from models.sqlite import Database, Migrations, connect
from models.verdicts import TrendRow
from models.wire import Kind, encode_row, encode_segment

REJECTIONS = 3  # terminal rejections until a segment or row is set aside
PAGE = 4096  # bytes

migrations = Migrations("outbox")


@migrations(name="0001")
def _create(db: Database) -> None:
    db.table("outbox").create(
        {"seq": int, "id": str, "dev": str, "payload": bytes, "created_at": float, "rejections": int},
        pk="seq",
        not_null={"id", "dev", "payload", "created_at", "rejections"},
    )
    db.table("outbox").create_index(["id"], unique=True)
    db.table("dead").create({"id": str, "dev": str, "payload": bytes, "reason": str, "at": float}, pk="id")
    db.table("state").create({"boot": str, "segmenter": str}, pk="boot")
    db.table("counters").create({"name": str, "value": int}, pk="name")


@migrations(name="0002")
def _add_kinds(db: Database) -> None:
    """Rows of the trend wait beside segments; the kind is that of the topic."""
    for table in ("outbox", "dead"):
        db.execute(f"alter table {table} add column kind text not null default 'seg'")
    db.table("outbox").create_index(["kind", "seq"])


@migrations(name="0003")
def _add_commands(db: Database) -> None:
    """What the cloud asked: each once, by its id. `sample` is a mark's, `calls_at` that of its window;
    `reached` is how far a pull has come."""
    columns = "id text primary key, dev text not null, kind text not null, body text not null"
    db.execute(
        f"create table commands ({columns}, came_at real not null, answer blob, boot_id integer,"
        " sample integer, calls_at integer, reached integer not null default 0)"
    )


@migrations(name="0004")
def _add_pieces(db: Database) -> None:
    """What a pull had to send when it began; `reached` counts these, and of a pull without them nothing."""
    db.execute("alter table commands add column pieces text")


@dataclass(frozen=True, slots=True)
class Pending:
    """What the cloud has not acknowledged yet."""

    id: str
    dev: str
    kind: Kind
    payload: bytes


class Outbox:
    """The edge's store. One connection, one thread. Figures are of segments, or of the kind that is named.

    Args:
        path: the database file; its folder must exist.
        site: goes into every envelope.
        max_bytes: the file never grows beyond this.

    Raises:
        DeliveryError: the file cannot be opened, or is full.
    """

    def __init__(self, path: Path, site: str, max_bytes: int = 1_000_000_000) -> None:
        self._site = site
        try:
            self._db = connect(path)
            self._db.execute(f"PRAGMA max_page_count={max_bytes // PAGE}")
            migrations.apply(self._db)
        except sqlite3.Error as error:
            raise DeliveryError(f"The outbox {path} cannot be opened: {error}. Check its folder.") from error

    def close(self) -> None:
        self._db.close()

    @property
    def db(self) -> Database:
        """For what stands beside the outbox: the commands."""
        return self._db

    def commit(
        self, boot: tuple[str, int], made: Sequence[Segment | TrendRow], state: SegmenterState
    ) -> None:
        """What was made at a moment and the state after it, together or not at all.

        What is already here or was sent before a restart is not doubled: the cloud knows its id.
        """
        try:
            with self._db.atomic():
                for one in made:
                    self._insert(one)
                self._db.table("state").upsert({"boot": _key(boot), "segmenter": state.to_json()}, pk="boot")
        except sqlite3.Error as error:
            raise DeliveryError(f"The outbox cannot store more: {error}. Free some disk.") from error

    def commit_pulled(self, made: Sequence[Pulled], command_id: str, reached: int) -> None:
        """Stretches that a command asked for and how far it has come with them, together or not at all."""
        try:
            with self._db.atomic():
                for one in made:
                    self._insert(one)
                self._db.table("commands").update(command_id, {"reached": reached})
        except sqlite3.Error as error:
            raise DeliveryError(f"The outbox cannot store more: {error}. Free some disk.") from error

    def restore(self, patch_id: str, boot_id: int) -> SegmenterState | None:
        """The state committed last for this boot."""
        rows = list(self._db.table("state").rows_where("boot = ?", [_key((patch_id, boot_id))]))
        return SegmenterState.from_json(rows[0]["segmenter"]) if rows else None

    def marks(self, patch_id: str, boot_id: int) -> list[tuple[int, int]]:
        """Sample and call of every mark that this boot was given: a segmenter forgets them in a kill."""
        where = "dev = ? and boot_id = ? and calls_at is not null"
        rows = self._db.table("commands").rows_where(where, [patch_id, boot_id])
        return [(row["sample"], row["calls_at"]) for row in rows]

    def knows(self, patch_id: str) -> bool:
        """Whether this edge ever heard the patch."""
        begins = "substr(boot, 1, ?) = ?"
        return bool(self._db.table("state").count_where(begins, [len(patch_id) + 1, f"{patch_id}\n"]))

    def oldest(self, limit: int, but: Collection[str] = (), kind: Kind = "seg") -> list[Pending]:
        """The oldest that are not among `but` (those in flight)."""
        limit = max(0, limit)
        rows = self._db.query(
            "select id, dev, kind, payload from outbox where kind = ? order by seq limit ?",
            [kind, limit + len(but)],
        )
        return [Pending(**row) for row in rows if row["id"] not in but][:limit]

    def acknowledge(self, me: str, sent_bytes: int) -> None:
        """The cloud holds it: delete it, and count what sending it took."""
        with self._db.atomic():
            held = self.depth()
            self._db.table("outbox").delete_where("id = ?", [me])
            self._count("acknowledged", held - self.depth())
            self._count("uplink_bytes", sent_bytes)

    def reject(self, me: str, reason: str) -> bool:
        """The cloud will not have it. True when this was the last try and it was set aside."""
        with self._db.atomic():
            self._db.execute("update outbox set rejections = rejections + 1 where id = ?", [me])
            given_up = "id = ? and rejections >= ?"
            rows = list(self._db.table("outbox").rows_where(given_up, [me, REJECTIONS]))
            for row in rows:
                dead = {name: row[name] for name in ("id", "dev", "kind", "payload")}
                self._db.table("dead").upsert({**dead, "reason": reason, "at": time.time()}, pk="id")
                self._db.table("outbox").delete_where("id = ?", [me])
        return bool(rows)

    def holds_range(self, until: int) -> bool:
        """Whether a range is here that was stored by then; `until` is a value of the counter `sequence`."""
        return bool(self._db.table("outbox").count_where("kind = 'range' and seq <= ?", [until]))

    def depth(self, kind: Kind = "seg") -> int:
        return self._held("outbox", kind)

    def oldest_age_s(self) -> float:
        """Seconds since the oldest waiting segment was stored; 0 when none waits."""
        (oldest,) = self._db.execute("select min(created_at) from outbox where kind = 'seg'").fetchone()
        return 0.0 if oldest is None else max(0.0, time.time() - oldest)

    def dead(self, kind: Kind = "seg") -> int:
        """Set aside because the cloud refused them."""
        return self._held("dead", kind)

    def dead_ranges(self, dev: str, since: float) -> list[Pulled]:
        """Those of a patch that were set aside since then (Unix seconds)."""
        where = "kind = 'range' and dev = ? and at >= ?"
        return [
            decode_range(row["payload"])[0] for row in self._db.table("dead").rows_where(where, [dev, since])
        ]

    def counter(self, name: str) -> int:
        """`sequence`, `acknowledged` or `uplink_bytes`, since this outbox was created."""
        row = self._db.execute("select value from counters where name = ?", [name]).fetchone()
        return int(row[0]) if row else 0

    def _held(self, table: str, kind: Kind) -> int:
        return int(self._db.table(table).count_where("kind = ?", [kind]))

    def _insert(self, made: Segment | TrendRow | Pulled) -> None:
        seq = self._count("sequence", 1)
        row = {"seq": seq, "id": made.id, "dev": made.patch_id}
        if isinstance(made, Segment):
            row["kind"], payload = "seg", encode_segment(made, seq, self._site)
        elif isinstance(made, Pulled):
            row["kind"], payload = "range", encode_range(made, seq, self._site)
        else:
            row["kind"], payload = "trend", encode_row(made, seq, self._site)
        self._db.table("outbox").insert(
            {**row, "payload": payload, "created_at": time.time(), "rejections": 0}, ignore=True
        )

    def _count(self, name: str, by: int) -> int:
        value = self.counter(name) + by
        self._db.table("counters").upsert({"name": name, "value": value}, pk="name")
        return value


def _key(boot: tuple[str, int]) -> str:
    return f"{boot[0]}\n{boot[1]}"
