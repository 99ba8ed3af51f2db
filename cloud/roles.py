"""Who may do what: one table of roles and actions, and one function that pages, interface and store ask.

A ward's people see what was recorded while a patch was assigned to that ward, and nothing of other wards.
What was recorded while a patch was assigned to nobody is in the ward `unassigned`, which every nurse sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from models.errors import UsageError

UNASSIGNED = "unassigned"


class Role(StrEnum):
    """What somebody is here."""

    PATIENT = "patient"  # of one assignment, and of nothing else
    VIEWER = "viewer"
    NURSE = "nurse"
    CLINICIAN = "clinician"
    OPERATOR = "operator"  # keeps the devices going; knows patients by pseudonym
    ADMIN = "admin"


class Action(StrEnum):
    """What can be done."""

    STATUS = "status"  # a patch: connected or not, battery, newest sample
    MARK = "mark"  # a symptom, now
    SEE = "see"  # alerts, strips, findings, reports
    NAMES = "names"  # of patients, with birth date and phone number
    ASK = "ask"  # the language model
    TRIAGE = "triage"  # acknowledge, escalate, suppress and undo
    ANNOTATE = "annotate"
    EXPORT = "export"
    ASSIGN = "assign"  # a patch to a patient; end it; give the patient a code
    SIGN = "sign"  # edit a report and sign it
    TUNE = "tune"  # a patient's thresholds and quiet rules
    FIGURES = "figures"  # counts over all wards
    AUDIT = "audit"  # read who did what
    PEOPLE = "people"  # make, change and disable users


_VIEWER = frozenset({Action.STATUS, Action.SEE, Action.NAMES})
_NURSE = _VIEWER | {Action.ASK, Action.TRIAGE, Action.ANNOTATE, Action.EXPORT, Action.ASSIGN}

ALLOWED: Mapping[Role, frozenset[Action]] = {
    Role.PATIENT: frozenset({Action.STATUS, Action.MARK}),
    Role.VIEWER: _VIEWER,
    Role.NURSE: _NURSE,
    Role.CLINICIAN: _NURSE | {Action.SIGN, Action.TUNE},
    Role.OPERATOR: frozenset({Action.STATUS, Action.SEE, Action.FIGURES}),
    Role.ADMIN: frozenset(Action),
}
EVERYWHERE = {Role.OPERATOR, Role.ADMIN}  # not bound to wards
TAKES_UNASSIGNED = {Role.NURSE, Role.CLINICIAN}


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks."""

    name: str
    role: Role
    wards: frozenset[str] = frozenset()
    assignment_id: int | None = None  # the one a patient is bound to


LOCAL = Person(name="local", role=Role.ADMIN)  # whoever sits at a node that asks for no users


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A patch on a patient: what it records from `start` until before `end` is this patient's, for good."""

    id: int
    patch_id: str
    patient_id: str
    ward: str
    start: float  # Unix seconds
    end: float | None  # Unix seconds; None: still on


def may(person: Person, action: Action, of: Assignment | str | None = None) -> bool:
    """Whether the person may do that: at all, in the ward `of`, or with what an assignment recorded."""
    if action not in ALLOWED[person.role]:
        return False
    if of is None or person.role in EVERYWHERE:
        return True
    if person.role is Role.PATIENT:
        return isinstance(of, Assignment) and of.id == person.assignment_id
    ward = of if isinstance(of, str) else of.ward
    return ward in person.wards or (ward == UNASSIGNED and person.role in TAKES_UNASSIGNED)


def role_of(text: str) -> Role:
    """UsageError where there is no such role."""
    try:
        return Role(text)
    except ValueError:
        raise UsageError(f"There is no role {text!r}: {', '.join(Role)}.") from None


def wards_of(text: str) -> list[str]:
    """Separated by commas."""
    return [ward for part in text.split(",") if (ward := part.strip())]
