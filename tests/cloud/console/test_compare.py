"""Two to four ECGs compared: usual beats over each other, strips that stand on R, and what changed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from cloud.assignments import Assignments
from cloud.config import CloudConfig
from cloud.console import said
from cloud.people import People
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.ecg import Segment, read_only, segment_id
from models.wire import encode_segment

DAY_S = 86_400.0
UTC_0 = 1_700_000_000.0
PX_PER_S = 25 * 96 / 25.4
Analysed = Callable[..., str]
On = Callable[..., None]


@pytest.fixture
def analysed(store: SqliteStore, network: Localizer, excerpt_parts: list[Segment]) -> Analysed:
    """Commits a part of the excerpt as an episode of its own and lets a worker analyse it; its id."""
    worker = Worker(store, network, CloudConfig())

    def put(number: int = 0, *, days: float = 0.0, times: int = 1, work: bool = True, **more: Any) -> str:
        part = replace(excerpt_parts[number], **{"patch_id": "p", "part": 0, "final": True, **more})
        me = segment_id(part.patch_id, part.boot_id, part.first, part.last)
        clock = replace(part.clock, utc_0=UTC_0 + days * DAY_S)
        counts = read_only(times * part.counts)
        part = replace(part, id=me, episode_id=me, clock=clock, counts=counts)
        store.commit_segment(encode_segment(part, 0, "w"), part, seq=0, site="w", now=time.time())
        while work and (job := store.claim("test", 60.0, now=time.time())) is not None:
            assert worker.work(job)
        return me

    return put


@pytest.fixture
def on(store: SqliteStore) -> On:
    """Puts a patch on a patient, since long ago."""

    def put(patch: str, patient: str, ward: str = "A") -> None:
        assignments = Assignments(store)
        assignments.assign(LOCAL, patch, patient, ward, start=UTC_0 - DAY_S, name=f"Mx {patient}")

    return put


@pytest.fixture
def pair(analysed: Analysed) -> list[str]:
    """30 s and, a day later, the 15 s after them."""
    return [analysed(0), analysed(1, days=1)]


def asked(server: Any, episodes: list[str], at: tuple[int, ...] = ()) -> dict[str, Any]:
    answer = httpx.get(f"{server.url}/api/compare", params={"episode": episodes, "at": at}, timeout=30)
    table: dict[str, Any] = answer.json()
    said.Comparison.model_validate(table)
    return table


def row(table: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(row for row in table["rows"] if row["name"] == name)
    return found


def show(page: Page, server: Any, episodes: list[str]) -> None:
    page.goto(f"{server.url}/compare?{'&'.join(f'episode={one}' for one in episodes)}")
    expect(page.locator("ecg-strip[data-ready]")).to_have_count(len(episodes))
    wait_laid(page, len(episodes))


def wait_laid(page: Page, count: int) -> None:
    for _ in range(100):
        if len(laid(page)) == count:
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"only {laid(page)} of {count} strips were laid on R")


def laid(page: Page) -> dict[str, float]:
    """Where each strip's R stands, px from the left edge of them all."""
    return dict(json.loads(page.locator(".strips").get_attribute("data-laid") or "{}"))


# -- the numbers --------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_reports_and_differences_are_signed(
    server: Any, store: SqliteStore, pair: list[str]
) -> None:
    table = asked(server, pair)
    reports = [report for one in pair if (report := store.report(one))]
    assert len(reports) == 2
    for name, of in (("mean rate", "heart_rate_mean"), ("QRS duration", "qrs"), ("QT interval", "qt")):
        values = [getattr(report.measurements, of) for report in reports]
        told = [None if value is None else round(value) for value in values]
        assert row(table, name)["values"] == told
        assert row(table, name)["differences"] == [None if None in told else told[1] - told[0]]
    share = row(table, "ventricular premature beats, of all beats")
    counts = [sum(f.label == "V" for f in report.findings) for report in reports]
    beats = [report.measurements.beats for report in reports]
    assert share["values"] == [round(100 * n / of, 1) for n, of in zip(counts, beats, strict=True)]
    assert share["signed"][0].endswith(" points")
    assert share["signed"][0][0] in "+\N{MINUS SIGN}"
    assert row(table, "analysed")["differences"] == [None]


def test_what_is_not_measured_or_not_assessed_is_said_and_has_no_difference(
    server: Any, analysed: Analysed
) -> None:
    table = asked(server, [analysed(0), analysed(1, days=1, times=0)])
    rate = row(table, "mean rate")
    assert rate["values"][0] is not None
    assert (rate["values"][1], rate["differences"]) == (None, [None])
    assert rate["said"][1] == [{"text": "not measured", "cite": None}]
    assert row(table, "QTc interval")["said"][0][0]["text"] == "not assessed"
    assert any("no usual beat" in caution for caution in table["cautions"])
    assert "ST deviation" in table["not_assessed"]
    assert table["wording"].startswith("Decision support.")


def test_a_standstill_is_in_the_table(server: Any, analysed: Analysed, excerpt_parts: list[Segment]) -> None:
    still = excerpt_parts[0].counts.copy()
    first, after = (round(s * excerpt_parts[0].fs) for s in (10, 20))
    still[:, first:after] = still[:, first, None]
    table = asked(server, [analysed(0), analysed(0, days=1, boot_id=2, counts=still)])
    assert row(table, "pauses")["values"] == [0, 1]
    first_said, then_said = row(table, "rhythm")["values"]
    assert "pauses" not in first_said
    assert "auses for " in then_said
    assert row(table, "rhythm")["differences"] == ["differs"]
    assert {row(table, name)["unit"] for name in ("stretches of slow heart rate", "fusion beats")} == {""}


def test_the_earlier_comes_first_and_the_chosen_beat_goes_with_its_episode(
    server: Any, pair: list[str]
) -> None:
    late, early = (ecg["r_peak"] for ecg in asked(server, pair)["ecgs"][::-1])
    table = asked(server, [pair[1], pair[0]], (late + 5, early + 400))
    assert [ecg["id"] for ecg in table["ecgs"]] == pair
    first, second = (ecg["r_peak"] for ecg in table["ecgs"])
    assert second == late
    assert early < first < early + 800


def test_an_ecg_is_like_itself_and_unlike_itself_upside_down(server: Any, analysed: Analysed, on: On) -> None:
    ids = [analysed(0), analysed(0, days=1, patch_id="q"), analysed(0, days=2, patch_id="r", times=-1)]
    for patch in "pqr":
        on(patch, "one")
    table = asked(server, ids)
    (shape,) = table["shapes"]
    assert shape["qrs"][0] == shape["whole"][0] == 1.0
    assert shape["qrs"][1] < 0.5
    assert "different patches" in table["cautions"][0]
    assert table["one_heart"]


def test_one_that_is_not_analysed_yet_says_so(server: Any, analysed: Analysed) -> None:
    table = asked(server, [analysed(0), analysed(1, days=1, work=False)])
    assert row(table, "rhythm")["said"][1] == [{"text": "not analysed yet", "cite": None}]
    assert table["cautions"] == ["ECG b is not analysed yet."]


def test_a_lead_that_one_has_not_is_said_and_compared_with_nothing(server: Any, analysed: Analysed) -> None:
    table = asked(server, [analysed(0), analysed(1, days=1, leads=("V5",))])
    assert "ECG a has no lead V5." in table["cautions"]
    assert [shape["qrs"] for shape in table["shapes"]] == [[None], [None]]
    assert [shape["beats"].count(None) for shape in table["shapes"]] == [1, 1]


@pytest.mark.parametrize("count", [1, 5])
def test_one_or_five_cannot_be_compared(server: Any, count: int) -> None:
    params = {"episode": ["E"] * count}
    assert httpx.get(f"{server.url}/api/compare", params=params).status_code == 422


# -- whose they are -----------------------------------------------------------------------------------------


def test_different_patients_are_named_and_no_difference_is_told(
    page: Page, server: Any, analysed: Analysed, on: On
) -> None:
    ids = [analysed(0), analysed(1, days=1, patch_id="q")]
    on("p", "Bell")
    on("q", "Hart")
    table = asked(server, ids)
    assert not table["one_heart"]
    assert {d for r in table["rows"] for d in r["differences"]} == {None}
    assert table["shapes"][0]["qrs"] == [None]
    show(page, server, ids)
    said = page.locator(".compare > header .caution").first
    expect(said).to_have_text(
        "These ECGs are not of one patient: a Mx Bell, patch p; b Mx Hart, patch q. No difference is told."
    )


def test_patches_on_nobody_are_not_taken_for_one_heart(server: Any, analysed: Analysed) -> None:
    table = asked(server, [analysed(0), analysed(1, days=1, patch_id="q")])
    assert not table["one_heart"]
    assert "not known to be of one patient" in table["cautions"][0]


def test_an_episode_of_another_ward_does_not_exist_here(
    server: Any, people: People, enter: Callable[[str], httpx.Client], analysed: Analysed, on: On
) -> None:
    ids = [analysed(0), analysed(1, days=1, patch_id="q")]
    on("p", "Bell", "A")
    on("q", "Hart", "B")
    nurse = enter("nurse-a")
    for path in ("/compare", "/api/compare"):
        answer = nurse.get(path, params={"episode": ids})
        assert (answer.status_code, answer.json()["detail"]) == (404, f"There is no episode {ids[1]}.")
    assert enter("chief").get("/api/compare", params={"episode": ids}).status_code == 200


# -- the page -----------------------------------------------------------------------------------------------


def test_r_stands_at_one_place_in_all_strips_and_they_are_panned_together(
    page: Page, server: Any, pair: list[str]
) -> None:
    show(page, server, pair)
    begin = laid(page)
    assert abs(begin["a"] - begin["b"]) <= 1
    page.keyboard.press("ArrowRight")
    moved = laid(page)
    assert moved["a"] - begin["a"] == pytest.approx(-PX_PER_S, abs=1.5)
    assert abs(moved["a"] - moved["b"]) <= 1
    page.wait_for_timeout(100)
    page.locator("ecg-strip .scroll").first.evaluate("scroller => { scroller.scrollLeft += 200 }")
    page.wait_for_timeout(200)
    panned = laid(page)
    assert panned["a"] - moved["a"] == pytest.approx(-200, abs=1.5)
    assert abs(panned["a"] - panned["b"]) <= 1


def test_r_stays_over_r_at_another_paper_speed(page: Page, server: Any, pair: list[str]) -> None:
    show(page, server, pair)
    page.locator("ecg-strip").first.get_by_label("Speed").select_option("50")
    page.wait_for_timeout(200)
    places = laid(page)
    assert abs(places["a"] - places["b"]) <= 1
    page.locator("h2").click()
    page.keyboard.press("ArrowRight")
    moved = laid(page)
    assert moved["a"] - places["a"] == pytest.approx(-2 * PX_PER_S, abs=1.5)
    assert abs(moved["a"] - moved["b"]) <= 1


def test_another_beat_is_chosen_by_keyboard_and_stays_in_the_address(
    page: Page, server: Any, pair: list[str]
) -> None:
    show(page, server, pair)
    before = page.locator(".one").first.get_attribute("data-at")
    page.get_by_role("button", name="ECG a: the next beat").focus()
    page.keyboard.press("Enter")
    after = page.locator(".one").first.get_attribute("data-at")
    assert int(after or 0) > int(before or 0)
    places = laid(page)
    assert abs(places["a"] - places["b"]) <= 1
    page.reload()
    assert page.locator(".one").first.get_attribute("data-at") == after


def test_each_can_be_hidden_and_is_told_by_letter_and_dash(page: Page, server: Any, pair: list[str]) -> None:
    show(page, server, pair)
    beats = page.locator("figure [data-of]")
    expect(beats).to_have_count(2)
    dashes = [
        beats.nth(i).locator("path").evaluate("p => getComputedStyle(p).strokeDasharray") for i in (0, 1)
    ]
    assert dashes[0] != dashes[1]
    assert sorted(beats.locator("text").all_text_contents()) == ["a", "b"]
    page.get_by_role("checkbox").first.uncheck()
    expect(page.locator('figure [data-of="a"]')).to_be_hidden()
    expect(page.locator('.one[data-of="a"]')).to_be_hidden()
    expect(page.locator('.one[data-of="b"]')).to_be_visible()


def test_they_are_asked_about_together_and_a_citation_shows_its_place(
    page: Page, server: Any, pair: list[str]
) -> None:
    show(page, server, pair)
    page.get_by_label("Question").fill("And together?")
    page.keyboard.press("Enter")
    page.locator(".sentence .cite", has_text="[b4]").first.click()
    assert page.locator('ecg-strip[data-ecg="b"]').get_attribute("data-cited") is not None
    page.wait_for_timeout(200)
    places = laid(page)
    assert abs(places["a"] - places["b"]) <= 1
    cite = page.locator(".changes .cite").first
    cite.click()
    assert page.locator('ecg-strip[data-ecg="a"]').get_attribute("data-cited") is not None


def test_a_phone_needs_no_sideways_scrolling(page: Page, server: Any, pair: list[str]) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    show(page, server, pair)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_ticked_alerts_are_compared(page: Page, server: Any, commit: Callable[..., Segment]) -> None:
    commit()
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.locator("[data-tick]").first.check()
    expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    commit(patch_id="other")
    expect(page.locator("[data-tick]")).to_have_count(2)
    for box in page.locator("[data-tick]").all():
        box.check()
    page.get_by_role("button", name="Compare").click()
    expect(page.locator("h2")).to_have_text("2 ECGs compared")
    expect(page.locator(".compare > header .caution").first).to_contain_text("not known to be of one patient")
