"""The page's routes: fragments for the page, JSON for machines, samples for the strip, events for both."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloud.ask import MOST, Asked, Asking, UnknownEpisodeError
from cloud.config import PeopleConfig, RuleConfig
from cloud.console import alerts, compare, day, disclosure, prints, said, views
from cloud.console.annotating import annotating
from cloud.console.editor import editor
from cloud.console.live import Hub
from cloud.console.mine import mine, page_of
from cloud.console.operations import operations
from cloud.console.replays import replay_pages
from cloud.console.seen import Seen
from cloud.console.session import FOREIGN, Door, Render, doors, foreign, needs
from cloud.console.staff import staff
from cloud.console.views import EpisodeView
from cloud.health import Health, writable
from cloud.metrics import Metrics
from cloud.replays import Replays
from cloud.roles import Action, Role, may
from cloud.rows import spread
from cloud.sqlite_store import SqliteStore
from cloud.store import StoredFinding
from cloud.turns import BusyError
from models.errors import AnyEcgError

T = TypeVar("T")
HERE = Path(__file__).parent
LOOPBACK = ["127.0.0.1", "localhost", "::1"]
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}},
    503: {"model": said.Refusal, "description": "The language model is off, or busy."},
}
OFF = "Nothing can be asked here: the language model is off (chat.size in cloud.toml)."
STATUS: dict[type[AnyEcgError], int] = {UnknownEpisodeError: 404, BusyError: 503}


Seeing = Annotated[Seen, Depends(needs(Action.SEE))]


def create_app(
    store: SqliteStore,
    site: str = "home",
    asking: Asking | None = None,
    rules: RuleConfig | None = None,
    people: PeopleConfig | None = None,
    *,
    local: bool = True,
    metrics: Metrics | None = None,
    health: Health | None = None,
    replays: Replays | None = None,
) -> FastAPI:
    """The console over one store; `site` is named in the page's head, `asking` answers questions, `rules` are
    the thresholds of patches without their own, `people` says who must sign in, and `local` that only this
    machine reaches it. `metrics`, `health` and `replays` are the node's.

    Before its server stops, call `app.state.hub.close()`: open pages would keep it waiting.
    """
    hub, door = Hub(store), Door(store, people)
    metrics = metrics or Metrics(store)
    metrics.watch_clients(lambda: hub.clients)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with hub.running():
            yield

    app = FastAPI(title="anyECG", docs_url=None, redoc_url=None, lifespan=lifespan, responses=said.REFUSALS)
    app.state.hub, app.state.door = hub, door
    if local:  # another site's name that resolves to this machine must not reach the page
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")

    app.add_middleware(Hardened)
    render = _render(site, asking is not None, replays is not None)
    doors(app, door, render)
    staff(app, door, render)
    mine(app, store.symptoms, render)
    _pages(app, store, render)
    operations(app, door, metrics, health or Health({"store": writable(store)}))
    if replays is not None:
        replay_pages(app, replays, render)
    _interface(app, store)
    _ask(app, asking)
    app.include_router(prints.router())
    app.include_router(day.router(render))
    app.include_router(disclosure.router(store.commands, render))
    app.include_router(editor(store.signing, render))
    app.include_router(annotating(store.annotations))
    app.include_router(compare.routes(render))
    app.include_router(alerts.routes(store, rules or RuleConfig()))

    @app.get("/events", include_in_schema=False, dependencies=[Depends(needs(Action.SEE))])
    async def events(request: Request, after: int | None = None) -> StreamingResponse:
        seen = request.headers.get("last-event-id")
        start = int(seen) if seen and seen.isdigit() else after
        return StreamingResponse(door.stream(request, hub, start), media_type="text/event-stream")

    return app


class Hardened:
    """Refuses what another site made a browser send, and tells browsers what no page may do."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refused = scope["type"] == "http" and foreign(Request(scope))
        app = JSONResponse({"detail": FOREIGN}, 403) if refused else self._app
        await app(scope, receive, hardened)


def _render(site: str, answers: bool, replaying: bool) -> Render:
    """Renders a template of the page."""
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )
    templates.globals.update(
        wording=views.WORDING,
        review=views.REVIEW,
        not_assessed=views.NOT_ASSESSED,
        recent=views.RECENT,
        most_cards=views.MOST,
        counted=views.counted,
        version=version("anyecg"),
        answers=answers,
        replaying=replaying,
        off=OFF,
        most=MOST,
        site=site,
        may=may,
        actions=Action,
    )

    def render(name: str, **values: Any) -> HTMLResponse:
        return HTMLResponse(templates.get_template(name).render(**values))

    return render


def _pages(app: FastAPI, store: SqliteStore, render: Render) -> None:
    @app.get("/", response_class=HTMLResponse, include_in_schema=False)
    def index(seen: Annotated[Seen, Depends(needs(Action.STATUS))]) -> Response:
        if seen.person.role is Role.PATIENT:
            return page_of(seen, store.symptoms, render)
        last_event = store.last_event()  # before what is shown: what comes meanwhile is told again
        queues = views.Queues.of(seen, time.time())
        return render("index.html", person=seen.person, last_event=last_event, queues=queues)

    @app.get("/fragments/queues", response_class=HTMLResponse, include_in_schema=False)
    def queues_fragment(seen: Seeing) -> HTMLResponse:
        return render("queues.html", person=seen.person, queues=views.Queues.of(seen, time.time()))

    @app.get("/fragments/episodes/{episode_id}", response_class=HTMLResponse, include_in_schema=False)
    def episode_fragment(episode_id: str, seen: Seeing) -> HTMLResponse:
        return render("episode.html", person=seen.person, view=_episode(seen, episode_id))

    @app.get("/fragments/together", response_class=HTMLResponse, include_in_schema=False)
    def together_fragment(
        episode: Annotated[list[str], Query(min_length=1, max_length=MOST)],
        seen: Seeing,
    ) -> HTMLResponse:
        """Several strips, one above the other, to be asked about together."""
        strips = [_episode(seen, ident) for ident in episode]
        return render("together.html", person=seen.person, views=strips)


def _interface(app: FastAPI, store: SqliteStore) -> None:
    figures = [Depends(needs(Action.FIGURES))]

    @app.get("/api/patches", **said.answers(list[said.PatchRow]))
    def patches(seen: Seeing) -> list[dict[str, Any]]:
        beats = {patch.patch_id: patch.heartbeat for patch in seen.patches()}
        rows = views.patch_rows(seen, time.time())
        return [row | {"heartbeat": beats.get(row["patch_id"], {})} for row in rows]

    @app.get("/api/latencies", **said.answers(dict[str, said.Spread]))
    def latencies(seen: Seeing) -> dict[str, dict[str, Any]]:
        """Of each patch, over 24 h: {n, p50, p95}, s from a sample to the event that showed its finding."""
        found = seen.latencies(time.time())
        return {patch_id: spread(seconds) for patch_id, seconds in found.items()}

    @app.get("/api/segments", dependencies=figures, **said.answers(list[said.SegmentHash]))
    def segments() -> list[dict[str, str]]:
        return [{"id": segment, "sha256": sha256} for segment, sha256 in store.sha256s().items()]

    @app.get("/api/stats", dependencies=figures, **said.answers(said.Stats))
    def stats() -> dict[str, Any]:
        return store.stats()

    @app.get("/api/episodes/{episode_id}", **said.answers(said.EpisodeData))
    def episode(episode_id: str, seen: Seeing) -> dict[str, Any]:
        """What `<ecg-strip>` draws beside the samples; spans in sample indices, both ends included."""
        view = _episode(seen, episode_id)
        e = view.episode
        return {
            "id": e.id,
            "patch_id": e.patch_id,
            "first": e.first,
            "last": e.last,
            "fs": e.fs,
            "leads": e.leads,
            "uv_per_count": view.parts[0].uv_per_count if view.parts else [1.0] * len(e.leads),
            "final": e.final,
            "gaps": view.gaps(),
            "samples_deleted_at": e.deleted_at,
            "lead_off": [span for part in view.parts for span in part.lead_off],
            "findings": [_span(stored) for stored in view.findings],
            "report": view.report.narrative if view.report else None,
            "report_head": view.head,
        }

    @app.get(
        "/api/episodes/{episode_id}/samples",
        response_class=Response,
        **said.file("application/octet-stream"),
    )
    def samples(episode_id: str, seen: Seeing) -> Response:
        """Little-endian int32 counts, lead after lead, from the first sample to the last; 0 in gaps."""
        e = _known(seen.episode(episode_id), episode_id)
        counts = np.zeros((len(e.leads), e.last + 1 - e.first), dtype="<i4")
        for part in seen.parts(episode_id):
            if part.first < e.first or part.last > e.last:
                continue  # it came meanwhile, and its news bring it
            counts[:, part.first - e.first : part.last + 1 - e.first] = part.counts
        return Response(counts.tobytes(), media_type="application/octet-stream")


def _ask(app: FastAPI, asking: Asking | None) -> None:
    @app.exception_handler(RequestValidationError)
    async def wrong(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body")
        return JSONResponse({"detail": f"{where or 'request'}: {first['msg']}."}, status_code=422)

    @app.post("/ask", response_class=StreamingResponse, responses=LINES)
    def ask(asked: Asked, seen: Annotated[Seen, Depends(needs(Action.ASK))]) -> StreamingResponse:
        """A JSON object a line, as `cloud.ask.Asking.stream` makes them; or `{"detail": why not}`."""
        for wanted in asked.episodes:
            _episode(seen, wanted if isinstance(wanted, str) else wanted.episode)
        if asking is None:
            raise HTTPException(503, OFF)
        try:
            lines = asking.stream(asked, seen.worn_by)
        except AnyEcgError as error:
            raise HTTPException(STATUS.get(type(error), 422), str(error)) from error
        return StreamingResponse(
            (json.dumps(line) + "\n" for line in lines), media_type="application/x-ndjson"
        )


def _episode(seen: Seen, episode_id: str) -> EpisodeView:
    return _known(EpisodeView.of(seen, episode_id), episode_id)


def _known(found: T | None, episode_id: str) -> T:
    if found is None:
        raise HTTPException(404, f"There is no episode {episode_id}.")
    return found


def _span(stored: StoredFinding) -> dict[str, Any]:
    f = stored.finding
    return {
        "id": stored.id,
        "label": f.label,
        "code": f.code,
        "first": f.first,
        "last": f.last,
        "leads": f.leads,
        "probability": f.probability,
        "evidence": f.evidence,
        "open": stored.open,
    }
