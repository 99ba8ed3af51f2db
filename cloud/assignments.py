"""Which patch is on which patient of which ward, and since when; and who the patients are.

What a patch records belongs to the patient it was assigned to at that time. An assignment begins now, or in a
past that was nobody's; it ends now. So no data ever pass from one patient to another.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime

from cloud.audit import Audit
from cloud.chain import What
from cloud.memory import Memory
from cloud.roles import UNASSIGNED, Action, Assignment, Person, may
from cloud.rows import Row
from models.errors import UsageError
from models.sqlite import Database
from models.wire import LAST_UTC

EVER = float("inf")
PATIENT = re.compile(r"[A-Za-z0-9._-]{1,64}")
WARD = re.compile(r"[^\W_][\w .-]{0,31}")
LONGEST = 100  # characters of a patch's id, a name or a phone number


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """A patient by name; nothing but the cloud's `patients` knows more than `id`."""

    id: str
    pseudonym: str
    name: str = ""
    born: str = ""  # YYYY-MM-DD
    phone: str = ""
    ward: str


class Assignments:
    """Assignments and patients in the cloud's memory. May be used from any thread."""

    def __init__(self, memory: Memory) -> None:
        self._memory, self._audit = memory, Audit(memory)
        self._held: tuple[object, dict[str, list[Assignment]]] = (None, {})

    # -- who has what --------------------------------------------------------------------------------

    def at(self, patch_id: str, utc: float) -> Assignment | None:
        """Whose the patch was at that time; None: nobody's."""
        return next(iter(self.during(patch_id, utc, utc)))

    def during(self, patch_id: str, first: float, last: float) -> list[Assignment | None]:
        """Everybody whose the patch was from `first` to `last`, both included; None where it was nobody's."""
        return hands(self.by_patch().get(patch_id, ()), first, last)

    def since(self, patch_id: str, utc: float) -> float:
        """From when on the patch was in the hands, or in nobody's, that it was in at `utc`."""
        return tenure(self._memory, patch_id, utc)[0]

    def open(self) -> dict[str, Assignment]:
        """Patch -> the assignment that has not ended."""
        return {patch: held[-1] for patch, held in self.by_patch().items() if held[-1].end is None}

    def patient(self, patient_id: str) -> Patient | None:
        row = self._memory.one("select * from patients where id = ?", patient_id)
        return Patient(**row) if row else None

    def by_patch(self) -> dict[str, list[Assignment]]:
        """In order of time. Rows are added and ended, in whatever process, and change in no other way."""
        version = self._memory.one("select max(id) as newest, count(end_at) as ended from assignments")
        if version != self._held[0]:
            held: dict[str, list[Assignment]] = {}
            for row in self._memory.all("select * from assignments order by start_at"):
                held.setdefault(row["patch_id"], []).append(assignment_of(row))
            self._held = (version, held)
        return self._held[1]

    # -- changes -------------------------------------------------------------------------------------

    def assign(
        self,
        who: Person,
        patch_id: str,
        patient_id: str,
        ward: str,
        *,
        start: float | None = None,
        name: str = "",
        born: str = "",
        phone: str = "",
    ) -> Assignment:
        """Put the patch on a patient, from now or from a `start` at which it was nobody's; a patch that is on
        another patient or ward moves. Name, birth date and phone number replace the known ones where given.

        Raises:
            UsageError: words that will not do, another ward's patch or patient, a start that would move data.
        """
        now, ward = time.time(), ward_of(ward)
        patient = _patient_of(patch_id, patient_id, ward, name, born, phone)
        with self._memory.writing() as db:
            held = self._held_by(who, patch_id)
            self._permit(who, ward, f"You are not of ward {ward}.")
            begin = self._begin(patch_id, held, start, now)
            if held is not None and (held.patient_id, held.ward) == (patient_id, ward):
                raise UsageError(f"Patch {patch_id} is on patient {patient_id} in ward {ward} already.")
            if held is not None:
                db.table("assignments").update(held.id, {"end_at": now})
            self._put_patient(db, who, patient)
            row: Row = {"patch_id": patch_id, "patient_id": patient_id, "ward": ward, "start_at": begin}
            number = db.table("assignments").insert({**row, "end_at": None}).last_pk
            what = What.ASSIGNED if held is None else What.MOVED
            self._audit.append(what, who=who.name, now=now, **row)
            self._memory.tell("assignment", {}, now)
        return assignment_of({**row, "id": number, "end_at": None})

    def end(self, who: Person, patch_id: str) -> Assignment:
        """From now on the patch is nobody's; UsageError where it is that already."""
        now = time.time()
        with self._memory.writing() as db:
            held = self._held_by(who, patch_id)
            if held is None:
                raise UsageError(f"Patch {patch_id} is on no patient.")
            db.table("assignments").update(held.id, {"end_at": now})
            told = {"patient_id": held.patient_id, "ward": held.ward}
            self._audit.append(What.UNASSIGNED, who=who.name, now=now, patch_id=patch_id, **told)
            self._memory.tell("assignment", {}, now)
        return held

    def _held_by(self, who: Person, patch_id: str) -> Assignment | None:
        """Who has the patch now; what is in another ward does not exist."""
        row = self._memory.one("select * from assignments where patch_id = ? and end_at is null", patch_id)
        held = assignment_of(row) if row else None
        self._permit(who, held.ward if held else UNASSIGNED, f"There is no patch {patch_id} in your wards.")
        return held

    def _permit(self, who: Person, ward: str, otherwise: str) -> None:
        if not may(who, Action.ASSIGN, ward):
            raise UsageError(otherwise)

    def _begin(self, patch_id: str, held: Assignment | None, start: float | None, now: float) -> float:
        if start is None:
            return now
        if start > now:
            raise UsageError("An assignment cannot begin in the future.")
        if held is not None:
            raise UsageError(
                f"Patch {patch_id} is on patient {held.patient_id}: it can be moved from now on only, "
                "because what it has recorded stays with its patient."
            )
        ended = self._memory.scalar("select max(end_at) from assignments where patch_id = ?", patch_id)
        if ended is not None and start < ended:
            raise UsageError(f"Patch {patch_id} was on another patient after that: begin later, or now.")
        return start

    def _put_patient(self, db: Database, who: Person, patient: Row) -> None:
        before = self._memory.one("select * from patients where id = ?", patient["id"])
        if before is None:
            db.table("patients").insert({**patient, "pseudonym": f"P-{secrets.token_hex(6)}"})
            return
        self._permit(who, before["ward"], f"There is no patient {patient['id']} in your wards.")
        db.table("patients").update(before["id"], {key: value for key, value in patient.items() if value})


def hands(held: Iterable[Assignment], first: float, last: float) -> list[Assignment | None]:
    """As `Assignments.during` says of a patch whose assignments are `held`, in order of time."""
    out: list[Assignment | None] = []
    free = first  # from here on nobody is known yet
    for one in held:
        end = EVER if one.end is None else one.end
        if end <= first or one.start > last:
            continue
        if one.start > free:
            out.append(None)
        out.append(one)
        free = end
    return out if free > last else [*out, None]


def tenure(memory: Memory, patch_id: str, utc: float) -> tuple[float, float]:
    """From when until before when the patch was in the hands, or in nobody's, that it was in at `utc`."""
    bounds = memory.all(
        "select start_at as at from assignments where patch_id = ?"
        " union select end_at from assignments where patch_id = ? and end_at is not null",
        patch_id,
        patch_id,
    )
    times = [row["at"] for row in bounds]
    return max((t for t in times if t <= utc), default=-EVER), min(
        (t for t in times if t > utc), default=EVER
    )


def stay(memory: Memory, patch_id: str, utc: float) -> tuple[float, float]:
    """As `tenure`, whatever the ward: a patient who is moved to another one keeps the patch on."""
    begin, end = tenure(memory, patch_id, utc)
    rows = memory.all("select * from assignments where patch_id = ?", patch_id)
    spans = [(row["patient_id"], row["start_at"], row["end_at"] or EVER) for row in rows]
    patient = next((of for of, start, _ in spans if start == begin), None)
    begins = {last: first for of, first, last in spans if of == patient and first < last}
    ends = {first: last for last, first in begins.items()}
    while begin in begins:
        begin = begins[begin]
    while end in ends:
        end = ends[end]
    return begin, end


def assignment_of(row: Row) -> Assignment:
    names = ("id", "patch_id", "patient_id", "ward")
    return Assignment(**{name: row[name] for name in names}, start=row["start_at"], end=row["end_at"])


def ward_of(text: str) -> str:
    """The ward as it is written; UsageError where none can be called that."""
    if not WARD.fullmatch(text := text.strip()) or text == UNASSIGNED:
        raise UsageError(
            f"A ward cannot be called {text!r}: 1 to 32 letters, digits, spaces, dots and hyphens, "
            f"and not {UNASSIGNED!r}."
        )
    return text


def begin_of(text: str) -> float | None:
    """Unix seconds of an ISO date and time, by this machine's clock where it has no offset; None: now."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text).astimezone().timestamp()
    except (ValueError, OverflowError):
        raise UsageError(f"A time is written 2026-12-31T08:30, unlike {text!r}.") from None
    if not 0 <= at < LAST_UTC:
        raise UsageError(f"Nothing was recorded in the year of {text!r}: a time is written 2026-12-31T08:30.")
    return at


def _patient_of(patch_id: str, patient_id: str, ward: str, name: str, born: str, phone: str) -> Row:
    """The patient's columns; UsageError where one of the words will not do."""
    if not PATIENT.fullmatch(patient_id):
        raise UsageError(
            f"A patient's id has 1 to 64 letters, digits, dots and hyphens, unlike {patient_id!r}."
        )
    for what, text in (("A patch's id", patch_id), ("A name", name), ("A phone number", phone)):
        if len(text) > LONGEST or not text.isprintable():
            raise UsageError(f"{what} has at most {LONGEST} printable characters.")
    if not patch_id:
        raise UsageError("Which patch? Its id is missing.")
    if born and not _is_date(born):
        raise UsageError(f"A birth date is written 1950-12-31, unlike {born!r}.")
    return {"id": patient_id, "name": name, "born": born, "phone": phone, "ward": ward}


def _is_date(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return date.fromisoformat(text).isoformat() == text
    return False
