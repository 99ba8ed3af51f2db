"""The report editor and annotations: over real HTTP, by role and ward, and in a real browser by keyboard."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from cloud.assignments import Assignments
from cloud.chain import What, Who
from cloud.console.said import ReportData
from cloud.reports import FOOT
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from models.anyecg.evidence import Evidence, Fact
from models.ecg import Segment
from models.verdicts import Measurements, Report

Enter = Callable[[str], httpx.Client]
UTC_0 = 1_700_000_000.0
NOTHING = dict.fromkeys(
    ("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median", "pr", "qrs", "qt")
)
NARRATIVE = (
    "Template report. AI-generated, not yet reviewed.\n1 ventricular premature beat [a1].\n"
    f"Mean rate 60 /min [a2].\nNo alerts is not normal: 3.0 s could not be analysed.\n{FOOT}"
)
PASSWORD = "correct horse battery"
HOSTILE = "<script>alert(1)</script> <b>&amp;</b> {{ 7 * 7 }} \u202e 心電図 \U0001f493 'x' \"y\""


@pytest.fixture
def reported(
    store: SqliteStore, commit: Callable[..., Segment], settle: Callable[..., None]
) -> Callable[..., Segment]:
    """A part with a V and a report that cites it; the patch is in ward A."""

    def put(number: int = 0) -> Segment:
        if number == 0:
            Assignments(store).assign(LOCAL, "made", "P1", "A", start=UTC_0 - 1, name="Anna Berg")
        part = commit(number, found=False)
        ids = (*(s.id for s in store.parts(part.episode_id)),)
        about = {"pr": None, "analysed_s": 17.0, "not_analysed_s": 3.0}
        report = Report(
            id=f"R{number}",
            episode_id=part.episode_id,
            segment_ids=ids,
            findings=(),
            measurements=Measurements(beats=20, **{**NOTHING, **about}),  # type: ignore[arg-type]
            narrative=NARRATIVE.replace("60", str(60 + number)),
            abstentions=(),
            model="template/2",
        )
        facts = (Fact(id="a1", label="V", spans=((2.0, 2.12),)), Fact(id="a2", label="RATE", value=60.0))
        known = Evidence(letter="a", leads=("II",), start=0.0, end=20.0, facts=facts)
        before = store.reports(part.episode_id)
        evidence = {row.id: store.evidence(row.id) for row in before} | {report.id: known}
        settle(part, reports=(*before, report), evidence=evidence)
        return part

    return put


@pytest.fixture
def part(reported: Callable[..., Segment]) -> Segment:
    return reported()


def path_of(part: Segment, end: str = "") -> str:
    return f"/api/episodes/{part.episode_id}/report{end}"


def edit(client: httpx.Client, part: Segment, *sentences: str) -> httpx.Response:
    told = client.get(path_of(part)).json()
    said = {"version": told["version"], "rests_on": told["rests_on"], "sentences": list(sentences)}
    return client.post(path_of(part, "/revisions"), json=said)


def sign(client: httpx.Client, part: Segment, **more: str) -> httpx.Response:
    told = client.get(path_of(part)).json()
    said = {"version": told["version"], "sha256": told["sha256"], **more}
    return client.post(path_of(part, "/sign"), json=said)


def test_a_report_is_read_edited_signed_and_added_to(enter: Enter, part: Segment, store: SqliteStore) -> None:
    clinician = enter("clinician-a")
    told = clinician.get(path_of(part)).json()
    assert (told["state"], told["version"], told["reviewed"]) == ("generated", 0, None)
    assert told["sentences"] == ["1 ventricular premature beat [a1].", "Mean rate 60 /min [a2]."]
    assert edit(clinician, part, HOSTILE).json()["did"] == "edited"
    assert sign(clinician, part, for_patient="All well.").json()["did"] == "signed"
    told = clinician.get(path_of(part)).json()
    assert told["state"] == "signed"
    assert told["reviewed"].startswith("reviewed by clinician-a at 20")
    assert told["sha256"] == hashlib.sha256(told["text"].encode()).hexdigest()
    assert told["sentences"] == [HOSTILE]
    assert told["generated"] == NARRATIVE
    assert told["signatures"][0]["head"] == told["head"]
    ReportData.model_validate(told)
    assert edit(clinician, part, "x").status_code == 422
    added = {"version": told["version"], "text": "Later."}
    assert clinician.post(path_of(part, "/addenda"), json=added).json()["did"] == "added to"
    assert store.signing.signed_summary(patch_id="made").text == "All well."  # type: ignore[union-attr]


def test_the_second_of_two_is_told_who_was_first_and_loses_nothing_of_the_first(
    enter: Enter, part: Segment
) -> None:
    clinician, chief = enter("clinician-a"), enter("chief")
    told = chief.get(path_of(part)).json()
    assert edit(clinician, part, "One.").status_code == 200
    late = {"version": told["version"], "rests_on": told["rests_on"], "sentences": ["Two."]}
    refused = chief.post(path_of(part, "/revisions"), json=late)
    assert refused.status_code == 409
    assert (refused.json()["by"], refused.json()["did"], refused.json()["version"]) == (
        "clinician-a",
        "edited",
        1,
    )
    assert refused.json()["detail"].startswith("clinician-a was first: edited at 20")
    unread = {"version": 1, "sha256": told["sha256"]}
    assert chief.post(path_of(part, "/sign"), json=unread).status_code == 409
    assert chief.get(path_of(part)).json()["sentences"] == ["One."]


POSTS = {
    "/revisions": {"version": 0, "rests_on": "", "sentences": []},
    "/sign": {"version": 0, "sha256": ""},
    "/addenda": {"version": 0, "text": "x"},
}


def test_reports_and_marks_are_of_their_ward_and_of_roles_that_may(enter: Enter, part: Segment) -> None:
    marks = f"/api/episodes/{part.episode_id}/annotations"
    page, mark = (
        f"/episodes/{part.episode_id}/report",
        {"first": 10, "last": 20, "label": "V", "leads": ["II"]},
    )
    for name, read, write, draw in (
        ("viewer-a", 200, 403, 403),
        ("nurse-a", 200, 403, 201),
        ("operator", 200, 403, 403),
        ("viewer-b", 404, 403, 403),
        ("nurse-b", 404, 403, 404),
        ("clinician-b", 404, 404, 404),
    ):
        client = enter(name)
        assert {client.get(path).status_code for path in (page, path_of(part), marks)} == {read}
        assert {client.post(path_of(part, end), json=said).status_code for end, said in POSTS.items()} == {
            write
        }
        assert client.post(marks, json=mark).status_code == draw
    known = enter("clinician-b").get(path_of(part)).text
    assert known == enter("clinician-b").get("/api/episodes/NONE/report").text.replace(
        "NONE", part.episode_id
    )
    assert "Anna Berg" not in enter("operator").get(page).text


def test_nobody_signs_at_a_node_without_users(server: Any, part: Segment) -> None:
    with httpx.Client(base_url=server.url) as client:
        assert edit(client, part, "One.").status_code == 200
        refused = sign(client, part)
        assert (refused.status_code, "by a named person" in refused.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "body", ['{"version": 0, "rests_on": "", "sentences": ["\\ud800"]}', '{"version": 1e99}', "[]"]
)
def test_what_is_no_text_is_refused(server: Any, part: Segment, body: str) -> None:
    headers = {"content-type": "application/json"}
    answer = httpx.post(server.url + path_of(part, "/revisions"), content=body, headers=headers)
    assert answer.status_code == 422


# -- in a browser -------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def unhurried() -> Iterator[None]:
    """What is stored is shown by loading the page again, which on a busy machine takes its time."""
    expect.set_options(timeout=20_000)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def signed_in(browser: Browser, server: Any, people: Any) -> Iterator[Callable[..., Page]]:
    """A page of a person who signed in; whatever its console says fails the test."""
    contexts, complaints = [], []

    def enter_as(name: str, **more: Any) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1500, "height": 1000}, **more})
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: None if "409" in message.text else complaints.append(message.text),
        )
        page.goto(f"{server.url}/login")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.wait_for_url(f"{server.url}/")
        return page

    yield enter_as
    for context in contexts:
        context.close()
    assert complaints == []


def opened(page: Page, server: Any, part: Segment) -> Page:
    page.goto(f"{server.url}/episodes/{part.episode_id}/report")
    page.wait_for_selector("ecg-strip[data-ready]")
    page.wait_for_selector("#annotate[data-ready]")
    return page


def test_a_clinician_edits_and_signs_by_keyboard_and_the_difference_is_kept(
    signed_in: Callable[..., Page], server: Any, part: Segment
) -> None:
    page = opened(signed_in("clinician-a"), server, part)
    expect(page.locator("#draft .standing")).to_have_text("AI-generated, not yet reviewed")
    page.get_by_role("button", name="Edit").press("Enter")
    fields = page.locator("#draft .lines textarea")
    expect(fields).to_have_count(2)
    expect(fields.first).to_be_focused()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(HOSTILE)
    page.get_by_role("button", name="Save the draft").press("Enter")
    expect(page.locator("#draft .own")).to_have_text(f"{HOSTILE} written by clinician-a")
    expect(page.locator(".diff .gone")).to_have_text("1 ventricular premature beat [a1].")
    expect(page.locator(".diff .come")).to_have_text(HOSTILE)
    page.get_by_label("For the patient").fill("A few extra beats.")
    page.get_by_role("button", name="Sign as clinician-a").press("Enter")
    expect(page.locator("#draft .standing")).to_have_text(re.compile("^reviewed by clinician-a at 20"))
    expect(page.locator("#draft .signature")).to_contain_text("A few extra beats.")
    expect(page.get_by_role("button", name="Edit")).to_have_count(0)
    page.get_by_label("Text").fill("Seen again.")
    page.get_by_role("button", name="Add and sign").press("Enter")
    expect(page.locator("#draft .signature").last).to_contain_text("Seen again.")
    page.goto(f"{server.url}/")
    page.wait_for_selector("ecg-strip[data-ready]")
    expect(page.locator("#episode")).to_contain_text("The text was reviewed by clinician-a at 20")


def test_a_citation_is_shown_on_the_strip_beside_the_draft(
    signed_in: Callable[..., Page], server: Any, part: Segment
) -> None:
    page = opened(signed_in("viewer-a"), server, part)
    assert page.get_by_role("button", name="Edit").count() == 0
    page.get_by_role("button", name="[a2]").press("Enter")
    expect(page.locator("ecg-strip[data-cited]")).to_have_attribute("data-cited", re.compile(r"0,4999"))


def test_of_two_browsers_the_second_is_told_who_was_first_and_keeps_its_words(
    signed_in: Callable[..., Page], server: Any, part: Segment
) -> None:
    one, two = (opened(signed_in(name), server, part) for name in ("clinician-a", "chief"))
    for page in (one, two):
        page.get_by_role("button", name="Edit").click()
    line = "#draft .lines textarea"  # the first, once the draft has come; there are others on the page
    one.locator(line).first.fill("One.")
    two.locator(line).first.fill("Two.")
    one.get_by_role("button", name="Save the draft").click()
    expect(one.locator("#draft .own")).to_have_text("One. written by clinician-a")
    two.get_by_role("button", name="Save the draft").click()
    expect(two.get_by_role("alert")).to_contain_text("clinician-a was first: edited at 20")
    expect(two.locator(line).first).to_have_value("Two.")


def test_a_newer_generated_report_is_told_and_touches_nothing(
    signed_in: Callable[..., Page], server: Any, part: Segment, enter: Enter, reported: Callable[..., Segment]
) -> None:
    clinician = enter("clinician-a")
    edit(clinician, part, "One.")
    sign(clinician, part)
    before = clinician.get(path_of(part)).json()
    reported(1)
    page = opened(signed_in("clinician-a"), server, part)
    caution = page.locator("#draft .caution").first
    expect(caution).to_contain_text("A generated report that is newer than this one is there")
    expect(caution).to_contain_text("It knows 20 s of the episode more.")
    after = clinician.get(path_of(part)).json()
    assert {name: after[name] for name in ("text", "sha256", "signatures")} == {
        name: before[name] for name in ("text", "sha256", "signatures")
    }


def test_a_signed_report_whose_generated_one_was_made_anew_is_still_read_and_added_to(
    signed_in: Callable[..., Page], server: Any, part: Segment, enter: Enter, store: SqliteStore
) -> None:
    """A part came late: nothing of the signed text cites what stands there now."""
    clinician = enter("clinician-a")
    sign(clinician, part)
    report = store.report(part.episode_id)
    assert report is not None
    with store.writing():
        renewed = replace(report, narrative=report.narrative.replace("60", "61"))
        store.audit.reported(What.REPORT_RENEWED, Who.WORKER, renewed, "", part.patch_id, time.time())
    page = opened(signed_in("clinician-a"), server, part)
    expect(page.locator("#draft")).to_contain_text("Mean rate 60 /min [a2].")
    assert clinician.get(path_of(part)).json()["reviewed"].endswith(", of an earlier report")


def test_a_nurse_corrects_a_finding_and_adds_one_and_both_stand_on_the_rail(
    signed_in: Callable[..., Page], server: Any, part: Segment, store: SqliteStore
) -> None:
    page = opened(signed_in("nurse-a"), server, part)
    (found,) = store.findings(part.episode_id)
    page.locator(f"[data-finding='{found.id}'] [data-pick]").press("Enter")
    form = page.locator("#annotate form")
    expect(form.get_by_label("What it is")).to_have_value("V")
    form.get_by_label("What it is").select_option("S")
    form.get_by_label("To, s").fill("2.2")
    form.get_by_label("Comment").fill(HOSTILE)
    form.get_by_role("button", name="Save the mark").press("Enter")
    rail = page.locator("ecg-strip .rail button")
    expect(rail).to_have_text(["S by nurse-a"])
    (one,) = store.annotations.standing(part.episode_id)
    assert (one.mark.first, one.mark.last, one.mark.label, one.mark.replaces) == (500, 549, "S", found.id)
    assert one.mark.comment == HOSTILE
    assert store.findings(part.episode_id) == [found]
    expect(page.locator(f"[data-finding='{found.id}']")).to_contain_text("corrected, by nurse-a")
    box = page.locator("ecg-strip canvas").bounding_box()
    assert box is not None
    for x in (200, 400):
        page.mouse.click(box["x"] + x, box["y"] + box["height"] / 2)
    form.get_by_label("What it is").select_option("AFIB")
    form.get_by_role("button", name="Save the mark").click()
    expect(rail).to_have_text(["S by nurse-a", "AFIB by nurse-a"])
    added = store.annotations.standing(part.episode_id)[-1].mark
    assert added.label == "AFIB"
    assert added.last - added.first == pytest.approx(200 / (25 * 96 / 25.4) * 250, abs=3)


def test_the_rail_follows_the_paper_speed_and_calipers_are_no_marks(
    signed_in: Callable[..., Page], server: Any, part: Segment, enter: Enter
) -> None:
    said = {"first": 1250, "last": 1499, "label": "AFIB", "leads": ["II"]}
    path = f"/api/episodes/{part.episode_id}/annotations"
    assert enter("nurse-a").post(path, json=said).status_code == 201
    page = opened(signed_in("nurse-a"), server, part)
    mark = page.locator("ecg-strip .rail button")
    expect(mark).to_have_text(["AFIB by nurse-a"])
    for speed in (25, 50):
        page.get_by_label("Speed").select_option(str(speed))
        page.wait_for_timeout(200)
        left, wide = mark.evaluate("mark => [mark.offsetLeft, mark.offsetWidth]")
        assert (left, wide) == pytest.approx((5 * speed * 96 / 25.4, speed * 96 / 25.4), abs=1.5)
    page.get_by_role("button", name="Calipers").click()
    box = page.locator("ecg-strip canvas").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 200, box["y"] + box["height"] / 2)
    expect(page.get_by_label("From, s")).to_have_value("")
    page.get_by_role("button", name="Calipers").click()
    page.mouse.click(box["x"] + 200, box["y"] + box["height"] / 2)
    expect(page.get_by_label("From, s")).not_to_have_value("")


def test_a_finding_is_said_to_be_wrong(
    signed_in: Callable[..., Page], server: Any, part: Segment, store: SqliteStore
) -> None:
    page = opened(signed_in("nurse-a"), server, part)
    wrong = page.get_by_role("button", name="The picked one is wrong")
    expect(wrong).to_be_disabled()
    page.locator("[data-finding] [data-pick]").click()
    wrong.click()
    expect(page.locator("ecg-strip .rail .wrong")).to_have_text("✕ V by nurse-a")
    assert store.annotations.standing(part.episode_id)[0].mark.label is None


@pytest.mark.parametrize("more", [{"viewport": {"width": 390, "height": 800}}, {"color_scheme": "dark"}])
def test_it_fits_a_phone_and_the_dark(
    signed_in: Callable[..., Page], server: Any, part: Segment, more: dict[str, Any]
) -> None:
    page = opened(signed_in("clinician-a", **more), server, part)
    page.get_by_role("button", name="Edit").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    expect(page.locator("textarea").first).to_be_visible()
