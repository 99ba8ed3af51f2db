"""Whether an audit chain is whole and tells of all that is stored; reads, and never writes.

The chain by itself shows every change but one: rows missing at its end. Those show where a later head was
noted, or where what they told of is still stored. Not found is the loss of the rows after the last head that
was noted together with all they told of; nor a chain written anew from some row on by somebody who rewrote
the noted heads as well: keep a copy of their file elsewhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import chain as chained
from itertools import groupby, islice
from pathlib import Path
from typing import Any

from cloud.audit import HEADS, Heads
from cloud.chain import (
    COLUMNS,
    ORIGIN,
    STORED,
    Head,
    Row,
    What,
    hash_of,
    inventory,
    sha256_of_row,
    sha256_of_text,
)
from models.errors import DeliveryError

MOST = 100  # problems told one by one
PLACES = 100  # without a row, at which a displaced one is looked for

ROWS = f"select {', '.join(COLUMNS)} from audit"  # noqa: S608
AT_FIRST = "case when json_valid(details) then json_extract(details, '$.version') end = 1"
CREATED = f"""
select 'segment' as kind, segment_id as id, number from audit where what = '{What.COMMITTED}'
union all select 'report', report_id, number from audit where what = '{What.REPORT_MADE}'
union all select 'alert', alert_id, number from audit
where what = '{What.ALERT_RAISED}' or what = '{What.ALERT_SUPPRESSED}' and {AT_FIRST}
"""  # noqa: S608
DELETED = " union all ".join(
    f"select '{kind}' as kind, {kind}_id as id from audit"  # noqa: S608
    f" where what = '{What.DELETED}' and {kind}_id is not null"
    for kind in ("segment", "report", "alert")
)
UNTOLD = f"select kind, id from ({STORED}) union {DELETED} except select kind, id from ({CREATED})"  # noqa: S608
GONE = f"""
select kind, id, max(number) from ({CREATED})
where (kind, id) not in (select kind, id from ({STORED}) union {DELETED}) group by kind, id order by 3
"""  # noqa: S608
CONTENTS = {  # kind: (table, rows that tell of what it holds)
    "segment": ("segments", What.COMMITTED),
    "report": ("reports", "report %"),
    "alert": ("alerts", "alert %"),
}
JSON = {
    "report": "select cast(coalesce(written, report) as blob) from reports where id = ?",
    "alert": "select cast(alert as blob) from alerts where id = ?",
}

WRITTEN = {  # by people: rows that tell of it, each with its id and hash
    "revisions": (What.REPORT_EDITED, What.REPORT_EDITED),
    "signatures": (What.REPORT_SIGNED, What.REPORT_ADDED),
    "annotations": (What.ANNOTATED, What.ANNOTATED),
}


class Kind(StrEnum):
    """What is wrong."""

    ALTERED = "altered"
    MISSING = "missing"
    REORDERED = "reordered"
    CUT_OFF = "cut off"
    WRONG_START = "wrong start"
    NOT_IN_CHAIN = "not in the chain"  # stored, and no row tells of it as it is
    NOT_IN_STORE = "not in the store"  # told of, never deleted, and gone


@dataclass(frozen=True, slots=True)
class Problem:
    """`number` is that of the row it is about, None where there is no row."""

    number: int | None
    kind: Kind
    text: str


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """The store as it is at this moment, whoever goes on writing; DeliveryError where it cannot be read."""
    where = f"{Path(path).resolve().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(where, uri=True, isolation_level=None)) as db:
            db.row_factory = sqlite3.Row
            db.text_factory = lambda raw: raw.decode(errors="surrogateescape")
            db.execute("begin")
            yield db
    except sqlite3.Error as error:
        raise DeliveryError(f"The audit chain of {path} cannot be read: {error}.") from error


def verify(path: str, heads: Path | None = None) -> dict[str, Any]:
    """The chain of the store at `path`, beside the heads that were noted and beside what is stored.

    {"rows", "first_at", "last_at", "head": {"number", "hash"}, "heads": how many were noted,
     "problems": [{"number", "kind", "text"}], the first MOST, "problem_count": of all}
    """
    noted, unknown = _noted(heads or Path(path + HEADS))  # before the chain is read: both grow
    with reading(path) as db:
        walk = Walk(noted)
        for row in db.execute(f"{ROWS} order by number"):
            walk.push(dict(row))
        found = chained(unknown, walk.problems(), _untold(db), _vanished(db), _differing(db), _written(db))
        problems = list(islice(found, MOST))
        count = len(problems) + sum(1 for _ in found) + walk.unsaid
    return {
        "rows": walk.rows,
        "first_at": walk.first_at,
        "last_at": walk.last_at,
        "head": asdict(walk.head),
        "heads": len(noted),
        "problems": [asdict(problem) for problem in problems],
        "problem_count": count,
    }


def _noted(path: Path) -> tuple[list[tuple[float, Head]], list[Problem]]:
    try:
        return Heads(path).read(), []
    except DeliveryError as error:
        return [], [Problem(None, Kind.CUT_OFF, f"Nobody can tell whether the end was cut off. {error}")]


# -- the chain itself ---------------------------------------------------------------------------------------


class Walk:
    """Folds the rows in the order of their numbers: `push(row)` each, then `problems()`."""

    def __init__(self, noted: Iterable[tuple[float, Head]]) -> None:
        self.rows = 0
        self.first_at: float | None = None  # Unix seconds
        self.last_at: float | None = None
        self.head = ORIGIN
        self.unsaid = 0  # problems beyond MOST
        self._noted: dict[int, set[str]] = {}
        for _, head in noted:
            self._noted.setdefault(head.number, set()).add(head.hash)
        self._found: list[Problem] = []
        self._doubted: list[Row] = []  # whose hash is not theirs
        self._places: list[int] = []  # where a row is missing, the first PLACES
        self._sound = True  # the row before

    def push(self, row: Row) -> None:
        sound = _sound(row)
        if not sound:
            self._keep(self._doubted, row)
        elif self._noted.get(row["number"], {row["hash"]}) != {row["hash"]}:
            self._say(row["number"], Kind.ALTERED, "is not the row that was noted under this number")
        self._place(row, sound)
        self.rows += 1
        self.last_at = row["at"] if isinstance(row["at"], float) and math.isfinite(row["at"]) else None
        self.first_at = self.last_at if self.rows == 1 else self.first_at
        self.head, self._sound = Head(row["number"], str(row["hash"])), sound

    def _place(self, row: Row, sound: bool) -> None:
        """Whether it stands where the chain goes on."""
        number, due = row["number"], self.head.number + 1
        follows = row["previous"] == self.head.hash
        if not self.rows:
            if number != due or (sound and not follows):
                self._say(number, Kind.WRONG_START, "is not the row that a chain begins with")
        elif number > due:
            self._places.extend(islice(range(due, number), PLACES - len(self._places)))
            self._say(
                due, Kind.MISSING, "is not there" if number == due + 1 else f"to {number - 1} are not there"
            )
        elif sound and self._sound and not follows:
            self._say(self.head.number, Kind.ALTERED, f"is not the row after which row {number} was written")

    def _say(self, number: int, kind: Kind, text: str) -> None:
        self._keep(self._found, Problem(number, kind, f"Row {number} {text}."))

    def _keep(self, kept: list[Any], one: object) -> None:
        if len(kept) < MOST:
            kept.append(one)
        else:
            self.unsaid += 1

    def problems(self) -> Iterator[Problem]:
        if not self.rows:
            yield Problem(1, Kind.WRONG_START, "The chain has no row.")
        yield from self._found
        places = [*self._places, *(row["number"] for row in self._doubted)]
        for row in self._doubted:
            yield _displaced(row, places)
        end, last = self.head.number, max(self._noted, default=0)
        if last > end:
            yield Problem(end + 1, Kind.CUT_OFF, f"The chain ends with row {end}; row {last} had been noted.")


def _sound(row: Row) -> bool:
    try:
        return bool(hash_of(row) == row["hash"])
    except (TypeError, ValueError):  # bytes, or infinity: no row was ever written with them
        return False


def _displaced(row: Row, places: Sequence[int]) -> Problem:
    """A row whose hash is that of another place, or of no place."""
    number = row["number"]
    for place in (number - 1, number + 1, *places):
        if _sound(row | {"number": place}):
            return Problem(number, Kind.REORDERED, f"Row {number} was written as row {place}.")
    return Problem(number, Kind.ALTERED, f"Row {number} is not what it was when it was written.")


# -- beside the store ---------------------------------------------------------------------------------------


def _untold(db: sqlite3.Connection) -> Iterator[Problem]:
    """Things stored of which no row says how they came, but for those that row 1 adopted."""
    untold = f"select kind, id from ({UNTOLD}) order by kind, id"  # noqa: S608
    found = inventory((row["kind"], row["id"]) for row in db.execute(untold))
    first = db.execute(f"{ROWS} where number = 1 and what = ?", [What.ADOPTED]).fetchone()
    said = {} if first is None else details_of(first)
    if found == said:
        return
    if any(said.get(name) for name in ("segments", "reports", "alerts")):
        text = (
            f"What is stored and not told of is {_counts(found)}; row 1 adopted {_counts(said)}, or others."
        )
        yield Problem(1, Kind.NOT_IN_CHAIN, text)
        return
    for kind, ident in db.execute(untold):
        yield Problem(None, Kind.NOT_IN_CHAIN, f"No row tells how {kind} {ident} came.")


def _counts(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{found.get(name, 0)} {name}" for name in ("segments", "reports", "alerts"))


def _vanished(db: sqlite3.Connection) -> Iterator[Problem]:
    for kind, ident, number in db.execute(GONE):
        text = f"Row {number} tells how {kind} {ident} came; it is gone, and no row says that it was deleted."
        yield Problem(number, Kind.NOT_IN_STORE, text)


def _differing(db: sqlite3.Connection) -> Iterator[Problem]:
    """Things stored otherwise than the last row says that gives a hash of them."""
    for kind, (table, telling) in CONTENTS.items():
        rows = db.execute(
            f"select s.id, a.number, a.details from {table} s join audit a on a.{kind}_id = s.id"  # noqa: S608
            " where a.what like ? or a.what = ? order by s.id, a.number",
            [telling, What.DELETED],
        )
        hashed = ((row["id"], row["number"], details_of(row)) for row in rows)
        for ident, same in groupby((row for row in hashed if "sha256" in row[2]), key=lambda row: row[0]):
            *_, (_, number, said) = same
            if any(said.get(name) != value for name, value in _hashes(db, kind, ident).items()):
                text = f"The {kind} {ident} is not stored as row {number} tells."
                yield Problem(number, Kind.NOT_IN_CHAIN, text)


def _written(db: sqlite3.Connection) -> Iterator[Problem]:
    """What people wrote, where it is not as its row tells; a signature's hash is that of its text."""
    for table, whats in WRITTEN.items():
        told = {}
        for row in db.execute(f"{ROWS} where what in (?, ?) order by number", whats):
            details = details_of(row)
            told[str(details.get(table))] = row["number"], details
        there = db.execute("select 1 from sqlite_master where name = ?", [table]).fetchone()
        for row in db.execute(f"select * from {table} order by id") if there else ():  # noqa: S608
            name = f"entry {row['id']} of {table}"
            number, details = told.pop(str(row["id"]), (None, {}))
            if number is None:
                yield Problem(None, Kind.NOT_IN_CHAIN, f"No row of the chain tells how {name} came.")
            elif not _as_told(dict(row), details):
                yield Problem(number, Kind.NOT_IN_CHAIN, f"The {name} is not stored as row {number} tells.")
        for ident, (number, _) in told.items():
            text = f"Row {number} tells how entry {ident} of {table} came; it is gone."
            yield Problem(number, Kind.NOT_IN_STORE, text)


def _as_told(row: Row, details: Mapping[str, Any]) -> bool:
    try:
        text = details.get("text")
        bound = text is None or text == row["sha256"] == sha256_of_text(row["text"])
        return bool(bound and sha256_of_row(row) == details.get("row"))
    except (TypeError, ValueError, AttributeError):  # bytes, or infinity: nobody ever wrote such a row
        return False


def _hashes(db: sqlite3.Connection, kind: str, ident: str) -> dict[str, str]:
    """What a row that tells of it must say: a segment's payload holds its samples and everything else."""
    if kind == "segment":
        query = "select cast(payload as blob), sha256 from segments where id = ?"
        payload, samples = db.execute(query, [ident]).fetchone()
        return {"payload": hashlib.sha256(payload).hexdigest(), "sha256": samples}
    (text,) = db.execute(JSON[kind], [ident]).fetchone()
    return {"sha256": hashlib.sha256(text).hexdigest()}


def details_of(row: sqlite3.Row) -> dict[str, Any]:
    """Of a row of the chain; {} where somebody made them something else."""
    with contextlib.suppress(ValueError, TypeError):
        details = json.loads(row["details"])
        if isinstance(details, dict):
            return details
    return {}
