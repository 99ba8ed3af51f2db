"""The report at the end of a study: all days of a patch on one patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache

from cloud.console.seen import Seen
from cloud.console.views import lasting, moment
from cloud.prints import marks
from cloud.prints.day import (
    alerts_table,
    confirmed,
    foot,
    longest_runs,
    not_analysed,
    patch_lost_s,
    rates,
    reviewed,
    reviews,
    share,
    wanting_of,
)
from cloud.prints.events import Event
from cloud.prints.figures import shared
from cloud.prints.hours import HOUR_S, each, exactly, figures_table, trends
from cloud.prints.report import screeners
from cloud.prints.sections import event_strips, final, found_table, method, said_of, signed_texts
from cloud.prints.stays import DAY_S, Day, Stay, gathered
from cloud.prints.strip import Style
from cloud.prints.symptoms import told
from cloud.prints.tracing import UnknownPatchError, of_episode
from cloud.prints.typeset import Block, Document, caution, heading, new_page, note, pairs, table
from cloud.roles import Assignment
from models.verdicts import LABELS

NEAR_S = 30.0  # before and after a symptom: a person presses late, and not to the second
MOST_SYMPTOMS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """The patient's button, and what was found near it."""

    at: float  # Unix seconds
    rate: float | None  # /min, mean
    read_s: float  # of what lies near it
    found: tuple[str, ...]


def study_report(seen: Seen, patch_id: str, at: float | None, now: float) -> Document:
    """All that is known of the assignment in which `at` lies, or of the newest; `now` is when it is printed.

    Raises:
        UnknownPatchError: the patch was on nobody then, or on nobody of this person's wards.
    """
    assignment = seen.assignment(patch_id, at)
    if assignment is None:
        when = "" if at is None else f" at {moment(at)}"
        raise UnknownPatchError(f"There is no patch {patch_id} that was on a patient{when}.")
    end = min(now, assignment.end or now)
    day = gathered(seen, patch_id, assignment.start, max(end, assignment.start + 1.0))
    stay_of = {stay.episode.id: stay for stay in day.stays}

    def when_of(event: Event) -> str:
        return moment(stay_of[event.episode_id].utc(event.finding.first / event.fs))

    tracing_of = cache(lambda episode_id: of_episode(seen, episode_id))
    wanting = list(_wanting(day, assignment, now))
    authors = [stay.view.report.model for stay in day.stays if stay.view.report]
    screened = {model for stay in day.stays for model in screeners(seen.parts(stay.episode.id))}
    events = day.events
    return Document(
        title="End-of-study report",
        head=f"Patch {patch_id} · {moment(day.begin)} to {moment(day.end)}",
        state=final(bool(wanting), *reviews(day)),
        foot=foot(day),
        blocks=(
            pairs(_about(seen, day, assignment, now, wanting)),
            caution(*not_analysed(day, patch_lost_s(seen, patch_id))),
            *rates(day.heart),
            *found_table(events, when_of, share(day.heart, events)),
            *longest_runs(events, when_of),
            *_by_the_edge(day),
            *told(day.symptoms, day.stays, day.minutes),
            *_presses(list(symptoms(seen, day))),
            *trends(day),
            *_every("Day by day", day, DAY_S),
            *alerts_table(seen, day),
            *signed_texts(day.stays),
            *event_strips(events, tracing_of, Style(), when_of),
            new_page(),
            *_every("Hour by hour", day, HOUR_S),
            *method((event.finding for event in events), authors, screened, confirmed(day)),
        ),
    )


def _wanting(day: Day, assignment: Assignment, now: float) -> Iterator[str]:
    if assignment.end is None or assignment.end > now:
        yield "the patch is still on the patient"
    yield from wanting_of(day, now)


def _about(
    seen: Seen, day: Day, assignment: Assignment, now: float, wanting: Iterable[str]
) -> dict[str, str]:
    patient = seen.patient(day.patch_id, assignment.start) or {}
    known = [patient.get("name", ""), f"born {patient['born']}" if patient.get("born") else ""]
    leads = sorted({f"{', '.join(s.episode.leads)}, {s.episode.fs:g} Hz" for s in day.stays})
    why = "; ".join(wanting)
    return {
        "Patient": ", ".join(word for word in known if word) or "not known",
        "Ward": assignment.ward,
        "Patch": day.patch_id,
        "From": moment(day.begin),
        "To": f"{moment(day.end)}, {_days(day)}",
        "Leads": "; ".join(leads) or "nothing came",
        "Episodes": str(len(day.stays)),
        "State": f"preliminary: {why}" if why else "final: all that came is in it",
        "Reviewed": reviewed(day),
        "Printed": moment(now),
        "Audit head": said_of(seen.audit_head()),
    }


def _days(day: Day) -> str:
    days, rest = divmod(day.end - day.begin, DAY_S)
    return f"{days:.0f} d {lasting(rest)}" if days else lasting(rest)


def _by_the_edge(day: Day) -> Iterator[Block]:
    """Burden over the whole time, as far as there are minute rows."""
    beats = sum(row.beats for row in day.minutes)
    heard = sum(60.0 - row.missing_s - row.unreadable_s for row in day.minutes)
    if not beats or heard <= 0:
        return
    v, s = sum(row.n_v for row in day.minutes), sum(row.n_s for row in day.minutes)
    af = sum(row.af_s for row in day.minutes)
    yield pairs(
        {
            "Whole time, by the edge": f"{beats} beats in the {exactly(heard)} that it could read",
            "V, estimated": f"{v}, {100 * v / beats:.1f} % of beats",
            "S, estimated": f"{s}, {100 * s / beats:.1f} % of beats",
            "AF, estimated": f"{exactly(af)}, {100 * af / heard:.1f} % of that time",
        }
    )


# -- symptoms -----------------------------------------------------------------------------------------------


def symptoms(seen: Seen, day: Day) -> Iterator[Symptom]:
    """Every press of the button between the two ends, in order of time."""
    for stay in day.stays:
        presses = {at for part in seen.parts(stay.episode.id) for at in part.markers}
        for at in sorted(press for press in presses if stay.first <= press <= stay.last):
            yield _symptom(day, stay, stay.utc(at / stay.episode.fs))


def _symptom(day: Day, stay: Stay, at: float) -> Symptom:
    near = (at - NEAR_S, at + NEAR_S)
    hearts = [other.heart(near) for other in day.stays if _touches(other.span, near)]
    read = sum(hearts[1:], hearts[0]) if hearts else stay.heart(near)
    labels = [
        event.finding.label
        for other in day.stays
        if _touches(other.span, near)
        for event in other.events()
        if not marks.is_technical(event.finding.label) and _touches(_span(other, event), near)
    ]
    found = tuple(f"{labels.count(label)} {label} {LABELS[label].plain}" for label in dict.fromkeys(labels))
    return Symptom(at=at, rate=read.mean, read_s=read.analysed_s, found=found)


def _span(stay: Stay, event: Event) -> tuple[float, float]:
    return stay.utc(event.finding.first / event.fs), stay.utc((event.finding.last + 1) / event.fs)


def _touches(span: tuple[float, float], near: tuple[float, float]) -> bool:
    return span[0] < near[1] and span[1] > near[0]


def _presses(felt: list[Symptom]) -> Iterator[Block]:
    yield heading("The patient's button")
    if not felt:
        yield note("The patient's button was not pressed, or no press of it came.")
        return
    count = sum(bool(one.found) for one in felt)
    yield note(
        f"Presses of the patient's button: {len(felt)}. Near {count} of them something was found, within "
        f"{NEAR_S:.0f} s before or after. A symptom that was told on the page is a press too, where the edge "
        "could mark it."
    )
    yield table(
        {"At": "left", "Rate": "right", "Read": "right", "Found near it": "wide"},
        [
            [
                moment(one.at),
                "not measured" if one.rate is None else f"{one.rate:.0f} /min",
                exactly(one.read_s),
                "; ".join(one.found) or ("nothing" if one.read_s else "it could not be read"),
            ]
            for one in felt[:MOST_SYMPTOMS]
        ],
    )
    if len(felt) > MOST_SYMPTOMS:
        yield note(f"{len(felt) - MOST_SYMPTOMS} more are not listed.")


def _every(name: str, day: Day, seconds: float) -> Iterator[Block]:
    """Of each day, or hour, in which something came or was heard."""
    came, heard = day.came, {row.begin // seconds for row in day.minutes}
    spans = list(each(day, seconds))
    listed = [span for span in spans if span[0] // seconds in heard or shared(came, span)]
    yield heading(name)
    yield figures_table(name.split(maxsplit=1)[0], day, listed)
    yield note(
        f"Rates in /min. Of {len(spans) - len(listed)} of {len(spans)} nothing came and no minute row tells: "
        "they are not listed. The edge's own columns, where they are, are its screener's estimates."
    )
