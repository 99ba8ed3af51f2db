"""One episode, part after part: beats, their classes, and what the rules make of them.

A fold: what it has found depends on the parts pushed, in sample order, and on nothing else. A part is
analysed with up to 45 s of the episode before it. A beat is decided once, when 1 s of signal follows it or
the episode is over; it belongs to the part that holds its R peak, and never changes afterwards.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cloud.config import RuleConfig
from cloud.rules import (
    Beat,
    Dark,
    Spell,
    clear,
    forms,
    irregularity,
    patterns,
    pauses,
    rates,
    runs,
    stretches,
)
from models.anyecg.fusion import MOST, SHARE
from models.anyecg.labels import RHYTHM_TOKENS, RHYTHMS
from models.anyecg.localizer import LEAST_S, RHYTHM_S, Localization, Localizer
from models.ecg import Mask, Microvolts, Segment, mask_to_spans
from models.signals.measure import Intervals, measure_intervals
from models.verdicts import TOLD_FROM_S, Finding, Measurements

CONTEXT_S = 45.0
DECIDE_S = 1.0  # of signal that must follow a beat
REFRACTORY_S = 0.2
BASELINE_S = 0.5
AFTER_HOLE_S = 0.5
RR_BEATS = 8  # an early beat is early against so many before it
AF_IRREGULARITY = 0.06
RUN_GOES_ON = 6  # beats
RUN_RR_S = 0.55  # 110/min
RUN_DRIFT = 0.12  # of the interval, from beat to beat
# of 0.5 s: averaged over so many, found from so many on, gaps of so many bridged
AF_STEPS = {"average": 8, "least": round(TOLD_FROM_S["AFIB"] / RHYTHM_S), "bridge": 20}
STRANGE = "UNFAMILIAR"  # not a probability: how many times as strange as usual
STRANGE_STEPS = {"average": 1, "least": round(TOLD_FROM_S[STRANGE] / RHYTHM_S), "bridge": 20}
VF_STEPS = {"average": 2, "least": 4, "bridge": 4}


class EpisodeAnalyst:
    """`push(segment)` returns the findings that are decided now; `open` holds those that may still grow."""

    def __init__(self, network: Localizer, rules: RuleConfig | None = None) -> None:
        self.beats: list[Beat] = []
        self.darks: list[Dark] = []
        self.spells: list[Spell] = []  # of the rules, after the newest part
        self.findings: list[Finding] = []  # decided
        self.open: list[Finding] = []
        self._network = network
        self.rules = rules or RuleConfig()  # may be others with every part
        self._taken: list[Finding] = []  # beats not said yet
        self._said: set[tuple[str, int]] = set()
        self._head: Segment | None = None
        self._decided = -1
        self._context: tuple[int, Microvolts, Mask] | None = None
        self.rhythm: dict[str, list[float]] = {"AFIB": [], "VF": [], STRANGE: []}  # a value every 0.5 s
        self._baseline: list[npt.NDArray[np.float32]] = []  # (lead,) microvolts, every half second
        self._intervals: list[Intervals] = []
        self._parts: list[tuple[int, str]] = []  # (last sample, id)

    def push(self, segment: Segment) -> list[Finding]:
        self.take(segment)
        found, self._taken = self._taken, []
        self._apply_rules(segment)
        closed = [self._finding(spell) for spell in self.spells if not spell.open and spell.label != "V"]
        self.open = [self._finding(spell) for spell in self.spells if spell.open and spell.label != "V"]
        fresh = [f for f in [*found, *closed] if (f.label, f.first) not in self._said]
        self._said |= {(f.label, f.first) for f in fresh}
        fresh.sort(key=lambda f: (f.first, f.label))
        self.findings += fresh
        return fresh

    def take(self, segment: Segment) -> None:
        """Decides the part's beats and tokens and leaves the rules, which look at the whole episode every
        time, to a later `push`: a long recording is read in time proportional to its length."""
        if self._head is None:
            self._head, self._decided = segment, segment.first - 1
        else:
            self.darks += _hole(self._parts[-1][0], segment)
        self._parts.append((segment.last, segment.id))
        first, microvolts, missing = self._with_context(segment)
        self.darks += _darks(segment)
        if microvolts.shape[1] < LEAST_S * segment.fs:
            self.darks.append(_dark(segment, segment.first, segment.last, "too short"))
        decided = segment.last if segment.final else segment.last - round(DECIDE_S * segment.fs)
        self._taken += self._decide(segment, first, microvolts, missing, decided)
        self._note_baseline(segment.fs, first, microvolts, decided)
        self._decided = max(self._decided, decided)

    def measurements(self) -> Measurements:
        """Of everything decided so far."""
        assert self._head is not None
        fs = self._head.fs
        rr = self._rr_ms()
        eights = np.convolve(rr, np.full(RR_BEATS, 1 / RR_BEATS), mode="valid") if len(rr) >= RR_BEATS else rr
        dark = sum(n for _, n in mask_to_spans(self._dark_mask(), 0))
        whole = self._decided + 1 - self._head.first
        return Measurements(
            beats=sum(beat.readable for beat in self.beats),
            heart_rate_mean=_bpm(rr.mean()) if len(rr) else None,
            heart_rate_min=_bpm(eights.max()) if len(rr) >= RR_BEATS else None,
            heart_rate_max=_bpm(eights.min()) if len(rr) >= RR_BEATS else None,
            rr_median=round(float(np.median(rr)), 1) if len(rr) else None,
            pr=self._interval("pr_ms") if not any(s.label == "AFIB" for s in self.spells) else None,
            qrs=self._interval("qrs_ms"),
            qt=self._interval("qt_ms"),
            analysed_s=round((whole - dark) / fs, 3),
            not_analysed_s=round(dark / fs, 3),
        )

    # -- one part ------------------------------------------------------------------------------------

    def _with_context(self, segment: Segment) -> tuple[int, Microvolts, Mask]:
        """(first, microvolts, missing) of the part and up to 45 s before it; a part that lacks is missing."""
        first, microvolts, missing = segment.first, segment.microvolts, segment.missing
        if self._context is not None:
            before, old, gone = self._context
            hole = segment.first - before - old.shape[1]
            gap = np.zeros((len(old), hole), dtype=np.float32)
            microvolts = np.concatenate([old, gap, microvolts], axis=1)
            missing = np.concatenate([gone, np.ones(hole, dtype=np.bool_), missing])
            first = before
        keep = round(CONTEXT_S * segment.fs)
        count = microvolts.shape[1]
        start = max(0, count - keep)
        self._context = first + start, microvolts[:, start:], missing[start:]
        skip = max(0, segment.first - first - keep)
        return first + skip, microvolts[:, skip:], missing[skip:]

    def _decide(
        self, segment: Segment, first: int, microvolts: Microvolts, missing: Mask, decided: int
    ) -> list[Finding]:
        """The part's new beats, and the ectopic ones among them as findings."""
        if microvolts.shape[1] < LEAST_S * segment.fs or missing.all():
            self._note_rhythm(None, segment, first, decided)
            return []
        found = self._network.run(microvolts, segment.fs, segment.leads, missing)
        self._note_rhythm(found, segment, first, decided)
        peaks = found.peaks
        chances, shapes = found.chances(), found.forms()
        labels = found.labels(self._network.thresholds)
        read = [clear(self.darks, r, r) for r in (peaks + first).tolist()]
        normal = np.asarray([label == "N" for label in labels], dtype=np.bool_)
        normal &= np.asarray(read, dtype=np.bool_)
        intervals = measure_intervals(microvolts, segment.fs, peaks, missing=missing, beats=normal)
        self._intervals.append(intervals)
        out = []
        for i, r in enumerate((peaks + first).tolist()):
            if not self._is_new(r, decided, segment.fs):
                continue
            label = "S" if labels[i] == "N" and self._run_goes_on(r, segment.fs) else labels[i]
            beat = Beat(
                r=r,
                label=label,
                form=shapes[i],
                chances=chances[i],
                share=float(found.shares[i]),
                first=int(intervals.onsets[i]) + first,
                last=int(intervals.offsets[i]) + first,
                readable=read[i],
                segment_id=self._segment_at(r),
            )
            if beat.label != "N" and beat.readable:
                out.append(self._beat_finding(beat, segment, bool(intervals.estimated[i])))
            self.beats.append(beat)
        return out

    def _is_new(self, r: int, decided: int, fs: float) -> bool:
        """With more context a peak may move by some samples; none is counted twice, none slips through."""
        after = self.beats[-1].r + round(REFRACTORY_S * fs) if self.beats else -1
        return max(after, self._decided - round(REFRACTORY_S / 2 * fs)) < r <= decided

    def _run_goes_on(self, r: int, fs: float) -> bool:
        """A supraventricular run goes on at its rate when its beginning is out of the context's sight.

        Among its like no beat is early: nothing but the run's beginning tells it from a fast sinus rhythm.
        """
        row = self.beats[-RUN_GOES_ON:]
        if len(row) < RUN_GOES_ON or any(beat.label != "S" for beat in row):
            return False
        usual = float(np.median(np.diff([beat.r for beat in row])))
        same = abs(r - row[-1].r - usual) <= RUN_DRIFT * usual
        return usual <= RUN_RR_S * fs and same and clear(self.darks, row[0].r, r)

    def _segment_at(self, sample: int) -> str:
        """The part that holds a sample; a beat in the last second of a part is decided with the next."""
        return next((part for last, part in self._parts if sample <= last), self._parts[-1][1])

    def _beat_finding(self, beat: Beat, segment: Segment, estimated: bool) -> Finding:
        recent = np.diff([b.r for b in self.beats[-RR_BEATS - 1 :]])
        follows = bool(self.beats) and clear(self.darks, self.beats[-1].r, beat.r)
        rr = beat.r - self.beats[-1].r if follows else None
        usual = float(np.median(recent)) if len(recent) else None
        return Finding(
            segment_id=beat.segment_id,
            label=beat.label,
            first=beat.first,
            last=beat.last,
            leads=segment.leads,
            probability=beat.chances.get(beat.label),
            evidence={
                **self._decided_by(beat),
                "r_peak": beat.r,
                "rr_ms": round(1000 * rr / segment.fs) if rr else None,
                "prematurity": round(rr / usual, 3) if rr and usual else None,  # under 1 is early
                "qrs_ms": None if estimated else round(1000 * (beat.last - beat.first) / segment.fs),
                "model": self._network.model,
            },
        )

    def _decided_by(self, beat: Beat) -> dict[str, Any]:
        if beat.label == "F":
            return {"ventricular_share": round(beat.share, 2), "rule": f"ventricular share {SHARE} to {MOST}"}
        return {"threshold": self._network.thresholds[beat.label]}

    def _note_baseline(self, fs: float, first: int, microvolts: Microvolts, decided: int) -> None:
        """The median of every decided half second, on the episode's own grid; 0 where nothing came."""
        assert self._head is not None
        step = round(BASELINE_S * fs)
        while (begin := self._head.first + len(self._baseline) * step) + step <= decided + 1:
            block = microvolts[:, max(0, begin - first) : max(0, begin + step - first)]
            whole = block.shape[1] == step
            self._baseline.append(np.median(block, axis=1) if whole else np.zeros(len(block), np.float32))

    def _note_rhythm(self, found: Localization | None, segment: Segment, first: int, decided: int) -> None:
        """The decided steps, sampled on the episode's own grid: contexts begin anywhere, this does not.

        Nothing is heard in samples that lack or with the lead off. Noise excuses atrial fibrillation, which
        is told by intervals that noise makes up, but never ventricular fibrillation, which looks like it.
        """
        assert self._head is not None
        step = RHYTHM_S * segment.fs
        for label, known in self.rhythm.items():
            while (middle := self._head.first + (len(known) + 0.5) * step) <= decided:
                at = int((middle - first) / step)
                value = 0.0
                excused = ("noise", "saturated", "flat") if label == "VF" else ()
                heard = clear(self.darks, int(middle), int(middle), but=excused)
                if heard and found is not None and middle >= first and at < len(found.rhythm):
                    value = _value(found, label, at)
                known.append(value)

    # -- the rules -----------------------------------------------------------------------------------

    def _apply_rules(self, segment: Segment) -> None:
        assert self._head is not None
        fs, ended, beats, darks = segment.fs, segment.final, self.beats, self.darks
        self.spells = [
            *runs(beats, darks, fs, ended=ended),
            *patterns(beats, darks, ended=ended),
            *self._pauses(ended=ended),
            *rates(beats, darks, fs, slow=self.rules.slow_bpm, fast=self.rules.fast_bpm, ended=ended),
            *self._stretches("AFIB", AF_STEPS, ended=ended),
            *self._stretches("VF", VF_STEPS, ended=ended),
            *self._stretches(STRANGE, STRANGE_STEPS, ended=ended),
            *forms(beats, ended=ended),
            *self._unreadable(ended=ended),
        ]

    def _pauses(self, *, ended: bool) -> list[Spell]:
        """With how far the baseline moved meanwhile, on the steadiest lead: one that comes off fades slowly,
        a heart at a standstill leaves it where it was. It is said, and never silences."""
        assert self._head is not None
        head, step = self._head, round(BASELINE_S * self._head.fs)
        out = []
        for spell in pauses(
            self.beats,
            self.darks,
            head.fs,
            begin=head.first,
            decided=self._decided,
            segment_id=head.id,
            ended=ended,
        ):
            begin, end = -(-(spell.first - head.first) // step) + 1, (spell.last - head.first) // step
            between = np.array(self._baseline[begin:end]).reshape(-1, len(head.leads))
            moved = float(np.ptp(between, axis=0).min()) / 1000 if len(between) else 0.0
            out.append(replace(spell, evidence={**spell.evidence, "baseline_moved_mv": round(moved, 2)}))
        return out

    def _stretches(self, label: str, how: dict[str, int], *, ended: bool) -> list[Spell]:
        assert self._head is not None
        head = self._head
        threshold = self._network.unfamiliar if label == STRANGE else self._network.thresholds[label]
        steps = np.array(self.rhythm[label], dtype=np.float32)
        step = RHYTHM_S * head.fs
        out = []
        for a, b, mean, going_on in stretches(steps, threshold=threshold, ended=ended, **how):
            first, last = head.first + round(a * step), head.first + round((b + 1) * step) - 1
            evidence: dict[str, Any] = {"threshold": threshold, "model": self._network.model}
            if label == STRANGE:
                evidence["times_usual"] = round(mean, 1)
            if label == "AFIB":
                evidence["rr_irregularity"] = irregular = irregularity(self.beats, self.darks, first, last)
                evidence["rule"] = f"RR irregularity >= {AF_IRREGULARITY}"
                if irregular is None or irregular < AF_IRREGULARITY:
                    continue
                evidence["rr_irregularity"] = round(irregular, 3)
            out.append(
                Spell(
                    label=label,
                    first=first,
                    last=last,
                    segment_id=self._segment_at(first),
                    open=going_on,
                    evidence=evidence,
                    probability=None if label == STRANGE else round(mean, 4),
                )
            )
        return out

    def _unreadable(self, *, ended: bool) -> list[Spell]:
        """NOISE and LEADOFF: stretches of hops that cannot be read, for other reasons than a gap."""
        out: list[Spell] = []
        for dark in self.darks:
            if dark.why == "missing":
                continue
            label = "LEADOFF" if dark.why == "lead off" else "NOISE"
            before = out[-1] if out else None
            if before and before.label == label and dark.first <= before.last + 1:
                evidence = {"why": sorted({*before.evidence["why"], dark.why})}
                first, last, where = before.first, max(before.last, dark.last), before.segment_id
                out.pop()
            else:
                evidence, where = {"why": [dark.why]}, dark.segment_id
                first, last = dark.first, dark.last
            out.append(
                Spell(
                    label=label,
                    first=first,
                    last=last,
                    segment_id=where,
                    open=not ended and last >= self._decided,
                    evidence=evidence,
                )
            )
        return out

    def _dark_mask(self) -> Mask:
        """(sample,) from the episode's first to the last decided one: True where nothing was read."""
        assert self._head is not None
        mask = np.zeros(self._decided + 1 - self._head.first, dtype=np.bool_)
        for dark in self.darks:
            mask[max(0, dark.first - self._head.first) : max(0, dark.last + 1 - self._head.first)] = True
        return mask

    def _rr_ms(self) -> npt.NDArray[np.float64]:
        """RR intervals with nothing dark in them."""
        assert self._head is not None
        pairs = [
            b.r - a.r
            for a, b in pairwise(self.beats)
            if a.readable and b.readable and clear(self.darks, a.r, b.r)
        ]
        return 1000.0 * np.array(pairs, dtype=np.float64) / self._head.fs

    def _interval(self, name: str) -> float | None:
        """Median over the parts in which it could be measured."""
        known = [ms for ms in (getattr(part, name) for part in self._intervals) if ms is not None]
        return round(float(np.median(known)), 1) if known else None

    def _finding(self, spell: Spell) -> Finding:
        assert self._head is not None
        begins = self._segment_at(spell.first) if spell.label == "PAUSE" else spell.segment_id
        return Finding(
            segment_id=begins,
            label=spell.label,
            first=spell.first,
            last=spell.last,
            leads=self._head.leads,
            probability=spell.probability,
            evidence=spell.evidence,
        )


def _value(found: Localization, label: str, step: int) -> float:
    if label == STRANGE:
        return float(found.strange[min(step * RHYTHM_TOKENS, len(found.strange) - 1)])
    return float(found.rhythm[step, RHYTHMS.index(label)])


def _darks(segment: Segment) -> list[Dark]:
    """What cannot be read in the part: gaps, a lone lead that was off, and what unreadable windows saw first.

    That is the newest 5 s of a window, and all of the first one. A window unreadable only because samples
    lack is left to its gaps.
    """
    out = [_missing(segment, a, a + n - 1) for a, n in segment.gaps]
    if len(segment.leads) == 1:
        out += [_dark(segment, a, a + n - 1, "lead off") for a, n in segment.lead_off]
    seen = segment.first - 1
    for screening in segment.screenings:
        fresh, seen = max(seen + 1, screening.first), screening.last
        reasons = [why for whys in screening.quality.reasons.values() for why in whys if why != "missing"]
        if screening.quality.readable or not reasons:
            continue
        why = min(set(reasons), key=lambda reason: (-reasons.count(reason), reason))
        out.append(_dark(segment, fresh, screening.last, why))
    return sorted(out, key=lambda dark: dark.first)


def _hole(before: int, segment: Segment) -> list[Dark]:
    """The parts that lack between the last one, which ended with `before`, and this one."""
    return [_missing(segment, before + 1, segment.first - 1)] if segment.first > before + 1 else []


def _missing(segment: Segment, first: int, last: int) -> Dark:
    """With the half second after it: the step at the end of a hole passes for a wide beat."""
    return _dark(segment, first, last + round(AFTER_HOLE_S * segment.fs), "missing")


def _dark(segment: Segment, first: int, last: int, why: str) -> Dark:
    return Dark(first=first, last=last, why=why, segment_id=segment.id)


def _bpm(rr_ms: Any) -> float:
    return round(60_000.0 / float(rr_ms), 1)
