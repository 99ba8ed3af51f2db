"""What is particular to one patch: its own thresholds, and what a person has asked to be quiet about.

Who, when and why stand beside each; nothing is ever changed, a newer row takes an older one's place, and a
quiet rule ends or is ended. In force for a part are the rules of the moment at which it was committed: an
episode that is analysed again, by whomever and whenever, calls as it did. They are rules for whom the patch
was on when they were set, and hold for nothing that it records in other hands. Thresholds go with the patient
to another ward; what is to be quiet each ward decides itself.
"""

from __future__ import annotations

import contextlib
import json
from typing import Any

from pydantic import ValidationError

from cloud.assignments import stay, tenure
from cloud.audit import Audit
from cloud.chain import What
from cloud.config import RuleConfig
from cloud.memory import Memory
from cloud.quiet import InForce, QuietRule, RefusedError, Thresholds
from cloud.rows import Row, sampled_at
from models.sqlite import Database
from models.verdicts import Priority


class PatientRules:
    """Tables `thresholds` and `quiet_rules`."""

    def __init__(self, memory: Memory, audit: Audit) -> None:
        self._memory, self._audit = memory, audit

    def of_part(self, segment_id: str, base: RuleConfig) -> InForce:
        """Those in force when the part was committed, of whom the patch was on when it was recorded; none for
        a part of two patients. `base` is what cloud.toml says."""
        columns = "patch_id, first, last, utc_0, clock_fs, received_at"
        row = self._memory.one(f"select {columns} from segments where id = ?", segment_id)  # noqa: S608
        if row is None:
            return InForce(thresholds=base)
        begin, end = (sampled_at(row, row[name]) for name in ("first", "last"))
        moment = row["received_at"]
        bounds = moment if begin is None else begin, moment if end is None else end
        return self._in_force(row["patch_id"], moment, bounds, base)

    def at(self, patch_id: str, moment: float, base: RuleConfig) -> InForce:
        return self._in_force(patch_id, moment, (moment, moment), base)

    def _in_force(
        self, patch_id: str, moment: float, bounds: tuple[float, float], base: RuleConfig
    ) -> InForce:
        """At a moment, for what was recorded between two."""
        begin, end = bounds
        own = self._own(patch_id, moment, bounds)
        held = tenure(self._memory, patch_id, end)[0], tenure(self._memory, patch_id, begin)[1]
        rows = self._memory.all(
            "select * from quiet_rules where patch_id = ? and since >= ? and since < ?"
            " and since <= ? and until > ? and (ended_at is null or ended_at > ?) order by id",
            patch_id,
            *held,
            moment,
            moment,
            moment,
        )
        thresholds = base
        if own is not None:
            with contextlib.suppress(ValidationError):  # set when the bounds were wider: as if it never was
                thresholds = _with(own, base)
        return InForce(thresholds=thresholds, quiet=tuple(_quiet(row) for row in rows))

    def quiet(self, rule_id: int) -> QuietRule:
        row = self._memory.one("select * from quiet_rules where id = ?", rule_id)
        assert row is not None, "quiet rules are never deleted"
        return _quiet(row)

    def thresholds(self, patch_id: str, moment: float) -> Thresholds | None:
        return self._own(patch_id, moment, (moment, moment))

    def _own(self, patch_id: str, moment: float, bounds: tuple[float, float]) -> Thresholds | None:
        begin, end = bounds
        held = stay(self._memory, patch_id, end)[0], stay(self._memory, patch_id, begin)[1]
        row = self._memory.one(
            "select * from thresholds where patch_id = ? and at >= ? and at < ? and at <= ?"
            " order by id desc limit 1",
            patch_id,
            *held,
            moment,
        )
        if row is None:
            return None
        names = ("patch_id", "at", "who", "reason")
        return Thresholds(own=json.loads(row["own"]), **{name: row[name] for name in names})

    def set_thresholds(self, new: Thresholds, base: RuleConfig) -> None:
        """An empty map is what cloud.toml says again.

        Raises:
            RefusedError: out of bounds, an unknown name, or no reason.
        """
        if not new.reason.strip():
            raise RefusedError("A change of thresholds needs a reason.")
        try:
            checked = _with(new, base)
        except ValidationError as error:
            first = error.errors()[0]
            raise RefusedError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}.") from error
        own = json.dumps({name: getattr(checked, name) for name in new.own})
        row = {"patch_id": new.patch_id, "own": own, "at": new.at}
        with self._memory.writing() as db:
            db.table("thresholds").insert({**row, "who": new.who, "reason": new.reason.strip()})
            told: dict[str, Any] = {"own": json.loads(own), "reason": new.reason.strip()}
            self._audit.append(What.THRESHOLDS_SET, who=new.who, now=new.at, patch_id=new.patch_id, **told)

    # -- inside a transaction ------------------------------------------------------------------------

    def add(self, db: Database, rule: QuietRule) -> int:
        row = {name: getattr(rule, name) for name in ("patch_id", "label", "since", "until", "reason", "who")}
        rule_id = int(str(db.table("quiet_rules").insert({**row, "priority": int(rule.priority)}).last_pk))
        told: dict[str, Any] = {"rule": rule_id, "label": rule.label, "priority": str(rule.priority)}
        told |= {"until": rule.until, "reason": rule.reason}
        self._audit.append(What.QUIET_SET, who=rule.who, now=rule.since, patch_id=rule.patch_id, **told)
        return rule_id

    def end(self, db: Database, rule_id: int, who: str, reason: str, now: float) -> None:
        patch_id = self.quiet(rule_id).patch_id
        self._audit.append(What.QUIET_ENDED, who=who, now=now, patch_id=patch_id, rule=rule_id, reason=reason)
        db.execute(
            "update quiet_rules set ended_at = ?, ended_by = ?, ended_why = ?"
            " where id = ? and ended_at is null",
            [now, who, reason, rule_id],
        )


def _with(new: Thresholds, base: RuleConfig) -> RuleConfig:
    return RuleConfig.model_validate({**base.model_dump(), **new.own})


def _quiet(row: Row) -> QuietRule:
    names = ("id", "patch_id", "label", "since", "until", "reason", "who")
    return QuietRule(priority=Priority(row["priority"]), **{name: row[name] for name in names})
