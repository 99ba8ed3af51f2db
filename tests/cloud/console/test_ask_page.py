"""Questions on the page and over HTTP: answers come sentence by sentence, and a citation shows its place."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from cloud.analysis import EpisodeAnalysis
from cloud.ask import MOST, OTHERS
from cloud.config import RuleConfig
from cloud.sqlite_store import SqliteStore
from models.anyecg.localizer import Localizer
from models.ecg import Segment

Commit = Callable[..., Segment]
Settle = Callable[..., None]


def ask(server: Any, body: Any) -> httpx.Response:
    return httpx.post(f"{server.url}/ask", json=body, timeout=30)


def test_an_answer_is_a_json_object_a_line(server: Any, commit: Commit) -> None:
    part = commit()
    answer = ask(server, {"episodes": [part.episode_id], "question": "How many beats?"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["type"] for line in lines] == ["ecgs", "read", "sentence", "sentence", "end"]
    assert "could not be analysed" in lines[3]["text"]  # the gap
    (cite,) = lines[2]["cites"]
    assert (cite["id"], cite["ecg"]) == ("a3", "a")
    assert cite["spans"] == [{"from_s": 0.0, "to_s": 20.0, "first": 0, "last": 4999}]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"episodes": ["NONE"], "question": "?"}, 404, "There is no episode NONE."),
        ({"episodes": ["a"] * (MOST + 1), "question": "?"}, 422, "at most 6 items"),
        ({"episodes": [], "question": "?"}, 422, "at least 1 item"),
        ({"episodes": ["a"], "question": "  "}, 422, "question: String should have at least 1 character."),
        ({"episodes": ["a"]}, 422, "question: Field required."),
        ([], 422, "request: "),
    ],
)
def test_what_is_wrong_with_a_question_is_one_sentence(
    server: Any, body: Any, status: int, said: str
) -> None:
    answer = ask(server, body)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


def test_a_form_of_another_site_cannot_ask(server: Any, commit: Commit) -> None:
    body = json.dumps({"episodes": [commit().episode_id], "question": "?"})
    answer = httpx.post(f"{server.url}/ask", content=body, headers={"content-type": "text/plain"})
    assert answer.status_code == 422


def test_without_a_language_model_the_page_says_so_and_nothing_can_be_asked(
    server: Any, store: SqliteStore, commit: Commit
) -> None:
    without = type(server)(store)
    try:
        part = commit()
        answer = ask(without, {"episodes": [part.episode_id], "question": "?"})
        assert (answer.status_code, "language model is off" in answer.json()["detail"]) == (503, True)
        page = httpx.get(f"{without.url}/fragments/episodes/{part.episode_id}").text
        assert "language model is off" in page
        assert "<form" not in page
        assert "data-tick" not in httpx.get(without.url).text
    finally:
        without.stop()


def test_a_sentence_appears_with_citations_that_show_their_place(
    page: Page, server: Any, commit: Commit
) -> None:
    commit()
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    page.get_by_label("Question").fill("How many beats?")
    page.keyboard.press("Enter")
    answer = page.locator(".answers article")
    expect(answer.locator(".sentence").first).to_contain_text("Number of beats")
    expect(answer.locator(".sentence").last).to_contain_text("could not be analysed")
    expect(answer.locator(".meta")).to_contain_text("scripted/1")
    assert page.evaluate("document.activeElement.name") == "question"
    cite = answer.get_by_role("button", name="[a3]")
    cite.focus()
    page.keyboard.press("Enter")
    cited = json.loads(page.locator("ecg-strip").get_attribute("data-cited") or "")
    assert cited == {"spans": [[0, 4999]], "at": 0}
    expect(page.locator("ecg-strip")).to_be_in_viewport()


def test_what_does_not_hold_is_replaced_before_it_is_shown(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.goto(server.url)
    page.get_by_label("Question").fill("Lies?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator(".answers .meta")).to_contain_text("replaced by the template: 1, added: 0")
    assert "9 V." not in page.locator(".answers").inner_text()


def test_what_was_asked_stays_when_the_episode_grows(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.goto(server.url)
    page.get_by_label("Question").fill("How many beats?")
    page.keyboard.press("Enter")
    expect(page.locator(".answers .sentence").first).to_be_visible()
    page.get_by_label("Question").fill("And what el")
    commit(1, found=False)
    page.wait_for_selector('ecg-strip[aria-label*=" 40 s"]')
    expect(page.locator(".answers .sentence").first).to_be_visible()
    assert page.get_by_label("Question").input_value() == "And what el"


def test_a_reports_citations_show_each_of_its_places_in_turn(
    page: Page,
    server: Any,
    store: SqliteStore,
    network: Localizer,
    excerpt_parts: list[Segment],
    settle: Settle,
) -> None:
    from models.wire import encode_segment

    analysed = EpisodeAnalysis(network, RuleConfig())
    for part in excerpt_parts:
        store.commit_segment(encode_segment(part, 0, "w"), part, seq=part.part, site="w", now=1.0)
        analysed.push(part)
    ventricular = [(f.first, f.last) for f in analysed.analyst.findings if f.label == "V"]
    spans = [("V", *span) for span in ventricular]
    settle(excerpt_parts[0], spans=spans, reports=tuple(analysed.reports), evidence=analysed.evidence)
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    known = analysed.evidence[analysed.reports[-1].id].fact("V")
    assert known is not None
    cite = page.locator(".report .cite", has_text=f"[{known.id}]")
    for turn in (0, 1):
        cite.click()
        cited = json.loads(page.locator("ecg-strip").get_attribute("data-cited") or "")
        assert cited["at"] == turn
        assert cited["spans"] == [list(span) for span in ventricular]
    middle = page.locator("ecg-strip .scroll").evaluate("s => s.scrollLeft + s.clientWidth / 2")
    second = sum(ventricular[1]) / 2 / excerpt_parts[0].fs
    assert middle / (25 * 96 / 25.4) == pytest.approx(second, abs=0.2)
    assert "not a diagnosis" in page.locator(".report").inner_text().lower()


def test_several_strips_are_ticked_and_asked_about_together(page: Page, server: Any, commit: Commit) -> None:
    first, second = commit(), commit(patch_id="other")
    page.goto(server.url)
    page.wait_for_selector("ecg-strip[data-ready]")
    boxes = page.locator("[data-tick]")
    expect(page.locator("#together")).to_be_hidden()
    for box in (boxes.nth(0), boxes.nth(1)):
        box.focus()
        page.keyboard.press("Space")
    expect(page.locator("#together")).to_contain_text("2 strips ticked")
    page.get_by_role("button", name="Show and ask together").click()
    expect(page.locator("ecg-strip[data-ready]")).to_have_count(2)
    shown = [page.locator("ecg-strip").nth(i).get_attribute("data-episode") for i in range(2)]
    assert set(shown) == {first.episode_id, second.episode_id}
    page.get_by_label("Question").fill("And together?")
    page.keyboard.press("Enter")
    expect(page.locator(".answers .caution")).to_have_text(OTHERS)
    page.locator(".sentence .cite", has_text="[b4]").first.click()
    assert page.locator('ecg-strip[data-ecg="b"]').get_attribute("data-cited") is not None
    assert page.locator('ecg-strip[data-ecg="a"]').get_attribute("data-cited") is None
    commit(patch_id="third")
    expect(page.locator("[data-alert]")).to_have_count(3)
    expect(page.locator("ecg-strip")).to_have_count(2)  # what is being looked at stays
    expect(page.locator("[data-tick]:checked")).to_have_count(2)
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("[data-tick]:checked")).to_have_count(0)
    page.locator("[data-alert] button").first.click()
    expect(page.locator("ecg-strip")).to_have_count(1)


def test_an_answer_that_breaks_off_says_so(page: Page, server: Any, commit: Commit) -> None:
    commit()
    page.goto(server.url)
    page.get_by_label("Question").fill("How many beats?")
    server.stop()
    page.keyboard.press("Enter")
    expect(page.locator(".answers .caution")).to_contain_text("cannot be reached")
    expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()
