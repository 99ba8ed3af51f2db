"""The cloud's SQLite file: WAL, synchronous=FULL, one connection a thread, and who waits for news of it.

Each concern of the cloud keeps its tables through one `Memory`: what it decides is one transaction of
`writing()`, with the events that tell of it.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from cloud.rows import Row
from cloud.schema import migrations
from models.errors import DeliveryError
from models.sqlite import Database, connect


class Memory:
    """May be used from any thread. Errors of the database are DeliveryError."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[Database] = []  # one a thread
        self._news = threading.Condition()
        self._turn = threading.Lock()  # of the writers here: SQLite's own way to wait is to sleep
        self._closing = False
        self._woken = 0  # times
        try:
            migrations.apply(self._db)
        except (sqlite3.Error, DeliveryError) as error:
            cause = error.__cause__ or error
            raise DeliveryError(f"The store {path} cannot be opened: {cause}. Check its folder.") from error
        self._latest = self.last_event()

    def close(self) -> None:
        with self._news:
            self._closing = True
            self._news.notify_all()
        for db in self._opened:
            db.close()

    # -- who waits -----------------------------------------------------------------------------------

    def last_event(self) -> int:
        return int(self.scalar("select coalesce(max(id), 0) from events"))

    def wait(self, after: int, timeout: float) -> bool:
        """Until there is an event after `after`, or something woke it since this thread last waited."""
        with self._news:
            known = getattr(self._local, "woken", 0)
            found = self._news.wait_for(
                lambda: self._closing or self._woken > known or self._latest > after, timeout
            )
            self._local.woken = self._woken
            return found

    def wake(self) -> None:
        """Ends everybody's wait once: who is to end looks whether to go on."""
        with self._news:
            self._woken += 1
            self._news.notify_all()

    # -- SQLite --------------------------------------------------------------------------------------

    @property
    def _db(self) -> Database:
        """This thread's connection."""
        if not hasattr(self._local, "db"):
            with self._told():
                self._local.db = connect(self._path)
            self._opened.append(self._local.db)
        db: Database = self._local.db
        return db

    @contextlib.contextmanager
    def writing(self) -> Iterator[Database]:
        """One transaction, the writer's lock taken at once: what is read in it is what is changed.

        Within another one of this thread it is a part of that.
        """
        db = self._db
        if db.conn.in_transaction:
            yield db
            return
        with self._turn:
            try:
                db.execute("BEGIN IMMEDIATE")
                with db.atomic():
                    yield db
                db.execute("COMMIT")
            except BaseException as error:
                with contextlib.suppress(sqlite3.Error):
                    db.rollback()
                if isinstance(error, sqlite3.Error):
                    raise DeliveryError(f"The store {self._path} cannot be written: {error}.") from error
                raise
        self._announce()

    def tell(self, kind: str, data: Mapping[str, Any], now: float) -> None:
        self.insert("events", {"kind": kind, "data": json.dumps(data), "written_at": now})

    def insert(self, table: str, row: Row) -> None:
        """Into a table that exists, within this thread's transaction of `writing()`."""
        assert self._db.conn.in_transaction
        places = ", ".join("?" * len(row))
        self._db.execute(f"insert into {table} ({', '.join(row)}) values ({places})", [*row.values()])  # noqa: S608

    def _announce(self) -> None:
        latest = self.last_event()
        with self._news:
            if latest > self._latest:
                self._latest = latest
                self._news.notify_all()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """The database's errors as ours: to the inbox any other error means that the message is at fault."""
        try:
            yield
        except sqlite3.Error as error:
            raise DeliveryError(f"The store {self._path} cannot be read: {error}.") from error

    def all(self, sql: str, *values: object) -> list[Row]:
        with self._told():
            return list(self._db.query(sql, list(values)))

    def one(self, sql: str, *values: object) -> Row | None:
        rows = self.all(sql, *values)
        return rows[0] if rows else None

    def scalar(self, sql: str, *values: object) -> Any:
        with self._told():
            return self._db.execute(sql, list(values)).fetchone()[0]
