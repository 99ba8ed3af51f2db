"""What the reports have in common: the table of findings, the strips of events, method and limits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version

from cloud.chain import Head
from cloud.console.seen import Hand
from cloud.console.views import NOT_ASSESSED, REVIEW, WORDING, EpisodeView, moment
from cloud.prints import events, marks
from cloud.prints.events import Event
from cloud.prints.stays import Stay
from cloud.prints.strip import Style, pieces, scale
from cloud.prints.tracing import Tracing
from cloud.prints.typeset import Block, How, heading, lines, new_page, note, pairs, strip, table
from models.signals.conditioning import BAND, NETWORK_FS
from models.verdicts import LABELS, Finding

FOOT = f"{REVIEW}. {WORDING}"
UNCONFIRMED = f"{REVIEW}: no person has confirmed a finding, a number or a sentence of this print."
LIMITS = (
    "A probability is calibrated on annotated records and holds against its threshold; 'by rule' means that "
    "a rule held, which has no probability.",
    "'Unreadable signal' means that noise or a lead that is off hides what is there; 'signal unlike what "
    "was learned' means that it can be read and that the networks do not know its like. Neither is normal, "
    "nor is the absence of alerts.",
    "Heart rates are means of 8 RR intervals with nothing unreadable in them; intervals are medians.",
    "Only what the edge sent as an episode was analysed here. Strips are drawn as recorded, unfiltered; what "
    "is hatched as missing was never received.",
    f"Not assessed: {NOT_ASSESSED}, ST, QTc.",
)


def handed(hands: Sequence[Hand]) -> Iterator[str]:
    """That what a print adds up is not of one patient, where the patch changed hands meanwhile."""
    moves = sorted({move for since, until, _ in hands for move in (since, until) if move is not None})
    if moves:
        yield (
            f"The patch changed hands at {' and '.join(map(moment, moves))}: beats, rates and burden are "
            "added up across it and are not of one patient."
        )


def found_table(
    every: Sequence[Event], when: Callable[[Event], str], share: Callable[[str], str] | None = None
) -> Iterator[Block]:
    """A row a label: how many, how long, since when, how sure; `share` says its burden."""
    yield heading("Findings")
    groups: dict[str, list[Event]] = defaultdict(list)
    for event in every:
        groups[event.finding.label].append(event)
    if not groups:
        yield note("None. That nothing was found is not that nothing is there.")
        return
    labels = sorted(groups, key=events.gravity)
    rows = [_group(groups[label], when) for label in labels]
    columns: dict[str, How] = {"Finding": "wide", "Count": "right", "In all": "right", "Longest": "right"}
    columns |= {"First": "left", "Probability": "left", "Decided": "left"}
    if share is not None:
        columns["Burden"] = "right"
        rows = [[*row, share(label)] for row, label in zip(rows, labels, strict=True)]
    yield table(columns, rows)


def _group(group: Sequence[Event], when: Callable[[Event], str]) -> list[str]:
    label = group[0].finding.label
    lasts = [event.seconds for event in group]
    long = max(lasts) > 1
    known = sorted(e.finding.probability for e in group if e.finding.probability is not None)
    bounds = (
        f"{known[0]:.2f}" + (f" to {known[-1]:.2f}" if known[-1] - known[0] >= 0.005 else "") if known else ""
    )
    limits = sorted(
        {float(e.finding.evidence["threshold"]) for e in group if "threshold" in e.finding.evidence}
    )
    return [
        f"{label} {LABELS[label].plain}",
        str(len(group)),
        f"{sum(lasts):.1f} s" if long else "",
        f"{max(lasts):.1f} s" if long else "",
        when(min(group, key=lambda e: e.finding.first)),
        bounds,
        "threshold " + ", ".join(f"{limit:.2f}" for limit in limits) if known and limits else "by rule",
    ]


def event_strips(
    every: Iterable[Event], tracing_of: Callable[[str], Tracing], style: Style, when: Callable[[Event], str]
) -> Iterator[Block]:
    """A row of signal an event, gravest first; how many are not shown is said."""
    clinical = [event for event in every if not marks.is_technical(event.finding.label)]
    yield new_page()
    yield heading("Events")
    picked = events.chosen(clinical, style)
    left = len(clinical) - len(picked)
    yield note(
        f"{len(picked)} of {len(clinical)} findings as strips, the gravest first, of each kind the longest "
        f"or surest; {left} more lie in these strips or are not drawn here."
        if clinical
        else "There is nothing to show: no finding."
    )
    for event in picked:
        tracing = tracing_of(event.episode_id)
        title, cut = events.placed(event, tracing, style)
        yield strip(f"{title}, {when(event)}", scale(cut, style), pieces(cut, style))


def said_of(head: Head | None) -> str:
    """A row of the audit chain, in full: with it whoever has the chain can show that neither changed."""
    return f"row {head.number}, {head.hash}" if head else "no row"


def signed_text(view: EpisodeView) -> Iterator[Block]:
    """What a person signed of an episode's report, with what the signature binds; then its addenda."""
    if view.report is None or (signed := view.signing.signed) is None:
        return
    yield lines(
        line.text + (f" (written by {line.by})" if line.by else "")
        for line in view.signing.lines(view.report)
    )
    for row in (signed, *view.signing.addenda):
        did = "Addendum signed" if row.addendum else "Reviewed and signed"
        if row.addendum:
            yield lines([f"Addendum by {row.who}, {moment(row.at)}:", *row.text.split("\n")])
        yield note(
            f"{did} by {row.who} at {moment(row.at)}. "
            f"SHA-256 of the text {row.sha256}, report {row.report_id}, audit {said_of(row.head)}."
        )


def signed_texts(stays: Iterable[Stay]) -> Iterator[Block]:
    """What was signed of the episodes, in order of time."""
    signed = [stay for stay in stays if stay.view.signing.signed]
    if signed:
        yield heading("Signed reports")
    for stay in signed:
        yield note(f"Episode {stay.episode.id}, from {moment(stay.span[0])}")
        yield from signed_text(stay.view)


def final(wanting: bool, reviewed: int, of: int) -> str:
    """The word that stands on every page; `reviewed` of so many reports."""
    if wanting:
        return "PRELIMINARY"
    return "FINAL, REVIEWED" if of and reviewed == of else "FINAL, NOT REVIEWED"


def method(
    findings: Iterable[Finding],
    authors: Iterable[str],
    screeners: Iterable[str],
    confirmed: str = UNCONFIRMED,
) -> Iterator[Block]:
    """The last page: who said it, with the hash of its weights, and what it cannot say."""
    networks = sorted({str(f.evidence["model"]) for f in findings if "model" in f.evidence})
    yield new_page()
    yield heading("Method and limits")
    yield pairs(
        {
            "Findings": _listed(networks, "rules alone, or none"),
            "Screened by": _listed(sorted(set(screeners)), "not known"),
            "Text by": _listed(sorted(set(authors)), "nobody"),
            "Filter": f"networks {BAND[0]:g} to {BAND[1]:g} Hz at {NETWORK_FS:g} Hz; strips none",
            "Software": f"anyECG {version('anyecg')}",
        }
    )
    yield note("The 8 hexadecimal digits beside a model begin the SHA-256 of its weights.")
    yield lines([WORDING, confirmed, *LIMITS])


def _listed(names: Sequence[str], otherwise: str) -> str:
    return ", ".join(names) or otherwise
