"""A patient's day: what is drawn is what the rows say, what is not known is said, and it can be read."""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from cloud.assignments import Assignments
from cloud.console.app import create_app
from cloud.console.daychart import curves
from cloud.prints.minutes import Minute
from cloud.prints.stays import SEAM_S, Day
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.symptoms import Told
from models.ecg import Clock, Segment, row_id
from models.verdicts import Measurements, Report, TrendRow

Commit = Callable[..., Segment]
UTC_0 = 1_700_000_000.0
DAY = datetime.fromtimestamp(UTC_0).astimezone().date()
MIDNIGHT = datetime(DAY.year, DAY.month, DAY.day).astimezone().timestamp()
PATH = f"/patches/made/day?date={DAY}"


@pytest.fixture
def client(store: SqliteStore) -> Iterator[TestClient]:
    with TestClient(create_app(store), base_url="http://127.0.0.1") as opened:
        yield opened


@pytest.fixture
def keep(store: SqliteStore) -> Callable[..., None]:
    """Keeps rows of some minutes of `DAY`; keywords replace their fields."""

    def put(*minutes: int, **fields: Any) -> None:
        clock = Clock(utc_0=MIDNIGHT, fs=250.0, quality="arrival")
        counted = {"missing_s": 0.0, "unreadable_s": 0.0, "flagged_s": 0.0, "beats": 70, "n_V": 0, "n_S": 0}
        counted |= {"af_s": 0.0, "hr_min": 60.0, "hr_mean": 70.0, "hr_max": 80.0}
        for minute in minutes:
            first = minute * 15_000
            where = {"id": row_id("made", 1, first), "first": first, "last": first + 14_999, "clock": clock}
            row = TrendRow(
                patch_id="made", boot_id=1, fs=250.0, model="screener/2", **counted | where | fields
            )
            store.trends.commit(row, seq=0, site="ward-7", now=UTC_0)

    return put


def minute(at: int, **fields: Any) -> Minute:
    counted = {"missing_s": 0.0, "unreadable_s": 0.0, "flagged_s": 0.0, "beats": 70, "n_v": 0, "n_s": 0}
    counted |= {"af_s": 0.0, "hr_min": 60.0, "hr_mean": 70.0, "hr_max": 80.0, "model": "screener/2"}
    return Minute(begin=MIDNIGHT + 60.0 * at, **counted | fields)


def drawn(*minutes: Minute, end: float = 86_400.0) -> dict[str, str]:
    day = Day(
        patch_id="p", begin=MIDNIGHT, end=MIDNIGHT + end, stays=(), minutes=minutes, timeless=0, symptoms=()
    )
    return curves(day, MIDNIGHT + 86_400).paths


def test_the_day_says_first_how_long_nothing_was_analysed(
    client: TestClient, keep: Callable[..., None]
) -> None:
    keep(*range(1240), missing_s=1.0, unreadable_s=0.5)
    page = client.get(PATH).text
    assert "No alerts is not normal: 3 h 51 min not analysable." in page
    assert "Not received: 20 min 40 s. Unreadable: 10 min 20 s." in page
    assert "Not analysed, no row came: 3 h 20 min." in page
    assert page.index("3 h 51 min not analysable") < page.index("<svg")
    assert "Decision support. Not a diagnosis. Not for emergency monitoring." in page
    assert page.count("screener&#39;s estimate") >= 6  # of AF, V and S, in sight and for who does not see


def test_what_is_drawn_has_its_words_for_who_does_not_see_it(
    client: TestClient, keep: Callable[..., None]
) -> None:
    keep(600, hr_min=52.0, af_s=30.0, n_V=3)
    keep(601, hr_max=131.0, af_s=1.5, n_S=2)
    keep(602, hr_min=None, hr_mean=None, hr_max=None)
    labels = re.findall(r'role="img" aria-label="([^"]*)"', client.get(PATH).text)
    assert "Heart rate, 52 to 131 per minute, in 2 minutes." in labels
    assert "Atrial fibrillation, the screener&#39;s estimate: 31.5 s in all." in labels
    assert "Ventricular early beats, the screener&#39;s estimate: 3 in all." in labels
    assert "Supraventricular early beats, the screener&#39;s estimate: 2 in all." in labels


def test_a_day_without_rows_draws_nothing_and_says_so(client: TestClient, commit: Commit) -> None:
    commit()
    page = client.get(PATH).text
    assert "Heart rate: in no minute measured." in page
    assert "No alerts is not normal: 24 h 0 min not analysable." in page
    assert '<path class="mean" d=""/>' in page


def test_episodes_alerts_and_symptoms_are_marked_and_lead_to_their_strip(
    page: Page, server: Any, store: SqliteStore, commit: Commit, keep: Callable[..., None]
) -> None:
    keep(*range(1300, 1340))
    part = commit()
    held = Assignments(store).assign(LOCAL, "made", "one", "A", start=UTC_0 - 1, name="Eve Holm")
    eve = Person(name="eve", role=Role.PATIENT, assignment_id=held.id)
    store.symptoms.tell(eve, Told(kind="palpitations", minutes="0", note="like a drum"), UTC_0 + 10)
    page.goto(server.url + PATH)
    page.wait_for_selector(".sheet[data-ready]")
    for name in ("episodes", "alerts", "symptoms"):
        expect(page.locator(f"path.{name}")).to_have_attribute("d", re.compile("^M"))
    body = page.locator("main")
    expect(body).to_contain_text("Eve Holm")
    expect(body).to_contain_text("palpitations: “like a drum”")
    expect(body).to_contain_text("the edge has not marked it yet")
    expect(body).to_contain_text("ventricular tachycardia of 6 beats or more")
    expect(body).to_contain_text("symptom: palpitations")
    page.get_by_role("link", name="ventricular tachycardia").click()
    page.wait_for_selector("ecg-strip[data-ready]")
    expect(page).to_have_url(f"{server.url}/episodes/{part.episode_id}")
    expect(page.locator("#episode")).to_contain_text("Symptom: palpitations: “like a drum” felt at 10 s")
    page.get_by_role("button", name="V at 2.00 s: show").click()
    expect(page.locator("tr.current")).to_contain_text("ventricular premature beat")
    page.get_by_role("link", name="The day of this episode").click()
    expect(page).to_have_url(server.url + PATH)
    day = page.get_by_role("link", name="Full disclosure")
    expect(day).to_have_attribute("href", f"/patches/made/disclosure?day={DAY}")
    made = page.request.get(
        server.url + str(page.get_by_role("link", name="Day as PDF").get_attribute("href"))
    )
    assert made.body().startswith(b"%PDF")


def test_the_cursor_reads_a_minute_by_keys_and_by_pointer(
    page: Page, server: Any, keep: Callable[..., None]
) -> None:
    keep(0, n_V=4, unreadable_s=7.0)
    keep(720, hr_min=None, hr_mean=None, hr_max=None, af_s=12.0)
    page.goto(server.url + PATH)
    page.wait_for_selector(".sheet[data-ready]")
    slider, said = page.get_by_label("Minute of the day"), page.locator(".now")
    slider.focus()
    for key, words in (
        ("ArrowRight", "00:01 · no row: nothing is known of this minute"),
        (
            "ArrowLeft",
            "00:00 · 60 / 70 / 80 per min · estimates: V 4, S 0, AF 0 s · not received 0 s, unreadable 7 s",
        ),
        ("End", "23:59 · no row"),
    ):
        page.keyboard.press(key)
        expect(said).to_contain_text(words)
        assert words in (slider.get_attribute("aria-valuetext") or "")
    box = page.locator(".plots").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2 + 0.2, box["y"] + 50)
    expect(said).to_contain_text("12:00 · rate not measured · estimates: V 0, S 0, AF 12 s")
    cursor = page.locator(".cursor").bounding_box()
    assert cursor is not None
    assert cursor["x"] == pytest.approx(box["x"] + box["width"] / 2, abs=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
def test_it_fits_a_phone_and_a_desk_without_a_serious_fault_for_anybody(
    page: Page, server: Any, commit: Commit, keep: Callable[..., None], width: int, scheme: Any
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    keep(*range(300, 1340), n_V=3, n_S=12, af_s=20.0, missing_s=3.0)
    commit()
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(server.url + PATH)
    page.wait_for_selector(".sheet[data-ready]")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    faults = [v for v in axe.run(page).response["violations"] if v["impact"] in {"serious", "critical"}]
    assert faults == []


def test_a_whole_day_of_rows_opens_within_a_second_and_a_half(
    page: Page, server: Any, commit: Commit, keep: Callable[..., None]
) -> None:
    keep(*range(1440), n_V=3, n_S=1, af_s=20.0, missing_s=3.0, unreadable_s=2.0)
    commit()
    taken = []
    for _ in range(5):
        page.goto(server.url + PATH)
        page.wait_for_selector(".sheet[data-ready]")
        taken.append(page.evaluate("performance.getEntriesByType('navigation')[0].domComplete"))
        if min(taken) <= 1500:  # a busy machine may need another try
            break
    assert min(taken) <= 1500


def test_days_lead_to_the_one_before_and_after_and_none_is_ahead(client: TestClient, commit: Commit) -> None:
    commit()
    page = client.get(PATH).text
    assert f'href="?date={DAY.replace(day=DAY.day - 1)}" rel="prev"' in page
    assert f'href="?date={DAY.replace(day=DAY.day + 1)}" rel="next"' in page
    today = client.get("/patches/made/day").text
    assert str(datetime.now().astimezone().date()) in today
    assert 'rel="next"' not in today
    for wrong, words in (
        ("never", "is no date"),
        ("2099-01-01", "is still to come"),
        ("0001-01-01", "is no"),
    ):
        answer = client.get(f"/patches/made/day?date={wrong}")
        assert (answer.status_code, words in answer.json()["detail"]) == (422, True)
    assert client.get(f"/patches/other/day?date={DAY}").status_code == 404
    assert client.get("/episodes/NONE").status_code == 404


@pytest.mark.parametrize(
    ("on", "hours", "first", "twice"),
    [("2023-03-26", 23, ["00", "01", "03", "04"], None), ("2023-10-29", 25, ["00", "01", "02", "02"], "02")],
)
def test_a_day_on_which_the_clock_changes_has_all_its_hours(
    client: TestClient,
    commit: Commit,
    monkeypatch: pytest.MonkeyPatch,
    on: str,
    hours: int,
    first: list[str],
    twice: Any,
) -> None:
    commit()
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        page = client.get(f"/patches/made/day?date={on}").text
    finally:
        monkeypatch.undo()
        time.tzset()
    axis = json.loads(re.findall("data-axis='([^']*)'", page)[0])
    assert (len(axis), axis[:4]) == (hours, first)
    assert f'viewBox="0 0 {60 * hours} 100"' in page
    assert f'max="{60 * hours - 1}"' in page


def test_a_day_in_two_hands_names_both_and_a_ward_sees_its_own_minutes(
    store: SqliteStore,
    enter: Callable[[str], httpx.Client],
    keep: Callable[..., None],
    commit: Commit,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep(*range(600, 720))
    made = Assignments(store)
    made.assign(LOCAL, "made", "one", "A", start=MIDNIGHT, name="Anna Berg")
    with monkeypatch.context() as then:
        then.setattr("cloud.assignments.time.time", lambda: MIDNIGHT + 660 * 60.0)
        made.assign(LOCAL, "made", "two", "B", name="Bert Holm")
    for name, mine, other in (("nurse-a", "Anna Berg", "Bert Holm"), ("nurse-b", "Bert Holm", "Anna Berg")):
        page = enter(name).get(PATH).text
        assert mine in page
        assert other not in page
        rows = json.loads(re.findall("data-minutes='([^']*)'", page)[0])
        assert len(rows) == 60
    both = enter("operator").get(PATH).text
    assert both.count("P-") == 2
    assert not any(name in both for name in ("Anna Berg", "Bert Holm"))
    assert enter("viewer-b").get("/patches/other/day").status_code == 404


def test_the_tachogram_is_of_the_beats_that_the_analyst_found(
    client: TestClient, store: SqliteStore, commit: Commit, settle: Callable[..., None]
) -> None:
    from models.anyecg.evidence import Evidence

    part = commit(found=False)
    report = Report(
        id="R",
        episode_id=part.episode_id,
        segment_ids=(part.id,),
        findings=(),
        measurements=Measurements(
            beats=4,
            heart_rate_mean=None,
            heart_rate_min=None,
            heart_rate_max=None,
            rr_median=None,
            pr=None,
            qrs=None,
            qt=None,
            analysed_s=18.0,
            not_analysed_s=2.0,
        ),
        narrative="",
        abstentions=(),
        model="template/1",
    )
    beats = tuple((second, "N") for second in (1.0, 1.8, 4.0, 8.0))
    known = Evidence(
        letter="a", leads=("II",), start=0.0, end=20.0, facts=(), beats=beats, dark=((5.0, 7.0),)
    )
    settle(part, spans=(), reports=(report,), evidence={"R": known})
    page = client.get(PATH).text
    assert "2 RR intervals in 1 episodes." in page  # across the gap there is none
    at = round((UTC_0 + 1.0 - MIDNIGHT) / 12) / 5  # min
    assert f'<path class="rr" d="M{at:.1f} 60.0h0M{at:.1f} 0.0h0"/>' in page  # 0.8 s, and 2.2 s at the top


RATES = st.one_of(st.none(), st.floats(20, 300))
MINUTES = st.lists(
    st.tuples(st.integers(0, 1439), RATES, st.integers(0, 60), st.integers(0, 60)),
    unique_by=lambda drawn: drawn[0],
    max_size=30,
).map(sorted)


@settings(max_examples=80)
@given(minutes=MINUTES)
def test_a_minute_is_drawn_where_it_is_and_nothing_where_nothing_is_known(
    minutes: list[tuple[int, float | None, int, int]],
) -> None:
    rows = [minute(at, hr_min=rate, hr_mean=rate, hr_max=rate, n_v=v, af_s=af) for at, rate, v, af in minutes]
    paths = drawn(*rows)
    known = [at for at, rate, *_ in minutes if rate is not None]
    assert places(paths["band"]) == known
    assert places(paths["v"]) == [at for at, _, v, _ in minutes if v]
    assert places(paths["af"]) == [at for at, _, _, af in minutes if af]
    points = [float(x) - 0.5 for x in re.findall(r"[ML]([\d.]+) ", paths["mean"])]
    assert points == known
    joins = sum(b - a == 1 for a, b in itertools.pairwise(known))
    assert paths["mean"].count("L") == joins  # what is not beside it is not bridged
    gone = sum(float(wide) for wide in re.findall(r"M[\d.]+ [\d.]+h([\d.]+)", paths["unheard"]))
    assert gone == pytest.approx(
        1440 - len(minutes), abs=2 * SEAM_S / 60 * (len(minutes) + 1) + 0.1 * len(minutes)
    )


def test_what_is_still_to_come_is_not_called_unknown() -> None:
    paths = drawn(*(minute(at) for at in range(600)), end=36_000.0)
    assert paths["unheard"] == ""
    assert places(paths["ahead"]) == [600]
    assert drawn(minute(0))["ahead"] == ""


def places(path: str) -> list[float]:
    """Where its boxes begin."""
    return [float(x) for x in re.findall(r"M([\d.]+) ", path)]
