"""Annotated recordings to be judged on: any folder of WFDB records, or a database of `models.dataset`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.dataset import annotated, atrial
from models.dataset.annotated import BEAT_SYMBOLS, Annotated, Rhythm
from models.errors import RecordingError
from models.evaluation.rhythms import FLUTTER
from models.evaluation.served import cut
from models.evaluation.spans import Span, outside
from models.recordings import Recording, make_recording, open_recording

START_S = 2.0  # a first change this early is the rhythm the record begins with
DATABASES: Mapping[str, Callable[[Path], Iterable[Annotated]]] = {
    "mitdb": annotated.mitdb,
    "svdb": annotated.svdb,
    "qtdb": annotated.qtdb,
    "cpsc2021": annotated.cpsc2021,
    "afpdb": atrial.afpdb,
    "aftdb": atrial.aftdb,
    "cudb-vf": annotated.cudb_vf,
    "vfdb": annotated.vfdb,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A recording, and what experts said of it."""

    truth: Annotated
    recording: Recording


def wfdb_folder(
    folder: Path, wanted: Iterable[str] | None = None, annotator: str = "atr"
) -> Iterator[Annotated]:
    """The folder's annotated records, or the wanted ones; see `record_names` and `read_case`."""
    for name in record_names(folder, wanted, annotator):
        yield read_case(folder, name, annotator).truth


def record_names(folder: Path, wanted: Iterable[str] | None = None, annotator: str = "atr") -> list[str]:
    """Those of the folder's RECORDS (without it: of its headers) that are annotated.

    RecordingError where the folder is not there, nothing in it is annotated, or a wanted one is not among
    them.
    """
    if not folder.is_dir():
        raise RecordingError(f"{folder} does not exist: give the folder of WFDB records with .{annotator}.")
    listed = folder / "RECORDS"
    headers = sorted(path.stem for path in folder.glob("*.hea"))
    names = listed.read_text(encoding="utf-8").split() if listed.is_file() else headers
    known = [n for n in names if all((folder / f"{n}.{suffix}").is_file() for suffix in ("hea", annotator))]
    if not known:
        raise RecordingError(f"{folder} holds no WFDB record with annotations (.hea and .{annotator}).")
    chosen = known if wanted is None else list(wanted)
    for name in chosen:
        if name not in known:
            raise RecordingError(f"{folder} has no annotated record {name}; it has {_some(known)}.")
    return chosen


def read_case(folder: Path, name: str, annotator: str = "atr") -> Case:
    """The record as it is served, and its annotations; RecordingError where either cannot be read."""
    recording = open_recording(folder / name)
    at, symbols, notes = _marks(folder / name, annotator, recording.fs)
    is_beat = np.isin(symbols, list(BEAT_SYMBOLS))
    rhythms = _rhythms(at, symbols, notes, recording.counts.shape[1], recording.fs)
    labelled = {what for what, known in {"beats": is_beat.any(), "rhythm": rhythms}.items() if known}
    truth = Annotated(
        record=name,
        patient=name,
        source=folder.name,
        fs=recording.fs,
        leads=recording.leads,
        microvolts=recording.counts * np.asarray(recording.uv_per_count, dtype=np.float32)[:, None],
        beats=at[is_beat],
        symbols=symbols[is_beat],
        rhythms=rhythms,
        labelled=frozenset(labelled),
    )
    return Case(truth=truth, recording=recording)


def _marks(path: Path, annotator: str, fs: float) -> tuple[Any, Any, list[str]]:
    """(sample at `fs`, symbol, note) of every annotation."""
    import wfdb

    try:
        marks = wfdb.rdann(str(path), annotator)
    except (OSError, ValueError, IndexError, KeyError) as error:
        raise RecordingError(f"{path}.{annotator} cannot be read: {error}.") from error
    at = np.rint(np.asarray(marks.sample) * (fs / (marks.fs or fs))).astype(np.int64)
    return at, np.asarray(marks.symbol, dtype=np.str_), marks.aux_note


def database_cases(data: Path, name: str, wanted: Iterable[str] | None = None) -> Iterator[Case]:
    """Records of one of `DATABASES` under the folder of all of them, as counts of 1 microvolt."""
    if name not in DATABASES:
        raise RecordingError(f"{name} is not a database read here; known are {', '.join(DATABASES)}.")
    missing = set(wanted or ())
    for truth in DATABASES[name](data):
        short = truth.record.split("/")[-1]
        if wanted is None or short in missing:
            missing.discard(short)
            yield Case(truth=truth, recording=recording_of(truth))
            if wanted is not None and not missing:
                return
    if missing:
        raise RecordingError(f"{name} in {data} has no record {', '.join(sorted(missing))}.")


def recording_of(truth: Annotated) -> Recording:
    """The record as a patch would send it, in counts of 1 microvolt."""
    counts = np.rint(truth.microvolts).astype(np.int32)
    return make_recording(
        truth.record.split("/")[-1], truth.fs, truth.leads, counts, [1.0] * len(truth.leads)
    )


def with_leads(recording: Recording, leads: str | None) -> Recording:
    """Only the leads named, or numbered from 0, in a list with commas; RecordingError where one lacks."""
    if leads is None:
        return recording
    chosen = []
    for lead in (text.strip() for text in leads.split(",")):
        known = lead in recording.leads
        if not known and not (lead.isdecimal() and int(lead) < len(recording.leads)):
            raise RecordingError(
                f"Record {recording.patch_id} has no lead {lead}; it has {', '.join(recording.leads)}, "
                f"numbered from 0."
            )
        chosen.append(recording.leads.index(lead) if known else int(lead))
    return cut(recording, 0, recording.counts.shape[1] - 1, chosen)


def _rhythms(at: Any, symbols: Any, notes: list[str], length: int, fs: float) -> tuple[Rhythm, ...]:
    """Each rhythm lasts until the next change or the end of the record; before the first one it is N.

    What lies between `[` and `]` is ventricular flutter or fibrillation, whatever the changes say.
    """
    changes = [
        (int(sample), note.strip("\x00 ")[1:])
        for sample, symbol, note in zip(at, symbols, notes, strict=True)
        if symbol == "+" and note.startswith("(")
    ]
    if changes:
        begins = changes[0][0] <= START_S * fs
        changes = [(0, changes[0][1]), *changes[1:]] if begins else [(0, "N"), *changes]
    flutter = _bracketed(at, symbols, length)
    ends = [*(sample for sample, _ in changes), length][1:]
    spans = [Rhythm(first=first, last=last, name="VFL") for first, last in flutter]
    for (first, name), end in zip(changes, ends, strict=True):
        if end > first and not (flutter and name in FLUTTER):
            spans += [Rhythm(first=a, last=b, name=name) for a, b in outside(flutter, first, end - 1)]
    return tuple(sorted(spans, key=lambda span: span.first))


def _bracketed(at: Any, symbols: Any, length: int) -> list[Span]:
    out, begin = [], None
    for sample, symbol in zip(at.tolist(), symbols, strict=True):
        if symbol == "[":
            begin = sample
        elif symbol == "]" and begin is not None:
            out.append((begin, sample))
            begin = None
    return [*out, (begin, length - 1)] if begin is not None else out


def _some(names: list[str]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
