"""What people mark on a strip: a finding put right, one that was missed, or one that is wrong.

The model's findings stay as they are. An annotation may replace one of them, or an annotation before; with no
label it says that the replaced one is wrong. Rows are never changed: what nothing replaces stands.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cloud.audit import Audit
from cloud.chain import What
from cloud.memory import Memory
from cloud.quiet import RefusedError
from cloud.roles import Person
from cloud.rows import Row
from models.verdicts import LABELS, Finding, Kind

LONGEST = 2000  # characters of a comment


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What a person says of a stretch; samples, both included."""

    first: int
    last: int
    label: str | None  # a key of LABELS; None: what it replaces is wrong
    leads: tuple[str, ...]
    comment: str = ""
    replaces: str | None = None  # id of a finding or of an annotation


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """A stored mark, by whom and when; `replaced` is what it replaced, as that was then."""

    id: str
    episode_id: str
    mark: Mark
    who: str
    at: float  # Unix seconds
    replaced: Mapping[str, Any] = field(default_factory=dict)  # label, first, last

    def finding(self) -> Finding | None:
        """As a finding, which no rule and no network decided; None where it says that one is wrong.

        A beat that was corrected keeps its R peak where that still lies in it; a new one's is its middle.
        """
        mark = self.mark
        if mark.label is None:
            return None
        evidence: dict[str, Any] = {"by": self.who}
        if LABELS[mark.label].kind is Kind.BEAT:
            peak = self.replaced.get("r_peak")
            inside = peak is not None and mark.first <= peak <= mark.last
            evidence["r_peak"] = peak if inside else (mark.first + mark.last) // 2
        return Finding(
            segment_id="",
            label=mark.label,
            first=mark.first,
            last=mark.last,
            leads=mark.leads,
            probability=None,
            evidence=evidence,
        )


class TakenError(RefusedError):
    """Somebody else has replaced it already."""

    def __init__(self, by: Annotation) -> None:
        self.by = by
        super().__init__(f"{by.who} was first and has corrected this already. Look at the strip again.")


class Annotations:
    """Annotations in the cloud's memory. May be used from any thread."""

    def __init__(self, memory: Memory, audit: Audit) -> None:
        self._memory, self._audit = memory, audit

    def every(self, episode_id: str) -> list[Annotation]:
        """Also those that were replaced, oldest first."""
        rows = self._memory.all("select * from annotations where episode_id = ? order by id", episode_id)
        return [_annotation(row) for row in rows]

    def standing(self, episode_id: str) -> list[Annotation]:
        """Those that no other one replaced, in order of samples."""
        every = self.every(episode_id)
        gone = {one.mark.replaces for one in every}
        return sorted((one for one in every if one.id not in gone), key=lambda one: (one.mark.first, one.id))

    def add(self, episode_id: str, who: Person, mark: Mark, *, now: float) -> Annotation:
        """
        Raises:
            TakenError: what it replaces was replaced before.
            RefusedError: no such label, lead, sample or finding.
        """
        with self._memory.writing():
            replaced = self._replaced(episode_id, mark)
            self._hold(episode_id, mark)
            row: Row = {
                "episode_id": episode_id,
                "first": mark.first,
                "last": mark.last,
                "label": mark.label,
                "leads": json.dumps(mark.leads),
                "comment": mark.comment,
                "who": who.name,
                "at": now,
                "replaces": mark.replaces,
                "replaced": json.dumps(replaced),
            }
            told = {"label": mark.label, "replaces": mark.replaces}
            number = self._audit.wrote("annotations", What.ANNOTATED, row, **told)
        return _annotation({**row, "id": number})

    def _replaced(self, episode_id: str, mark: Mark) -> Row:
        """What it replaces, as that stands now."""
        if mark.replaces is None:
            return {}
        every = {one.id: one for one in self.every(episode_id)}
        for one in every.values():
            if one.mark.replaces == mark.replaces:
                raise TakenError(one)
        if mark.replaces in every:
            before = every[mark.replaces].mark
            known = every[mark.replaces].replaced
            label = before.label or known.get("label")  # of what was said to be wrong
            return {**known, "label": label, "first": before.first, "last": before.last}
        row = self._memory.one(
            "select label, first, last, evidence from findings where id = ? and episode_id = ?",
            *(mark.replaces, episode_id),
        )
        if row is None:
            raise RefusedError(f"There is no finding {mark.replaces} in this episode any more: look again.")
        peak = json.loads(row.pop("evidence")).get("r_peak")
        return row if peak is None else {**row, "r_peak": peak}

    def _hold(self, episode_id: str, mark: Mark) -> None:
        """RefusedError where it does not fit onto the episode's strip."""
        held = self._memory.one(
            "select min(first) as first, max(last) as last, leads from segments where episode_id = ?",
            episode_id,
        )
        if held is None or held["first"] is None:
            raise RefusedError(f"There is no episode {episode_id}.")
        if mark.label is None and mark.replaces is None:
            raise RefusedError("Say what there is, or which finding is wrong.")
        if mark.label is not None and mark.label not in LABELS:
            raise RefusedError(f"There is no label {mark.label!r}: {', '.join(LABELS)}.")
        if not held["first"] <= mark.first <= mark.last <= held["last"]:
            raise RefusedError("An annotation begins before it ends, and lies on the strip.")
        _known(mark.leads, json.loads(held["leads"]))
        if len(mark.comment) > LONGEST:
            raise RefusedError(f"A comment has at most {LONGEST} characters.")


def _known(leads: Sequence[str], held: Sequence[str]) -> None:
    if not leads or not set(leads) <= set(held):
        raise RefusedError(f"An annotation is of one or more of the leads {', '.join(held)}.")


def _annotation(row: Row) -> Annotation:
    names = ("first", "last", "label", "comment", "replaces")
    mark = Mark(**{name: row[name] for name in names}, leads=tuple(json.loads(row["leads"])))
    known = {name: row[name] for name in ("episode_id", "who", "at")}
    return Annotation(id=str(row["id"]), mark=mark, replaced=json.loads(row["replaced"]), **known)
