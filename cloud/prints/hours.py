"""Trends: the chart of a stretch's rates, and a row of figures an hour or a day."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from cloud.console.views import lasting, moment
from cloud.prints.chart import Bar, rates_chart
from cloud.prints.figures import Heart, shared
from cloud.prints.stays import Day
from cloud.prints.typeset import Block, How, chart, heading, new_page, note, table
from models.anyecg.evidence import Span

HOUR_S = 3600.0
HEAD = ("Came", "Analysable", "Beats", "Lowest", "Mean", "Highest", "V", "S", "AF", "Pauses")
EDGE = ("Edge: V", "Edge: S", "Edge: AF", "Edge: no signal")


def exactly(seconds: float) -> str:
    """`87.0 s`, and from two minutes on as `lasting`."""
    return f"{seconds:.1f} s" if seconds < 120 else lasting(seconds)


def trends(day: Day) -> Iterator[Block]:
    yield new_page()
    yield heading("Trends")
    yield chart(rates_chart(day.begin, day.end, list(_bars(day)), day.minutes))


def hour_by_hour(day: Day) -> Iterator[Block]:
    yield heading("Hour by hour")
    yield figures_table("Hour", day, each(day, HOUR_S))
    yield note(about(day))


def about(day: Day) -> str:
    """What stands below the rows."""
    return (
        "Rates in /min. The edge's own columns are its screener's estimates."
        if day.minutes
        else "Rates in /min. No minute rows: nothing is known here of the time between the episodes."
    )


def figures_table(name: str, day: Day, spans: Iterable[Span]) -> Block:
    return table(columns(name, day), (figures_of(day, span) for span in spans))


def columns(name: str, day: Day) -> dict[str, How]:
    """Of a row of `figures_of`; the edge's own only where it sent rows."""
    rest = (*HEAD, *EDGE) if day.minutes else HEAD
    return {name: "left", **dict.fromkeys(rest, "right")}


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
