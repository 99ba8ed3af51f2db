"""What people do with alerts, over real HTTP and in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.verdicts import Priority

Commit = Callable[..., Segment]


class Nurse:
    """One screen that shows the only alert."""

    def __init__(self, url: str, screen: str) -> None:
        self.url, self.screen = url, screen
        (self.alert,) = httpx.get(f"{url}/api/alerts").json()

    def does(self, what: str, **more: Any) -> httpx.Response:
        said = {"version": self.alert["version"], **more}
        if what not in {"resolve", "undo"}:
            said["screen"] = self.screen
        answered = httpx.post(f"{self.url}/api/alerts/{self.alert['id']}/{what}", json=said)
        if answered.status_code == 200:
            self.alert |= answered.json()
        return answered


def test_an_alert_is_seen_acknowledged_and_resolved_and_says_who_did(server: Any, commit: Commit) -> None:
    commit(priority=Priority.MEDIUM)
    nurse = Nurse(server.url, "desk")
    refused = nurse.does("acknowledge")
    assert (refused.status_code, refused.json()["detail"][:24]) == (422, "Look at the strip first:")
    assert nurse.does("seen").json()["state"] == "seen"
    assert nurse.does("acknowledge").json()["state"] == "acknowledged"
    assert nurse.does("resolve", reason="known").json()["state"] == "resolved"
    shown = httpx.get(f"{server.url}/api/alerts/{nurse.alert['id']}").json()
    assert [t["did"] for t in shown["transitions"]] == ["raised", "seen", "acknowledged", "resolved"]
    assert {t["who"] for t in shown["transitions"]} == {"analysis", "local"}
    assert (shown["state"], shown["reason"], shown["by"]) == ("resolved", "known", "local")
    assert {d["channel"] for d in shown["deliveries"]} == {"mqtt"}
    assert httpx.get(f"{server.url}/api/alerts?state=raised&state=seen").json() == []


def test_two_browsers_at_once_are_one_acknowledgement_and_one_who_is_told_who_was_first(
    server: Any, commit: Commit
) -> None:
    commit()
    both = [Nurse(server.url, screen) for screen in ("desk", "phone")]
    for nurse in both:
        assert nurse.does("seen").status_code == 200
    ready, answers = threading.Barrier(2), []

    def acknowledge(nurse: Nurse) -> None:
        ready.wait()
        answers.append(nurse.does("acknowledge"))

    threads = [threading.Thread(target=acknowledge, args=(nurse,)) for nurse in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first, second = sorted(answers, key=lambda answered: answered.status_code)
    assert (first.status_code, second.status_code) == (200, 409)
    told = second.json()
    assert (told["by"], told["did"], told["version"]) == ("local", "acknowledged", 3)
    assert told["at"] == first.json()["at"]
    assert told["detail"].startswith("local was first: acknowledged at 20")


def test_an_alert_is_suppressed_with_a_reason_and_raised_again_by_undo(
    server: Any, commit: Commit, store: SqliteStore
) -> None:
    commit(priority=Priority.MEDIUM)
    nurse = Nurse(server.url, "desk")
    nurse.does("seen")
    assert nurse.does("suppress", hours=0, reason="known").status_code == 422
    assert nurse.does("suppress", hours=2, reason="known").json()["state"] == "suppressed"
    assert store.open_alert("made") is None
    (quiet,) = httpx.get(f"{server.url}/api/patches/made/rules").json()["quiet"]
    assert (quiet["label"], quiet["priority"], quiet["reason"], quiet["who"]) == (
        "VT",
        "medium",
        "known",
        "local",
    )
    queues = httpx.get(f"{server.url}/fragments/queues").text
    assert "suppressed by local: known" in queues
    assert "until 20" in queues
    assert nurse.does("undo").json()["state"] == "raised"
    assert httpx.get(f"{server.url}/api/patches/made/rules").json()["quiet"] == []


def test_an_escalation_says_who_is_told_and_stands_beside_the_alert(server: Any, commit: Commit) -> None:
    commit()
    nurse = Nurse(server.url, "desk")
    called = httpx.post(f"{server.url}/api/alerts/{nurse.alert['id']}/escalate", json={"version": 1})
    assert (called.json()["did"], called.json()["told"]) == ("escalated", [])
    shown = httpx.get(f"{server.url}/api/alerts/{nurse.alert['id']}").json()
    assert (shown["state"], shown["escalated_by"]) == ("raised", "local")
    assert nurse.does("seen").status_code == 409  # what is on the screen is older than the call


def test_a_high_alert_is_not_suppressed(server: Any, commit: Commit) -> None:
    commit(priority=Priority.HIGH)
    nurse = Nurse(server.url, "desk")
    nurse.does("seen")
    refused = nurse.does("suppress", hours=2, reason="known")
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "A high alert can never be suppressed: acknowledge it.",
    )


def test_a_patch_has_its_own_thresholds_with_who_and_why(server: Any) -> None:
    url = f"{server.url}/api/patches/made/rules"
    said = {"own": {"slow_bpm": 34}, "reason": "athlete"}
    assert httpx.post(url, json=said).json()["thresholds"]["slow_bpm"] == 34
    known = httpx.get(url).json()["own"]
    assert (known["own"], known["who"], known["reason"]) == ({"slow_bpm": 34}, "local", "athlete")
    for wrong in ({"own": {"pause_s": 1}, "reason": "why"}, {"own": {"slow": 34}, "reason": "why"}):
        refused = httpx.post(url, json=wrong)
        assert refused.status_code == 422
        assert next(iter(wrong["own"])) in refused.json()["detail"]


@pytest.mark.parametrize("what", ["seen", "acknowledge", "escalate", "resolve", "undo"])
def test_an_alert_that_is_not_there_is_not_found(server: Any, what: str) -> None:
    said = {"version": 1, "screen": "desk"} if what in {"seen", "acknowledge"} else {"version": 1}
    answered = httpx.post(f"{server.url}/api/alerts/nowhere/{what}", json=said)
    assert (answered.status_code, answered.json()["detail"]) == (404, "There is no alert nowhere.")


def test_a_form_of_another_site_cannot_acknowledge(server: Any, commit: Commit) -> None:
    commit()
    alert = Nurse(server.url, "desk").alert["id"]
    form = {"Content-Type": "text/plain"}
    answered = httpx.post(
        f"{server.url}/api/alerts/{alert}/seen", content=b'{"version": 1, "screen": "x"}', headers=form
    )
    assert answered.status_code == 422


def test_a_nurse_who_sees_the_strip_acknowledges_and_resolves_on_the_page(
    page: Page, server: Any, commit: Commit
) -> None:
    commit()
    page.goto(server.url)
    card = page.locator("[data-alert]")
    expect(card.locator(".priority").first).to_contain_text("high · seen")
    page.wait_for_selector("#acts[data-looked]")
    page.get_by_role("button", name="Acknowledge").click()
    expect(card).to_contain_text("acknowledged by local")
    expect(page.locator("#notes .note").last).to_have_text("Acknowledged.")
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator("[data-alert]")).to_have_count(0)


def test_a_page_that_was_open_shows_what_somebody_else_did(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.goto(server.url)
    expect(page.locator("[data-alert] .priority").first).to_contain_text("seen")
    nurse = Nurse(server.url, "elsewhere")
    nurse.does("seen")
    assert nurse.does("acknowledge").status_code == 200
    expect(page.locator("[data-alert]")).to_contain_text("acknowledged by local")
