"""A day hour by hour: what came, what was found and what the edge counted; for print and page alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from cloud.console.views import lasting, moment
from cloud.prints.figures import Heart, shared
from cloud.prints.stays import Day
from cloud.prints.typeset import How
from models.anyecg.evidence import Span

HOUR_S = 3600.0
HEAD = ("Hour", "Came", "Analysable", "Beats", "Lowest", "Mean", "Highest", "V", "S", "AF", "Pauses")
EDGE = ("Edge: V", "Edge: S", "Edge: AF", "Edge: no signal")


def columns(day: Day) -> dict[str, How]:
    """The edge's own only where it sent rows."""
    names = (*HEAD, *EDGE) if day.minutes else HEAD
    return {name: "left" if name == "Hour" else "right" for name in names}


def rows(day: Day) -> list[list[str]]:
    return [_hour(day, hour) for hour in _hours(day)]


def about(day: Day) -> str:
    """What stands below the rows."""
    return (
        "Rates in /min. The edge's own columns are its screener's estimates."
        if day.minutes
        else "Rates in /min. No minute rows: nothing is known here of the time between the episodes."
    )


def exactly(seconds: float) -> str:
    """`87.0 s`, and from two minutes on as `lasting`."""
    return f"{seconds:.1f} s" if seconds < 120 else lasting(seconds)


def _hours(day: Day) -> Iterator[Span]:
    begin = day.begin // HOUR_S * HOUR_S
    while begin < day.end:
        yield max(begin, day.begin), min(begin + HOUR_S, day.end)
        begin += HOUR_S


def _hour(day: Day, hour: Span) -> list[str]:
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
        exactly(came) if came else "",
        exactly(read.analysed_s) if came else "",
        *([str(read.beats)] if came else [""]),
        *("" if rate is None else f"{rate:.0f}" for rate in rates),
        *(str(counts[label]) if came else "" for label in ("V", "S")),
        (exactly(af_s) if af_s else "0") if came else "",
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
    return [str(v), str(s), exactly(af), exactly(lost)]
