"""Full disclosure: everything that was recorded of a patch, a minute a row, and what is fetched for it."""

from __future__ import annotations

import base64
import math
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from fastapi.responses import JSONResponse

from cloud.commands import Asked, Commands, State
from cloud.console import said
from cloud.console.seen import Seen
from cloud.console.session import Render, needs
from cloud.console.views import hand_rows, moment
from cloud.disclosure import COLUMN_S, PER_MINUTE, Columns, Span, Strip, pieces
from cloud.prints.tracing import placed
from cloud.roles import Action
from cloud.store import Patch
from models.commands import FULL_S, LONGEST_S
from models.ecg import Segment, mask_to_spans
from models.errors import UsageError
from models.ranges import Pulled
from models.verdicts import LABELS, Kind
from models.wire import LAST_UTC

MINUTE_S = 60.0
ROWS = 60  # on the page at once
NOT_HERE = "The samples of this minute are not here yet."
NOTHING = "Nothing of this minute was recorded."
GONE = "What was recorded of this minute made room at the edge for what is newer."
SETTLE_S = 5.0  # what an edge has received is on its disk, and so can be asked for
BACKFILL_S = 600.0  # what a patch was not heard in may still come
USUAL_FS = 250.0  # of a patch that has not said it

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]
Begin = Annotated[float, Query(alias="from", ge=0, lt=LAST_UTC, description="Unix seconds")]
At = Annotated[float, Path(ge=0, lt=LAST_UTC, description="Unix seconds")]
Length = Annotated[float, Query(gt=0, le=26 * 3600)]  # a day, also one that is longer
Lead = Annotated[str | None, Query(max_length=32, description="by name; absent: the first")]


def router(commands: Commands, render: Render) -> APIRouter:
    """The page, what it draws, and what it asks the edge for."""
    routes = APIRouter()
    _page(routes, render)
    _levels(routes)
    _asking(routes, commands)
    return routes


def _page(routes: APIRouter, render: Render) -> None:
    @routes.get("/patches/{patch_id}/disclosure", include_in_schema=False)
    def page(seen: Seeing, patch_id: str, day: date | None = None) -> Response:
        now = time.time()
        day = day or datetime.now(UTC).astimezone().date()
        begin, end = _day(day)
        patch = _patch(seen, patch_id, begin, end)
        return render(
            "disclosure.html",
            person=seen.person,
            patch_id=patch_id,
            hands=hand_rows(seen.hands(patch_id, begin, end)),
            online=patch is not None and patch.online,
            day=day,
            before=day - timedelta(days=1),
            after=day + timedelta(days=1) if end < now else None,
            begin=begin,
            minutes=round((end - begin) / MINUTE_S),
            offset=moment(begin)[-5:],
        )


def _levels(routes: APIRouter) -> None:
    """The day in minutes, an hour in columns, a minute in samples."""

    @routes.get("/api/patches/{patch_id}/disclosure", **said.answers(said.DayOverview))
    def overview(seen: Seeing, patch_id: str, day: date, lead: Lead = None) -> dict[str, Any]:
        """Of each minute of a day the least and the greatest of a lead, in microvolts, or why there is none;
        episodes and what was found, in seconds of the day; and what the edge is still asked for."""
        begin, end = _day(day)
        patch = _patch(seen, patch_id, begin, end)
        return _overview(seen, patch_id, begin, end, lead) | {"online": patch is not None and patch.online}

    @routes.get("/api/patches/{patch_id}/disclosure/rows", **said.answers(said.MinuteRows))
    def rows(
        seen: Seeing,
        patch_id: str,
        begin: Begin,
        minutes: Annotated[int, Query(ge=1, le=ROWS)] = ROWS,
        lead: Lead = None,
    ) -> dict[str, Any]:
        """Minutes in columns of 0.1 s: `values` is base64 of little-endian int16 microvolts, two a column,
        the earlier of its least and greatest first and -32768 where there is none; `runs` (first column,
        count, state) says what is held and why the rest is not."""
        _patch(seen, patch_id, begin, begin + minutes * MINUTE_S)
        return _rows(seen, patch_id, begin, minutes, lead)

    @routes.get("/api/patches/{patch_id}/minutes/{at}", **said.answers(said.MinuteData, s202=said.NotHere))
    def minute(seen: Seeing, patch_id: str, at: At) -> Response:
        """What `<ecg-strip>` draws of the minute from `at` on; 202 until every sample of it has come, `over`
        where none will."""
        strip = _strip(seen, patch_id, at)
        if strip is None:
            over = _sent_whole(seen, patch_id, at)
            evicted = _evicted(seen.pulls(patch_id, at, at + MINUTE_S))
            gone = any(begin < at + MINUTE_S and at < end for begin, end in evicted)
            why = NOT_HERE if not over else GONE if gone else NOTHING
            return JSONResponse({"detail": why, "over": over}, 202)
        return JSONResponse(_drawn(seen, patch_id, at, strip))

    @routes.get(
        "/api/patches/{patch_id}/minutes/{at}/samples",
        response_class=Response,
        **said.file("application/octet-stream"),
    )
    def samples(seen: Seeing, patch_id: str, at: At) -> Response:
        """Little-endian int32 counts, lead after lead; 0 in gaps."""
        strip = _strip(seen, patch_id, at)
        if strip is None:
            raise HTTPException(404, NOT_HERE)
        return Response(strip.counts.tobytes(), media_type="application/octet-stream")


def _asking(routes: APIRouter, commands: Commands) -> None:
    @routes.post("/api/patches/{patch_id}/fetch", **said.answers(said.Fetching))
    def fetch(
        seen: Seeing, patch_id: str, begin: Begin, seconds: Length, full: bool = False
    ) -> dict[str, Any]:
        """Ask the edge for what it recorded, a day at most; in pairs of 0.1 s, or `full`, an hour at most."""
        end = min(begin + seconds, time.time() - SETTLE_S)
        _patch(seen, patch_id, begin, end)
        resolution = 1 if full else _resolution(seen, patch_id, begin, end)
        bodies = _pulls(seen.spans(Action.SEE, patch_id, begin, end), resolution)
        by, now = seen.person.name, time.time()
        try:
            asked = [commands.send(patch_id, "pull-range", body, by=by, now=now) for body in bodies]
        except UsageError as error:
            raise HTTPException(422, str(error)) from error
        return {"commands": asked}


def _day(day: date) -> Span:
    """Of the clinic's clock, in Unix seconds."""
    if not 1971 <= day.year < 2200:
        raise HTTPException(422, f"day: {day} is no day of a recording.")
    first, after = (datetime(d.year, d.month, d.day).astimezone() for d in (day, day + timedelta(days=1)))
    return first.timestamp(), after.timestamp()


def _patch(seen: Seen, patch_id: str, begin: float, end: float) -> Patch | None:
    """The patch, if it has been heard; 404 where nothing of it in that time is theirs to see."""
    known = next((patch for patch in seen.patches() if patch.patch_id == patch_id), None)
    if not end > begin:
        raise HTTPException(422, "That time is still to come, or has no length.")
    if not seen.spans(Action.SEE, patch_id, begin, end) or not (known or seen.heard_of(patch_id)):
        raise HTTPException(404, f"There is no patch {patch_id}.")
    return known


def _overview(seen: Seen, patch_id: str, begin: float, end: float, lead: str | None) -> dict[str, Any]:
    summaries = seen.summaries(patch_id, begin, end)
    parts = seen.segments_between(patch_id, begin, end)
    named = [row["summary"]["peaks"] for row in summaries] + [part.leads for part in parts]
    leads = list(dict.fromkeys(name for names in named for name in names))
    lead = lead or (leads[0] if leads else "")
    minutes = round((end - begin) / MINUTE_S)
    columns = Columns(begin, minutes)
    for piece in pieces([], parts, lead):
        columns.paint(piece)
    for row in summaries:
        columns.outline(row, lead)
    pulls = seen.pulls(patch_id, begin, end)
    columns.answered(_answered(pulls), _evicted(pulls))
    columns.hide(seen.spans(Action.SEE, patch_id, begin, end))
    return {
        "leads": leads,
        "lead": lead,
        "minutes": columns.minutes(),
        "marks": _marks(seen, patch_id, begin, end, beats=False),
        "waiting": sum(asked.state is State.WAITING for asked in pulls),
    }


def _rows(seen: Seen, patch_id: str, begin: float, minutes: int, lead: str | None) -> dict[str, Any]:
    end = begin + minutes * MINUTE_S
    pulled, parts = seen.ranges(patch_id, begin, end), seen.segments_between(patch_id, begin, end)
    held: list[Pulled | Segment] = [*pulled, *parts]
    lead = lead or next((one.leads[0] for one in held), "")
    columns = Columns(begin, minutes)
    for piece in pieces(pulled, parts, lead):
        columns.paint(piece)
    pulls = seen.pulls(patch_id, begin, end)
    columns.answered(_answered(pulls), _evicted(pulls))
    columns.hide(seen.spans(Action.SEE, patch_id, begin, end))
    values = columns.ordered().reshape(minutes, 2 * PER_MINUTE)
    return {
        "lead": lead,
        "rows": [
            {
                "begin": begin + i * MINUTE_S,
                "values": base64.b64encode(values[i].tobytes()).decode(),
                "runs": columns.runs(i),
            }
            for i in range(minutes)
        ],
        "marks": _marks(seen, patch_id, begin, end, beats=True),
    }


def _marks(seen: Seen, patch_id: str, begin: float, end: float, *, beats: bool) -> list[dict[str, Any]]:
    """Episodes, and what was found in them: label, begin and end in seconds from `begin` on."""
    out = []
    for episode, _ in placed(seen, patch_id, begin, end):
        found = [stored.finding for stored in seen.findings(episode.id)]
        shown = [f for f in found if beats or LABELS[f.label].kind is not Kind.BEAT]
        spans = [("episode", episode.first, episode.last), *((f.label, f.first, f.last) for f in shown)]
        for label, first, last in spans:
            a, b = episode.utc(first), episode.utc(last + 1)
            if a is not None and b is not None and a < end and b > begin:
                out.append({"label": label, "begin": round(a - begin, 2), "end": round(b - begin, 2)})
    return out


def _strip(seen: Seen, patch_id: str, at: float) -> Strip | None:
    """Every sample of a minute; None until it has come."""
    end = at + MINUTE_S
    _patch(seen, patch_id, at, end)
    whole: list[Pulled | Segment] = [one for one in seen.ranges(patch_id, at, end) if one.resolution == 1]
    whole += seen.segments_between(patch_id, at, end)
    strip = Strip.of(whole, at, end)
    return strip if strip and (strip.complete or _sent_whole(seen, patch_id, at)) else None


def _drawn(seen: Seen, patch_id: str, at: float, strip: Strip) -> dict[str, Any]:
    return {
        "patch_id": patch_id,
        "first": strip.first,
        "last": strip.last,
        "fs": strip.fs,
        "leads": strip.leads,
        "uv_per_count": strip.uv_per_count,
        "final": True,
        "gaps": mask_to_spans(strip.missing, strip.first),
        "lead_off": mask_to_spans(strip.off, strip.first),
        "findings": list(_findings(seen, patch_id, at, at + MINUTE_S, strip)),
    }


def _findings(seen: Seen, patch_id: str, at: float, end: float, strip: Strip) -> Iterator[dict[str, Any]]:
    for episode, _ in placed(seen, patch_id, at, end):
        for stored in seen.findings(episode.id) if episode.boot_id == strip.boot_id else ():
            f = stored.finding
            if f.first <= strip.last and f.last >= strip.first:
                yield {"id": stored.id, "label": f.label, "first": f.first, "last": f.last}


def _sent_whole(seen: Seen, patch_id: str, at: float) -> bool:
    """Whether the edge has sent every sample that it had of a minute, as far as that is theirs to see: what
    lies on both sides of a change of hands is asked for in two commands."""
    end = at + MINUTE_S
    full = [span for *span, resolution, _ in _pulled(seen.pulls(patch_id, at, end)) if resolution == 1]
    theirs = seen.spans(Action.SEE, patch_id, at, end)
    return all(any(a <= begin and b + SETTLE_S >= after for a, b in full) for begin, after in theirs)


def _answered(pulls: Sequence[Asked]) -> list[Span]:
    """Times of which the edge has sent all that there will ever be."""
    return [(begin, min(end, asked_at - BACKFILL_S)) for begin, end, _, asked_at in _pulled(pulls)]


def _evicted(pulls: Sequence[Asked]) -> list[Span]:
    """Times of which the edge has said that they made room for what is newer."""
    return [(begin, end) for asked in pulls for begin, end in asked.told.get("evicted", ())]


def _pulled(pulls: Sequence[Asked]) -> Iterator[tuple[float, float, int, float]]:
    """Begin, end, resolution and time of every pull that was answered, also with nothing."""
    for asked in pulls:
        if "stretches" in asked.told:
            yield asked.body["begin"], asked.body["end"], asked.body["resolution"], asked.asked_at


def _resolution(seen: Seen, patch_id: str, begin: float, end: float) -> int:
    """Samples of a column."""
    beats = [patch.heartbeat.get("fs") for patch in seen.patches() if patch.patch_id == patch_id]
    known = beats + [row["fs"] for row in seen.summaries(patch_id, begin, end)[:1]]
    return max(1, round(next((fs for fs in known if fs), USUAL_FS) * COLUMN_S))


def _pulls(spans: list[Span], resolution: int) -> Iterator[dict[str, Any]]:
    """Commands for these times, none longer than an edge allows."""
    longest = min(LONGEST_S, FULL_S * resolution)
    for begin, end in spans:
        pieces = max(1, math.ceil((end - begin) / longest))
        for i in range(pieces):
            edges = (begin + (end - begin) * i / pieces, begin + (end - begin) * (i + 1) / pieces)
            yield {"begin": edges[0], "end": edges[1], "resolution": resolution}
