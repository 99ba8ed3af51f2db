"""The store as one person sees it: what is not theirs to see is as if it were not there.

The only place where wards are told apart; every page, answer and stream reads through it. What was recorded
across a change of hands is seen by both hands: an alert must not be missed for the minutes of an episode.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from functools import cache
from typing import TypeVar

from cloud.alerts import State
from cloud.assignments import Assignments, hands
from cloud.roles import EVERYWHERE, LOCAL, UNASSIGNED, Action, Assignment, Person, may
from cloud.sqlite_store import SqliteStore
from cloud.store import Episode, Event, Patch, Store, StoredAlert, StoredFinding, TechnicalAlert
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.verdicts import Report, TrendRow

T = TypeVar("T")


class Seen:
    """Reads as `cloud.store.Store` does, for one person. Made anew for each request."""

    def __init__(self, store: Store, assignments: Assignments, person: Person) -> None:
        self._store, self._assignments, self.person = store, assignments, person
        self._by_patch = cache(assignments.by_patch)  # asked once: a page of patches asks for each of them
        self._patient = cache(assignments.patient)

    # -- what there is -------------------------------------------------------------------------------

    def alerts(self, limit: int = 100, states: Collection[State] = tuple(State)) -> list[StoredAlert]:
        return _enough(lambda most: self._store.alerts(most, states), self._sees_alert, limit)

    def alert(self, alert_id: str) -> StoredAlert | None:
        stored = self._store.alert(alert_id)
        return stored if stored and self._sees_alert(stored) else None

    def technical_alerts(self, standing: bool = True, limit: int = 100) -> list[TechnicalAlert]:
        return _enough(
            lambda most: self._store.technical_alerts(standing, limit=most), self._sees_technical, limit
        )

    def patches(self) -> list[Patch]:
        """Those that are theirs now."""
        now = time.time()
        return [patch for patch in self._store.patches() if self._sees(Action.STATUS, patch.patch_id, now)]

    def patch(self, patch_id: str, action: Action) -> bool:
        """Whether they may do that to the patch as it is now."""
        return self._sees(action, patch_id, time.time())

    def episode(self, episode_id: str) -> Episode | None:
        episode = self._store.episode(episode_id)
        return episode if episode and self._sees_episode(episode) else None

    def episodes(self, patch_id: str | None = None, limit: int = 100) -> list[Episode]:
        return _enough(lambda most: self._store.episodes(patch_id, most), self._sees_episode, limit)

    def trend(self, patch_id: str, begin: float, end: float) -> list[TrendRow]:
        """Rows that begin between two moments, Unix seconds."""
        rows = self._store.trends.rows(patch_id, begin, end)
        return [row for row in rows if self._sees(Action.SEE, patch_id, row.utc or begin)]

    def parts(self, episode_id: str) -> list[Segment]:
        return self._store.parts(episode_id) if self.episode(episode_id) else []

    def segment(self, segment_id: str) -> Segment | None:
        segment = self._store.segment(segment_id)
        return segment if segment and self.episode(segment.episode_id) else None

    def findings(self, episode_id: str) -> list[StoredFinding]:
        return self._store.findings(episode_id) if self.episode(episode_id) else []

    def report(self, episode_id: str) -> Report | None:
        return self._store.report(episode_id) if self.episode(episode_id) else None

    def evidence(self, report: Report) -> Evidence | None:
        return self._store.evidence(report.id) if self.episode(report.episode_id) else None

    def of(self, events: Sequence[Event]) -> list[Event]:
        """Those of the events that are theirs."""
        return [event for event in events if self._sees_event(event)]

    # -- whose it is ---------------------------------------------------------------------------------

    def patient(self, patch_id: str, first: float, last: float | None = None) -> dict[str, str] | None:
        """Whom the patch was on, by name or by pseudonym; None: on nobody."""
        held = self._during(patch_id, first, last)
        mine = next((one for one in held if one and may(self.person, Action.STATUS, one)), None)
        known = self._patient(mine.patient_id) if mine else None
        if mine is None or known is None:
            return None
        if not may(self.person, Action.NAMES, mine):
            return {"name": known.pseudonym, "ward": mine.ward, "born": "", "phone": ""}
        return {
            "name": known.name or known.id,
            "ward": mine.ward,
            "born": known.born,
            "phone": known.phone,
        }

    def patient_of(self, episode: Episode) -> dict[str, str] | None:
        return self.patient(episode.patch_id, *_span(episode))

    def hands(self, episode: Episode) -> frozenset[str | None]:
        """Ids of all who had the patch meanwhile, None for nobody: to tell people apart, not to be shown."""
        held = self._during(episode.patch_id, *_span(episode))
        return frozenset(one.patient_id if one else None for one in held)

    def _sees(self, action: Action, patch_id: str, first: float, last: float | None = None) -> bool:
        if self.person.role in EVERYWHERE:
            return may(self.person, action)
        held = self._during(patch_id, first, last)
        return any(may(self.person, action, one or UNASSIGNED) for one in held)

    def _during(self, patch_id: str, first: float, last: float | None) -> list[Assignment | None]:
        return hands(self._by_patch().get(patch_id, ()), first, first if last is None else last)

    def _sees_episode(self, episode: Episode) -> bool:
        return self._sees(Action.SEE, episode.patch_id, *_span(episode))

    def _sees_alert(self, stored: StoredAlert) -> bool:
        times = [entry["utc"] for entry in stored.alert.history if entry["utc"] is not None]
        times.append(stored.timing.sampled_at or stored.timing.shown_at)
        return self._sees(Action.SEE, stored.alert.patch_id, min(times), max(times))

    def _sees_technical(self, alert: TechnicalAlert) -> bool:
        """Whoever had the patch while it stood, and has it while it stands."""
        until = time.time() if alert.cleared_at is None else alert.cleared_at
        return self._sees(Action.SEE, alert.patch_id, alert.raised_at, max(alert.raised_at, until))

    def _sees_event(self, event: Event) -> bool:
        """News that name nothing are everybody's; of what names no patch, only theirs who see every ward."""
        data = event.data
        if not data:
            return True
        if "episode_id" in data:
            return self.episode(data["episode_id"]) is not None
        patch_id = data.get("technical", data).get("patch_id")
        if patch_id is None:
            return self.person.role in EVERYWHERE
        return self._sees(Action.SEE, patch_id, event.written_at)


def everything(store: SqliteStore) -> Seen:
    """As whoever sits at the node's own terminal sees it."""
    return Seen(store, Assignments(store), LOCAL)


def _span(episode: Episode) -> tuple[float, float]:
    """Unix seconds it was recorded in; where its clock is not known, when it came."""
    first, last = episode.utc(episode.first), episode.utc(episode.last)
    if first is None or last is None:
        return episode.received_at, episode.received_at
    return first, last


def _enough(read: Callable[[int], list[T]], keep: Callable[[T], bool], limit: int) -> list[T]:
    """The first `limit` that are kept, however many are not."""
    most = limit
    while True:
        rows = read(most)
        kept = [row for row in rows if keep(row)]
        if len(kept) >= limit or len(rows) < most:
            return kept[:limit]
        most *= 4
