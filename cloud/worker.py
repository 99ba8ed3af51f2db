"""A worker: leases a part, analyses its episode, and commits everything it found in one transaction."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from cloud.analysis import EpisodeAnalysis
from cloud.calling import call
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

    def __init__(
        self,
        store: Store,
        network: Localizer,
        config: CloudConfig,
        took: Callable[[float], object] = lambda _: None,
    ) -> None:
        """`took` is told how many seconds a part took."""
        super().__init__(name="worker", daemon=True)
        self.store = store
        self._network = network
        self._config = config
        self._owner = secrets.token_hex(8)
        self._halt = threading.Event()
        self._kept: OrderedDict[str, EpisodeAnalysis] = OrderedDict()
        self._took = took
        self._since: float | None = None  # monotonic s: it is at a part

    @property
    def busy_s(self) -> float:
        """So long at the present part; 0 between parts."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def stop(self) -> None:
        self._halt.set()

    def run(self) -> None:
        while not self._halt.is_set():
            try:
                seen = self.store.last_event()
                if not self.step():
                    self.store.wait(seen, IDLE_S)
            except Exception:  # a store that is away for a while must not end the analysis for good
                logger.exception("the store is away")
                self._halt.wait(RETRY_S)

    def step(self) -> bool:
        """The next part; False where none waits."""
        job = self.store.claim(self._owner, self._config.lease_s, now=time.time())
        if job is None:
            return False
        self._since = time.monotonic()
        try:
            self.work(job)
            self._took(self.busy_s)
        except Exception as error:  # a part that cannot be analysed must not stop the others
            logger.exception("part %s cannot be analysed now", job.segment_id)
            self._postpone(job, error)
        finally:
            self._since = None
        return True

    def work(self, job: Job) -> bool:
        """One job; False when its lease had run out and another worker has it."""
        parts = self.store.parts(job.episode_id)
        episode = self._analysed(job.episode_id, parts)
        newest = parts[-1]
        outcome = Outcome(
            episode_id=job.episode_id,
            findings=tuple(episode.analyst.findings),
            open=tuple(episode.analyst.open),
            reports=tuple(episode.reports),
            judge=lambda docket: call(docket, episode.holding(docket.through(newest.boot_id)), newest),
            evidence=episode.evidence,
            network=self._network.model,
            network_sha256=self._network.sha256,
        )
        done = self.store.finish(job, outcome, now=time.time())
        if done and job.attempts > 1:
            self.store.clear_technical(job.patch_id, FAILED, now=time.time())
        return done

    def _analysed(self, episode_id: str, parts: list[Segment]) -> EpisodeAnalysis:
        """The episode up to its newest part: the kept fold goes on, or starts anew where a part came late."""
        episode = self._kept.pop(episode_id, None)
        if episode is None or not episode.follows(parts):
            episode = EpisodeAnalysis(self._network, self._config.rules)
        for part in parts[len(episode.parts) :]:
            episode.push(part, self.store.patient_rules.of_part(part.id, self._config.rules))
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
            self.store.postpone(job, repr(error), now=now, until=now + RETRY_S)
            self.store.raise_technical(job.patch_id, FAILED, text, now=now)
        except DeliveryError:
            logger.exception("the store is away")
            self._halt.wait(RETRY_S)
