"""The report of a day, or of any stretch up to a week: what came of a patch, what did not, what was found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

from cloud.console.seen import Seen
from cloud.console.views import NOT_ASSESSED, WORDING, lasting, moment
from cloud.prints.chart import Bar, rates_chart
from cloud.prints.events import Event, gravity
from cloud.prints.figures import Heart, Rate, shared
from cloud.prints.report import screeners
from cloud.prints.sections import (
    FOOT,
    UNCONFIRMED,
    event_strips,
    final,
    found_table,
    method,
    said_of,
    signed_texts,
)
from cloud.prints.stays import DAY_S, Day, gathered
from cloud.prints.strip import Style
from cloud.prints.tracing import of_episode
from cloud.prints.typeset import Block, Document, How, caution, chart, heading, new_page, note, pairs, table
from models.anyecg.evidence import Span
from models.errors import UsageError
from models.verdicts import LABELS, Kind

HOUR_S = 3600.0
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
            caution(*not_analysed(day, patch_lost_s(seen, patch_id))),
            *rates(day.heart),
            *found_table(events, when, share(day.heart, events)),
            *longest_runs(events, when),
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
    """How many of how many reports a person has signed."""
    return sum(stay.view.signing.signed is not None for stay in day.stays), len(day.stays)


def reviewed(day: Day) -> str:
    count, of = reviews(day)
    by = sorted({s.view.signing.signed.who for s in day.stays if s.view.signing.signed})
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
        f"Analysable time: {long(read.analysed_s)} of {lasting(whole)}. {long(came_s)} came as episodes: "
        f"of them {long(read.dark_s)} could not be read and {long(waiting)} are not analysed yet."
    )
    yield f"Outside the episodes, {long(whole - came_s)}, no sample came here and nothing was analysed here."
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
    missing, dark = (sum(getattr(row, name) for row in day.minutes) for name in ("missing_s", "unreadable_s"))
    lacking = max(0.0, day.end - day.begin - 60 * len(day.minutes))
    return (
        f"By {len(day.minutes)} minute rows {long(missing)} did not reach the edge and {long(dark)} could "
        f"not be read there; of {long(lacking)} there is no row."
    )


def patch_lost_s(seen: Seen, patch_id: str) -> float | None:
    return next((p.not_analysed_s for p in seen.patches() if p.patch_id == patch_id), None)


def long(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else lasting(seconds)


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
    causes = [
        cause
        for stored in seen.alerts(100_000)
        if stored.alert.patch_id == day.patch_id
        for cause in stored.alert.history
        if cause["utc"] is not None and day.begin <= cause["utc"] < day.end
    ]
    causes.sort(key=lambda cause: (cause["utc"], cause["label"]))
    yield heading("What a nurse was alerted to")
    if not causes:
        yield note("Nothing in this time.")
        return
    yield table(
        {"At": "left", "Priority": "left", "Rule": "wide"},
        [[moment(c["utc"]), c["priority"], f"{c['label']}: {c['rule']}"] for c in causes[:MOST_ALERTS]],
    )
    if len(causes) > MOST_ALERTS:
        yield note(f"{len(causes) - MOST_ALERTS} more are not listed.")


# -- trends -------------------------------------------------------------------------------------------------


def trends(day: Day) -> Iterator[Block]:
    yield new_page()
    yield heading("Trends")
    yield chart(rates_chart(day.begin, day.end, list(_bars(day)), day.minutes))


def hour_by_hour(day: Day) -> Iterator[Block]:
    yield heading("Hour by hour")
    yield figures_table("Hour", day, each(day, HOUR_S))
    yield note(
        "Rates in /min. The edge's own columns are its screener's estimates."
        if day.minutes
        else "Rates in /min. No minute rows: nothing is known here of the time between the episodes."
    )


def figures_table(name: str, day: Day, spans: Iterable[Span]) -> Block:
    head = (name, "Came", "Analysable", "Beats", "Lowest", "Mean", "Highest", "V", "S", "AF", "Pauses")
    columns: dict[str, How] = {title: "left" if title == name else "right" for title in head}
    if day.minutes:
        columns |= dict.fromkeys(("Edge: V", "Edge: S", "Edge: AF", "Edge: no signal"), "right")
    return table(columns, (figures_of(day, span) for span in spans))


def each(day: Day, seconds: float) -> Iterator[Span]:
    """Its hours, or its days, of UTC; the first and the last may be shorter."""
    begin = day.begin // seconds * seconds
    while begin < day.end:
        yield max(begin, day.begin), min(begin + seconds, day.end)
        begin += seconds


def figures_of(day: Day, hour: Span) -> list[str]:
    stays = [stay for stay in day.stays if stay.span[0] < hour[1] and stay.span[1] > hour[0]]
    read = sum((stay.heart(hour) for stay in stays), Heart())
    counts: dict[str, int] = defaultdict(int)
    af_s = 0.0
    for stay in stays:
        for event in stay.events():
            span = tuple(stay.utc(i / event.fs) for i in (event.finding.first, event.finding.last + 1))
            counts[event.finding.label] += hour[0] <= span[0] < hour[1]
            if event.finding.label == "AFIB":
                af_s += shared([(span[0], span[1])], hour)
    rates = (read.slowest and read.slowest.bpm, read.mean, read.fastest and read.fastest.bpm)
    came = shared(day.came, hour)
    return [
        moment(hour[0])[:16],
        long(came) if came else "",
        long(read.analysed_s) if came else "",
        *([str(read.beats)] if came else [""]),
        *("" if rate is None else f"{rate:.0f}" for rate in rates),
        *(str(counts[label]) if came else "" for label in ("V", "S")),
        (long(af_s) if af_s else "0") if came else "",
        str(counts["PAUSE"]) if came else "",
        *_edge_hour(day, hour),
    ]


def _edge_hour(day: Day, hour: Span) -> list[str]:
    if not day.minutes:
        return []
    rows = [row for row in day.minutes if hour[0] <= row.begin < hour[1]]
    if not rows:
        return ["no rows", "", "", ""]
    lost = sum(row.missing_s + row.unreadable_s for row in rows)
    v, s, af = sum(r.n_v for r in rows), sum(r.n_s for r in rows), sum(r.af_s for r in rows)
    return [str(v), str(s), long(af), long(lost)]


def _bars(day: Day) -> Iterator[Bar]:
    """A bar an episode, for the chart."""
    for stay in day.stays:
        read = stay.heart()
        yield Bar(
            span=stay.span,
            low=read.slowest.bpm if read.slowest else None,
            mean=read.mean,
            high=read.fastest.bpm if read.fastest else None,
            af=tuple(
                (stay.utc(e.finding.first / e.fs), stay.utc((e.finding.last + 1) / e.fs))
                for e in stay.events()
                if e.finding.label == "AFIB"
            ),
        )
