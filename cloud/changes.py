"""Who changed what of people and assignments: a row for each change, in the change's own transaction."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from models.sqlite import Database

Record = Callable[[Database, str, str, str, Mapping[str, Any]], None]


def record(db: Database, who: str, what: str, subject: str, details: Mapping[str, Any]) -> None:
    """`who` did `what` to `subject`; within `Memory.writing()`. No details hold a secret or a name."""
    row = {"at": time.time(), "who": who, "what": what, "subject": subject}
    db.table("changes").insert({**row, "details": json.dumps(details)})
