"""Which findings are shown as strips: the gravest first, of each kind the longest or surest, none twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from cloud.prints import marks
from cloud.prints.strip import Style
from cloud.prints.tracing import Tracing
from models.verdicts import LABELS, Finding

GRAVEST = ("VF", "VT", "PAUSE", "AVB", "AFIB", "AFL", "SVTA", "BRADY", "TACHY", "B", "T", "V", "F", "S")
EACH = 3  # of a label
MOST = 12  # in all
BEFORE_S = 1.5  # of signal that leads to an event


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A finding and where its episode is."""

    episode_id: str
    finding: Finding
    fs: float

    @property
    def seconds(self) -> float:
        return (self.finding.last + 1 - self.finding.first) / self.fs


def chosen(events: Iterable[Event], style: Style) -> list[Event]:
    """At most `MOST`, of each label at most `EACH`, in the order of their weight."""
    out: list[Event] = []
    for event in sorted(events, key=_weight):
        same = [other for other in out if other.finding.label == event.finding.label]
        if len(out) < MOST and len(same) < EACH and not any(_seen(event, other, style) for other in out):
            out.append(event)
    return out


def placed(event: Event, tracing: Tracing, style: Style) -> tuple[str, Tracing]:
    """What stands above an event's strip, and the row of signal that begins just before it."""
    finding, fs = event.finding, event.fs
    first = max(tracing.first, finding.first - round(BEFORE_S * fs))
    last = first + max(1, round(style.row_s * fs)) - 1
    lasts = f", {event.seconds:.1f} s" if event.seconds >= 1 else ""
    rest = " (longer than is shown)" if finding.last > last else ""
    return f"{finding.label} {LABELS[finding.label].plain}{lasts}{rest}, {_how_sure(finding)}", tracing.cut(
        first, last
    )


def _how_sure(finding: Finding) -> str:
    if finding.probability is None:
        return "by rule"
    threshold = finding.evidence.get("threshold")
    return f"p {finding.probability:.2f}" + (f" (threshold {threshold:.2f})" if threshold is not None else "")


def gravity(label: str) -> tuple[bool, int, str]:
    """Sorts labels: the gravest first, what is technical last."""
    return marks.is_technical(label), GRAVEST.index(label) if label in GRAVEST else len(GRAVEST), label


def _weight(event: Event) -> tuple[tuple[bool, int, str], float, float, str, int]:
    p = event.finding.probability
    lasts = event.seconds if event.seconds > 1 else 0.0
    return (
        gravity(event.finding.label),
        -lasts,
        -(1.0 if p is None else p),
        event.episode_id,
        event.finding.first,
    )


def _seen(event: Event, other: Event, style: Style) -> bool:
    """The other's row shows it as well."""
    begin = other.finding.first - BEFORE_S * other.fs
    inside = begin <= event.finding.first and event.finding.last < begin + style.row_s * other.fs
    return event.episode_id == other.episode_id and inside
