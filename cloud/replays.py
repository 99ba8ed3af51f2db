"""Replays: recordings sent again, each run in a store of its own beside the node's, never among live data.

A run is analysed by the code that serves, and by none that tells anybody: no dispatcher reads its store, no
event of it reaches a page of alerts. So whatever is found in it, nobody is called.
"""

from __future__ import annotations

import contextlib
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cloud.audit_check import reading
from cloud.chain import What
from cloud.sqlite_store import SqliteStore
from models.errors import AnyEcgError
from models.wire import RUN

MOST = 1000  # runs
OPEN = 8  # stores that a thread keeps open
FILES = ("", "-wal", "-shm")  # of a store

Row = dict[str, Any]


class UnknownRunError(AnyEcgError):
    """There is no run of that name."""


class RunError(AnyEcgError):
    """A run cannot be begun."""


class Replays:
    """The runs in `folder`; their deletions go into the audit of `live`. May be used from any thread."""

    def __init__(self, folder: Path, live: SqliteStore) -> None:
        self.live = live
        self._folder = folder
        self._making = threading.Lock()
        self.deletions = 0  # so far: who holds stores looks again

    def names(self) -> list[str]:
        """Newest first."""
        runs = [path for path in self._folder.glob("*.db") if RUN.fullmatch(path.stem)]
        return [path.stem for path in sorted(runs, key=lambda path: (-path.stat().st_mtime, path.stem))]

    def open(self, run: str, *, make: bool = False) -> SqliteStore:
        """Its store, to be closed by the caller.

        Raises:
            UnknownRunError: there is none, and none shall be made.
            RunError: it cannot be called so, or there are MOST.
        """
        if not RUN.fullmatch(run):
            raise RunError(f"A run cannot be called {run[:64]!r}: 1 to 64 letters, digits, - and _.")
        with self._making:
            path = self._path(run)
            if not path.is_file():
                if not make:
                    raise UnknownRunError(f"There is no run {run}.")
                if len(self.names()) >= MOST:
                    raise RunError(f"There are {MOST} runs already: delete some on /replays.")
                self._folder.mkdir(parents=True, exist_ok=True)
            return SqliteStore(str(path))

    def runs(self) -> list[Row]:
        return [self.summary(run) for run in self.names()]

    def summary(self, run: str) -> Row:
        """What was sent, what it was analysed with, and how much was found; UnknownRunError."""
        with self._reading(run) as db:
            parts = db.execute(
                "select count(*) as parts, min(received_at) as begun_at, max(received_at) as last_at"
                " from segments"
            ).fetchone()
            found = db.execute("select label, count(*) as n from findings group by label order by label")
            networks = db.execute(
                "select distinct json_extract(details, '$.network') as network,"
                " json_extract(details, '$.weights') as weights from audit where what = ?",
                [What.ANALYSED],
            )
            return {
                "run": run,
                **dict(parts),
                "pending": db.execute("select count(*) from jobs where not done").fetchone()[0],
                "patches": [
                    row[0] for row in db.execute("select distinct patch_id from segments order by 1")
                ],
                "networks": [dict(row) for row in networks],
                "findings": {row["label"]: row["n"] for row in found},
                "alerts": db.execute("select count(*) from alerts").fetchone()[0],
            }

    def findings(self, run: str) -> list[Row]:
        """By patch, boot, label and place; UnknownRunError."""
        with self._reading(run) as db:
            rows = db.execute(
                "select s.patch_id, s.boot_id, s.fs, f.label, f.first, f.last, f.probability"
                " from findings f join segments s on s.id = f.segment_id"
                " order by s.patch_id, s.boot_id, f.label, f.first, f.last"
            )
            return [dict(row) for row in rows]

    def delete(self, run: str, *, who: str, now: float, **why: str) -> None:
        """For good, with a row of the node's audit; UnknownRunError."""
        with self._making:
            if not RUN.fullmatch(run) or not self._path(run).is_file():
                raise UnknownRunError(f"There is no run {run[:64]}.")
            with self.live.writing():
                self.live.audit.append(What.DELETED, who=who, now=now, kind="replay", run=run, **why)
            for suffix in FILES:
                Path(f"{self._path(run)}{suffix}").unlink(missing_ok=True)
            self.deletions += 1

    def expire(self, days: float, *, who: str, now: float) -> None:
        """Runs whose last part came longer ago."""
        for run in self.names():
            last = self.summary(run)["last_at"]
            if last is not None and last < now - days * 86_400:
                self.delete(run, who=who, now=now, rule=f"replays_days = {days:g}")

    @contextlib.contextmanager
    def _reading(self, run: str) -> Iterator[Any]:
        if not RUN.fullmatch(run) or not self._path(run).is_file():
            raise UnknownRunError(f"There is no run {run[:64]}.")
        with reading(str(self._path(run))) as db:
            yield db

    def _path(self, run: str) -> Path:
        return self._folder / f"{run}.db"


class Opened:
    """The stores that one thread used last."""

    def __init__(self, replays: Replays) -> None:
        self._replays = replays
        self._held: OrderedDict[str, SqliteStore] = OrderedDict()
        self._deletions = replays.deletions

    def of(self, run: str, *, make: bool = False) -> SqliteStore:
        """As `Replays.open`; closed by us."""
        if self._deletions != self._replays.deletions:  # one of ours may be gone
            self._deletions = self._replays.deletions
            self.close()
        store = self._held.pop(run, None)
        self._held[run] = store = store or self._replays.open(run, make=make)
        if len(self._held) > OPEN:
            self._held.popitem(last=False)[1].close()
        return store

    def close(self) -> None:
        for store in self._held.values():
            store.close()
        self._held.clear()
