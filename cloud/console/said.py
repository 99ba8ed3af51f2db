"""What the JSON interface answers, for /openapi.json; tests hold every answer to it.

Documented and not enforced at runtime: a page must not fail for a field too many.
"""

from __future__ import annotations

from typing import Any

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


class EpisodeData(BaseModel):
    """What `<ecg-strip>` draws beside the samples."""

    id: str
    patch_id: str
    first: int
    last: int
    fs: float  # Hz
    leads: list[str]
    uv_per_count: list[float]
    final: bool
    gaps: list[tuple[int, int]]  # (first, count)
    lead_off: list[tuple[int, int]]
    samples_deleted_at: float | None  # Unix s: by rule
    findings: list[FindingSpan]
    report: str | None
    report_head: HeadOf | None


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


def answers(model: Any, **more: Any) -> dict[str, Any]:
    """Options of a route that answers with JSON of this shape; `more` are models by `s409`, `s503`."""
    refused = {int(status[1:]): {"model": other} for status, other in more.items()}
    return {"response_model": None, "responses": {200: {"model": model}, **refused}}


def file(*kinds: str) -> dict[str, Any]:
    """Options of a route that answers with bytes of one of these media types."""
    binary = {"schema": {"type": "string", "format": "binary"}}
    return {"responses": {200: {"content": dict.fromkeys(kinds, binary)}}}
