"""Passwords, and secrets that are shown once: what is kept of them, and how guessing is slowed down."""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
from collections import OrderedDict
from functools import cached_property

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from models.errors import UsageError

SHORTEST, LONGEST = 12, 256  # characters of a password
AT_ONCE = 2  # hashes of 64 MiB each
FORGET_S = 900.0
KNOWN = 10_000  # authors of failures that are remembered


class Passwords:
    """Argon2id, a few at a time."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._room = threading.BoundedSemaphore(AT_ONCE)

    def hash(self, password: str) -> str:
        """UsageError where it is too short or too long."""
        if not SHORTEST <= len(password) <= LONGEST:
            raise UsageError(
                f"A password has {SHORTEST} to {LONGEST} characters; this one has {len(password)}."
            )
        with self._room:
            return self._hasher.hash(password)

    def fits(self, password: str, kept: str | None) -> bool:
        """None is nobody's hash: as slow to refuse as a wrong password, so that no name is given away."""
        with self._room:
            try:
                self._hasher.verify(kept or self._nobodys, password[: LONGEST + 1])
            except (VerificationError, InvalidHashError):
                return False
        return kept is not None

    def outdated(self, kept: str) -> bool:
        """Hashed with other costs than today's."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobodys(self) -> str:
        return self._hasher.hash(secrets.token_hex())


def token() -> str:
    """A session's: 256 bits."""
    return secrets.token_urlsafe(32)


def code() -> str:
    """To be typed, 60 bits: `K7QF-2MRD-XW5A`."""
    text = base64.b32encode(secrets.token_bytes(8)).decode()[:12]
    return "-".join(text[at : at + 4] for at in (0, 4, 8))


def digest(secret: str) -> str:
    """What is kept of a token or a code."""
    return hashlib.sha256(secret.encode()).hexdigest()


def typed(text: str) -> str:
    """A code as `code()` writes it, however it was typed."""
    letters = "".join(c for c in text.upper() if c.isalnum())
    return "-".join(letters[at : at + 4] for at in range(0, len(letters), 4))


class Brake:
    """After `free` failed attempts in a row their author waits 1 s, 2 s, 4 s and so on up to `longest_s`."""

    def __init__(self, free: int, longest_s: float) -> None:
        self._free, self._longest_s = free, longest_s
        self._tries: OrderedDict[str, tuple[int, float]] = OrderedDict()  # author -> (how many, when last)
        self._lock = threading.Lock()

    def wait_s(self, author: str, now: float) -> float:
        """Seconds until the next attempt may be made."""
        with self._lock:
            return self._wait_s(*self._tries.get(author, (0, 0.0)), now)

    def tried(self, author: str, now: float) -> None:
        """An attempt counts as failed until it has `passed`: many at once are not free."""
        with self._lock:
            tries, last = self._tries.pop(author, (0, now))
            self._tries[author] = (1 if now - last > FORGET_S else tries + 1, now)
            if len(self._tries) > KNOWN:
                self._tries.popitem(last=False)

    def passed(self, author: str, *, forgive: bool) -> None:
        """The last attempt was right; with `forgive` those before it are forgotten too."""
        with self._lock:
            tries, last = self._tries.pop(author, (0, 0.0))
            if tries > 1 and not forgive:
                self._tries[author] = (tries - 1, last)

    def _wait_s(self, tries: int, last: float, now: float) -> float:
        if tries < self._free or now - last > FORGET_S:
            return 0.0
        pause = min(self._longest_s, 2.0 ** min(tries - self._free, 30))
        return max(0.0, last + pause - now)
