"""What a finding rests on, in words: the rule that was checked with its value, how well the signal could be
read there, and what of an episode was not read at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from cloud.store import Episode, StoredFinding
from models.ecg import Segment
from models.verdicts import LABELS, Kind, Screening

UNITS = {"ms": "ms", "s": "s", "mv": "mV", "bpm": "/min"}  # last word of an evidence's key
SHORT = {"r": "R", "rr": "RR", "qrs": "QRS"}
MEASURED = {  # what a rule holds against its limit, beside the network's probability
    "VT": ("beats", "rate_bpm"),
    "B": ("cycles",),
    "T": ("cycles",),
    "PACED": ("beats", "of"),
    "PAUSE": ("rr_s",),
    "BRADY": ("rate_bpm",),
    "TACHY": ("rate_bpm",),
    "AFIB": ("rr_irregularity",),
    "F": ("ventricular_share",),
    "UNFAMILIAR": ("times_usual",),
}

Row = dict[str, Any]


def finding_row(stored: StoredFinding, episode: Episode, screenings: Sequence[Screening]) -> Row:
    f = stored.finding
    evidence = dict(f.evidence)
    threshold, rule = evidence.pop("threshold", None), evidence.pop("rule", None)
    return {
        "id": stored.id,
        "first": f.first,
        "last": f.last,
        "label": f.label,
        "plain": LABELS[f.label].plain,
        "code": f.code,
        "at_s": f.first / episode.fs,
        "lasts_s": (f.last + 1 - f.first) / episode.fs,
        "leads": ", ".join(f.leads),
        "sure": "by rule" if f.probability is None else f"{f.probability:.2f}",
        "threshold": "" if threshold is None else f"threshold {threshold:.2f}",
        "rule": None if rule is None else rule.replace(">=", "≥"),
        "measured": ", ".join(
            said(key, evidence[key], episode.fs) for key in MEASURED.get(f.label, ()) if key in evidence
        ),
        "quality": quality(screenings, f.leads, f.first, f.last),
        "evidence": " · ".join(said(key, value, episode.fs) for key, value in evidence.items()),
        "open": stored.open,
    }


def quality(screenings: Iterable[Screening], leads: Sequence[str], first: int, last: int) -> str:
    """Of each lead between the samples: how unreadable its worst window was (from 0.5 on), and why."""
    seen = [s for s in screenings if s.first <= last and s.last >= first]
    if not seen:
        return "not judged"
    return ", ".join(_of_lead(seen, lead) for lead in leads)


def _of_lead(seen: Sequence[Screening], lead: str) -> str:
    scores = [s.quality.score[lead] for s in seen if lead in s.quality.score]
    why = sorted({reason for s in seen for reason in s.quality.reasons.get(lead, ())})
    score = f"{max(scores):.2f}" if scores else "not judged"
    return f"{lead} {score}" + (f" ({', '.join(why)})" if why else "")


def lead_rows(parts: Sequence[Segment]) -> list[Row]:
    """How much of each lead could be read, by the windows of the edge."""
    screenings = [s for part in parts for s in part.screenings]
    return [_lead_row(lead, screenings) for lead in (parts[0].leads if parts else ())]


def _lead_row(lead: str, screenings: Sequence[Screening]) -> Row:
    scores = [s.quality.score[lead] for s in screenings if lead in s.quality.score]
    why = sorted({reason for s in screenings for reason in s.quality.reasons.get(lead, ())})
    return {
        "lead": lead,
        "windows": len(screenings),
        "judged": len(scores),
        "readable": sum(score < 0.5 for score in scores),
        "worst": f"{max(scores):.2f}" if scores else None,
        "why": ", ".join(why),
    }


def not_read(
    episode: Episode, findings: Sequence[StoredFinding], gaps: Sequence[tuple[int, int]]
) -> list[Row]:
    """Spans that nothing is known of, or that no finding should be trusted in, in order."""
    technical = [f.finding for f in findings if LABELS[f.finding.label].kind is Kind.TECHNICAL]
    spans = [(first, count, "missing") for first, count in gaps]
    spans += [(f.first, f.last + 1 - f.first, _why(f.label, f.evidence)) for f in technical]
    return [
        {"from_s": first / episode.fs, "to_s": (first + count) / episode.fs, "why": why}
        for first, count, why in sorted(spans)
    ]


def _why(label: str, evidence: Mapping[str, Any]) -> str:
    reasons = ", ".join(evidence.get("why", ()))
    return f"{LABELS[label].plain}{f' ({reasons})' if reasons else ''}"


def said(key: str, value: Any, fs: float) -> str:
    """One piece of evidence in words: `rr_ms` 464 is "RR 464 ms", `r_peak` a time of the recording."""
    if key == "r_peak":
        return f"R peak at {value / fs:.2f} s"
    name, _, unit = key.rpartition("_")
    if unit not in UNITS:
        name, unit = key, ""
    if value is None:
        return f"{_words(name)} not measured"
    return f"{_words(name)} {_number(value)} {UNITS.get(unit, '')}".rstrip()


def _words(key: str) -> str:
    return " ".join(SHORT.get(word, word) for word in key.split("_"))


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_words(str(k))} {_number(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return f"{len(value)} values" if len(value) > 8 else ", ".join(_number(v) for v in value)
    return str(value)
