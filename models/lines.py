"""Verdicts as lines for machines: one JSON object each, times in seconds from the start of the recording."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from models.ecg import Segment
from models.verdicts import Alert, Finding, Report, Screening

Line = dict[str, Any]


@dataclass
class Summary:
    """What a replay said, counted; `add` names the record on every line."""

    record: str
    fs: float
    counts: Counter[str] = field(default_factory=Counter)
    findings: Counter[str] = field(default_factory=Counter)

    def add(self, said: Line) -> Line:
        self.counts[said["type"]] += 1
        self.counts["flagged"] += bool(said.get("flagged"))
        if said["type"] == "finding":
            self.findings[said["label"]] += 1
        return {"type": said["type"], "record": self.record} | said

    def line(self, *, missing: int, unreadable: int) -> Line:
        """The last line; `missing` and `unreadable` in samples."""
        return {
            "type": "summary",
            "record": self.record,
            "windows": self.counts["window"],
            "flagged": self.counts["flagged"],
            "missing_s": seconds(missing, self.fs),
            "unreadable_s": seconds(unreadable, self.fs),
            "segments": self.counts["segment"],
            "findings": dict(sorted(self.findings.items())),
            "alerts": self.counts["alert"],
        }


def seconds(sample: int, fs: float) -> float:
    """Start of a sample in seconds, to 0.1 ms."""
    return round(sample / fs, 4)


def line(noun: Screening | Segment | Finding | Report | Alert, fs: float) -> Line:
    """The noun as a line; `fs` in Hz is the recording's nominal rate."""
    match noun:
        case Screening():
            return {"type": "window"} | _screening(noun, fs)
        case Segment():
            return {"type": "segment"} | _segment(noun)
        case Finding():
            return {"type": "finding"} | finding_line(noun, fs)
        case Report():
            return {"type": "report"} | _report(noun, fs)
        case Alert():
            return {"type": "alert"} | _alert(noun, fs)


def finding_line(finding: Finding, fs: float) -> Line:
    return {
        "label": finding.label,
        "code": finding.code,
        **_span(finding.first, finding.last, fs),
        "leads": list(finding.leads),
        "probability": finding.probability,
        "evidence": dict(finding.evidence),
        "segment_id": finding.segment_id,
    }


def _span(first: int, last: int, fs: float) -> Line:
    return {"start_s": seconds(first, fs), "end_s": seconds(last + 1, fs)}


def _screening(screening: Screening, fs: float) -> Line:
    quality = screening.quality
    return {
        **_span(screening.first, screening.last, fs),
        "scores": dict(screening.scores),
        "quality": {
            "readable": quality.readable,
            "reasons": {k: list(v) for k, v in quality.reasons.items()},
            "score": dict(quality.score),
        },
        "flagged": screening.flagged,
        "rules": list(screening.rules),
        "model": screening.model,
    }


def _segment(segment: Segment) -> Line:
    return {
        "id": segment.id,
        "episode_id": segment.episode_id,
        "part": segment.part,
        "final": segment.final,
        "continues": segment.continues,
        **_span(segment.first, segment.last, segment.fs),
        "missing_s": seconds(sum(count for _, count in segment.gaps), segment.fs),
        "sha256": segment.sha256,
    }


def _report(report: Report, fs: float) -> Line:
    return {
        "id": report.id,
        "episode_id": report.episode_id,
        "part": len(report.segment_ids) - 1,
        "text": report.narrative,
        "findings": [finding_line(finding, fs) for finding in report.findings],
        "abstentions": list(report.abstentions),
        "model": report.model,
    }


def _alert(alert: Alert, fs: float) -> Line:
    return {
        "id": alert.id,
        "label": alert.label,
        "priority": str(alert.priority),
        "state": alert.state,
        "time_s": seconds(alert.at, fs),
        "rule": alert.rule,
        "episode_id": alert.episode_id,
        "report_id": alert.report_id,
    }
