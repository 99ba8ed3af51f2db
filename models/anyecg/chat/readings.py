"""Readings: what was measured and found of a strip, what the eyes see of it, and what experts said of it.

`prepare` reads strips of development records through the serving code and keeps them for training and
evaluation; the caller's `read` composes that code and lets the networks speak that had left the record out. A
record is kept as soon as its strips are read: whoever is interrupted goes on with the next one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np

from models.anyecg.chat.eyes import ENCODER, Floats
from models.anyecg.chat.strips import SIZE, Strip, Truth, records, strips_of
from models.anyecg.evidence import Evidence, Fact
from models.dataset.annotated import Annotated
from models.errors import RecordingError
from models.recordings import Recording, safe_id
from models.verdicts import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One ECG as a language model is told and shown it."""

    evidence: Evidence
    features: Floats  # (second, D) content tokens: what the eyes see, then the localizer's chances
    record: str  # "mitdb/208"; of a patch its id
    patient: str
    start: float = 0.0  # s of the record at which the strip begins
    fold: int | None = None  # whose networks had left the record out; None: not of the development set
    truth: Truth | None = None  # of experts
    findings: tuple[Finding, ...] = ()  # as served, each on its own; not kept on disk
    fs: float | None = None  # Hz, of the findings' samples


Read = Callable[[Recording, str], Reading]  # of a strip of the record of that name


def prepare(
    out: Path,
    data: Path,
    read: Read,
    folds: Mapping[str, int],
    *,
    size: int = SIZE,
    seed: int = 0,
    jobs: int = 2,
    progress: Callable[[str], None] = lambda _: None,
    drawn: Callable[[Path, int], Iterator[tuple[Annotated, int]]] = records,
) -> None:
    """Writes about `size` readings to OUT/readings.jsonl and OUT/readings.npz, unless they are there.

    `folds` say which fold leaves a record out, `drawn` which records give how many strips. With several
    `jobs` `read` is called in other processes. RecordingError where data lack.
    """
    if (out / "readings.jsonl").is_file():
        progress(f"{out / 'readings.jsonl'} is complete; remove it to read anew.")
        return
    parts = out / f"parts-{seed}-{size}"
    parts.mkdir(parents=True, exist_ok=True)
    told = _Told(size, progress)
    with _executor(jobs) as executor:
        waiting: deque[tuple[Path, list[tuple[Strip, Future[Reading]]]]] = deque()
        for record, count in drawn(data, size):
            part = parts / f"{safe_id(record.record)}.npz"
            if part.is_file():
                told.kept(part)
                continue
            strips = strips_of(record, count, data, seed)
            waiting.append((part, [(s, executor.submit(read, s.recording, s.record)) for s in strips]))
            while len(waiting) > 2 * jobs:
                told.done(_keep(*waiting.popleft(), folds))
        while waiting:
            told.done(_keep(*waiting.popleft(), folds))
    _merge(out, sorted(parts.iterdir()))
    shutil.rmtree(parts)


def load(folder: Path) -> list[Reading]:
    """What `prepare` wrote; RecordingError where it has not."""
    for file in (folder / "readings.jsonl", folder / "readings.npz"):
        if not file.is_file():
            raise RecordingError(f"{file} is missing; prepare it: anyecg train chat.")
    with np.load(folder / "readings.npz") as held:
        features = held["features"]
    with (folder / "readings.jsonl").open(encoding="utf-8") as lines:
        return list(_unpacked((json.loads(line) for line in lines), features))


def digest(folder: Path) -> str:
    """SHA-256 of what `prepare` wrote: what a training learned from."""
    files = (folder / "readings.jsonl", folder / "readings.npz")
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def eyes_digest(folder: Path) -> str:
    """SHA-256 of the encoder that made the content tokens, where it is beside them; else nothing."""
    file = folder / ENCODER.name
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _executor(jobs: int) -> Executor:
    if jobs == 1:
        return ThreadPoolExecutor(1)
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Nobody waits for the readings of a process whose parent was killed."""
    parent = parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


class _Told:
    """Says how far it is and how long it will take."""

    def __init__(self, size: int, progress: Callable[[str], None]) -> None:
        self._size, self._progress = size, progress
        self._begun, self._old, self._new, self._said = time.monotonic(), 0, 0, 0

    def kept(self, part: Path) -> None:
        with np.load(part) as held:
            self._old += len(held["rows"])

    def done(self, count: int) -> None:
        self._new += count
        if self._new - self._said >= max(1, self._size // 50):
            self._said = self._new
            each = (time.monotonic() - self._begun) / self._new
            have = self._old + self._new
            left = each * max(0, self._size - have)
            self._progress(f"readings: {have} of about {self._size}, {each:.2f} s each, {left:.0f} s left")


def _keep(part: Path, read: Sequence[tuple[Strip, Future[Reading]]], folds: Mapping[str, int]) -> int:
    """Writes a record's readings, complete or not at all; how many they are."""
    readings = [
        replace(
            future.result(),
            record=strip.record,
            patient=strip.patient,
            start=strip.start,
            fold=_fold(strip, folds),
            truth=strip.truth,
        )
        for strip, future in read
    ]
    _write(part, [json.dumps(_packed(r)) for r in readings], [r.features for r in readings])
    return len(readings)


def _fold(strip: Strip, folds: Mapping[str, int]) -> int:
    """Of a record that no network has learned, one that its name decides."""
    return folds.get(strip.record, zlib.crc32(strip.record.encode()) % (1 + max(folds.values(), default=0)))


def _write(path: Path, rows: Sequence[str], features: Sequence[Floats]) -> None:
    staging = path.with_suffix(".new")
    with staging.open("wb") as file:  # half the precision says as much, in half the space
        seen = np.concatenate([np.zeros((0, features[0].shape[1] if features else 0)), *features])
        np.savez(file, features=seen.astype(np.float16), rows=np.asarray(rows, dtype=np.str_))
    staging.replace(path)


def _merge(out: Path, parts: Sequence[Path]) -> None:
    rows: list[str] = []
    features: list[Floats] = []
    for part in parts:
        with np.load(part) as held:
            if len(held["rows"]):
                rows += held["rows"].tolist()
                features.append(held["features"])
    np.savez(out / "readings.npz", features=np.concatenate(features))
    staging = out / "readings.new"
    staging.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    staging.replace(out / "readings.jsonl")  # last: it says that all is there


def _packed(reading: Reading) -> dict[str, Any]:
    truth = None if reading.truth is None else asdict(reading.truth)
    return {
        "record": reading.record,
        "patient": reading.patient,
        "start": reading.start,
        "fold": reading.fold,
        "seconds": len(reading.features),
        "truth": truth,
        "evidence": asdict(reading.evidence),
    }


def _unpacked(rows: Iterator[dict[str, Any]], features: Floats) -> Iterator[Reading]:
    at = 0
    for row in rows:
        seen = features[at : at + row["seconds"]].astype(np.float32)
        at += row["seconds"]
        yield Reading(
            evidence=evidence_from(row["evidence"]),
            features=seen,
            record=row["record"],
            patient=row["patient"],
            start=row["start"],
            fold=row["fold"],
            truth=None if row["truth"] is None else Truth(**_tuples(row["truth"])),
        )


def evidence_from(row: Mapping[str, Any]) -> Evidence:
    """Of `dataclasses.asdict` and JSON."""
    facts = tuple(Fact(**_tuples(fact)) for fact in row["facts"])
    return Evidence(**{**_tuples({k: v for k, v in row.items() if k != "facts"}), "facts": facts})


def _tuples(value: Any) -> Any:
    """Lists as the tuples they were."""
    if isinstance(value, Mapping):
        return {key: _tuples(inner) for key, inner in value.items()}
    return tuple(_tuples(inner) for inner in value) if isinstance(value, (list, tuple)) else value
