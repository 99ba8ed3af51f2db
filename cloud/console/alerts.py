"""What people do with alerts, over HTTP: JSON in and out, `{"detail": sentence}` where it is not done.

404 no such alert, 409 somebody was first (with who, what and when), 422 not done in this state.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from cloud.alert_book import AlertBook, UnknownAlertError
from cloud.alerts import StaleError, Standing, State
from cloud.config import RuleConfig
from cloud.console import said, views
from cloud.console.seen import Seen
from cloud.console.session import needs
from cloud.deliveries import MQTT
from cloud.patient_rules import PatientRules
from cloud.quiet import RefusedError, Thresholds
from cloud.roles import Action
from cloud.store import Store, StoredAlert

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]
Triaging = Annotated[Seen, Depends(needs(Action.TRIAGE))]
Tuning = Annotated[Seen, Depends(needs(Action.TUNE))]
Answer = dict[str, Any]
MOST = 10_000  # alerts of one answer
STANDS = said.answers(said.Stands, s409=said.Stale)
Reason = Annotated[str | None, Field(max_length=500)]


class Shown(BaseModel):
    """The version that a screen shows; a screen is one page in one browser."""

    model_config = ConfigDict(extra="forbid")

    version: int
    screen: str = Field(min_length=1, max_length=64)


class Decided(BaseModel):
    """What a person decides on, and why."""

    model_config = ConfigDict(extra="forbid")

    version: int
    reason: Reason = None


class Suppressed(Shown):
    """Be quiet about its label, up to its priority, for so long."""

    hours: float
    reason: str = Field(max_length=500)


class Limits(BaseModel):
    """A patch's own thresholds, by the names of `[rules]`."""

    model_config = ConfigDict(extra="forbid")

    own: dict[str, float]
    reason: str = Field(max_length=500)


def routes(store: Store, base: RuleConfig) -> APIRouter:
    """`base` are the thresholds of a patch without its own."""
    router = APIRouter(prefix="/api")
    _reading(router, store.book)
    _deciding(router, store.book)
    _rules(router, store.patient_rules, base)
    return router


def _reading(router: APIRouter, book: AlertBook) -> None:
    @router.get("/alerts", **said.answers(list[said.AlertRow]))
    def alerts(
        seen: Seeing,
        response: Response,
        state: Annotated[list[State] | None, Query()] = None,
        limit: Annotated[int, Query(ge=1, le=MOST)] = views.MOST,
    ) -> list[Answer]:
        """In any of the states given, all of them where none is: those that call, then the acknowledged, then
        the rest. The header `X-AnyECG-More` is `true` where there are more than `limit`, else `false`."""
        rows = views.alert_rows(seen, state or tuple(State), limit + 1)
        response.headers["X-AnyECG-More"] = str(len(rows) > limit).lower()
        return rows[:limit]

    @router.get("/alerts/{alert_id}", **said.answers(said.AlertHistory))
    def alert(seen: Seeing, alert_id: str) -> Answer:
        """With everything that happened to it."""
        stored = _theirs(seen, alert_id)
        transitions = [dataclasses.asdict(t) for t in book.transitions(alert_id)]
        more = {"transitions": transitions, "deliveries": book.deliveries.of_alert(alert_id)}
        return views.alert_row(seen, stored) | more


def _deciding(router: APIRouter, book: AlertBook) -> None:
    @router.post("/alerts/{alert_id}/seen", **STANDS)
    def drawn(seen: Seeing, alert_id: str, given: Shown) -> JSONResponse:
        """The strip was drawn on this screen."""
        who = _who(seen, alert_id)
        return _answer(lambda now: book.see(alert_id, who, given.screen, given.version, now=now))

    @router.post("/alerts/{alert_id}/acknowledge", **STANDS)
    def acknowledge(seen: Triaging, alert_id: str, given: Shown) -> JSONResponse:
        who = _who(seen, alert_id)
        return _answer(lambda now: book.acknowledge(alert_id, who, given.screen, given.version, now=now))

    @router.post("/alerts/{alert_id}/escalate", **said.answers(said.Escalated, s409=said.Stale))
    def escalate(seen: Triaging, alert_id: str, given: Decided) -> JSONResponse:
        """`told`: who is sent a message of it beyond the pages."""
        who = _who(seen, alert_id)

        def told(standing: Standing) -> Answer:
            sent = [d for d in book.deliveries.of_alert(alert_id) if d["version"] == standing.version]
            return {"told": [d["to"] for d in sent if d["channel"] != MQTT]}

        return _answer(lambda now: book.escalate(alert_id, who, given.version, given.reason, now=now), told)

    @router.post("/alerts/{alert_id}/resolve", **STANDS)
    def resolve(seen: Triaging, alert_id: str, given: Decided) -> JSONResponse:
        who = _who(seen, alert_id)
        return _answer(lambda now: book.resolve(alert_id, who, given.version, given.reason, now=now))

    @router.post("/alerts/{alert_id}/suppress", **STANDS)
    def suppress(seen: Triaging, alert_id: str, given: Suppressed) -> JSONResponse:
        who = _who(seen, alert_id)
        return _answer(
            lambda now: book.suppress(
                alert_id, who, given.screen, given.version, hours=given.hours, reason=given.reason, now=now
            )
        )

    @router.post("/alerts/{alert_id}/undo", **STANDS)
    def undo(seen: Triaging, alert_id: str, given: Decided) -> JSONResponse:
        who = _who(seen, alert_id)
        return _answer(lambda now: book.undo(alert_id, who, given.version, given.reason, now=now))


def _rules(router: APIRouter, patient_rules: PatientRules, base: RuleConfig) -> None:
    @router.get("/patches/{patch_id}/rules", **said.answers(said.Rules))
    def rules(seen: Seeing, patch_id: str) -> Answer:
        """What a part that came now would be judged by, and whose thresholds those are."""
        _own(seen, patch_id, Action.SEE)
        now = time.time()
        force = patient_rules.at(patch_id, now, base)
        own = patient_rules.thresholds(patch_id, now)
        return {
            "thresholds": force.thresholds.model_dump(),
            "own": None if own is None else dataclasses.asdict(own),
            "quiet": [dataclasses.asdict(rule) | {"priority": str(rule.priority)} for rule in force.quiet],
        }

    @router.post("/patches/{patch_id}/rules", **said.answers(said.Rules))
    def set_rules(seen: Tuning, patch_id: str, given: Limits) -> Answer:
        _own(seen, patch_id, Action.TUNE)
        who = seen.person.name
        new = Thresholds(patch_id=patch_id, own=given.own, at=time.time(), who=who, reason=given.reason)
        try:
            patient_rules.set_thresholds(new, base)
        except RefusedError as error:
            raise HTTPException(422, str(error)) from error
        return rules(seen, patch_id)


def _theirs(seen: Seen, alert_id: str) -> StoredAlert:
    if (stored := seen.alert(alert_id)) is None:
        raise HTTPException(404, f"There is no alert {alert_id}.")
    return stored


def _who(seen: Seen, alert_id: str) -> str:
    """The name of a person to whom the alert is shown at all."""
    _theirs(seen, alert_id)
    return seen.person.name


def _own(seen: Seen, patch_id: str, action: Action) -> None:
    if not seen.patch(patch_id, action):
        raise HTTPException(404, f"There is no patch {patch_id}.")


def _answer(
    do: Callable[[float], Standing], more: Callable[[Standing], Answer] = lambda _: {}
) -> JSONResponse:
    try:
        standing = do(time.time())
    except UnknownAlertError as error:
        raise HTTPException(404, str(error)) from error
    except StaleError as error:
        return JSONResponse({"detail": str(error)} | _brief(error.standing), 409)
    except RefusedError as error:
        raise HTTPException(422, str(error)) from error
    return JSONResponse(_brief(standing) | more(standing))


def _brief(standing: Standing) -> Answer:
    """How an alert stands, and who decided that and when."""
    brief: Answer = {name: getattr(standing, name) for name in ("version", "by", "did", "at")}
    return brief | {"id": standing.alert.id, "state": standing.state}
