"""OpenECG's control point and status: what the host asks, what the patch answers and says by itself.

A message is its opcode and the fields of its dataclass, packed little-endian in order. Requests have
opcodes 0x01-0x07; the answer to one has 0x80 added; END is the patch's own word. `first` and `last` are
inclusive sample indices; an empty range has `last` = `first` - 1.
"""

from __future__ import annotations

import struct
from dataclasses import astuple, dataclass
from enum import IntEnum
from typing import ClassVar, TypeVar

from models.errors import PayloadError


class Result(IntEnum):
    """The outcome of a request."""

    OK = 0
    REFUSED = 1


@dataclass(frozen=True, slots=True)
class _Message:
    """One opcode: subclasses add fields, LAYOUT packs them."""

    OPCODE: ClassVar[int]
    LAYOUT: ClassVar[str] = ""

    def __bytes__(self) -> bytes:
        return struct.pack("<B" + self.LAYOUT, self.OPCODE, *astuple(self))


@dataclass(frozen=True, slots=True)
class Start(_Message):
    """Send live frames from now on."""

    OPCODE: ClassVar[int] = 0x01


@dataclass(frozen=True, slots=True)
class Stop(_Message):
    """Send no more live frames; the ring goes on."""

    OPCODE: ClassVar[int] = 0x02


@dataclass(frozen=True, slots=True)
class Config(_Message):
    """Change rate, leads or gain to a stored configuration."""

    cfg_id: int
    OPCODE: ClassVar[int] = 0x03
    LAYOUT: ClassVar[str] = "B"


@dataclass(frozen=True, slots=True)
class TimePing(_Message):
    """What does the patch's clock say? `token` comes back."""

    token: int
    OPCODE: ClassVar[int] = 0x04
    LAYOUT: ClassVar[str] = "Q"


@dataclass(frozen=True, slots=True)
class Backfill(_Message):
    """Send these samples again from the ring, on the backfill characteristic."""

    first: int
    last: int
    OPCODE: ClassVar[int] = 0x05
    LAYOUT: ClassVar[str] = "qq"


@dataclass(frozen=True, slots=True)
class Range(_Message):
    """What does the ring hold?"""

    OPCODE: ClassVar[int] = 0x06


@dataclass(frozen=True, slots=True)
class Abort(_Message):
    """Forget the backfill that was asked."""

    OPCODE: ClassVar[int] = 0x07


@dataclass(frozen=True, slots=True)
class Answer(_Message):
    """Done, or refused: to START, STOP, CONFIG and ABORT."""

    request: int
    result: int
    OPCODE: ClassVar[int] = 0x80
    LAYOUT: ClassVar[str] = "BB"


@dataclass(frozen=True, slots=True)
class TimePong(_Message):
    """The patch's monotonic clock, microseconds, as it answers."""

    token: int
    device_us: int
    OPCODE: ClassVar[int] = 0x84
    LAYOUT: ClassVar[str] = "QQ"


@dataclass(frozen=True, slots=True)
class BackfillDone(_Message):
    """Everything of the request that the ring still held has been sent: these samples."""

    first: int
    last: int
    OPCODE: ClassVar[int] = 0x85
    LAYOUT: ClassVar[str] = "qq"


@dataclass(frozen=True, slots=True)
class RangeIs(_Message):
    """The ring holds first..last; `ended` = nothing comes after last."""

    first: int
    last: int
    ended: bool
    OPCODE: ClassVar[int] = 0x86
    LAYOUT: ClassVar[str] = "qq?"


@dataclass(frozen=True, slots=True)
class End(_Message):
    """The recording is over; `last` is its last sample."""

    last: int
    OPCODE: ClassVar[int] = 0x40
    LAYOUT: ClassVar[str] = "q"


Request = Start | Stop | Config | TimePing | Backfill | Range | Abort
Indication = Answer | TimePong | BackfillDone | RangeIs | End
_REQUESTS: dict[int, type[Request]] = {
    c.OPCODE: c for c in (Start, Stop, Config, TimePing, Backfill, Range, Abort)
}
_INDICATIONS: dict[int, type[Indication]] = {
    c.OPCODE: c for c in (Answer, TimePong, BackfillDone, RangeIs, End)
}
_M = TypeVar("_M")


def parse_request(data: bytes | bytearray) -> Request:
    return _parse(data, _REQUESTS)


def parse_indication(data: bytes | bytearray) -> Indication:
    return _parse(data, _INDICATIONS)


def _parse(data: bytes | bytearray, known: dict[int, type[_M]]) -> _M:
    message = known.get(data[0]) if data else None
    if message is None:
        raise PayloadError("opcode", f"control point bytes {bytes(data[:4]).hex()!r} are no message we know")
    try:
        return message(*struct.unpack("<x" + message.LAYOUT, data))  # type: ignore[attr-defined]
    except struct.error as error:
        raise PayloadError("length", f"a {message.__name__} message has the wrong length: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What the patch says of itself, every few seconds."""

    battery_mv: int
    lead_off: int  # bit i = lead i
    ring_first: int
    ring_last: int
    overruns: int  # frames that were sampled but could not be sent live

    _LAYOUT: ClassVar[struct.Struct] = struct.Struct("<HBqqI")

    @classmethod
    def parse(cls, data: bytes | bytearray) -> Status:
        try:
            battery_mv, lead_off, first, last, overruns = cls._LAYOUT.unpack(data)
        except struct.error as error:
            raise PayloadError(
                "length", f"a status of {len(data)} bytes is not {cls._LAYOUT.size}"
            ) from error
        return cls(
            battery_mv=battery_mv, lead_off=lead_off, ring_first=first, ring_last=last, overruns=overruns
        )

    def __bytes__(self) -> bytes:
        return self._LAYOUT.pack(*astuple(self))
