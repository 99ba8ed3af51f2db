"""What the cloud asks of an edge, and what the edge answers: checked CBOR maps.

    ecg/v1/{site}/{dev}/cmd     cloud -> edge, QoS 1, repeated until it is answered: `Command`
    ecg/v1/{site}/{dev}/answer  edge -> cloud, QoS 1, said again whenever the command comes again: `Answer`

A command's `kind` says what its `body` is: "mark" a `Mark`, "pull-range" a `PullRange`. An edge refuses a
kind that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, TypeAdapter, field_validator, model_validator

from models.errors import PayloadError
from models.wire import LAST_UTC, Index, checked, pack, unpack

LONGEST_S = 86_400  # that one command may ask for
FULL_S = 3600  # at resolution 1; at a lower one so many times as much
MAX_ANSWER = 65_536  # bytes

Unix = Annotated[FiniteFloat, Field(ge=0, lt=LAST_UTC)]  # seconds
Id = Annotated[str, Field(pattern="^[A-Z2-7]{26}$")]
_SPANS = TypeAdapter(list[tuple[Unix, Unix]])
_Model = TypeVar("_Model", bound=BaseModel)


class Mark(BaseModel):
    """The patient felt something: as if the patch's own button had been pressed then."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    at: Unix
    symptom_id: Annotated[str, Field(max_length=64)] | None = None


class PullRange(BaseModel):
    """A stretch out of the edge's recorder: samples of a boot, or two moments, whatever boots lie between."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    resolution: Annotated[int, Field(ge=1, le=100_000)]  # samples per min/max pair; 1 = every sample
    boot_id: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    first: Index | None = None  # samples, both included
    last: Index | None = None
    begin: Unix | None = None  # until before `end`
    end: Unix | None = None

    @model_validator(mode="after")
    def _one_stretch(self) -> Self:
        samples = None not in (self.boot_id, self.first, self.last)
        moments = self.begin is not None and self.end is not None
        if samples == moments:
            raise ValueError("name boot_id, first and last, or begin and end")
        if samples and self.first > self.last:  # type: ignore[operator]
            raise ValueError("last comes before first")
        if moments and not 0 < self.end - self.begin <= self.longest_s:  # type: ignore[operator]
            raise ValueError(f"at this resolution at most {self.longest_s} s are sent at once")
        return self

    @property
    def longest_s(self) -> int:
        return min(LONGEST_S, FULL_S * self.resolution)


class Command(BaseModel):
    """What is asked of the edge that has the patch of the topic."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: Literal[1] = 1
    id: Id
    kind: Annotated[str, Field(max_length=32)]
    body: dict[str, Any]


class Answer(BaseModel):
    """What became of a command; an edge that has not done it yet is silent."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    v: Literal[1] = 1
    id: Id
    state: Literal["done", "refused"]
    reason: Annotated[str, Field(max_length=500)] = ""  # of a refusal, or how it was done
    told: dict[str, Any] = {}  # what more there is to say; `evicted` times are Unix seconds

    @field_validator("told")
    @classmethod
    def _times(cls, told: dict[str, Any]) -> dict[str, Any]:
        _SPANS.validate_python(told.get("evicted", []))
        return told


BODIES: dict[str, type[Mark | PullRange]] = {"mark": Mark, "pull-range": PullRange}


def encode(message: Command | Answer) -> bytes:
    return pack(message.model_dump())


def decode(model: type[_Model], payload: bytes) -> _Model:
    """A `Command` or an `Answer`.

    Raises:
        PayloadError: `cbor`, `size` or `schema`.
    """
    return checked(model, unpack(payload, MAX_ANSWER), f"The {model.__name__.lower()}")


def body_of(kind: str, body: Mapping[str, Any]) -> Mark | PullRange:
    """Raises PayloadError: `kind` of a later anyECG, `schema`."""
    model = BODIES.get(kind)
    if model is None:
        raise PayloadError("kind", f"The command {kind!r} is not known here: update anyECG.")
    return checked(model, body, f"The command {kind}")
