"""Whether the node does its work: the store takes, the broker is there, the analysis does not stand still."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping

from cloud.memory import Memory

logger = logging.getLogger(__name__)

KEPT_S = 2.0  # an answer: whoever asks more often does not make the store write more often

Check = Callable[[], str | None]  # what is wrong, in words; None: nothing


class Health:
    """May be asked from any thread."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._lock = threading.Lock()
        self._asked_at = float("-inf")  # monotonic s
        self._failing: dict[str, str] = {}

    def failing(self) -> dict[str, str]:
        """Check -> what is wrong; empty where the node is ready. As it was at most KEPT_S ago."""
        with self._lock:
            if time.monotonic() - self._asked_at > KEPT_S:
                found = {name: _asked(name, check) for name, check in self._checks.items()}
                self._failing = {name: wrong for name, wrong in found.items() if wrong is not None}
                self._asked_at = time.monotonic()
            return dict(self._failing)


def _asked(name: str, check: Check) -> str | None:
    try:
        return check()
    except Exception as error:  # a check that cannot be made has failed
        logger.warning("readiness: %s: %r", name, error)
        return "It cannot be checked; the log says why."


def writable(memory: Memory) -> Check:
    """A row is written and on the disk."""

    def check() -> None:
        with memory.writing() as db:
            db.execute("insert or replace into pulse values (1, ?)", [time.time()])

    return check
