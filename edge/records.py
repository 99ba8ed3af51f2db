"""What the recorder writes: files of one hour, made of records of about one second, each with a CRC-32.

    record = "aECG" | crc-32 | length | kind, first, count, lead-off bits, clock | payload

Little-endian; `length` counts what follows it, the CRC covers everything after itself. A head (whose stream
this is) begins a file and is repeated now and then. Samples are in the wire's codec. Pure functions.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import asdict, dataclass
from enum import IntEnum
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from models.ecg import Clock, SampleBlock, make_id
from models.errors import PayloadError
from models.wire import pack, unpack

VERSION = 1
HOUR_S = 3600
SUFFIX = ".ecg"
UNKNOWN = Clock()

_MAGIC = b"aECG"
_FRAME = struct.Struct("<4sII")
_FIELDS = struct.Struct("<BQQHdddB")
_UNSIGNED = len(_MAGIC) + 4  # bytes before what the CRC covers
_QUALITIES = ("none", "recording", "arrival")


class Kind(IntEnum):
    """What a record holds, and what its payload is."""

    HEAD = 0  # `Head`, as CBOR
    SAMPLES = 1  # the wire's codec
    GAP = 2  # its reason
    MARKER = 3  # its source


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Whose stream a file holds, and how to read its samples."""

    patch_id: str
    boot_id: int
    fs: float  # Hz, nominal
    leads: tuple[str, ...]
    uv_per_count: tuple[float, ...]  # microvolts, one per lead

    @classmethod
    def of(cls, block: SampleBlock) -> Head:
        return cls(
            patch_id=block.patch_id,
            boot_id=block.boot_id,
            fs=block.fs,
            leads=block.leads,
            uv_per_count=block.uv_per_count,
        )

    @property
    def hour_samples(self) -> int:
        return round(HOUR_S * self.fs)


_HEAD: TypeAdapter[Head] = TypeAdapter(Head)


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One stretch of samples, a gap or a marker; a head, where its payload says more."""

    kind: Kind
    first: int = 0
    count: int = 0  # samples
    lead_off: int = 0  # bit i: lead i was reported off
    clock: Clock = UNKNOWN  # as it was known when the record was written
    payload: bytes = b""

    @property
    def last(self) -> int:
        return self.first + self.count - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A file as it was found."""

    head: Head | None = None
    records: tuple[Record, ...] = ()  # the whole ones, in the order in which they were written
    damaged: tuple[tuple[int | None, int | None], ...] = ()  # between these samples, None = the file's edge
    end: int = 0  # bytes up to the end of the last whole record

    @property
    def samples(self) -> list[Record]:
        return [record for record in self.records if record.kind is Kind.SAMPLES]

    def utc(self, sample: int) -> float | None:
        """Unix seconds of a sample by the last clock, which knows best."""
        utcs = (record.clock.utc(sample) for record in reversed(self.records))
        return next((utc for utc in utcs if utc is not None), None)


@dataclass(frozen=True, slots=True, order=True)
class Page:
    """A file by its name: its age, its hour of sample index, and the boot it belongs to."""

    number: int  # grows with every file that is begun
    hour: int
    boot: str

    @property
    def name(self) -> str:
        return f"{self.number:08d}.{self.hour:06d}.{self.boot}{SUFFIX}"


def boot_key(patch_id: str, boot_id: int) -> str:
    """A boot as a part of a file name, whatever its patch calls itself."""
    return make_id(patch_id, boot_id)


def pages(folder: Path) -> list[Page]:
    """The recorder's files, oldest first; none where there is no such folder."""
    parts = [path.name.split(".") for path in folder.glob(f"*.*.*{SUFFIX}")]
    return sorted(Page(int(p[0]), int(p[1]), p[2]) for p in parts if p[0].isdigit() and p[1].isdigit())


def encode(record: Record) -> bytes:
    clock = record.clock
    known = [math.nan if value is None else value for value in (clock.utc_0, clock.fs, clock.error_s)]
    quality = _QUALITIES.index(clock.quality)
    body = _FIELDS.pack(record.kind, record.first, record.count, record.lead_off, *known, quality)
    signed = struct.pack("<I", len(body) + len(record.payload)) + body + record.payload
    return _MAGIC + struct.pack("<I", zlib.crc32(signed)) + signed


def encode_head(head: Head) -> bytes:
    return encode(Record(kind=Kind.HEAD, payload=pack({"v": VERSION, **asdict(head)})))


def scan(data: bytes) -> Scan:
    """Every whole record of a file, past whatever is damaged.

    Raises:
        PayloadError: `version`, of a file that a later anyECG wrote.
    """
    head: Head | None = None
    records: list[Record] = []
    damaged: list[tuple[int | None, int | None]] = []
    at = end = 0
    lost = False  # bytes that are no record, since the last one with samples
    while 0 <= at < len(data):
        found = _record_at(data, at)
        if found is None:  # a length can be wrong too: go on from the next thing that looks like a record
            at = data.find(_MAGIC, at + 1)
            continue
        record, after = found
        lost |= at > end
        at = end = after
        if record.kind is Kind.HEAD:
            head = head or _read_head(record.payload)
            continue
        if lost:
            damaged.append((records[-1].last if records else None, record.first))
            lost = False
        records.append(record)
    if lost or end < len(data):
        damaged.append((records[-1].last if records else None, None))
    return Scan(head=head, records=tuple(records), damaged=tuple(damaged), end=end)


def _record_at(data: bytes, at: int) -> tuple[Record, int] | None:
    """The record that begins here and the byte after it; None where none does."""
    if not data.startswith(_MAGIC, at) or len(data) - at < _FRAME.size + _FIELDS.size:
        return None
    _, crc, length = _FRAME.unpack_from(data, at)
    end = at + _FRAME.size + length
    if length < _FIELDS.size or end > len(data) or zlib.crc32(data[at + _UNSIGNED : end]) != crc:
        return None
    kind, first, count, lead_off, *known, quality = _FIELDS.unpack_from(data, at + _FRAME.size)
    if kind >= len(Kind) or quality >= len(_QUALITIES):
        return None
    utc_0, fs, error_s = (None if math.isnan(value) else value for value in known)
    record = Record(
        kind=Kind(kind),
        first=first,
        count=count,
        lead_off=lead_off,
        clock=Clock(utc_0=utc_0, fs=fs, error_s=error_s, quality=_QUALITIES[quality]),
        payload=data[at + _FRAME.size + _FIELDS.size : end],
    )
    return record, end


def _read_head(payload: bytes) -> Head:
    fields = unpack(payload)
    if fields.pop("v", None) != VERSION:
        raise PayloadError("version", "It was written by a later anyECG: read it with that one.")
    try:
        return _HEAD.validate_python(fields)
    except ValidationError as error:
        raise PayloadError("schema", f"Its head cannot be read: {error.errors()[0]['msg']}.") from error
