"""The report of an episode, from a template: every number in it is a measurement or a finding.

It is marked as a template's until the language model arrives, and stays its fallback.
"""

from __future__ import annotations

from collections import defaultdict

from cloud.analyst import EpisodeAnalyst
from models.ecg import Segment, make_id
from models.verdicts import LABELS, DecidedBy, Finding, Kind, Measurements, Report

MODEL = "template/1"
EVERY_PARTS = 4
HEAD = "Template report (no language model yet). AI-generated, not yet reviewed."
FOOT = "Decision support. Not a diagnosis. Not for emergency monitoring."


def is_due(segment: Segment) -> bool:
    """With part 0, every fourth part and the final one."""
    return segment.final or segment.part % EVERY_PARTS == 0


def write_report(analyst: EpisodeAnalyst, segments: tuple[str, ...], newest: Segment) -> Report:
    """`segments` are the ids of the parts covered, `newest` the last of them."""
    findings = tuple(sorted([*analyst.findings, *analyst.open], key=lambda f: (f.first, f.label)))
    measured = analyst.measurements()
    abstentions = tuple(_abstentions(measured, findings, newest.fs))
    found = _found(findings, newest.fs, read=measured.analysed_s > 0)
    lines = [HEAD, _rate(measured), *found, _intervals(measured), *abstentions, FOOT]
    return Report(
        id=make_id(newest.episode_id, newest.part),
        episode_id=newest.episode_id,
        segment_ids=segments,
        findings=findings,
        measurements=measured,
        narrative="\n".join(lines),
        abstentions=abstentions,
        model=MODEL,
    )


def _rate(m: Measurements) -> str:
    if m.heart_rate_mean is None:
        return f"{m.analysed_s:.0f} s analysed; the heart rate was not measured."
    between = ""
    if m.heart_rate_min is not None and m.heart_rate_max is not None:
        between = f" ({m.heart_rate_min:.0f} to {m.heart_rate_max:.0f}/min over 8 beats)"
    return f"{m.analysed_s:.0f} s analysed, {m.beats} beats, mean rate {m.heart_rate_mean:.0f}/min{between}."


def _found(findings: tuple[Finding, ...], fs: float, *, read: bool) -> list[str]:
    """One sentence per label, in the order of the table; that nothing was found only where something was
    read."""
    groups: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        groups[finding.label].append(finding)
    known = [label for label in LABELS if label in groups]
    clinical = [label for label in known if LABELS[label].kind is not Kind.TECHNICAL]
    said = [_sentence(label, groups[label], fs) for label in known]
    if clinical:
        return said
    nothing = (
        "No abnormal beat or rhythm was found in what was analysed." if read else "Nothing was analysed."
    )
    return [nothing, *said]


def _sentence(label: str, found: list[Finding], fs: float) -> str:
    row = LABELS[label]
    times = f"first at {found[0].first / fs:.1f} s, last at {found[-1].first / fs:.1f} s"
    if row.kind is Kind.BEAT:
        what = f"{len(found)} {row.plain}{'s' if len(found) > 1 else ''} ({times})"
    else:
        lasting = sum(f.last + 1 - f.first for f in found) / fs
        what = f"{row.plain[0].upper()}{row.plain[1:]}: {len(found)} x, {lasting:.1f} s in all ({times})"
    sure = [f.probability for f in found if f.probability is not None]
    if not sure:
        return f"{what}, by rule."
    threshold = found[0].evidence.get("threshold")
    limit = "" if threshold is None else f", threshold {threshold:.2f}"
    return f"{what}, probability {min(sure):.2f} to {max(sure):.2f}{limit}."


def _intervals(m: Measurements) -> str:
    said = [
        f"{name} {ms:.0f} ms" if ms is not None else f"{name} not measured"
        for name, ms in (("PR", m.pr), ("QRS", m.qrs), ("QT", m.qt))
    ]
    return f"Normal beats, median: {', '.join(said)}."


def _abstentions(m: Measurements, findings: tuple[Finding, ...], fs: float) -> list[str]:
    out = []
    if m.not_analysed_s > 0:
        out.append(f"No alerts is not normal: {m.not_analysed_s:.1f} s could not be analysed.")
    if strange := [f for f in findings if f.label == "UNFAMILIAR"]:
        seconds = sum(f.last + 1 - f.first for f in strange) / fs
        out.append(
            f"{seconds:.1f} s are unlike anything the network has learned: be wary of what it says there."
        )
    unassessed = [row.plain for row in LABELS.values() if row.decided_by is DecidedBy.NOT_ASSESSED]
    out.append(f"Not assessed: {', '.join(unassessed)}, ST, QTc.")
    return out
