"""A row a minute of what the edge heard, also between the episodes, by the clock on the wall."""

from __future__ import annotations

from dataclasses import dataclass

from cloud.console.seen import Seen


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


def minutes_of(seen: Seen, patch_id: str, begin: float, end: float) -> list[Minute]:
    """Of the patch's trend rows those that begin between two moments, Unix seconds, in order."""
    return [
        Minute(
            begin=row.utc,
            missing_s=row.missing_s,
            unreadable_s=row.unreadable_s,
            flagged_s=row.flagged_s,
            beats=row.beats,
            n_v=row.n_V,
            n_s=row.n_S,
            af_s=row.af_s,
            hr_min=row.hr_min,
            hr_mean=row.hr_mean,
            hr_max=row.hr_max,
            model=row.model,
        )
        for row in seen.trend(patch_id, begin, end)
        if row.utc is not None
    ]
