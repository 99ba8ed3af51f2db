"""The lane of replays: an inbox that hears only `replay/v1`, and a thread that analyses when live is idle."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from cloud.config import CloudConfig
from cloud.inbox import Inbox
from cloud.replays import Opened, Replays, RunError, UnknownRunError
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.wire import REPLAY

logger = logging.getLogger(__name__)

IDLE_S, RETRY_S = 1.0, 5.0


class ReplayInbox(Inbox):
    """Commits each message into the store of its run, which the topic names where a live one names a site.

    `news` is told the run. A run that cannot be begun is refused, and leaves nothing.
    """

    def __init__(self, url: str, site: str, replays: Replays, news: Callable[[str], object]) -> None:
        super().__init__(url, site, replays.live, root=REPLAY, kinds=("seg", "trend"))
        self._opened, self._news = Opened(replays), news

    def _take(self, where: str, payload: bytes) -> None:
        run, dev = where.split("/")[2:4]
        try:
            self._store = self._opened.of(run, make=True)  # one thread takes all messages, one at a time
        except RunError as error:
            logger.warning("a replay was refused: %s", error)
            self._refuse(run, dev, payload, "run")
            return
        super()._take(where, payload)
        self._news(run)

    def stop(self) -> None:
        super().stop()
        self._opened.close()


class ReplayLane(threading.Thread):
    """Runs until `stop()`; a part at a time, run after run, and none while a live part waits."""

    def __init__(self, replays: Replays, network: Localizer, config: CloudConfig) -> None:
        super().__init__(name="replays", daemon=True)
        self._replays, self._network, self._config = replays, network, config
        self._opened = Opened(replays)
        self._workers: dict[str, Worker | None] = {}  # of runs in which something may wait
        self._fresh = set(replays.names())
        self._lock = threading.Lock()
        self._wake, self._halt = threading.Event(), threading.Event()

    def news(self, run: str) -> None:
        """Something came of it."""
        with self._lock:
            self._fresh.add(run)
        self._wake.set()

    def stop(self) -> None:
        self._halt.set()
        self._wake.set()

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                self._wake.clear()
                if self._replays.live.pending() or not self.step():
                    self._wake.wait(IDLE_S)
            except Exception:  # a run that cannot be read must not end the others
                logger.exception("a replay cannot be analysed now")
                self._halt.wait(RETRY_S)
        self._opened.close()

    def step(self) -> bool:
        """One part of each run; False where there was none."""
        with self._lock:
            fresh, self._fresh = self._fresh, set()
        for run in fresh:
            self._workers.setdefault(run, None)
        return sum(self._step(run) for run in list(self._workers) if not self._halt.is_set()) > 0

    def _step(self, run: str) -> bool:
        try:
            store = self._opened.of(run)
        except (UnknownRunError, RunError):  # deleted
            del self._workers[run]
            return False
        worker = self._workers[run]
        if worker is None or worker.store is not store:
            worker = self._workers[run] = Worker(store, self._network, self._config)
        if worker.step():
            return True
        if not store.pending():
            del self._workers[run]
        return False
