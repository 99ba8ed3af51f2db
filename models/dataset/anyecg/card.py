"""The dataset's card: what is in it, counted by split, task, class, database and length."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from models.dataset.anyecg.rows import Row

VERSION = "anyecg-dataset/1"
SPLITS = ("train", "dev", "test")


def card_of(
    rows: Sequence[Row], patients: Mapping[str, str], databases: Sequence[str], seed: int
) -> dict[str, Any]:
    """The card of rows that carry their split; `patients` by record."""
    splits = {split: [row for row in rows if row["split"] == split] for split in SPLITS}
    return {
        "version": VERSION,
        "seed": seed,
        "databases": list(databases),
        "rows": len(rows),
        "splits": {split: _split(some, patients) for split, some in splits.items()},
    }


def _split(rows: Sequence[Row], patients: Mapping[str, str]) -> dict[str, Any]:
    records = {ecg["record"] for row in rows for ecg in row["ecgs"]}
    by_task: dict[str, list[Row]] = {}
    for row in rows:
        by_task.setdefault(row["task"], []).append(row)
    return {
        "rows": len(rows),
        "records": len(records),
        "patients": len({patients[record] for record in records}),
        "tasks": {task: len(some) for task, some in sorted(by_task.items())},
        "kinds": {task: _counted(_kind(row) for row in some) for task, some in by_task.items()},
        "localization": _localized(by_task.get("localization", ())),
        "open_detection": _counted(
            label
            for row in by_task.get("open_detection", ())
            for label in row["evidence"]["found"] or ["none"]
        ),
        "databases": _counted(row["ecgs"][0]["record"].split("/")[0] for row in rows),
        "ecgs": _counted(str(len(row["ecgs"])) for row in rows),
        "seconds": _counted(_length(ecg) for row in rows for ecg in row["ecgs"]),
    }


def _kind(row: Row) -> str:
    kind = str(row["evidence"]["kind"])
    return f"{kind} {row['type']}" if row["type"] and row["task"] != "localization" else kind


def _localized(rows: Sequence[Row]) -> dict[str, dict[str, int]]:
    """Rows of each class where it is present and where it is not, and the recordings it was found in."""
    table: dict[str, dict[str, int]] = {}
    for label in sorted({row["type"] for row in rows}):
        some = [row for row in rows if row["type"] == label]
        present = [row for row in some if row["evidence"]["spans"]]
        table[label] = {
            "present": len(present),
            "absent": len(some) - len(present),
            "records": len({row["ecgs"][0]["record"] for row in present}),
        }
    return table


def _length(ecg: Mapping[str, Any]) -> str:
    seconds = round(ecg["end"] - ecg["start"], 2)
    return "to 10" if seconds <= 10 else "10 to 60" if seconds <= 60 else "60 to 300"


def _counted(items: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(items).items()))
