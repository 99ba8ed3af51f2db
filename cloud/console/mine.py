"""The patient's page: how their patch is, what somebody reviewed, and the button for what they feel."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse, Response

from cloud.commands import Asked, State
from cloud.console.seen import Seen
from cloud.console.session import Form, Render, needs
from cloud.console.views import lasting, moment, patch_rows, symptom_row
from cloud.roles import Action
from cloud.symptoms import LONGEST_NOTE, Kind, Told, TooOftenError
from cloud.symptoms import Symptoms as Kept
from models.errors import UsageError

AGO = (0, 2, 5, 10, 15, 30, 60, 120, 240, 480, 720)  # minutes that can be chosen
QUIET_S = 120.0  # without new data the patch is not called connected
EMERGENCY = (
    "This page is not for emergencies: nobody may be looking at it. If you feel unwell, call your local "
    "emergency number."
)

Marking = Annotated[Seen, Depends(needs(Action.MARK))]


def mine(app: FastAPI, kept: Kept, render: Render) -> None:
    """The form of the button and what it posts; the page itself is `page_of`."""

    def form(seen: Seen, given: dict[str, str], error: UsageError | None = None) -> Response:
        kinds, ago = list(Kind), [(minutes, _ago(minutes)) for minutes in AGO]
        values = {"form": given.get("form") or secrets.token_hex(8), "longest": LONGEST_NOTE}
        told = {key: given.get(key, "") for key in ("kind", "minutes", "note")}
        return render(
            "symptom.html",
            person=seen.person,
            kinds=kinds,
            ago=ago,
            told=told,
            error=error,
            emergency=EMERGENCY,
            **values,
        )

    @app.get("/symptom", include_in_schema=False)
    def symptom_page(seen: Marking) -> Response:
        return form(seen, {})

    @app.post("/symptom", include_in_schema=False)
    def symptom(seen: Marking, given: Form) -> Response:
        wanted = ("kind", "minutes", "note", "form")
        try:
            kept.tell(seen.person, Told(**{key: given.get(key, "") for key in wanted}), time.time())
        except UsageError as error:
            response = form(seen, given, error)
            response.status_code = 429 if isinstance(error, TooOftenError) else 422
            if isinstance(error, TooOftenError):
                response.headers["Retry-After"] = str(error.seconds)
            return response
        return RedirectResponse("/", 303)


def page_of(seen: Seen, kept: Kept, render: Render) -> Response:
    """What a patient finds at `/`."""
    now = time.time()
    patches = [
        row
        | {
            "summary": reviewed_summary(seen, row["patch_id"]),
            "quiet": row["newest_utc"] is None or now - row["newest_utc"] > QUIET_S,
        }
        for row in patch_rows(seen, now)
    ]
    online = any(row["online"] for row in patches)
    told = [symptom_row(s) | {"mark": _marked(seen.mark(s), online)} for s in kept.of(seen.person)]
    return render("mine.html", person=seen.person, patches=patches, told=told, emergency=EMERGENCY)


def reviewed_summary(seen: Seen, patch_id: str) -> str | None:
    """What a named person has made of the patient's recording; None: nobody has yet.

    The one place that decides what a patient reads of their heart, and no output of a model passes it that
    nobody signed: what a clinician wrote for them, else who looked, and when.
    """
    if summary := seen.summary(patch_id):
        return f"{summary.text} ({summary.who}, {moment(summary.at)})"
    stored = seen.reviewed(patch_id)
    if stored is None:
        return None
    standing = stored.standing
    return f"{standing.acknowledged_by} looked at your recording, {moment(standing.acknowledged_at)}."


def _marked(asked: Asked | None, online: bool) -> str:
    """How far the mark has come, for who pressed the button; a broker may hold what was sent to a box that is
    away."""
    if asked is None or asked.state is State.REFUSED:
        return "Your clinic sees it here; it could not be marked in the recording."
    if asked.state is State.DONE:  # with a reason where the moment had passed
        return (
            "What was recorded then is sent to your clinic." if asked.reason else "Marked in your recording."
        )
    if not online or asked.sends == 0:
        return "Kept. It will be sent to your patch's box as soon as that can be reached."
    return "Sent to your patch's box, which has not answered yet."


def _ago(minutes: int) -> Any:
    return (
        "now" if not minutes else f"{lasting(60 * minutes).removesuffix(' 0 s').removesuffix(' 0 min')} ago"
    )
