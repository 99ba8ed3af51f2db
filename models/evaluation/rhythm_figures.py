"""Rhythms: episodes and durations said against those annotated.

An annotated episode is found where at least half of it is covered, a said one is right where at least half of
it is (after EC57, which asks for any overlap). AFIB and AFL stand apart and, as `AFIB+AFL`, together. What is
said where the rhythm is not annotated counts neither way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from models.evaluation.calibration import calibration_figures
from models.evaluation.dangerous import dangerous_figures
from models.evaluation.judged import Figures, Judged, ratio
from models.evaluation.rhythms import known_spans, label_of, spans_of
from models.evaluation.screener_figures import af_scores
from models.evaluation.served import Served
from models.evaluation.spans import Span, merged, overlap, share, total

ENOUGH = 0.5  # of an episode
TOGETHER = {"AFIB+AFL": ("AFIB", "AFL")}
WORST = 10
BLIND_S = (30, 60)  # the signal-blind constant: so much of every so much


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One label in one record, where the rhythm is annotated."""

    record: str
    fs: float
    truth: tuple[Span, ...]
    said: tuple[Span, ...]

    @property
    def missed_s(self) -> float:
        return (total(self.truth) - total(overlap(self.truth, self.said))) / self.fs

    @property
    def false_s(self) -> float:
        return (total(self.said) - total(overlap(self.truth, self.said))) / self.fs


def rhythm_figures(judged: Sequence[Judged]) -> Figures:
    """`rhythm` by label, `dangerous` (VF and VT), `per_record`, `worst`, `calibration` of AF, `baselines`."""
    told = [j for j in judged if known_spans(j.truth)]
    labels = _labels(told)
    return {
        "rhythm": {label: episode_figures(_all(told, label)) for label in labels},
        "dangerous": dangerous_figures(told),
        "calibration": calibration_figures({"AFIB": [score for j in told for score in af_scores(j)]}),
        "baselines": {label: _baselines(told, label) for label in labels},
        "worst": {label: _worst(_all(told, label)) for label in labels},
        "per_record": [
            {"record": j.truth.record, "rhythm": {k: episode_figures(_all([j], k)) for k in _labels([j])}}
            for j in told
        ],
    }


def episode_figures(rows: Iterable[Compared]) -> Figures:
    """Episode and duration Se and PPV over the records."""
    every = list(rows)
    found = sum(share(episode, row.said) >= ENOUGH for row in every for episode in row.truth)
    right = sum(share(episode, row.truth) >= ENOUGH for row in every for episode in row.said)
    episodes, calls = sum(len(row.truth) for row in every), sum(len(row.said) for row in every)
    seconds = sum(total(row.truth) / row.fs for row in every)
    missed, false = sum(row.missed_s for row in every), sum(row.false_s for row in every)
    return {
        "episodes": episodes,
        "said": calls,
        "seconds": round(seconds, 1),
        "episode_se": ratio(found, episodes),
        "episode_ppv": ratio(right, calls),
        "duration_se": ratio(seconds - missed, seconds),
        "duration_ppv": ratio(seconds - missed, seconds - missed + false),
    }


def compared(j: Judged, served: Served, label: str) -> Compared:
    names = TOGETHER.get(label, (label,))
    said = merged((e.first, e.last) for e in served.episodes if e.label in names)
    known = known_spans(j.truth)
    return Compared(
        record=j.truth.record,
        fs=j.truth.fs,
        truth=spans_of(j.truth, *names),
        said=tuple(piece for span in said for piece in overlap([span], known)),
    )


def _all(judged: Iterable[Judged], label: str) -> list[Compared]:
    return [compared(j, j.served, label) for j in judged]


def _labels(judged: Sequence[Judged]) -> list[str]:
    """Those that were annotated or said, without sinus rhythm; AF and flutter together where either was."""
    seen = {label_of(r.name) for j in judged for r in j.truth.rhythms} - {"SINUS"}
    seen |= {e.label for j in judged for e in j.served.episodes}
    return sorted(seen | {name for name, parts in TOGETHER.items() if seen & set(parts)})


def _worst(rows: Iterable[Compared]) -> list[Figures]:
    """The records with the most seconds missed or falsely said."""
    wrong = sorted(rows, key=lambda row: -(row.missed_s + row.false_s))[:WORST]
    return [
        {"record": row.record, "missed_s": round(row.missed_s, 1), "false_s": round(row.false_s, 1)}
        for row in wrong
        if row.missed_s or row.false_s
    ]


def _baselines(judged: Sequence[Judged], label: str) -> Figures:
    """Half of every minute, never, all the time, and the serving code on zeroes."""

    def of(say: Callable[[Judged], Iterable[Span]]) -> Figures:
        rows = []
        for j in judged:
            true = compared(j, j.served, label)
            said = tuple(p for s in say(j) for p in overlap([s], known_spans(j.truth)))
            rows.append(Compared(record=true.record, fs=true.fs, truth=true.truth, said=said))
        figures = episode_figures(rows)
        return {k: v for k, v in figures.items() if k.endswith(("_se", "_ppv"))}

    return {
        "constant": of(lambda j: _ticking(j.served)),
        "never": of(lambda _: ()),
        "whole strip": of(lambda j: [(0, j.served.samples - 1)]),
        "zeroed": of(lambda j: compared(j, j.blind, label).said),
    }


def _ticking(served: Served) -> list[Span]:
    lasts, every = (round(seconds * served.fs) for seconds in BLIND_S)
    return [(a, min(a + lasts, served.samples) - 1) for a in range(0, served.samples, every)]
