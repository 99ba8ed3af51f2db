"""Parts as the edge cuts them to a reading: what a language model is told of an ECG, and what it sees of it.

The findings are the analyst's own: whatever length, all parts are folded by one analyst, so that numbers are
counted once and nothing is torn where the edge began a new episode. Where no part came, nothing was analysed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from cloud.analyst import EpisodeAnalyst
from cloud.config import RuleConfig
from models.anyecg.chat.eyes import Eyes, Floats, Signal
from models.anyecg.chat.readings import Reading
from models.anyecg.evidence import Evidence, Span, evidence_of
from models.anyecg.labels import BEATS
from models.anyecg.localizer import RHYTHM_S, Localizer
from models.ecg import Mask, Segment, mask_to_spans, read_only
from models.errors import RecordingError
from models.verdicts import Finding

RHYTHMS_HEARD = ("AFIB", "VF")
CHANCES = (*BEATS, *RHYTHMS_HEARD)  # how far the localizer was from each: the end of a content token
UNDECIDED = 0.5  # what a chance is held to where the localizer has no threshold
LOUD = 4.0  # a certainty, among channels that vary by 1


def read(
    parts: Iterable[Segment],
    localizer: Localizer,
    eyes: Eyes,
    rules: Sequence[RuleConfig] | None = None,
    *,
    place: int = 0,
    bounds: Span | None = None,
    date: str | None = None,
) -> Reading:
    """Reads the parts of one recording, in sample order, as the ECG at `place` among those asked about.

    `rules` are those in force for each part, as a worker has them; absent: the usual ones for all.
    `bounds`, seconds of the patch's own clock (sample 0 is second 0), say what was asked for; absent: what
    the parts hold. What no part holds at their edges was not analysed. RecordingError without a part.
    """
    held = list(parts)
    if not held:
        raise RecordingError("There is nothing to read: no part of this stretch has come.")
    fs = held[0].fs
    bounds = bounds or whole(held[0], held[-1])
    analyst = EpisodeAnalyst(localizer)
    _fold(analyst, held, rules or [analyst.rules] * len(held))
    seen, inside = signal(held, bounds), whole(held[0], held[-1])
    tokens = eyes.see(*seen)
    chances = _chances(analyst, localizer.thresholds, held[0], bounds[0], len(tokens))
    lacks = max(0.0, inside[0] - bounds[0]) + max(0.0, bounds[1] - inside[1])
    return Reading(
        evidence=facts(analyst, held[0], bounds, place=place, date=date, missing=seen[3], lacks_s=lacks),
        features=np.hstack([tokens, chances]),
        record=held[0].patch_id,
        patient=held[0].patch_id,
        findings=found(analyst),
        fs=fs,
    )


def _fold(analyst: EpisodeAnalyst, parts: Sequence[Segment], rules: Sequence[RuleConfig]) -> None:
    """The rules look before others are in force, and at the end: what they have found stays found. With the
    last part all is over, whatever else may come of its episode."""
    for part, now, later in zip(parts, rules, rules[1:], strict=False):
        analyst.rules = now
        look = analyst.take if later == now else analyst.push
        look(replace(part, final=False))
    analyst.rules = rules[-1]
    analyst.push(replace(parts[-1], final=True))


def whole(first: Segment, last: Segment) -> Span:
    """Seconds of the patch's own clock, from the one part's begin to the other's end."""
    return first.first / first.fs, (last.last + 1) / first.fs


def found(analyst: EpisodeAnalyst) -> tuple[Finding, ...]:
    """Decided and still going on, in order."""
    return tuple(sorted([*analyst.findings, *analyst.open], key=lambda f: (f.first, f.label)))


def facts(
    analyst: EpisodeAnalyst,
    head: Segment,
    bounds: Span,
    *,
    place: int = 0,
    date: str | None = None,
    missing: Mask | None = None,
    lacks_s: float = 0.0,
) -> Evidence:
    """What the analyst knows now of the ECG that begins with `head`; `missing` (sample,) of its bounds, of
    which `lacks_s` at the edges never came to the analyst."""
    first, after = (round(s * head.fs) for s in bounds)
    nothing = np.zeros(after - first, dtype=np.bool_) if missing is None else missing
    measured = analyst.measurements()
    return evidence_of(
        place,
        head.leads,
        bounds,
        found(analyst),
        replace(measured, not_analysed_s=round(measured.not_analysed_s + lacks_s, 3)),
        head.fs,
        beats=[(round(beat.r / head.fs, 3), beat.label) for beat in analyst.beats if beat.readable],
        dark=_dark(analyst, nothing, first, head.fs),
        date=date,
    )


def signal(parts: Sequence[Segment], bounds: Span) -> Signal:
    """What came between the bounds; missing where no part did."""
    fs, leads = parts[0].fs, parts[0].leads
    first, after = (round(s * fs) for s in bounds)
    microvolts = np.zeros((len(leads), after - first), dtype=np.float32)
    missing = np.ones(after - first, dtype=np.bool_)
    for part in parts:
        a, b = max(first, part.first), min(after, part.last + 1)
        if a < b:
            inside, here = slice(a - part.first, b - part.first), slice(a - first, b - first)
            microvolts[:, here] = part.microvolts[:, inside]
            missing[here] = part.missing[inside]
    return microvolts, fs, leads, missing


def width(eyes: Eyes) -> int:
    """Numbers of a content token."""
    return eyes.width + 2 * len(CHANCES)


def _chances(
    analyst: EpisodeAnalyst, thresholds: Mapping[str, float], head: Segment, begin: float, seconds: int
) -> Floats:
    """(second, CHANCES twice): the highest chance in each second from `begin` on, and up to it, each as far
    from its threshold as `_beyond` says; 0 where no part came, or no beat. A rhythm that could not be heard
    counts as impossible."""
    fs = head.fs
    heard = [
        (b.r / fs, label, chance) for b in analyst.beats if b.readable for label, chance in b.chances.items()
    ]
    for label in RHYTHMS_HEARD:
        steps = enumerate(analyst.rhythm[label])
        heard += [(head.first / fs + (step + 0.5) * RHYTHM_S, label, chance) for step, chance in steps]
    out = np.full((seconds, len(CHANCES)), np.nan, dtype=np.float32)
    for at, label, chance in heard:
        second, column = math.floor(at - begin), CHANCES.index(label)
        if 0 <= second < seconds:
            far = _beyond(chance, thresholds.get(label, UNDECIDED))
            out[second, column] = np.fmax(out[second, column], far)
    both: Floats = np.nan_to_num(np.hstack([out, np.fmax.accumulate(out, axis=0)]))
    return LOUD * both


def _beyond(chance: float, threshold: float) -> float:
    """-1 impossible, 0 at the threshold, 1 certain: in odds, so that thresholds of .05 and .5 are alike."""
    there, not_there = chance * (1 - threshold), (1 - chance) * threshold
    return (there - not_there) / (there + not_there)


def between(parts: Iterable[Segment], first: int, last: int) -> Iterator[Segment]:
    """The parts between two samples, both included, as if nothing else had been recorded."""
    for part in parts:
        a, b = max(first, part.first), min(last, part.last)
        if a > b:
            continue
        inside = read_only(part.counts[:, a - part.first : b + 1 - part.first])
        yield replace(
            part,
            first=a,
            counts=inside,
            final=part.final or part.last >= last,
            gaps=_clipped(part.gaps, a, b),
            lead_off=_clipped(part.lead_off, a, b),
            screenings=tuple(s for s in part.screenings if a <= s.last and s.first <= b),
        )


def _clipped(spans: Iterable[tuple[int, int]], first: int, last: int) -> tuple[tuple[int, int], ...]:
    """(first, count) of what lies between two samples."""
    cut_to = ((max(first, at), min(last + 1, at + count)) for at, count in spans)
    return tuple((a, b - a) for a, b in cut_to if a < b)


def _dark(analyst: EpisodeAnalyst, missing: Mask, first: int, fs: float) -> tuple[Span, ...]:
    """Seconds of the same clock in which nothing was read; `missing` begins with the sample `first`."""
    dark = missing.copy()
    for span in analyst.darks:
        dark[max(0, span.first - first) : max(0, span.last + 1 - first)] = True
    return tuple((round(at / fs, 1), round((at + count) / fs, 1)) for at, count in mask_to_spans(dark, first))
