"""Passwords take as long for nobody as for somebody, and guessing takes longer and longer."""

from __future__ import annotations

import time
from statistics import median

import pytest
from argon2 import PasswordHasher

from cloud.passwords import FORGET_S, KNOWN, Brake, Passwords, code, digest, typed
from models.errors import UsageError

QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


def test_a_password_fits_its_own_hash_and_no_other() -> None:
    kept = QUICK.hash("correct horse battery")
    assert kept.startswith("$argon2id$")
    assert QUICK.fits("correct horse battery", kept)
    assert not QUICK.fits("correct horse batterx", kept)
    assert not QUICK.fits("", None)
    assert not QUICK.fits("anything", "not a hash")


@pytest.mark.parametrize("password", ["", "a" * 11, "a" * 257])
def test_too_short_and_too_long_are_said_with_their_length(password: str) -> None:
    with pytest.raises(UsageError, match=f"12 to 256 characters; this one has {len(password)}"):
        QUICK.hash(password)


def test_nobody_is_refused_as_slowly_as_somebody() -> None:
    passwords = Passwords(PasswordHasher(time_cost=2, memory_cost=16_384, parallelism=1))
    kept = passwords.hash("correct horse battery")

    def cost(hashed: str | None) -> float:
        begun = time.thread_time()
        passwords.fits("wrong horse battery", hashed)
        return time.thread_time() - begun

    cost(None)  # makes nobody's hash
    nobody, somebody = (median(cost(hashed) for _ in range(5)) for hashed in (None, kept))
    assert 0.5 < nobody / somebody < 2


def test_a_hash_of_other_costs_is_outdated() -> None:
    kept = QUICK.hash("correct horse battery")
    assert not QUICK.outdated(kept)
    assert Passwords().outdated(kept)


def test_a_code_is_the_same_however_it_is_typed() -> None:
    secret = code()
    assert len(secret.replace("-", "")) == 12
    for text in (secret, secret.lower(), secret.replace("-", " "), f" {secret.replace('-', '')}\n"):
        assert digest(typed(text)) == digest(secret)


def test_the_pause_doubles_up_to_the_longest_and_is_over_when_it_is_over() -> None:
    brake, now, pauses = Brake(free=3, longest_s=10.0), 0.0, []
    for _ in range(8):
        brake.tried("mallory", now)
        pauses.append(brake.wait_s("mallory", now))
        now += pauses[-1]
        assert brake.wait_s("mallory", now) == 0
    assert pauses == [0, 0, 1, 2, 4, 8, 10, 10]
    assert brake.wait_s("anna", now) == 0


def test_who_passed_starts_anew_and_an_address_only_gets_its_attempt_back() -> None:
    brake = Brake(free=2, longest_s=10.0)
    for _ in range(3):
        brake.tried("a", 0.0)
    brake.passed("a", forgive=False)
    assert brake.wait_s("a", 0.0) == 1
    brake.passed("a", forgive=True)
    assert brake.wait_s("a", 0.0) == 0


def test_failures_are_forgotten_and_their_authors_do_not_fill_the_memory() -> None:
    brake = Brake(free=1, longest_s=10.0)
    brake.tried("a", 0.0)
    brake.tried("a", FORGET_S + 1)
    assert brake.wait_s("a", FORGET_S + 1) == 1  # the first of a new row
    for number in range(KNOWN):
        brake.tried(f"{number}", 0.0)
    assert brake.wait_s("a", FORGET_S + 1) == 0
