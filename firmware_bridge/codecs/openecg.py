"""OpenECG, the open profile of our patch: every packet has `parse(data)` and `bytes(packet)`.

Little-endian. A frame is a 16-byte header and lead-interleaved samples:

    0 version << 4 | format   1 flags   2 sequence u32   6 device time u48, microseconds of the first sample
    12 lead-off, a bit per lead   13 n, samples per lead   14 cfg_id   15 low byte of boot_id   16 samples

Samples per frame are fixed for a boot (`StreamInfo.n`; only the very last frame may be shorter), so the
sample index of a frame's first sample is sequence x n. The smallest count means "no sample" of that lead.
Bytes that break the format raise `PayloadError(reason, sentence)` and nothing else. Live frames carry no CRC
(the link has CRC-24) and no compression: format 2 (Rice-delta) is for flash records and refused here.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from models.ecg import Counts
from models.errors import PayloadError

VERSION = 1
_BASE = "b5e1{:04x}-0ec6-4a70-9f3e-1c5d7e0a2b00"
SERVICE, STREAM_INFO, LIVE, CONTROL, BACKFILL, STATUS = (_BASE.format(i) for i in range(1, 7))
SERIAL_NUMBER = "00002a25-0000-1000-8000-00805f9b34fb"  # Device Information: the patch_id
MAX_FRAME_BYTES = 244  # with the ATT and L2CAP headers it fills one 251 B link-layer PDU
MAX_FRAME_S = 0.25
# The standard leads have ids (IEEE 11073-10306); every other one carries its name.
LEAD_IDS = {"I": 1, "II": 2, "V1": 3, "V2": 4, "V3": 5, "V4": 6, "V5": 7, "V6": 8}
LEAD_IDS |= {"III": 61, "aVR": 62, "aVL": 63, "aVF": 64}
_LEAD_NAMES = {i: name for name, i in LEAD_IDS.items()}
_HEADER = struct.Struct("<BBIHIBBBB")  # the u48 as its low 16 and high 32 bits


class Format(IntEnum):
    """How samples are packed."""

    INT16 = 0
    INT24 = 1

    @property
    def width(self) -> int:
        """Bytes a sample."""
        return 2 if self is Format.INT16 else 3

    @property
    def invalid(self) -> int:
        """The count that means "no sample": the smallest one."""
        return -(1 << (8 * self.width - 1))


class Flag(IntFlag):
    """What a frame says of itself."""

    BACKFILL = 1
    DISCONTINUITY = 2
    CLOCK_SET = 4
    MARKER = 8
    SATURATED = 16
    PACE = 32
    TEST = 64
    CRC = 128


def samples_per_frame(leads: int, fs: float, format_: Format) -> int:
    """The n of a boot: frames of up to 250 ms that fit one link-layer PDU."""
    room = (MAX_FRAME_BYTES - _HEADER.size) // (leads * format_.width)
    return max(1, min(room, int(fs * MAX_FRAME_S), 255))


def format_for(counts: Counts) -> Format:
    """The narrowest format that holds these counts; PayloadError where none does."""
    low, high = (int(counts.min()), int(counts.max())) if counts.size else (0, 0)
    for format_ in Format:
        if format_.invalid < low and high < -format_.invalid:
            return format_
    raise PayloadError("range", f"counts from {low} to {high} do not fit the 24 bits of an OpenECG sample")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """n consecutive samples of every lead."""

    sequence: int  # per boot, never reset on reconnect
    device_us: int  # the patch's monotonic clock at the first sample, microseconds
    counts: Counts  # int32 (lead, n)
    boot_low: int  # low byte of the boot id
    format: Format = Format.INT16
    flags: int = 0  # of Flag
    lead_off: int = 0  # bit i = lead i
    cfg_id: int = 0

    @classmethod
    def parse(cls, data: bytes | bytearray, leads: int) -> Frame:
        if len(data) < _HEADER.size:
            raise PayloadError("truncated", f"a frame of {len(data)} bytes is shorter than its header")
        kind, flags, sequence, us_low, us_high, lead_off, n, cfg_id, boot_low = _HEADER.unpack_from(data)
        if kind >> 4 != VERSION:
            raise PayloadError("version", f"frame version {kind >> 4} is not {VERSION}: update this software")
        if kind & 15 > Format.INT24 or flags & Flag.CRC:
            raise PayloadError("format", f"frame format {kind & 15} (flags {flags:#04x}) is not one we read")
        format_ = Format(kind & 15)
        if n == 0 or len(data) != _HEADER.size + n * leads * format_.width:
            raise PayloadError("length", f"{len(data)} bytes do not hold {n} samples of {leads} leads")
        return cls(
            sequence=sequence,
            device_us=us_high << 16 | us_low,
            counts=_unpack(data, format_, n, leads),
            boot_low=boot_low,
            format=format_,
            flags=flags,
            lead_off=lead_off,
            cfg_id=cfg_id,
        )

    def __bytes__(self) -> bytes:
        us = self.device_us
        kind = VERSION << 4 | self.format
        fields = (kind, self.flags, self.sequence, us & 0xFFFF, us >> 16)
        tail = (self.lead_off, self.counts.shape[1], self.cfg_id, self.boot_low)
        return _HEADER.pack(*fields, *tail) + _pack(self.counts, self.format)


def _unpack(data: bytes | bytearray, format_: Format, n: int, leads: int) -> Counts:
    """int32 (lead, n), read-only, from lead-interleaved bytes."""
    flat: npt.NDArray[np.int16 | np.int32]
    if format_ is Format.INT16:
        flat = np.frombuffer(data, "<i2", offset=_HEADER.size)
    else:
        wide = np.zeros((n * leads, 4), np.uint8)
        wide[:, 1:] = np.frombuffer(data, np.uint8, offset=_HEADER.size).reshape(-1, 3)
        flat = wide.view("<i4").ravel() >> 8
    counts = flat.reshape(n, leads).T.astype(np.int32, order="C")
    counts.setflags(write=False)
    return counts


def _pack(counts: Counts, format_: Format) -> bytes:
    interleaved = np.ascontiguousarray(counts.T)
    if format_ is Format.INT16:
        return interleaved.astype("<i2").tobytes()
    return interleaved.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :3].tobytes()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What the patch streams, fixed for a boot.

    `version, format, rate mHz u32, n, cfg_id, boot_id u32, ring u32, leads u8`, then a lead:
    `id u8, nV per LSB f64, name length u8, name` (a double, so that a recording's gain survives exactly;
    the name is empty where the id says it).
    """

    leads: tuple[str, ...]
    rate_mhz: int  # millihertz
    nv_per_lsb: tuple[float, ...]  # nanovolts, one per lead
    n: int  # samples per lead and frame
    boot_id: int
    ring_samples: int  # what the ring buffer holds
    format: Format = Format.INT16
    cfg_id: int = 0
    version: int = VERSION

    _HEAD: ClassVar[struct.Struct] = struct.Struct("<BBIBBIIB")
    _LEAD: ClassVar[struct.Struct] = struct.Struct("<BdB")

    @property
    def fs(self) -> float:
        """Nominal Hz."""
        return self.rate_mhz / 1000

    @property
    def uv_per_count(self) -> tuple[float, ...]:
        return tuple(nv / 1000 for nv in self.nv_per_lsb)

    @property
    def frame_bytes(self) -> int:
        return _HEADER.size + self.n * len(self.leads) * self.format.width

    @classmethod
    def parse(cls, data: bytes | bytearray) -> StreamInfo:
        if not data or data[0] != VERSION:
            found = f"version {data[0]}" if data else "nothing"
            raise PayloadError("version", f"the patch speaks OpenECG {found}, we read version {VERSION}")
        try:
            head = cls._HEAD.unpack_from(data)
            leads, nv = cls._leads(bytes(data), head[-1])
            format_ = Format(head[1])
        except (struct.error, UnicodeDecodeError, ValueError, KeyError) as error:
            raise PayloadError("stream info", f"the patch's Stream Info cannot be read: {error}") from error
        _, _, rate, n, cfg_id, boot_id, ring, count = head
        if not (rate and n and count and all(0 < gain < float("inf") for gain in nv)):
            raise PayloadError(
                "stream info", "the patch's Stream Info has no leads, rate, gain or frame size"
            )
        return cls(
            leads=leads,
            rate_mhz=rate,
            nv_per_lsb=nv,
            n=n,
            boot_id=boot_id,
            ring_samples=ring,
            format=format_,
            cfg_id=cfg_id,
        )

    @classmethod
    def _leads(cls, data: bytes, count: int) -> tuple[tuple[str, ...], tuple[float, ...]]:
        names, gains, at = [], [], cls._HEAD.size
        for _ in range(count):
            lead_id, gain, length = cls._LEAD.unpack_from(data, at)
            at += cls._LEAD.size + length
            names.append(_LEAD_NAMES[lead_id] if lead_id else data[at - length : at].decode())
            gains.append(gain)
        if at != len(data):
            raise ValueError(f"{len(data)} bytes where {at} are announced")
        return tuple(names), tuple(gains)

    def __bytes__(self) -> bytes:
        head = (self.version, self.format, self.rate_mhz, self.n, self.cfg_id, self.boot_id)
        out = self._HEAD.pack(*head, self.ring_samples, len(self.leads))
        for name, gain in zip(self.leads, self.nv_per_lsb, strict=True):
            lead_id = LEAD_IDS.get(name, 0)
            text = b"" if lead_id else name.encode()
            out += self._LEAD.pack(lead_id, gain, len(text)) + text
        return out
