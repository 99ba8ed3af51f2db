"""The door of the page: who asks, whether they may, and how they come in and go out."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from functools import cache
from typing import Annotated, Any
from urllib.parse import parse_qsl

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from cloud.assignments import Assignments
from cloud.config import PeopleConfig
from cloud.console.live import Hub
from cloud.console.seen import Seen
from cloud.passwords import Brake
from cloud.people import People, RefusedError
from cloud.roles import Action, Person, Role, may
from cloud.sqlite_store import SqliteStore
from models.errors import UsageError

logger = logging.getLogger(__name__)

SAFE = {"GET", "HEAD", "OPTIONS"}
LARGEST = 10_000  # bytes of a form
FIELDS = 20
SIGN_IN = "Sign in first."
FOREIGN = "Another site made your browser ask for this; it was not done."

Render = Callable[..., HTMLResponse]
Show = Callable[..., Response]


class Door:
    """Who is behind a request, and what they see of the store."""

    def __init__(self, store: SqliteStore, config: PeopleConfig | None = None) -> None:
        self.people = People(store, config)
        self.assignments = Assignments(store)
        self._store = store
        self._names, self._addresses = Brake(free=5, longest_s=60.0), Brake(free=20, longest_s=900.0)

    def person(self, request: Request, *, using: bool = True) -> Person | None:
        return self.people.person(request.cookies.get(_cookie(request)), using=using)

    def seen(self, who: Person) -> Seen:
        return Seen(self._store, self.assignments, who)

    def stream(self, request: Request, hub: Hub, after: int | None) -> AsyncIterator[str]:
        """What the person may see, for as long as the session lasts; watching it does not make it last."""

        def look() -> Seen | None:
            who = self.person(request, using=False)
            return self.seen(who) if who is not None and may(who, Action.SEE) else None

        return hub.stream(self._store.last_event() if after is None else after, look)

    def enter(self, request: Request, name: str, attempt: Callable[[str], str]) -> Response:
        """Signed in by the session that `attempt` begins for an address.

        Raises:
            WaitError: too many attempts failed under this name or from this address.
            RefusedError, UsageError: as `attempt` does.
        """
        now, address = time.monotonic(), request.client.host if request.client else ""
        wait = max(self._names.wait_s(name, now), self._addresses.wait_s(address, now))
        if wait > 0:
            raise WaitError(wait)
        self._names.tried(name, now)
        self._addresses.tried(address, now)
        try:
            secret = attempt(address)
        except RefusedError:
            logger.warning("somebody was refused at the page from %s", address)
            self.people.refused(name, address)
            raise
        except UsageError:  # of a new name or password, behind a code that was good
            self._addresses.passed(address, forgive=False)
            raise
        self._names.passed(name, forgive=True)
        self._addresses.passed(address, forgive=False)
        response = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        response.set_cookie(_cookie(request), secret, httponly=True, samesite="strict", secure=secure)
        return response

    def leave(self, request: Request) -> Response:
        secret = request.cookies.get(_cookie(request))
        if secret:
            self.people.sign_out(secret)
        response = RedirectResponse("/login", 303)
        response.delete_cookie(_cookie(request), secure=request.url.scheme == "https", httponly=True)
        return response


class WaitError(UsageError):
    """Too many attempts."""

    def __init__(self, seconds: float) -> None:
        self.seconds = math.ceil(seconds)
        super().__init__(f"Too many attempts failed: wait {self.seconds} s.")


class SignedOutError(HTTPException):
    """Nobody is signed in."""

    def __init__(self) -> None:
        super().__init__(401, SIGN_IN)


def person(request: Request) -> Person:
    """Who asks; SignedOutError."""
    door: Door = request.app.state.door
    if (who := door.person(request)) is None:
        raise SignedOutError
    return who


Who = Annotated[Person, Depends(person)]


@cache
def needs(action: Action) -> Callable[[Request, Person], Seen]:
    """The dependency of a route that the role must allow the action; its value is what the person sees."""

    def permitted(request: Request, who: Who) -> Seen:
        if not may(who, action):
            if who.role is Role.PATIENT:  # what else there is here is nothing to them
                raise HTTPException(404, "There is no such page.")
            raise HTTPException(403, f"Your role, {who.role}, does not allow this ({action}).")
        door: Door = request.app.state.door
        return door.seen(who)

    return permitted


async def form(request: Request) -> dict[str, str]:
    """The fields of a posted form."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST:
            raise HTTPException(413, "The form is too long.")
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS))
    except ValueError as error:
        raise HTTPException(400, "The form cannot be read.") from error


Form = Annotated[dict[str, str], Depends(form)]


def foreign(request: Request) -> bool:
    """Whether another site made a browser send this, and it would change something."""
    if request.method in SAFE:
        return False
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = request.headers.get(
        "origin"
    )  # older browsers, and http beyond this machine; other programs: none
    return origin is not None and origin != f"{request.url.scheme}://{request.headers.get('host')}"


def status_of(error: UsageError) -> int:
    return 429 if isinstance(error, WaitError) else 401 if isinstance(error, RefusedError) else 422


def doors(app: FastAPI, door: Door, render: Render) -> None:
    """/login, /join, /logout and /password."""

    @app.exception_handler(SignedOutError)
    async def signed_out(request: Request, _: SignedOutError) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return RedirectResponse("/login", 303)
        return JSONResponse({"detail": SIGN_IN}, 401)

    def show(page: str, error: UsageError | None = None, **values: Any) -> Response:
        response = render(page, error=error, first=not door.people.any(), **values)
        if error is not None:
            response.status_code = status_of(error)
        if isinstance(error, WaitError):
            response.headers["Retry-After"] = str(error.seconds)
        return response

    _login(app, door, show)
    _join(app, door, show)
    _password(app, door, show)

    @app.post("/logout", include_in_schema=False)
    def logout(request: Request) -> Response:
        return door.leave(request)


def _login(app: FastAPI, door: Door, show: Show) -> None:
    @app.get("/login", include_in_schema=False)
    def login_page() -> Response:
        if not door.people.required:
            return RedirectResponse("/", 303)
        return show("login.html") if door.people.any() else RedirectResponse("/join", 303)

    @app.post("/login", include_in_schema=False)
    def login(request: Request, given: Form) -> Response:
        name, password = given.get("name", "").strip().lower(), given.get("password", "")
        try:
            return door.enter(request, name, lambda at: door.people.sign_in(name, password, at))
        except UsageError as error:
            return show("login.html", error)


def _join(app: FastAPI, door: Door, show: Show) -> None:
    @app.get("/join", include_in_schema=False)
    def join_page() -> Response:
        return show("join.html")

    @app.post("/join", include_in_schema=False)
    def join(request: Request, given: Form) -> Response:
        code, name, password = (given.get(key, "") for key in ("code", "name", "password"))
        try:
            return door.enter(request, "", lambda at: door.people.join(code, name, password, at))
        except UsageError as error:
            return show("join.html", error)


def _password(app: FastAPI, door: Door, show: Show) -> None:
    @app.get("/password", include_in_schema=False)
    def password_page(who: Who) -> Response:
        return show("password.html", person=who)

    @app.post("/password", include_in_schema=False)
    def password(request: Request, who: Who, given: Form) -> Response:
        now, new = given.get("password", ""), given.get("new", "")
        try:
            door.enter(request, who.name, lambda at: door.people.sign_in(who.name, now, at))
            door.people.set_password(who, who.name, new)
        except UsageError as error:
            return show("password.html", error, person=who)
        return door.leave(request)


def _cookie(request: Request) -> str:
    """`__Host-` keeps other hosts and paths from setting it, where there is TLS."""
    return "__Host-anyecg" if request.url.scheme == "https" else "anyecg"
