"""The page's door, over HTTP: signing in and out, other sites, guessing, and that no route is left open."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from cloud.assignments import Assignments
from cloud.config import PeopleConfig
from cloud.console.app import create_app
from cloud.console.session import needs, person
from cloud.people import People
from cloud.roles import LOCAL, Action, Role
from cloud.sqlite_store import SqliteStore

Enter = Callable[[str], httpx.Client]
PASSWORD = "correct horse battery"
OPEN = {"/login", "/join", "/logout", "/healthz", "/readyz", "/metrics"}  # the last asks by itself
HTML = {"Accept": "text/html"}
SIGN_IN = {"name": "nurse-a", "password": PASSWORD}


@pytest.fixture
def closed(server: Any, people: People) -> Iterator[httpx.Client]:
    """A client that has not signed in, where it must."""
    with httpx.Client(base_url=server.url, timeout=20) as client:
        yield client


def test_every_route_asks_for_an_action_but_the_door(store: SqliteStore, routes_of: Any) -> None:
    asks = {person, *(needs(action) for action in Action)}
    left = {
        route.path
        for route in routes_of(create_app(store))
        if not {d.call for d in route.dependant.dependencies} & asks
    }
    assert left == OPEN


def test_who_is_not_signed_in_is_sent_to_the_door(closed: httpx.Client) -> None:
    for path in ("/", "/people", "/patches", "/password"):
        answer = closed.get(path, headers=HTML)
        assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    for path in ("/api/alerts", "/api/patches", "/api/stats", "/events", "/fragments/queues"):
        answer = closed.get(path)
        assert (answer.status_code, answer.json()) == (401, {"detail": "Sign in first."})
    assert closed.post("/ask", json={"episodes": ["E"], "question": "?"}).status_code == 401
    assert closed.get("/healthz").status_code == closed.get("/login").status_code == 200


def test_a_session_is_a_cookie_that_scripts_and_other_sites_never_see(closed: httpx.Client) -> None:
    answer = closed.post("/login", data=SIGN_IN)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
    assert "expires" not in cookie  # it ends with the browser
    assert "max-age" not in cookie
    assert closed.get("/api/alerts").status_code == 200


def test_who_signs_out_is_out(enter: Enter) -> None:
    client = enter("nurse-a")
    kept = dict(client.cookies)
    assert client.post("/logout").headers["location"] == "/login"
    assert client.get("/api/alerts").status_code == 401
    client.cookies.update(kept)  # whoever kept the cookie is out too
    assert client.get("/api/alerts").status_code == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "cross-site", "Origin": "SELF"},
        {"Origin": "https://elsewhere.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
)
def test_what_another_site_makes_a_browser_send_is_not_done(
    server: Any, people: People, enter: Enter, headers: dict[str, str]
) -> None:
    sent = {name: server.url if value == "SELF" else value for name, value in headers.items()}
    client = enter("chief")
    for path in ("/people/disable", "/logout", "/ask", "/login"):
        answer = client.post(path, data={"name": "nurse-a"}, headers=sent)
        assert (answer.status_code, "Another site" in answer.text) == (403, True)
        assert "content-security-policy" in answer.headers
    assert client.get("/api/alerts", headers=sent).status_code == 200  # reading changes nothing
    assert not any(user.disabled for user in people.users())


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "SELF"}, {}])
def test_what_the_page_itself_sends_is_done(
    server: Any, people: People, enter: Enter, headers: dict[str, str]
) -> None:
    sent = {name: server.url if value == "SELF" else value for name, value in headers.items()}
    answer = enter("chief").post("/people/disable", data={"name": "nurse-a"}, headers=sent)
    assert answer.status_code == 303
    assert [user.name for user in people.users() if user.disabled] == ["nurse-a"]


def test_guessing_a_password_is_slowed_down_also_for_who_would_be_right(closed: httpx.Client) -> None:
    wrong = {**SIGN_IN, "password": "wrong"}
    answers = [closed.post("/login", data=wrong).status_code for _ in range(7)]
    assert answers[:5] == [401] * 5
    assert 429 in answers[5:]  # a slow machine may take longer than the first pause, of 1 s
    answer = closed.post("/login", data=SIGN_IN)
    assert answer.status_code == 429
    assert closed.post("/login", data={"name": "nurse-b", "password": PASSWORD}).status_code == 303
    time.sleep(int(answer.headers["retry-after"]))
    assert closed.post("/login", data=SIGN_IN).status_code == 303


def test_one_address_cannot_go_through_the_names(closed: httpx.Client) -> None:
    answers = [
        closed.post("/login", data={"name": f"name{number}", "password": "wrong"}).status_code
        for number in range(22)
    ]
    assert answers[:20] == [401] * 20
    assert 429 in answers[20:]
    assert closed.post("/join", data={"code": "AAAA-AAAA-AAAA"}).status_code == 429


def test_an_unknown_name_and_a_disabled_one_are_refused_in_the_same_words(
    closed: httpx.Client, people: People
) -> None:
    people.disable(LOCAL, "viewer-b")
    said = {
        closed.post("/login", data={"name": name, "password": password}).text
        for name, password in (("nobody", PASSWORD), ("nurse-a", "wrong"), ("viewer-b", PASSWORD))
    }
    assert len(said) == 1
    assert "Wrong name or password." in said.pop()


def test_a_form_that_is_too_long_or_broken_is_refused(closed: httpx.Client) -> None:
    assert closed.post("/login", data={"name": "a" * 10_001}).status_code == 413
    assert closed.post("/login", content=b"\xff=\xff").status_code == 400
    assert closed.post("/login", data={str(n): "" for n in range(21)}).status_code == 400


def test_a_password_is_changed_by_who_knows_it(enter: Enter, closed: httpx.Client) -> None:
    client, new = enter("nurse-a"), "another horse battery"
    assert client.post("/password", data={"password": "wrong", "new": new}).status_code == 401
    assert client.post("/password", data={"password": PASSWORD, "new": "short"}).status_code == 422
    answer = client.post("/password", data={"password": PASSWORD, "new": new})
    assert answer.headers["location"] == "/login"
    assert client.get("/api/alerts").status_code == 401
    assert closed.post("/login", data={**SIGN_IN, "password": new}).status_code == 303


def test_the_first_user_comes_with_the_code_that_was_printed(
    store: SqliteStore, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = PeopleConfig(required=True)
    secret = People(store, config).first_code()
    strict = type(server)(store, people=config)
    with httpx.Client(base_url=strict.url, timeout=20) as client:
        assert client.get("/login").headers["location"] == "/join"
        assert "that this node printed" in client.get("/join").text
        wanted = {"name": "chief", "password": PASSWORD}
        assert client.post("/join", data={"code": "AAAA-AAAA-AAAA", **wanted}).status_code == 401
        assert client.post("/join", data={"code": secret, **wanted}).headers["location"] == "/"
        assert "chief, admin" in client.get("/").text
        assert client.post("/join", data={"code": secret, **wanted}).status_code == 401
    strict.stop()


def test_pages_for_admins_and_nurses_are_for_them(enter: Enter) -> None:
    allowed = {
        name: [path for path in ("/", "/patches", "/people") if enter(name).get(path).status_code == 200]
        for name in ("chief", "operator", "nurse-a", "viewer-a")
    }
    assert allowed == {
        "chief": ["/", "/patches", "/people"],
        "operator": ["/"],
        "nurse-a": ["/", "/patches"],
        "viewer-a": ["/"],
    }
    answer = enter("viewer-a").post("/patches/assign", data={"patch": "p", "patient": "one", "ward": "A"})
    assert (answer.status_code, answer.json()["detail"]) == (
        403,
        "Your role, viewer, does not allow this (assign).",
    )
    assert enter("nurse-a").get("/api/stats").status_code == 403
    assert enter("operator").get("/api/stats").status_code == 200


def test_a_patient_with_a_code_sees_their_own_patch_and_nothing_else(
    store: SqliteStore, people: People, closed: httpx.Client, enter: Enter, beat: Callable[..., None]
) -> None:
    beat("mine")
    beat("other")
    Assignments(store).assign(LOCAL, "mine", "one", "A", name="Eve Holm")
    Assignments(store).assign(LOCAL, "other", "two", "A")
    nurse = enter("nurse-a")
    given = nurse.post("/patches/code", data={"patch": "mine"}).text
    secret = given.partition('class="code">')[2].partition("<")[0]
    answer = closed.post("/join", data={"code": secret, "name": "eve", "password": PASSWORD})
    assert answer.status_code == 303
    page = closed.get("/").text
    assert "mine" in page
    assert "connected" in page
    assert "not for emergencies" in page
    assert "other" not in page
    for path in ("/api/alerts", "/api/patches", "/events", "/fragments/queues", "/patches", "/people"):
        assert closed.get(path).status_code == 404
    assert closed.post("/ask", json={"episodes": ["E"], "question": "?"}).status_code == 404
    nurse.post("/patches/end", data={"patch": "mine"})
    assert "No patch of yours" in closed.get("/").text


def test_roles_that_are_none_and_users_twice_are_said_on_the_page(enter: Enter, people: People) -> None:
    client = enter("chief")
    new = {"name": "carl", "password": PASSWORD, "role": "nurse", "wards": "A, C"}
    wrong = client.post("/people/add", data={**new, "role": "king"})
    assert (wrong.status_code, "There is no role &#39;king&#39;" in wrong.text) == (422, True)
    assert client.post("/people/add", data=new).status_code == 303
    assert "There is a user carl already" in client.post("/people/add", data=new).text
    (carl,) = (user for user in people.users() if user.name == "carl")
    assert (carl.role, carl.wards) == (Role.NURSE, ("A", "C"))


def test_who_came_in_who_was_not_let_in_and_who_left_is_in_the_audit(
    closed: httpx.Client, store: SqliteStore, people: People
) -> None:
    held = Assignments(store).assign(LOCAL, "p", "one", "A")
    code = people.invite(LOCAL, held)
    before = store.audit.head().number
    closed.post("/login", data={"name": "nurse-a", "password": "guessed guessed"})
    closed.post("/login", data={"name": PASSWORD, "password": "nurse-a"})  # typed into the wrong field
    closed.post("/join", data={"code": "AAAA-BBBB-CCCC", "name": "eve", "password": PASSWORD})
    closed.post("/login", data=SIGN_IN)
    closed.post("/logout")
    closed.post("/logout")  # nobody's
    closed.post("/join", data={"code": code, "name": "pat", "password": PASSWORD})
    rows = store.all("select who, what, details from audit where number > ? order by number", before)
    told = [(row["who"], row["what"], json.loads(row["details"]).get("user")) for row in rows]
    assert told == [
        ("nobody", "sign-in refused", "nurse-a"),
        ("nobody", "sign-in refused", None),
        ("nobody", "sign-in refused", None),
        ("nurse-a", "signed in", None),
        ("nurse-a", "signed out", None),
        ("pat", "user added", "pat"),
        ("pat", "code used", None),
        ("pat", "signed in", None),
    ]
    addresses = [json.loads(row["details"]).get("address") for row in rows]
    assert addresses == ["127.0.0.1"] * 4 + [None, None, "127.0.0.1", "127.0.0.1"]
    assert PASSWORD not in json.dumps(rows)
    assert code not in json.dumps(rows)
