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

from cloud.annotations import Mark
from cloud.assignments import Assignments
from cloud.chain import sha256_of_text
from cloud.people import People
from cloud.replays import Replays
from cloud.reports import FOOT
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from cloud.symptoms import Told
from models.anyecg.evidence import Evidence, Fact
from models.ecg import Segment
from models.verdicts import Finding, Measurements, Priority, Report
from models.wire import encode_segment

PASSWORD = "correct horse battery"
UTC_0 = 1_700_000_000.0
NARRATIVE = (
    "Template report. AI-generated, not yet reviewed.\n1 ventricular premature beat [a1].\n"
    f"Mean rate 60 /min [a2].\nNo alerts is not normal: 3.0 s could not be analysed.\n{FOOT}"
)
GRAVE = {"serious", "critical"}
LOOKS: dict[str, tuple[int, Literal["light", "dark"]]] = {  # width in px, colours
    "light": (1400, "light"),
    "dark": (1400, "dark"),
    "phone": (390, "light"),
}


@dataclass(frozen=True)
class Screen:
    """`path` may name {episode}, {signed} and {patch}; `ready` is waited for, then `keys` are pressed."""

    path: str
    who: Literal["chief", "nurse-a", "operator", "pat", ""] = "chief"  # "": nobody is signed in
    ready: str = "main"
    keys: str = ""


SCREENS = [
    Screen("/", ready="ecg-strip[data-ready]"),
    Screen("/", ready="ecg-strip[data-ready]", keys="2"),
    Screen("/", ready="ecg-strip[data-ready]", keys="3"),
    Screen("/", ready="ecg-strip[data-ready]", keys="c"),
    Screen("/", ready="ecg-strip[data-ready]", keys="jx"),
    Screen("/", ready="ecg-strip[data-ready]", keys="?"),
    Screen("/", who="operator", ready="ecg-strip[data-ready]"),
    Screen("/", who="pat"),
    Screen("/symptom", who="pat"),
    Screen("/patches/{patch}/disclosure?day=2023-11-14", ready="#disclosure[data-ready]"),
    Screen("/patches/{patch}/day?date=2023-11-14", ready=".sheet[data-ready]"),
    Screen("/episodes/{episode}", ready="ecg-strip[data-ready]"),
    Screen("/episodes/{episode}/report", ready=".rail button"),
    Screen("/episodes/{signed}/report", who="nurse-a", ready="ecg-strip[data-ready]"),
    Screen("/compare?episode={episode}&episode={signed}", ready=".strips[data-laid]"),
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
    settle: Callable[..., None],
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
    part = reported(commit, settle)
    later = reported(commit, settle, number=1, begin=1)
    people_wrote(store, part, later)
    eve = Person(name="pat", role=Role.PATIENT, assignment_id=held.id)
    store.symptoms.tell(eve, Told(kind="palpitations", minutes="0", note="like a drum"), UTC_0 + 10)
    store.symptoms.tell(eve, Told(kind="dizziness", minutes="5"), time.time())
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
    return {"episode": part.episode_id, "signed": later.episode_id, "patch": "made"}


def reported(
    commit: Callable[..., Segment], settle: Callable[..., None], number: int = 0, begin: int = 0
) -> Segment:
    """A part with a V and a report that cites it."""
    part = commit(number, begin=begin, found=False)
    about = {"pr": None, "qrs": 92.0, "qt": None, "rr_median": 1000.0, "heart_rate_mean": 60.0}
    measured = Measurements(
        beats=20, heart_rate_min=58.0, heart_rate_max=62.0, analysed_s=17.0, not_analysed_s=3.0, **about
    )
    report = Report(
        id=f"R{number}", episode_id=part.episode_id, segment_ids=(part.id,), findings=(),
        measurements=measured, narrative=NARRATIVE, abstentions=(), model="template/2",
    )  # fmt: skip
    start = 20.0 * number
    beats = tuple((start + second + 0.5, "N") for second in range(10, 19))
    facts = (
        Fact(id="a1", label="V", spans=((start + 2.0, start + 2.12),)),
        Fact(id="a2", label="RATE", value=60.0),
    )
    known = Evidence(letter="a", leads=("II",), start=start, end=start + 20, facts=facts, beats=beats)
    settle(part, reports=(report,), evidence={report.id: known})
    return part


def people_wrote(store: SqliteStore, part: Segment, signed: Segment) -> None:
    """A finding corrected in one episode and its report edited; that of the other one signed and added to."""
    chief = Person(name="chief", role=Role.ADMIN)
    found = store.findings(part.episode_id)[0]
    mark = Mark(first=500, last=530, label="S", leads=("II",), comment="narrow", replaces=found.id)
    store.annotations.add(part.episode_id, chief, mark, now=time.time())
    rests = sha256_of_text(NARRATIVE)
    signing, said = store.signing, ["1 early beat.", "Mean rate 60 /min [a2]."]
    for one in (part, signed):
        signing.revise(one.episode_id, chief, said, rests_on=rests, version=0, now=time.time())
    text = signing.standing(signed.episode_id).newest
    assert text is not None
    sha256 = sha256_of_text(text.text)
    signing.sign(signed.episode_id, chief, sha256=sha256, version=1, for_patient="All well.", now=time.time())
    signing.add(signed.episode_id, chief, "Seen again.", version=2, for_patient="", now=time.time())


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


@pytest.mark.parametrize(
    "screen", SCREENS, ids=lambda screen: f"{screen.path} {screen.who} {screen.keys}".strip()
)
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
    for key in screen.keys:
        page.keyboard.press(key)
        page.wait_for_timeout(1000)  # what it shows is there, and was looked at
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
    ]
