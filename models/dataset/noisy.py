"""Databases that grade the signal instead of the heart: CinC 2011 and the wearable under motion.

The wearable set is for testing only: nothing may be learned from it and no threshold chosen on it.
Raises `models.errors.RecordingError` where a folder is missing.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.dataset.files import folder_of
from models.ecg import Microvolts

CINC2011_FS, CINC2011_UV = 500.0, 5.0  # microvolts per unit
CINC2011_LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
WEARABLE_FS = 500.0  # nominal; about 497.5 by its time stamps
WEARABLE_UV = 3.3e6 / 4096 / 1100  # 12 bit over 3.3 V behind the AD8232's usual gain of 1100: not calibrated
ELECTRODES = {"01": "Ag/AgCl", "02": "chrome-nickel", "03": "textile"}
ACTIVITIES = {"klud": "rest", "ruky": "arms", "chodza": "walk", "beh": "run", "drepy": "squats"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PhoneEcg:
    """A 12-lead ECG of 10 s sent by phone, and whether it was good enough to be interpreted."""

    record: str
    fs: float  # Hz
    leads: tuple[str, ...]
    microvolts: Microvolts  # float32 (lead, sample)
    acceptable: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Graded:
    """A wearable recording of about a minute; grade 1 has little or no artefact, 4 no readable rhythm."""

    record: str
    subject: str
    electrode: str  # of ELECTRODES
    activity: str  # of ACTIVITIES
    fs: float  # Hz
    microvolts: Microvolts  # float32 (1, sample); the scale is a guess
    grades: tuple[tuple[int, int, int], ...]  # (first, last, grade), about 2 s each


def cinc2011(data: Path) -> Iterator[PhoneEcg]:
    """PhysioNet/CinC Challenge 2011, set a (Silva et al., Computing in Cardiology 38:273-276, 2011)."""
    folder = folder_of(data, "cinc2011")
    for kind in ("acceptable", "unacceptable"):
        for name in (folder / f"RECORDS-{kind}").read_text().split():
            with lzma.open(folder / "set-a" / f"{name}.txt.xz", "rt") as lines:
                units = np.loadtxt(lines, delimiter=",", dtype=np.float32)[:, 1:]
            yield PhoneEcg(
                record=f"cinc2011/{name}",
                fs=CINC2011_FS,
                leads=CINC2011_LEADS,
                microvolts=units.T * np.float32(CINC2011_UV),
                acceptable=kind == "acceptable",
            )


def wearable_motion(data: Path) -> Iterator[Graded]:
    """7 healthy subjects, three kinds of electrode, five activities. Test only."""
    for labels in sorted(folder_of(data, "wearable-motion").glob("*/labels/*_2.csv")):
        name = labels.stem.removesuffix("_2")
        subject, electrode, activity = name.split("_")
        counts = _adc(labels.parents[1] / f"{name}.csv.xz")
        yield Graded(
            record=f"wearable-motion/{name}",
            subject=subject,
            electrode=ELECTRODES[electrode],
            activity=ACTIVITIES[activity],
            fs=WEARABLE_FS,
            microvolts=(counts * np.float32(WEARABLE_UV))[None],
            grades=_grades(labels),
        )


def _adc(path: Path) -> npt.NDArray[np.float32]:
    with lzma.open(path, "rt") as lines:
        return np.asarray([float(line.rsplit(";", 1)[1]) for line in lines if ";" in line], dtype=np.float32)


def _grades(path: Path) -> tuple[tuple[int, int, int], ...]:
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines, delimiter=";"))
    return tuple((int(row["start"]), int(row["end"]) - 1, int(row["artifact"])) for row in rows)
