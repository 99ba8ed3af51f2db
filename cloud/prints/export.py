"""Stretches as WFDB or EDF+ with the findings as annotations, for whoever reads ECGs with other programs.

WFDB: a record a tracing; beats by their symbol at the R peak, rhythms as changes of rhythm, and of everything
that lasts a note with how sure it is. What people marked is labelled data: asked for, it is the record's
`.atr`, the model's findings are its `.model`, and a JSON beside them has every word that was written.
EDF+ has no word for a missing sample, so that a tracing with gaps becomes several files. Nothing is
resampled, filtered or filled in.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, get_args

import numpy as np

from cloud.console.views import REVIEW, WORDING
from cloud.prints.marks import sure
from cloud.prints.tracing import Tracing
from models.ecg import mask_to_spans
from models.formats import write_annotations, write_edf, write_wfdb
from models.recordings import Recording, make_recording
from models.verdicts import LABELS, Finding, Kind

Format = Literal["wfdb", "edf"]
FORMATS: tuple[Format, ...] = get_args(Format)
UNKNOWN = "(U"  # no rhythm was found, which is not sinus rhythm
SAID = (
    f"{REVIEW}. {WORDING}",
    "Beats: only what was found is annotated, not normal beats. Note of a beat: its probability, or by rule.",
    f"Rhythms: {UNKNOWN} where none was found, which is not sinus rhythm. '\"' and '~' note what lasts.",
)
BY_PEOPLE = (
    "Labels by people (.atr); findings of the model, AI-generated, in .model. A beat that the model had not "
    "found is marked in the middle of its span. A label that was taken back is a note: wrong.",
    f"Of what nobody marked .atr says nothing; {UNKNOWN} is not sinus rhythm. {WORDING}",
)
ZIPPED_AT = (1980, 1, 1, 0, 0, 0)  # the same bytes every time

Row = tuple[int, str, str]  # sample of the record, WFDB symbol, note


def export(tracings: Iterable[Tracing], form: Format, folder: Path, *, by_people: bool = False) -> list[Path]:
    """The files written into a folder, which is made where it lacks; `by_people`: with what people marked.

    Raises:
        RecordingError: a format cannot hold what was recorded, or its library is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write = _wfdb if form == "wfdb" else _edf
    written = [path for tracing in tracings for path in write(tracing, folder, by_people)]
    if form == "wfdb":
        records = folder / "RECORDS"
        names = [path.stem for path in written if path.suffix == ".hea"]
        records.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        written.append(records)
    return written


def zipped(tracings: Iterable[Tracing], form: Format, *, by_people: bool = False) -> bytes:
    """The same files in one archive."""
    made = io.BytesIO()
    with TemporaryDirectory(prefix="anyecg-") as folder, zipfile.ZipFile(made, "w") as archive:
        for path in sorted(export(tracings, form, Path(folder), by_people=by_people)):
            info = zipfile.ZipInfo(path.name, ZIPPED_AT)
            archive.writestr(info, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


def named(tracing: Tracing) -> str:
    """A file name of letters that WFDB allows, another for every patch, boot and first sample."""
    patch = re.sub(r"[^A-Za-z0-9-]", "_", tracing.patch_id)
    return f"{patch}-{tracing.boot_id:08x}-{tracing.first}"


def _recording(tracing: Tracing) -> Recording:
    """As the project's own writers take it; a name that no header can hold is put into ASCII."""
    count = len(tracing.leads)
    return make_recording(
        named(tracing),
        tracing.fs,
        [re.sub(r"[^\x21-\x7e]+", "_", lead) for lead in tracing.leads],
        tracing.counts,
        tracing.uv_per_count,
        missing=np.tile(tracing.missing, (count, 1)),
        start_utc=tracing.clock.utc(tracing.first),
    )


# -- WFDB ---------------------------------------------------------------------------------------------------


def _wfdb(tracing: Tracing, folder: Path, by_people: bool) -> Iterator[Path]:
    path = folder / named(tracing)
    about = f"Patch {tracing.patch_id}, boot {tracing.boot_id}: sample 0 is the patch's own {tracing.first}."
    write_wfdb(_recording(tracing), path, (about, *(BY_PEOPLE if by_people else SAID)))
    suffixes = ["hea", "dat", "atr"]
    if by_people:
        write_annotations(path, tracing.fs, people_rows(tracing))
        write_annotations(path, tracing.fs, wfdb_rows(tracing), "model")
        said = json.dumps([asdict(one) for one in tracing.people], indent=1)  # ASCII, whatever was written
        path.with_name(f"{path.name}.json").write_text(said + "\n", encoding="ascii")
        suffixes += ["model", "json"]
    else:
        write_annotations(path, tracing.fs, wfdb_rows(tracing))
    for suffix in suffixes:
        yield path.with_name(f"{path.name}.{suffix}")


def people_rows(tracing: Tracing) -> list[Row]:
    """What people marked, as the findings are written; what they said is wrong is a note."""
    own = tuple(found for one in tracing.people if (found := one.finding()) is not None)
    rows = wfdb_rows(replace(tracing, findings=own, lead_off=()))
    rows += [
        (
            max(one.mark.first, tracing.first) - tracing.first,
            '"',
            f"{one.replaced.get('label')} wrong by {one.who}",
        )
        for one in tracing.people
        if one.mark.label is None
    ]
    return sorted(rows, key=lambda row: row[0])


def wfdb_rows(tracing: Tracing) -> list[Row]:
    """In order of samples; what lies across an edge begins or ends there, a beat has its R peak within."""
    rows = [*_rhythms(tracing), *_notes(tracing)]
    for finding in _of(tracing, Kind.BEAT):
        r = int(finding.evidence.get("r_peak", finding.first))
        if tracing.first <= r <= tracing.last:
            rows.append((r - tracing.first, LABELS[finding.label].wfdb, _probability(finding)))
    rows += [
        (max(first, tracing.first) - tracing.first, "~", f"lead off {count / tracing.fs:.2f} s")
        for first, count in tracing.lead_off
    ]
    return sorted(rows, key=lambda row: row[0])


def _rhythms(tracing: Tracing) -> Iterator[Row]:
    """Changes of rhythm; of two at once the one that began last, as a reader knows only one."""
    spans = [(f.first, f.last, LABELS[f.label].wfdb) for f in _of(tracing, Kind.RHYTHM)]
    edges = {tracing.first, *(first for first, _, _ in spans), *(last + 1 for _, last, _ in spans)}
    before = None
    for at in sorted(edge for edge in edges if tracing.first <= edge <= tracing.last):
        going = [span for span in spans if span[0] <= at <= span[1]]
        name = max(going)[2] if going else UNKNOWN
        if name != before:
            yield at - tracing.first, "+", name
        before = name


def _notes(tracing: Tracing) -> Iterator[Row]:
    for finding in tracing.findings:
        kind = LABELS[finding.label].kind
        if kind is not Kind.BEAT:
            lasts = f"{finding.label} {(finding.last + 1 - finding.first) / tracing.fs:.2f} s"
            symbol = "~" if kind is Kind.TECHNICAL else '"'
            yield (
                max(finding.first, tracing.first) - tracing.first,
                symbol,
                f"{lasts} {_probability(finding)}",
            )


def _of(tracing: Tracing, kind: Kind) -> list[Finding]:
    return [finding for finding in tracing.findings if LABELS[finding.label].kind is kind]


def _probability(finding: Finding) -> str:
    if by := finding.evidence.get("by"):  # a person
        return f"by {by}"
    if finding.probability is None:
        return sure(finding)
    threshold = finding.evidence.get("threshold")
    return f"p={sure(finding)}" + (f" threshold={threshold:.2f}" if threshold is not None else "")


# -- EDF+ ---------------------------------------------------------------------------------------------------


def _edf(tracing: Tracing, folder: Path, by_people: bool) -> Iterator[Path]:
    """A file for every stretch without a gap."""
    if by_people:
        own = (found for one in tracing.people if (found := one.finding()) is not None)
        tracing = replace(tracing, findings=(*tracing.findings, *own))
    for first, count in mask_to_spans(~tracing.missing, tracing.first):
        piece = tracing.cut(first, first + count - 1)
        path = folder / f"{named(piece)}.edf"
        write_edf(_recording(piece), path, _spans(piece))
        yield path


def _spans(piece: Tracing) -> Sequence[tuple[float, float, str]]:
    rows = [
        (f.first, f.last + 1, f"{f.label} {LABELS[f.label].plain} {_probability(f)}") for f in piece.findings
    ]
    rows += [(first, first + count, "lead off") for first, count in piece.lead_off]
    cut = ((max(a, piece.first), min(b, piece.last + 1), text) for a, b, text in rows)
    inside = [(a - piece.first, b - a, text) for a, b, text in cut if a < b]
    said = [(0.0, 0.0, SAID[0])]
    return said + [(at / piece.fs, count / piece.fs, text) for at, count, text in sorted(inside)]
