"""The databases the dataset is built from, by name: timelines of long recordings, and clinical ECGs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from models.dataset import annotated, atrial, clinical
from models.dataset.annotated import DS1, Annotated, Rhythm
from models.dataset.anyecg.timeline import Timeline, timeline_of
from models.dataset.clinical import Clinical
from models.dataset.files import folder_of

PACED = ("102", "104", "107", "217")
BEATING_S = 1.5  # between beats this close to each other there is no fibrillation
DOUBTED = frozenset(
    {"cinc2021/JS45543", "cinc2021/JS45550"}
)  # labelled VT, which the signal does not bear out
QRS = "QRS"  # a stretch with beats whose rhythm is unknown, but not VF


def mitdb(data: Path) -> Iterator[Timeline]:
    import wfdb

    for record in annotated.mitdb(data, (*DS1, *PACED)):
        marks = wfdb.rdann(str(folder_of(data, "mitdb") / record.record.split("/")[1]), "atr")
        blocked = [int(at) for at, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol == "x"]
        yield timeline_of(record, blocked)


def cinc2017(data: Path) -> Iterator[Timeline]:
    """AF and normal strips; "other" rhythms and noisy strips answer nothing."""
    return (timeline_of(record) for kind, record in annotated.cinc2017(data) if kind in "AN")


def cudb_vf(data: Path) -> Iterator[Timeline]:
    """VF episodes, and the stretches between them in which annotated beats follow each other."""
    for record in annotated.cudb_vf(data):
        rhythms = sorted((*record.rhythms, *_beating(record)), key=lambda rhythm: rhythm.first)
        yield timeline_of(replace(record, rhythms=tuple(rhythms)))


def _beating(record: Annotated) -> Iterator[Rhythm]:
    if len(record.beats) < 2:
        return
    breaks = np.flatnonzero(np.diff(record.beats) > BEATING_S * record.fs)
    for run in np.split(record.beats, breaks + 1):
        if run[-1] > run[0]:
            yield Rhythm(first=int(run[0]), last=int(run[-1]), name=QRS)


def _plain(read: Callable[[Path], Iterator[Annotated]]) -> Callable[[Path], Iterator[Timeline]]:
    return lambda data: (timeline_of(record) for record in read(data))


TIMELINES: Mapping[str, Callable[[Path], Iterator[Timeline]]] = {
    "mitdb": mitdb,
    "svdb": _plain(annotated.svdb),
    "qtdb": _plain(annotated.qtdb),
    "afpdb": _plain(atrial.afpdb),
    "aftdb": _plain(atrial.aftdb),
    "cinc2017": cinc2017,
    "cpsc2021": _plain(annotated.cpsc2021),
    "vfdb": _plain(annotated.vfdb),
    "cudb-vf": cudb_vf,
}
CLINICAL: Mapping[str, Callable[[Path], Iterator[Clinical]]] = {
    "ptbxl": clinical.ptbxl,
    "ludb": clinical.ludb,
    "cinc2021": lambda data: (ecg for ecg in clinical.cinc2021(data) if ecg.record not in DOUBTED),
}
DATABASES = (*TIMELINES, *CLINICAL)
