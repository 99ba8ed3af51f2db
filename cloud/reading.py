"""Parts as the edge cuts them to a reading: what a language model is told of an ECG, and what it sees of it.

The findings are the analyst's own: whatever length, all parts are folded by one analyst, so that numbers are
counted once and nothing is torn where the edge began a new episode. Where no part came, nothing was analysed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from cloud.analyst import EpisodeAnalyst
from cloud.config import RuleConfig
from models.anyecg.chat.eyes import Eyes, Signal
from models.anyecg.chat.readings import Reading
from models.anyecg.evidence import Span, evidence_of
from models.anyecg.localizer import Localizer
from models.ecg import Mask, Segment, mask_to_spans
from models.errors import RecordingError


def read(
    parts: Iterable[Segment],
    localizer: Localizer,
    eyes: Eyes,
    rules: RuleConfig | None = None,
    *,
    place: int = 0,
    bounds: Span | None = None,
    date: str | None = None,
) -> Reading:
    """Reads the parts of one recording, in sample order, as the ECG at `place` among those asked about.

    `bounds`, seconds of the patch's own clock (sample 0 is second 0), say what was asked for; absent: what
    the parts hold. RecordingError without a part.
    """
    held = list(parts)
    if not held:
        raise RecordingError("There is nothing to read: no part of this stretch has come.")
    fs, leads = held[0].fs, held[0].leads
    bounds = bounds or (held[0].first / fs, (held[-1].last + 1) / fs)
    analyst = EpisodeAnalyst(localizer, rules)
    for part in held:
        analyst.push(replace(part, final=part.final and part is held[-1]))
    findings = tuple(sorted([*analyst.findings, *analyst.open], key=lambda f: (f.first, f.label)))
    signal = _signal(held, bounds)
    evidence = evidence_of(
        place,
        leads,
        bounds,
        findings,
        analyst.measurements(),
        fs,
        beats=[(round(beat.r / fs, 3), beat.label) for beat in analyst.beats if beat.readable],
        date=date,
    )
    return Reading(
        evidence=evidence,
        features=eyes.see(*signal),
        record=held[0].patch_id,
        patient=held[0].patch_id,
        findings=findings,
        fs=fs,
        unreadable=_unreadable(analyst, signal[3], bounds, fs),
    )


def _signal(parts: Sequence[Segment], bounds: Span) -> Signal:
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


def _unreadable(analyst: EpisodeAnalyst, missing: Mask, bounds: Span, fs: float) -> tuple[Span, ...]:
    """Seconds of the same clock in which nothing was read."""
    first = round(bounds[0] * fs)
    dark = missing.copy()
    for span in analyst.darks:
        dark[max(0, span.first - first) : max(0, span.last + 1 - first)] = True
    return tuple((round(at / fs, 1), round((at + count) / fs, 1)) for at, count in mask_to_spans(dark, first))
