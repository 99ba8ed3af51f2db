"""What becomes of an alert once it has called: raised, seen, acknowledged, resolved; or suppressed.

    raised ──see──▶ seen ──acknowledge──▶ acknowledged ──resolve, or 60 min of recording without──▶ resolved
       ▲  └──────────┴── suppress ──▶ suppressed ──resolve──▶ resolved
       └── worse evidence, from any of them but the last two; undo, from suppressed

A quiet rule ends with the suppression that shows it, whether that is undone or resolved.
A person may escalate an open one: it stands as it did, and everybody on the chain is told at once.
`step` is a pure function of what stands, what is done and when: it returns what stands then and what has to
follow, or refuses in a sentence. Nothing in it lets an alert that nobody has acknowledged disappear, and
time alone never raises an acknowledged one again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from cloud.quiet import QuietRule, RefusedError
from models.verdicts import Alert, Priority

RESOLVE_S = 3600.0  # of recording, heard and analysed, without the label
ANALYSIS, RECORDING = "analysis", "recording"  # who does what no person does


class State(StrEnum):
    """The values are `Alert.state`."""

    RAISED = "raised"
    SEEN = "seen"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"
    SUPPRESSED = "suppressed"


CALLING = (State.RAISED, State.SEEN)  # nobody has answered
OPEN = (*CALLING, State.ACKNOWLEDGED)


class Effect(StrEnum):
    """What has to follow, in the same transaction."""

    RECORD = "record"  # among the transitions
    TELL = "tell"  # the pages
    CALL = "call"  # schedule the escalation, from `called_at` on
    ESCALATE = "escalate"  # all of the escalation is due now
    HUSH = "hush"  # what waits to be delivered is not delivered any more
    PUBLISH = "publish"  # the new state, to those who follow it over MQTT
    LIFT = "lift"  # the quiet rule ends


class StaleError(RefusedError):
    """Somebody was first: what the person decided on is not what stands."""

    def __init__(self, standing: Standing) -> None:
        when = datetime.fromtimestamp(standing.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        super().__init__(f"{standing.by} was first: {standing.did} at {when}. Look at the alert again.")
        self.standing = standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """An alert and what has become of it; wall times are Unix seconds."""

    alert: Alert
    version: int = 1  # grows with every change of what others are told
    decided: int = 1  # version of the newest change that outdates what somebody saw before
    by: str = ANALYSIS  # who made that change
    did: str = State.RAISED.value
    at: float
    called_at: float  # since then nobody has answered
    viewers: frozenset[tuple[str, str]] = frozenset()  # (who, screen) that drew its strip since it called
    acknowledged_by: str | None = None
    acknowledged_at: float | None = None
    escalated_by: str | None = None  # by hand, since it called
    escalated_at: float | None = None
    quiet: int | None = None  # the quiet rule that suppresses it
    reason: str | None = None  # of the newest decision, where one was given
    heard_boot: int | None = None
    heard_s: float = 0.0  # of that boot, counted so far
    quiet_s: float = 0.0  # of recording without the label since it was acknowledged
    boot_id: int | None = None  # when it was resolved: how far its patient had been analysed
    through: int | None = None

    @property
    def state(self) -> State:
        return State(self.alert.state)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What an episode adds; the first one makes the alert."""

    alert: Alert  # with it; its state is not looked at
    change: str  # see `cloud.calling.Called`
    quiet: QuietRule | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Recur:
    """A newly analysed part shows the alert's label."""


@dataclass(frozen=True, slots=True, kw_only=True)
class See:
    """The strip was drawn on a person's screen."""

    who: str
    screen: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """By a person, of what was drawn on that screen."""

    who: str
    screen: str
    version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Escalate:
    """By a person who wants others now; a call for help needs no strip that was drawn."""

    who: str
    version: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolve:
    """By a person."""

    who: str
    version: int
    reason: str | None = None
    boot_id: int | None = None
    through: int | None = None  # newest sample analysed, of that boot


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppress:
    """By a person who has seen it, with a quiet rule for what comes."""

    who: str
    screen: str
    version: int
    rule: QuietRule


@dataclass(frozen=True, slots=True, kw_only=True)
class Undo:
    """Of a suppression."""

    who: str
    version: int
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hear:
    """So much of a boot was recorded, heard and analysed by now; `settled`: no part of it is on its way."""

    boot_id: int
    heard_s: float
    settled: bool
    through: int | None = None


Action = Evidence | Recur | See | Acknowledge | Escalate | Resolve | Suppress | Undo | Hear
Step = tuple[Standing, tuple[Effect, ...]]

_NEW = (Effect.RECORD, Effect.TELL, Effect.CALL, Effect.PUBLISH)
_AGAIN = (Effect.RECORD, Effect.TELL, Effect.HUSH, Effect.CALL, Effect.PUBLISH)
_OVER = (Effect.RECORD, Effect.TELL, Effect.HUSH, Effect.PUBLISH)


def step(standing: Standing | None, action: Action, now: float) -> Step:
    """What stands after an action, and what follows from it.

    Raises:
        StaleError: what the person saw is outdated.
        RefusedError: it is not done in this state.
    """
    if isinstance(action, Evidence):
        return _first(action, now) if standing is None else _evidence(standing, action, now)
    assert standing is not None, "an alert begins with evidence"
    match action:
        case See():
            done = _see(standing, action)
        case Acknowledge():
            done = _acknowledge(standing, action, now)
        case Escalate():
            done = _escalate(standing, action, now)
        case Resolve():
            done = _resolve(standing, action, now)
        case Suppress():
            done = _suppress(standing, action, now)
        case Undo():
            done = _undo(standing, action, now)
        case Hear():
            done = _hear(standing, action, now)
        case Recur():
            done = replace(standing, quiet_s=0.0), ()
    return done


def _first(action: Evidence, now: float) -> Step:
    rule = action.quiet
    state = State.RAISED if rule is None else State.SUPPRESSED
    alert = replace(action.alert, state=state.value)
    if rule is None:
        return Standing(alert=alert, at=now, called_at=now), _NEW
    quiet = Standing(
        alert=alert, at=now, called_at=now, by=rule.who, did=state.value, quiet=rule.id, reason=rule.reason
    )
    return quiet, (Effect.RECORD, Effect.TELL)


def _evidence(standing: Standing, action: Evidence, now: float) -> Step:
    before, new = standing.alert, action.alert
    if standing.state is State.RESOLVED:
        raise RefusedError(f"Alert {before.id} is resolved: new evidence opens a new one.")
    quiet = standing.state is State.SUPPRESSED and new.priority <= Priority.MEDIUM
    if new.priority > before.priority and not quiet:
        called = standing.called_at if standing.state in CALLING else now
        fresh = _decide(standing, State.RAISED, ANALYSIS, now, did="raised again", called_at=called)
        return replace(fresh, alert=replace(new, state=State.RAISED.value)), _AGAIN
    alert = replace(new, state=before.state)
    again = any(entry["label"] == before.label for entry in new.history[len(before.history) :])
    grown = replace(
        standing,
        alert=alert,
        version=standing.version + 1,
        quiet_s=0.0 if again else standing.quiet_s,
    )
    return grown, (Effect.RECORD, Effect.TELL) if quiet else (Effect.RECORD, Effect.TELL, Effect.PUBLISH)


def _see(standing: Standing, action: See) -> Step:
    """Not outdated by others who see it: whoever has drawn it may answer."""
    _current(standing, action.version)
    viewer = (action.who, action.screen)
    if viewer in standing.viewers:
        return standing, ()
    seen = replace(standing, viewers=standing.viewers | {viewer})
    if standing.state is not State.RAISED:
        return seen, (Effect.RECORD,)
    alert = replace(standing.alert, state=State.SEEN.value)
    return replace(seen, alert=alert, version=standing.version + 1), (
        Effect.RECORD,
        Effect.TELL,
        Effect.PUBLISH,
    )


def _acknowledge(standing: Standing, action: Acknowledge, now: float) -> Step:
    _current(standing, action.version)
    if standing.state not in CALLING:
        raise RefusedError(f"The alert is {standing.state}: there is nothing to acknowledge.")
    _drawn(standing, action.who, action.screen)
    done = _decide(standing, State.ACKNOWLEDGED, action.who, now)
    return replace(done, acknowledged_by=action.who, acknowledged_at=now), _OVER


def _escalate(standing: Standing, action: Escalate, now: float) -> Step:
    """Outdates what was seen before: an answer would hush a call that its giver does not know of."""
    _current(standing, action.version)
    if standing.state not in OPEN:
        raise RefusedError(f"The alert is {standing.state}: there is nothing to escalate.")
    version = standing.version + 1
    done = replace(
        standing,
        version=version,
        decided=version,
        by=action.who,
        did="escalated",
        at=now,
        reason=action.reason,
        escalated_by=action.who,
        escalated_at=now,
    )
    return done, (Effect.RECORD, Effect.TELL, Effect.ESCALATE, Effect.PUBLISH)


def _resolve(standing: Standing, action: Resolve, now: float) -> Step:
    _current(standing, action.version)
    if standing.state in CALLING:
        raise RefusedError("Acknowledge the alert first: one that nobody has acknowledged never disappears.")
    if standing.state is State.RESOLVED:
        raise RefusedError("The alert is resolved already.")
    done = _decide(standing, State.RESOLVED, action.who, now, reason=action.reason)
    lifts = (Effect.LIFT,) if standing.state is State.SUPPRESSED else ()
    return replace(done, boot_id=action.boot_id, through=action.through), (*_OVER, *lifts)


def _suppress(standing: Standing, action: Suppress, now: float) -> Step:
    _current(standing, action.version)
    if standing.alert.priority > Priority.MEDIUM:
        raise RefusedError("A high alert can never be suppressed: acknowledge it.")
    if standing.state not in OPEN:
        raise RefusedError(f"The alert is {standing.state} already.")
    _drawn(standing, action.who, action.screen)
    reason = action.rule.reason
    return _decide(standing, State.SUPPRESSED, action.who, now, reason=reason, quiet=action.rule.id), _OVER


def _undo(standing: Standing, action: Undo, now: float) -> Step:
    _current(standing, action.version)
    if standing.state is not State.SUPPRESSED:
        raise RefusedError(f"The alert is {standing.state}: there is no suppression to undo.")
    reason = action.reason
    done = _decide(standing, State.RAISED, action.who, now, did="undone", reason=reason, called_at=now)
    return done, (*_NEW, Effect.LIFT)


def _hear(standing: Standing, action: Hear, now: float) -> Step:
    """Only what was heard counts; of another boot nothing is known before its first word."""
    if standing.state is not State.ACKNOWLEDGED:
        return standing, ()
    same = action.boot_id == standing.heard_boot
    gained = max(0.0, action.heard_s - standing.heard_s) if same else 0.0
    heard = replace(
        standing,
        heard_boot=action.boot_id,
        heard_s=standing.heard_s + gained if same else action.heard_s,
        quiet_s=standing.quiet_s + gained,
    )
    if heard.quiet_s < RESOLVE_S or not action.settled:
        return heard, ()
    reason = f"{RESOLVE_S / 60:.0f} min of recording without it"
    done = _decide(heard, State.RESOLVED, RECORDING, now, reason=reason)
    return replace(done, boot_id=action.boot_id, through=action.through), _OVER


def _decide(standing: Standing, state: State, by: str, now: float, **more: Any) -> Standing:
    """A change that outdates what was seen before; what belonged to the state before is gone."""
    version = standing.version + 1
    fresh: dict[str, Any] = {"did": state.value, "reason": None, "quiet": None, "quiet_s": 0.0}
    if state is State.RAISED:
        fresh |= {"viewers": frozenset(), "acknowledged_by": None, "acknowledged_at": None}
        fresh |= {"escalated_by": None, "escalated_at": None}
    return replace(
        standing,
        alert=replace(standing.alert, state=state.value),
        version=version,
        decided=version,
        by=by,
        at=now,
        heard_boot=None,
        **(fresh | more),
    )


def _current(standing: Standing, version: int) -> None:
    if not standing.decided <= version <= standing.version:
        raise StaleError(standing)


def _drawn(standing: Standing, who: str, screen: str) -> None:
    if (who, screen) not in standing.viewers:
        raise RefusedError("Look at the strip first: this screen has not drawn it since the alert called.")
