"""What can be said of one ECG: claims made from its evidence, each with the facts it rests on.

An `Evidence` here holds every quantity, as `evidence_of` gives it. A denial says what it rests on: nothing is
denied where nothing was analysed, and seconds that were not analysed qualify it.
"""

from __future__ import annotations

from itertools import groupby, pairwise
from math import floor
from statistics import median

from models.anyecg.chat.names import (
    ANY,
    ANY_RHYTHM,
    ASSESSED,
    CLINICAL,
    NOT_ASSESSED,
    RATES,
    RHYTHMS,
)
from models.anyecg.chat.plans import ECTOPIC
from models.anyecg.chat.slots import Claim
from models.anyecg.evidence import Evidence, Fact
from models.dataset.anyecg.intervals import Span, clipped, target_spans
from models.recordings import LEADS
from models.verdicts import LABELS, RUN_BEATS, TOLD_FROM_S, Kind

MOST_SPANS = 6  # told one by one; the rest is counted
_OF_RATE = ("BRADY", "TACHY")
_RHYTHMS_OF_LENGTH = ("AFIB", "PACED", "TACHY")  # of both rates one says it
REGULAR, IRREGULAR = 10, 25  # %: largest difference of an RR interval from the median


def found_of(ecg: Evidence, label: str) -> tuple[Fact, ...]:
    """The findings of a label; `ECTOPIC` are ventricular and supraventricular premature beats."""
    wanted = {"V", "S"} if label == ECTOPIC else {label}
    return tuple(f for f in ecg.facts if f.label in wanted and f.label in ASSESSED and f.spans)


def cites(ecg: Evidence, *names: str) -> tuple[str, ...]:
    return tuple(fact.id for name in names for fact in ecg.facts if fact.label == name)


def seconds_of(ecg: Evidence) -> tuple[float, float]:
    """(analysed, not analysed) s."""
    return ecg.value("ANALYSED") or 0.0, ecg.value("NOT_ANALYSED") or 0.0


def was_analysed(ecg: Evidence) -> bool:
    return round(seconds_of(ecg)[0]) > 0


def analysed(ecg: Evidence) -> Claim:
    return Claim(kind="analysed", numbers=(round(seconds_of(ecg)[0]),), cites=cites(ecg, "ANALYSED"))


def familiar(ecg: Evidence) -> list[Claim]:
    """That nothing analysed is unlike what the network has learned, or that it is too short to say so."""
    looks = Claim(kind="familiar", numbers=(round(seconds_of(ecg)[0]),), cites=cites(ecg, "ANALYSED"))
    return untold(ecg, "UNFAMILIAR") or [looks]


def nothing(ecg: Evidence) -> Claim:
    """That nothing could be analysed."""
    rests = cites(ecg, "ANALYSED", "NOT_ANALYSED")
    return Claim(kind="nothing", numbers=(round(seconds_of(ecg)[1], 1),), cites=rests)


def denied(ecg: Evidence, label: str) -> list[Claim]:
    """That nothing of the kind was found, as far as could be analysed, and what could not be told at all."""
    if not was_analysed(ecg):
        return [nothing(ecg)]
    if label in TOLD_FROM_S:
        return untold(ecg, label) or [_absent(ecg, label)]
    short = [claim for rhythm in _RHYTHMS_OF_LENGTH for claim in untold(ecg, rhythm)]
    return [_absent(ecg, label), *(short if label in {ANY, ANY_RHYTHM} else [])]


def untold(ecg: Evidence, label: str) -> list[Claim]:
    """That too little was analysed to show it; nothing where it is enough, or where it was found anyway."""
    least = TOLD_FROM_S[label]
    longest = _longest_between_beats(ecg) if label in _OF_RATE else seconds_of(ecg)[0]
    if longest >= least or found_of(ecg, label):
        return []
    name, numbers = RATES if label in _OF_RATE else label, (round(least), floor(10 * longest) / 10)
    return [Claim(kind="untold", label=name, numbers=numbers, cites=cites(ecg, "ANALYSED"))]


def _longest_between_beats(ecg: Evidence) -> float:
    """s between two beats with nothing dark from the one to the other."""
    return max((row[-1][0] - row[0][0] for row in _unbroken(ecg)), default=0.0)


def _unbroken(ecg: Evidence) -> list[list[tuple[float, str]]]:
    """The beats, apart where something between two of them was not read."""
    rows: list[list[tuple[float, str]]] = []
    for beat in ecg.beats:
        if not rows or any(rows[-1][-1][0] < last and first < beat[0] for first, last in ecg.dark):
            rows.append([])
        rows[-1].append(beat)
    return rows


def _absent(ecg: Evidence, label: str) -> Claim:
    read, unread = seconds_of(ecg)
    if round(unread, 1) > 0:
        return Claim(
            kind="absent_partly",
            label=label,
            numbers=(round(read), round(unread, 1)),
            cites=cites(ecg, "ANALYSED", "NOT_ANALYSED"),
        )
    return Claim(kind="absent", label=label, numbers=(round(read),), cites=cites(ecg, "ANALYSED"))


def missed(ecg: Evidence) -> list[Claim]:
    """That a part could not be analysed; where none could and nothing was found either, that."""
    seconds = round(seconds_of(ecg)[1], 1)
    ruled = any(found_of(ecg, label) for label in CLINICAL)  # by rules that nothing silences
    if not was_analysed(ecg) and not ruled:
        return [nothing(ecg)]
    return [Claim(kind="missed", numbers=(seconds,), cites=cites(ecg, "NOT_ANALYSED"))] if seconds else []


def strange(ecg: Evidence) -> list[Claim]:
    """That a part is unlike what the network has learned."""
    return [
        Claim(kind="strange", numbers=(round(fact.seconds, 1),), cites=(fact.id,))
        for fact in found_of(ecg, "UNFAMILIAR")
    ]


def caveats(ecg: Evidence) -> list[Claim]:
    """The two abstentions: what could not be analysed, and what is unlike what was learned."""
    return [*missed(ecg), *strange(ecg)]


def found(fact: Fact) -> Claim:
    """How many there are and from when to when; of beats, from the first to the last one's begin."""
    first, last = fact.spans[0][0], fact.spans[-1][0]
    if LABELS[fact.label].kind is Kind.BEAT:
        kind, times = ("event", (first,)) if fact.count == 1 else ("events", (first, last))
        return Claim(kind=kind, label=fact.label, numbers=(fact.count,), times=times, cites=(fact.id,))
    return Claim(
        kind="episodes",
        label=fact.label,
        numbers=(fact.count, round(fact.seconds, 1)),
        times=(first, max(end for _, end in fact.spans)),
        cites=(fact.id,),
    )


def spans(fact: Fact) -> Claim:
    """The first spans one by one, on the ECG's own clock."""
    told = tuple(time for span in fact.spans[:MOST_SPANS] for time in span)
    return Claim(kind="spans", label=fact.label, numbers=(fact.count,), times=told, cites=(fact.id,))


def located(ecg: Evidence, label: str) -> Claim:
    """The paper's answer, in seconds from the ECG's start; what has no length there is told as found."""
    facts = found_of(ecg, label)
    where = _around_beats(ecg, {fact.label for fact in facts})
    if not where:
        where = clipped([span for fact in facts for span in fact.spans], ecg.start, ecg.end)
    if not where:
        return found(facts[0])
    return Claim(kind="located", times=tuple(time for span in where for time in span))


def counted_from(ecg: Evidence) -> list[Claim]:
    """Which second of the ECG's own clock the paper's answer counts from, where it is not 0."""
    start = round(ecg.start, 1)
    return [Claim(kind="counted_from", times=(start,))] if start else []


def _around_beats(ecg: Evidence, labels: set[str]) -> tuple[Span, ...]:
    times = [time for time, _ in ecg.beats]
    return target_spans(times, [kind in labels for _, kind in ecg.beats], ecg.start, ecg.end)


def rhythms(ecg: Evidence) -> list[Claim]:
    """The abnormal rhythms found, pauses and rates among them, each with how long it lasts in all; and slow
    runs of ventricular beats, which have no label."""
    labelled = [
        Claim(kind="rhythm", label=label, numbers=(round(fact.seconds, 1),), cites=(fact.id,))
        for label in RHYTHMS
        for fact in found_of(ecg, label)
    ]
    return [*labelled, *slow_runs(ecg)]


def slow_runs(ecg: Evidence) -> list[Claim]:
    """Three or more ventricular beats in a row that are no tachycardia: a nurse is called for them."""
    fast = [span for fact in found_of(ecg, "VT") for span in fact.spans]
    rows = (groupby(row, key=lambda beat: beat[1] == "V") for row in _unbroken(ecg))
    runs = [[at for at, _ in run] for row in rows for ventricular, run in row if ventricular]
    slow = [
        run
        for run in runs
        if len(run) >= RUN_BEATS and not any(a <= run[-1] and run[0] <= b for a, b in fast)
    ]
    if not slow:
        return []
    return [
        Claim(
            kind="runs",
            numbers=(len(slow), max(map(len, slow))),
            times=(round(slow[0][0], 1), round(slow[-1][-1], 1)),
            cites=tuple(fact.id for fact in found_of(ecg, "V")),
        )
    ]


def rhythm(ecg: Evidence, whole: str) -> list[Claim]:
    """The abnormal rhythms found, or the denial; where nothing could be analysed, that in any case."""
    found = rhythms(ecg)
    return found if found and was_analysed(ecg) else [*found, *denied(ecg, whole)]


def total(ecg: Evidence, label: str, kind: str) -> Claim:
    """`present` or `count`: how many there are."""
    facts = found_of(ecg, label)
    count = sum(fact.count for fact in facts)
    return Claim(kind=kind, label=label, numbers=(count,), cites=tuple(fact.id for fact in facts))


def share(ecg: Evidence, label: str) -> float | None:
    """Per cent of the beats; None without a count of beats or where nothing was analysed."""
    beats = ecg.value("BEATS")
    if not beats or not was_analysed(ecg):
        return None
    return round(100 * sum(fact.count for fact in found_of(ecg, label)) / beats, 1)


def burden(ecg: Evidence, label: str) -> Claim:
    facts, beats, part = found_of(ecg, label), ecg.value("BEATS"), share(ecg, label)
    if beats is None or part is None:
        return Claim(kind="no_share", label=label, cites=cites(ecg, "BEATS"))
    ids = (*(fact.id for fact in facts), *cites(ecg, "BEATS"))
    numbers = (sum(fact.count for fact in facts), round(beats), part)
    return Claim(kind="burden", label=label, numbers=numbers, cites=ids)


def sure(fact: Fact) -> Claim:
    """The network's probability, or that a rule decided."""
    if fact.chances is None:
        return Claim(kind="ruled", label=fact.label, cites=(fact.id,))
    low, high = (round(chance, 2) for chance in fact.chances)
    if fact.threshold is None:
        return Claim(kind="sure", label=fact.label, numbers=(low, high), cites=(fact.id,))
    numbers = (low, high, round(fact.threshold, 2))
    return Claim(kind="sure_above", label=fact.label, numbers=numbers, cites=(fact.id,))


def measured(ecg: Evidence, name: str) -> Claim:
    """A quantity or a not assessed one."""
    if name in NOT_ASSESSED:
        return Claim(kind="unassessed", label=name)
    value = ecg.value(name)
    if value is None:
        return Claim(kind="unmeasured", label=name, cites=cites(ecg, name))
    return Claim(kind="value", label=name, numbers=(round(value),), cites=cites(ecg, name))


def regularity(ecg: Evidence) -> Claim:
    """Of the RR intervals that do not reach into what was not read; it takes two of them."""
    intervals = [b - a for row in _unbroken(ecg) for (a, _), (b, _) in pairwise(row)]
    middle = median(intervals) if len(intervals) > 1 else 0.0
    if middle <= 0:
        return Claim(kind="few_beats", cites=cites(ecg, "BEATS"))
    worst = round(100 * max(abs(interval - middle) for interval in intervals) / middle)
    kind = "regular" if worst <= REGULAR else "irregular" if worst > IRREGULAR else "mixed"
    return Claim(kind=kind, numbers=(worst,), cites=cites(ecg, "RR"))


def about(ecg: Evidence) -> Claim:
    """Length and leads. Only leads of the table are named: other names are a stranger's text."""
    known = tuple(lead for lead in ecg.leads if lead in LEADS)
    first, last = round(ecg.start, 1), round(ecg.end, 1)
    numbers = (round(ecg.end - ecg.start, 1), len(ecg.leads))
    return Claim(kind="about", numbers=numbers, times=(first, last), leads=known)
