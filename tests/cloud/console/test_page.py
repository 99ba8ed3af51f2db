"""The triage page in a real browser: live without reload, and honest when it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from playwright.sync_api import Page, expect

from cloud.sqlite_store import SqliteStore
from models.ecg import Segment

Commit = Callable[..., Segment]
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
    text = page.locator("body").inner_text()
    for sentence in (
        WORDING,
        "AI-generated, not yet reviewed",
        "A browser is not a primary alarm",
        "Not assessed:",
    ):
        assert sentence in text
    row = page.locator("[data-finding]").inner_text()
    assert "0.93 (threshold 0.50)" in row
    assert "screener/1 0a1b2c3d" in row


def test_the_bar_says_not_live_when_the_server_dies(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    assert page.locator("#not-live").is_hidden()
    server.stop()
    page.wait_for_selector("#not-live", state="visible", timeout=20_000)
    assert "Not live" in page.locator("#not-live").inner_text()


def test_a_patch_tells_its_age_and_what_was_not_analysed(
    page: Page, server: Any, beat: Callable[..., None]
) -> None:
    beat(unreadable_total_s=62.0, missing_total_s=8.0, outbox_depth=3)
    page.goto(server.url)
    patch = page.locator("article.patch")
    expect(patch).to_contain_text("No alerts is not normal: 1 min 10 s not analysable")
    expect(patch).to_contain_text("3.01 V")
    expect(patch.locator("[data-since]")).to_contain_text("5 s old", timeout=10_000)  # it ticks by itself


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
    page.keyboard.press("n")
    expect(page.locator("tr.current")).to_contain_text("V")


def test_what_a_device_calls_itself_is_text_and_never_markup(page: Page, server: Any, commit: Commit) -> None:
    name = "<img src=x>"
    commit(patch_id=name)
    page.goto(server.url)
    expect(page.locator("[data-alert]")).to_contain_text(name)
    page.wait_for_selector("ecg-strip[data-ready]")
    assert page.locator("img").count() == 0


def test_a_phone_sees_everything_without_scrolling_sideways(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
