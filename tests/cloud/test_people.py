"""Users, sessions and one-time codes: who is in, for how long, and that a code is good once."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable

import pytest
from argon2 import PasswordHasher

from cloud.assignments import Assignments
from cloud.config import PeopleConfig
from cloud.passwords import Passwords
from cloud.people import FIRST_S, INVITED_S, People, RefusedError
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from models.errors import UsageError

PASSWORD, OTHER = "correct horse battery", "another horse battery"
QUICK = Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
HOUR = 3600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr("cloud.people.time.time", lambda: now[0])
    return now


@pytest.fixture
def people(store: SqliteStore, clock: list[float]) -> People:
    made = People(store, passwords=QUICK)
    made.add(LOCAL, "chief", PASSWORD, Role.ADMIN)
    made.add(LOCAL, "Anna", PASSWORD, Role.NURSE, ["A", "A", "C"])
    return made


def test_a_user_signs_in_with_role_and_wards(people: People) -> None:
    assert people.person(people.sign_in(" ANNA ", PASSWORD)) == Person(
        name="anna", role=Role.NURSE, wards=frozenset({"A", "C"})
    )


@pytest.mark.parametrize(("name", "password"), [("anna", OTHER), ("nobody", PASSWORD), ("", "")])
def test_which_of_name_and_password_was_wrong_is_not_said(people: People, name: str, password: str) -> None:
    with pytest.raises(RefusedError, match=r"^Wrong name or password\.$"):
        people.sign_in(name, password)


def test_neither_passwords_nor_tokens_nor_codes_are_kept(store: SqliteStore, people: People) -> None:
    held = Assignments(store).assign(LOCAL, "p", "one", "A")
    secrets = [PASSWORD, people.sign_in("anna", PASSWORD), people.invite(LOCAL, held)]
    tables = ("users", "sessions", "codes", "audit", "events")
    kept = json.dumps([store.all(f"select * from {table}") for table in tables])
    assert not any(secret in kept for secret in secrets)


def test_a_session_ends_hours_after_its_last_use(people: People, clock: list[float]) -> None:
    used, idle = (people.sign_in("anna", PASSWORD) for _ in range(2))
    clock[0] += 5 * HOUR
    assert people.person(used)
    assert people.person(idle, using=False)
    clock[0] += 4 * HOUR
    assert people.person(used)
    assert people.person(idle) is None


def test_a_session_ends_hours_after_signing_in_however_it_is_used(people: People, clock: list[float]) -> None:
    secret = people.sign_in("anna", PASSWORD)
    for _ in range(11):
        clock[0] += HOUR
        assert people.person(secret)
    clock[0] += HOUR
    assert people.person(secret) is None


def test_who_signs_out_is_out_and_only_there(people: People) -> None:
    here, there = (people.sign_in("anna", PASSWORD) for _ in range(2))
    people.sign_out(here)
    assert people.person(here) is None
    assert people.person(there)
    assert people.person("made up") is people.person("") is people.person(None) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda people: people.disable(LOCAL, "anna"),
        lambda people: people.set_password(LOCAL, "anna", OTHER),
    ],
)
def test_all_sessions_of_a_user_end_with_the_password_or_the_user(
    people: People, change: Callable[[People], None]
) -> None:
    mine = [people.sign_in("anna", PASSWORD) for _ in range(2)]
    others = people.sign_in("chief", PASSWORD)
    change(people)
    assert [people.person(secret) for secret in mine] == [None, None]
    assert people.person(others)
    with pytest.raises(RefusedError):
        people.sign_in("anna", PASSWORD)


def test_other_wards_hold_from_the_next_request_on(people: People) -> None:
    secret = people.sign_in("anna", PASSWORD)
    people.set_wards(LOCAL, "anna", ["B"])
    who = people.person(secret)
    assert who is not None
    assert who.wards == {"B"}


def test_the_last_admin_stays(people: People) -> None:
    with pytest.raises(UsageError, match="the last admin"):
        people.disable(LOCAL, "chief")
    people.add(LOCAL, "second", PASSWORD, Role.ADMIN)
    people.disable(LOCAL, "chief")
    with pytest.raises(UsageError, match="the last admin"):
        people.disable(LOCAL, "second")


def test_nobody_signs_in_until_there_is_a_user_who_must_be_an_admin(store: SqliteStore) -> None:
    people = People(store, passwords=QUICK)
    assert people.person(None) == LOCAL
    with pytest.raises(UsageError, match="The first user must be an admin"):
        people.add(LOCAL, "anna", PASSWORD, Role.NURSE)
    people.add(LOCAL, "chief", PASSWORD, Role.ADMIN)
    assert people.person(None) is None
    assert People(store, PeopleConfig(required=False)).person(None) == LOCAL


@pytest.mark.parametrize("name", ["", "local", "anna", "a b", "-a", "a" * 33, "ä"])
def test_a_name_that_will_not_do_is_said(people: People, name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be called|already"):
        people.add(LOCAL, name, PASSWORD, Role.NURSE)


def test_a_patient_comes_by_a_code_only(people: People) -> None:
    with pytest.raises(UsageError, match="with a code"):
        people.add(LOCAL, "eve", PASSWORD, Role.PATIENT)


def test_the_first_code_makes_an_admin_once(store: SqliteStore, clock: list[float]) -> None:
    people = People(store, PeopleConfig(required=True), QUICK)
    void, secret = people.first_code(), people.first_code()
    with pytest.raises(UsageError, match="12 to 256"):
        people.join(secret, "chief", "short")  # which does not use it up
    with pytest.raises(RefusedError):
        people.join(void, "chief", PASSWORD)
    who = people.person(people.join(secret.lower(), "chief", PASSWORD))
    assert who == Person(name="chief", role=Role.ADMIN)
    with pytest.raises(RefusedError):
        people.join(secret, "second", PASSWORD)
    with pytest.raises(RefusedError):
        people.join(people.first_code(), "second", PASSWORD)  # there is a user


def test_of_two_who_know_the_first_code_one_becomes_admin(store: SqliteStore) -> None:
    people = People(store, PeopleConfig(required=True), QUICK)
    secret, results = people.first_code(), list[str]()

    def join(name: str) -> None:
        try:
            people.join(secret, name, PASSWORD)
            results.append("in")
        except RefusedError:
            results.append("refused")

    both = [threading.Thread(target=join, args=(name,)) for name in ("one", "two")]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert sorted(results) == ["in", "refused"]
    assert len(people.users()) == 1


def test_codes_run_out(store: SqliteStore, people: People, clock: list[float]) -> None:
    held = Assignments(store).assign(LOCAL, "p", "one", "A")
    secret = people.invite(LOCAL, held)
    clock[0] += INVITED_S
    with pytest.raises(RefusedError, match="not good, or not any more"):
        people.join(secret, "eve", PASSWORD)


def test_the_first_code_runs_out_after_ten_minutes(store: SqliteStore, clock: list[float]) -> None:
    people = People(store, PeopleConfig(required=True), QUICK)
    secret = people.first_code()
    assert FIRST_S == 600
    clock[0] += FIRST_S
    with pytest.raises(RefusedError):
        people.join(secret, "chief", PASSWORD)
    assert not people.any()


def test_a_patients_code_binds_to_one_assignment_once(store: SqliteStore, people: People) -> None:
    held = Assignments(store).assign(LOCAL, "p", "one", "A")
    secret = people.invite(LOCAL, held)
    who = people.person(people.join(secret, "eve", PASSWORD))
    assert who == Person(name="eve", role=Role.PATIENT, assignment_id=held.id)
    with pytest.raises(RefusedError):
        people.join(secret, "mallory", PASSWORD)


def test_a_nurse_of_another_ward_gives_no_code(store: SqliteStore, people: People) -> None:
    held = Assignments(store).assign(LOCAL, "p", "one", "A")
    with pytest.raises(UsageError, match="no patch p in your wards"):
        people.invite(Person(name="bert", role=Role.NURSE, wards=frozenset({"B"})), held)


def test_every_change_of_people_is_recorded_with_who_made_it(store: SqliteStore, people: People) -> None:
    chief = Person(name="chief", role=Role.ADMIN)
    people.set_wards(chief, "anna", ["B"])
    people.set_password(chief, "anna", OTHER)
    people.disable(chief, "anna")
    with pytest.raises(UsageError, match="no user anna, or it is disabled"):
        people.set_password(chief, "anna", OTHER)
    rows = store.all("select who, what, details from audit where number > 1 order by number")
    assert [(row["who"], row["what"], json.loads(row["details"])["user"]) for row in rows] == [
        ("local", "user added", "chief"),
        ("local", "user added", "anna"),
        ("chief", "wards changed", "anna"),
        ("chief", "password changed", "anna"),
        ("chief", "user disabled", "anna"),
    ]
