"""The recordings that rows of the anyECG dataset point at, by name: `mitdb/208`, `ptbxl/17`, or a path."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Protocol

import numpy as np

from models.anyecg.chat.batch import EcgRef
from models.anyecg.chat.stretches import stretch_of
from models.dataset import annotated, atrial, clinical
from models.ecg import Microvolts
from models.errors import RecordingError
from models.evaluation.served import cut
from models.recordings import Recording, make_recording, open_recording


class Signal(Protocol):
    """What every reader of a database yields."""

    @property
    def record(self) -> str: ...
    @property
    def patient(self) -> str: ...
    @property
    def fs(self) -> float: ...
    @property
    def leads(self) -> tuple[str, ...]: ...
    @property
    def microvolts(self) -> Microvolts: ...


DATABASES: Mapping[str, Callable[[Path], Iterator[Signal]]] = {  # whose files are not named as their records
    "afpdb": atrial.afpdb,
    "aftdb": atrial.aftdb,
    "cinc2017": lambda data: (strip for _, strip in annotated.cinc2017(data)),
    "cudb-vf": annotated.cudb_vf,
    "svdb": annotated.svdb,
    "vfdb": annotated.vfdb,
    "ptbxl": clinical.ptbxl,
    "ludb": clinical.ludb,
    "cinc2021": clinical.cinc2021,
}


def stretch(data: Path, ecg: EcgRef) -> Recording:
    """The leads and seconds asked for; RecordingError where there are none such."""
    recording = _recording(data, ecg.record)
    asked = stretch_of(recording, ecg)
    return cut(recording, asked.first, asked.last, asked.leads)


def patient_of(data: Path, record: str) -> str:
    """Whose a record is, as far as its database tells; else it is a patient of its own."""
    database, _, _ = record.partition("/")
    if database not in DATABASES:
        return annotated.patient_of(record)
    found = _database(data, database).get(record)
    return record if found is None else found.patient


@cache
def _recording(data: Path, record: str) -> Recording:
    database, _, _ = record.partition("/")
    if (data / f"{record}.hea").is_file() or database not in DATABASES:
        return open_recording(data / record)
    found = _database(data, database).get(record)
    if found is None:
        raise RecordingError(f"{database} in {data} has no record {record}.")
    counts = np.rint(found.microvolts)
    return make_recording(record.rpartition("/")[2], found.fs, found.leads, counts, [1.0] * len(found.leads))


@cache
def _database(data: Path, name: str) -> dict[str, Signal]:
    return {signal.record: signal for signal in DATABASES[name](data)}
