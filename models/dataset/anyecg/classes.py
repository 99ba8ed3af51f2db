"""The classes that can be asked for in a strip, what they are called, and where they are.

A class is answered only where the strip's annotations settle it: `found` says None where the database
does not annotate the class, where beats or rhythm are unknown, where an annotator was unsure, or where
an edge of the strip cuts the event so that it cannot be recognised. None is not "absent".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from models.dataset.anyecg.intervals import Span, clipped, target_spans
from models.dataset.anyecg.timeline import Strip, Timeline

PAUSE_S = 2.0
_PAUSE_MARGIN_S = 0.05  # a pause this close to the limit is neither
_SHORTEST_S = 3.0  # of a rhythm cut by an edge, so that it can be recognised
_SHORTEST_VENTRICULAR_S = 1.0


@dataclass(frozen=True, slots=True)
class Findable:
    """A class of beats, rhythms or pauses; `names` are what questions and answers may call it."""

    label: str  # of verdicts.LABELS, or the WFDB code of what the table leaves out
    kind: str  # "beat" | "rhythm" | "pause"
    marks: frozenset[str]  # WFDB symbols or rhythm notes
    names: tuple[str, ...]
    doubtful: frozenset[str] = field(default=frozenset("Q?"))  # symbols that leave the answer open


def plural(name: str) -> str:
    """The name as a question puts it: several beats or pauses, one rhythm."""
    if name.startswith("pause"):
        return name.replace("pause", "pauses", 1)
    return f"{name}s" if name.endswith(("beat", "contraction", "systole", "PVC", "pattern")) else name


def _beat(label: str, marks: str, doubtful: str, names: str) -> Findable:
    return Findable(label, "beat", frozenset(marks), _split(names), frozenset(doubtful + "Q?"))


def _rhythm(label: str, mark: str, names: str) -> Findable:
    return Findable(label, "rhythm", frozenset({mark}), _split(names))


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split("|"))


_VENTRICULAR = """premature ventricular contraction | ventricular premature beat | ventricular extrasystole
    | PVC | ventricular ectopic beat | premature ventricular beat"""
_SUPRAVENTRICULAR = """atrial premature beat | supraventricular premature beat | premature atrial contraction
    | supraventricular extrasystole | supraventricular ectopic beat"""
_ALL = (
    _beat("V", "Vr", "E", _VENTRICULAR),
    _beat("S", "AaJS", "", _SUPRAVENTRICULAR),
    _beat("F", "F", "", "fusion beat | ventricular fusion beat"),
    _beat("L", "L", "", "left bundle branch block | left bundle branch block beat | LBBB pattern"),
    _beat("R", "R", "", "right bundle branch block | right bundle branch block beat | RBBB pattern"),
    _beat("PACED", "/", "f", "paced beat | pacemaker beat | ventricular paced beat"),
    _beat("E", "E", "", "ventricular escape beat"),
    _beat("e", "e", "", "atrial escape beat"),
    _beat("j", "j", "", "junctional escape beat | nodal escape beat"),
    _rhythm("AFIB", "AFIB", "atrial fibrillation | AF | AFib"),
    _rhythm("AFL", "AFL", "atrial flutter"),
    _rhythm("SVTA", "SVTA", "supraventricular tachycardia | supraventricular tachyarrhythmia | SVT"),
    _rhythm("VT", "VT", "ventricular tachycardia | VT"),
    _rhythm("VF", "VFL", "ventricular fibrillation or flutter | VF or ventricular flutter"),
    _rhythm("B", "B", "ventricular bigeminy | bigeminy"),
    _rhythm("T", "T", "ventricular trigeminy | trigeminy"),
    _rhythm("PREX", "PREX", "pre-excitation | ventricular pre-excitation"),
    _rhythm("NOD", "NOD", "junctional rhythm | nodal rhythm"),
    _rhythm("IVR", "IVR", "idioventricular rhythm"),
    Findable("PAUSE", "pause", frozenset(), ("pause of more than 2 s", "pause longer than 2 seconds")),
)
FINDABLE: Mapping[str, Findable] = {item.label: item for item in _ALL}

# What each database annotates. SVDB and the European ST-T excerpts call bundle branch block normal.
ASSESSED: Mapping[str, tuple[str, ...]] = {
    "mitdb": tuple(FINDABLE),
    "svdb": ("V", "S", "PAUSE"),
    "qtdb": ("V", "S", "PAUSE"),
    "afpdb": ("AFIB", "AFL"),
    "aftdb": ("AFIB",),
    "cinc2017": ("AFIB",),
    "cpsc2021": ("AFIB",),
    "vfdb": ("VT", "VF"),
    "cudb-vf": ("VF",),
}
_NEEDS_CONTEXT = frozenset({"S"})  # early against the beat before it


def assessed(source: str) -> tuple[Findable, ...]:
    return tuple(FINDABLE[label] for label in ASSESSED[source])


def found(item: Findable, strip: Strip) -> tuple[Span, ...] | None:
    """Where the class is, in seconds from the start of the strip; None where nobody can say."""
    if item.label not in ASSESSED[strip.timeline.source]:
        return None
    if item.kind == "rhythm":
        return _rhythm_spans(item, strip)
    if not strip.beats_known:
        return None
    return _pause_spans(strip) if item.kind == "pause" else _beat_spans(item, strip)


def events(item: Findable, timeline: Timeline) -> list[tuple[int, int]]:
    """First and last sample of every event of the class in the recording."""
    if item.kind == "rhythm":
        return [(rhythm.first, rhythm.last) for rhythm in timeline.rhythms if rhythm.name in item.marks]
    if not timeline.beats_known:
        return []
    pairs = list(pairwise(int(beat) for beat in timeline.beats))
    if item.kind == "pause":
        return [(a, b) for a, b in pairs if PAUSE_S * timeline.fs < b - a < 4 * timeline.fs]
    wanted = np.flatnonzero(np.isin(timeline.symbols, list(item.marks)))
    around = [0, *(int(beat) for beat in timeline.beats), timeline.length - 1]
    return [(around[i], around[i + 2]) for i in wanted]


def _beat_spans(item: Findable, strip: Strip) -> tuple[Span, ...] | None:
    timeline, inside, symbols = strip.timeline, strip.inside, strip.symbols
    if not item.doubtful.isdisjoint(symbols) or not item.doubtful.isdisjoint(strip.at_edges()):
        return None
    if not item.marks.isdisjoint(strip.at_edges()):
        return None
    if item.label in _NEEDS_CONTEXT and symbols and symbols[0] in item.marks:
        return None
    blocked = (timeline.blocked >= strip.first) & (timeline.blocked <= strip.last)
    if item.label == "S" and blocked.any():
        return None
    near = slice(max(inside.start - 1, 0), inside.stop + 1)
    beats = [float(beat) / timeline.fs for beat in timeline.beats[near]]
    return target_spans(beats, [s in item.marks for s in timeline.symbols[near]], strip.start, strip.end)


def _rhythm_spans(item: Findable, strip: Strip) -> tuple[Span, ...] | None:
    if not strip.rhythm_known():
        return None
    fs = strip.timeline.fs
    pieces = [(rhythm, a, b) for rhythm, a, b in strip.rhythms() if rhythm.name in item.marks]
    shortest = fs * (_SHORTEST_VENTRICULAR_S if item.label in {"VT", "VF"} else _SHORTEST_S)
    if any((r.first < a or r.last > b) and b + 1 - a < shortest for r, a, b in pieces):
        return None
    return clipped([(a / fs, (b + 1) / fs) for _, a, b in pieces], strip.start, strip.end)


def _pause_spans(strip: Strip) -> tuple[Span, ...] | None:
    """Pauses between two beats of the strip; None where an edge may hide one or one is near the limit."""
    beats = strip.beats_s
    if not beats or max(beats[0], strip.seconds - beats[-1]) > PAUSE_S:
        return None
    gaps = list(pairwise(beats))
    if any(abs(b - a - PAUSE_S) <= _PAUSE_MARGIN_S for a, b in gaps):
        return None
    return clipped([(a, b) for a, b in gaps if b - a > PAUSE_S], 0.0, strip.seconds)
