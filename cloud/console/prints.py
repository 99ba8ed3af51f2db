"""What can be taken away from the page: strips, reports and exports, as files."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from cloud.ask import UnknownEpisodeError
from cloud.console import said
from cloud.console.seen import Seen
from cloud.console.session import needs
from cloud.prints.day import day_report
from cloud.prints.export import Format, zipped
from cloud.prints.report import episode_report, strip_document
from cloud.prints.strip import Style, draw
from cloud.prints.study import study_report
from cloud.prints.tracing import Tracing, UnknownPatchError, of_episode, utc_of
from cloud.prints.typeset import pdf, png
from cloud.roles import Action
from cloud.turns import BusyError
from models.errors import AnyEcgError

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]
Exporting = Annotated[Seen, Depends(needs(Action.EXPORT))]
STATUS: dict[type[AnyEcgError], int] = {UnknownEpisodeError: 404, UnknownPatchError: 404, BusyError: 503}
TYPES = {"svg": "image/svg+xml", "png": "image/png", "pdf": "application/pdf", "zip": "application/zip"}

KINDS = [TYPES[kind] for kind in ("svg", "png", "pdf")]

From = Annotated[float | None, Query(alias="from", description="s of the patch's own clock; absent: begin")]
To = Annotated[float | None, Query(alias="to", description="s of the patch's own clock; absent: its end")]
Leads = Annotated[str | None, Query(max_length=200, description="by name, with commas; absent: all")]
Moment = Annotated[str, Query(max_length=40, description="2026-05-01T10:00:00+00:00")]


def router() -> APIRouter:
    """Its routes read what the person may see; each answers with a file, or `{"detail": why not}`."""
    routes = APIRouter()

    @routes.get("/episodes/{episode_id}/strip.{kind}", response_class=Response, **said.file(*KINDS))
    @_told
    def strip(
        seen: Seeing,
        episode_id: str,
        kind: Literal["svg", "png", "pdf"],
        begin: From = None,
        end: To = None,
        leads: Leads = None,
        gain: float = 10.0,
        speed: float = 25.0,
    ) -> Response:
        """The strip at a gain in mm/mV and a speed in mm/s."""
        style = Style(speed=speed, gain=gain)
        tracing = of_episode(seen, episode_id, begin, end)
        if leads is not None:
            tracing = tracing.with_leads(leads.split(","))
        return _file(_strip(tracing, style, kind), kind, f"strip-{episode_id}.{kind}")

    @routes.get("/episodes/{episode_id}/report.pdf", response_class=Response, **said.file(TYPES["pdf"]))
    @_told
    def report(seen: Seeing, episode_id: str) -> Response:
        document = episode_report(seen, episode_id, time.time())
        return _file(pdf(document), "pdf", f"report-{episode_id}.pdf")

    @routes.get("/episodes/{episode_id}/export", response_class=Response, **said.file(TYPES["zip"]))
    @_told
    def export(
        seen: Exporting,
        episode_id: str,
        form: Annotated[Format, Query(alias="format")] = "wfdb",
        annotations: Literal["model", "people"] = "model",
        begin: From = None,
        end: To = None,
    ) -> Response:
        """A zip of WFDB or EDF+ files with the findings as annotations, or also with what people marked."""
        tracing = of_episode(seen, episode_id, begin, end)
        made = zipped([tracing], form, by_people=annotations == "people")
        return _file(made, "zip", f"{form}-{episode_id}.zip")

    @routes.get("/patches/{patch_id}/day.pdf", response_class=Response, **said.file(TYPES["pdf"]))
    @_told
    def day(
        seen: Seeing,
        patch_id: str,
        begin: Annotated[Moment, Query(alias="from")],
        end: Annotated[Moment, Query(alias="to")],
    ) -> Response:
        """Between two moments, a week apart at most."""
        document = day_report(seen, patch_id, utc_of(begin), utc_of(end), time.time())
        return _file(pdf(document), "pdf", "day.pdf")

    @routes.get("/patches/{patch_id}/study.pdf", response_class=Response, **said.file(TYPES["pdf"]))
    @_told
    def study(
        seen: Seeing,
        patch_id: str,
        at: Annotated[Moment | None, Query(description="in the assignment; absent: the newest one")] = None,
    ) -> Response:
        """All days of one assignment."""
        document = study_report(seen, patch_id, None if at is None else utc_of(at), time.time())
        return _file(pdf(document), "pdf", "study.pdf")

    return routes


def _strip(tracing: Tracing, style: Style, kind: str) -> bytes:
    if kind == "pdf":
        return pdf(strip_document(tracing, style))
    picture = draw(tracing, style)
    return png(picture) if kind == "png" else picture.svg.encode()


def _told(route: Callable[..., Response]) -> Callable[..., Response]:
    """What cannot be printed is said in a sentence."""

    @wraps(route)
    def answered(**values: Any) -> Response:
        try:
            return route(**values)
        except AnyEcgError as error:
            raise HTTPException(STATUS.get(type(error), 422), str(error)) from error

    return answered


def _file(content: bytes, kind: str, name: str) -> Response:
    disposition = "attachment" if kind == "zip" else "inline"
    headers = {"Content-Disposition": f'{disposition}; filename="{name}"'}
    return Response(content, media_type=TYPES[kind], headers=headers)
