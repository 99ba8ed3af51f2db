"""The report of an episode on paper: what is known and what is not, its events, and how it came about."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from cloud.ask import UnknownEpisodeError
from cloud.console.seen import Seen
from cloud.console.views import NOT_ASSESSED, REVIEW, WORDING, EpisodeView, lasting, moment
from cloud.prints import marks
from cloud.prints.events import Event
from cloud.prints.figures import Rate, heart
from cloud.prints.sections import (
    FOOT,
    UNCONFIRMED,
    event_strips,
    final,
    found_table,
    handed,
    method,
    said_of,
    signed_text,
)
from cloud.prints.stays import Stay
from cloud.prints.strip import Style, named, pieces, scale
from cloud.prints.symptoms import told
from cloud.prints.tracing import Tracing, of_episode
from cloud.prints.typeset import Block, Document, caution, heading, lines, note, pairs, strip, table
from cloud.reports import NOT_NORMAL
from models.anyecg.evidence import QUANTITIES
from models.ecg import Segment
from models.verdicts import LABELS

SAME_BPM = 0.3  # evidence says its beats to a millisecond
MOST_ROWS = 400  # of single findings


def episode_report(seen: Seen, episode_id: str, now: float) -> Document:
    """Everything known of an episode; `now`, Unix seconds, is when it is printed.

    Raises:
        UnknownEpisodeError: there is no such episode.
    """
    view = EpisodeView.of(seen, episode_id)
    if view is None:
        raise UnknownEpisodeError(f"There is no episode {episode_id}.")
    tracing = of_episode(seen, episode_id)
    own = [Event(episode_id=episode_id, finding=f, fs=tracing.fs) for f in tracing.findings]
    wanting = list(_wanting(view))

    def when(event: Event) -> str:
        return f"at {event.finding.first / event.fs:.1f} s"

    return Document(
        title="Episode report",
        head=f"Patch {tracing.patch_id} · episode {episode_id}",
        state=final(bool(wanting), reviewed=int(view.covered), of=1),
        foot=_foot(view),
        blocks=(
            pairs(_about(view, tracing, now, wanting) | _heads(seen, view)),
            caution(*handed(seen.hands_of(view.episode)), *_not_analysed(view, tracing, wanting)),
            *found_table(own, when),
            *_measured(view),
            *_felt(view),
            *_said(view),
            *event_strips(own, lambda _: tracing, Style(), when),
            *_one_by_one(view),
            *method(tracing.findings, _authors(view), screeners(seen.parts(episode_id)), _confirmed(view)),
        ),
    )


def _authors(view: EpisodeView) -> list[str]:
    return [view.report.model] if view.report else []


def screeners(parts: Iterable[Segment]) -> set[str]:
    """The edge's networks, by what they said of the windows."""
    return {screening.model for part in parts for screening in part.screenings}


def strip_document(tracing: Tracing, style: Style) -> Document:
    """A strip on pages, every row of it."""
    probable = marks.thresholds(tracing.findings)
    return Document(
        title="ECG strip",
        head=named(tracing),
        state="",
        foot=FOOT,
        blocks=(
            strip("", scale(tracing, style), pieces(tracing, style)),
            *([note(probable)] if probable else []),
        ),
    )


# -- page 1 -------------------------------------------------------------------------------------------------


def _wanting(view: EpisodeView) -> Iterator[str]:
    """Why more may follow: nothing, and the report is final."""
    if not view.episode.final:
        yield "the episode is going on"
    if view.episode.pending:
        yield f"{view.episode.pending} of {view.episode.parts} parts are not analysed yet"
    if view.report is None:
        yield "no report is written yet"
    elif behind := view.behind():
        yield f"the newest {behind} are not in it"


def _about(view: EpisodeView, tracing: Tracing, now: float, wanting: Sequence[str]) -> dict[str, str]:
    e = view.episode
    begin, end = tracing.seconds
    recorded = f"{moment(e.utc(e.first))} to {moment(e.utc(e.last + 1))}"
    return {
        "Patch": e.patch_id,
        "Recorded": recorded if e.utc_0 is not None else "time unknown",
        "On the patch's clock": f"{begin:.1f} s to {end:.1f} s, {lasting(end - begin)}",
        "Leads": f"{', '.join(e.leads)}, {e.fs:g} Hz",
        "Opened by": f"the {e.opened_by}" + ("; it continues an earlier episode" if e.continues else ""),
        "State": f"preliminary: {'; '.join(wanting)}"
        if wanting
        else "final: every part of the episode is in it",
        "Reviewed": (view.reviewed() or "by nobody yet").removeprefix("reviewed "),
        "Printed": moment(now),
    }


def _heads(seen: Seen, view: EpisodeView) -> dict[str, str]:
    """The row of the audit chain that tells of the generated report, and the end of the chain as printed."""
    own = {"Audit of the report": said_of(seen.report_head(view.report))} if view.report else {}
    return own | {"Audit head": said_of(seen.audit_head())}


def _foot(view: EpisodeView) -> str:
    return f"AI-generated, text {view.reviewed()}. {WORDING}" if view.covered else FOOT


def _confirmed(view: EpisodeView) -> str:
    if not view.covered:
        return UNCONFIRMED
    return f"The text of the report was {view.reviewed()}; findings and numbers are AI-generated."


def _not_analysed(view: EpisodeView, tracing: Tracing, wanting: Sequence[str]) -> Iterator[str]:
    begin, end = tracing.seconds
    if view.report is None:
        yield f"Analysable time: not known yet; {lasting(end - begin)} came and nothing is reported of them."
    else:
        known = view.report.measurements
        yield f"Analysable time: {known.analysed_s:.1f} s. Not analysable: {known.not_analysed_s:.1f} s."
        if known.not_analysed_s:
            yield NOT_NORMAL.format(known.not_analysed_s)
    if wanting:
        yield f"Not analysed yet: {'; '.join(wanting)}."
    yield from _holes(tracing)
    yield f"Not assessed: {NOT_ASSESSED}, ST, QTc."


def _holes(tracing: Tracing) -> Iterator[str]:
    """Where it lacks and why, as the strips show it."""
    fs = tracing.fs
    spans = [(first, count, "missing") for first, count in tracing.gaps]
    spans += [(first, count, "a lead reported off") for first, count in tracing.lead_off]
    spans += [
        (f.first, f.last + 1 - f.first, LABELS[f.label].plain)
        for f in tracing.findings
        if marks.is_technical(f.label)
    ]
    said = [
        f"{what} {first / fs:.1f} s to {(first + count) / fs:.1f} s" for first, count, what in sorted(spans)
    ]
    if said:
        more = f"; and {len(said) - 12} more" if len(said) > 12 else ""
        yield f"Where: {'; '.join(said[:12])}{more}."


def _measured(view: EpisodeView) -> Iterator[Block]:
    if view.report is None:
        return
    known, fs = view.report.measurements, view.episode.fs
    slowest = fastest = None
    if view.evidence is not None:
        found = heart(view.evidence, (view.evidence.start, view.evidence.end))
        slowest, fastest = found.slowest, found.fastest

    def when(rate: Rate | None, value: float | None) -> str:
        if rate is None or value is None or abs(rate.bpm - value) > SAME_BPM:
            return "time not known" if value is not None else ""
        return f"{moment(view.episode.utc(round(rate.at * fs)))}, at {rate.at:.1f} s"

    yield heading("Measurements")
    yield table(
        {"": "left", "Value": "right", "Unit": "left", "When": "wide"},
        [
            [
                "Heart rate, lowest (8 intervals)",
                *_value(known.heart_rate_min, "SLOWEST"),
                when(slowest, known.heart_rate_min),
            ],
            ["Heart rate, mean", *_value(known.heart_rate_mean, "RATE"), ""],
            [
                "Heart rate, highest (8 intervals)",
                *_value(known.heart_rate_max, "FASTEST"),
                when(fastest, known.heart_rate_max),
            ],
            ["Beats", *_value(known.beats, "BEATS"), ""],
            ["RR interval, median", *_value(known.rr_median, "RR"), ""],
            ["PR interval, median", *_value(known.pr, "PR"), ""],
            ["QRS duration, median", *_value(known.qrs, "QRS"), ""],
            ["QT interval, median, not corrected", *_value(known.qt, "QT"), ""],
        ],
    )


def _felt(view: EpisodeView) -> Iterator[Block]:
    if view.symptoms:
        yield from told(
            view.symptoms, [Stay(view=view, first=view.episode.first, last=view.episode.last)], ()
        )


def _value(value: float | None, name: str) -> tuple[str, str]:
    return ("not measured", "") if value is None else (f"{value:.0f}", QUANTITIES[name].unit)


def _said(view: EpisodeView) -> Iterator[Block]:
    yield heading("Report")
    if view.report is None:
        yield note("Not written yet.")
        return
    marks_said = "Marks such as [a11] number the facts it rests on."
    if (signed := view.signing.signed) is not None:
        yield from signed_text(view)
        yield note(f"Generated by {view.report.model}. {marks_said}")
        if signed.generated != view.report.narrative:
            yield note("A newer generated report of this episode, which nobody reviewed:")
            yield lines(view.report.narrative.split("\n"))
        return
    yield lines(view.report.narrative.split("\n"))
    yield note(f"Written by {view.report.model}. {REVIEW}. {marks_said}")
    if (draft := view.signing.draft) is not None:
        yield note(f"{draft.who} edited it at {moment(draft.at)}; what nobody has signed is not printed.")


def _one_by_one(view: EpisodeView) -> Iterator[Block]:
    rows = view.rows()
    if not rows:
        return
    yield heading("Every finding")
    yield table(
        {
            "At": "right",
            "Lasts": "right",
            "Finding": "left",
            "Leads": "left",
            "Probability": "left",
            "Evidence": "wide",
        },
        [
            [
                f"{row['at_s']:.2f} s",
                f"{row['lasts_s']:.2f} s",
                f"{row['label']} {row['plain']}" + (", going on" if row["open"] else ""),
                row["leads"],
                row["sure"] + (f" ({row['threshold']})" if row["threshold"] else ""),
                row["evidence"],
            ]
            for row in rows[:MOST_ROWS]
        ],
    )
    if len(rows) > MOST_ROWS:
        yield note(f"{len(rows) - MOST_ROWS} more are not listed; the export has them all.")
