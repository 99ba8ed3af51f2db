"""Where the databases lie and how their tables and matrices are read.

Raises `models.errors.RecordingError` where a folder is missing.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.errors import RecordingError


def folder_of(data: Path, name: str) -> Path:
    if not (data / name).is_dir():
        raise RecordingError(f"{data / name} does not exist; set ANYECG_DATA to the folder that holds it.")
    return data / name


def names_in(folder: Path) -> list[str]:
    """The lines of `RECORDS`: what is present."""
    return (folder / "RECORDS").read_text().split()


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="") as lines:
        return [row for row in csv.reader(lines) if row]


def records_of(path: Path) -> list[dict[str, str]]:
    """The rows of a table with a header line, by column name."""
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def by_record(path: Path) -> dict[str, list[dict[str, str]]]:
    """The rows of a table that has a column `record`, record by record in the table's order."""
    grouped: dict[str, list[dict[str, str]]] = {}
    for row in records_of(path):
        grouped.setdefault(row["record"], []).append(row)
    return grouped


def matrix(path: Path, key: str) -> npt.NDArray[Any]:
    """One variable of a MATLAB file."""
    from scipy.io import loadmat

    return np.asarray(loadmat(path)[key])
