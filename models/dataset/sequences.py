"""Beats and rhythms without a waveform: VitalDB, AFDB and one record of LTAFDB.

Eun D-I et al., VitalDB Arrhythmia Database, 2025; Moody GB, Mark RG, Computers in Cardiology
10:227-230, 1983; Petrutiu S et al., Europace 9:466-470, 2007.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import BEAT_SYMBOLS, unpacked
from models.dataset.files import folder_of, names_in

_VITALDB_UNKNOWN = frozenset({"Noise", "Unclassifiable"})
_VITALDB_SYMBOLS = {"N": "N", "S": "S", "V": "V"}
_BY_ORIGIN = {"AFIB/AFL": "N", "SND": "?"}  # rhythms in which VitalDB's S is an origin, not an early beat
_LINE = re.compile(r"^\[[^\]]*\]\s+(\d+)\s+(\S+)\s+\d+\s+\d+\s+\d+\s*(\S*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class BeatSequence:
    """The beats of a recording in order of time, and the rhythm at each.

    Rhythms are the database's own short names without a bracket ("AFIB", "AFL", "N", "SBR",
    "AFIB/AFL", "SR-mPVC-BT"); "" where unknown. An interval is an RR interval only where both of its
    beats are readable.
    """

    record: str  # "afdb-ann/04015"
    patient: str  # one name per person, in every database
    source: str  # "vitaldb" | "afdb-ann" | "ltafdb-ann"
    beats_s: npt.NDArray[np.float64]  # (beat,) seconds
    symbols: npt.NDArray[np.str_]  # (beat,) WFDB symbol; "?" where the class is not annotated
    rhythms: npt.NDArray[np.str_]  # (beat,)
    readable: npt.NDArray[np.bool_]  # (beat,)


def vitaldb(data: Path) -> Iterator[BeatSequence]:
    """Anaesthetised surgical patients, about 20 min each.

    Marks that begin or end noise are no beats, and 55 beats that stand in the files twice count once.
    S in AFIB/AFL (conducted, RR ratio 1.0) is N here as in MIT-BIH, and "?" in sinus node disease
    (SND), where it means escapes: their RR ratio to the beats before is 0.98-1.02. U is "?".
    """
    for path in sorted((folder_of(data, "vitaldb-arrdb") / "Annotation_Files_250907").glob("*.csv.gz")):
        with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as lines:
            beats = {float(row["time_second"]): row for row in csv.DictReader(lines) if _is_vitaldb_beat(row)}
        name = path.name.removesuffix(".csv.gz").removeprefix("Annotation_file_")
        labels = [row["rhythm_label"] for row in beats.values()]
        noisy = [row["bad_signal_quality"].upper() == "TRUE" for row in beats.values()]
        yield BeatSequence(
            record=f"vitaldb/{name}",
            patient=f"vitaldb/{name}",
            source="vitaldb",
            beats_s=np.asarray(list(beats)),
            symbols=np.asarray(
                [_vitaldb_symbol(row["beat_type"], row["rhythm_label"]) for row in beats.values()]
            ),
            rhythms=np.asarray(["" if label in _VITALDB_UNKNOWN else label for label in labels]),
            readable=~np.asarray(noisy) & (np.asarray(labels) != "Noise"),
        )


def afdb_ann(data: Path) -> Iterator[BeatSequence]:
    """MIT-BIH AF, 10 h: AFIB, AFL, J (junctional) and N (all else); unaudited beats but in 05091."""
    import wfdb

    folder = unpacked(data, "afdb-ann")
    for name in names_in(folder):
        audited = (folder / f"{name}.qrsc").is_file()
        beats = np.asarray(wfdb.rdann(str(folder / name), "qrsc" if audited else "qrs").sample)
        marks = wfdb.rdann(str(folder / name), "atr")
        changes = [
            (int(sample), note.strip("\x00 ")[1:])
            for sample, note in zip(marks.sample, marks.aux_note, strict=True)
        ]
        yield _sequence("afdb-ann", f"afdb/{name}", beats, np.full(len(beats), "?"), changes, fs=250.0)


def ltafdb_ann(data: Path) -> Iterator[BeatSequence]:
    """Long-Term AF record 13, 24 h, mostly sinus bradycardia: beats N, A and V, every rhythm change."""
    folder = unpacked(data, "ltafdb-ann")
    for name in names_in(folder):
        found = [_LINE.match(line) for line in (folder / f"{name}.txt").read_text().splitlines()]
        marks = [(int(m[1]), m[2], m[3]) for m in found if m]
        beats = [(sample, symbol) for sample, symbol, _ in marks if symbol in BEAT_SYMBOLS]
        changes = [(sample, note.removeprefix("(")) for sample, symbol, note in marks if symbol == "+"]
        samples, symbols = zip(*beats, strict=True)
        yield _sequence(
            "ltafdb-ann", f"ltafdb/{name}", np.asarray(samples), np.asarray(symbols), changes, fs=128.0
        )


def _sequence(
    source: str,
    patient: str,
    samples: npt.NDArray[np.int64],
    symbols: npt.NDArray[np.str_],
    changes: list[tuple[int, str]],
    fs: float,
) -> BeatSequence:
    """Each rhythm holds from its change to the next; before the first it is unknown."""
    names = np.asarray(["", *(name for _, name in changes)])
    at = np.searchsorted([sample for sample, _ in changes], samples, side="right")
    return BeatSequence(
        record=f"{source}/{patient.split('/')[1]}",
        patient=patient,
        source=source,
        beats_s=samples / fs,
        symbols=symbols,
        rhythms=names[at],
        readable=np.ones(len(samples), dtype=bool),
    )


def _is_vitaldb_beat(row: dict[str, str]) -> bool:
    return not row.get("bad_signal_quality_label") and row["beat_type"] not in {"Start", "End"}


def _vitaldb_symbol(kind: str, rhythm: str) -> str:
    symbol = _VITALDB_SYMBOLS.get(kind, "?")
    return _BY_ORIGIN.get(rhythm, "S") if symbol == "S" else symbol
