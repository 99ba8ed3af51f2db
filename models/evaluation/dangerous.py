"""Ventricular fibrillation and tachycardia: found or not, how soon, and how often for nothing.

An annotated VF or VT episode is found where anything that was said of either overlaps it: a nurse is called
all the same. `delay_s` runs from its onset to the last sample that had been heard when it was said,
`evidence_s` to the sample with which the rule's evidence was complete, `screener_s` to the end of the edge's
first flagged window with any of it. A false alarm is a said episode that would call a nurse at high priority
and overlaps no annotated VF or VT.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.evaluation.judged import Figures, Judged, ratio
from models.evaluation.rhythms import known_spans, spans_of
from models.evaluation.served import SaidEpisode
from models.evaluation.spans import Span, outside, overlap, share, total

LABELS = ("VF", "VT")
LASTING_S = 5.0
KNOWN_SHARE = 0.5  # of a said episode must lie where the rhythm is annotated, to count as false


@dataclass(frozen=True, slots=True, kw_only=True)
class Met:
    """An annotated episode, and the seconds after its onset at which each of them knew; None: never."""

    record: str
    lasts_s: float
    same_label: bool
    delay_s: float | None
    evidence_s: float | None
    screener_s: float | None


def dangerous_figures(judged: Sequence[Judged]) -> Figures:
    """By label: sensitivity and delays, of all and of those that last 5 s; and false alarms per hour."""
    met = {label: [m for j in judged for m in _met(j, label)] for label in LABELS}
    false = [(j, e) for j in judged for e in _false(j)]
    hours = sum(total(_harmless(j)) / j.truth.fs for j in judged) / 3600
    alarms = [(j, e) for j, e in false if e.alarm]
    return {
        **{label: _figures(rows) | {"lasting_5_s": _figures(_lasting(rows))} for label, rows in met.items()},
        "hours": round(hours, 3),
        "false_alarms": len(alarms),
        "false_alarms_per_hour": ratio(len(alarms), hours),
        "false_episodes_per_hour": ratio(len(false), hours),
        "false_by_record": [
            {"record": j.truth.record, "label": e.label, "at_s": round(e.first / j.truth.fs, 1)}
            for j, e in alarms
        ],
        "missed": [
            {"record": m.record, "label": label, "lasts_s": m.lasts_s}
            for label, rows in met.items()
            for m in rows
            if m.delay_s is None
        ],
    }


def _figures(rows: Sequence[Met]) -> Figures:
    found = [m for m in rows if m.delay_s is not None]
    seconds = sum(m.lasts_s for m in rows)
    return {
        "episodes": len(rows),
        "seconds": round(seconds, 1),
        "sensitivity": ratio(len(found), len(rows)),
        "sensitivity_same_label": ratio(sum(m.same_label for m in rows), len(rows)),
        "delay_s": _spread(m.delay_s for m in rows),
        "evidence_s": _spread(m.evidence_s for m in rows),
        "screener_sensitivity": ratio(sum(m.screener_s is not None for m in rows), len(rows)),
        "screener_s": _spread(m.screener_s for m in rows),
    }


def _lasting(rows: Iterable[Met]) -> list[Met]:
    return [m for m in rows if m.lasts_s >= LASTING_S]


def _spread(delays: Iterable[float | None]) -> Figures:
    known = [delay for delay in delays if delay is not None]
    if not known:
        return {"median": None, "worst": None}
    return {"median": round(float(np.median(known)), 2), "worst": round(max(known), 2)}


def _met(j: Judged, label: str) -> list[Met]:
    fs = j.truth.fs
    out = []
    for first, last in spans_of(j.truth, label):
        said = [e for e in _said(j) if e.first <= last and e.last >= first]
        flagged = [w.last for w in j.served.windows if w.flagged and w.first <= last and w.last >= first]
        out.append(
            Met(
                record=j.truth.record,
                lasts_s=round((last + 1 - first) / fs, 2),
                same_label=any(e.label == label for e in said),
                delay_s=_after(first, [e.said for e in said], fs),
                evidence_s=_after(first, [e.evident for e in said], fs),
                screener_s=_after(first, flagged, fs),
            )
        )
    return out


def _after(first: int, samples: Sequence[int], fs: float) -> float | None:
    return max(0.0, (min(samples) - first) / fs) if samples else None


def _said(j: Judged) -> list[SaidEpisode]:
    return [e for e in j.served.episodes if e.label in LABELS]


def _false(j: Judged) -> list[SaidEpisode]:
    true, known = spans_of(j.truth, *LABELS), known_spans(j.truth)
    spans = [(e, (e.first, e.last)) for e in _said(j)]
    return [e for e, span in spans if not overlap([span], true) and share(span, known) >= KNOWN_SHARE]


def _harmless(j: Judged) -> Sequence[Span]:
    """Where the rhythm is annotated and is neither."""
    return overlap(outside(spans_of(j.truth, *LABELS), 0, j.served.samples - 1), known_spans(j.truth))
