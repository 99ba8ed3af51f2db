"""A patient's alerts as an episode finds them, and what it does to them: what `calling` takes and gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from models.verdicts import Alert

Told = tuple[str, str, str]  # what makes a cause the same one: episode, label, priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """A resolved alert: what it told, and up to which sample its patient had been analysed by then."""

    told: frozenset[Told]
    boot_id: int | None
    through: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Docket:
    """A patient's alerts, as far as they matter to one episode."""

    open: Alert | None = None
    beside: frozenset[Told] = frozenset()  # told by further open ones: after an undo there may be two
    quiet: Mapping[int, Alert] = field(default_factory=dict)  # suppressed, by quiet rule
    closed: tuple[Closed, ...] = ()
    ids: Collection[str] = ()  # of every alert that the patient ever had about the episode

    def through(self, boot_id: int) -> int | None:
        """Up to which sample an alert about the episode was resolved, None where none was."""
        return max((closed.through for closed in self.closed if closed.boot_id == boot_id), default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Called:
    """What an episode does to one alert."""

    alert: Alert
    change: str  # "raised" | "raised again" | "added" | "corrected"
    quiet: int | None = None  # the quiet rule that keeps it from calling


def told(alert: Alert) -> frozenset[Told]:
    return frozenset((past["episode_id"], past["label"], past["priority"]) for past in alert.history)
