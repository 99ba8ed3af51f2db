"""The report of a day, or of any stretch up to a week: what came of a patch, what did not, what was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from cloud.console.seen import Seen
from cloud.console.views import NOT_ASSESSED, WORDING, lasting, moment
from cloud.prints import symptoms
from cloud.prints.events import Event, gravity
from cloud.prints.figures import Heart, Rate
from cloud.prints.hours import exactly, hour_by_hour, trends
from cloud.prints.report import screeners
from cloud.prints.sections import (
    FOOT,
    UNCONFIRMED,
    event_strips,
    final,
    found_table,
    handed,
    method,
    said_of,
    signed_texts,
)
from cloud.prints.stays import DAY_S, Day, calls, gathered, quieted
from cloud.prints.strip import Style
from cloud.prints.tracing import of_episode
from cloud.prints.typeset import Block, Document, caution, heading, note, pairs, table
from models.errors import UsageError
from models.verdicts import LABELS, Kind

MOST_S = 7 * DAY_S
RUNS = ("VF", "VT", "PAUSE", "AFIB", "BRADY", "TACHY", "B", "T")  # whose longest is told
NAMED = {"PAUSE": "Pauses", "AFIB": "Atrial fibrillation"}  # told also where there is none
MOST_ALERTS = 40


def day_report(seen: Seen, patch_id: str, begin: float, end: float, now: float) -> Document:
    """What is known of a patch between two moments; `now` is when it is printed. All are Unix seconds.

    Raises:
        UsageError: the moments are in the wrong order, or more than a week apart.
        UnknownPatchError: nothing was ever heard of the patch.
    """
    if end - begin > MOST_S:
        raise UsageError(f"This report is of a week at most, not of {(end - begin) / DAY_S:.1f} days.")
    day = gathered(seen, patch_id, begin, end)
    stay_of = {stay.episode.id: stay for stay in day.stays}

    def when(event: Event) -> str:
        return moment(stay_of[event.episode_id].utc(event.finding.first / event.fs))

    tracing_of = cache(lambda episode_id: of_episode(seen, episode_id))
    wanting = list(wanting_of(day, now))
    authors = [stay.view.report.model for stay in day.stays if stay.view.report]
    screened = {model for stay in day.stays for model in screeners(seen.parts(stay.episode.id))}
    events = day.events
    return Document(
        title="Day report" if end - begin <= DAY_S else "Report of several days",
        head=f"Patch {patch_id} · {moment(begin)} to {moment(end)}",
        state=final(bool(wanting), *reviews(day)),
        foot=foot(day),
        blocks=(
            pairs(_about(day, now, wanting) | {"Audit head": said_of(seen.audit_head())}),
            caution(
                *handed(seen.hands(patch_id, *day.heard)), *not_analysed(day, patch_lost_s(seen, patch_id))
            ),
            *rates(day.heart),
            *found_table(events, when, share(day.heart, events)),
            *longest_runs(events, when),
            *symptoms.told(day.symptoms, day.stays, day.minutes),
            *alerts_table(seen, day),
            *trends(day),
            *hour_by_hour(day),
            *signed_texts(day.stays),
            *event_strips(events, tracing_of, Style(), when),
            *method((event.finding for event in events), authors, screened, confirmed(day)),
        ),
    )


# -- page 1 -------------------------------------------------------------------------------------------------


def wanting_of(day: Day, now: float) -> Iterator[str]:
    """Why more may follow: nothing, and the report is final."""
    if day.end > now:
        yield "the time is not over"
    going = sum(not stay.episode.final for stay in day.stays)
    if going:
        yield f"{going} episodes are going on"
    pending = sum(stay.episode.pending for stay in day.stays)
    if pending:
        yield f"{pending} parts are not analysed yet"
    behind = sum(stay.view.report is None or stay.view.behind() is not None for stay in day.stays)
    if behind:
        yield f"{behind} episodes are not wholly reported"


def _about(day: Day, now: float, wanting: Sequence[str]) -> dict[str, str]:
    leads = sorted({f"{', '.join(s.episode.leads)}, {s.episode.fs:g} Hz" for s in day.stays})
    return {
        "Patch": day.patch_id,
        "From": moment(day.begin),
        "To": f"{moment(day.end)}, {lasting(day.end - day.begin)}",
        "Leads": "; ".join(leads) or "nothing came",
        "Episodes": str(len(day.stays)),
        "State": f"preliminary: {'; '.join(wanting)}" if wanting else "final: all that came is in it",
        "Reviewed": reviewed(day),
        "Printed": moment(now),
    }


def reviews(day: Day) -> tuple[int, int]:
    """How many of how many newest reports a person has signed."""
    return sum(stay.view.covered for stay in day.stays), len(day.stays)


def reviewed(day: Day) -> str:
    count, of = reviews(day)
    by = sorted({s.view.signing.signed.who for s in day.stays if s.view.covered and s.view.signing.signed})
    return f"{count} of {of} episodes, by {', '.join(by)}" if count else "by nobody yet"


def foot(day: Day) -> str:
    count, of = reviews(day)
    return f"AI-generated; the text of {count} of {of} reports reviewed. {WORDING}" if count else FOOT


def confirmed(day: Day) -> str:
    count, of = reviews(day)
    if not count:
        return UNCONFIRMED
    return f"The text of {count} of {of} reports was reviewed; findings and numbers are AI-generated."


def not_analysed(day: Day, lost_s: float | None) -> Iterator[str]:
    whole, read = day.end - day.begin, day.heart
    came_s = sum(b - a for a, b in day.came)
    waiting = max(0.0, came_s - read.analysed_s - read.dark_s)
    yield (
        f"Analysable time: {exactly(read.analysed_s)} of {lasting(whole)}. {exactly(came_s)} came as "
        f"episodes: of them {exactly(read.dark_s)} could not be read and {exactly(waiting)} are not "
        "analysed yet."
    )
    outside = exactly(whole - came_s)
    yield f"Outside the episodes, {outside}, no sample came here and nothing was analysed here."
    yield _of_minutes(day)
    yield "No alerts is not normal: what did not come and what could not be read may hide something."
    if lost_s:
        yield (
            f"Since the patch's newest start the edge says of {lasting(lost_s)} that they did not reach it "
            "or could not be read; how much of that lies in this report is not known from it."
        )
    bare = sum(stay.view.report is not None and stay.view.evidence is None for stay in day.stays)
    if bare:
        yield f"Of {bare} episodes the evidence was not kept: they count as not analysed."
    if day.timeless:
        yield f"{day.timeless} episodes of this patch have no known time and are in no day's report."
    yield f"Not assessed: {NOT_ASSESSED}, ST, QTc."


def _of_minutes(day: Day) -> str:
    if not day.minutes:
        return "No minute rows: what the edge heard outside the episodes is not known here."
    missing, dark, lacking = (
        exactly(seconds) for seconds in (day.missing_s, day.unreadable_s, day.unheard_s)
    )
    return (
        f"By {len(day.minutes)} minute rows {missing} did not reach the edge and {dark} could not be read "
        f"there; of {lacking} there is no row."
    )


def patch_lost_s(seen: Seen, patch_id: str) -> float | None:
    return next((p.not_analysed_s for p in seen.patches() if p.patch_id == patch_id), None)


def rates(read: Heart) -> Iterator[Block]:
    def row(name: str, rate: Rate | None) -> list[str]:
        known = ("not measured", "") if rate is None else (f"{rate.bpm:.0f} /min", moment(rate.at))
        return [name, *known]

    mean = "not measured" if read.mean is None else f"{read.mean:.0f} /min"
    yield heading("Heart rate in the episodes")
    yield table(
        {"": "left", "Value": "right", "When": "wide"},
        [
            row("Lowest (8 intervals)", read.slowest),
            ["Mean", mean, f"over {read.beats} beats"],
            row("Highest (8 intervals)", read.fastest),
        ],
    )


def share(read: Heart, events: Sequence[Event]) -> Callable[[str], str]:
    """Burden: of beats their share of all beats, of what lasts its share of the analysable time."""
    spans: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        spans[event.finding.label].append(event)

    def said(label: str) -> str:
        kind = LABELS[label].kind
        if kind is Kind.BEAT and read.beats:
            return f"{100 * len(spans[label]) / read.beats:.1f} % of beats"
        if kind is Kind.RHYTHM and read.analysed_s:
            return f"{100 * sum(e.seconds for e in spans[label]) / read.analysed_s:.1f} % of time"
        return ""

    return said


def longest_runs(events: Sequence[Event], when: Callable[[Event], str]) -> Iterator[Block]:
    """Pauses and runs, with when."""
    found = {}
    for label in sorted(RUNS, key=gravity):
        own = [event for event in events if event.finding.label == label]
        if own:
            longest = max(own, key=lambda event: (event.seconds, -event.finding.first))
            found[f"Longest {label}"] = f"{longest.seconds:.1f} s, {when(longest)}; {len(own)} in all"
        elif label in NAMED:
            found[NAMED[label]] = "none found in what was analysed"
    yield pairs(found)


def alerts_table(seen: Seen, day: Day) -> Iterator[Block]:
    called, quiet = calls(seen, day)
    yield heading("What a nurse was alerted to")
    if called:
        yield table(
            {"At": "left", "Priority": "left", "Rule": "wide"},
            [[moment(c["utc"]), c["priority"], f"{c['label']}: {c['rule']}"] for c in called[:MOST_ALERTS]],
        )
    else:
        yield note("Nothing in this time.")
    if len(called) > MOST_ALERTS:
        yield note(f"{len(called) - MOST_ALERTS} more are not listed.")
    if quiet:
        yield note(quieted(quiet))
