"""2 to 4 ECGs beside each other: usual beats over each other, strips laid on R, a table of what changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, HTTPException, Query
from fastapi.responses import HTMLResponse

from cloud.console import said
from cloud.console.changes import Ecg, changes
from cloud.console.overlay import MM_PER_S, panels
from cloud.console.seen import Seen
from cloud.console.session import Render, needs
from cloud.console.views import REVIEW, WORDING, EpisodeView
from cloud.reading import signal, whole
from cloud.roles import Action
from cloud.strips import lettered
from models.anyecg.evidence import Evidence
from models.anyecg.usual import UsualBeat, laid_on, usual_beat

LETTERS = "abcd"
MOST = len(LETTERS)
LEAD_IN_S = 2.0  # before the beat that is laid on the others', where nobody chose one

Seeing = Annotated[Seen, Depends(needs(Action.SEE))]
Wanted = Annotated[list[str], Query(alias="episode", min_length=2, max_length=MOST)]
Places = Annotated[list[int] | None, Query(alias="at", max_length=MOST)]
Row = dict[str, Any]


def routes(render: Render) -> APIRouter:
    """`/compare` for people, `/api/compare` for machines; `at` is a sample of each episode, in order."""
    router = APIRouter()

    @router.get("/compare", response_class=HTMLResponse, include_in_schema=False)
    def page(seen: Seeing, episode: Wanted, at: Places = None) -> HTMLResponse:
        ecgs = _ecgs(seen, episode, at or [])
        gain, drawn = panels({ecg.letter: ecg.beat for ecg in ecgs if ecg.beat})
        scale = {"mm_per_s": MM_PER_S, "mm_per_mv": gain}
        return render("compare.html", person=seen.person, ecgs=ecgs, panels=drawn, **scale, **changes(ecgs))

    @router.get("/api/compare", **said.answers(said.Comparison))
    def table(seen: Seeing, episode: Wanted, at: Places = None) -> Row:
        """Of each ECG the numbers of its newest report, and how they differ from the first one's.

        The ECGs go by their time where all of it is known, else as asked for.
        """
        ecgs = _ecgs(seen, episode, at or [])
        told = ("id", "patch_id", "first", "last", "fs", "leads", "final")
        about = [
            {
                "letter": ecg.letter,
                **{name: getattr(ecg.view.episode, name) for name in told},
                "patients": ecg.view.hands,
                "recorded": ecg.recorded,
                "r_peak": ecg.at,
            }
            for ecg in ecgs
        ]
        return {"ecgs": about, **changes(ecgs), "review": REVIEW, "wording": WORDING}

    return router


def _ecgs(seen: Seen, episodes: Sequence[str], at: Sequence[int]) -> list[Ecg]:
    """By their time, where it is known of all; each usual beat lies on the first that there is."""
    asked = [(_view(seen, one), at[i] if i < len(at) else None) for i, one in enumerate(episodes)]
    begun = [view.episode.utc(view.episode.first) for view, _ in asked]
    if None not in begun:
        asked = [asked[i] for i in np.argsort([b or 0.0 for b in begun], kind="stable")]
    out: list[Ecg] = []
    for place, (view, sample) in enumerate(asked):
        known = None if view.evidence is None else lettered(view.evidence, place, None)
        first = next((ecg.beat for ecg in out if ecg.beat), None)
        beat = _usual(seen, view, known)
        beats = [(round(t * view.episode.fs), label) for t, label in (known.beats if known else ())]
        out.append(
            Ecg(
                letter=LETTERS[place],
                view=view,
                known=known,
                beat=laid_on(beat, first) if beat and first else beat,
                beats=tuple(r for r, _ in beats),
                at=_chosen(beats, view, sample),
                hands=seen.worn_by(view.episode),
            )
        )
    return out


def _view(seen: Seen, episode_id: str) -> EpisodeView:
    view = EpisodeView.of(seen, episode_id)
    if view is None:
        raise HTTPException(404, f"There is no episode {episode_id}.")
    return view


def _usual(seen: Seen, view: EpisodeView, known: Evidence | None) -> UsualBeat | None:
    """Of the normal beats that the report knows of."""
    parts = seen.parts(view.episode.id)
    if known is None or not parts:
        return None
    microvolts, fs, leads, missing = signal(parts, whole(parts[0], parts[-1]))
    normal = [round(t * fs) - parts[0].first for t, label in known.beats if label == "N"]
    return usual_beat(microvolts, fs, leads, np.asarray(normal, dtype=np.int64), missing)


def _chosen(beats: Sequence[tuple[int, str]], view: EpisodeView, sample: int | None) -> int | None:
    """The beat nearest to a sample; where none was asked for, the normal one nearest to 2 s of the strip."""
    wanted = view.episode.first + round(LEAD_IN_S * view.episode.fs) if sample is None else sample
    normal = [r for r, label in beats if label == "N" and sample is None]
    return min(normal or [r for r, _ in beats], key=lambda r: abs(r - wanted), default=None)
