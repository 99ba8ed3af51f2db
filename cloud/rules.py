"""Runs, patterns, pauses, rates and stretches: rules over decided beats and tokens, pure functions.

A `Spell` is what a rule found; `open` ones reach the end of what is decided and may grow. All samples are
indices since the patch's boot, both ends included.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from models.verdicts import RUN_BEATS, TOLD_FROM_S

PATTERNS = {"B": 2, "T": 3}  # a V every second, every third beat
CYCLES = 3
VT_BPM = 100.0
PAUSE_S = 2.5
STANDSTILL_S = 3.0  # what a pause needs without a beat on both sides of it
RATE_S = TOLD_FROM_S["TACHY"]
LEAST_RR = 8
FORMS = ("PACED",)  # bundle branch block did not carry over to patients never seen (models/LOG.md)
FORM_BEATS, FORM_SHARE = 10, 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A decided beat."""

    r: int  # sample of the R peak
    label: str  # N, S, V or F
    form: str = "PLAIN"  # L, R or PACED where it is
    chances: Mapping[str, float] = field(default_factory=dict)  # label -> probability
    share: float = 0.0  # of a ventricular beat in it, `models.anyecg.fusion`
    first: int  # QRS onset
    last: int  # QRS offset
    readable: bool
    segment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dark:
    """A stretch that cannot be read: `why` is missing, lead off, flat, saturated or noise."""

    first: int
    last: int
    why: str
    segment_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """A stretch that a rule found; `marks` are the samples it counted, for alerts that need so many."""

    label: str
    first: int
    last: int
    segment_id: str
    open: bool
    evidence: Mapping[str, Any]
    probability: float | None = None
    marks: tuple[int, ...] = field(default=())


def clear(darks: Sequence[Dark], first: int, last: int, but: Iterable[str] = ()) -> bool:
    """Nothing between the samples is dark, other than for the reasons in `but`."""
    return not any(d.first <= last and d.last >= first and d.why not in set(but) for d in darks)


def runs(beats: Sequence[Beat], darks: Sequence[Dark], fs: float, *, ended: bool) -> list[Spell]:
    """Three or more V in a row with nothing dark between them; VT where three or more of them come at over
    100/min: a run that slows down was a tachycardia all the same."""
    out = []
    for run in _unbroken(beats, darks):
        for is_v, members in groupby(run, key=lambda beat: beat.label == "V"):
            row = list(members)
            if not is_v or len(row) < RUN_BEATS:
                continue
            marks = tuple(beat.r for beat in row)
            bpm = 60.0 * fs * (len(row) - 1) / (row[-1].r - row[0].r)
            fast = fast_from(marks, RUN_BEATS, fs) is not None
            rule = f">= {RUN_BEATS} V in a row" + (
                f", {RUN_BEATS} or more at over {VT_BPM:.0f}/min" if fast else ""
            )
            out.append(
                Spell(
                    label="VT" if fast else "V",
                    first=row[0].first,
                    last=row[-1].last,
                    segment_id=row[0].segment_id,
                    open=not ended and row[-1] is beats[-1],
                    evidence={"beats": len(row), "rate_bpm": round(bpm, 1), "rule": rule},
                    marks=marks,
                )
            )
    return out


def fast_from(marks: Sequence[int], count: int, fs: float) -> int | None:
    """The R peak that completes `count` or more beats of the row whose mean rate is over 100/min."""
    beat_s = 60.0 / VT_BPM
    for j in range(count - 1, len(marks)):
        if any(marks[j] - marks[i] < (j - i) * beat_s * fs for i in range(j + 2 - count)):
            return marks[j]
    return None


def patterns(beats: Sequence[Beat], darks: Sequence[Dark], *, ended: bool) -> list[Spell]:
    """Bigeminy and trigeminy: three or more V, each as many beats after the last."""
    out = []
    for label, distance in PATTERNS.items():
        for run in _unbroken(beats, darks):
            chain: list[int] = []
            ventricular = [i for i, beat in enumerate(run) if beat.label == "V"]
            for i in [*ventricular, -1]:
                if chain and i - chain[-1] == distance:
                    chain.append(i)
                    continue
                if len(chain) >= CYCLES:
                    first, last = run[chain[0]], run[chain[-1]]
                    going_on = run[-1] is beats[-1] and len(run) - 1 - chain[-1] < distance
                    out.append(
                        Spell(
                            label=label,
                            first=first.first,
                            last=last.last,
                            segment_id=first.segment_id,
                            open=not ended and going_on,
                            evidence={"cycles": len(chain), "rule": f">= {CYCLES} V, every {distance} beats"},
                        )
                    )
                chain = [i]
    return out


def forms(beats: Sequence[Beat], *, ended: bool) -> list[Spell]:
    """Pacing, once: three in five or more of ten or more beats that are not V."""
    usual = [beat for beat in beats if beat.readable and beat.label != "V"]
    out = []
    for label in FORMS:
        held = [beat for beat in usual if beat.form == label]
        if len(usual) >= FORM_BEATS and len(held) >= FORM_SHARE * len(usual):
            evidence = {"beats": len(held), "of": len(usual), "rule": f">= {FORM_SHARE:.0%} of the beats"}
            out.append(
                Spell(
                    label=label,
                    first=held[0].first,
                    last=held[-1].last,
                    segment_id=held[0].segment_id,
                    open=not ended,
                    evidence=evidence,
                )
            )
    return out


def pauses(
    beats: Sequence[Beat],
    darks: Sequence[Dark],
    fs: float,
    *,
    begin: int,
    decided: int,
    segment_id: str,
    ended: bool,
) -> list[Spell]:
    """RR intervals of 2.5 s or more, and standstills from 3 s: going on, or beside what cannot be read.

    A stretch that cannot be read is no beat, but nothing is known of it: what was measured before and after
    it is looked at by itself, so that neither a fall before an asystole nor the compressions after it hide
    it. A flat stretch is no excuse: asystole is flat.
    """
    out = []
    excuses = [dark for dark in darks if dark.why != "flat"]
    marks = [(begin, segment_id), *((beat.r, beat.segment_id) for beat in beats), (max(begin, decided), "")]
    for i, ((a, where), (b, _)) in enumerate(pairwise(marks)):
        between_beats = 0 < i < len(marks) - 2
        for first, last, dark in _measured(excuses, a, b):
            least = PAUSE_S if between_beats and (first, last) == (a, b) else STANDSTILL_S
            if last - first >= least * fs:
                going_on = not ended and last == decided and i == len(marks) - 2
                out.append(
                    _pause(first, last, fs, dark.segment_id if dark else where, least, going_on=going_on)
                )
    return out


def _measured(darks: Sequence[Dark], first: int, last: int) -> list[tuple[int, int, Dark | None]]:
    """The stretches between two samples that are not dark, and the dark before each, if there is one."""
    out: list[tuple[int, int, Dark | None]] = []
    before = None
    for dark in sorted(darks, key=lambda d: d.first):
        if dark.last < first or dark.first > last:
            continue
        if dark.first > first:
            out.append((first, dark.first - 1, before))
        if dark.last + 1 > first:
            first, before = dark.last + 1, dark
    return [*out, (first, last, before)] if first <= last else out


def _pause(first: int, last: int, fs: float, segment_id: str, least: float, *, going_on: bool) -> Spell:
    seconds = round((last - first) / fs, 3)
    evidence = {"rr_s": seconds, "rule": f"no beat for >= {least:g} s, signal present and leads on"}
    return Spell(
        label="PAUSE", first=first, last=last, segment_id=segment_id, open=going_on, evidence=evidence
    )


def rates(
    beats: Sequence[Beat], darks: Sequence[Dark], fs: float, *, slow: float, fast: float, ended: bool
) -> list[Spell]:
    """BRADY and TACHY: stretches in which the mean rate over 30 s is below `slow` or above `fast` (/min).

    A flat stretch is no excuse: between the beats of a slow heart most of the signal is flat. A stretch is
    open for as long as a later 30 s may overlap it.
    """
    found: dict[str, list[tuple[int, int, float]]] = {"BRADY": [], "TACHY": []}
    newest = -1  # where the newest 30 s began
    for run in _unbroken(beats, darks, but=("flat",)):
        r = np.array([beat.r for beat in run])
        begins = np.searchsorted(r, r - round(RATE_S * fs), side="right") - 1
        if run[-1] is beats[-1]:
            newest = int(r[max(0, begins[-1])])
        for j in np.flatnonzero(begins >= 0):
            i = int(begins[j])
            bpm = 60.0 * fs * (j - i) / (r[j] - r[i])
            label = "BRADY" if bpm < slow else "TACHY" if bpm > fast else None
            if label:
                found[label].append((int(r[i]), int(r[j]), float(bpm)))
    out = []
    for label, spans in found.items():
        for joined in _joined(spans):
            first, last = joined[0][0], max(end for _, end, _ in joined)
            worst = (min if label == "BRADY" else max)(bpm for _, _, bpm in joined)
            out.append(
                Spell(
                    label=label,
                    first=first,
                    last=last,
                    segment_id=next(beat.segment_id for beat in beats if beat.r == first),
                    open=not ended and 0 <= newest <= last,
                    evidence={
                        "rate_bpm": round(worst, 1),
                        "rule": f"mean over {RATE_S:.0f} s {'<' if label == 'BRADY' else '>'} "
                        f"{slow if label == 'BRADY' else fast:.0f}/min",
                    },
                    marks=(joined[0][1],),
                )
            )
    return out


def stretches(
    tokens: npt.NDArray[np.float32], *, threshold: float, average: int, least: int, bridge: int, ended: bool
) -> list[tuple[int, int, float, bool]]:
    """(first token, last token, mean probability, open) of stretches over the threshold.

    `tokens` is averaged over the last `average` tokens, gaps of up to `bridge` tokens are bridged, stretches
    shorter than `least` are dropped. Only the past is averaged: what is decided stays decided.
    """
    if len(tokens) < average:
        return []
    smooth = np.convolve(tokens, np.full(average, 1.0 / average))[: len(tokens)]
    over = np.flatnonzero(smooth >= threshold)
    out = []
    for group in np.split(over, np.flatnonzero(np.diff(over) > bridge) + 1) if len(over) else []:
        first, last = max(0, int(group[0]) - average // 2), int(group[-1])
        if last + 1 - first >= least:
            going_on = not ended and len(tokens) - 1 - last <= bridge
            last = max(first, int(np.flatnonzero(tokens[: last + 1] >= threshold)[-1]))  # not the mean's tail
            out.append((first, last, float(tokens[first : last + 1].mean()), going_on))
    return out


def irregularity(beats: Sequence[Beat], darks: Sequence[Dark], first: int, last: int) -> float | None:
    """Median |change of RR| over median RR between the samples, with nothing dark in between; 0.17 in AF,
    0.02 in sinus rhythm."""
    inside = [beat for beat in beats if first <= beat.r <= last]
    rows = [np.diff([beat.r for beat in run]) for run in _unbroken(inside, darks)]
    changes = [np.diff(row) for row in rows if len(row) > 1]
    if sum(len(change) for change in changes) < LEAST_RR - 1:
        return None
    return float(np.median(np.abs(np.concatenate(changes))) / np.median(np.concatenate(rows)))


def _unbroken(beats: Sequence[Beat], darks: Sequence[Dark], but: Iterable[str] = ()) -> list[list[Beat]]:
    """The beats between dark stretches: only there does "in a row" mean anything."""
    out: list[list[Beat]] = []
    for beat in beats:
        if not clear(darks, beat.r, beat.r, but):
            continue
        if out and clear(darks, out[-1][-1].r, beat.r, but):
            out[-1].append(beat)
        else:
            out.append([beat])
    return out


def _joined(spans: list[tuple[int, int, float]]) -> list[list[tuple[int, int, float]]]:
    """Spans that overlap, together."""
    out: list[list[tuple[int, int, float]]] = []
    for span in sorted(spans):
        if out and span[0] <= max(end for _, end, _ in out[-1]):
            out[-1].append(span)
        else:
            out.append([span])
    return out
