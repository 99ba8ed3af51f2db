"""A patient's day on one page: rates, burden and quality a minute; episodes, alerts and symptoms."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Query, Response

from cloud.commands import Asked, State
from cloud.console.daychart import RR_TOP_MS, curves, ticks
from cloud.console.seen import Seen
from cloud.console.session import Render, needs
from cloud.console.views import SYMBOLS, EpisodeView, Row, hand_rows, lasting, moment, symptom_row
from cloud.prints import hours
from cloud.prints.day import wanting_of
from cloud.prints.stays import Day, calls, gathered, quieted
from cloud.prints.symptoms import rhythm
from cloud.prints.tracing import YEARS, UnknownPatchError
from cloud.roles import Action
from models.errors import UsageError
from models.verdicts import LABELS, Priority

FEW = 12  # alerts or episodes: so many are shown unfolded

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]


def router(render: Render) -> APIRouter:
    """A patch's day, and an episode alone, to which it leads."""
    routes = APIRouter(include_in_schema=False)

    @routes.get("/patches/{patch_id}/day")
    def day(
        seen: Seeing, patch_id: str, on: Annotated[str | None, Query(alias="date", max_length=10)] = None
    ) -> Response:
        """By the clinic's clock; today where no date is given."""
        now = time.time()
        try:
            which = _date(on) if on else datetime.fromtimestamp(now).astimezone().date()
            return render("day.html", person=seen.person, **_page(seen, patch_id, which, now))
        except UnknownPatchError as error:
            raise HTTPException(404, str(error)) from error
        except UsageError as error:
            raise HTTPException(422, str(error)) from error

    @routes.get("/episodes/{episode_id}")
    def episode(seen: Seeing, episode_id: str) -> Response:
        view = EpisodeView.of(seen, episode_id)
        if view is None:
            raise HTTPException(404, f"There is no episode {episode_id}.")
        begin = view.episode.utc(view.episode.first)
        on = datetime.fromtimestamp(begin).astimezone().date() if begin is not None else None
        return render("one.html", person=seen.person, view=view, day=on)

    return routes


def _page(seen: Seen, patch_id: str, on: date, now: float) -> dict[str, Any]:
    begin, end = _midnight(on), _midnight(on + timedelta(days=1))
    if begin >= now:
        raise UsageError(f"{on} is still to come.")
    day = gathered(seen, patch_id, begin, min(end, now))
    called, quiet = calls(seen, day)
    drawn = curves(day, end)
    marks = ticks(day, (cause["utc"] for cause in called))
    return {
        "patch_id": patch_id,
        "on": on,
        "before": on - timedelta(days=1),
        "after": on + timedelta(days=1) if end < now else None,
        "today": datetime.fromtimestamp(now).astimezone().date(),
        "from_": datetime.fromtimestamp(begin).astimezone().isoformat(),
        "to": datetime.fromtimestamp(end).astimezone().isoformat(),
        "as_of": moment(now),
        "hands": hand_rows(seen.hands(patch_id, begin, day.end)),
        "drawn": drawn,
        "rr_top": RR_TOP_MS / 1000,
        "paths": drawn.paths | {"alerts": marks},
        "axis": _axis(begin, end),
        "says": _says(day, drawn.intervals) | {"alerts": f"{len(called)} alerts."},
        "lost": _lost(day),
        "wanting": list(wanting_of(day, now)),
        "minutes": [_minute(day, m) for m in day.minutes],
        "models": sorted({m.model for m in day.minutes}),
        "episodes": list(_episodes(day)),
        "alerts": [_alert(cause) for cause in called],
        "quieted": quieted(quiet) if quiet else None,
        "symptoms": [
            symptom_row(s) | {"rhythm": rhythm(s, day.stays, day.minutes), "mark": _marked(seen.mark(s))}
            for s in day.symptoms
        ],
        "columns": hours.columns("Hour", day),
        "hours": [
            [row[0][11:], *row[1:]]
            for row in (hours.figures_of(day, hour) for hour in hours.each(day, hours.HOUR_S))
        ],
        "few": FEW,
        "about_hours": hours.about(day),
    }


def _date(text: str) -> date:
    """UsageError where it is none."""
    try:
        read = date.fromisoformat(text)
    except ValueError:
        read = None
    if read is None or read.year not in YEARS:
        raise UsageError(f"'{text}' is no date: write 2026-05-01.")
    return read


def _midnight(on: date) -> float:
    """Unix seconds, by the clinic's clock."""
    return datetime(on.year, on.month, on.day).astimezone().timestamp()


def _axis(begin: float, end: float) -> list[str]:
    """The hours of the day, of which there are 23 to 25."""
    return [moment(begin + 3600 * hour)[11:13] for hour in range(round((end - begin) / 3600))]


def _says(day: Day, intervals: int) -> dict[str, str]:
    """What each picture shows, for who does not see it."""
    rates = [m.hr_mean for m in day.minutes if m.hr_mean is not None]
    lows, highs = ([getattr(m, key) for m in day.minutes if getattr(m, key)] for key in ("hr_min", "hr_max"))
    known = [*lows, *highs, *rates]
    seconds = sum(m.af_s for m in day.minutes)
    v, s = sum(m.n_v for m in day.minutes), sum(m.n_s for m in day.minutes)
    return {
        "rate": f"Heart rate, {min(known):.0f} to {max(known):.0f} per minute, in {len(rates)} minutes."
        if known
        else "Heart rate: in no minute measured.",
        "rr": f"{intervals} RR intervals in {len(day.stays)} episodes.",
        "af": f"Atrial fibrillation, the screener's estimate: {hours.exactly(seconds)} in all.",
        "v": f"Ventricular early beats, the screener's estimate: {v} in all.",
        "s": f"Supraventricular early beats, the screener's estimate: {s} in all.",
        "missing": f"Not received: {hours.exactly(day.missing_s)}.",
        "unreadable": f"Unreadable: {hours.exactly(day.unreadable_s)}.",
        "unheard": f"Not analysed, no row came: {hours.exactly(day.unheard_s)}.",
        "episodes": f"{len(day.stays)} episodes.",
        "symptoms": f"{len(day.symptoms)} symptoms told.",
    }


def _lost(day: Day) -> str | None:
    """How long nothing could be analysed at the edge, or is known of."""
    lost = day.missing_s + day.unreadable_s + day.unheard_s
    return lasting(lost) if lost >= 1 else None


def _minute(day: Day, row: Any) -> list[float | None]:
    """What the cursor reads: minute of the day, rates, then V, S and seconds of AF, missing, unreadable."""
    rates = [None if rate is None else round(rate) for rate in (row.hr_min, row.hr_mean, row.hr_max)]
    at = round((row.begin - day.begin) / 60, 2)
    return [at, *rates, row.n_v, row.n_s, round(row.af_s), round(row.missing_s), round(row.unreadable_s)]


def _episodes(day: Day) -> Iterator[Row]:
    for stay in day.stays:
        e, (begin, end) = stay.episode, stay.span
        yield {
            "id": e.id,
            "begin": moment(begin),
            "lasts": lasting(end - begin),
            "counts": stay.view.counts(),
            "opened_by": "the patient or a button" if e.opened_by == "marker" else f"the {e.opened_by}",
            "going_on": not e.final,
            "pending": e.pending,
            "told": [symptom.kind for symptom in stay.view.symptoms],
        }


def _marked(asked: Asked | None) -> str:
    if asked is None or asked.state is State.DONE:
        return asked.reason if asked else ""
    if asked.state is State.REFUSED:
        return f"the edge did not mark it: {asked.reason}"
    return "the edge has not marked it yet"


def _alert(cause: Any) -> Row:
    priority = Priority[cause["priority"].upper()]
    return {
        "at": moment(cause["utc"]),
        "priority": cause["priority"],
        "symbol": SYMBOLS[priority],
        "plain": LABELS[cause["label"]].plain,
        "rule": cause["rule"],
        "episode_id": cause["episode_id"],
    }
