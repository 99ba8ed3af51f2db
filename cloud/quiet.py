"""What a person asks to be quiet about, and the thresholds that are a patch's own: without a database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloud.config import RuleConfig
from models.errors import AnyEcgError
from models.verdicts import LABELS, Priority

HOUR_S = 3600.0
LONGEST_H = 7 * 24.0  # nobody remembers for longer why it is quiet


class RefusedError(AnyEcgError):
    """A person asked for what is not done; the sentence says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuietRule:
    """Causes of this label up to this priority call nobody while it is in force."""

    patch_id: str
    label: str
    priority: Priority  # at most medium
    since: float  # Unix s
    until: float
    reason: str
    who: str
    id: int = 0  # 0: not stored yet


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """What a part is judged by."""

    thresholds: RuleConfig
    quiet: tuple[QuietRule, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """A patch's own, in place of those of cloud.toml from `at` on."""

    patch_id: str
    own: Mapping[str, Any]  # names of RuleConfig
    at: float
    who: str
    reason: str


def quiet_rule(
    patch_id: str, label: str, priority: Priority, *, hours: float, reason: str, who: str, now: float
) -> QuietRule:
    """
    Raises:
        RefusedError: high priority, no such label, no reason, or not 0 to 168 hours.
    """
    if priority > Priority.MEDIUM:
        raise RefusedError("A high alert can never be suppressed: acknowledge it.")
    if priority < Priority.LOW or label not in LABELS:
        raise RefusedError(f"Nothing calls as {label!r} with {priority} priority: nothing to be quiet about.")
    if not reason.strip():
        raise RefusedError("A suppression needs a reason.")
    if not (math.isfinite(hours) and 0 < hours <= LONGEST_H):
        raise RefusedError(f"A suppression lasts more than 0 and at most {LONGEST_H:.0f} hours.")
    return QuietRule(
        patch_id=patch_id,
        label=label,
        priority=priority,
        since=now,
        until=now + hours * HOUR_S,
        reason=reason.strip(),
        who=who,
    )


def quieted(quiet: Sequence[QuietRule], label: str, priority: Priority) -> int | None:
    """The rule that keeps such a cause from calling; no rule holds a high one."""
    if priority > Priority.MEDIUM:
        return None
    return next((rule.id for rule in quiet if rule.label == label and priority <= rule.priority), None)
