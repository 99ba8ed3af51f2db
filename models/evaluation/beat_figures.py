"""Beats, detected and classified: gross and per record, after AAMI EC57.

Sensitivity counts every annotated beat of a class, missed ones included. For positive predictivity a beat
that nobody could classify (Q) is never a false alarm, and neither is a fusion beat called V or a V called F
(`strict` counts these as false). Records whose beats are paced are apart, as EC57 asks. A beat in a stretch
that was called unreadable was not said: it is missed, and `with_unreadable` counts it as if it had been said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from models.dataset.annotated import Annotated
from models.evaluation.beats import CLASSES, EXTRA, MISSED, MORPHOLOGIES, Pair, paired
from models.evaluation.calibration import calibration_figures
from models.evaluation.judged import Figures, Judged, f1, median, ratio
from models.evaluation.rhythms import spans_of
from models.evaluation.served import SaidBeat, Served

Counts = Counter[tuple[str, str]]  # (annotated, said), of both classes and morphologies
NEITHER_WRONG = {"V": {"F"}, "F": {"V"}}
PACED_SHARE = 0.1  # of a record's beats, from which on it stands apart
BLIND_RR_S = 0.8
LEAST_BEATS = 10  # of a class, for a record to count in the median
WORST = 10


def beat_figures(judged: Sequence[Judged], skip_s: float = 0.0) -> Figures:
    """`detection`, `beats` by class and morphology, `per_record`, `worst`, and the same of the baselines."""
    rows = [(j, _counts(paired(j.truth, _said(j.served), skip_s))) for j in judged]
    plain = [(j, counts) for j, counts in rows if not _is_paced(j.truth)]
    whole = _sum(counts for _, counts in plain)
    beats = class_figures(whole)
    for label, figures in beats.items():
        figures["median_f1"] = median(
            class_figures(counts)[label]["f1"] for _, counts in plain if _row(counts, label) >= LEAST_BEATS
        )
    return {
        "detection": detection_figures(whole),
        "beats": beats,
        "unreadable": _unreadable([j for j, _ in plain], skip_s),
        "calibration": calibration_figures({label: _chances(judged, label, skip_s) for label in ("V", "S")}),
        "worst": {label: _worst(plain, label) for label in ("V", "S")},
        "paced": _part([counts for j, counts in rows if _is_paced(j.truth)]),
        "baselines": _baselines([j for j, _ in plain], skip_s),
        "per_record": [
            {"record": j.truth.record, "paced": _is_paced(j.truth), **_part([counts])} for j, counts in rows
        ],
    }


def detection_figures(counts: Counts) -> Figures:
    """Se and PPV of R peaks, whatever they were called."""
    found = sum(n for (t, s), n in counts.items() if t in CLASSES and s != MISSED)
    missed = sum(n for (t, s), n in counts.items() if t in CLASSES and s == MISSED)
    extra = sum(n for (t, _), n in counts.items() if t == EXTRA)
    return {"se": ratio(found, found + missed), "ppv": ratio(found, found + extra), "beats": found + missed}


def class_figures(counts: Counts) -> dict[str, Figures]:
    """Se, PPV and F1 of N, S, V, F, Q and of the morphologies L, R and PACED."""
    return {label: _figures(counts, label) for label in (*CLASSES, *MORPHOLOGIES.values())}


def _figures(counts: Counts, label: str) -> Figures:
    right, beats = counts[label, label], _row(counts, label)
    false = Counter({t: n for (t, s), n in counts.items() if s == label and t not in {label, "Q"}})
    allowed = NEITHER_WRONG.get(label, set())
    wrong = sum(n for t, n in false.items() if t not in allowed)
    se, ppv, strict = ratio(right, beats), ratio(right, right + wrong), ratio(right, right + false.total())
    return {
        "beats": beats,
        "se": se,
        "ppv": ppv,
        "f1": f1(se, ppv),
        "strict": {"ppv": strict, "f1": f1(se, strict)},
    }


def _row(counts: Counts, label: str) -> int:
    return sum(n for (t, _), n in counts.items() if t == label)


def _counts(pairs: Iterable[Pair]) -> Counts:
    """Classes, and under `L`, `R`, `PACED` and `PLAIN` the shapes of N and paced beats; that of an ectopic
    beat is not annotated."""
    out: Counts = Counter()
    for pair in pairs:
        out[pair.truth, pair.label] += 1
        shape = _shape(pair)
        if shape is not None:
            out[shape, (pair.said and pair.said.morphology) or "PLAIN"] += 1
    return out


def _shape(pair: Pair) -> str | None:
    if pair.symbol in MORPHOLOGIES:
        return MORPHOLOGIES[pair.symbol]
    return "PLAIN" if pair.truth in {"N", EXTRA} else None


def _sum(counts: Iterable[Counts]) -> Counts:
    return sum(counts, Counter())


def _part(counts: Sequence[Counts]) -> Figures:
    """Of some records, classes that neither occur nor were called left out."""
    whole = _sum(counts)
    present = {name for key in whole for name in key}
    return {
        "records": len(counts),
        "detection": detection_figures(whole),
        "beats": {k: figures for k, figures in class_figures(whole).items() if k in present},
    }


def _said(served: Served, *, unreadable_too: bool = False) -> list[SaidBeat]:
    return [beat for beat in served.beats if beat.readable or unreadable_too]


def _is_paced(truth: Annotated) -> bool:
    return sum(symbol in "/f" for symbol in truth.symbols) > PACED_SHARE * len(truth.symbols)


def _unreadable(judged: Sequence[Judged], skip_s: float) -> Figures:
    """How many annotated beats nothing was said of, and the figures if it had been said all the same."""
    flutter = [spans_of(j.truth, "VF") for j in judged]
    silent = sum(
        any(a <= r <= b for a, b in j.served.unreadable) and not any(a <= r <= b for a, b in dark)
        for j, dark in zip(judged, flutter, strict=True)
        for r in j.truth.beats.tolist()
        if r >= skip_s * j.truth.fs
    )
    whole = _sum(_counts(paired(j.truth, _said(j.served, unreadable_too=True), skip_s)) for j in judged)
    beats = class_figures(whole)
    return {
        "beats": silent,
        "with_unreadable": {"detection": detection_figures(whole), "beats": {k: beats[k] for k in "VS"}},
    }


def _chances(judged: Sequence[Judged], label: str, skip_s: float) -> list[tuple[float, bool]]:
    """(probability, truth) of every beat that was given one; an unclassifiable beat tells nothing."""
    return [
        (pair.said.chances[label], pair.truth == label)
        for j in judged
        for pair in paired(j.truth, _said(j.served), skip_s)
        if pair.said is not None and label in pair.said.chances and pair.truth != "Q"
    ]


def _worst(rows: Sequence[tuple[Judged, Counts]], label: str) -> list[Figures]:
    """Records with the most errors of a class, and which error was the most frequent."""
    out: list[Figures] = []
    for j, counts in rows:
        errors = Counter({k: n for k, n in counts.items() if label in k and k[0] != k[1] and k[0] != "Q"})
        if errors:
            (true, said), n = errors.most_common(1)[0]
            out.append(
                {"record": j.truth.record, "errors": errors.total(), "mostly": f"{true} called {said}: {n}"}
            )
    return sorted(out, key=lambda row: -row["errors"])[:WORST]


def _baselines(judged: Sequence[Judged], skip_s: float) -> Figures:
    """What is reached without looking: by a beat every 0.8 s, by never calling a class, by calling every beat
    that was found one, and by the serving code on a zeroed ECG."""

    def figures(say: Callable[[Judged, str], Iterable[SaidBeat]]) -> Figures:
        out = {}
        for label in ("V", "S", "L", "R"):
            whole = _sum(_counts(paired(j.truth, say(j, label), skip_s)) for j in judged)
            out[label] = _figures(whole, label)
        return {k: {name: row[name] for name in ("se", "ppv", "f1")} for k, row in out.items()}

    return {
        "constant": figures(lambda j, label: _ticking(j.truth, j.served.samples, label)),
        "never": figures(lambda j, _: _all_called(j.served, "N")),
        "whole strip": figures(lambda j, label: _all_called(j.served, label)),
        "zeroed": figures(lambda j, _: _said(j.blind)),
    }


def _ticking(truth: Annotated, samples: int, label: str) -> list[SaidBeat]:
    step = BLIND_RR_S * truth.fs
    return [_called(SaidBeat(r=round(i * step), label="N"), label) for i in range(int(samples / step))]


def _all_called(served: Served, label: str) -> list[SaidBeat]:
    return [_called(beat, label) for beat in _said(served)]


def _called(beat: SaidBeat, label: str) -> SaidBeat:
    """L and R are shapes of N beats."""
    shape = label if label in MORPHOLOGIES.values() else None
    return replace(beat, label="N" if shape else label, morphology=shape)
