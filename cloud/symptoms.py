"""What patients tell with the button of their page: a symptom, when it was felt, and a note.

It belongs to the assignment that the patient is bound to, and joins the recording by its time. A note is
data: shown to people as it was written, and never given to the language model.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from cloud.assignments import assignment_of
from cloud.audit import Audit
from cloud.chain import What, sha256_of_text
from cloud.commands import Commands
from cloud.memory import Memory
from cloud.roles import Action, Assignment, Person, may
from cloud.rows import Row
from models.ecg import make_id
from models.errors import UsageError

LONGEST_NOTE = 300  # characters
EARLIEST_MIN = 720  # a symptom is told within 12 hours
AT_ONCE, WITHIN_S = 10, 600.0  # as often as that an assignment's button may be pressed
NEAR_S = 60.0  # a patient's "now" is that exact: what lies so near to a symptom is shown with it


class Kind(StrEnum):
    """What was felt."""

    PALPITATIONS = "palpitations"
    DIZZINESS = "dizziness"
    FAINTING = "fainting"
    CHEST = "chest discomfort"
    BREATHLESS = "breathless"
    OTHER = "other"


class TooOftenError(UsageError):
    """The button was pressed more often than anybody needs; `seconds` until it may be again."""

    def __init__(self, seconds: float) -> None:
        self.seconds = max(1, round(seconds))
        super().__init__(
            f"You have told {AT_ONCE} symptoms within {WITHIN_S / 60:.0f} minutes, and they are kept: "
            f"wait {self.seconds} s before the next. If you feel unwell, call your local emergency number."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """One told symptom. Times are Unix seconds."""

    id: str  # of assignment, form and what was filled in
    assignment_id: int
    patch_id: str
    patient_id: str
    at: float  # felt, as the patient says
    said_at: float
    kind: Kind
    note: str
    command: str  # id of the mark that the edge was asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a patient fills in; `form` is the same when the same page sends twice."""

    kind: str
    minutes: str  # ago, "0" is now
    note: str = ""
    form: str = ""


class Symptoms:
    """Symptoms in the cloud's memory. May be used from any thread."""

    def __init__(self, memory: Memory, commands: Commands) -> None:
        self._memory, self._commands, self._audit = memory, commands, Audit(memory)

    def tell(self, who: Person, told: Told, now: float) -> Symptom:
        """Keeps it, and has the edge mark the recording at that time; a form that was sent before as it is
        now is not kept twice.

        Raises:
            UsageError: words that will not do, or a time at which the patch was not the patient's.
            TooOftenError: the button was pressed too often.
        """
        kind, note, minutes = _kind(told.kind), _note(told.note), _minutes(told.minutes)
        at = now - 60.0 * minutes
        with self._memory.writing():
            held = self._held(who)
            me = make_id("symptom", held.id, told.form or now, kind, minutes, note)
            if before := self._memory.one("select * from symptoms where id = ?", me):
                return _symptom(before)
            _wore(held, at)
            self._not_too_often(held, now)
            mark = {"at": at, "symptom_id": me}
            row: Row = {
                "id": me,
                "assignment_id": held.id,
                "patch_id": held.patch_id,
                "patient_id": held.patient_id,
                "at": at,
                "said_at": now,
                "kind": str(kind),
                "note": note,
                "command": self._commands.send(held.patch_id, "mark", mark, by=who.name, now=now),
            }
            self._memory.insert("symptoms", row)
            self._told(who, row)
        return _symptom(row)

    def during(self, patch_id: str, first: float, last: float) -> list[Symptom]:
        """Felt from `first` to `last`, both included (Unix seconds), in order."""
        held = self._memory.all(
            "select * from symptoms where patch_id = ? and at between ? and ? order by at, id",
            *(patch_id, first, last),
        )
        return [_symptom(row) for row in held]

    def of(self, who: Person, limit: int = 10) -> list[Symptom]:
        """A patient's own, newest first."""
        held = self._memory.all(
            "select * from symptoms where assignment_id = ? order by said_at desc, id limit ?",
            *(who.assignment_id, limit),
        )
        return [_symptom(row) for row in held]

    def _held(self, who: Person) -> Assignment:
        row = self._memory.one("select * from assignments where id = ?", who.assignment_id)
        held = assignment_of(row) if row else None
        if held is None or not may(who, Action.MARK, held):
            raise UsageError("Only a patient with a patch can tell a symptom here.")
        if held.end is not None:
            raise UsageError("Your time with this patch is over: tell your clinic what you feel.")
        return held

    def _told(self, who: Person, row: Row) -> None:
        patch_id, now = row["patch_id"], row["said_at"]
        self._audit.append(
            What.SYMPTOM,
            who=who.name,
            now=now,
            patch_id=patch_id,
            symptom=row["id"],
            felt_at=row["at"],
            kind=row["kind"],
            note=sha256_of_text(row["note"]),
        )
        self._memory.tell("symptom", {"patch_id": patch_id, "at": row["at"], "kind": row["kind"]}, now)

    def _not_too_often(self, held: Assignment, now: float) -> None:
        """By what is kept, so that a restart forgives nothing."""
        row = self._memory.one(
            "select said_at from symptoms where assignment_id = ? and said_at > ?"
            " order by said_at desc limit 1 offset ?",
            *(held.id, now - WITHIN_S, AT_ONCE - 1),
        )
        if row is not None:
            raise TooOftenError(row["said_at"] + WITHIN_S - now)


def _symptom(row: Row) -> Symptom:
    return Symptom(**row | {"kind": Kind(row["kind"])})


def _kind(text: str) -> Kind:
    try:
        return Kind(text)
    except ValueError:
        raise UsageError(f"Choose what you feel: {', '.join(Kind)}.") from None


def _minutes(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 5 and int(text) <= EARLIEST_MIN):
        raise UsageError(f"Choose when you felt it: 0 (now) to {EARLIEST_MIN} minutes ago.")
    return int(text)


def _note(text: str) -> str:
    """On one line, without what cannot be seen."""
    note = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    if len(note) > LONGEST_NOTE:
        raise UsageError(f"The note has {len(note)} characters: {LONGEST_NOTE} at most, please.")
    return note


def _wore(held: Assignment, at: float) -> None:
    if at < held.start:
        raise UsageError("You did not wear this patch then: choose a later time, or tell your clinic.")
