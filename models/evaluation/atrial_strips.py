"""Atrial fibrillation against all else on the strips of the PhysioNet/CinC Challenge 2017.

Clifford GD et al., Computing in Cardiology 44, 2017: a folder of `.mat` (300 Hz, 1000 units per mV) with
REFERENCE-v3.csv. A strip is called AF where at least half of it is. F1 is re-weighted to the class shares of
the whole database, whatever share of each class the folder holds.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.errors import RecordingError
from models.evaluation.judged import Figures, f1, ratio
from models.evaluation.metrics import auroc
from models.evaluation.served import Served
from models.evaluation.spans import Span, merged, total
from models.recordings import Recording, make_recording

REFERENCE = "REFERENCE-v3.csv"
FS, UV_PER_COUNT = 300.0, 1.0
NATIVE = {"A": 758, "N": 5076, "O": 2415, "~": 279}  # strips of the whole database
AF = ("AFIB", "AFL")
HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """A strip's class, whether it was called AF, and its mean AF score where it has one."""

    record: str
    kind: str  # A, N, O or ~
    called: bool
    score: float | None


def is_strip_folder(folder: Path) -> bool:
    return (folder / REFERENCE).is_file()


def read_strips(
    folder: Path, wanted: Iterable[str] | None = None
) -> Iterator[tuple[tuple[str, str], Recording]]:
    """((name, class), recording) of each strip; RecordingError where one is not there."""
    from scipy.io import loadmat

    with (folder / REFERENCE).open(newline="", encoding="utf-8") as lines:
        kinds = {row[0]: row[1] for row in csv.reader(lines) if row}
    for name in kinds if wanted is None else wanted:
        path = folder / f"{name}.mat"
        if name not in kinds or not path.is_file():
            raise RecordingError(f"{folder} has no strip {name} with a class in {REFERENCE}.")
        counts = np.asarray(loadmat(path)["val"], dtype=np.int32).reshape(1, -1)
        yield (name, kinds[name]), make_recording(name, FS, ["I"], counts, [UV_PER_COUNT])


def heard(name: str, kind: str, served: Served) -> Heard:
    spans: tuple[Span, ...] = merged((e.first, e.last) for e in served.episodes if e.label in AF)
    scores = served.rhythm.get("AFIB") or [w.scores["AFIB"] for w in served.windows if "AFIB" in w.scores]
    return Heard(
        record=name,
        kind=kind,
        called=total(spans) >= HALF * served.samples,
        score=float(np.mean(scores)) if scores else None,
    )


def strip_figures(rows: Sequence[Heard], blind: Sequence[Heard]) -> Figures:
    """`rhythm.AFIB`: share of each class called AF, and F1 at the database's own class shares."""
    scored = [(r.score, r.kind == "A") for r in rows if r.score is not None]
    rank = auroc([s for s, _ in scored], [a for _, a in scored]) if scored else float("nan")
    return {
        "strips": {kind: sum(r.kind == kind for r in rows) for kind in NATIVE},
        "rhythm": {
            "AFIB": _figures(rows)
            | {"auroc_of_scores": None if np.isnan(rank) else round(rank, 4), "best_possible": _best(rows)}
        },
        "baselines": {
            "never": _figures([_as(r, called=False) for r in rows]),
            "whole strip": _figures([_as(r, called=True) for r in rows]),
            "zeroed": _figures(blind),
        },
        "per_record": [{"record": r.record, "class": r.kind, "called": r.called} for r in rows],
    }


def _figures(rows: Sequence[Heard]) -> Figures:
    """Classes that are not in the folder are left out of the re-weighting."""
    shares = {
        kind: np.mean([r.called for r in rows if r.kind == kind])
        for kind in NATIVE
        if any(r.kind == kind for r in rows)
    }
    right = float(shares.get("A", 0.0)) * NATIVE["A"]
    false = sum(float(share) * NATIVE[kind] for kind, share in shares.items() if kind != "A")
    se = ratio(right, NATIVE["A"]) if "A" in shares else None
    ppv = ratio(right, right + false)
    return {
        "called": {kind: round(float(share), 4) for kind, share in shares.items()},
        "se": se,
        "ppv": ppv,
        "f1": f1(se, ppv),
    }


def _best(rows: Sequence[Heard]) -> Figures:
    """By the mean score at the threshold that suits these very strips best: optimistic, to compare with."""
    best: Figures = {"f1": None}
    for threshold in np.linspace(0.02, 0.98, 97).tolist():
        figures = _figures([_as(r, called=r.score is not None and r.score >= threshold) for r in rows])
        if (figures["f1"] or 0.0) > (best["f1"] or 0.0):
            best = figures | {"threshold": round(threshold, 2)}
    return best


def _as(row: Heard, *, called: bool) -> Heard:
    return Heard(record=row.record, kind=row.kind, called=called, score=row.score)
