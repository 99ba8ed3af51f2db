"""The anyECG dataset: rows in chat form over annotated databases, split by patient, signals by reference.

`build` writes `train.jsonl`, `dev.jsonl`, `test.jsonl` and `card.json`. The same data, databases and seed
give the same bytes. A patient lies on one side, whatever databases are built: PTB-XL by its own folds,
everybody else by a hash of patient and seed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any

from models.dataset.anyecg.bedside import clinical_questions, names_of, visits
from models.dataset.anyecg.card import SPLITS, card_of
from models.dataset.anyecg.comparison import comparison, rhythm_changes
from models.dataset.anyecg.ecgqa import ecgqa
from models.dataset.anyecg.localization import localization, open_detection
from models.dataset.anyecg.questions import questions
from models.dataset.anyecg.reports import clinical_reports, strip_reports
from models.dataset.anyecg.rows import Row
from models.dataset.anyecg.sources import CLINICAL, DATABASES, TIMELINES
from models.dataset.anyecg.timeline import Timeline
from models.dataset.clinical import Clinical, ptbxl_rows
from models.errors import UsageError

TRAIN_SHARE, DEV_SHARE = 0.7, 0.15
DEV_FOLD, TEST_FOLD = 7, 8  # of PTB-XL, whose folds 9 and 10 are not here

Progress = Callable[[str], None]


def build(
    out: Path,
    data: Path,
    databases: Sequence[str] | None,
    seed: int,
    progress: Progress = lambda _: None,
) -> dict[str, Any]:
    """Write the dataset over `databases` (all where None) into `out`; returns its card.

    Raises `UsageError` for an unknown database, `RecordingError` where data are missing.
    """
    names = _known(databases)
    timelines = [line for name in names if name in TIMELINES for line in _read(name, data, progress)]
    ecgs = {name: list(CLINICAL[name](data)) for name in names if name in CLINICAL}
    split = Splits(data, seed)
    patients = {line.record: line.patient for line in timelines}
    patients |= {ecg.record: ecg.patient for some in ecgs.values() for ecg in some}
    rows: dict[str, Row] = {}
    for row in _rows(timelines, ecgs, data, seed, progress):
        side, *others = {split.of(patients[ecg["record"]]) for ecg in row["ecgs"]}
        if not others:  # ECG-QA compares strangers
            rows.setdefault(row["id"], {"id": row["id"], "split": side, **row})
    card = card_of(ordered := [rows[key] for key in sorted(rows)], patients, names, seed)
    _write(out, ordered, card)
    return card


def _known(databases: Sequence[str] | None) -> list[str]:
    for name in databases or ():
        if name not in DATABASES:
            nearest = get_close_matches(name, DATABASES, 1)
            meant = f"did you mean {nearest[0]}?" if nearest else f"known are {', '.join(DATABASES)}."
            raise UsageError(f"No reader for the database {name}; {meant}")
    return [name for name in DATABASES if databases is None or name in databases]


def _read(name: str, data: Path, progress: Progress) -> Iterator[Timeline]:
    progress(f"reading {name}")
    yield from TIMELINES[name](data)


def _rows(
    timelines: Sequence[Timeline], ecgs: dict[str, list[Clinical]], data: Path, seed: int, progress: Progress
) -> Iterator[Row]:
    for number, line in enumerate(timelines):
        if number % 200 == 0:
            progress(f"{line.source}: recording {number + 1} of {len(timelines)}")
        for task in (localization, open_detection, questions, strip_reports, rhythm_changes):
            yield from task(line, seed)
    by_patient: dict[str, list[Timeline]] = {}
    for line in timelines:
        by_patient.setdefault(f"{line.source} {line.patient}", []).append(line)
    for group in by_patient.values():
        yield from comparison(group, seed)
    for name, some in ecgs.items():
        progress(f"{name}: {len(some)} ECGs")
        yield from _clinical_rows(some, seed)
    if "ptbxl" in ecgs:
        yield from ecgqa(data, {ecg.record: ecg for ecg in ecgs["ptbxl"]})


def _clinical_rows(ecgs: Sequence[Clinical], seed: int) -> Iterator[Row]:
    names = names_of(ecgs)
    by_patient: dict[str, list[Clinical]] = {}
    for ecg in ecgs:
        by_patient.setdefault(ecg.patient, []).append(ecg)
        yield from clinical_reports(ecg, seed)
        yield from clinical_questions(ecg, names, seed)
    for some in by_patient.values():
        dated = sorted((ecg for ecg in some if ecg.recorded), key=lambda ecg: ecg.recorded)
        for earlier, later in combinations(dated, 2):
            yield from visits(earlier, later, seed)


class Splits:
    """The side a patient is on, the same whatever databases are built."""

    def __init__(self, data: Path, seed: int) -> None:
        self._seed = seed
        has_table = (data / "ptbxl").is_dir()
        self._folds = {row.patient: row.fold for row in ptbxl_rows(data)} if has_table else {}

    def of(self, patient: str) -> str:
        if fold := self._folds.get(patient):
            return {DEV_FOLD: "dev", TEST_FOLD: "test"}.get(fold, "train")
        digest = hashlib.sha256(f"{self._seed}\n{patient}".encode()).digest()
        share = int.from_bytes(digest[:8]) / 2**64
        return "train" if share < TRAIN_SHARE else "dev" if share < TRAIN_SHARE + DEV_SHARE else "test"


def _write(out: Path, rows: Sequence[Row], card: dict[str, Any]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        lines = (json.dumps(row, ensure_ascii=False) for row in rows if row["split"] == split)
        (out / f"{split}.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (out / "card.json").write_text(json.dumps(card, indent=1, sort_keys=True) + "\n", encoding="utf-8")
