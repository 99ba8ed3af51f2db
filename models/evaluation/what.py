"""What `anyecg evaluate` measures."""

from __future__ import annotations

from enum import StrEnum


class What(StrEnum):
    """One command each."""

    BEATS = "beats"
    RHYTHM = "rhythm"
    LOCALIZATION = "localization"
    SCREENER = "screener"
    QUALITY = "quality"
    CHAT = "chat"
    REPORTS = "reports"
