"""axe-core over every screen, light, dark and at a phone's width: nothing serious, nothing critical."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from cloud.assignments import Assignments
from cloud.people import People
from cloud.replays import Replays
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from models.ecg import Segment
from models.verdicts import Finding, Priority
from models.wire import encode_segment

PASSWORD = "correct horse battery"
GRAVE = {"serious", "critical"}
LEFT = {("scrollable-region-focusable", ".scroll"), ("meta-refresh", 'meta[http-equiv="refresh"]')}
LOOKS: dict[str, tuple[int, Literal["light", "dark"]]] = {  # width in px, colours
    "light": (1400, "light"),
    "dark": (1400, "dark"),
    "phone": (390, "light"),
}


@dataclass(frozen=True)
class Screen:
    """`path` may name {episode}, {patch} and {alert}; `ready` is waited for."""

    path: str
    who: Literal["chief", "nurse-a", "operator", "pat", ""] = "chief"  # "": nobody is signed in
    ready: str = "main"


SCREENS = [
    Screen("/", ready="ecg-strip[data-ready]"),
    Screen("/", who="pat"),
    Screen("/patches", who="nurse-a"),
    Screen("/people"),
    Screen("/password", who="nurse-a"),
    Screen("/login", who=""),
    Screen("/join", who=""),
    Screen("/replays"),
    Screen("/replays/run", ready="article"),
    Screen("/replays/diff?a=run&b=other", ready="table"),
]


@pytest.fixture
def clinic(
    store: SqliteStore,
    people: People,
    commit: Callable[..., Segment],
    beat: Callable[..., None],
    server: Any,
    tmp_path: Path,
) -> dict[str, str]:
    """Something of everything that a screen shows; ids by name."""
    assignments = Assignments(store)
    held = assignments.assign(
        LOCAL, "made", "one", "A", start=1_600_000_000.0, name="Anna Berg", born="1950-01-02", phone="0123"
    )
    people.join(people.invite(LOCAL, held), "pat", PASSWORD)
    part = commit()
    for patch, priority in (("low", Priority.LOW), ("medium", Priority.MEDIUM)):
        commit(patch_id=patch, priority=priority)
        beat(patch, lead_off=["II"], ended=patch == "low")
    beat()
    (medium,) = (a.alert.id for a in store.alerts() if a.alert.priority is Priority.MEDIUM)
    store.book.see(medium, "nurse-a", "desk", 1, now=time.time())
    store.book.suppress(medium, "nurse-a", "desk", 2, hours=1, reason="a known noise", now=time.time())
    store.raise_technical("made", "lag", "Samples come late.", now=time.time())
    replays = Replays(tmp_path / "replays", store)
    for run in ("run", "other"):
        run_of(replays, run, part)
    return {"episode": part.episode_id, "patch": "made", "alert": store.alerts()[0].alert.id}


def run_of(replays: Replays, run: str, part: Segment) -> None:
    """A replay of one analysed part."""
    with contextlib.closing(replays.open(run, make=True)) as store:
        store.commit_segment(encode_segment(part, 1, run), part, seq=1, site=run, now=time.time())
        job = store.claim("test", 60.0, now=time.time())
        assert job is not None
        assert store.finish(job, outcome_of(part), now=time.time())


def outcome_of(part: Segment) -> Outcome:
    found = Finding(
        segment_id=part.id, label="V", first=500, last=530, leads=("II",), probability=0.9, evidence={}
    )
    return Outcome(
        episode_id=part.episode_id,
        findings=(found,),
        open=(),
        reports=(),
        network="l",
        network_sha256="0" * 64,
    )


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: f"{screen.path} {screen.who}".strip())
def test_a_screen_has_no_grave_violation(
    browser: Browser, server: Any, clinic: dict[str, str], screen: Screen
) -> None:
    context = browser.new_context(reduced_motion="reduce", base_url=server.url)
    if screen.who:
        sent = {"name": screen.who, "password": PASSWORD}
        assert context.request.post("/login", form=sent).ok
    page = context.new_page()
    page.goto(screen.path.format(**clinic))
    page.wait_for_selector(screen.ready)
    wrong = {}
    for look, (width, colours) in LOOKS.items():
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=colours)
        wrong[look] = found(page)
    context.close()
    assert wrong == {look: [] for look in LOOKS}


def found(page: Page) -> list[str]:
    """The grave violations, each with where it is and what is wrong."""
    return [
        f"{violation['id']} ({violation['impact']}) at {node['target']}: {node['failureSummary']}"
        for violation in Axe().run(page).response["violations"]
        if violation["impact"] in GRAVE
        for node in violation["nodes"]
        if (violation["id"], node["target"][0]) not in LEFT
    ]
