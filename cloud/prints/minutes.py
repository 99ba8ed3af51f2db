"""A row a minute of what the edge heard, also between the episodes; who keeps them is another's matter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What the edge's screener estimates of a minute; None where it could not."""

    begin: float  # Unix seconds
    missing_s: float
    unreadable_s: float
    flagged_s: float
    beats: int
    n_v: int
    n_s: int
    af_s: float
    hr_min: float | None  # /min
    hr_mean: float | None  # /min
    hr_max: float | None  # /min
    model: str


class Minutes(Protocol):
    """Where minute rows come from."""

    def minutes(self, patch_id: str, begin: float, end: float) -> Sequence[Minute]:
        """Rows that begin between two moments, Unix seconds, in order."""


class NoMinutes:
    """No row: a report says so."""

    def minutes(self, patch_id: str, begin: float, end: float) -> Sequence[Minute]:  # noqa: ARG002
        return ()
