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

PATTERNS = {"B": 2, "T": 3}  # a V every second, every third beat
CYCLES = 3
RUN_BEATS = 3
VT_BPM = 100.0
PAUSE_S = 2.5
STANDSTILL_S = 3.0  # without a next beat: what a pause needs to be said before it is over
RATE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """A decided beat."""

    r: int  # sample of the R peak
    label: str  # N, S or V
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
    """Three or more V in a row with nothing dark between them; VT where they come at over 100/min."""
    out = []
    for run in _unbroken(beats, darks):
        for is_v, members in groupby(run, key=lambda beat: beat.label == "V"):
            row = list(members)
            if not is_v or len(row) < RUN_BEATS:
                continue
            bpm = 60.0 * fs * (len(row) - 1) / (row[-1].r - row[0].r)
            out.append(
                Spell(
                    label="VT" if bpm > VT_BPM else "V",
                    first=row[0].first,
                    last=row[-1].last,
                    segment_id=row[0].segment_id,
                    open=not ended and row[-1] is beats[-1],
                    evidence={
                        "beats": len(row),
                        "rate_bpm": round(bpm, 1),
                        "rule": f">= {RUN_BEATS} V in a row",
                    },
                    marks=tuple(beat.r for beat in row),
                )
            )
    return out


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
    """RR intervals of 2.5 s or more with signal and leads all through; a standstill that is going on counts
    from 3 s. A flat stretch is no excuse: asystole is flat."""
    out = []
    for a, b in pairwise(beats):
        if b.r - a.r >= PAUSE_S * fs and clear(darks, a.r, b.r, but=("flat",)):
            out.append(_pause(a.r, b.r, fs, a.segment_id, going_on=False))
    last, where = (beats[-1].r, beats[-1].segment_id) if beats else (begin, segment_id)
    if decided - last >= STANDSTILL_S * fs and clear(darks, last, decided, but=("flat",)):
        out.append(_pause(last, decided, fs, where, going_on=not ended))
    return out


def _pause(first: int, last: int, fs: float, segment_id: str, *, going_on: bool) -> Spell:
    seconds = round((last - first) / fs, 3)
    evidence = {"rr_s": seconds, "rule": f"no beat for >= {PAUSE_S} s, signal present and leads on"}
    return Spell(
        label="PAUSE", first=first, last=last, segment_id=segment_id, open=going_on, evidence=evidence
    )


def rates(
    beats: Sequence[Beat], darks: Sequence[Dark], fs: float, *, slow: float, fast: float, ended: bool
) -> list[Spell]:
    """BRADY and TACHY: stretches in which the mean rate over 30 s is below `slow` or above `fast` (/min)."""
    found: dict[str, list[tuple[int, int, float]]] = {"BRADY": [], "TACHY": []}
    for run in _unbroken(beats, darks):
        r = np.array([beat.r for beat in run])
        begins = np.searchsorted(r, r - round(RATE_S * fs), side="right") - 1
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
                    open=not ended and last == beats[-1].r,
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
            out.append((first, last, float(tokens[first : last + 1].mean()), going_on))
    return out


def irregularity(beats: Sequence[Beat], first: int, last: int) -> float | None:
    """Median |change of RR| over median RR between the samples; 0.17 in AF, 0.02 in sinus rhythm."""
    rr = np.diff([beat.r for beat in beats if first <= beat.r <= last])
    if len(rr) < 8:
        return None
    return float(np.median(np.abs(np.diff(rr))) / np.median(rr))


def _unbroken(beats: Sequence[Beat], darks: Sequence[Dark]) -> list[list[Beat]]:
    """The beats between dark stretches: only there does "in a row" mean anything."""
    out: list[list[Beat]] = []
    for beat in beats:
        if out and beat.readable and clear(darks, out[-1][-1].r, beat.r):
            out[-1].append(beat)
        elif beat.readable:
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
