"""What people mark on strips, over HTTP.

404 no such episode, 409 somebody has corrected that finding already, 422 it does not fit onto the strip.
"""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from cloud.annotations import LONGEST, Annotation, Annotations, Mark, TakenError
from cloud.console import said
from cloud.console.seen import Seen
from cloud.console.session import needs
from cloud.console.views import moment
from cloud.quiet import RefusedError
from cloud.roles import Action
from cloud.store import Episode
from models.verdicts import LABELS

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]
Annotating = Annotated[Seen, Depends(needs(Action.ANNOTATE))]
Answer = dict[str, Any]
MARKED = said.answers(said.AnnotationRow, status=201, s409=said.Taken)
Sample = Annotated[int, Field(ge=0, lt=2**53)]


class Marked(BaseModel):
    """Samples, both included; no label: what it replaces, a finding or an annotation, is wrong."""

    model_config = ConfigDict(extra="forbid")

    first: Sample
    last: Sample
    label: str | None = Field(None, max_length=16)
    leads: list[Annotated[str, Field(max_length=64)]] = Field(max_length=64)
    comment: str = Field("", max_length=LONGEST)
    replaces: str | None = Field(None, max_length=64)


def annotating(annotations: Annotations) -> APIRouter:
    """Its routes."""
    router = APIRouter(prefix="/api/episodes/{episode_id}/annotations")

    @router.get("", **said.answers(list[said.AnnotationRow]))
    def every(seen: Seeing, episode_id: str) -> list[Answer]:
        """Those that no other one replaced, in order of samples."""
        return annotation_rows(seen, _episode(seen, episode_id, Action.SEE))

    @router.post("", **MARKED)
    def add(seen: Annotating, episode_id: str, given: Marked) -> JSONResponse:
        episode = _episode(seen, episode_id, Action.ANNOTATE)
        mark = Mark(**given.model_dump(exclude={"leads"}), leads=tuple(given.leads))
        try:
            added = annotations.add(episode_id, seen.person, mark, now=time.time())
        except TakenError as error:
            return JSONResponse({"detail": str(error), "by": error.by.who, "at": error.by.at}, 409)
        except RefusedError as error:
            raise HTTPException(422, str(error)) from error
        return JSONResponse(_row(added, episode), 201)

    return router


def annotation_rows(seen: Seen, episode: Episode) -> list[Answer]:
    return [_row(one, episode) for one in seen.annotations(episode.id)]


def _row(one: Annotation, episode: Episode) -> Answer:
    mark = one.mark
    wrong = mark.label is None
    label = str(one.replaced.get("label")) if mark.label is None else mark.label
    return {
        "id": one.id,
        "label": mark.label,
        "wrong": wrong,
        "plain": f"{'not ' if wrong else ''}{label} {LABELS[label].plain if label in LABELS else ''}",
        "first": mark.first,
        "last": mark.last,
        "leads": mark.leads,
        "comment": mark.comment,
        "replaces": mark.replaces,
        "replaced": one.replaced,
        "who": one.who,
        "when": moment(one.at),
        "at_s": mark.first / episode.fs,
        "lasts_s": (mark.last + 1 - mark.first) / episode.fs,
    }


def _episode(seen: Seen, episode_id: str, action: Action) -> Episode:
    episode = seen.episode(episode_id)
    if episode is None or not seen.may(action, episode):
        raise HTTPException(404, f"There is no episode {episode_id}.")
    return episode
