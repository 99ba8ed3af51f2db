"""What people do with alerts, over HTTP: JSON in and out, `{"detail": sentence}` where it is not done.

404 no such alert, 409 somebody was first (with who, what and when), 422 not done in this state.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from cloud.alert_book import AlertBook, UnknownAlertError
from cloud.alerts import StaleError, Standing, State
from cloud.config import RuleConfig
from cloud.console import views
from cloud.patient_rules import PatientRules
from cloud.quiet import RefusedError, Thresholds
from cloud.store import Store


def person(request: Request) -> str:  # noqa: ARG001
    """Who asks: until there are users, whoever sits at this machine."""
    return "local"


Who = Annotated[str, Depends(person)]
Answer = dict[str, Any]
Reason = Annotated[str | None, Field(max_length=500)]


class Seen(BaseModel):
    """The version that a screen shows; a screen is one page in one browser."""

    model_config = ConfigDict(extra="forbid")

    version: int
    screen: str = Field(min_length=1, max_length=64)


class Decided(BaseModel):
    """What a person decides on, and why."""

    model_config = ConfigDict(extra="forbid")

    version: int
    reason: Reason = None


class Suppressed(Seen):
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
    _reading(router, store)
    _deciding(router, store.book)
    _rules(router, store.patient_rules, base)
    return router


def _reading(router: APIRouter, store: Store) -> None:
    @router.get("/alerts")
    def alerts(state: Annotated[list[State] | None, Query()] = None) -> list[Answer]:
        """In any of the states given; all of them where none is."""
        return views.alert_rows(store, state or tuple(State))

    @router.get("/alerts/{alert_id}")
    def alert(alert_id: str) -> Answer:
        """With everything that happened to it."""
        stored = store.alert(alert_id)
        if stored is None:
            raise HTTPException(404, f"There is no alert {alert_id}.")
        transitions = [dataclasses.asdict(t) for t in store.book.transitions(alert_id)]
        more = {"transitions": transitions, "deliveries": store.book.deliveries.of_alert(alert_id)}
        return views.alert_row(store, stored) | more


def _deciding(router: APIRouter, book: AlertBook) -> None:
    @router.post("/alerts/{alert_id}/seen")
    def seen(alert_id: str, said: Seen, who: Who) -> JSONResponse:
        """The strip was drawn on this screen."""
        return _answer(lambda now: book.see(alert_id, who, said.screen, said.version, now=now))

    @router.post("/alerts/{alert_id}/acknowledge")
    def acknowledge(alert_id: str, said: Seen, who: Who) -> JSONResponse:
        return _answer(lambda now: book.acknowledge(alert_id, who, said.screen, said.version, now=now))

    @router.post("/alerts/{alert_id}/resolve")
    def resolve(alert_id: str, said: Decided, who: Who) -> JSONResponse:
        return _answer(lambda now: book.resolve(alert_id, who, said.version, said.reason, now=now))

    @router.post("/alerts/{alert_id}/suppress")
    def suppress(alert_id: str, said: Suppressed, who: Who) -> JSONResponse:
        return _answer(
            lambda now: book.suppress(
                alert_id, who, said.screen, said.version, hours=said.hours, reason=said.reason, now=now
            )
        )

    @router.post("/alerts/{alert_id}/undo")
    def undo(alert_id: str, said: Decided, who: Who) -> JSONResponse:
        return _answer(lambda now: book.undo(alert_id, who, said.version, said.reason, now=now))


def _rules(router: APIRouter, patient_rules: PatientRules, base: RuleConfig) -> None:
    @router.get("/patches/{patch_id}/rules")
    def rules(patch_id: str) -> Answer:
        """What a part that came now would be judged by, and whose thresholds those are."""
        now = time.time()
        force = patient_rules.at(patch_id, now, base)
        own = patient_rules.thresholds(patch_id, now)
        return {
            "thresholds": force.thresholds.model_dump(),
            "own": None if own is None else dataclasses.asdict(own),
            "quiet": [dataclasses.asdict(rule) | {"priority": str(rule.priority)} for rule in force.quiet],
        }

    @router.post("/patches/{patch_id}/rules")
    def set_rules(patch_id: str, said: Limits, who: Who) -> Answer:
        new = Thresholds(patch_id=patch_id, own=said.own, at=time.time(), who=who, reason=said.reason)
        try:
            patient_rules.set_thresholds(new, base)
        except RefusedError as error:
            raise HTTPException(422, str(error)) from error
        return rules(patch_id)


def _answer(do: Callable[[float], Standing]) -> JSONResponse:
    try:
        standing = do(time.time())
    except UnknownAlertError as error:
        raise HTTPException(404, str(error)) from error
    except StaleError as error:
        return JSONResponse({"detail": str(error)} | _brief(error.standing), 409)
    except RefusedError as error:
        raise HTTPException(422, str(error)) from error
    return JSONResponse(_brief(standing))


def _brief(standing: Standing) -> Answer:
    """How an alert stands, and who decided that and when."""
    brief: Answer = {name: getattr(standing, name) for name in ("version", "by", "did", "at")}
    return brief | {"id": standing.alert.id, "state": standing.state}
