"""What the recorder had to give up, so that it can be told later: a line of JSON for each file."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

LEDGER = "evicted.jsonl"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evicted:
    """A file of the recorder that made room for newer ones."""

    boot: str  # as file names have it
    patch_id: str | None  # None where its head could not be read
    boot_id: int | None
    first: int | None  # samples; None where it held none
    last: int | None
    from_utc: float | None  # Unix seconds of `first` and `last`, as they were known; None = unknown
    to_utc: float | None
    size: int  # bytes
    why: str
    at: float  # Unix seconds


_LINE: TypeAdapter[Evicted] = TypeAdapter(Evicted)


def note(folder: Path, evicted: Evicted) -> None:
    """On disk when this returns; OSError where there is no room for it."""
    with (folder / LEDGER).open("ab") as file:
        file.write(b"\n" + _LINE.dump_json(evicted))  # the newline first: a torn line spoils no other
        file.flush()
        os.fsync(file.fileno())


def evicted_of(folder: Path) -> list[Evicted]:
    """Everything that was noted and can be read, oldest first."""
    path = folder / LEDGER
    if not path.is_file():
        return []
    out = {}
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValidationError):  # empty, or torn by a full disk
            told = _LINE.validate_json(line)
            out[told.boot, told.first, told.last] = told  # a kill between note and deletion notes it twice
    return list(out.values())
