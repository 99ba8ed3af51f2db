"""The store as one person sees it: what is not theirs to see is as if it were not there.

The only place where wards are told apart; every page, answer and stream reads through it. What was recorded
across a change of hands is seen by both hands: an alert must not be missed for the minutes of an episode.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from typing import TypeVar

from cloud.alerts import State
from cloud.annotations import Annotation
from cloud.assignments import Assignments, hands
from cloud.chain import Head
from cloud.commands import Asked
from cloud.drafts import Standing, Summary, Written
from cloud.quiet import QuietRule
from cloud.roles import EVERYWHERE, LOCAL, UNASSIGNED, Action, Assignment, Person, may
from cloud.rows import Row
from cloud.sqlite_store import SqliteStore
from cloud.store import Episode, Event, Patch, Store, StoredAlert, StoredFinding, TechnicalAlert
from cloud.symptoms import NEAR_S, Symptom
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.ranges import Pulled
from models.verdicts import Report, TrendRow

MOST_ALERTS = 100_000  # of one patch, looked through
T = TypeVar("T")
# Since when and until when (Unix seconds, None: not within what was asked for) the patch was on whom.
Hand = tuple[float | None, float | None, dict[str, str]]


class Seen:
    """Reads as `cloud.store.Store` does, for one person. Made anew for each request."""

    def __init__(self, store: Store, assignments: Assignments, person: Person) -> None:
        self._store, self._assignments, self.person = store, assignments, person
        self._by_patch = cache(assignments.by_patch)  # asked once: a page of patches asks for each of them
        self._patient = cache(assignments.patient)

    # -- what there is -------------------------------------------------------------------------------

    def alerts(self, limit: int = 100, states: Collection[State] = tuple(State)) -> list[StoredAlert]:
        return _enough(lambda most: self._store.alerts(most, states), self._sees_alert, limit)

    def alerts_of(self, patch_id: str) -> list[StoredAlert]:
        """All of a patch."""
        return [one for one in self._store.alerts(MOST_ALERTS, patch_id=patch_id) if self._sees_alert(one)]

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

    def heard_of(self, patch_id: str) -> bool:
        """Whether there is such a patch, whosever it is now."""
        return any(patch.patch_id == patch_id for patch in self._store.patches())

    def patch(self, patch_id: str, action: Action) -> bool:
        """Whether they may do that to the patch as it is now."""
        return self._sees(action, patch_id, time.time())

    def may(self, action: Action, episode: Episode) -> bool:
        """Whether they may do that to what was recorded then."""
        return self._sees(action, episode.patch_id, *_span(episode))

    def episode(self, episode_id: str) -> Episode | None:
        episode = self._store.episode(episode_id)
        return episode if episode and self._sees_episode(episode) else None

    def episodes(self, patch_id: str | None = None, limit: int = 100) -> list[Episode]:
        return _enough(lambda most: self._store.episodes(patch_id, most), self._sees_episode, limit)

    def trend(self, patch_id: str, begin: float, end: float) -> list[TrendRow]:
        """Rows that begin between two moments, Unix seconds."""
        rows = self._store.trends.rows(patch_id, begin, end)
        return [row for row in rows if self._sees(Action.SEE, patch_id, row.utc or begin)]

    def symptoms(self, patch_id: str, first: float, last: float) -> list[Symptom]:
        """Felt from one moment to another, both included, Unix seconds; a note may name somebody."""
        told = self._store.symptoms.during(patch_id, first, last)
        mine = [symptom for symptom in told if self._sees(Action.SEE, patch_id, symptom.at)]
        if may(self.person, Action.NAMES):
            return mine
        return [replace(symptom, note="(a note)" if symptom.note else "") for symptom in mine]

    def mark(self, symptom: Symptom) -> Asked | None:
        """What became of the mark that the edge was asked for."""
        return self._store.commands.of(symptom.command)

    def symptoms_of(self, episode: Episode) -> list[Symptom]:
        """Felt during it, as exactly as a patient knows; none where the episode's time is not known."""
        first, last = episode.utc(episode.first), episode.utc(episode.last)
        if first is None or last is None:
            return []
        return self.symptoms(episode.patch_id, first - NEAR_S, last + NEAR_S)

    def spans(self, action: Action, patch_id: str, begin: float, end: float) -> list[tuple[float, float]]:
        """What of a time (Unix seconds) they may do that to, in order."""
        held = [one for one in self._during(patch_id, begin, end) if one is not None]
        edges = {edge for one in held for edge in (one.start, one.end) if edge and begin < edge < end}
        pieces = pairwise(sorted({begin, end} | edges))
        return [(a, b) for a, b in pieces if self._sees(action, patch_id, a, max(a, b - 0.001))]

    def ranges(self, patch_id: str, begin: float, end: float) -> list[Pulled]:
        """See `cloud.ranges.Ranges.between`."""
        theirs = self.spans(Action.SEE, patch_id, begin, end)
        held = self._store.ranges.between(patch_id, begin, end) if theirs else []
        return [one for one in held if _touches(theirs, *_utcs(one))]

    def summaries(self, patch_id: str, begin: float, end: float) -> list[Row]:
        """See `cloud.ranges.Ranges.summaries`."""
        theirs = self.spans(Action.SEE, patch_id, begin, end)
        held = self._store.ranges.summaries(patch_id, begin, end) if theirs else []
        return [row for row in held if _touches(theirs, row["utc"], row["until_utc"])]

    def segments_between(self, patch_id: str, begin: float, end: float) -> list[Segment]:
        """Parts of episodes that hold any of a time."""
        theirs = self.spans(Action.SEE, patch_id, begin, end)
        held = self._store.segments_between(patch_id, begin, end) if theirs else []
        return [one for one in held if _touches(theirs, *_utcs(one))]

    def pulls(self, patch_id: str, begin: float, end: float) -> list[Asked]:
        """See `cloud.commands.Commands.pulls`; theirs by what they are about, whoever asked when."""
        theirs = self.spans(Action.SEE, patch_id, begin, end)
        held = self._store.commands.pulls(patch_id, begin, end) if theirs else []
        return [one for one in held if _touches(theirs, one.body["begin"], one.body["end"])]

    def parts(self, episode_id: str) -> list[Segment]:
        return self._store.parts(episode_id) if self.episode(episode_id) else []

    def segment(self, segment_id: str) -> Segment | None:
        segment = self._store.segment(segment_id)
        return segment if segment and self.episode(segment.episode_id) else None

    def findings(self, episode_id: str) -> list[StoredFinding]:
        return self._store.findings(episode_id) if self.episode(episode_id) else []

    def report(self, episode_id: str) -> Report | None:
        return self._store.report(episode_id) if self.episode(episode_id) else None

    def reports(self, episode_id: str) -> list[Report]:
        return self._store.reports(episode_id) if self.episode(episode_id) else []

    def evidence(self, report: Report) -> Evidence | None:
        return self._store.evidence(report.id) if self.episode(report.episode_id) else None

    def report_head(self, report: Report) -> Head | None:
        """The row of the audit that tells of the report."""
        return self._store.report_head(report) if self.episode(report.episode_id) else None

    def analysed_by(self, episode_id: str) -> tuple[str, str] | None:
        return self._store.analysed_by(episode_id) if self.episode(episode_id) else None

    def quiet(self, stored: StoredAlert) -> QuietRule | None:
        """What keeps an alert of theirs from calling."""
        rule = stored.standing.quiet
        return None if rule is None else self._store.patient_rules.quiet(rule)

    def latencies(self, now: float, back_s: float = 86_400.0) -> dict[str, list[float]]:
        """Patch -> seconds from a sample to the event that first showed what was found in it; of the patches
        that are theirs now and in the same hands, over so many seconds back."""
        since = {patch.patch_id: self._assignments.since(patch.patch_id, now) for patch in self.patches()}
        found: dict[str, list[float]] = {patch_id: [] for patch_id in since}
        for patch_id, timing in self._store.timings(now - back_s):
            if timing.sampled_at is not None and timing.sampled_at >= since.get(patch_id, math.inf):
                found[patch_id].append(timing.shown_at - timing.sampled_at)
        return found

    def audit_head(self) -> Head:
        """Of the whole chain, now: a number and a hash, which tell nothing of anybody."""
        return self._store.audit.head()

    def signing(self, episode_id: str) -> Standing:
        """What people made of the episode's report."""
        return self._store.signing.standing(episode_id) if self.episode(episode_id) else Standing()

    def holds(self, written: Written) -> bool:
        """Whether what it cites is still as it was then."""
        return not self._store.signing.renewed_since(written)

    def annotations(self, episode_id: str) -> list[Annotation]:
        """What people marked on its strip, and nobody has replaced."""
        return self._store.annotations.standing(episode_id) if self.episode(episode_id) else []

    def assignment(self, patch_id: str, at: float | None = None) -> Assignment | None:
        """Of those that are theirs the one at a moment, Unix seconds, or else the newest."""
        begin, end = (0.0, time.time()) if at is None else (at, at)
        held = self._during(patch_id, begin, end)
        return next((one for one in reversed(held) if one and may(self.person, Action.SEE, one)), None)

    def of(self, events: Sequence[Event]) -> list[Event]:
        """Those of the events that are theirs."""
        return [event for event in events if self._sees_event(event)]

    # -- whose it is ---------------------------------------------------------------------------------

    def patient(self, patch_id: str, at: float) -> dict[str, str] | None:
        """Whom the patch was on, by name or by pseudonym; None: on nobody."""
        held = self.hands(patch_id, at, at)
        return held[0][2] if held else None

    def hands(self, patch_id: str, first: float, last: float) -> list[Hand]:
        """Everybody whom the patch was on between two moments and whom the person may know, in order."""
        return [
            (
                one.start if one.start > first else None,
                one.end if one.end is not None and one.end <= last else None,
                self._named(one),
            )
            for one in self._during(patch_id, first, last)
            if one and may(self.person, Action.STATUS, one)
        ]

    def hands_of(self, episode: Episode) -> list[Hand]:
        return self.hands(episode.patch_id, *_span(episode))

    def _named(self, held: Assignment) -> dict[str, str]:
        known = self._patient(held.patient_id)
        assert known is not None
        if not may(self.person, Action.NAMES, held):
            return {"name": known.pseudonym, "ward": held.ward, "born": "", "phone": ""}
        return {"name": known.name or known.id, "ward": held.ward, "born": known.born, "phone": known.phone}

    def reviewed(self, patch_id: str) -> StoredAlert | None:
        """Of the alerts that concern nobody but who has the patch now, the one that a person saw last."""
        answered = (State.ACKNOWLEDGED, State.RESOLVED)
        found = [
            stored
            for stored in self._store.alerts(MOST_ALERTS, answered, patch_id=patch_id)
            if stored.standing.acknowledged_at is not None and self._is_of_now(stored)
        ]
        return max(found, key=lambda stored: stored.standing.acknowledged_at or 0.0, default=None)

    def summary(self, patch_id: str) -> Summary | None:
        """What a clinician wrote for the patient who has the patch now, and signed."""
        now = self._assignments.at(patch_id, time.time())
        if now is None or not may(self.person, Action.STATUS, now):
            return None
        end = math.inf if now.end is None else now.end
        return self._store.signing.signed_summary(patch_id=patch_id, begin=now.start, end=end)

    def _is_of_now(self, stored: StoredAlert) -> bool:
        """Whether all of it was recorded by who has its patch now, and that is theirs to know."""
        now = self._assignments.at(stored.alert.patch_id, time.time())
        held = self._during(stored.alert.patch_id, *_times(stored))
        return now is not None and held == [now] and may(self.person, Action.STATUS, now)

    def worn_by(self, episode: Episode) -> frozenset[str | None]:
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
        return self._sees(Action.SEE, stored.alert.patch_id, *_times(stored))

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


def _times(stored: StoredAlert) -> tuple[float, float]:
    """Unix seconds of the first and the last that an alert is about."""
    times = [entry["utc"] for entry in stored.alert.history if entry["utc"] is not None]
    times.append(stored.timing.sampled_at or stored.timing.shown_at)
    return min(times), max(times)


def _span(episode: Episode) -> tuple[float, float]:
    """Unix seconds it was recorded in; where its clock is not known, when it came."""
    first, last = episode.utc(episode.first), episode.utc(episode.last)
    if first is None or last is None:
        return episode.received_at, episode.received_at
    return first, last


def _utcs(piece: Pulled | Segment) -> tuple[float, float]:
    """Unix seconds of its first sample and of the one after its last; whatever lies in a time has a clock."""
    begin, end = piece.clock.utc(piece.first), piece.clock.utc(piece.last + 1)
    assert begin is not None
    assert end is not None
    return begin, end


def _touches(spans: Sequence[tuple[float, float]], begin: float, end: float) -> bool:
    """What was recorded across a change of hands is seen by both."""
    return any(a < end and begin < b for a, b in spans)


def _enough(read: Callable[[int], list[T]], keep: Callable[[T], bool], limit: int) -> list[T]:
    """The first `limit` that are kept, however many are not."""
    most = limit
    while True:
        rows = read(most)
        kept = [row for row in rows if keep(row)]
        if len(kept) >= limit or len(rows) < most:
            return kept[:limit]
        most *= 4
