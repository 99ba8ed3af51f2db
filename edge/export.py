"""A stretch of what the recorder kept, as WFDB or EDF files, and what there is to say about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from edge.ledger import Evicted
from edge.recorded import Boot, Recorded
from edge.records import Head
from models.ecg import Gap, SampleBlock, mask_to_spans, spans_to_mask
from models.errors import RecordingError, UsageError
from models.formats import write_edf, write_wfdb
from models.recordings import Recording, make_recording

LONGEST_S = 24 * 3600.0  # the samples are in memory at once
SAY_EVERY_S = 3600.0  # of signal

Say = Callable[[str], None]


class Format(StrEnum):
    """What the files are."""

    WFDB = "wfdb"
    EDF = "edf"


Write = Callable[[Recording, Path], None]
WRITERS: Mapping[Format, tuple[Write, tuple[str, ...]]] = {
    Format.WFDB: (write_wfdb, (".hea", ".dat")),
    Format.EDF: (write_edf, (".edf",)),
}


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as a person writes it."""

    seconds: float  # Unix, or since sample 0 of a boot
    absolute: bool

    @classmethod
    def parse(cls, text: str, option: str) -> Moment:
        """ISO 8601 with a zone, or seconds; UsageError where it is neither."""
        try:
            return cls(_seconds(text), absolute=False)
        except ValueError:
            pass
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"{option} {text!r} is neither a time like 2026-03-01T08:00:00Z nor seconds since the boot."
            ) from None
        if at.tzinfo is None:
            raise UsageError(f"{option} {text} has no zone: end it with Z for UTC, or an offset like +01:00.")
        return cls(at.timestamp(), absolute=True)


@dataclass(slots=True)
class Stretch:
    """What goes into one recording: one boot, the same leads and scale throughout."""

    head: Head
    first: int
    last: int
    blocks: list[SampleBlock] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)

    def recording(self, name: str, start_utc: float | None) -> Recording:
        """A lead that was off and brought nothing but 0 has no samples there."""
        head, count = self.head, self.last + 1 - self.first
        counts = np.zeros((len(head.leads), count), dtype=np.int32)
        missing = np.ones((len(head.leads), count), dtype=np.bool_)
        for block in self.blocks:
            here = slice(block.first - self.first, block.last + 1 - self.first)
            counts[:, here] = block.counts
            for i, lead in enumerate(block.leads):
                missing[i, here] = lead in block.lead_off and not block.counts[i].any()
        return make_recording(
            name, head.fs, head.leads, counts, head.uv_per_count, missing=missing, start_utc=start_utc
        )

    def lead_off(self, lead: str) -> tuple[tuple[int, int], ...]:
        """The (first, count) spans in which it was reported off."""
        spans = [(block.first, block.counts.shape[1]) for block in self.blocks if lead in block.lead_off]
        return mask_to_spans(spans_to_mask(spans, self.first, self.last + 1 - self.first), self.first)


def listed(recorded: Recorded, say: Say) -> dict[str, Any]:
    """Every boot of which the disk holds samples, and what had to leave."""
    boots = []
    for boot in recorded.boots():
        say(f"patch {boot[0]}, boot {boot[1]}")
        held = recorded.held(boot)
        if held is None:
            continue
        boots.append(
            {
                "patch_id": boot[0],
                "boot_id": boot[1],
                "leads": list(held.head.leads),
                "fs": held.head.fs,
                **_span(recorded, boot, held.first, held.last),
                "recorded_s": held.samples / held.head.fs,
                "missing_s": (held.last + 1 - held.first - held.samples) / held.head.fs,
                "files": held.files,
                "bytes": held.size,
                "damaged": held.damaged,
            }
        )
    return {"boots": boots, "evicted": [_gone(one) for one in recorded.evicted()]}


def export(
    recorded: Recorded, begin: Moment, end: Moment, out: Path, boots: list[Boot], fmt: Format, say: Say
) -> dict[str, Any]:
    """Writes what is there from `begin` to before `end`: a recording for each boot and each set of leads.

    Raises:
        UsageError, RecordingError: nothing of it is there, it cannot be written, or `fmt` cannot hold it.
    """
    if begin.absolute != end.absolute or not 0 < end.seconds - begin.seconds <= LONGEST_S:
        raise UsageError(
            "--from is before --to, at most 24 h, and both are times or both are seconds since the boot."
        )
    asked = {boot: _samples(recorded, boot, begin, end) for boot in boots}
    gone = [one for one in recorded.evicted() if _touches(one, asked, begin, end)]
    stretches = [
        stretch
        for boot, span in asked.items()
        for stretch in _stretches(_said(_there(recorded, boot, span), say))
    ]
    if not stretches:
        left = f": {len(gone)} files of it made room for newer ones" if gone else ""
        raise RecordingError(f"Nothing is recorded from --from to --to{left}; see anyecg edge recorded.")
    return {
        "patch_id": boots[0][0],
        "format": str(fmt),
        "spans": _written(recorded, stretches, out, fmt),
        "evicted": [_gone(one) for one in gone],
    }


def chosen(recorded: Recorded, patch_id: str | None, boot_id: int | None, *, absolute: bool) -> list[Boot]:
    """The boots that are meant; UsageError where that is not clear, or there are none."""
    boots = recorded.boots()
    patches = sorted({patch for patch, _ in boots})
    if not patches:
        raise RecordingError(f"{recorded.folder} holds no recording.")
    if patch_id is None and len(patches) > 1:
        raise UsageError(f"Recordings of several patches are here: give --patch {' or '.join(patches)}.")
    if patch_id is not None and patch_id not in patches:
        raise UsageError(f"Nothing is recorded of patch {patch_id}; there is {', '.join(patches)}.")
    mine = [boot for boot in boots if boot[0] == (patch_id or patches[0])]
    numbers = ", ".join(str(boot) for _, boot in mine)
    if boot_id is not None and boot_id not in {boot for _, boot in mine}:
        raise UsageError(f"Nothing is recorded of boot {boot_id} of patch {mine[0][0]}; there is {numbers}.")
    mine = [boot for boot in mine if boot_id in {None, boot[1]}]
    if not absolute and len(mine) > 1:
        raise UsageError(f"Patch {mine[0][0]} began anew ({numbers}): name one by --boot, or give times.")
    return mine


def _seconds(text: str) -> float:
    seconds = float(text)
    if not math.isfinite(seconds) or seconds < 0:
        raise ValueError(text)
    return seconds


def _samples(recorded: Recorded, boot: Boot, begin: Moment, end: Moment) -> tuple[int, int]:
    """(first, last) of what was asked; last is before first where nobody knows when the boot was."""
    if begin.absolute:
        first, after = recorded.sample_at(boot, begin.seconds), recorded.sample_at(boot, end.seconds)
        return (0, -1) if first is None or after is None else (max(0, first), after - 1)
    fs = recorded.head(boot).fs
    return math.ceil(begin.seconds * fs - 1e-6), math.ceil(end.seconds * fs - 1e-6) - 1


def _there(recorded: Recorded, boot: Boot, asked: tuple[int, int]) -> Iterator[SampleBlock | Gap]:
    """What was asked, less what lies before and after all that is held."""
    held = recorded.extent(boot)
    if held is not None:
        yield from recorded.read(boot, max(asked[0], held[0]), min(asked[1], held[1]))


def _said(items: Iterable[SampleBlock | Gap], say: Say) -> Iterator[SampleBlock | Gap]:
    """The items, with a word about every hour of them."""
    due: float | None = None
    for item in items:
        yield item
        if isinstance(item, SampleBlock):
            due = item.first + SAY_EVERY_S * item.fs if due is None else due
            if item.last > due:
                say(f"read up to sample {item.last}, {item.last / item.fs / 3600:.1f} h after the boot")
                due += SAY_EVERY_S * item.fs


def _stretches(items: Iterable[SampleBlock | Gap]) -> Iterator[Stretch]:
    """The items of one boot, apart where leads or scale change; none where there is nothing but gaps."""
    now: Stretch | None = None
    before: list[Gap] = []
    for item in items:
        if isinstance(item, Gap):
            (now.gaps if now else before).append(item)
        else:
            head = Head.of(item)
            if now is None or head != now.head:
                if now is not None:
                    yield now
                now = Stretch(head, (before[0] if before else item).first, item.last, gaps=before)
                before = []
            now.blocks.append(item)
        if now is not None:
            now.last = item.last
    if now is not None:
        yield now


def _written(recorded: Recorded, stretches: list[Stretch], out: Path, fmt: Format) -> list[dict[str, Any]]:
    """One recording each, `out` or `out`-1, `out`-2, ...; nothing that is there already is overwritten."""
    write, suffixes = WRITERS[fmt]
    if not out.parent.is_dir():
        raise UsageError(f"{out.parent} is not a folder.")
    out = out.with_suffix("") if out.suffix in {".hea", ".dat", ".edf"} else out
    names = [out.name] if len(stretches) == 1 else [f"{out.name}-{i + 1}" for i in range(len(stretches))]
    files = [[out.with_name(name + suffix) for suffix in suffixes] for name in names]
    for path in (path for paths in files for path in paths):
        if path.exists():
            raise UsageError(f"{path} is there already: give another name to -o.")
    spans = []
    for stretch, name, paths in zip(stretches, names, files, strict=True):
        boot = stretch.head.patch_id, stretch.head.boot_id
        recording = stretch.recording(name, recorded.clock(boot, stretch.first).utc(stretch.first))
        try:
            write(recording, out.with_name(name) if fmt is Format.WFDB else paths[0])
        except OSError as error:
            raise RecordingError(f"{paths[0]} cannot be written: {error.strerror or error}.") from error
        spans.append({**_described(recorded, boot, stretch), "files": [str(path) for path in paths]})
    return spans


def _described(recorded: Recorded, boot: Boot, stretch: Stretch) -> dict[str, Any]:
    """Times are seconds from the first sample of the file, or UTC."""
    head = stretch.head

    def span(first: int, count: int) -> dict[str, Any]:
        return {
            "first": first,
            "count": count,
            "start_s": (first - stretch.first) / head.fs,
            "s": count / head.fs,
        }

    return {
        "boot_id": head.boot_id,
        "leads": list(head.leads),
        "fs": head.fs,
        **_span(recorded, boot, stretch.first, stretch.last),
        "gaps": [{**span(gap.first, gap.count), "reason": str(gap.reason)} for gap in stretch.gaps],
        "lead_off": [{"lead": lead, **span(*off)} for lead in head.leads for off in stretch.lead_off(lead)],
        "markers": [
            {
                "first": marker.first,
                "start_s": (marker.first - stretch.first) / head.fs,
                "source": marker.source,
            }
            for marker in recorded.markers(boot, stretch.first, stretch.last)
        ],
    }


def _span(recorded: Recorded, boot: Boot, first: int, last: int) -> dict[str, Any]:
    return {
        "first": first,
        "last": last,
        "from_utc": _iso(recorded.clock(boot, first).utc(first)),
        "to_utc": _iso(recorded.clock(boot, last).utc(last)),
    }


def _touches(gone: Evicted, asked: Mapping[Boot, tuple[int, int]], begin: Moment, end: Moment) -> bool:
    """Whether an evicted file held something of what was asked; by time, also of boots that are all gone."""
    if begin.absolute and gone.from_utc is not None and gone.to_utc is not None:
        patches = {patch for patch, _ in asked}
        return gone.patch_id in patches and gone.from_utc < end.seconds and gone.to_utc >= begin.seconds
    if gone.patch_id is None or gone.boot_id is None or gone.first is None or gone.last is None:
        return False
    first, last = asked.get((gone.patch_id, gone.boot_id), (0, -1))
    return gone.first <= last and gone.last >= first


def _gone(evicted: Evicted) -> dict[str, Any]:
    return {
        "patch_id": evicted.patch_id,
        "boot_id": evicted.boot_id,
        "first": evicted.first,
        "last": evicted.last,
        "from_utc": _iso(evicted.from_utc),
        "to_utc": _iso(evicted.to_utc),
        "bytes": evicted.size,
        "why": evicted.why,
        "at": _iso(evicted.at),
    }


def _iso(utc: float | None) -> str | None:
    return None if utc is None else datetime.fromtimestamp(utc, UTC).isoformat(timespec="milliseconds")
