"""Who may come in: users with a role and wards, and one-time codes that make the first admin and patients.

Of passwords and codes only hashes are kept. Every change is in the audit chain.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from cloud.assignments import ward_of
from cloud.audit import Audit
from cloud.chain import What, Who
from cloud.config import PeopleConfig
from cloud.memory import Memory
from cloud.passwords import Passwords, code, digest, token, typed
from cloud.roles import LOCAL, UNASSIGNED, Action, Assignment, Person, Role, may
from cloud.rows import Row
from models.errors import UsageError
from models.sqlite import Database

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")
FIRST_S = 600.0  # how long the first user's code is good
INVITED_S = 86400.0  # and a patient's
TOUCH_S = 60.0  # a session's last use is known this well
HOUR_S = 3600.0


class RefusedError(UsageError):
    """A wrong name, password or code; which of them is not said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user as admins see it."""

    name: str
    role: Role
    wards: tuple[str, ...]
    disabled: bool


class People:
    """Users, sessions and codes in the cloud's memory. May be used from any thread."""

    def __init__(
        self,
        memory: Memory,
        config: PeopleConfig | None = None,
        passwords: Passwords | None = None,
    ) -> None:
        self._memory, self._audit = memory, Audit(memory)
        self._config, self._passwords = config or PeopleConfig(), passwords or Passwords()

    @property
    def required(self) -> bool:
        """Whether one must sign in: as configured, else as soon as there is a user."""
        return self.any() if self._config.required is None else self._config.required

    def any(self) -> bool:
        return self._memory.one("select 1 from users limit 1") is not None

    def users(self) -> list[User]:
        """By name."""
        return [_user(row) for row in self._memory.all("select * from users order by name")]

    # -- changes by an admin -------------------------------------------------------------------------

    def add(self, who: Person, name: str, password: str, role: Role, wards: Collection[str] = ()) -> None:
        """UsageError where the name is taken or will not do, and for a patient: they come by a code."""
        if role is Role.PATIENT:
            raise UsageError("A patient's user is made by the patient, with a code from the page of patches.")
        row = {"name": _name(name), "role": str(role), "wards": _wards(wards)}
        row["hash"] = self._passwords.hash(password)
        with self._memory.writing() as db:
            self._put(db, who.name, row)

    def disable(self, who: Person, name: str) -> None:
        """Out at once, and not in again; UsageError for the last admin."""
        with self._memory.writing() as db:
            user = self._known(name)
            if user.role is Role.ADMIN and len(self._admins()) < 2:
                raise UsageError(f"{name} is the last admin; make another one first.")
            db.table("users").update(name, {"disabled": 1})
            self._end_sessions(db, name)
            self._changed(What.USER_DISABLED, who.name, name)

    def set_wards(self, who: Person, name: str, wards: Collection[str]) -> None:
        """From the next request on."""
        with self._memory.writing() as db:
            self._known(name)
            db.table("users").update(name, {"wards": _wards(wards)})
            self._changed(What.USER_WARDS, who.name, name, wards=sorted(wards))

    def set_password(self, who: Person, name: str, password: str) -> None:
        """Whoever was in with the old one is out."""
        kept = self._passwords.hash(password)
        with self._memory.writing() as db:
            self._known(name)
            db.table("users").update(name, {"hash": kept})
            self._end_sessions(db, name)
            self._changed(What.USER_PASSWORD, who.name, name)

    def _put(self, db: Database, who: str, row: Row) -> None:
        if not self.any() and row["role"] != Role.ADMIN:
            raise UsageError("The first user must be an admin, who makes the others.")
        if self._memory.one("select 1 from users where name = ?", row["name"]):
            raise UsageError(f"There is a user {row['name']} already.")
        db.table("users").insert({"assignment_id": None, "disabled": 0, **row})
        details = {key: row.get(key) for key in ("role", "wards", "assignment_id")}
        self._changed(What.USER_ADDED, who, row["name"], **details)

    def _changed(self, what: What, who: str, user: str, **details: Any) -> None:
        self._audit.append(what, who=who, now=time.time(), user=user, **details)

    def _known(self, name: str) -> User:
        row = self._memory.one("select * from users where name = ? and not disabled", name)
        if row is None:
            raise UsageError(f"There is no user {name}, or it is disabled.")
        return _user(row)

    def _admins(self) -> list[Row]:
        return self._memory.all("select 1 from users where role = ? and not disabled", str(Role.ADMIN))

    # -- sessions ------------------------------------------------------------------------------------

    def sign_in(self, name: str, password: str, address: str = "") -> str:
        """A new session's token; RefusedError. `address` goes into the audit."""
        row = self._memory.one("select * from users where name = ? and not disabled", name.strip().lower())
        if not self._passwords.fits(password, row["hash"] if row else None):
            raise RefusedError("Wrong name or password.")
        assert row is not None
        if self._passwords.outdated(row["hash"]):
            with self._memory.writing() as db:
                db.table("users").update(row["name"], {"hash": self._passwords.hash(password)})
        return self._begin(row["name"], address)

    def sign_out(self, secret: str) -> None:
        with self._memory.writing() as db:
            held = self._memory.one("select user from sessions where token = ?", digest(secret))
            if held is not None:
                db.execute("delete from sessions where token = ?", [digest(secret)])
                self._audit.append(What.SIGNED_OUT, who=held["user"], now=time.time())

    def refused(self, name: str, address: str) -> None:
        """Somebody was not let in. A name that is no user's is not kept: it may be a password."""
        known = self._memory.one("select name from users where name = ?", name)
        with self._memory.writing():
            self._audit.append(
                What.SIGN_IN_REFUSED,
                who=Who.NOBODY,
                now=time.time(),
                user=known["name"] if known else None,
                address=address,
            )

    def person(self, secret: str | None, *, using: bool = True) -> Person | None:
        """Whose session it is, None where it is nobody's any more; `using` it keeps it from idling."""
        if not self.required:
            return LOCAL
        now, idle = time.time(), self._config.idle_h * HOUR_S
        row = secret and self._memory.one(
            "select * from sessions join users on users.name = sessions.user"
            " where token = ? and not disabled and began_at > ? and seen_at > ?",
            digest(secret),
            now - self._config.session_h * HOUR_S,
            now - idle,
        )
        if not row:
            return None
        if using and now - row["seen_at"] > min(TOUCH_S, idle / 2):
            with self._memory.writing() as db:
                db.execute("update sessions set seen_at = ? where token = ?", [now, row["token"]])
        return Person(
            name=row["name"],
            role=Role(row["role"]),
            wards=frozenset(json.loads(row["wards"])),
            assignment_id=row["assignment_id"],
        )

    def _begin(self, name: str, address: str) -> str:
        secret, now = token(), time.time()
        with self._memory.writing() as db:
            db.execute("delete from sessions where began_at <= ?", [now - self._config.session_h * HOUR_S])
            row = {"token": digest(secret), "user": name, "began_at": now, "seen_at": now}
            db.table("sessions").insert(row)
            self._audit.append(What.SIGNED_IN, who=name, now=now, address=address)
        return secret

    def _end_sessions(self, db: Database, name: str) -> None:
        db.execute("delete from sessions where user = ?", [name])

    # -- codes ---------------------------------------------------------------------------------------

    def first_code(self) -> str:
        """Makes its bearer the first admin; those before it are void."""
        return self._code(Role.ADMIN, None, FIRST_S)

    def invite(self, who: Person, to: Assignment) -> str:
        """Makes its bearer the assignment's patient; UsageError for what is in another's ward."""
        if not may(who, Action.ASSIGN, to):
            raise UsageError(f"There is no patch {to.patch_id} in your wards.")
        with self._memory.writing():
            at = time.time()
            self._audit.append(What.INVITED, who=who.name, now=at, patch_id=to.patch_id, assignment_id=to.id)
        return self._code(Role.PATIENT, to.id, INVITED_S)

    def _code(self, role: Role, assignment_id: int | None, lasts_s: float) -> str:
        secret = code()
        row = {"code": digest(secret), "role": str(role), "assignment_id": assignment_id}
        with self._memory.writing() as db:
            db.execute("delete from codes where role = ? and assignment_id is ?", [str(role), assignment_id])
            db.table("codes").insert({**row, "expires_at": time.time() + lasts_s})
        return secret

    def join(self, secret: str, name: str, password: str, address: str = "") -> str:
        """The user that a code makes, and its first session's token; the code is used up.

        Raises:
            RefusedError: the code is not good, any more or at all.
            UsageError: the name or the password will not do; the code stays good.
        """
        kept, refused = digest(typed(secret)), RefusedError("This code is not good, or not any more.")
        if self._good(kept) is None:
            raise refused
        row = {"name": _name(name), "wards": "[]", "hash": self._passwords.hash(password)}
        with self._memory.writing() as db:
            good = self._good(kept)
            if good is None:
                raise refused
            self._put(db, row["name"], {**row, **good})
            db.execute("delete from codes where code = ?", [kept])
            self._audit.append(What.CODE_USED, who=row["name"], now=time.time(), **good, address=address)
        return self._begin(row["name"], address)

    def _good(self, kept: str) -> Row | None:
        """Role and assignment of a code; the first user's is good only while there is none."""
        return self._memory.one(
            "select role, assignment_id from codes where code = ? and expires_at > ?"
            " and (role = ? or not exists (select 1 from users))",
            kept,
            time.time(),
            str(Role.PATIENT),
        )


def _name(name: str) -> str:
    """As it is kept; UsageError where it will not do."""
    name = name.strip().lower()
    if not NAME.fullmatch(name) or name in {LOCAL.name, *Who}:
        raise UsageError(
            f"A user cannot be called {name!r}: 1 to 32 letters a-z, digits, dots and hyphens, "
            f"and not {', '.join((LOCAL.name, *Who))}."
        )
    return name


def _wards(wards: Collection[str]) -> str:
    return json.dumps(sorted({UNASSIGNED if ward == UNASSIGNED else ward_of(ward) for ward in wards}))


def _user(row: dict[str, Any]) -> User:
    return User(
        name=row["name"],
        role=Role(row["role"]),
        wards=tuple(json.loads(row["wards"])),
        disabled=bool(row["disabled"]),
    )
