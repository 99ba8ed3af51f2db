"""What people make of a generated report: revisions of its sentences, its signature, and addenda.

    generated ──▶ revision ──▶ revision ──▶ signed ──▶ addendum ──▶ addendum

A row is never changed. Each holds the generated report that it rests on, as that was then: a newer one, of
further parts, touches nothing that a person wrote. Of one episode all rows have one sequence of versions; who
writes says which version was on the screen, and the second of two is told who was first.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from cloud.audit import Audit
from cloud.chain import Head, What, sha256_of_text
from cloud.drafts import ConflictError, NoReportError, Revision, Signature, Standing, Summary, Written
from cloud.memory import Memory
from cloud.quiet import RefusedError
from cloud.reports import Frame, framed
from cloud.roles import LOCAL, Person
from cloud.rows import Row
from models.verdicts import Report

T = TypeVar("T", Revision, Signature)

MOST_SENTENCES = 200
LONGEST = 20_000  # characters of a report, of an addendum, or of a summary
UNNAMED = "A report is signed by a named person: make a user under People and sign in as that."


class Signing:
    """Revisions, signatures and addenda in the cloud's memory. May be used from any thread.

    `generated` reads the newest generated report of an episode.
    """

    def __init__(self, memory: Memory, audit: Audit, generated: Callable[[str], Report | None]) -> None:
        self._memory, self._audit, self._generated = memory, audit, generated

    def standing(self, episode_id: str) -> Standing:
        read = "select * from {} where episode_id = ? order by version"
        return Standing(
            revisions=tuple(
                _written(Revision, row) for row in self._memory.all(read.format("revisions"), episode_id)
            ),
            signatures=tuple(
                _written(Signature, row) for row in self._memory.all(read.format("signatures"), episode_id)
            ),
        )

    def revise(
        self,
        episode_id: str,
        who: Person,
        sentences: Sequence[str],
        *,
        rests_on: str,
        version: int,
        now: float,
    ) -> Standing:
        """The report in these sentences; `rests_on` is the SHA-256 of the generated one that was edited.

        Raises:
            ConflictError: somebody was first, or that generated report is not there any more.
            NoReportError: nothing is generated yet.
            RefusedError: it is signed, or too long.
        """
        with self._memory.writing():
            standing = self._current(episode_id, version)
            if standing.signed:
                raise RefusedError(
                    f"{standing.signed.who} signed this report: write an addendum, which is signed too."
                )
            base = self._base(episode_id, standing, rests_on)
            text = framed(base["generated"]).text(sentences)
            if len(sentences) > MOST_SENTENCES:
                raise RefusedError(f"A report has at most {MOST_SENTENCES} sentences.")
            _short(text)
            diff = _difference(framed(base["generated"]), text, who.name)
            row = base | {"text": text, "diff": diff}
            self._put("revisions", What.REPORT_EDITED, row, standing, who, now, lines=diff.count("\n"))
        return self.standing(episode_id)

    def sign(
        self, episode_id: str, who: Person, *, sha256: str, version: int, for_patient: str, now: float
    ) -> Standing:
        """Signs the text that the person read, of which `sha256` is the hash.

        Raises:
            ConflictError: somebody was first, or it is another text now.
            NoReportError: nothing is generated yet.
            RefusedError: it is signed, or nobody is signed in.
        """
        with self._memory.writing():
            standing = self._current(episode_id, version)
            if standing.signed:
                raise RefusedError(f"{standing.signed.who} signed this report already.")
            report = self._report(episode_id)
            text = standing.text(report)
            if sha256_of_text(text) != sha256:
                raise ConflictError(None)
            base = _base_of(standing.draft) if standing.draft else self._fresh(report)
            self._put_signature(base, text, for_patient, standing, who, now)
        return self.standing(episode_id)

    def add(
        self, episode_id: str, who: Person, text: str, *, version: int, for_patient: str, now: float
    ) -> Standing:
        """An addendum to a signed report, signed by who wrote it.

        Raises:
            ConflictError: somebody was first.
            RefusedError: the report is not signed yet, nothing is said, or nobody is signed in.
        """
        with self._memory.writing():
            standing = self._current(episode_id, version)
            if standing.signed is None:
                raise RefusedError("The report is not signed yet: edit it.")
            if not text.strip():
                raise RefusedError("An addendum says something.")
            self._put_signature(
                _base_of(standing.signed), text, for_patient, standing, who, now, addendum=True
            )
        return self.standing(episode_id)

    def signed_summary(
        self,
        *,
        episode_id: str | None = None,
        patch_id: str | None = None,
        begin: float = 0.0,
        end: float = float("inf"),
    ) -> Summary | None:
        """The newest signed summary for the patient: of an episode, or of what a patch recorded wholly from
        `begin` to before `end` (Unix seconds; an assignment's bounds). None: nobody has signed one."""
        row = self._memory.one(
            "select episode_id, for_patient as text, who, at from signatures s where for_patient != ''"
            " and (?1 is null or episode_id = ?1) and (?2 is null or coalesce(("
            " select min(coalesce(g.patch_id = ?2 and utc_0 + first / clock_fs >= ?3"
            " and utc_0 + last / clock_fs < ?4, 0)) from segments g where g.episode_id = s.episode_id), 0))"
            " order by at desc, id desc limit 1",
            *(episode_id, patch_id, begin, end),
        )
        return Summary(**row) if row else None

    def renewed_since(self, row: Written) -> bool:
        """Whether what its citations speak of has changed: the report was made anew of the same parts."""
        return bool(
            self._memory.scalar(
                "select exists (select 1 from audit"
                " where episode_id = ? and report_id = ? and what = ? and number > ?)",
                *(row.episode_id, row.report_id, What.REPORT_RENEWED, row.head.number),
            )
        )

    # -- within a transaction ------------------------------------------------------------------------

    def _current(self, episode_id: str, version: int) -> Standing:
        standing = self.standing(episode_id)
        if standing.version != version:
            raise ConflictError(standing.newest)
        return standing

    def _report(self, episode_id: str) -> Report:
        report = self._generated(episode_id)
        if report is None:
            raise NoReportError("There is no report yet: nothing is edited or signed before it is generated.")
        return report

    def _base(self, episode_id: str, standing: Standing, rests_on: str) -> Row:
        """Of the generated report with this hash: the one that the draft rests on, or the newest."""
        if standing.draft and sha256_of_text(standing.draft.generated) == rests_on:
            return _base_of(standing.draft)
        report = self._report(episode_id)
        if sha256_of_text(report.narrative) != rests_on:
            raise ConflictError(None)
        return self._fresh(report)

    def _fresh(self, report: Report) -> Row:
        head = self._audit.report_head(report) or self._audit.head()  # a report of before there was a chain
        return {
            "episode_id": report.episode_id,
            "report_id": report.id,
            "generated": report.narrative,
            "head_number": head.number,
            "head_hash": head.hash,
        }

    def _put_signature(
        self,
        base: Row,
        text: str,
        for_patient: str,
        standing: Standing,
        who: Person,
        now: float,
        *,
        addendum: bool = False,
    ) -> None:
        if who.name == LOCAL.name:
            raise RefusedError(UNNAMED)
        _short(text)
        _short(for_patient)
        sha256 = sha256_of_text(text)
        row = base | {"addendum": int(addendum), "text": text, "sha256": sha256, "for_patient": for_patient}
        what = What.REPORT_ADDED if addendum else What.REPORT_SIGNED
        self._put("signatures", what, row, standing, who, now, text=sha256)

    def _put(
        self, table: str, what: What, row: Row, standing: Standing, who: Person, now: float, **details: Any
    ) -> None:
        row = row | {"version": standing.version + 1, "who": who.name, "at": now}
        self._audit.wrote(table, what, row, report_id=row["report_id"], **details)


def _short(text: str) -> None:
    if len(text) > LONGEST:
        raise RefusedError(f"That is too long: {len(text)} characters, and at most {LONGEST} are kept.")


def _difference(base: Frame, text: str, who: str) -> str:
    """A line each, behind ' ', '-' or '+', under two lines that name both sides; nothing where they agree."""
    before, after = base.text().split("\n"), text.split("\n")
    whole = len(before) + len(after)
    return "\n".join(difflib.unified_diff(before, after, "generated", who, lineterm="", n=whole))


def _base_of(row: Written) -> Row:
    base = {name: getattr(row, name) for name in ("episode_id", "report_id", "generated")}
    return base | {"head_number": row.head.number, "head_hash": row.head.hash}


def _written(kind: type[T], row: Row) -> T:
    head = Head(row.pop("head_number"), row.pop("head_hash"))
    if "addendum" in row:
        row["addendum"] = bool(row["addendum"])
    return kind(**row, head=head)
