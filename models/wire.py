"""What crosses MQTT: topics, CBOR maps, and the envelopes v1 of a segment and of a row of the trend.

A segment's envelope holds `Segment`'s fields by name plus `v`, `seq`, `site`, `codec` and `sha256` (of the
decoded samples); the samples are delta + zigzag + byte planes + zstd, about 30 % of int16. A row's holds
`TrendRow`'s fields plus `v`, `seq`, `site` and `sha256` (of all but its clock). Unknown keys are ignored, an
unknown version is refused. Nothing here trusts its input: sizes are bounded before anything is decompressed,
and every refusal is a `PayloadError` with a reason for the acknowledgement.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

import cbor2
import numpy as np
import zstandard
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from models.ecg import Clock, Counts, Segment, read_only, row_id, segment_id, sha256_of
from models.errors import PayloadError
from models.verdicts import Screening, TrendRow

VERSION = 1
CODEC = "delta-zigzag-planes-zstd"
MAX_PAYLOAD = 4_000_000  # bytes; a 40 s part of 12 leads at 1 kHz is below 1.5 MB
MAX_SAMPLES = 4_000_000  # over all leads
MAX_ROW = 4096  # bytes; a row is below 500
LAST_UTC = 2.0**33  # Unix seconds, the year 2242: beyond, a clock is none

Kind = Literal["seg", "trend", "range", "ack", "hb", "state", "dlq", "cmd", "answer"]
Root = Literal["ecg", "replay"]
REPLAY: Root = "replay"
RUN = re.compile(r"[A-Za-z0-9_-]{1,64}")  # name of a replay's run
_Model = TypeVar("_Model", bound=BaseModel)


def topic(site: str, dev: str, kind: Kind, root: Root = "ecg") -> str:
    """`ecg/v1/{site}/{dev}/{kind}`; `+` for site or dev makes a subscription; a replay's site is its run."""
    return f"{root}/v1/{site}/{dev}/{kind}"


def pack(message: Mapping[str, Any]) -> bytes:
    return cbor2.dumps(message)


def unpack(payload: bytes, most: int = MAX_PAYLOAD) -> dict[str, Any]:
    """The CBOR map in `payload`, of at most so many bytes.

    Raises:
        PayloadError: `size` or `cbor`.
    """
    if len(payload) > most:
        raise PayloadError("size", f"The message has {len(payload)} bytes; at most {most} are read.")
    try:
        message = cbor2.loads(payload)
    except Exception as error:  # tag decoders raise whatever they like on hostile bytes
        raise PayloadError("cbor", f"The message is not CBOR: {error}.") from error
    if not isinstance(message, dict) or not all(isinstance(key, str) for key in message):
        raise PayloadError("cbor", "The message is not a CBOR map with text keys.")
    return message


def checked(model: type[_Model], message: Mapping[str, Any], what: str) -> _Model:
    """The message as a `model`; `what` names it in the refusal.

    Raises:
        PayloadError: `schema`.
    """
    try:
        return model.model_validate(message)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise PayloadError("schema", f"{what}: {where}: {first['msg']}.") from error


Index = Annotated[int, Field(ge=0, lt=2**53)]


class Carried(BaseModel):
    """What every envelope says of what it holds."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: int
    seq: Index
    site: str
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    id: Annotated[str, Field(pattern="^[A-Z2-7]{26}$")]
    patch_id: Annotated[str, Field(min_length=1, max_length=64)]
    boot_id: Annotated[int, Field(ge=0, lt=2**32)]


class Envelope(Carried):
    """The segment's fields as they cross the wire, checked by type and bound."""

    codec: str
    episode_id: Annotated[str, Field(pattern="^[A-Z2-7]{26}$")]
    part: Annotated[int, Field(ge=0)]
    final: bool
    continues: str | None
    opened_by: Literal["screener", "marker"]
    first: Annotated[int, Field(ge=0)]
    fs: Annotated[float, Field(gt=0, le=10_000)]
    leads: Annotated[tuple[str, ...], Field(min_length=1, max_length=16)]
    count: Annotated[int, Field(gt=0, le=MAX_SAMPLES)]  # samples per lead
    samples: bytes
    uv_per_count: tuple[FiniteFloat, ...]
    gaps: tuple[tuple[int, int], ...] = ()
    lead_off: tuple[tuple[int, int], ...] = ()
    markers: tuple[int, ...] = ()
    screenings: tuple[Screening, ...] = ()
    clock: Clock = Clock()


Seconds = Annotated[float, Field(ge=0, le=61)]
Rate = Annotated[float, Field(gt=0, le=1000)]
Count = Annotated[int, Field(ge=0, le=1000)]


class RowEnvelope(Carried):
    """A trend row's fields as they cross the wire, checked by type and bound, and against each other."""

    first: Index
    last: Index
    fs: Annotated[float, Field(gt=0, le=10_000)]
    missing_s: Seconds
    unreadable_s: Seconds
    flagged_s: Seconds
    beats: Count
    n_V: Count  # noqa: N815 - the label's own letter
    n_S: Count  # noqa: N815 - the label's own letter
    af_s: Seconds
    hr_min: Rate | None
    hr_mean: Rate | None
    hr_max: Rate | None
    model: Annotated[str, Field(max_length=100)]
    clock: Clock = Clock()

    @model_validator(mode="after")
    def _hangs_together(self) -> Self:
        covered = (self.last + 1 - self.first) / self.fs
        parts = (self.missing_s + self.unreadable_s, self.missing_s + self.flagged_s, self.af_s)
        if not 0 < covered <= 61 or max(parts) > covered + 0.001 or self.n_V + self.n_S > self.beats:
            raise ValueError("the parts of the row are more than the whole")
        clock = self.clock
        numbers = (clock.utc_0, clock.fs, clock.error_s, clock.received_at)
        if not all(number is None or math.isfinite(number) for number in numbers):
            raise ValueError("the clock's numbers are not finite")
        if clock.fs is not None and clock.fs <= 0:
            raise ValueError("the clock's rate is none")
        if not 0 <= (clock.utc(self.first) or 0.0) < LAST_UTC:
            raise ValueError("the clock is out of this world")
        return self


def encode_segment(segment: Segment, seq: int, site: str) -> bytes:
    fields = {f.name: getattr(segment, f.name) for f in dataclasses.fields(segment) if f.name != "counts"}
    fields["screenings"] = [dataclasses.asdict(s) for s in segment.screenings]
    fields["clock"] = dataclasses.asdict(segment.clock)
    envelope = {"v": VERSION, "seq": seq, "site": site, "codec": CODEC, "sha256": segment.sha256, **fields}
    return pack({**envelope, "count": segment.counts.shape[1], "samples": compress(segment.counts)})


def decode_segment(payload: bytes) -> tuple[Segment, Envelope]:
    """The segment and its envelope, verified: sizes, hash and id.

    Raises:
        PayloadError: `size`, `cbor`, `version`, `schema`, `codec`, `samples`, `hash` or `id`.
    """
    envelope = checked(Envelope, _of_this_version(payload), "The envelope of a segment")
    if envelope.codec != CODEC:
        raise PayloadError("codec", f"Codec {envelope.codec!r} is unknown; {CODEC} is read.")
    if len(envelope.uv_per_count) != len(envelope.leads):
        raise PayloadError("schema", "uv_per_count and leads differ in length.")
    counts = decompress(envelope.samples, len(envelope.leads), envelope.count)
    if sha256_of(counts) != envelope.sha256:
        raise PayloadError("hash", f"Segment {envelope.id}: the samples do not match their sha256.")
    last = envelope.first + envelope.count - 1
    if segment_id(envelope.patch_id, envelope.boot_id, envelope.first, last) != envelope.id:
        raise PayloadError("id", f"Segment {envelope.id}: the id is not that of its patch, boot and span.")
    names = [f.name for f in dataclasses.fields(Segment) if f.name != "counts"]
    return Segment(counts=read_only(counts), **{name: getattr(envelope, name) for name in names}), envelope


def encode_row(row: TrendRow, seq: int, site: str) -> bytes:
    envelope = {"v": VERSION, "seq": seq, "site": site, "sha256": row.sha256}
    return pack(envelope | dataclasses.asdict(row))


def decode_row(payload: bytes) -> tuple[TrendRow, RowEnvelope]:
    """The row and its envelope, verified: bounds, hash and id.

    Raises:
        PayloadError: `size`, `cbor`, `version`, `schema`, `hash` or `id`.
    """
    if len(payload) > MAX_ROW:
        raise PayloadError("size", f"The row has {len(payload)} bytes; at most {MAX_ROW} are read.")
    envelope = checked(RowEnvelope, _of_this_version(payload), "The envelope of a row")
    row = TrendRow(**{f.name: getattr(envelope, f.name) for f in dataclasses.fields(TrendRow)})
    if row.sha256 != envelope.sha256:
        raise PayloadError("hash", f"Row {row.id}: it does not match its sha256.")
    if row_id(row.patch_id, row.boot_id, row.first) != row.id:
        raise PayloadError("id", f"Row {row.id}: the id is not that of its patch, boot and first sample.")
    return row, envelope


def _of_this_version(payload: bytes) -> dict[str, Any]:
    message = unpack(payload)
    if message.get("v") != VERSION:
        raise PayloadError("version", f"Envelope version {message.get('v')!r} is unknown; {VERSION} is read.")
    return message


def compress(counts: Counts) -> bytes:
    """Differences along time (modulo 2^32), signs folded into bit 0, one plane per byte, zstd."""
    samples = np.ascontiguousarray(counts, dtype=np.int32)
    delta = np.diff(samples.view(np.uint32), axis=1, prepend=np.uint32(0)).view(np.int32)
    folded = ((delta << 1) ^ (delta >> 31)).astype("<u4")
    planes = folded.reshape(-1, 1).view(np.uint8).T
    return zstandard.ZstdCompressor(level=3).compress(planes.tobytes())


def decompress(data: bytes, leads: int, count: int) -> Counts:
    size = leads * count * 4
    if leads * count > MAX_SAMPLES:
        raise PayloadError(
            "size", f"{leads} x {count} samples are more than the {MAX_SAMPLES} that are read."
        )
    try:
        if zstandard.frame_content_size(data) != size:  # before a bomb can unfold
            raise PayloadError("samples", f"The samples do not unfold to {leads} x {count}.")
        plain = zstandard.ZstdDecompressor().decompress(data, max_output_size=size)
    except zstandard.ZstdError as error:
        raise PayloadError("samples", f"The samples are not zstd: {error}.") from error
    if len(plain) != size:
        raise PayloadError("samples", f"The samples do not unfold to {leads} x {count}.")
    planes = np.frombuffer(plain, dtype=np.uint8).reshape(4, -1)
    folded = np.ascontiguousarray(planes.T).view("<u4").reshape(leads, count).astype(np.uint32)
    delta = (folded >> 1) ^ (np.uint32(0) - (folded & 1))
    return np.cumsum(delta, axis=1, dtype=np.uint32).view(np.int32)
