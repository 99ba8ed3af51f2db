"""Annotated records under `ANYECG_DATA`, one noun for every database.

Readers yield `Annotated` records of the development set only: MIT-BIH DS1 (de Chazal et al., IEEE
Trans Biomed Eng 51:1196-1206, 2004), SVDB, QTDB, CinC 2017, the CPSC 2021 sample, the Creighton VF
records, the VFDB excerpts and the noise of NSTDB; `models.dataset.atrial` adds AFPDB and AFTDB.
Archives in `more/` are unpacked once into a cache (`ANYECG_CACHE`, else ~/.cache/anyecg).
Raises `models.errors.RecordingError` where a folder or archive is missing.
"""

from __future__ import annotations

import os
import shutil
import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.dataset.files import by_record, folder_of, matrix, names_in, rows_of
from models.ecg import Microvolts
from models.errors import RecordingError

_DS1 = (
    *(101, 106, 108, 109, 112, 114, 115, 116, 118, 119, 122, 124),
    *(201, 203, 205, 207, 208, 209, 215, 220, 223, 230),
)
DS1 = tuple(str(number) for number in _DS1)
BEAT_SYMBOLS = frozenset("NLRBejAaJSnVrFEfQ/?")  # WFDB beat codes; `x` and `!` are waves, not beats
SINUS = frozenset({"N", "SBR", "P"})  # rhythms that do not count as "other than sinus"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rhythm:
    """A stretch of one annotated rhythm, inclusive sample indices; name as in WFDB, without the bracket."""

    first: int
    last: int
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotated:
    """A recording and what experts said of it.

    `labelled` says which of "beats" (their classes) and "rhythm" the database annotates; what is not
    labelled is unknown, not normal. Outside `rhythms` the rhythm is unknown.
    """

    record: str  # "mitdb/208"
    patient: str  # one name per person, in every database: "afdb/04015"; the record where no ids exist
    source: str  # the database: "mitdb", "cudb-vf", ...
    fs: float  # Hz
    leads: tuple[str, ...]
    microvolts: Microvolts  # float32 (lead, sample)
    beats: npt.NDArray[np.int64]  # (beat,) sample of the R peak
    symbols: npt.NDArray[np.str_]  # (beat,) WFDB symbol; "?" where the class is not annotated
    rhythms: tuple[Rhythm, ...]
    labelled: frozenset[str]


def cache_folder() -> Path:
    return Path(os.environ.get("ANYECG_CACHE") or Path.home() / ".cache" / "anyecg")


def unpacked(data: Path, name: str) -> Path:
    """The folder of `more/<name>.tar.xz`, unpacked on first use, complete or not at all."""
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    archive = data / "more" / f"{name}.tar.xz"
    if not archive.is_file():
        raise RecordingError(f"{archive} does not exist; set ANYECG_DATA to the folder that holds more/.")
    staging = cache_folder() / f".{name}.{os.getpid()}"
    with tarfile.open(archive) as tar:
        tar.extractall(staging, filter="data")
    try:
        (staging / name).rename(folder)
    except OSError:  # another process was faster
        if not folder.is_dir():
            raise
    shutil.rmtree(staging)
    return folder


def patient_of(record: str) -> str:
    """Whose a record is, by its name: "cpsc2021/data_101_6" is one of "cpsc2021/101", "qtdb/sel114" an
    excerpt of "mitdb/114"; where the name does not tell, a record is a patient."""
    source, _, name = record.partition("/")
    if source == "qtdb" and name[3:] in DS1:
        return f"mitdb/{name[3:]}"
    numbers = name.split("_")
    return f"{source}/{numbers[1]}" if source == "cpsc2021" and len(numbers) > 1 else record


def mitdb(data: Path, records: Iterable[str] = DS1) -> Iterator[Annotated]:
    """MIT-BIH Arrhythmia records with every beat and every rhythm change annotated.

    201 shares its patient with a record that is held back, so records are patients here.
    """
    for name in records:
        yield _wfdb_record(folder_of(data, "mitdb"), "mitdb", name, frozenset({"beats", "rhythm"}))


def svdb(data: Path) -> Iterator[Annotated]:
    """Supraventricular Arrhythmia records: every beat, no rhythm; no patient ids exist."""
    for folder in (folder_of(data, "svdb"), unpacked(data, "svdb-more")):
        for name in names_in(folder):
            yield _wfdb_record(folder, "svdb", name, frozenset({"beats"}))


def qtdb(data: Path) -> Iterator[Annotated]:
    """QT Database excerpts, 15 min: every beat, and the rhythm in the few that carry its changes.

    `sel114`, `sel116`, `sel223` and `sel230` are excerpts of MIT-BIH records and share their patients.
    """
    folder, beats_only = folder_of(data, "qtdb"), frozenset({"beats"})
    for name in names_in(folder):
        record = _wfdb_record(folder, "qtdb", name, frozenset({"beats", "rhythm"}))
        yield replace(record, labelled=record.labelled if record.rhythms else beats_only)


def cpsc2021(data: Path) -> Iterator[Annotated]:
    """Holter with the onset and end of AF, N (not AF) elsewhere; the classes of its beats are not used.

    Read from the data: a record in persistent AF (patients 8 and 84) has its onset at sample 0 and
    its end at the last sample; every other record begins outside AF (median |dRR| / RR is 0.02-0.04
    before the first onset, 0.09-0.24 in AF), and those of patient 21 have no change at all.
    """
    folder = folder_of(data, "cpsc2021")
    for name in names_in(folder):
        record = _wfdb_record(folder, "cpsc2021", name, frozenset({"rhythm"}))
        marked = tuple(span for span in record.rhythms if span.last > span.first)  # not the closing mark
        onset = marked[0].first if marked else record.microvolts.shape[1]
        before = (Rhythm(first=0, last=onset - 1, name="N"),) if onset else ()
        yield replace(record, rhythms=before + marked)


def cinc2017(data: Path) -> Iterator[tuple[str, Annotated]]:
    """(class, strip): N, A (AF), O (other) or ~ (noisy). A and N hold for the whole strip."""
    for folder in (folder_of(data, "cinc2017"), unpacked(data, "cinc2017-more")):
        for name, kind in rows_of(folder / "REFERENCE-v3.csv"):
            microvolts = matrix(folder / f"{name}.mat", "val").astype(np.float32)  # 1000 units per mV
            rhythm = {"A": "AFIB", "N": "N"}.get(kind)
            spans = (Rhythm(first=0, last=microvolts.shape[1] - 1, name=rhythm),) if rhythm else ()
            yield kind, _without_beats(f"cinc2017/{name}", "cinc2017", 300.0, ("I",), microvolts, spans)


def cudb_vf(data: Path) -> Iterator[Annotated]:
    """Creighton records: VF from onset to end, and beats of unknown class (class 1 of the annotations).

    Elsewhere the rhythm is unknown: VT is not marked.
    """
    folder = unpacked(data, "cudb-vf")
    episodes = by_record(folder / "vf_episodes.csv")
    for name in (signal.removesuffix("m") for signal in names_in(folder)):  # the tables name the record
        raw = matrix(folder / f"{name}m.mat", "val").astype(np.float32).reshape(1, -1)
        microvolts = np.where(raw == -32768, 0, raw * np.float32(2.5))  # a dropout is 0; 400 units per mV
        spans = tuple(
            Rhythm(first=int(row["start_sample"]), last=int(row["end_sample"]), name="VFL")
            for row in episodes.get(name, [])
        )
        record = _without_beats(f"cudb-vf/{name}", "cudb-vf", 250.0, ("ECG",), microvolts, spans)
        marks = matrix(folder / f"{name}_ann.mat", f"{name}_ann")
        beats = np.sort(marks[marks[:, 1] == 1, 0].astype(np.int64))
        yield replace(record, beats=beats, symbols=np.full(len(beats), "?"))


def vfdb(data: Path) -> Iterator[Annotated]:
    """Malignant Ventricular Ectopy excerpts: VT, VF and sinus stretches of 2 patients."""
    folder = unpacked(data, "vfdb-excerpts")
    names = {"N": "N", "VT": "VT", "VFIB": "VFL"}
    for name, rows in by_record(folder / "rhythm.csv").items():
        columns = matrix(folder / f"{name}.mat", "M")
        columns = columns if columns.shape[0] > columns.shape[1] else columns.T
        microvolts = (columns[:, 1:3].T * 1000.0).astype(np.float32)
        spans = tuple(
            Rhythm(first=int(r["start_sample"]), last=int(r["end_sample"]) - 1, name=names[r["rhythm"]])
            for r in rows
            if r["rhythm"] in names
        )
        patient = name.removeprefix("ecg_")[:3]
        yield _without_beats(f"vfdb/{name}", "vfdb", 250.0, ("ECG1", "ECG2"), microvolts, spans, patient)


def nstdb(data: Path, kind: str, part: str) -> tuple[float, Microvolts]:
    """(fs, float32 (channel, sample)) of NSTDB noise `em` or `bw`: minutes 0-20 to train, 20-30 to test."""
    import wfdb

    record = wfdb.rdrecord(str(folder_of(data, "nstdb") / kind))
    edge = int(20 * 60 * record.fs)
    cut = slice(0, edge) if part == "train" else slice(edge, None)
    return float(record.fs), np.nan_to_num(record.p_signal.T[:, cut] * 1000.0).astype(np.float32)


def _wfdb_record(folder: Path, source: str, name: str, labelled: frozenset[str]) -> Annotated:
    import wfdb

    if not (folder / f"{name}.hea").is_file():
        raise RecordingError(f"{folder / name}.hea does not exist; is {name} one of this folder's RECORDS?")
    record = wfdb.rdrecord(str(folder / name))
    marks = wfdb.rdann(str(folder / name), "atr")
    symbols = np.asarray(marks.symbol, dtype=np.str_)
    is_beat = np.isin(symbols, list(BEAT_SYMBOLS))
    return Annotated(
        record=f"{source}/{name}",
        patient=patient_of(f"{source}/{name}"),
        source=source,
        fs=float(record.fs),
        leads=tuple(record.sig_name),
        microvolts=np.nan_to_num(record.p_signal.T * 1000.0).astype(np.float32),
        beats=np.asarray(marks.sample, dtype=np.int64)[is_beat],
        symbols=symbols[is_beat] if "beats" in labelled else np.full(is_beat.sum(), "?"),
        rhythms=_rhythms(marks, record.sig_len) if "rhythm" in labelled else (),
        labelled=labelled,
    )


def _rhythms(marks: Any, length: int) -> tuple[Rhythm, ...]:
    """Each rhythm lasts until the next change or the end of the record."""
    changes = [
        (int(sample), note.strip("\x00 ")[1:])
        for sample, symbol, note in zip(marks.sample, marks.symbol, marks.aux_note, strict=True)
        if symbol == "+" and note.startswith("(")  # notes of ST and T changes begin with a bracket too
    ]
    ends = [*(sample for sample, _ in changes), length][1:]
    return tuple(
        Rhythm(first=first, last=end - 1, name=name)
        for (first, name), end in zip(changes, ends, strict=True)
        if end > first
    )


def _without_beats(
    record: str,
    source: str,
    fs: float,
    leads: tuple[str, ...],
    microvolts: Microvolts,
    rhythms: tuple[Rhythm, ...],
    patient: str | None = None,
) -> Annotated:
    return Annotated(
        record=record,
        patient=f"{source}/{patient}" if patient else record,
        source=source,
        fs=fs,
        leads=leads,
        microvolts=microvolts,
        beats=np.empty(0, dtype=np.int64),
        symbols=np.empty(0, dtype=np.str_),
        rhythms=rhythms,
        labelled=frozenset({"rhythm"}),
    )
