"""Recordings of atrial fibrillation with unaudited beats: PAF Prediction (AFPDB) and AF Termination (AFTDB).

Moody GB et al., Computers in Cardiology 28:113-116, 2001, and 31:101-104, 2004. Their subjects also
lie in AFDB and LTAFDB: `patient` is the name they have there ("afdb/04015", "ltafdb/13").
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from models.dataset.annotated import Annotated, Rhythm, unpacked
from models.dataset.files import by_record, names_in, records_of

_FROM_LTAFDB = {"a12": "ltafdb/13"}


def afpdb(data: Path) -> Iterator[Annotated]:
    """30 min and the 5 min after them, 2 leads; AF, flutter or N (neither) where AFDB says so.

    N also excludes junctional rhythm, but not ectopy. Elsewhere (`p03`, `p04`, `p43`-`p46` and every
    `n`) the rhythm is unknown: subjects without paroxysmal AF are not thereby in sinus rhythm.
    """
    folder = unpacked(data, "afpdb")
    patients = {
        row["record"]: row["subject"].replace(":", "/") for row in records_of(folder / "subjects.csv")
    }
    rhythms = by_record(folder / "rhythm.csv")
    for name in names_in(folder):
        spans = tuple(
            Rhythm(first=int(row["start_sample"]), last=int(row["end_sample"]) - 1, name=row["rhythm"])
            for row in rhythms.get(name, [])
        )
        yield _record(folder / name, "afpdb", patients[name], spans)


def aftdb(data: Path) -> Iterator[Annotated]:
    """One minute of AF each, 2 leads; flutter is not marked.

    Records grouped by calibration count as one patient, and so do the test records of unknown
    subject (`b?`): a few may be strangers, but nobody is on two sides of a split among them.
    """
    folder = unpacked(data, "aftdb")
    groups = {row["record"]: row["group"] for row in records_of(folder / "subjects.csv")}
    for name in names_in(folder):
        patient = _FROM_LTAFDB.get(name.split("/")[-1], f"aftdb/{groups[name]}")
        yield _record(folder / name, "aftdb", patient, None)


def _record(path: Path, source: str, patient: str, spans: tuple[Rhythm, ...] | None) -> Annotated:
    """The signal and beats at `path`; without `spans` all of it is AF."""
    import wfdb

    record = wfdb.rdrecord(str(path))
    beats = np.asarray(wfdb.rdann(str(path), "qrs").sample, dtype=np.int64)
    spans = (Rhythm(first=0, last=record.sig_len - 1, name="AFIB"),) if spans is None else spans
    return Annotated(
        record=f"{source}/{path.name}",
        patient=patient,
        source=source,
        fs=float(record.fs),
        leads=("ECG0", "ECG1"),
        microvolts=np.nan_to_num(record.p_signal.T * 1000.0).astype(np.float32),
        beats=beats,
        symbols=np.full(len(beats), "?"),
        rhythms=spans,
        labelled=frozenset({"rhythm"} if spans else ()),
    )
