"""What is asked of edges: kept until the edge answers, and said again until then.

The inbox sends what is `due` over MQTT; a broker, a node or an edge that dies in between costs a repetition.
The edge does each command once, by its id, and answers a repetition as it answered before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloud.audit import Audit
from cloud.chain import What, Who, canonical
from cloud.memory import Memory
from cloud.rows import Row
from models.commands import Answer, body_of
from models.ecg import make_id
from models.errors import PayloadError, UsageError

REPEAT_S = 10.0  # after the first sending; twice as long each time, up to
SLOWEST_S = 120.0
MOST_PULLS = 50  # that may wait for a patch


class State(StrEnum):
    """How a command stands."""

    WAITING = "waiting"  # for the edge, or the edge for the patch
    DONE = "done"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A command and what became of it. Times are Unix seconds."""

    id: str
    patch_id: str
    kind: str
    body: Mapping[str, Any]
    asked_by: str
    asked_at: float
    sends: int  # how often it was sent
    sent_at: float | None  # last
    state: State
    reason: str  # of a refusal, or how it was done
    told: Mapping[str, Any]  # by the edge, beside that
    answered_at: float | None


class Commands:
    """May be used from any thread. Errors of the database are DeliveryError."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._audit = Audit(memory)

    def send(self, patch_id: str, kind: str, body: Mapping[str, Any], *, by: str, now: float) -> str:
        """Ask it of the patch's edge, wherever that is now; the command's id. A mark (at `at`, with its
        `symptom_id`) is one command however often it is asked for, and so is a pull that still waits.

        Raises:
            UsageError: the body is not what the kind says, or too many pulls wait for this patch.
        """
        text = _checked(kind, body)
        when = () if kind == "mark" else (now,)
        me = make_id("command", patch_id, kind, text, *when)
        with self._memory.writing():
            waiting = "select id from commands where patch_id = ? and kind = ? and state = 'waiting'"
            same = self._memory.one(f"{waiting} and body = ?", patch_id, kind, text)
            same = same or self._memory.one("select id from commands where id = ?", me)
            if same is not None:
                return str(same["id"])
            if kind != "mark" and len(self._memory.all(waiting, patch_id, kind)) >= MOST_PULLS:
                raise UsageError(f"{MOST_PULLS} commands wait for patch {patch_id}: wait for their answers.")
            row = {"id": me, "patch_id": patch_id, "kind": kind, "body": text, "asked_by": by}
            self._memory.insert("commands", {**row, "asked_at": now, "due_at": now})
            self._tell(me, patch_id, kind, State.WAITING, now)
            self._audit.append(
                What.COMMAND_ASKED, who=by, now=now, patch_id=patch_id, command=me, kind=kind, body=text
            )
        return me

    def of(self, command_id: str) -> Asked | None:
        row = self._memory.one("select * from commands where id = ?", command_id)
        return _asked(row) if row else None

    def of_patch(self, patch_id: str, limit: int = 100) -> list[Asked]:
        """Newest first."""
        held = "select * from commands where patch_id = ? order by asked_at desc, id limit ?"
        return [_asked(row) for row in self._memory.all(held, patch_id, limit)]

    def pulls(self, patch_id: str, begin: float, end: float) -> list[Asked]:
        """What its edge was asked for by moments and touches a time (Unix seconds); newest first,
        however many came since."""
        held = self._memory.all(
            "select * from commands where patch_id = ? and kind = 'pull-range'"
            " and json_extract(body, '$.begin') < ? and json_extract(body, '$.end') > ?"
            " order by asked_at desc, id",
            *(patch_id, end, begin),
        )
        return [_asked(row) for row in held]

    # -- for the inbox -------------------------------------------------------------------------------

    def due(self, now: float, limit: int = 50) -> list[tuple[str, Asked]]:
        """(site, command) of what is to be sent, oldest first; a patch that was never heard has no site."""
        held = self._memory.all(
            "select c.*, p.site from commands c join patches p using (patch_id)"
            " where c.state = 'waiting' and c.due_at <= ? order by c.asked_at, c.id limit ?",
            now,
            limit,
        )
        return [(row.pop("site"), _asked(row)) for row in held]

    def sent(self, asked: Asked, now: float) -> None:
        again = now + min(REPEAT_S * 2**asked.sends, SLOWEST_S)
        with self._memory.writing() as db:
            db.execute(
                "update commands set sends = sends + 1, sent_at = ?, due_at = ? where id = ?",
                [now, again, asked.id],
            )

    def hasten(self, patch_id: str, now: float) -> None:
        """Its edge is there: what waits for it waits no longer."""
        later = "patch_id = ? and state = 'waiting' and due_at > ?"
        if self._memory.one(f"select 1 from commands where {later}", patch_id, now):  # noqa: S608
            with self._memory.writing() as db:
                db.execute(f"update commands set due_at = ? where {later}", [now, patch_id, now])  # noqa: S608

    def answered(self, patch_id: str, answer: Answer, *, now: float) -> None:
        """The first answer stands; PayloadError where nothing such was asked of the patch."""
        with self._memory.writing() as db:
            row = self._memory.one("select * from commands where id = ?", answer.id)
            if row is None or row["patch_id"] != patch_id:
                sentence = f"Nothing was asked of patch {patch_id} under {answer.id}."
                raise PayloadError("unknown", sentence)
            if row["state"] != State.WAITING:
                return
            told = canonical(answer.told)
            outcome = {"state": answer.state, "reason": answer.reason, "told": told, "answered_at": now}
            db.table("commands").update(answer.id, outcome)
            self._tell(answer.id, patch_id, row["kind"], State(answer.state), now)
            self._audit.append(
                What.COMMAND_ANSWERED,
                who=Who.EDGE,
                now=now,
                patch_id=patch_id,
                command=answer.id,
                kind=row["kind"],
                state=answer.state,
                reason=answer.reason,
                told=told,
            )

    def _tell(self, me: str, patch_id: str, kind: str, state: State, now: float) -> None:
        self._memory.tell("command", {"id": me, "patch_id": patch_id, "kind": kind, "state": state}, now)


def _checked(kind: str, body: Mapping[str, Any]) -> str:
    """The body as it is kept."""
    try:
        return canonical(body_of(kind, body).model_dump(exclude_none=True))
    except PayloadError as error:
        raise UsageError(str(error)) from error


def _asked(row: Row) -> Asked:
    fields = {name: value for name, value in row.items() if name != "due_at"}
    read = {"body": json.loads(row["body"]), "told": json.loads(row["told"]), "state": State(row["state"])}
    return Asked(**fields | read)
