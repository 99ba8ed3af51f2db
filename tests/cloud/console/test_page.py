"""The triage page in a real browser: live without reload, and honest when it is not."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from cloud.config import RetentionConfig
from cloud.retention import Retention
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.verdicts import Measurements, Priority, Report

Commit = Callable[..., Segment]
Settle = Callable[..., None]
WORDING = "Decision support. Not a diagnosis. Not for emergency monitoring."


def test_an_alert_appears_with_its_strip_without_reload(page: Page, server: Any, commit: Commit) -> None:
    page.goto(server.url)
    expect(page.locator("#queues")).to_contain_text("No alerts is not normal")
    page.evaluate("window.sameDocument = true")
    commit()
    alert = page.locator("[data-alert]")
    expect(alert).to_contain_text("high")
    expect(alert).to_contain_text("ventricular tachycardia")
    expect(alert).to_contain_text("+0")  # recording and arrival time name their UTC offset
    page.wait_for_selector("ecg-strip[data-ready]")
    assert page.evaluate("window.sameDocument") is True


def test_every_surface_carries_its_wording(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.wait_for_selector("[data-finding]")
    text = page.locator("body").inner_text()
    for sentence in (
        WORDING,
        "AI-generated, not yet reviewed",
        "A browser is not a primary alarm",
        "Not assessed: unclassifiable beat, left bundle",
        "ST, QTc",
    ):
        assert sentence in text
    row = page.locator("[data-finding]").inner_text()
    assert "0.93 (threshold 0.50)" in row
    assert "R peak at 2.06 s · QRS 124 ms · RR not measured · model screener/1 0a1b2c3d" in row


def test_the_bar_says_not_live_when_the_server_dies_and_goes_when_it_is_back(
    page: Page, server: Any, store: SqliteStore, commit: Commit
) -> None:
    commit()
    page.goto(server.url)
    page.wait_for_selector("[data-finding]")
    page.wait_for_selector("[data-state=seen]")
    assert page.locator("#not-live").is_hidden()
    page.evaluate("window.sameDocument = true")
    (known,) = store.alerts()
    server.stop()
    page.wait_for_selector("#not-live", state="visible", timeout=10_000)
    assert "Not live" in page.locator("#not-live").inner_text()
    page.wait_for_selector("#acts[data-looked]")
    page.keyboard.press("a")
    expect(page.locator("#notes .kept")).to_contain_text("Not done: the server cannot be reached")
    commit(patch_id="meanwhile")
    seen = store.book.see(known.alert.id, "ann", "desk", 2, now=time.time())
    store.book.acknowledge(known.alert.id, "ann", "desk", seen.version, now=time.time())
    again = type(server)(store, server.port)
    page.wait_for_selector("#not-live", state="hidden", timeout=20_000)
    expect(page.locator("[data-alert]")).to_have_count(2)
    expect(page.locator("#notes")).to_contain_text(
        "acknowledged by ann at"
    )  # told, though nobody listened then
    assert page.evaluate("window.sameDocument") is True
    page.close()
    again.stop()


def test_a_page_whose_script_does_not_come_says_that_it_is_not_live(
    browser: Browser, server: Any, commit: Commit
) -> None:
    commit()
    page = browser.new_page()
    page.route("**/static/console.js", lambda route: route.abort())
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.wait_for_selector("#not-live", state="visible", timeout=10_000)
    page.close()


def test_a_patch_tells_its_age_and_what_was_not_analysed(
    page: Page, server: Any, beat: Callable[..., None]
) -> None:
    beat(unreadable_total_s=62.0, missing_total_s=8.0, outbox_depth=3)
    page.goto(server.url)
    patch = page.locator("article.patch")
    expect(patch).to_contain_text("No alerts is not normal: 1 min 10 s not analysable")
    expect(patch).to_contain_text("3.01 V")
    first = patch.locator("[data-since]").inner_text()
    assert re.search(r"\d s old", first)
    expect(patch.locator("[data-since]")).not_to_have_text(first, timeout=10_000)  # it ticks by itself


def test_a_technical_alert_comes_and_goes_by_itself(page: Page, server: Any, store: SqliteStore) -> None:
    page.goto(server.url)
    store.raise_technical("made", "silent", "No heartbeat for more than 60 s.", now=1_700_000_000.0)
    expect(page.locator(".technical")).to_contain_text("No heartbeat for more than 60 s.")
    store.clear_technical("made", "silent", now=1_700_000_060.0)
    expect(page.locator(".technical")).to_have_count(0)


def test_keys_walk_through_alerts_and_spans(page: Page, server: Any, commit: Commit) -> None:
    commit(patch_id="one")
    commit(patch_id="two")
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    first, second = page.locator("[data-alert]").all()
    assert first.get_attribute("aria-current") == "true"
    page.keyboard.press("j")
    expect(second).to_have_attribute("aria-current", "true")
    page.keyboard.press("k")
    expect(first).to_have_attribute("aria-current", "true")
    page.wait_for_selector("ecg-strip[data-ready]")


def test_the_next_span_is_the_next_to_what_is_in_view(page: Page, server: Any, commit: Commit) -> None:
    firsts = (250, 2500, 2750, 4500)
    commit(spans=[("V", first, first + 30) for first in firsts], at=2600)
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    current = page.locator("tr.current")
    for key, seconds in (("n", "11.00"), ("n", "18.00"), ("n", "1.00"), ("p", "18.00"), ("p", "11.00")):
        page.keyboard.press(key)
        expect(current).to_contain_text(f"{seconds} s")


def test_only_the_newest_choice_is_shown(page: Page, server: Any, commit: Commit) -> None:
    slow = commit(patch_id="slow")
    commit(patch_id="quick")
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route(f"**/fragments/episodes/{slow.episode_id}", hold)
    cards = page.locator("[data-alert]")
    with page.expect_request(f"**/fragments/episodes/{slow.episode_id}"):
        cards.filter(has_text="slow").click()
    cards.filter(has_text="quick").click()
    expect(page.locator("#episode h2")).to_contain_text("quick")
    with page.expect_response(f"**/fragments/episodes/{slow.episode_id}"):
        held[0].continue_()
    page.wait_for_selector("ecg-strip[data-ready]")
    expect(page.locator("#episode h2")).to_contain_text("quick")


def test_an_alert_raised_again_is_shown_where_it_was_and_its_causes_stay_within_reach(
    page: Page, server: Any, commit: Commit
) -> None:
    before = commit(rule="6 or more ventricular beats within 60 s", priority=Priority.LOW)
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.wait_for_selector("[data-state=seen]")
    after = commit(5, begin=5, at=26_000)
    page.wait_for_selector(f'ecg-strip[data-episode="{after.episode_id}"][data-ready]')
    page.locator("[data-cause]", has_text="6 or more ventricular beats").click()
    page.wait_for_selector(f'ecg-strip[data-episode="{before.episode_id}"][data-ready]')
    commit(6, begin=5, found=False)  # news of another episode do not take it away
    expect(page.locator("[data-cause]", has_text="6 or more")).to_have_attribute("aria-current", "true")
    assert page.locator("ecg-strip").get_attribute("data-episode") == before.episode_id


@pytest.mark.parametrize("by", ["mouse", "space"])
def test_what_is_pressed_while_the_queue_is_renewed_is_done(
    page: Page, server: Any, commit: Commit, by: str
) -> None:
    """What was pressed is still there when it is let go: else no click would come, and nobody would know."""
    first = commit(patch_id="first", priority=Priority.LOW)
    commit(patch_id="second")
    page.goto(server.url)
    expect(page.locator("[data-state=seen]")).to_have_count(1)
    pressed = page.locator("[data-patch=first] button").first
    pressed.hover() if by == "mouse" else pressed.focus()
    with page.expect_response("**/fragments/queues"):
        page.mouse.down() if by == "mouse" else page.keyboard.down("Space")
        commit(patch_id="third")
    page.wait_for_timeout(300)  # long enough to be renewed
    page.mouse.up() if by == "mouse" else page.keyboard.up("Space")
    page.wait_for_selector(f'ecg-strip[data-episode="{first.episode_id}"]')
    expect(page.locator("[data-alert]")).to_have_count(3)


def test_many_causes_fold_and_stay_unfolded(page: Page, server: Any, commit: Commit) -> None:
    for number in range(8):
        commit(10 * number, begin=10 * number, rule=f"cause {number}", at=50_000 * number)
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    assert page.locator("[data-cause]:visible").count() == 5
    page.locator("summary", has_text="3 earlier causes").click()
    commit(patch_id="other")
    expect(page.locator("[data-alert]")).to_have_count(2)
    expect(page.locator("[data-cause]", has_text="cause 0")).to_be_visible()


def test_the_reader_keeps_strip_table_and_focus_where_they_were(
    page: Page, server: Any, commit: Commit, settle: Settle, beat: Callable[..., None]
) -> None:
    spans = [("V", first, first + 30) for first in range(0, 4800, 100)]
    commit(spans=spans, at=2000)
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.wait_for_selector("[data-finding]")
    page.locator("[data-alert] button").first.focus()
    places = """() => [".scroll", ".table"].map((name) => document.querySelector(name).scrollLeft
      + document.querySelector(name).scrollTop)"""
    page.keyboard.press("n")
    before, chosen = page.evaluate(places), page.locator("tr.current").inner_text()
    assert min(before) > 0
    settle(commit(1, found=False), spans=spans, at=2000)
    beat()
    expect(page.locator("article.patch")).to_be_visible()
    page.wait_for_selector('ecg-strip[aria-label*=" 40 s"]')
    assert page.evaluate(places) == before
    assert page.locator("tr.current").inner_text() == chosen
    assert page.evaluate("document.activeElement.className") == "raised"


def test_a_report_says_how_much_it_does_not_know_yet(
    page: Page, server: Any, commit: Commit, settle: Settle
) -> None:
    part = commit(found=False)
    settle(part, reports=(report_of(part),))
    page.goto(server.url)
    expect(page.locator(".report")).to_contain_text("Made report.")
    behind = page.locator("#episode .caution")
    assert behind.count() == 0
    commit(1, found=False)
    expect(behind).to_contain_text("The newest 20 s are not in this report yet")


@pytest.mark.parametrize("said", ["<img src=x>", "<script>alert(1)</script>"])
def test_what_a_device_or_a_rule_says_is_text_and_never_markup(
    page: Page, server: Any, commit: Commit, said: str
) -> None:
    page.goto(server.url)
    commit(patch_id=said, rule=f"rule {said}")
    expect(page.locator("[data-alert]")).to_contain_text(f"rule {said}")
    page.wait_for_selector("ecg-strip[data-ready]")
    expect(page.locator("#said")).to_have_text(f"high alert, patch {said}: rule {said}")
    assert page.locator("img, body script").count() == 0


def test_a_patch_that_sent_no_heartbeat_is_unknown_and_not_well(
    page: Page, server: Any, store: SqliteStore
) -> None:
    store.state("made", "ward-7", online=True, now=time.time())
    page.goto(server.url)
    patch = page.locator("article.patch")
    expect(patch).to_contain_text("age unknown")
    assert patch.locator("dd").all_inner_texts()[1] == "unknown"  # seconds not analysed


def test_a_phone_reads_the_evidence_and_reaches_the_strip_without_scrolling_sideways(
    page: Page, server: Any, commit: Commit, beat: Callable[..., None]
) -> None:
    long = "a-patch-with-a-name-that-nobody-would-write-on-a-label"
    commit(patch_id=long)
    for number in range(4):
        commit(patch_id=f"other-{number}")
    beat(long)
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.locator("[data-alert]").first.click()
    expect(page.locator("ecg-strip canvas")).to_be_in_viewport()
    evidence = page.locator("td.evidence").bounding_box()
    assert evidence is not None
    assert evidence["width"] > 200


def report_of(part: Segment) -> Report:
    nothing = dict.fromkeys(
        ("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median", "pr", "qrs", "qt")
    )
    return Report(
        id="R" * 26,
        episode_id=part.episode_id,
        segment_ids=(part.id,),
        findings=(),
        measurements=Measurements(beats=0, analysed_s=20.0, not_analysed_s=0.0, **nothing),
        narrative="Made report.",
        abstentions=(),
        model="template/1",
    )


def test_an_open_page_reloads_where_events_between_are_kept_no_more(
    page: Page, server: Any, store: SqliteStore, commit: Commit
) -> None:
    commit()
    page.goto(server.url)
    page.wait_for_selector("[data-finding]")
    page.wait_for_selector("[data-state=seen]")  # the newest of what is written at this time: it has heard it
    page.evaluate("document.documentElement.dataset.before = ''")
    server.stop()
    for _ in range(3):
        store.raise_technical("p", "lag", "late", now=1.0)
        store.clear_technical("p", "lag", now=1.0)
    Retention(store, RetentionConfig(events_days=1)).sweep(400 * 86_400.0)
    again = type(server)(store, port=server.port)
    try:
        page.wait_for_selector("html:not([data-before])")
        page.wait_for_selector("ecg-strip[data-ready]")
    finally:
        again.stop()
