"""One set-up of logging for every process: JSON, an object a line, for machines; words for people.

Logs name patches, episodes and users, and never patients: what is logged is written by us, and no message
takes in what a request or a payload held.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Literal

Form = Literal["auto", "json", "human"]

FORM = "ANYECG_LOG"
"""Environment variable: "json" or "human", over any configuration."""
HUMAN = "%(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """{"at": UTC, "level", "process", "logger", "text"} and, where something was raised, "error"."""

    def __init__(self, process: str) -> None:
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "process": self._process,
            "logger": record.name,
            "text": record.getMessage(),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said)


def set_up(process: str, form: Form = "auto", *, verbose: bool = False) -> None:
    """To stderr: for people at a terminal, else as JSON, unless `form` or ANYECG_LOG says which."""
    told = os.environ.get(FORM, form)
    handler = logging.StreamHandler(sys.stderr)
    for_people = sys.stderr.isatty() if told not in {"json", "human"} else told == "human"
    handler.setFormatter(logging.Formatter(HUMAN) if for_people else JsonLines(process))
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, handlers=[handler], force=True)
