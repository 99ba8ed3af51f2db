"""SQLite as both stores use it: sqlite-utils over a connection that forgets nothing.

sqlite-utils imports pandas wherever it finds it, half a second and 60 MB that an edge never needs; here it is
told that there is none.
"""

from __future__ import annotations

import sqlite3
import sys
from pathlib import Path

_hidden = "pandas" not in sys.modules
if _hidden:
    sys.modules["pandas"] = None  # type: ignore[assignment]  # the import system's own word for "not there"
try:
    from sqlite_utils import Database, Migrations
finally:
    if _hidden:
        del sys.modules["pandas"]

__all__ = ["Database", "Migrations", "connect"]

BUSY_MS = 10_000


def connect(path: str | Path) -> Database:
    """The database in WAL mode with synchronous=FULL: a commit that returned is on the disk.

    Transactions are explicit (`atomic()`); the connection may be closed from another thread.
    """
    db = Database(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
    for pragma in ("journal_mode=WAL", "synchronous=FULL", f"busy_timeout={BUSY_MS}"):
        db.execute(f"PRAGMA {pragma}")
    return db
