"""What can be said of several ECGs together: each number through all, and its change from first to last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from models.anyecg.chat import statements
from models.anyecg.chat.names import ANY_RHYTHM
from models.anyecg.chat.plans import ECTOPIC
from models.anyecg.chat.slots import DATE, Claim
from models.anyecg.evidence import Evidence

Sentence = tuple[Claim, ...]
_ALL = ("RATE", "RHYTHM", "V", "S", "F", "PR", "QRS", "QT")
_BEATS = {"V", "S", "F", ECTOPIC}


def compare(subject: str, ecgs: Sequence[Evidence]) -> list[Sentence]:
    """A sentence or more a subject; the ECGs go by their dates where all have one, else as given."""
    if len(ecgs) < 2:
        return [(Claim(kind="too_few"),)]
    subjects = _everything(ecgs) if subject == "ALL" else (subject,)
    dates = [date_of(ecg) or "" for ecg in ecgs]
    if not all(dates):
        return _told(subjects, ecgs)
    pairs = sorted(zip(dates, ecgs, strict=True), key=lambda pair: pair[0])
    days, order = tuple(day for day, _ in pairs), [ecg for _, ecg in pairs]
    letters = tuple(ecg.letter for ecg in order)
    return [(Claim(kind="order", ecgs=letters, dates=days),), *_told(subjects, order)]


def _everything(ecgs: Sequence[Evidence]) -> tuple[str, ...]:
    """Of fusion beats, which are rare, only where there are any."""
    fused = any(statements.found_of(ecg, "F") for ecg in ecgs)
    return tuple(subject for subject in _ALL if fused or subject != "F")


def named(claim: Claim, ecg: Evidence) -> Claim:
    """The claim with its ECG said in words."""
    return replace(claim, ecgs=(ecg.letter,))


def date_of(ecg: Evidence) -> str | None:
    """Its date as `2024-05-31` or `2024-05-31 14:05`; None where it is anything else."""
    text = ecg.date or ""
    if not re.fullmatch(DATE, text, re.ASCII):
        return None
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return None
    return text


def measured(name: str, ecg: Evidence) -> float | None:
    """A quantity as it is told; None where it could not be measured."""
    value = ecg.value(name)
    return None if value is None else float(round(value))


def counted(label: str, ecg: Evidence) -> float | None:
    """How many were found; None where there are none and nothing was analysed."""
    count = sum(fact.count for fact in statements.found_of(ecg, label))
    return float(count) if count or statements.was_analysed(ecg) else None


def difference(before: float | None, after: float | None) -> float | None:
    """Signed; None where one of the two is not known."""
    return None if before is None or after is None else round(after - before, 1)


def rhythm(ecg: Evidence) -> Sentence:
    """The abnormal rhythms found, or that there is none as far as could be analysed."""
    return tuple(named(claim, ecg) for claim in statements.rhythm(ecg, ANY_RHYTHM))


def same_rhythm(first: Evidence, last: Evidence) -> bool | None:
    """Whether both show the same abnormal rhythms; None where one was not analysed."""
    if not (statements.was_analysed(first) and statements.was_analysed(last)):
        return None
    labels = [{claim.label for claim in statements.rhythms(ecg)} for ecg in (first, last)]
    return labels[0] == labels[1]


def _told(subjects: Sequence[str], ecgs: Sequence[Evidence]) -> list[Sentence]:
    said: list[Sentence] = []
    for subject in subjects:
        if subject == "RHYTHM":
            said += _rhythms(ecgs)
        elif subject in _BEATS:
            said += [_counts(subject, ecgs), _shares(subject, ecgs)]
        else:
            said.append(_values(subject, ecgs))
    caveats = [named(claim, ecg) for ecg in ecgs for claim in statements.caveats(ecg)]
    before = {claim for sentence in said for claim in sentence}
    return said + [(claim,) for claim in caveats if claim not in before]


def _values(name: str, ecgs: Sequence[Evidence]) -> Sentence:
    numbers = [measured(name, ecg) for ecg in ecgs]
    return _course("value", name, ecgs, numbers, [statements.cites(ecg, name) for ecg in ecgs])


def _counts(label: str, ecgs: Sequence[Evidence]) -> Sentence:
    """Without a change: lengths differ, so that only shares can be compared."""
    rests = [_rests(ecg, label) for ecg in ecgs]
    numbers = [counted(label, ecg) for ecg in ecgs]
    return _course("count", label, ecgs, numbers, rests)[:1]


def _shares(label: str, ecgs: Sequence[Evidence]) -> Sentence:
    rests = [(*_rests(ecg, label), *statements.cites(ecg, "BEATS")) for ecg in ecgs]
    return _course("burden", label, ecgs, [statements.share(ecg, label) for ecg in ecgs], rests)


def _rests(ecg: Evidence, label: str) -> tuple[str, ...]:
    """What a count rests on: the findings, or that something was analysed."""
    ids = tuple(fact.id for fact in statements.found_of(ecg, label))
    return ids or statements.cites(ecg, "ANALYSED")


def _course(
    kind: str,
    label: str,
    ecgs: Sequence[Evidence],
    numbers: Sequence[float | None],
    rests: Sequence[tuple[str, ...]],
) -> Sentence:
    """The number of each ECG and, where both are known, the change from the first to the last."""
    series = Claim(
        kind=f"{kind}_series",
        label=label,
        ecgs=tuple(ecg.letter for ecg in ecgs),
        numbers=tuple(numbers),
        cites=tuple(ident for ids in rests for ident in ids),
    )
    delta = difference(numbers[0], numbers[-1])
    if delta is None:
        return (series,)
    change = Claim(
        kind=f"{kind}_{'up' if delta > 0 else 'down' if delta < 0 else 'same'}",
        label=label,
        ecgs=(ecgs[0].letter, ecgs[-1].letter),
        numbers=(abs(delta),) if delta else (),
        cites=(*rests[0], *rests[-1]),
    )
    return (series, change)


def _rhythms(ecgs: Sequence[Evidence]) -> list[Sentence]:
    """A sentence an ECG, and whether the last differs from the first."""
    said, first, last = [rhythm(ecg) for ecg in ecgs], ecgs[0], ecgs[-1]
    same = same_rhythm(first, last)
    if same is None:
        return said
    change = Claim(
        kind="alike" if same else "unlike",
        ecgs=(first.letter, last.letter),
        cites=(*_rhythm_rests(first), *_rhythm_rests(last)),
    )
    return [*said, (change,)]


def _rhythm_rests(ecg: Evidence) -> tuple[str, ...]:
    ids = tuple(ident for claim in statements.rhythms(ecg) for ident in claim.cites)
    return ids or statements.cites(ecg, "ANALYSED")
