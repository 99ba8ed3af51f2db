"""What is to be delivered of alerts, stored with its due time before anybody sends it.

What fell due while the node was down is due still, and goes out once; what a person answered in between does
not go out at all. At least once: whoever was killed between sending and marking sends it again under the same
key (alert, version and channel).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from cloud.alerts import Standing
from cloud.config import EscalationStep
from cloud.memory import Memory
from cloud.rows import Row
from models.sqlite import Database
from models.verdicts import Priority

Channel = Literal["page", "mqtt", "webhook", "email"]

LEASE_S = 30.0  # a sender that has not said how it went by then is taken for dead
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 300.0  # between tries, doubled each time
MQTT = "mqtt"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One message of an alert to one target, claimed by its sender."""

    id: int
    key: str  # alert / version / channel; a receiver that knows it has the message already
    alert_id: str
    patch_id: str
    version: int  # of the alert, when it was scheduled
    channel: Channel
    target: str  # address of a webhook or a person; "" otherwise
    after_s: float  # since the alert called
    due_at: float  # Unix s
    first_tried_at: float
    attempts: int  # 1 at the first


class Deliveries:
    """Table `deliveries`: waiting -> done | hushed | given up."""

    def __init__(self, memory: Memory, escalation: Sequence[EscalationStep]) -> None:
        self._memory = memory
        self._escalation = escalation

    # -- inside the transaction of a transition --------------------------------------------------------

    def schedule(self, db: Database, standing: Standing) -> None:
        """The steps of the escalation from `called_at` on: one that is over already is due at once."""
        for step in self._steps(standing):
            self._add(db, standing, step.channel, step.to, standing.called_at + step.after_s, step.after_s)

    def escalate(self, db: Database, standing: Standing, now: float) -> None:
        """By hand: every step at once, and again when it is due; the pages hear of the transition itself."""
        for step in self._steps(standing):
            if step.channel != "page":
                self._add(db, standing, step.channel, step.to, now, step.after_s)

    def _steps(self, standing: Standing) -> list[EscalationStep]:
        urgent = standing.alert.priority
        return [step for step in self._escalation if urgent >= Priority[step.priority.upper()]]

    def hush(self, db: Database, alert_id: str) -> None:
        db.execute(
            "update deliveries set state = 'hushed'"
            " where alert_id = ? and state = 'waiting' and channel != 'mqtt'",
            [alert_id],
        )

    def publish(self, db: Database, standing: Standing, now: float) -> None:
        """The newest state takes the place of older ones that have not gone out."""
        db.execute(
            "update deliveries set state = 'hushed'"
            " where patch_id = ? and state = 'waiting' and channel = 'mqtt'",
            [standing.alert.patch_id],
        )
        self._add(db, standing, MQTT, "", now, 0.0)

    def _add(
        self, db: Database, standing: Standing, channel: str, target: str, due: float, after_s: float
    ) -> None:
        alert = standing.alert
        key = f"{alert.id}/{standing.version}/{f'{after_s:g}s/{target}' if target else channel}"
        row: Row = {"key": key, "alert_id": alert.id, "patch_id": alert.patch_id, "channel": channel}
        row |= {"version": standing.version, "target": target, "after_s": after_s}
        db.table("deliveries").insert({**row, "due_at": due, "next_try_at": due}, ignore=True)

    # -- a sender's turn -------------------------------------------------------------------------------

    def claim(self, channel: Channel, now: float) -> Delivery | None:
        """What waits longest, leased."""
        due = "select * from deliveries where state = 'waiting' and channel = ? and next_try_at <= ?"
        if self._memory.one(f"{due} limit 1", channel, now) is None:
            return None
        with self._memory.writing() as db:
            row = self._memory.one(f"{due} order by next_try_at, id limit 1", channel, now)
            if row is None:
                return None
            tried = {"attempts": row["attempts"] + 1, "first_tried_at": row["first_tried_at"] or now}
            db.table("deliveries").update(row["id"], {**tried, "next_try_at": now + LEASE_S})
        names = ("id", "key", "alert_id", "patch_id", "version", "channel", "target", "after_s", "due_at")
        return Delivery(**{name: row[name] for name in names}, **tried)

    def next_due(self, channel: Channel) -> float | None:
        due = "select min(next_try_at) from deliveries where state = 'waiting' and channel = ?"
        found: float | None = self._memory.scalar(due, channel)
        return found

    def done(self, delivery: Delivery, now: float) -> None:
        with self._memory.writing() as db:
            db.table("deliveries").update(delivery.id, {"state": "done", "error": None, "done_at": now})

    def failed(self, delivery: Delivery, error: str, give_up_s: float, now: float) -> None:
        """Later again, or given up; nothing where it was hushed meanwhile."""
        pause = min(FIRST_PAUSE_S * 2.0 ** min(delivery.attempts - 1, 20), LONGEST_PAUSE_S)
        over = now - delivery.first_tried_at >= give_up_s
        with self._memory.writing() as db:
            db.execute(
                "update deliveries set state = ?, error = ?, next_try_at = ?"
                " where id = ? and state = 'waiting'",
                ["given up" if over else "waiting", error, now + pause, delivery.id],
            )

    def publish_again(self, now: float) -> None:
        """A broker that was away may have lost what it kept: every patch's newest state, once more."""
        with self._memory.writing() as db:
            db.execute(
                "update deliveries"
                " set state = 'waiting', error = null, next_try_at = ?, first_tried_at = null"
                " where id in (select max(id) from deliveries where channel = 'mqtt' group by patch_id)",
                [now],
            )

    # -- reading ---------------------------------------------------------------------------------------

    def failing(self) -> dict[str, str]:
        """Patch -> what cannot be delivered of its alerts, and why."""
        rows = self._memory.all(
            "select d.patch_id, channel, target, error from deliveries d join alerts a on a.id = alert_id"
            " where error is not null and (d.state = 'waiting'"
            " or d.state = 'given up' and a.state in ('raised', 'seen')) order by d.id"
        )
        text = "An alert cannot be delivered to {}: {}"
        return {row["patch_id"]: text.format(place(row), row["error"]) for row in rows}

    def of_alert(self, alert_id: str) -> list[Row]:
        """For people: the channel, when it was due and how it went."""
        rows = self._memory.all("select * from deliveries where alert_id = ? order by due_at, id", alert_id)
        names = ("key", "channel", "version", "after_s", "due_at", "attempts", "state", "error", "done_at")
        return [{"to": place(row)} | {name: row[name] for name in names} for row in rows]


def place(row: Row) -> str:
    """Without what may be secret in a webhook's address."""
    if row["channel"] == "webhook":
        return f"the webhook at {urlsplit(row['target']).hostname}"
    address = str(row["target"]).removeprefix("mailto:")
    return {"email": address, "mqtt": "the broker"}.get(row["channel"], "the page")
