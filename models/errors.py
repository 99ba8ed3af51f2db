"""The errors people see: one sentence each, saying what, where and what to do.

    AnyEcgError
    +-- UsageError
    +-- RecordingError
    +-- RadioError
    +-- DeliveryError
    +-- PayloadError

The command line prints the sentence and exits non-zero; nothing prints a traceback at a user.
"""

from __future__ import annotations


class AnyEcgError(Exception):
    """Base of everything a person is told in one sentence."""

    exit_code = 1


class UsageError(AnyEcgError):
    """The command line or a configuration file cannot be followed."""

    exit_code = 2


class RecordingError(AnyEcgError):
    """A recording is missing, truncated or not in a format we read."""


class RadioError(AnyEcgError):
    """No Bluetooth adapter, no patch, or a link that cannot carry the stream."""


class DeliveryError(AnyEcgError):
    """A broker, outbox or store cannot be used."""


class PayloadError(AnyEcgError):
    """Bytes that are not what the format says; `reason` is the word that goes into `rejected:{reason}`."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason
