"""What `anyecg evaluate chat` and `reports` are asked to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Held-out readings of a training, or rows of questions about the records under `data`."""

    readings: Path | None = None
    questions: Path | None = None
    data: Path | None = None
    folds: Mapping[str, int] | None = None  # which fold of the training left a record out
    size: int = 100  # strips or rows
    seed: int = 0
    reports_only: bool = False
