"""A worker: leases a part, analyses its episode, and commits everything it found in one transaction."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict

from cloud.alerts import judge
from cloud.analysis import EpisodeAnalysis
from cloud.config import CloudConfig
from cloud.store import Job, Outcome, Store
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.errors import DeliveryError

logger = logging.getLogger(__name__)

IDLE_S = 1.0
RETRY_S = 5.0
FAILED = "not analysed"  # kind of technical alert
EPISODES = 64  # analyses kept in memory; any of them can be made again from the store


class Worker(threading.Thread):
    """Runs until `stop()`. Any number may run, here or elsewhere: the lease keeps them apart."""

    def __init__(self, store: Store, network: Localizer, config: CloudConfig) -> None:
        super().__init__(name="worker", daemon=True)
        self._store = store
        self._network = network
        self._config = config
        self._owner = secrets.token_hex(8)
        self._halt = threading.Event()
        self._kept: OrderedDict[str, EpisodeAnalysis] = OrderedDict()

    def stop(self) -> None:
        self._halt.set()

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                seen = self._store.last_event()
                job = self._store.claim(self._owner, self._config.lease_s, now=time.time())
            except Exception:  # a store that is away for a while must not end the analysis for good
                logger.exception("the store is away")
                self._halt.wait(RETRY_S)
                continue
            if job is None:
                self._store.wait(seen, IDLE_S)
                continue
            try:
                self.work(job)
            except Exception as error:  # a part that cannot be analysed must not stop the others
                logger.exception("part %s cannot be analysed now", job.segment_id)
                self._postpone(job, error)

    def work(self, job: Job) -> bool:
        """One job; False when its lease had run out and another worker has it."""
        parts = self._store.parts(job.episode_id)
        episode = self._analysed(job.episode_id, parts)
        begin = parts[0]
        before = self._store.open_alert(job.patch_id, begin.clock.utc(begin.first))  # of whom it was on then
        alert, change = judge(before, episode.causes, parts[-1])
        outcome = Outcome(
            episode_id=job.episode_id,
            findings=tuple(episode.analyst.findings),
            open=tuple(episode.analyst.open),
            reports=tuple(episode.reports),
            alert=alert,
            alert_change=change,
            evidence=episode.evidence,
        )
        done = self._store.finish(job, outcome, now=time.time())
        if done and job.attempts > 1:
            self._store.clear_technical(job.patch_id, FAILED, now=time.time())
        return done

    def _analysed(self, episode_id: str, parts: list[Segment]) -> EpisodeAnalysis:
        """The episode up to its newest part: the kept fold goes on, or starts anew where a part came late."""
        episode = self._kept.pop(episode_id, None)
        if episode is None or not episode.follows(parts):
            episode = EpisodeAnalysis(self._network, self._config.rules)
        for part in parts[len(episode.parts) :]:
            episode.push(part)
        self._kept[episode_id] = episode
        if len(self._kept) > EPISODES:
            self._kept.popitem(last=False)
        return episode

    def _postpone(self, job: Job, error: Exception) -> None:
        """Later again; a nurse is told that nothing of it is analysed until then."""
        self._kept.pop(job.episode_id, None)
        now = time.time()
        text = f"Part {job.segment_id} cannot be analysed ({type(error).__name__}); it is tried again."
        try:
            self._store.postpone(job, repr(error), now=now, until=now + RETRY_S)
            self._store.raise_technical(job.patch_id, FAILED, text, now=now)
        except DeliveryError:
            logger.exception("the store is away")
            self._halt.wait(RETRY_S)
