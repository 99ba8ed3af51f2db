"""The report editor: a page, and the same over HTTP.

404 no such episode, 409 somebody was first (with who, what and when), 422 not done as it stands.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import HTMLResponse, JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from cloud.chain import sha256_of_text
from cloud.citations import Cited, pieces
from cloud.console import said
from cloud.console.annotating import annotation_rows
from cloud.console.seen import Seen
from cloud.console.session import Render, needs
from cloud.console.views import EpisodeView, lasting, moment
from cloud.drafts import ConflictError, Revision, Signature, Standing, Written, did
from cloud.quiet import RefusedError
from cloud.reports import framed
from cloud.roles import Action
from cloud.signing import LONGEST, MOST_SENTENCES, Signing
from models.verdicts import LABELS, DecidedBy, Report

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]
Editing = Annotated[Seen, Depends(needs(Action.SIGN))]
Answer = dict[str, Any]
WRITTEN = said.answers(said.Newest, s409=said.Conflict)
Text = Annotated[str, Field(max_length=LONGEST)]
DIFF_HEAD = 3  # lines that name both sides and the place


class Expecting(BaseModel):
    """The version that was on the screen; 0: nobody had written anything."""

    model_config = ConfigDict(extra="forbid")

    version: int


class Revised(Expecting):
    """The report in these sentences; `rests_on` is the SHA-256 of the generated one that was edited."""

    rests_on: str = Field(max_length=64)
    sentences: list[Text] = Field(max_length=MOST_SENTENCES)


class Signed(Expecting):
    """`sha256` is that of the text that was read, `for_patient` what the patient may read of it."""

    sha256: str = Field(max_length=64)
    for_patient: Text = ""


class Added(Expecting):
    """An addendum to a signed report."""

    text: Text
    for_patient: Text = ""


def editor(signing: Signing, render: Render) -> APIRouter:
    """The page and its interface."""
    router = APIRouter()

    @router.get("/episodes/{episode_id}/report", response_class=HTMLResponse, include_in_schema=False)
    def page(seen: Seeing, episode_id: str) -> HTMLResponse:
        view = _view(seen, episode_id)
        return render(
            "editor.html",
            person=seen.person,
            view=view,
            told=said_of(seen, view),
            lines=_shown(seen, view),
            changes=[_changes(row) for row in view.signing.revisions],
            annotations=annotation_rows(seen, view.episode),
            labels=[row for row in LABELS.values() if row.decided_by is not DecidedBy.NOT_ASSESSED]
            + [row for row in LABELS.values() if row.decided_by is DecidedBy.NOT_ASSESSED],
            longest=LONGEST,
        )

    @router.get("/api/episodes/{episode_id}/report", **said.answers(said.ReportData | said.NoReportYet))
    def report(seen: Seeing, episode_id: str) -> Answer:
        """What is generated, what people made of it, and what of that is signed."""
        return said_of(seen, _view(seen, episode_id))

    @router.post("/api/episodes/{episode_id}/report/revisions", **WRITTEN)
    def revise(seen: Editing, episode_id: str, given: Revised) -> JSONResponse:
        def do(now: float) -> Standing:
            return signing.revise(
                episode_id,
                seen.person,
                given.sentences,
                rests_on=given.rests_on,
                version=given.version,
                now=now,
            )

        return _done(seen, episode_id, do)

    @router.post("/api/episodes/{episode_id}/report/sign", **WRITTEN)
    def sign(seen: Editing, episode_id: str, given: Signed) -> JSONResponse:
        def do(now: float) -> Standing:
            return signing.sign(
                episode_id,
                seen.person,
                sha256=given.sha256,
                version=given.version,
                for_patient=given.for_patient,
                now=now,
            )

        return _done(seen, episode_id, do)

    @router.post("/api/episodes/{episode_id}/report/addenda", **WRITTEN)
    def add(seen: Editing, episode_id: str, given: Added) -> JSONResponse:
        def do(now: float) -> Standing:
            return signing.add(
                episode_id,
                seen.person,
                given.text,
                version=given.version,
                for_patient=given.for_patient,
                now=now,
            )

        return _done(seen, episode_id, do)

    return router


def _view(seen: Seen, episode_id: str) -> EpisodeView:
    view = EpisodeView.of(seen, episode_id)
    if view is None:
        raise HTTPException(404, f"There is no episode {episode_id}.")
    return view


def _done(seen: Seen, episode_id: str, do: Callable[[float], Standing]) -> JSONResponse:
    view = _view(seen, episode_id)
    if not seen.may(Action.SIGN, view.episode):
        raise HTTPException(404, f"There is no episode {episode_id}.")
    try:
        standing = do(time.time())
    except ConflictError as error:
        return JSONResponse({"detail": str(error), **_brief(error.newest)}, 409)
    except RefusedError as error:
        raise HTTPException(422, str(error)) from error
    return JSONResponse(_brief(standing.newest))


def _brief(newest: Revision | Signature | None) -> Answer:
    if newest is None:
        return {}
    return {"version": newest.version, "by": newest.who, "did": did(newest), "at": newest.at}


# -- what is said of it -------------------------------------------------------------------------------------


def said_of(seen: Seen, view: EpisodeView) -> Answer:
    """The report as it stands; `state` is generated, edited or signed, or None where nothing is generated."""
    if view.report is None:
        return {"episode_id": view.episode.id, "state": None, "version": 0}
    standing, report = view.signing, view.report
    draft, head = standing.draft, seen.report_head(report)
    text, base = standing.text(report), draft.generated if draft else report.narrative
    frame = framed(base)
    whole = text.split("\n")
    return {
        "episode_id": view.episode.id,
        "state": "signed" if standing.signed else "edited" if draft else "generated",
        "version": standing.version,
        "report_id": draft.report_id if draft else report.id,
        "rests_on": sha256_of_text(base),
        "generated": base,
        "sentences": whole[1 : len(whole) - len(frame.kept)],
        "lines": [{"text": line.text, "by": line.by} for line in standing.lines(report)],
        "text": text,
        "sha256": sha256_of_text(text),
        "reviewed": view.reviewed(),
        "newer": _newer(seen, view, report),
        "head": {"number": head.number, "hash": head.hash} if head else None,
        "signatures": [_signature(row) for row in standing.signatures],
        "revisions": [
            {"version": row.version, "who": row.who, "at": row.at, "text": row.text, "diff": row.diff}
            for row in standing.revisions
        ],
    }


def _signature(row: Signature) -> Answer:
    names = ("version", "report_id", "addendum", "text", "sha256", "for_patient", "who", "at")
    row_of: Answer = {name: getattr(row, name) for name in names}
    return row_of | {"signed": moment(row.at), "head": {"number": row.head.number, "hash": row.head.hash}}


def _newer(seen: Seen, view: EpisodeView, report: Report) -> Answer | None:
    """The generated report where it is not the one that people worked on, and how much more it knows."""
    draft = view.signing.draft
    if draft is None or draft.generated == report.narrative:
        return None
    sentence = "A generated report that is newer than this one is there; nobody has reviewed it."
    before = next((row for row in seen.reports(view.episode.id) if row.id == draft.report_id), None)
    rests = seen.segment(before.segment_ids[-1]) if before else None
    if rests and view.reported and view.reported > rests.last:
        more = lasting((view.reported - rests.last) / view.episode.fs)
        sentence += f" It knows {more} of the episode more."
    frame = framed(report.narrative)
    return {
        "said": sentence,
        "generated": report.narrative,
        "rests_on": sha256_of_text(report.narrative),
        "sentences": frame.sentences,
    }


def _shown(seen: Seen, view: EpisodeView) -> list[Answer]:
    """The report's lines as pieces, some of which are citations, with who wrote them."""
    if view.report is None:
        return []
    cited = _cited(seen, view, view.report, view.signing.draft)
    return [{"pieces": pieces(line.text, cited), "by": line.by} for line in view.signing.lines(view.report)]


def _cited(seen: Seen, view: EpisodeView, report: Report, draft: Written | None) -> list[Cited]:
    """What the report rests on; nothing where that has changed since: no citation points elsewhere."""
    if draft is not None:
        reports = {row.id: row for row in seen.reports(view.episode.id)}
        if draft.report_id not in reports or not seen.holds(draft):
            return []
        report = reports[draft.report_id]
    evidence = seen.evidence(report)
    return [Cited(evidence=evidence, findings=report.findings, fs=view.episode.fs)] if evidence else []


def _changes(row: Revision) -> Answer:
    """A revision with its lines, each kept, gone or come."""
    rows = row.diff.split("\n")[DIFF_HEAD:]
    return {
        "who": row.who,
        "when": moment(row.at),
        "lines": [({"-": "gone", "+": "come"}.get(line[:1], "kept"), line[1:]) for line in rows],
    }
