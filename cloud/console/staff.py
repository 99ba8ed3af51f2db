"""Two pages: /people, where an admin makes users, and /patches, where patches are put on patients."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse, Response

from cloud.assignments import begin_of
from cloud.console.seen import Seen
from cloud.console.session import Door, Form, Render, needs, status_of
from cloud.console.views import moment
from cloud.roles import UNASSIGNED, Action, Role, may, role_of, wards_of
from models.errors import UsageError

Managing = Annotated[Seen, Depends(needs(Action.PEOPLE))]
Assigning = Annotated[Seen, Depends(needs(Action.ASSIGN))]


def staff(app: FastAPI, door: Door, render: Render) -> None:
    """Both pages and what they post."""
    _people(app, door, render)
    _patches(app, door, render)


def _people(app: FastAPI, door: Door, render: Render) -> None:
    people = door.people

    def page(seen: Seen, error: str | None = None) -> Response:
        roles = [str(role) for role in Role if role is not Role.PATIENT]
        return render("people.html", person=seen.person, users=people.users(), roles=roles, error=error)

    def done(seen: Seen, change: Callable[[], object]) -> Response:
        return _done("/people", change, lambda error: page(seen, error))

    @app.get("/people", include_in_schema=False)
    def people_page(seen: Managing) -> Response:
        return page(seen)

    @app.post("/people/add", include_in_schema=False)
    def add(seen: Managing, given: Form) -> Response:
        name, password, role, wards = (given.get(key, "") for key in ("name", "password", "role", "wards"))

        def change() -> None:
            people.add(seen.person, name, password, role_of(role), wards_of(wards))

        return done(seen, change)

    @app.post("/people/wards", include_in_schema=False)
    def wards(seen: Managing, given: Form) -> Response:
        name, new = given.get("name", ""), wards_of(given.get("wards", ""))
        return done(seen, lambda: people.set_wards(seen.person, name, new))

    @app.post("/people/password", include_in_schema=False)
    def password(seen: Managing, given: Form) -> Response:
        name, new = given.get("name", ""), given.get("password", "")
        return done(seen, lambda: people.set_password(seen.person, name, new))

    @app.post("/people/disable", include_in_schema=False)
    def disable(seen: Managing, given: Form) -> Response:
        return done(seen, lambda: people.disable(seen.person, given.get("name", "")))


def _patches(app: FastAPI, door: Door, render: Render) -> None:
    assignments = door.assignments

    def page(seen: Seen, error: str | None = None, code: str | None = None, of: str = "") -> Response:
        rows = _rows(door, seen)
        wards = sorted(seen.person.wards | {row["ward"] for row in rows} - {UNASSIGNED})
        return render(
            "patches.html", person=seen.person, patches=rows, wards=wards, error=error, code=code, of=of
        )

    def done(seen: Seen, change: Callable[[], object]) -> Response:
        return _done("/patches", change, lambda error: page(seen, error))

    @app.get("/patches", include_in_schema=False)
    def patches_page(seen: Assigning) -> Response:
        return page(seen)

    @app.post("/patches/assign", include_in_schema=False)
    def assign(seen: Assigning, given: Form) -> Response:
        """Assign or move."""

        def change() -> None:
            patch, patient, ward, name, born, phone, start = (
                given.get(key, "").strip()
                for key in ("patch", "patient", "ward", "name", "born", "phone", "from")
            )
            assignments.assign(
                seen.person, patch, patient, ward, start=begin_of(start), name=name, born=born, phone=phone
            )

        return done(seen, change)

    @app.post("/patches/end", include_in_schema=False)
    def end(seen: Assigning, given: Form) -> Response:
        return done(seen, lambda: assignments.end(seen.person, given.get("patch", "")))

    @app.post("/patches/code", include_in_schema=False)
    def invite(seen: Assigning, given: Form) -> Response:
        """A code for the patient, shown once."""
        patch = given.get("patch", "")
        held = assignments.at(patch, time.time())
        try:
            if held is None:
                raise UsageError(f"There is no patch {patch} on a patient in your wards.")
            return page(seen, code=door.people.invite(seen.person, held), of=patch)
        except UsageError as error:
            return page(seen, str(error))


def _done(path: str, change: Callable[[], object], again: Callable[[str], Response]) -> Response:
    """The page anew after the change, or with what was wrong."""
    try:
        change()
    except UsageError as error:
        response = again(str(error))
        response.status_code = status_of(error)
        return response
    return RedirectResponse(path, 303)


def _rows(door: Door, seen: Seen) -> list[dict[str, Any]]:
    """Patches of the person's wards that are on a patient or have been heard."""
    now, held = time.time(), door.assignments.open()
    heard = {patch.patch_id for patch in seen.patches()}
    mine = {patch for patch, one in held.items() if may(seen.person, Action.ASSIGN, one)}
    return [
        {
            "patch_id": patch,
            "heard": patch in heard,
            "patient": seen.patient(patch, now),
            "patient_id": held[patch].patient_id if patch in held else None,
            "ward": held[patch].ward if patch in held else UNASSIGNED,
            "since": moment(held[patch].start) if patch in held else None,
        }
        for patch in sorted(heard | mine)
    ]
