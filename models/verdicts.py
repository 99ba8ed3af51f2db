"""What is said about a signal: the one table of labels, and the nouns that carry a verdict.

Every JSON line, page, export and question uses the labels of `LABELS`. Standard library only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # `models.ecg` imports this module
    from models.ecg import Clock


class Kind(StrEnum):
    """What a label speaks of."""

    BEAT = "beat"
    RHYTHM = "rhythm"
    RULE = "rule"
    TECHNICAL = "technical"


class DecidedBy(StrEnum):
    """Who decides a label in this version; NOT_ASSESSED is said in every report."""

    NETWORK = "network"
    RULE = "rule"
    NOT_ASSESSED = "not assessed"


@dataclass(frozen=True, slots=True)
class Label:
    """One row of the table: `snomed` is a SNOMED CT code, `wfdb` a WFDB symbol or rhythm aux note."""

    name: str
    plain: str
    snomed: str | None
    wfdb: str
    kind: Kind
    decided_by: DecidedBy


def _table(*rows: tuple[str, str, str | None, str, Kind, DecidedBy]) -> dict[str, Label]:
    return {row[0]: Label(*row) for row in rows}


_NET, _RULE, _NOT = DecidedBy.NETWORK, DecidedBy.RULE, DecidedBy.NOT_ASSESSED

LABELS: Mapping[str, Label] = _table(
    ("N", "normal beat", None, "N", Kind.BEAT, _NET),
    ("S", "supraventricular premature beat", "63593006", "S", Kind.BEAT, _NET),
    ("V", "ventricular premature beat", "17338001", "V", Kind.BEAT, _NET),
    ("F", "fusion beat", "13640000", "F", Kind.BEAT, _RULE),
    ("Q", "unclassifiable beat", None, "Q", Kind.BEAT, _NOT),
    ("L", "left bundle branch block beat", "164909002", "L", Kind.BEAT, _NOT),
    ("R", "right bundle branch block beat", "59118001", "R", Kind.BEAT, _NOT),
    ("SINUS", "sinus rhythm", "426783006", "(N", Kind.RHYTHM, _NOT),
    ("AFIB", "atrial fibrillation", "164889003", "(AFIB", Kind.RHYTHM, _NET),
    ("AFL", "atrial flutter", "164890007", "(AFL", Kind.RHYTHM, _NOT),
    ("SVTA", "supraventricular tachycardia", "426761007", "(SVTA", Kind.RHYTHM, _NOT),
    ("VT", "ventricular tachycardia", "164895002", "(VT", Kind.RHYTHM, _RULE),
    ("VF", "ventricular fibrillation or flutter", "164896001", "(VFL", Kind.RHYTHM, _NET),
    ("B", "ventricular bigeminy", "11157007", "(B", Kind.RHYTHM, _RULE),
    ("T", "ventricular trigeminy", "251180001", "(T", Kind.RHYTHM, _RULE),
    ("AVB", "atrioventricular block", "233917008", "(BII", Kind.RHYTHM, _NOT),
    ("PACED", "paced rhythm", "10370003", "(P", Kind.RHYTHM, _NET),
    ("PREX", "pre-excitation", "195060002", "(PREX", Kind.RHYTHM, _NOT),
    ("NOD", "junctional rhythm", "29320008", "(NOD", Kind.RHYTHM, _NOT),
    ("PAUSE", "pause", None, "PAUSE", Kind.RULE, _RULE),
    ("BRADY", "slow heart rate", "48867003", "BRADY", Kind.RULE, _RULE),
    ("TACHY", "fast heart rate", "3424008", "TACHY", Kind.RULE, _RULE),
    ("NOISE", "unreadable signal", None, "~", Kind.TECHNICAL, _RULE),
    ("LEADOFF", "lead off", None, "~", Kind.TECHNICAL, _RULE),
    ("UNFAMILIAR", "signal unlike what was learned", None, "~", Kind.TECHNICAL, _NET),
)


RUN_BEATS = 3  # ventricular beats in a row
TOLD_FROM_S: Mapping[str, float] = {  # in a shorter ECG it cannot be found, and is not denied
    "AFIB": 8.0,
    "PACED": 10.0,
    "BRADY": 30.0,  # from beat to beat, in one piece
    "TACHY": 30.0,
    "UNFAMILIAR": 10.0,
}


class Priority(IntEnum):
    """Alarm priorities after IEC 60601-1-8; technical ones stand apart, below the clinical ones."""

    TECHNICAL = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """Whether a window can be read, and per lead why not: flat, saturated, lead off, noise, missing.

    `score` says per lead how unreadable, 0 to 1; unreadable from 0.5 on.
    """

    readable: bool
    reasons: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    score: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a window that can be told beat by beat shows, by the screener's estimate; sample indices."""

    beats: tuple[tuple[int, str], ...]  # R peaks in order, each "N", "S" or "V"
    af: tuple[tuple[int, int], ...]  # (first, count) of atrial fibrillation or flutter


@dataclass(frozen=True, slots=True, kw_only=True)
class Screening:
    """The edge's verdict on one window.

    A flagged window opens an episode. An unreadable one that is not flagged is neither
    flagged nor quiet. `rules` names the rules that flagged it beside the network
    (`asystole`, `chaos`, `marker`); `model` is the network's version. `seen` is None where no
    beat can be told from noise or fibrillation; the trend reads it, and it goes no further.
    """

    first: int
    last: int
    scores: Mapping[str, float]  # label -> probability, 0 to 1; "abnormal" is the window's own
    quality: Quality
    flagged: bool
    rules: tuple[str, ...] = ()
    model: str
    seen: Seen | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TrendRow:
    """A minute of a patch, counted at the edge: rows begin at multiples of 60 s in sample index.

    The first and the last of a boot may be shorter. Seconds are of signal. A second is missing, or
    unreadable, or analysed; beats and intervals are those of the analysed ones. `n_V`, `n_S` and `af_s` are
    the screener's estimates. Rates are None where there are no such intervals, never a guess.
    """

    id: str  # of patch, boot and first
    patch_id: str
    boot_id: int
    first: int
    last: int
    fs: float  # nominal Hz
    missing_s: float  # not received
    unreadable_s: float  # received, but no beat can be told from noise or fibrillating ventricles
    flagged_s: float  # received, in windows that were flagged, readable or not
    beats: int
    n_V: int  # noqa: N815 - the label's own letter
    n_S: int  # noqa: N815 - the label's own letter
    af_s: float  # of atrial fibrillation or flutter
    hr_min: float | None  # /min, mean of 8 RR intervals
    hr_mean: float | None  # /min, of the RR intervals that end in the row
    hr_max: float | None  # /min, mean of 8 RR intervals
    model: str
    clock: Clock

    @property
    def covered_s(self) -> float:
        return (self.last + 1 - self.first) / self.fs

    @property
    def utc(self) -> float | None:
        """Unix seconds of its first sample, None where the clock is unknown."""
        return self.clock.utc(self.first)

    @property
    def sha256(self) -> str:
        """Hex SHA-256 of all but the clock: that may be known better when the row is made again."""
        said = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "clock"}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Something found, where, how sure, and what it rests on.

    A beat spans QRS onset to offset; a run or a rhythm belongs to the segment in which it begins.
    `probability` is None where a rule decided: a rule holds or does not.
    """

    segment_id: str
    label: str  # a key of LABELS
    first: int
    last: int
    leads: tuple[str, ...]
    probability: float | None
    evidence: Mapping[str, Any]

    @property
    def code(self) -> str | None:
        return LABELS[self.label].snomed


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """Numbers of an episode; None where it could not be measured, never a guess."""

    beats: int
    heart_rate_mean: float | None  # /min
    heart_rate_min: float | None  # /min, mean of 8 RR intervals
    heart_rate_max: float | None  # /min, mean of 8 RR intervals
    rr_median: float | None  # ms
    pr: float | None  # ms
    qrs: float | None  # ms
    qt: float | None  # ms
    analysed_s: float
    not_analysed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is said of an episode up to its newest part."""

    id: str
    episode_id: str
    segment_ids: tuple[str, ...]
    findings: tuple[Finding, ...]
    measurements: Measurements
    narrative: str
    abstentions: tuple[str, ...]  # what was not assessed, a sentence each
    model: str  # "template/1" until the language model arrives


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a nurse is called for; one open alert a patient."""

    id: str
    patch_id: str
    episode_id: str
    label: str
    priority: Priority
    state: str  # "raised" at first; the cloud says what becomes of it
    at: int  # sample index of the last beat its rule needed
    rule: str  # the rule in words
    report_id: str | None = None  # empty until the report exists
    history: tuple[Mapping[str, Any], ...] = ()
