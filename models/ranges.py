"""Stretches of what an edge recorded, as they are sent when they are asked for: every sample, or pairs.

At a resolution above 1 each lead has two values for every `resolution` samples, their minimum and maximum in
the order in which they came, so that a line through all of them breaks no upstroke. What is not there stands
in `gaps`, with the reason; a pair holds what is there of its samples, and 0 where nothing is.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, fields
from typing import Annotated

import numpy as np
from pydantic import Field, FiniteFloat

from models.ecg import Clock, Counts, GapReason, Mask, make_id, read_only
from models.errors import PayloadError
from models.wire import CODEC, MAX_SAMPLES, Carried, Index, checked, compress, decompress, pack, unpack

UNKNOWN = Clock()
LONGEST_S = 61.0  # a minute, and what the grid rounds

GapSpan = tuple[int, int, GapReason]  # first, count, why


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """A minute at most."""

    patch_id: str
    boot_id: int
    first: int  # samples, both included
    last: int
    fs: float  # nominal Hz
    leads: tuple[str, ...]
    resolution: int  # samples per pair; 1 = every sample
    counts: Counts  # int32 (lead, sample), or (lead, 2 * pair)
    uv_per_count: tuple[float, ...]
    gaps: tuple[GapSpan, ...] = ()
    lead_off: tuple[tuple[int, int], ...] = ()  # (first, count) where any lead was reported off
    clock: Clock = UNKNOWN

    @property
    def id(self) -> str:
        named = (self.patch_id, self.boot_id, self.first, self.last, self.resolution, *self.leads)
        return make_id("range", *named)

    @property
    def sha256(self) -> str:
        """Of the values and of the gaps; not of the clock, which is known better later."""
        digest = hashlib.sha256(np.ascontiguousarray(self.counts, dtype="<i4").tobytes())
        digest.update("\n".join(f"{first} {count} {why}" for first, count, why in self.gaps).encode())
        return digest.hexdigest()

    @property
    def held(self) -> int:
        """Samples that are there."""
        return self.last + 1 - self.first - sum(count for _, count, _ in self.gaps)


class RangeEnvelope(Carried):
    """A pulled stretch as it crosses the wire, checked by type and bound."""

    v: Annotated[int, Field(ge=1, le=1)]
    codec: str
    first: Index
    last: Index
    fs: Annotated[float, Field(gt=0, le=10_000)]
    leads: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    resolution: Annotated[int, Field(ge=1, le=100_000)]
    samples: bytes
    uv_per_count: tuple[FiniteFloat, ...]
    gaps: Annotated[tuple[GapSpan, ...], Field(max_length=100_000)] = ()
    lead_off: tuple[tuple[int, int], ...] = ()
    clock: Clock = Clock()


_FIELDS = [f.name for f in fields(Pulled) if f.name != "counts"]


def width(first: int, last: int, resolution: int) -> int:
    """Values per lead."""
    count = last + 1 - first
    return count if resolution == 1 else 2 * math.ceil(count / resolution)


def reduced(counts: Counts, missing: Mask, resolution: int) -> Counts:
    """(lead, 2 * pair): the least and the greatest of every `resolution` samples that are not missing, in the
    order in which they came; 0 where all are. Resolution 1 leaves the samples as they are."""
    if resolution == 1:
        return counts
    pairs = math.ceil(counts.shape[1] / resolution)
    room = ((0, 0), (0, pairs * resolution - counts.shape[1]))
    gone = np.pad(missing[None], room, constant_values=True).reshape(1, pairs, resolution)
    there = np.pad(counts, room).astype(np.int64).reshape(len(counts), pairs, resolution)
    low, high = np.where(gone, 2**40, there), np.where(gone, -(2**40), there)
    order = low.argmin(axis=2) <= high.argmax(axis=2)
    least, most = low.min(axis=2), high.max(axis=2)
    both = np.stack([np.where(order, least, most), np.where(order, most, least)], axis=2)
    both[:, gone[0].all(axis=1)] = 0
    return read_only(both.reshape(len(counts), 2 * pairs).astype(np.int32))


def encode_range(pulled: Pulled, seq: int, site: str) -> bytes:
    named = {name: getattr(pulled, name) for name in _FIELDS}
    clock = {f.name: getattr(pulled.clock, f.name) for f in fields(Clock)}
    gaps = [(first, count, str(why)) for first, count, why in pulled.gaps]
    head = {"v": 1, "seq": seq, "site": site, "codec": CODEC, "id": pulled.id, "sha256": pulled.sha256}
    return pack({**head, **named, "clock": clock, "gaps": gaps, "samples": compress(pulled.counts)})


def decode_range(payload: bytes) -> tuple[Pulled, RangeEnvelope]:
    """The stretch and its envelope, verified: bounds, hash and id.

    Raises:
        PayloadError: `size`, `cbor`, `schema`, `codec`, `samples`, `hash` or `id`.
    """
    envelope = checked(RangeEnvelope, unpack(payload), "The envelope of a pulled stretch")
    if envelope.codec != CODEC:
        raise PayloadError("codec", f"Codec {envelope.codec!r} is unknown; {CODEC} is read.")
    first, last, resolution = envelope.first, envelope.last, envelope.resolution
    covered = (last + 1 - first) / envelope.fs
    if not 0 < covered <= LONGEST_S or len(envelope.uv_per_count) != len(envelope.leads):
        raise PayloadError("schema", f"Range {envelope.id}: its stretch or its leads do not hang together.")
    if not _within(envelope.gaps, first, last):
        raise PayloadError("schema", f"Range {envelope.id}: its gaps overlap, or lie outside of it.")
    values = width(first, last, resolution)
    if values * len(envelope.leads) > MAX_SAMPLES:
        raise PayloadError("size", f"Range {envelope.id} has more than {MAX_SAMPLES} values.")
    counts = decompress(envelope.samples, len(envelope.leads), values)
    pulled = Pulled(counts=read_only(counts), **{name: getattr(envelope, name) for name in _FIELDS})
    if pulled.sha256 != envelope.sha256:
        raise PayloadError("hash", f"Range {envelope.id}: the values do not match their sha256.")
    if pulled.id != envelope.id:
        raise PayloadError("id", f"Range {envelope.id}: the id is not that of its patch, boot and stretch.")
    return pulled, envelope


def _within(gaps: tuple[GapSpan, ...], first: int, last: int) -> bool:
    """In order, apart, and inside."""
    at = first
    for begin, count, _ in gaps:
        if begin < at or count < 1:
            return False
        at = begin + count
    return at <= last + 1
