"""What people made of a report: revisions, signatures and addenda, without a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from cloud.chain import Head
from cloud.quiet import RefusedError
from cloud.reports import framed
from models.verdicts import Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a person wrote, and what it rests on."""

    id: int
    episode_id: str
    version: int
    report_id: str
    generated: str  # the report's narrative as it was then
    text: str
    who: str
    at: float  # Unix seconds
    head: Head  # the row of the audit chain that told of that report


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision(Written):
    """The report in a person's words; `diff` leads from the generated one to them, a line each."""

    diff: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature(Written):
    """A named person answers for exactly this text."""

    addendum: bool
    sha256: str  # hex, of the text
    for_patient: str  # what a patient may read of it; often nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Of a report; `by` is who wrote it, None where it was generated."""

    text: str
    by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """All that people wrote of an episode's report, oldest first."""

    revisions: tuple[Revision, ...] = ()
    signatures: tuple[Signature, ...] = ()

    @property
    def newest(self) -> Revision | Signature | None:
        rows: list[Revision | Signature] = [*self.revisions, *self.signatures]
        return max(rows, key=lambda row: row.version, default=None)

    @property
    def version(self) -> int:
        """0: nobody wrote anything."""
        return self.newest.version if self.newest else 0

    @property
    def signed(self) -> Signature | None:
        return next((row for row in self.signatures if not row.addendum), None)

    @property
    def addenda(self) -> tuple[Signature, ...]:
        return tuple(row for row in self.signatures if row.addendum)

    @property
    def draft(self) -> Revision | Signature | None:
        """What the report says now: as signed, or as last revised; None: as generated."""
        return self.signed or (self.revisions[-1] if self.revisions else None)

    def text(self, report: Report) -> str:
        """What it says now; `report` is the generated one."""
        return self.draft.text if self.draft else framed(report.narrative).text()

    def lines(self, report: Report) -> list[Line]:
        """The same, each line with who wrote it: whoever was the first to."""
        base = framed(self.draft.generated if self.draft else report.narrative)
        authors: dict[str, str | None] = dict.fromkeys(base.text().split("\n"))
        for revision in self.revisions:
            for text in revision.text.split("\n"):
                authors.setdefault(text, revision.who)
        said = self.text(report).split("\n")
        return [Line(text=text, by=authors.get(text)) for text in said]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a clinician wrote for the patient, and signed."""

    episode_id: str
    text: str
    who: str
    at: float  # Unix seconds


class ConflictError(RefusedError):
    """Somebody was first: what was on the screen is not what stands."""

    def __init__(self, newest: Revision | Signature | None) -> None:
        self.newest = newest
        if newest is None:
            super().__init__("The generated report has changed since: read it again.")
            return
        when = datetime.fromtimestamp(newest.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        super().__init__(f"{newest.who} was first: {did(newest)} at {when}. Read the report again.")


class NoReportError(RefusedError):
    """Nothing is generated yet."""


def did(row: Revision | Signature) -> str:
    if isinstance(row, Revision):
        return "edited"
    return "added to" if row.addendum else "signed"
