"""How 2 to 4 ECGs differ: the numbers that the newest report of each rests on, and their differences.

Nothing is measured here, and what is compared is compared as in the language model's answers
(`models.anyecg.chat.comparison`). Of what is not known to be of one heart no difference is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from operator import methodcaller
from typing import Any

from cloud.citations import Cited, pieces
from cloud.console.views import EpisodeView, moment
from cloud.strips import one_heart
from models.anyecg.chat import comparison, statements
from models.anyecg.chat.names import NAMES, UNASSESSED_LIST
from models.anyecg.chat.plans import QTC, ST
from models.anyecg.chat.wording import say
from models.anyecg.evidence import QUANTITIES, Evidence
from models.anyecg.usual import QRS, WHOLE, UsualBeat, alike, common

LENGTHS = ("ANALYSED", "NOT_ANALYSED", "BEATS")  # they differ, and tell nothing of the heart
VALUES = ("RATE", "SLOWEST", "FASTEST", "RR", "PR", "QRS", "QT")
ECTOPIC = ("V", "S", "F")
RULED = ("PAUSE", "BRADY", "TACHY")
NOT_YET = "not analysed yet"
NOT_MEASURED = "not measured"
NO_ONE_BEAT = "ECG {}: no usual beat, for which three normal beats must have been measured whole."

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ecg:
    """One of those compared."""

    letter: str
    view: EpisodeView
    known: Evidence | None  # None: no report yet
    beat: UsualBeat | None
    beats: tuple[int, ...]  # samples of all R peaks
    at: int | None  # the one that is laid on the others'
    hands: frozenset[str | None]  # ids of the patients it is of; None is nobody

    @property
    def recorded(self) -> str:
        return moment(self.view.episode.utc(self.view.episode.first))

    def pieces(self, sentence: str) -> list[Row]:
        """The sentence, cut at what can be shown on the strip."""
        assert self.known is not None
        assert self.view.report is not None
        cited = Cited(evidence=self.known, findings=self.view.report.findings, fs=self.view.episode.fs)
        return pieces(sentence, [cited])


def changes(ecgs: Sequence[Ecg]) -> Row:
    """What the compare page's table shows; see `cloud.console.compare`.

    {"one_heart", "cautions": [sentence], "not_assessed",
     "rows": [{"name", "unit", "values": one an ECG, "differences": one for each ECG but the first,
               "said" and "signed": the same in words}],
     "shapes": [{"lead", "beats", "qrs", "whole"}]}
    """
    one = _one_heart(ecgs)
    return {
        "one_heart": one,
        "cautions": _cautions(ecgs),
        "rows": [
            *_lengths(ecgs),
            *_values(ecgs, one),
            *_ectopics(ecgs, one),
            _rhythm(ecgs, one),
            *_ruled(ecgs),
            *_unassessed(ecgs),
        ],
        "shapes": _shapes(ecgs, one),
        "not_assessed": UNASSESSED_LIST,
    }


def _one_heart(ecgs: Sequence[Ecg]) -> bool:
    return one_heart((ecg.view.episode.patch_id, ecg.hands) for ecg in ecgs)


def _cautions(ecgs: Sequence[Ecg]) -> list[str]:
    said = []
    hands = frozenset[str | None]().union(*(ecg.hands for ecg in ecgs))
    patches = {ecg.view.episode.patch_id for ecg in ecgs}
    whose = "; ".join(f"{ecg.letter} {_whose(ecg)}" for ecg in ecgs)
    if len(hands - {None}) > 1:
        said.append(f"These ECGs are not of one patient: {whose}. No difference is told.")
    elif not _one_heart(ecgs):
        said.append(f"These ECGs are not known to be of one patient: {whose}. No difference is told.")
    elif len(patches) > 1:
        said.append(f"These ECGs are of different patches: {whose}. Electrodes may have lain elsewhere.")
    leads = list(dict.fromkeys(lead for ecg in ecgs for lead in ecg.view.episode.leads))
    for ecg in ecgs:
        lacks = [lead for lead in leads if lead not in ecg.view.episode.leads]
        if lacks:
            said.append(f"ECG {ecg.letter} has no lead {', '.join(lacks)}.")
        if ecg.known is None:
            said.append(f"ECG {ecg.letter} is {NOT_YET}.")
        elif behind := ecg.view.behind():
            said.append(f"ECG {ecg.letter}: its newest {behind} are in none of these numbers yet.")
        if ecg.known is not None and ecg.beat is None:
            said.append(NO_ONE_BEAT.format(ecg.letter))
    return said


def _whose(ecg: Ecg) -> str:
    names = " and ".join(patient["name"] for patient in ecg.view.hands)
    return f"{names or 'on no patient'}, patch {ecg.view.episode.patch_id}"


def _lengths(ecgs: Sequence[Ecg]) -> list[Row]:
    quantities = map(QUANTITIES.__getitem__, LENGTHS)
    return [_row(q.plain, q.unit, methodcaller("value", q.name), ecgs, digits=q.digits) for q in quantities]


def _values(ecgs: Sequence[Ecg], one: bool) -> list[Row]:
    quantities = map(QUANTITIES.__getitem__, VALUES)
    return [_row(q.plain, q.unit, partial(comparison.measured, q.name), ecgs, differ=one) for q in quantities]


def _ectopics(ecgs: Sequence[Ecg], one: bool) -> list[Row]:
    """Counts have no difference: lengths differ, so that only shares can be compared."""
    rows = []
    for label in ECTOPIC:
        name, share = NAMES[label].plain, partial(statements.share, label=label)
        rows.append(_row(name, "", partial(comparison.counted, label), ecgs))
        rows.append(_row(f"{name}, of all beats", "%", share, ecgs, digits=1, differ=one))
    return rows


def _ruled(ecgs: Sequence[Ecg]) -> list[Row]:
    return [_row(NAMES[label].many, "", partial(comparison.counted, label), ecgs) for label in RULED]


def _row(
    name: str,
    unit: str,
    read: Callable[[Evidence], float | None],
    ecgs: Sequence[Ecg],
    *,
    digits: int = 0,
    differ: bool = False,
) -> Row:
    """`differences` are from the first ECG; None where it is not told, or one of the two is not known."""
    values = [None if ecg.known is None else read(ecg.known) for ecg in ecgs]
    changes = [comparison.difference(values[0], value) if differ else None for value in values[1:]]
    said = [
        [{"text": NOT_YET if ecg.known is None else _said(value, unit, digits), "cite": None}]
        for ecg, value in zip(ecgs, values, strict=True)
    ]
    points = "points" if unit == "%" else unit
    signed = [None if change is None else _said(change, points, digits, sign="+") for change in changes]
    return {
        "name": name,
        "unit": unit,
        "values": values,
        "differences": changes,
        "said": said,
        "signed": signed,
    }


def _said(value: float | None, unit: str, digits: int, sign: str = "") -> str:
    if value is None:
        return NOT_MEASURED
    text = f"{value:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}")
    return text + ("" if unit in {"", "/min"} else " ") + unit


def _rhythm(ecgs: Sequence[Ecg], one: bool) -> Row:
    said = [None if e.known is None else say(*comparison.rhythm(e.known)).partition(": ")[2] for e in ecgs]
    first = ecgs[0].known
    same = [
        comparison.same_rhythm(first, e.known) if one and first is not None and e.known is not None else None
        for e in ecgs[1:]
    ]
    return {
        "name": "rhythm",
        "unit": "",
        "values": said,
        "differences": [None if told is None else ("same" if told else "differs") for told in same],
        "said": [
            [{"text": NOT_YET, "cite": None}] if text is None else e.pieces(text)
            for e, text in zip(ecgs, said, strict=True)
        ],
        "signed": [None if told is None else ("the same" if told else "differs") for told in same],
    }


def _unassessed(ecgs: Sequence[Ecg]) -> list[Row]:
    text = [{"text": "not assessed", "cite": None}]
    nothing = {"unit": "", "values": [None] * len(ecgs), "said": [text] * len(ecgs)}
    none = {"differences": [None] * (len(ecgs) - 1), "signed": [None] * (len(ecgs) - 1)}
    return [{"name": NAMES[name].plain, **nothing, **none} for name in (QTC, ST)]


def _shapes(ecgs: Sequence[Ecg], one: bool) -> list[Row]:
    """A row a lead: of how many beats each usual beat is, and how it correlates with the first ECG's."""
    leads = dict.fromkeys(lead for ecg in ecgs for lead in ecg.view.episode.leads)
    return [
        {
            "lead": lead,
            "beats": [ecg.beat.beats if ecg.beat and lead in ecg.beat.leads else None for ecg in ecgs],
            "qrs": [_correlation(ecgs[0].beat, ecg.beat, lead, QRS) if one else None for ecg in ecgs[1:]],
            "whole": [_correlation(ecgs[0].beat, ecg.beat, lead, WHOLE) if one else None for ecg in ecgs[1:]],
        }
        for lead in leads
    ]


def _correlation(a: UsualBeat | None, b: UsualBeat | None, lead: str, part: slice) -> float | None:
    if a is None or b is None or lead not in common(a, b):
        return None
    return round(float(alike(a, b, [lead], part)[0]), 2)
