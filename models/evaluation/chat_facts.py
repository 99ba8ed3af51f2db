"""Facts of a strip: what experts said, what sentences say, and when the two agree.

A fact that nobody stated is None: it is not scored where experts were silent, and is wrong where a model was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from models.anyecg.chat.names import ANY, ANY_RHYTHM
from models.anyecg.chat.strips import Truth
from models.anyecg.chat.wording import Claim, read
from models.evaluation.judged import Figures, ratio
from models.evaluation.rhythms import SAYS_NOTHING, label_of
from models.verdicts import LABELS, Kind

RATE_BPM = 5.0
COUNT_SHARE = 0.10
RHYTHMS = ("AFIB", "VF", "VT")  # the rhythms that both experts and the report name
BEATS = ("V", "S")
NONE = "none"
KNOWN_SHARE = 0.9  # of a strip with annotated rhythm, from which on its rhythm is known
LEAST_S = 1.0  # of a rhythm that is there
FEWEST_BEATS = 5  # for a mean rate
_COUNTED = frozenset({"event", "events", "episodes", "spans", "present", "count", "seen"})
_DENIED = frozenset({"absent", "absent_partly", "unseen"})
_WHOLE = frozenset({ANY, ANY_RHYTHM})  # denying these, or naming a rhythm, is a statement about the whole ECG
Value = str | float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Labels stand in one string, `none` where there is none of them; None: not stated."""

    rhythm: str | None = None  # of RHYTHMS
    rate: float | None = None  # mean, 1/min
    ectopy: str | None = None  # which of V and S there are
    v: float | None = None  # how many
    s: float | None = None


NAMES = ("rhythm", "rate", "ectopy", "v", "s")
Agree = Callable[[str, Value | None, Value], bool]


def annotated(truth: Truth | None, seconds: float) -> Facts:
    """What experts said of a strip of so many seconds."""
    if truth is None:
        return Facts()
    beats = truth.beats or ()
    times, labels = [at for at, _ in beats], [label for _, label in beats]
    classed = truth.beats is not None and "?" not in labels
    rate = 60 * (len(times) - 1) / (times[-1] - times[0]) if len(times) >= FEWEST_BEATS else None
    return Facts(
        rhythm=_rhythm(truth, seconds),
        rate=rate,
        ectopy=joined(set(labels) & set(BEATS)) if classed else None,
        v=float(labels.count("V")) if classed else None,
        s=float(labels.count("S")) if classed else None,
    )


def said(sentences: Iterable[str]) -> Facts:
    """What the sentences of a report say, as far as they can be read."""
    claims = [claim for sentence in sentences for claim in read(sentence) or ()]
    blind = any(claim.kind == "nothing" for claim in claims)
    whole = any(_of_whole(claim, blind=blind) for claim in claims)
    found = {claim.label: claim for claim in claims if claim.kind in _COUNTED}
    named = {claim.label for claim in claims if claim.kind == "rhythm"} | set(found)
    rates = [claim.numbers[0] for claim in claims if claim.kind == "value" and claim.label == "RATE"]
    return Facts(
        rhythm=joined(named & set(RHYTHMS)) if whole else None,
        rate=rates[0] if rates else None,
        ectopy=joined(named & set(BEATS)) if whole else None,
        v=_count(found.get("V"), whole=whole),
        s=_count(found.get("S"), whole=whole),
    )


def answered(sentences: Iterable[str], label: str) -> bool | None:
    """Whether an answer says that something is there; None where it says neither."""
    claims = [claim for sentence in sentences for claim in read(sentence) or ()]
    if any(c.label == label and c.kind in (*_COUNTED, "rhythm") for c in claims):
        return True
    rhythm = label in LABELS and LABELS[label].kind is not Kind.BEAT
    whole = _WHOLE if rhythm else {ANY}
    return False if any(c.kind in _DENIED and c.label in {label, *whole} for c in claims) else None


def joined(labels: Iterable[str | None]) -> str:
    return " ".join(sorted(label for label in labels if label)) or NONE


def near(name: str, mine: Value | None, true: Value) -> bool:
    """Rates within 5/min, counts within 1 or 10 %, labels alike."""
    if mine is None or isinstance(mine, str) or isinstance(true, str):
        return mine == true
    return abs(mine - true) <= (RATE_BPM if name == "rate" else max(1.0, COUNT_SHARE * true))


def same(_: str, mine: Value | None, true: Value) -> bool:
    return mine == true


def fact_figures(rows: Sequence[tuple[Facts, Facts]], agree: Agree = near) -> Figures:
    """Of (said, true) pairs: by fact and over all of them, the share that is right and the share stated.

    `balanced` is the mean of that share over the true labels, of which a constant reaches no more than one.
    """
    found: Figures = {}
    right = known = 0
    for name in NAMES:
        pairs = [(getattr(mine, name), getattr(true, name)) for mine, true in rows]
        pairs = [(mine, true) for mine, true in pairs if true is not None]
        hits = [agree(name, mine, true) for mine, true in pairs]
        right, known = right + sum(hits), known + len(hits)
        found[name] = {
            "right": ratio(sum(hits), len(hits)),
            "stated": ratio(sum(mine is not None for mine, _ in pairs), len(pairs)),
            "strips": len(pairs),
        }
        if name in {"rhythm", "ectopy"}:
            found[name]["balanced"] = _balanced([true for _, true in pairs], hits)
    return {"all": ratio(right, known), "facts": known, **found}


def constant(truths: Sequence[Facts]) -> Facts:
    """The most frequent answer: for each fact the one that is right most often."""
    best: dict[str, Value] = {}
    for name in NAMES:
        known = [value for facts in truths if (value := getattr(facts, name)) is not None]
        if known:
            best[name] = max(sorted(set(known)), key=lambda v: sum(near(name, v, true) for true in known))
    return Facts(**best)  # type: ignore[arg-type]  # each value is of its own field


def _rhythm(truth: Truth, seconds: float) -> str | None:
    spans = [(a, b, label_of(name)) for a, b, name in truth.rhythms or () if name not in SAYS_NOTHING]
    if not seconds or sum(b - a for a, b, _ in spans) < KNOWN_SHARE * seconds:
        return None
    lasts = {"AFIB" if name == "AFL" else name: 0.0 for *_, name in spans}
    for a, b, name in spans:
        lasts["AFIB" if name == "AFL" else name] += b - a
    return joined(label for label in RHYTHMS if lasts.get(label, 0.0) >= LEAST_S)


def _of_whole(claim: Claim, *, blind: bool) -> bool:
    """A standstill where nothing could be analysed says nothing of the rhythm."""
    if claim.kind == "rhythm":
        return not blind or LABELS[claim.label or ""].kind is Kind.RHYTHM
    return claim.kind in {"seen", "runs"} or (claim.kind in _DENIED and claim.label in _WHOLE)


def _count(claim: Claim | None, *, whole: bool) -> float | None:
    if claim is None:
        return 0.0 if whole else None
    return claim.numbers[0] if claim.numbers else None


def _balanced(truths: Sequence[str], hits: Sequence[bool]) -> float | None:
    by_label = [
        np.mean([hit for true, hit in zip(truths, hits, strict=True) if true == label])
        for label in sorted(set(truths))
    ]
    return round(float(np.mean(by_label)), 4) if by_label else None
