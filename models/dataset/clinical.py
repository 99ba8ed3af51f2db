"""Clinical 12-lead ECGs and what was written about them: PTB-XL, LUDB and CinC 2021.

Wagner P et al., Scientific Data 7:154, 2020; Kalyakulina AI et al., IEEE Access 8:186181-186190, 2020;
Reyna MA et al., Computing in Cardiology 48, 2021. A statement holds for the ECG, not for every beat.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from models.dataset.annotated import unpacked
from models.dataset.files import folder_of, names_in, records_of
from models.dataset.statements import morphology_of, rhythm_of
from models.ecg import Microvolts

LIKELY = 50.0  # per cent; PTB-XL writes 0 where a statement has no likelihood, and those count too
NOISE_NOTES = ("baseline_drift", "static_noise", "burst_noise", "electrodes_problems")
_SEX = {"0": "male", "1": "female", "M": "male", "F": "female", "Male": "male", "Female": "female"}
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What was written about one ECG; None and empty where the database does not say."""

    record: str  # "ptbxl/17"
    patient: str  # one name per person, in every database
    source: str  # "ptbxl" | "ludb" | "cinc2021"
    statements: tuple[str, ...]  # SCP-ECG codes, LUDB diagnosis lines or SNOMED CT codes
    report: str
    age: float | None  # years
    sex: str | None  # "male" | "female"
    fold: int | None  # PTB-XL's own, which separates patients
    recorded: str  # ISO date and time, orders the visits of a patient
    noise: Mapping[str, str] = field(default_factory=dict)  # a field of NOISE_NOTES -> the leads, as written


@dataclass(frozen=True, slots=True, kw_only=True)
class Clinical(Written):
    """The same with its signal."""

    fs: float  # Hz
    leads: tuple[str, ...]
    microvolts: Microvolts  # float32 (lead, sample)


def morphology(ecg: Written) -> str | None:
    """Complete bundle branch block "L" or "R", "P" paced; None where none, or both blocks, are stated."""
    return morphology_of(ecg.statements)


def rhythm(ecg: Written) -> str | None:
    """The rhythm of the whole ECG, a key of `models.verdicts.LABELS`; None where unstated or several."""
    return rhythm_of(ecg.statements)


def ptbxl_rows(data: Path) -> Iterator[Written]:
    """Every row of the PTB-XL table, with or without a waveform."""
    for row in records_of(folder_of(data, "ptbxl") / "ptbxl_database.csv"):
        yield Written(**_ptbxl_row(row))


def ptbxl(data: Path) -> Iterator[Clinical]:
    """The rows of PTB-XL that have a waveform here, 10 s at 500 Hz."""
    folder = folder_of(data, "ptbxl")
    rows = {row["filename_hr"]: row for row in records_of(folder / "ptbxl_database.csv")}
    for name in names_in(folder):
        yield Clinical(**_ptbxl_row(rows[name]), **_signal(folder / name))


def ludb(data: Path) -> Iterator[Clinical]:
    """LUDB, 10 s at 500 Hz; its diagnosis lines are statements and report."""
    folder = folder_of(data, "ludb")
    for name in names_in(folder):
        record = f"ludb/{Path(name).name}"
        signal, comments = _signal(folder / name), _comments(folder / name)
        at = comments.index("<diagnoses>:")
        said = dict(line.split(": ", 1) for line in comments[:at])
        lines = tuple(line.strip().rstrip(".") for line in comments[at + 1 :])
        yield Clinical(
            record=record,
            patient=record,
            source="ludb",
            statements=lines,
            report=" ".join(f"{line}." for line in lines),
            age=_number(said["<age>"]),
            sex=_SEX.get(said["<sex>"]),
            fold=None,
            recorded="",
            **signal,
        )


def cinc2021(data: Path) -> Iterator[Clinical]:
    """CinC 2021 strips of Georgia, CPSC and Ningbo/Chapman, 10-48 s; an `HR` record is one of PTB-XL's."""
    people = {row.record: row.patient for row in ptbxl_rows(data)}
    for folder in (folder_of(data, "cinc2021"), unpacked(data, "cinc2021-more")):
        for name in names_in(folder):
            said = dict(line.split(": ", 1) for line in _comments(folder / name))
            record = f"cinc2021/{name}"
            twin = f"ptbxl/{int(name[2:])}" if name.startswith("HR") else record
            yield Clinical(
                record=record,
                patient=people.get(twin, twin),
                source="cinc2021",
                statements=tuple(dict.fromkeys(said["Dx"].split(","))),
                report="",
                age=_number(said["Age"]),
                sex=_SEX.get(said["Sex"]),
                fold=None,
                recorded="",
                **_signal(folder / name),
            )


def _ptbxl_row(row: Mapping[str, str]) -> dict[str, Any]:
    likelihoods: dict[str, float] = ast.literal_eval(row["scp_codes"])
    return {
        "record": f"ptbxl/{row['ecg_id']}",
        "patient": f"ptbxl/patient{int(float(row['patient_id']))}",
        "source": "ptbxl",
        "statements": tuple(code for code, likely in likelihoods.items() if likely == 0 or likely >= LIKELY),
        "report": row["report"].strip(),
        "age": _number(row["age"]),
        "sex": _SEX.get(row["sex"]),
        "fold": int(row["strat_fold"]),
        "recorded": row["recording_date"].replace(" ", "T"),
        "noise": {note: row[note].strip(" ,") for note in NOISE_NOTES if row[note].strip(" ,")},
    }


def _signal(path: Path) -> dict[str, Any]:
    import wfdb

    spelled = {lead.lower(): lead for lead in LEADS}
    record = wfdb.rdrecord(str(path))
    return {
        "fs": float(record.fs),
        "leads": tuple(spelled[lead.lower()] for lead in record.sig_name),
        "microvolts": np.nan_to_num(record.p_signal.T * 1000.0).astype(np.float32),
    }


def _comments(path: Path) -> list[str]:
    import wfdb

    return [line for line in wfdb.rdheader(str(path)).comments if line.strip()]


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
