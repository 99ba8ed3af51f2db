"""What the cloud keeps: one small interface, with a lease, behind one URL.

    inbox ──commit_segment──▶ segments + jobs ──claim──▶ worker ──finish──▶ findings, reports, alert, events
                                                                                 console ◀──events(after)──┘
                                               a new report ──claim_report──▶ reporter ──write_report──▲

`finish` writes everything a job found, and its done mark, in one transaction; a worker that dies before it
leaves a lease that runs out. Every method may be called from any thread. Wall times are Unix seconds.
SQLite implements it here (`cloud/sqlite_store.py`); another database is another implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from cloud.alerts import Standing, State
from cloud.chain import Head
from cloud.config import EscalationStep
from cloud.docket import Called, Docket
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.errors import UsageError
from models.verdicts import Alert, Finding, Report

if TYPE_CHECKING:  # they keep their tables in terms of these nouns
    from cloud.alert_book import AlertBook
    from cloud.annotations import Annotations
    from cloud.audit import Audit
    from cloud.commands import Commands
    from cloud.patient_rules import PatientRules
    from cloud.ranges import Ranges
    from cloud.signing import Signing
    from cloud.sqlite_store import SqliteStore
    from cloud.symptoms import Symptoms
    from cloud.trends import Trends


class Receipt(StrEnum):
    """What became of a segment or row that arrived; the value goes into the application acknowledgement."""

    COMMITTED = "committed"
    DUPLICATE = "duplicate"
    CONFLICT = "rejected:conflict"  # the same id with other content: kept, and raised as a technical alert


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One part to be analysed, leased to `owner` until `until`."""

    id: int
    segment_id: str
    episode_id: str
    patch_id: str
    owner: str
    until: float
    attempts: int  # 1 at the first claim


Judge = Callable[[Docket], Sequence[Called]]


def nothing_to_call_for(_: Docket) -> Sequence[Called]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """All that is known of an episode after a job: complete sets, not increments."""

    episode_id: str
    findings: tuple[Finding, ...]  # decided
    open: tuple[Finding, ...]  # runs still going on
    reports: tuple[Report, ...]  # every report due so far, oldest first
    judge: Judge = nothing_to_call_for  # in the transaction: a person may answer while a part is analysed
    evidence: Mapping[str, Evidence] = field(default_factory=dict)  # report id -> what it rests on
    network: str = ""  # the localizer's name and version
    network_sha256: str = ""  # of its weights, hex


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A template's report that a language model may write anew, leased until `until`."""

    report: Report
    evidence: Evidence
    until: float
    attempts: int  # 1 at the first claim


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What takes a draft's place, and how much of what the model wrote did not hold."""

    report: Report
    claims: int = 0  # read in what the model wrote
    replaced: int = 0  # its sentences that did not hold
    added: int = 0  # sentences it had left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a thing was sampled, came to the edge, and was first shown; None where the clock is unknown."""

    sampled_at: float | None  # UTC of its last sample (an alert: of its `at`)
    received_at: float | None  # its part's last sample reached the edge
    shown_at: float  # the event that first showed it was written


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFinding:
    """A finding and when it came."""

    id: str
    finding: Finding
    open: bool  # still going on: `last` will grow
    timing: Timing


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAlert:
    """An alert and when it came."""

    standing: Standing  # alert.history: rows of episode_id, boot_id, label, rule, priority, at, utc, quiet
    timing: Timing  # of the first time it was raised
    updated_at: float  # newest evidence

    @property
    def alert(self) -> Alert:
        return self.standing.alert


@dataclass(frozen=True, slots=True, kw_only=True)
class TechnicalAlert:
    """Not about the heart: cleared_at is None while it holds.

    `kind` is "silent" | "no signal" | "lag" | "lead off" | "battery" | "unreadable" | "refused" | "conflict"
    | "not analysed" | "delivery".
    """

    id: str
    patch_id: str
    kind: str
    text: str
    raised_at: float
    cleared_at: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Episode:
    """What of an episode has been committed."""

    id: str
    patch_id: str
    boot_id: int
    first: int
    last: int
    fs: float
    leads: tuple[str, ...]
    parts: int
    final: bool
    continues: str | None
    opened_by: str
    utc_0: float | None  # UTC of sample 0, from the newest part's clock
    clock_fs: float | None
    received_at: float  # the newest part came to the cloud
    pending: int  # parts not analysed yet
    deleted_at: float | None = None  # a rule deleted samples of it

    def utc(self, sample: int) -> float | None:
        if self.utc_0 is None or self.clock_fs is None:
            return None
        return self.utc_0 + sample / self.clock_fs


@dataclass(frozen=True, slots=True, kw_only=True)
class Patch:
    """The newest heartbeat of a patch and what follows from it."""

    patch_id: str
    site: str
    online: bool
    heard_at: float  # wall time of its last heartbeat or state
    heartbeat: Mapping[str, Any]  # the map of the last heartbeat, {} before the first
    unreadable_s: float  # of this boot, by its heartbeats
    missing_s: float  # of this boot
    unreadable_run_s: float  # not readable or missing without a break until the last heartbeat

    @property
    def not_analysed_s(self) -> float:
        return self.unreadable_s + self.missing_s

    def newest_age_s(self, now: float) -> float | None:
        """Age of its newest sample in seconds, None where its clock is unknown."""
        utc = self.heartbeat.get("newest_utc")
        return None if utc is None else max(0.0, now - float(utc))


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A line of the live stream; `id` only grows, so Last-Event-ID resumes exactly.

    kind: data
    "segment":   {segment_id, episode_id, patch_id, boot_id, part, final, first, last}
    "findings":  {episode_id, patch_id, findings: [finding...], open: [finding...], removed: [finding id...]}
    "report":    {episode_id, patch_id, report_id, part}; of what a person wrote {episode_id, patch_id, what}
    "annotation": {episode_id, patch_id, what}
    "alert":     {change: raised | raised again | added | corrected | seen | acknowledged | resolved
                  | suppressed | undone | escalated, alert: {...}, episode_id, version, who}
    "technical": {change: raised | cleared, technical: {...}}
    "trend":     {patch_id, boot_id, first}
    "command":   {id, patch_id, kind, state: waiting | done | refused}
    "symptom":   {patch_id, at}  a patient told one, felt at that Unix second
    "deleted":   {episode_id, patch_id}           by a rule: its samples, or its reports
    "assignment": {}           a patch came into other hands; of which wards, not everybody may know
    "patch":     {patch_id, online, heard_at, heartbeat, unreadable_s, missing_s, unreadable_run_s}
    finding = {id, segment_id, label, code, first, last, leads, probability, evidence, open}
    alert = Alert's fields by name, priority as its word
    """

    id: int
    kind: str
    data: Mapping[str, Any]
    written_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """A dead letter: what could not be taken, kept with the reason."""

    id: int
    topic: str
    reason: str
    segment_id: str | None
    patch_id: str | None
    payload: bytes
    received_at: float


class Store(Protocol):
    """The cloud's memory. Errors of the database are `models.errors.DeliveryError`."""

    # -- what has rooms of its own -------------------------------------------------------------------
    @property
    def book(self) -> AlertBook:
        """What becomes of alerts, and their deliveries."""

    @property
    def patient_rules(self) -> PatientRules:
        """Thresholds and quiet rules of patches."""

    @property
    def trends(self) -> Trends:
        """Rows a minute, as the edges counted them."""

    @property
    def ranges(self) -> Ranges:
        """Stretches that edges sent of what they recorded."""

    @property
    def commands(self) -> Commands:
        """What is asked of edges."""

    @property
    def symptoms(self) -> Symptoms:
        """What patients told."""

    @property
    def signing(self) -> Signing:
        """What people make of reports, and their signatures."""

    @property
    def annotations(self) -> Annotations:
        """What people mark on strips."""

    @property
    def audit(self) -> Audit:
        """The chain that tells of everything."""

    # -- inbox ---------------------------------------------------------------------------------------
    def writing(self) -> AbstractContextManager[object]:
        """What is written within is one transaction."""

    def commit_segment(self, payload: bytes, segment: Segment, *, seq: int, site: str, now: float) -> Receipt:
        """Insert-or-ignore by id, with its job and event, committed on return."""

    def reject(
        self,
        payload: bytes,
        *,
        topic: str,
        reason: str,
        segment_id: str | None,
        patch_id: str | None,
        now: float,
    ) -> None:
        """Keep a dead letter."""

    def heartbeat(self, patch_id: str, site: str, heartbeat: Mapping[str, Any], *, now: float) -> None: ...

    def state(self, patch_id: str, site: str, online: bool, *, now: float) -> None: ...

    # -- queue ---------------------------------------------------------------------------------------
    def claim(self, owner: str, lease_s: float, *, now: float) -> Job | None:
        """The oldest job of a patch without another live lease, leased; None when there is nothing to do."""

    def finish(self, job: Job, outcome: Outcome, *, now: float) -> bool:
        """Everything found and the done mark, in one transaction; False and nothing if the lease was lost."""

    def postpone(self, job: Job, reason: str, *, now: float, until: float) -> None:
        """A job that failed: kept, with the reason, not claimed again before `until`."""

    def pending(self) -> int:
        """Jobs not done."""

    def claim_report(self, lease_s: float, *, now: float) -> Draft | None:
        """The newest report of an episode, leased, where no language model has written it; the one that
        waits longest."""

    def release_report(self, draft: Draft) -> None:
        """It may be claimed again at once: nobody tried."""

    def write_report(self, draft: Draft, written: Written, *, now: float) -> bool:
        """The report in the draft's place, with its event; False and nothing if the episode has moved on or
        the lease was lost."""

    # -- reading -------------------------------------------------------------------------------------
    def segment(self, segment_id: str) -> Segment | None: ...

    def sha256s(self) -> dict[str, str]:
        """Segment id -> sha256 of every committed segment."""

    def parts(self, episode_id: str) -> list[Segment]:
        """An episode's committed parts in sample order, but for those whose samples were deleted."""

    def segments_between(self, patch_id: str, begin: float, end: float) -> list[Segment]:
        """Parts of a patch that hold any of the time from `begin` to before `end` (Unix seconds)."""

    def episodes(self, patch_id: str | None = None, limit: int = 100) -> list[Episode]:
        """Newest first."""

    def episode(self, episode_id: str) -> Episode | None: ...

    def findings(self, episode_id: str) -> list[StoredFinding]:
        """In sample order."""

    def finding_counts(self) -> dict[str, int]:
        """Label -> count over everything stored."""

    def report(self, episode_id: str) -> Report | None:
        """The newest report of an episode."""

    def reports(self, episode_id: str) -> list[Report]:
        """Oldest first; a language model's where it has written one, else the template's."""

    def evidence(self, report_id: str) -> Evidence | None:
        """What a report rests on: its citations are ids of these facts."""

    def alerts(
        self, limit: int = 100, states: Collection[State] = tuple(State), *, patch_id: str | None = None
    ) -> list[StoredAlert]:
        """Of all patches, or of one: those that call, then the acknowledged, then the rest; of each the
        highest priority first, then the newest."""

    def alert(self, alert_id: str) -> StoredAlert | None: ...

    def open_alert(self, patch_id: str, at: float | None = None) -> Alert | None:
        """The alert, neither resolved nor suppressed, of who had the patch `at` that time (None: has it now);
        the most urgent one."""

    def patches(self) -> list[Patch]: ...

    def rejects(self, limit: int = 100) -> list[Reject]:
        """Newest first."""

    def technical_alerts(self, standing: bool = True, limit: int = 100) -> list[TechnicalAlert]:
        """Newest first; `standing` leaves out the cleared ones."""

    # -- technical alerts ----------------------------------------------------------------------------
    def raise_technical(self, patch_id: str, kind: str, text: str, *, now: float) -> None:
        """One standing alert per patch and kind: raising it again changes nothing."""

    def clear_technical(self, patch_id: str, kind: str, *, now: float) -> None: ...

    # -- audit ---------------------------------------------------------------------------------------
    def note_head(self, *, now: float) -> None:
        """Write the head of the audit chain into the file beside the store."""

    def report_head(self, report: Report) -> Head | None:
        """The row of the audit chain that tells of the report as it stands now: to be shown with it."""

    def analysed_by(self, episode_id: str) -> tuple[str, str] | None:
        """(network, SHA-256 of its weights) that read an episode's newest part, by the audit."""

    # -- live stream ---------------------------------------------------------------------------------
    def events(self, after: int, limit: int = 500) -> list[Event]: ...

    def last_event(self) -> int:
        """Id of the newest event, 0 before the first."""

    def wait(self, after: int, timeout: float) -> bool:
        """Block until an event newer than `after` may exist (True) or the timeout is over (False).

        For asyncio: `await asyncio.to_thread(store.wait, after, timeout)`.
        """

    def wake(self) -> None:
        """Let every waiter return (shutdown)."""

    # -- figures -------------------------------------------------------------------------------------
    def timings(self, since: float) -> list[tuple[str, Timing]]:
        """(patch, when) of every finding and alert first shown since then."""

    def stats(self) -> dict[str, Any]:
        """The cloud's share of the demo's table.

        {"segments", "pending", "findings": {label: n}, "alerts", "technical", "rejected",
         "language": {"reports", "left_to_template", "claims", "replaced", "added"} of what language models
         wrote and could not write,
         "latency_s": {"n", "p50", "p95"}, "pipeline_s": {"n", "p50", "p95"}} over V findings and alerts.
        """

    def close(self) -> None: ...


def open_store(url: str, escalation: Sequence[EscalationStep] = ()) -> SqliteStore:
    """The store behind a URL, `sqlite:///path/of/file.db`: a `Store`, and the `Memory` of other concerns.

    `escalation` is whom its new alerts are due to.
    """
    from cloud.sqlite_store import SqliteStore

    return SqliteStore(path_of(url), escalation)


def path_of(url: str) -> str:
    """Of the database behind a URL."""
    scheme, _, path = url.partition(":///")
    if scheme != "sqlite" or not path:
        raise UsageError(
            f"store {url!r} is not supported: use sqlite:///PATH, for example sqlite:///cloud.db"
        )
    return path


def finding_sets(outcome: Outcome) -> Sequence[tuple[Finding, bool]]:
    """(finding, open) of everything an outcome knows."""
    return [(f, False) for f in outcome.findings] + [(f, True) for f in outcome.open]
