"""A nurse's queues in a real browser: by keyboard, by several at once, heard and seen."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from cloud.people import People
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.verdicts import Priority
from tests.cloud.console.conftest import PASSWORD

Commit = Callable[..., Segment]
SLOW = 20_000  # ms, on a machine that has other things to do


def looked(page: Page, patch: str) -> None:
    """The patch's alert is chosen and has been on the screen for long enough to be decided on."""
    expect(page.locator("#acts .about")).to_contain_text(patch, timeout=SLOW)
    page.wait_for_selector("#acts[data-looked]", timeout=SLOW)


def on_screen(page: Page) -> str:
    """The patch of the alert that is chosen, once it was looked at."""
    page.wait_for_selector("#acts[data-looked]", timeout=SLOW)
    return page.locator("#acts .about").inner_text().rsplit(" · ", 1)[1]


def state(store: SqliteStore, patch: str) -> str:
    return next(stored.alert.state for stored in store.alerts() if stored.alert.patch_id == patch)


def sign_in(page: Page, url: str, name: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{url}/", timeout=SLOW)


@pytest.mark.timeout(240)
def test_a_nurse_triages_ten_alerts_by_keyboard_only(
    page: Page, server: Any, store: SqliteStore, people: People, commit: Commit
) -> None:
    for n in range(10):
        commit(patch_id=f"bed-{n}", priority=Priority.MEDIUM if n < 5 else Priority.HIGH)
    sign_in(page, server.url, "nurse-a")
    done: dict[str, str] = {}
    for n in range(10):
        patch = on_screen(page)
        assert patch not in done
        if n == 9:  # among the medium ones, which come last
            page.keyboard.press("x")
            page.keyboard.type("known, a e x 1 2 3")  # keys are letters where a person types
            page.keyboard.press("Enter")
        else:
            page.keyboard.press("a")
        done[patch] = "suppressed" if n == 9 else "acknowledged"
        expect(page.locator("#tab-review .count")).to_have_text(str(9 - n), timeout=SLOW)
        expect(page.locator("#acts .about")).not_to_contain_text(patch, timeout=SLOW)
    assert {patch: state(store, patch) for patch in done} == done
    assert {s.standing.by for s in store.alerts()} == {"nurse-a"}
    page.wait_for_selector("#acts[data-looked]", timeout=SLOW)
    page.keyboard.press("r")  # the one that is chosen now is acknowledged
    expect(page.locator("#queue-review [data-alert]")).to_have_count(8, timeout=SLOW)


def test_what_is_suppressed_says_why_who_until_when_and_one_key_undoes_it(
    page: Page, server: Any, store: SqliteStore, commit: Commit
) -> None:
    commit(patch_id="bed-1", priority=Priority.MEDIUM)
    page.goto(server.url)
    looked(page, "bed-1")
    page.keyboard.press("x")
    dialog = page.locator("#suppress")
    expect(dialog).to_contain_text("ventricular tachycardia (VT) up to medium priority, of patch bed-1")
    page.keyboard.press("Enter")  # a reason lacks
    expect(dialog).to_be_visible()
    page.keyboard.type("known")
    page.keyboard.press("Shift+Tab")
    page.keyboard.type("2")  # in place of what is selected
    page.keyboard.press("Enter")
    expect(page.locator("#tab-suppressed .count")).to_have_text("1", timeout=SLOW)
    page.keyboard.press("g")
    page.keyboard.press("s")
    card = page.locator("#queue-suppressed [data-alert]")
    expect(card).to_contain_text(re.compile("1 . ventricular tachycardia of 6 beats or more"))
    expect(card).to_contain_text(
        re.compile(r"suppressed by local: known\s+until 20.*1 h 59 min more"), timeout=SLOW
    )
    looked(page, "bed-1")  # its strip can be opened
    page.keyboard.press("u")
    expect(page.locator("#tab-suppressed .count")).to_have_text("0", timeout=SLOW)
    assert state(store, "bed-1") == "raised"
    page.keyboard.press("1")
    looked(page, "bed-1")
    page.keyboard.press("x")
    page.keyboard.type("known")
    page.keyboard.press("Enter")
    expect(page.locator("#tab-suppressed .count")).to_have_text("1", timeout=SLOW)
    expect(page.locator("#notes .note").last).to_have_text("Suppressed: u undoes it.", timeout=SLOW)
    page.keyboard.press("u")  # from where it was done
    expect(page.locator("#tab-review .count")).to_have_text("1", timeout=SLOW)
    looked(page, "bed-1")
    page.keyboard.press("x")
    page.keyboard.type("known")
    page.keyboard.press("Enter")
    expect(page.locator("#tab-suppressed .count")).to_have_text("1", timeout=SLOW)
    page.keyboard.press("2")
    looked(page, "bed-1")
    page.keyboard.press("r")
    expect(page.locator("#notes")).to_contain_text("its quiet rule has ended", timeout=SLOW)


def test_an_escalation_is_heard_on_the_other_page_and_a_high_alert_is_not_suppressed(
    page: Page, server: Any, store: SqliteStore, commit: Commit
) -> None:
    commit(patch_id="bed-1")
    page.goto(server.url)
    looked(page, "bed-1")
    page.keyboard.press("x")
    expect(page.locator("#notes")).to_contain_text("A high alert can never be suppressed")
    page.keyboard.press("e")
    expect(page.locator("#notes")).to_contain_text("Nobody else stands in cloud.toml", timeout=SLOW)
    expect(page.locator("[data-alert]")).to_contain_text("escalated by local", timeout=SLOW)
    told = [event.data for event in store.events(0) if event.kind == "alert"][-1]
    assert (told["change"], told["who"], told["alert"]["priority"]) == ("escalated", "local", "high")


def test_of_two_browsers_the_second_is_told_who_was_first(
    page: Page, browser: Browser, server: Any, store: SqliteStore, commit: Commit
) -> None:
    commit(patch_id="bed-1")
    other = browser.new_context().new_page()
    for screen in (page, other):
        screen.goto(server.url)
        looked(screen, "bed-1")
    other.route("**/fragments/queues", lambda route: route.abort())  # it decides on what it still shows
    page.keyboard.press("a")
    expect(page.locator("#notes")).to_contain_text("Acknowledged.", timeout=SLOW)
    told = other.locator("#notes .kept")
    expect(told).to_contain_text(re.compile(r"VT, patch bed-1: acknowledged by local at \d\d:"), timeout=SLOW)
    other.keyboard.press("a")
    expect(told.nth(1)).to_contain_text("local was first: acknowledged at 20", timeout=SLOW)
    other.keyboard.press("e")  # outdated too: nothing is done by somebody who has not seen how it stands
    expect(told.nth(2)).to_contain_text("local was first", timeout=SLOW)
    other.unroute("**/fragments/queues")
    store.raise_technical("bed-1", "battery", "The battery is low.", now=time.time())  # news
    expect(other.locator("[data-alert]")).to_contain_text("acknowledged by local", timeout=SLOW)
    other.keyboard.press("Escape")
    expect(told).to_have_count(0)
    assert [t.did for t in store.book.transitions(store.alerts()[0].alert.id)] == [
        "raised", "seen", "seen", "acknowledged",
    ]  # fmt: skip
    other.context.close()


def test_nothing_is_taken_from_under_a_hand(
    page: Page, server: Any, store: SqliteStore, commit: Commit
) -> None:
    """What another resolves stays on the screen, and the key that was meant for it reaches no other alert."""
    commit(patch_id="bed-1")
    page.goto(server.url)
    looked(page, "bed-1")
    commit(patch_id="bed-2")
    expect(page.locator("[data-alert]")).to_have_count(2, timeout=SLOW)
    alert = next(s for s in store.alerts() if s.alert.patch_id == "bed-1")
    now = time.time()
    store.book.see(alert.alert.id, "ann", "desk", alert.standing.version, now=now)
    store.book.acknowledge(alert.alert.id, "ann", "desk", alert.standing.version, now=now)
    store.book.resolve(alert.alert.id, "ann", alert.standing.version + 1, None, now=now)
    expect(page.locator("#notes")).to_contain_text("resolved by ann at", timeout=SLOW)
    expect(page.locator("#acts .about")).to_contain_text("Somebody has dealt with this alert", timeout=SLOW)
    page.keyboard.press("a")
    expect(page.locator("#episode h2")).to_contain_text("bed-1")
    assert state(store, "bed-2") == "raised"
    page.keyboard.press("j")
    looked(page, "bed-2")


def test_an_alert_that_went_without_a_person_is_not_said_to_be_dealt_with_by_one(
    page: Page, server: Any, store: SqliteStore, commit: Commit, beat: Callable[..., None]
) -> None:
    commit(patch_id="bed-1")
    (alert,) = store.alerts()
    store.book.see(alert.alert.id, "ann", "desk", 1, now=time.time())
    store.book.acknowledge(alert.alert.id, "ann", "desk", 1, now=time.time())
    store.raise_technical("bed-1", "silent", "Nothing heard.", now=time.time())
    page.goto(server.url)
    looked(page, "bed-1")
    for newest in (5000, 5000 + 3601 * 250):  # samples: an hour without it
        beat("bed-1", newest=newest)
        store.book.hear(time.time())
    about = page.locator("#acts .about")
    expect(about).to_have_text("The recording has resolved this alert", timeout=SLOW)
    page.keyboard.press("3")
    expect(page.locator("#episode")).to_contain_text("Nothing heard.", timeout=SLOW)
    store.clear_technical("bed-1", "silent", now=time.time())
    expect(about).to_have_text("This technical alert is over: its cause has gone", timeout=SLOW)


def test_a_role_that_may_look_only_has_no_buttons_and_is_refused(
    page: Page, server: Any, people: People, commit: Commit, store: SqliteStore
) -> None:
    commit(patch_id="bed-1")
    sign_in(page, server.url, "operator")
    looked(page, "bed-1")
    assert page.locator("[data-act]").count() == 0
    page.keyboard.press("a")
    expect(page.locator("#notes")).to_contain_text("Your role may look, and not decide.")
    with httpx.Client(base_url=server.url) as client:
        client.post("/login", data={"name": "operator", "password": PASSWORD})
        (alert,) = client.get("/api/alerts").json()
        said = {"version": alert["version"]}
        assert client.post(f"/api/alerts/{alert['id']}/escalate", json=said).status_code == 403


def test_a_technical_alert_is_walked_to_and_says_how_its_patch_stands(
    page: Page, server: Any, store: SqliteStore, beat: Callable[..., None]
) -> None:
    beat("bed-1", battery_mv=2900)
    store.raise_technical("bed-1", "battery", "Battery at 2.90 V.", now=time.time())
    page.goto(server.url)
    page.keyboard.press("3")
    shown = page.locator("#episode")
    expect(shown).to_contain_text("Battery at 2.90 V.")
    expect(shown).to_contain_text("Waiting at the edge")
    page.keyboard.press("a")
    expect(page.locator("#notes")).to_contain_text("goes by itself when its cause does")
    page.keyboard.press("/")
    overlay = page.locator("#help")
    expect(overlay).to_contain_text("acknowledge, once its strip was looked at")
    page.keyboard.press("1")  # a dialog is open: it is no key now
    page.keyboard.press("Escape")
    expect(overlay).to_be_hidden()
    expect(page.locator("#tab-technical")).to_have_attribute("aria-selected", "true")


def test_a_high_alert_sounds_and_marks_the_tab_and_sound_off_is_seen_and_kept(
    page: Page, server: Any, commit: Commit
) -> None:
    page.goto(server.url)
    sound = page.locator("#sound")
    expect(sound).to_have_text("No sound yet: click or press a key")
    sound.click()  # allows it, and does not turn it off
    expect(sound).to_have_text("Sound on", timeout=SLOW)
    commit(patch_id="bed-1", priority=Priority.LOW)
    expect(page).to_have_title("(1) anyECG · ward-7", timeout=SLOW)
    assert sound.get_attribute("data-bursts") is None
    commit(patch_id="bed-2", priority=Priority.HIGH)
    expect(sound).to_have_attribute("data-bursts", "1", timeout=SLOW)
    expect(page).to_have_title("(2) ▲▲▲ anyECG · ward-7", timeout=SLOW)
    expect(page.locator("link[rel=icon]")).to_have_attribute("href", "/static/icon-alert.svg")
    page.wait_for_timeout(1100)
    sound.click()
    expect(sound).to_have_text("Sound off")
    page.reload()
    expect(sound).to_have_text("Sound off")


def test_a_sound_that_the_machine_silenced_is_said_and_comes_back_with_a_key(page: Page, server: Any) -> None:
    page.add_init_script(
        "const Usual = AudioContext; window.AudioContext = class extends Usual {"
        "constructor() { super(); window.context = this; } };"
    )
    page.goto(server.url)
    sound = page.locator("#sound")
    sound.click()
    expect(sound).to_have_text("Sound on", timeout=SLOW)
    page.evaluate("context.suspend()")  # as a locked screen does
    expect(sound).to_have_text("No sound yet: click or press a key", timeout=SLOW)
    page.keyboard.press("Shift")
    page.keyboard.press("j")
    expect(sound).to_have_text("Sound on", timeout=SLOW)
    page.evaluate("context.suspend()")
    expect(sound).to_have_text("No sound yet: click or press a key", timeout=SLOW)
    sound.click()  # brings it back, and does not turn it off
    expect(sound).to_have_text("Sound on", timeout=SLOW)


def test_a_high_burst_has_ten_pulses_and_a_medium_one_three(page: Page, server: Any) -> None:
    page.goto(server.url)
    heard = page.evaluate("""async () => {
      const { burst } = await import("/static/alarm.js");
      const pulses = {};
      for (const priority of ["high", "medium"]) {
        const context = new OfflineAudioContext(1, 44100 * 5, 44100);
        const end = burst(context, priority, 0);
        const sound = (await context.startRendering()).getChannelData(0);
        const loud = []; // every 10 ms
        for (let i = 0; i < sound.length; i += 441) loud.push(Math.max(...sound.subarray(i, i + 441)) > 0.02);
        const begins = loud.flatMap((on, i) => (on && !loud[i - 1] ? [i / 100] : []));
        pulses[priority] = { begins, end };
      }
      return pulses;
    }""")
    high, medium = heard["high"], heard["medium"]
    assert (len(high["begins"]), len(medium["begins"])) == (10, 3)
    gaps = [b - a for a, b in zip(high["begins"], high["begins"][1:], strict=False)]
    assert gaps[4] == max(gaps)  # five, and five again
    assert high["end"] < 4


def test_flashing_is_of_the_standards_rate_and_stands_still_where_a_person_wants_it(
    page: Page, server: Any, commit: Commit
) -> None:
    for patch, priority in (("bed-1", Priority.HIGH), ("bed-2", Priority.MEDIUM), ("bed-3", Priority.LOW)):
        commit(patch_id=patch, priority=priority)
    page.goto(server.url)
    rate = """() => Object.fromEntries([...document.querySelectorAll("[data-alert]")].map((card) => {
      const style = getComputedStyle(card.querySelector(".symbol"));
      const still = style.animationName === "none";
      return [card.dataset.priority, still ? 0 : 1 / parseFloat(style.animationDuration)];
    }))"""
    hertz = page.evaluate(rate)
    assert 1.4 <= hertz["high"] <= 2.8
    assert 0.4 <= hertz["medium"] <= 0.8
    assert hertz["low"] == 0
    page.emulate_media(reduced_motion="reduce")
    assert set(page.evaluate(rate).values()) == {0}


@pytest.mark.timeout(180)
def test_no_queue_has_a_barrier_for_a_person_who_hears_or_types_it(
    page: Page, server: Any, commit: Commit, store: SqliteStore, beat: Callable[..., None]
) -> None:
    commit(patch_id="bed-1", spans=[("V", 500, 530), ("AFIB", 1800, 3900)])
    commit(patch_id="bed-2", priority=Priority.MEDIUM)
    beat("bed-1", unreadable_total_s=62.0)
    store.raise_technical("bed-1", "battery", "Battery at 2.90 V.", now=time.time())
    page.goto(server.url)
    looked(page, "bed-1")
    page.keyboard.press("c")
    page.emulate_media(reduced_motion="reduce")
    for key, scheme in (("1", "light"), ("1", "dark"), ("2", "dark"), ("3", "light"), ("?", "dark")):
        page.emulate_media(color_scheme=scheme)
        page.keyboard.press(key)
        found = Axe().run(page).response["violations"]
        barriers = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in {"serious", "critical"}]
        assert barriers == []
