"""What can be said of one ECG: claims made from its evidence, each with the facts it rests on.

An `Evidence` here holds every quantity, as `evidence_of` gives it. A denial says what it rests on: nothing is
denied where nothing was analysed, and seconds that were not analysed qualify it.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median

from models.anyecg.chat.names import ASSESSED, CLINICAL, NOT_ASSESSED, RHYTHMS
from models.anyecg.chat.plans import ECTOPIC
from models.anyecg.chat.slots import Claim
from models.anyecg.evidence import Evidence, Fact
from models.dataset.anyecg.intervals import Span, clipped, target_spans
from models.recordings import LEADS
from models.verdicts import LABELS, Kind

MOST_SPANS = 6  # told one by one; the rest is counted
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


def familiar(ecg: Evidence) -> Claim:
    """That nothing analysed is unlike what the network has learned."""
    return Claim(kind="familiar", numbers=(round(seconds_of(ecg)[0]),), cites=cites(ecg, "ANALYSED"))


def nothing(ecg: Evidence) -> Claim:
    """That nothing could be analysed."""
    rests = cites(ecg, "ANALYSED", "NOT_ANALYSED")
    return Claim(kind="nothing", numbers=(round(seconds_of(ecg)[1], 1),), cites=rests)


def denial(ecg: Evidence, label: str) -> Claim:
    """That nothing of the kind was found, as far as could be analysed."""
    read, unread = seconds_of(ecg)
    if not was_analysed(ecg):
        return nothing(ecg)
    if round(unread, 1) > 0:
        return Claim(
            kind="absent_partly",
            label=label,
            numbers=(round(read), round(unread, 1)),
            cites=cites(ecg, "ANALYSED", "NOT_ANALYSED"),
        )
    return Claim(kind="absent", label=label, numbers=(round(read),), cites=cites(ecg, "ANALYSED"))


def missed(ecg: Evidence) -> list[Claim]:
    """That a part could not be analysed; where none could and nothing was found either, `nothing` says so."""
    seconds = round(seconds_of(ecg)[1], 1)
    spoke = was_analysed(ecg) or any(
        found_of(ecg, label) for label in CLINICAL
    )  # rules that nothing silences
    if not seconds or not spoke:
        return []
    return [Claim(kind="missed", numbers=(seconds,), cites=cites(ecg, "NOT_ANALYSED"))]


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


def _around_beats(ecg: Evidence, labels: set[str]) -> tuple[Span, ...]:
    times = [time for time, _ in ecg.beats]
    return target_spans(times, [kind in labels for _, kind in ecg.beats], ecg.start, ecg.end)


def rhythms(ecg: Evidence) -> list[Claim]:
    """The abnormal rhythms found, pauses and rates among them, each with how long it lasts in all."""
    return [
        Claim(kind="rhythm", label=label, numbers=(round(fact.seconds, 1),), cites=(fact.id,))
        for label in RHYTHMS
        for fact in found_of(ecg, label)
    ]


def rhythm(ecg: Evidence, denied: str) -> list[Claim]:
    """The abnormal rhythms found, or the denial; where nothing could be analysed, that in any case."""
    found = rhythms(ecg)
    return found if found and was_analysed(ecg) else [*found, denial(ecg, denied)]


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
    times = [time for time, _ in ecg.beats]
    intervals = [
        b - a for a, b in pairwise(times) if not any(a < last and first < b for first, last in ecg.dark)
    ]
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
