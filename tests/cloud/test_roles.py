"""The table of roles and actions, cell by cell, and what wards and assignments make of it."""

from __future__ import annotations

import pytest

from cloud.roles import UNASSIGNED, Action, Assignment, Person, Role, may

TABLE = """
            status mark see names ask triage annotate export assign sign tune figures audit people
patient     x      x    .   .     .   .      .        .      .      .    .    .       .     .
viewer      x      .    x   x     .   .      .        .      .      .    .    .       .     .
nurse       x      .    x   x     x   x      x        x      x      .    .    .       .     .
clinician   x      .    x   x     x   x      x        x      x      x    x    .       .     .
operator    x      .    x   .     .   .      .        .      .      .    .    x       .     .
admin       x      x    x   x     x   x      x        x      x      x    x    x       x     x
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [(row[0], action, cell == "x") for row in ROWS for action, cell in zip(HEAD, row[1:], strict=True)]

MINE = Assignment(id=7, patch_id="p", patient_id="one", ward="A", start=0.0, end=None)
OTHER = Assignment(id=8, patch_id="q", patient_id="two", ward="A", start=0.0, end=None)
THERE = Assignment(id=9, patch_id="r", patient_id="three", ward="B", start=0.0, end=None)


def person(role: str) -> Person:
    return Person(name="somebody", role=Role(role), wards=frozenset({"A"}), assignment_id=7)


def test_the_table_holds_every_role_and_action() -> None:
    assert {(role, action) for role, action, _ in CELLS} == {(str(r), str(a)) for r in Role for a in Action}


@pytest.mark.parametrize(("role", "action", "allowed"), CELLS)
def test_a_role_allows_an_action_or_not_at_all(role: str, action: str, allowed: bool) -> None:
    who = person(role)
    assert may(who, Action(action)) is allowed
    assert may(who, Action(action), MINE) is allowed
    elsewhere = role in {"operator", "admin"}
    assert may(who, Action(action), THERE) is (allowed and elsewhere)
    assert may(who, Action(action), "B") is (allowed and elsewhere)


@pytest.mark.parametrize("role", Role)
def test_only_a_patient_is_bound_to_one_assignment_of_the_ward(role: Role) -> None:
    assert may(person(role), Action.STATUS, OTHER) is (role is not Role.PATIENT)


@pytest.mark.parametrize("role", Role)
def test_what_is_nobodys_is_for_every_nurse_and_not_for_viewers_and_patients(role: Role) -> None:
    nowhere = Person(name="somebody", role=role)
    assert may(nowhere, Action.STATUS, UNASSIGNED) is (role not in {Role.VIEWER, Role.PATIENT})
