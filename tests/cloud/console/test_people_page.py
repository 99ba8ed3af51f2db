"""Signing in and out, users and patches, in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from cloud.assignments import Assignments
from cloud.people import People
from cloud.roles import LOCAL
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment

Commit = Callable[..., Segment]
PASSWORD = "correct horse battery"
UTC_0 = 1_700_000_000.0


@pytest.fixture
def wards(store: SqliteStore, commit: Commit, beat: Callable[..., None]) -> None:
    """An alert in ward A and one in ward B."""
    for patch, patient, ward in (("patch-a", "one", "A"), ("patch-b", "two", "B")):
        Assignments(store).assign(LOCAL, patch, patient, ward, start=UTC_0 - 1, name=f"Patient {patient}")
        beat(patch)
        commit(patch_id=patch)


def sign_in(page: Page, url: str, name: str) -> None:
    page.goto(url)
    expect(page).to_have_url(f"{url}/login")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{url}/")


def test_a_nurse_signs_in_sees_her_ward_only_and_signs_out(
    page: Page, server: Any, store: SqliteStore, people: People, wards: None, commit: Commit
) -> None:
    sign_in(page, server.url, "nurse-a")
    page.wait_for_selector("ecg-strip[data-ready]")
    expect(page.locator("[data-alert]")).to_have_count(1)
    expect(page.locator("[data-alert]")).to_contain_text("Patient one")
    assert "patch-b" not in page.content()
    commit(1, patch_id="patch-b")  # news of another ward do not come
    commit(patch_id="patch-x")  # those of nobody's patch do
    expect(page.locator("[data-alert]")).to_have_count(2)
    assert "patch-b" not in page.content()
    Assignments(store).assign(LOCAL, "patch-x", "three", "B", start=UTC_0 - 1)  # by somebody else, meanwhile
    expect(page.locator("[data-alert]")).to_have_count(1)
    page.get_by_role("button", name="Sign out").click()
    expect(page).to_have_url(f"{server.url}/login")
    page.go_back()
    expect(page.get_by_role("button", name="Sign in")).to_be_visible()


def test_the_first_user_is_made_on_the_page_and_then_everybody_signs_in(
    page: Page, server: Any, store: SqliteStore
) -> None:
    page.goto(server.url)
    page.get_by_role("link", name="People").click()
    expect(page.get_by_label("Role")).to_have_value("admin")
    form = page.locator(".fields")
    form.get_by_label("Name").fill("chief")
    form.get_by_label("Password").fill(PASSWORD)
    form.get_by_role("button").click()
    expect(page).to_have_url(f"{server.url}/login")
    sign_in(page, server.url, "chief")
    page.get_by_role("link", name="People").click()
    expect(page.locator("[data-user=chief]")).to_contain_text("admin")


def test_a_nurse_puts_a_patch_on_a_patient_moves_it_and_ends_it(
    page: Page, server: Any, store: SqliteStore, people: People, beat: Callable[..., None]
) -> None:
    people.set_wards(LOCAL, "nurse-a", ["A", "C"])
    beat("patch")
    sign_in(page, server.url, "nurse-a")
    page.get_by_role("link", name="Patches").click()
    card, form = page.locator("[data-patch=patch]"), page.locator(".fields")
    expect(card).to_contain_text("every nurse sees its alerts")
    for patient, ward in (("one", "A"), ("two", "C")):
        form.get_by_label("Patch").fill("patch")
        form.get_by_label("Patient's id").fill(patient)
        form.get_by_label("Ward").fill(ward)
        form.get_by_label("Name").fill(f"Patient {patient}")
        form.get_by_role("button").click()
        expect(card).to_contain_text(f"Patient {patient}")
        expect(card).to_contain_text(f"ward {ward}")
    card.get_by_role("button", name="Code for the patient").click()
    expect(page.locator(".code")).to_have_text(re.compile(r"^[A-Z2-7]{4}(-[A-Z2-7]{4}){2}$"))
    card.get_by_role("button", name="End").click()
    expect(card).to_contain_text("On no patient")
    whos = {
        row["who"] for row in store.all("select who from audit where patch_id = 'patch' and what like 'pat%'")
    }
    assert whos == {"nurse-a"}


@pytest.mark.parametrize("path", ["people", "patches", "password"])
@pytest.mark.parametrize("width", [390, 1500])
def test_the_pages_of_people_fit_a_phone_and_a_desk(
    page: Page, server: Any, people: People, wards: None, path: str, width: int
) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    sign_in(page, server.url, "chief")
    page.goto(f"{server.url}/{path}")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("body")).to_contain_text("Not for emergency monitoring")
