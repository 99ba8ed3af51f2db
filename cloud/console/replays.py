"""/replays: recordings sent again, marked REPLAY everywhere; for whoever may see figures of all wards."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import wraps
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ConfigDict

from cloud.ask import UnknownEpisodeError
from cloud.console import views
from cloud.console.seen import Seen, everything
from cloud.console.session import Form, Render, needs
from cloud.console.views import EpisodeView
from cloud.prints.strip import Style, draw
from cloud.prints.tracing import of_episode
from cloud.replay_diff import diff
from cloud.replays import Replays, RunError, UnknownRunError
from cloud.roles import Action
from models.errors import AnyEcgError

Watching = Annotated[Seen, Depends(needs(Action.FIGURES))]

MARK = '<text x="50%" y="5" text-anchor="middle" font-size="4" fill="#c01722">REPLAY</text></svg>'
MOST = 200  # episodes of a page


class Network(BaseModel):
    """What analysed it."""

    network: str
    weights: str  # SHA-256, hex


class Run(BaseModel):
    """A recording, or several, as sent at one time."""

    run: str
    parts: int
    pending: int  # parts not analysed yet
    begun_at: float | None  # Unix s
    last_at: float | None  # Unix s: the newest part came
    patches: list[str]
    networks: list[Network]
    findings: dict[str, int]  # label -> how many
    alerts: int  # that a live node would have raised


class ReplayFinding(BaseModel):
    """First and last are samples of the recording."""

    model_config = ConfigDict(extra="forbid")

    patch_id: str
    boot_id: int
    fs: float  # Hz
    label: str
    first: int
    last: int
    probability: float | None


class Moved(BaseModel):
    """Found by both, and begins or ends elsewhere."""

    a: ReplayFinding
    b: ReplayFinding


class Counts(BaseModel):
    """Of one label."""

    same: int
    moved: int
    only_a: int
    only_b: int


class Diff(BaseModel):
    """What two runs found differently; of each list the first 1000."""

    a: Run
    b: Run
    labels: dict[str, Counts]
    moved: list[Moved]
    only_a: list[ReplayFinding]
    only_b: list[ReplayFinding]


def replay_pages(app: FastAPI, replays: Replays, render: Render) -> None:
    """Pages, pictures and JSON."""
    _pages(app, replays, render)
    _interface(app, replays)

    @app.post("/replays/delete", include_in_schema=False)
    @_told
    def delete(seen: Watching, given: Form) -> Response:
        replays.delete(given.get("run", ""), who=seen.person.name, now=time.time())
        return RedirectResponse("/replays", 303)


def _interface(app: FastAPI, replays: Replays) -> None:
    watching = [Depends(needs(Action.FIGURES))]

    @app.get("/api/replays", dependencies=watching)
    def runs() -> list[Run]:
        return [Run(**run) for run in replays.runs()]

    @app.get("/api/replays/{run}", dependencies=watching)
    @_told
    def run(run: str) -> Run:
        return Run(**replays.summary(run))

    @app.get("/api/replays/{a}/diff/{b}", dependencies=watching)
    @_told
    def difference(a: str, b: str) -> Diff:
        """What run `b` found otherwise than run `a`, for two versions of a network over one recording."""
        return Diff.model_validate(diff(replays, a, b))


def _pages(app: FastAPI, replays: Replays, render: Render) -> None:
    @app.get("/replays", response_class=HTMLResponse, include_in_schema=False)
    def listed(seen: Watching) -> HTMLResponse:
        return render("replays.html", person=seen.person, runs=replays.runs(), moment=views.moment)

    @app.get("/replays/diff", response_class=HTMLResponse, include_in_schema=False)
    @_told
    def compared(seen: Watching, a: str, b: str) -> HTMLResponse:
        return render("replay_diff.html", person=seen.person, diff=diff(replays, a, b))

    @app.get("/replays/{run}", response_class=HTMLResponse, include_in_schema=False)
    @_told
    def one(seen: Watching, run: str) -> HTMLResponse:
        with _opened(replays, run) as held:
            shown = [EpisodeView.of(held, episode.id) for episode in held.episodes(limit=MOST)]
            values = {"episodes": shown, "alerts": views.alert_rows(held), "run": replays.summary(run)}
            return render("replay.html", person=seen.person, moment=views.moment, **values)

    @app.get(
        "/replays/{run}/episodes/{episode_id}/strip.svg",
        include_in_schema=False,
        dependencies=[Depends(needs(Action.FIGURES))],
    )
    @_told
    def strip(run: str, episode_id: str) -> Response:
        with _opened(replays, run) as held:
            picture = draw(of_episode(held, episode_id), Style())
        marked = picture.svg.removesuffix("</svg>") + MARK
        return Response(marked, media_type="image/svg+xml")


@contextlib.contextmanager
def _opened(replays: Replays, run: str) -> Iterator[Seen]:
    store = replays.open(run)
    try:
        yield everything(store)
    finally:
        store.close()


def _told(route: Callable[..., Any]) -> Callable[..., Any]:
    """What there is not is said in a sentence."""

    @wraps(route)
    def said(*values: Any, **named: Any) -> Any:
        try:
            return route(*values, **named)
        except (UnknownRunError, UnknownEpisodeError, RunError) as error:
            raise HTTPException(404, str(error)) from error
        except AnyEcgError as error:
            raise HTTPException(422, str(error)) from error

    return said
