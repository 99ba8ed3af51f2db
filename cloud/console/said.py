"""What the JSON interface answers, for /openapi.json; tests hold every answer to it.

Documented and not enforced at runtime: a page must not fail for a field too many.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class Refusal(BaseModel):
    """Why it is not done, in a sentence."""

    detail: str


class Patient(BaseModel):
    """By name, or by pseudonym for who may not know it."""

    name: str
    ward: str
    born: str
    phone: str


class Hand(Patient):
    """Whom a time was recorded of; the changes of hands that lie in it."""

    since: str | None
    until: str | None


class Cause(BaseModel):
    """One cause of an alert."""

    priority: str
    rule: str
    at: int  # sample
    at_s: float | None
    recorded: str
    episode_id: str


class AlertRow(BaseModel):
    """An alert and how it stands."""

    id: str
    episode_id: str
    patch_id: str
    patient: Patient | None
    priority: str
    symbol: str
    label: str
    plain: str
    rule: str
    state: str
    version: int
    decided: int  # version of the newest decision
    by: str
    reason: str | None
    acknowledged_by: str | None
    acknowledged: str | None
    at: int  # sample
    at_s: float | None
    recorded: str
    arrived: str
    history: list[Cause]


class Transition(BaseModel):
    """What happened to an alert."""

    id: int
    alert_id: str
    version: int
    did: str
    state: str
    who: str
    screen: str | None
    at: float  # Unix s
    reason: str | None


class Sent(BaseModel):
    """A message about an alert, and how it went."""

    to: str
    key: str
    channel: str
    version: int
    after_s: float
    due_at: float  # Unix s
    attempts: int
    state: str
    error: str | None
    done_at: float | None  # Unix s


class AlertHistory(AlertRow):
    """With everything that happened to it."""

    transitions: list[Transition]
    deliveries: list[Sent]


class Stands(BaseModel):
    """How an alert stands now, and who decided that."""

    id: str
    state: str
    version: int
    by: str
    did: str
    at: float  # Unix s


class Escalated(Stands):
    """Who is sent a message of it beyond the pages."""

    told: list[str]


class Stale(Stands, Refusal):
    """Somebody was first."""


class Own(BaseModel):
    """A patch's own thresholds."""

    patch_id: str
    own: dict[str, float]
    at: float  # Unix s
    who: str
    reason: str


class Quiet(BaseModel):
    """A quiet rule."""

    id: int
    patch_id: str
    label: str
    priority: str
    since: float  # Unix s
    until: float  # Unix s
    reason: str
    who: str


class Rules(BaseModel):
    """What a part that came now would be judged by."""

    thresholds: dict[str, float]
    own: Own | None
    quiet: list[Quiet]


class PatchRow(BaseModel):
    """A patch and its newest heartbeat."""

    patch_id: str
    patient: Patient | None
    online: bool
    ended: bool
    heard: bool
    newest_utc: float | None  # Unix s
    age: str | None
    battery: str | None
    lead_off: str
    waiting: int
    not_analysed: str | None
    heartbeat: dict[str, Any]


class SegmentHash(BaseModel):
    """Of its samples."""

    id: str
    sha256: str


class Spread(BaseModel):
    """Seconds."""

    n: int
    p50: float | None
    p95: float | None


class Stats(BaseModel):
    """Counts over all wards."""

    segments: int
    pending: int
    findings: dict[str, int]
    alerts: int
    technical: int
    rejected: int
    language: dict[str, int]
    latency_s: Spread
    pipeline_s: Spread


class FindingSpan(BaseModel):
    """First and last sample, both included."""

    id: str
    label: str
    code: str | None
    first: int
    last: int
    leads: list[str]
    probability: float | None
    evidence: dict[str, Any]
    open: bool


class HeadOf(BaseModel):
    """A row of the audit chain."""

    number: int
    hash: str


class Drawn(BaseModel):
    """What `<ecg-strip>` draws beside the samples."""

    patch_id: str
    first: int
    last: int
    fs: float  # Hz
    leads: list[str]
    uv_per_count: list[float]
    final: bool
    gaps: list[tuple[int, int]]  # (first, count)
    lead_off: list[tuple[int, int]]


class EpisodeData(Drawn):
    """An episode, what was found in it and what is said of it."""

    id: str
    samples_deleted_at: float | None  # Unix s: by rule
    findings: list[FindingSpan]
    report: str | None
    report_head: HeadOf | None


class Replaced(BaseModel):
    """A finding or an annotation as it was when a person put it right."""

    label: str | None = None
    first: int | None = None
    last: int | None = None
    r_peak: int | None = None


class AnnotationRow(BaseModel):
    """What a person marked."""

    id: str
    label: str | None
    wrong: bool  # what it replaces is
    plain: str
    first: int
    last: int
    leads: list[str]
    comment: str
    replaces: str | None
    replaced: Replaced
    who: str
    when: str
    at_s: float
    lasts_s: float


class Taken(Refusal):
    """Somebody else has put it right."""

    by: str
    at: float  # Unix s


class Line(BaseModel):
    """Of a report; by None where it was generated."""

    text: str
    by: str | None


class Wrote(BaseModel):
    """A revision, with what it changed."""

    version: int
    who: str
    at: float  # Unix s
    text: str
    diff: str


class SignatureRow(BaseModel):
    """A named person answers for exactly this text."""

    version: int
    report_id: str
    addendum: bool
    text: str
    sha256: str
    for_patient: str
    who: str
    at: float  # Unix s
    signed: str
    head: HeadOf


class Newer(BaseModel):
    """A generated report that came after the one that people worked on."""

    said: str
    generated: str
    rests_on: str
    sentences: list[str]


class NoReportYet(BaseModel):
    """Nothing is generated yet."""

    episode_id: str
    state: None
    version: int


class ReportData(BaseModel):
    """A report as it stands."""

    episode_id: str
    state: Literal["generated", "edited", "signed"]
    version: int
    report_id: str
    rests_on: str
    generated: str
    sentences: list[str]
    lines: list[Line]
    text: str
    sha256: str
    reviewed: str | None
    newer: Newer | None
    head: HeadOf | None
    signatures: list[SignatureRow]
    revisions: list[Wrote]


class Newest(BaseModel):
    """What somebody did last with a report."""

    version: int
    by: str
    did: str
    at: float  # Unix s


class Conflict(Refusal):
    """Somebody was first; nothing more where it was not a person."""

    version: int | None = None
    by: str | None = None
    did: str | None = None
    at: float | None = None  # Unix s


class Compared(BaseModel):
    """One of the ECGs."""

    letter: str
    id: str
    patch_id: str
    first: int
    last: int
    fs: float  # Hz
    leads: list[str]
    final: bool
    patients: list[Hand]
    recorded: str
    r_peak: int | None


class Change(BaseModel):
    """One quantity; `differences` are from the first ECG."""

    name: str
    unit: str
    values: list[float | str | None]
    differences: list[float | str | None]
    said: list[list[dict[str, Any]]]
    signed: list[str | None]


class Shape(BaseModel):
    """The usual beats of a lead, and how they correlate with the first ECG's."""

    lead: str
    beats: list[int | None]
    qrs: list[float | None]
    whole: list[float | None]


class Comparison(BaseModel):
    """How 2 to 4 ECGs differ."""

    ecgs: list[Compared]
    one_heart: bool
    cautions: list[str]
    rows: list[Change]
    shapes: list[Shape]
    not_assessed: str
    review: str
    wording: str


class Marking(BaseModel):
    """An episode, or what was found in it; seconds from what was asked for on."""

    label: str
    begin: float
    end: float


class DayOverview(BaseModel):
    """A day in minutes: least and greatest in microvolts, and what is held."""

    leads: list[str]
    lead: str
    minutes: list[tuple[int | None, int | None, str]]
    marks: list[Marking]
    waiting: int  # commands that the edge has not answered
    online: bool


class MinuteColumns(BaseModel):
    """A minute in columns of 0.1 s."""

    begin: float  # Unix s
    values: str  # base64 of little-endian int16
    runs: list[tuple[int, int, str]]


class MinuteRows(BaseModel):
    """Minutes one under the other."""

    lead: str
    rows: list[MinuteColumns]
    marks: list[Marking]


class SpanOnly(BaseModel):
    """First and last sample, both included."""

    id: str
    label: str
    first: int
    last: int


class MinuteData(Drawn):
    """A minute, and what was found in it."""

    findings: list[SpanOnly]


class NotHere(Refusal):
    """Of a minute."""

    over: bool  # none will come


class Fetching(BaseModel):
    """Ids of what the edge is asked."""

    commands: list[str]


REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": said}
    for status, said in {
        400: "It cannot be read.",
        401: "Nobody is signed in.",
        403: "The role does not allow it, or another site asked.",
        404: "There is no such thing, or it is in another ward.",
        422: "It cannot be done like this.",
    }.items()
}


def answers(model: Any, *, status: int = 200, **more: Any) -> dict[str, Any]:
    """Options of a route that answers with JSON of this shape; `more` are models by `s409`, `s503`."""
    refused = {int(status[1:]): {"model": other} for status, other in more.items()}
    responses = {status: {"model": model}, **refused}
    return {"response_model": None, "status_code": status, "responses": responses}


def file(*kinds: str) -> dict[str, Any]:
    """Options of a route that answers with bytes of one of these media types."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"responses": {200: {"content": dict.fromkeys(kinds, binary)}}}
