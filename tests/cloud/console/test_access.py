"""Who may do what over HTTP: every route and role cell by cell, and the interface under fuzzing.

Whatever is of ward B carries a mark that nobody of ward A may ever be answered with.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import schemathesis
from argon2 import PasswordHasher
from fastapi import FastAPI
from fastapi.testclient import TestClient
from httpx import Response
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from cloud.assignments import Assignments
from cloud.config import RuleConfig
from cloud.console import said
from cloud.console.app import create_app
from cloud.docket import Called
from cloud.passwords import Passwords
from cloud.people import People
from cloud.quiet import Thresholds
from cloud.replays import Replays
from cloud.roles import LOCAL, Role
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome
from models.ecg import Clock, Segment, make_id, read_only, segment_id
from models.verdicts import Alert, Finding, Measurements, Priority, Report
from models.wire import encode_segment

MARK = "KANARIENVOGEL"
BYTES = b"CNRY"  # of the samples
BEGIN = 1_700_000_000.0
DAYS_S = 2 * 86_400.0  # so that all of the day is theirs
PASSWORD = "correct horse battery"
UNMEASURED: Any = dict.fromkeys(
    ("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median", "pr", "qrs", "qt")
)
ROLES = ("patient", "viewer", "nurse", "clinician", "operator", "admin", "nobody")


@dataclass(frozen=True, kw_only=True)
class Ward:
    """Ids of what is in it."""

    patch: str
    patient: str
    episode: str
    alert: str


@dataclass(frozen=True, kw_only=True)
class House:
    """A node with two wards, and a client for each role, those with wards in ward A."""

    app: FastAPI
    a: Ward
    b: Ward
    clients: dict[str, TestClient]


def fill(store: SqliteStore, ward: str, mark: str, samples: bytes) -> Ward:
    """A patch on a patient, its heartbeat, an analysed part with report and alert, and rules of its own."""
    patch, patient, now = f"patch-{ward}", f"patient-{ward}", time.time()
    Assignments(store).assign(LOCAL, patch, patient, ward, start=BEGIN - DAYS_S, name=mark, phone=mark)
    counts = np.full((1, 15_000), int.from_bytes(samples, "little"), dtype=np.int32)
    part = Segment(
        id=segment_id(patch, 1, 0, 14_999),
        patch_id=patch,
        boot_id=1,
        episode_id=segment_id(patch, 1, 0, 14_999),
        part=0,
        final=True,
        continues=None,
        opened_by="screener",
        first=0,
        fs=250.0,
        leads=(mark,),
        counts=read_only(counts),
        uv_per_count=(1.0,),
        clock=Clock(utc_0=BEGIN, fs=250.0, quality="arrival", received_at=BEGIN + 60),
    )
    store.commit_segment(encode_segment(part, 1, "home"), part, seq=1, site="home", now=now)
    found = Finding(
        segment_id=part.id, label="V", first=500, last=530, leads=(mark,), probability=0.9,
        evidence={"note": mark},
    )  # fmt: skip
    report = Report(
        id=make_id("report", part.id), episode_id=part.episode_id, segment_ids=(part.id,), findings=(found,),
        measurements=Measurements(beats=1, analysed_s=60.0, not_analysed_s=0.0, **UNMEASURED),
        narrative=mark, abstentions=(mark,), model="template",
    )  # fmt: skip
    cause = {"episode_id": part.episode_id, "boot_id": 1, "label": "VT", "rule": mark, "priority": "medium",
             "at": 530, "utc": BEGIN + 2}  # fmt: skip
    alert = Alert(
        id=make_id("alert", part.id), patch_id=patch, episode_id=part.episode_id, label="VT",
        priority=Priority.MEDIUM, state="raised", at=530, rule=mark, history=(cause,),
    )  # fmt: skip
    job = store.claim("test", 60.0, now=now)
    assert job is not None
    called = [Called(alert=alert, change="raised")]
    outcome = Outcome(
        episode_id=part.episode_id, findings=(found,), open=(), reports=(report,), judge=lambda _: called
    )
    assert store.finish(job, outcome, now=now)
    beat = {"newest": 14_999, "newest_utc": now - 2, "fs": 250.0, "boot_id": 1, "lead_off": [mark]}
    store.heartbeat(patch, "home", beat, now=now)
    store.raise_technical(patch, "lag", mark, now=now)
    own = Thresholds(patch_id=patch, own={"slow_bpm": 35.0}, at=now, who="local", reason=mark)
    store.patient_rules.set_thresholds(own, RuleConfig())
    return Ward(patch=patch, patient=patient, episode=part.episode_id, alert=alert.id)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder: Path = tmp_path_factory.mktemp("house")
    store = SqliteStore(str(folder / "cloud.db"))
    a, b = fill(store, "A", "Anna", b"\1\0\0\0"), fill(store, "B", MARK, BYTES)
    replays = Replays(folder / "replays", store)
    replays.open("run", make=True).close()
    people = People(store, passwords=Passwords(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)))
    for role in reversed(Role):  # an admin is the first
        if role is not Role.PATIENT:
            people.add(LOCAL, f"the-{role}", PASSWORD, role, ["A"])
    people.add(LOCAL, "a-chief", PASSWORD, Role.ADMIN)  # whatever is done to the other, one stays
    mine = Assignments(store).open()[a.patch]
    people.join(people.invite(LOCAL, mine), "the-patient", PASSWORD)
    app = create_app(store, replays=replays)
    app.state.hub.close()  # streams end by themselves
    clients = {}
    for role in ROLES:
        clients[role] = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        clients[role].headers["X-Forwarded-For"] = "192.0.2.7"  # figures are not asked for from this machine
        if role != "nobody":
            clients[role].cookies.set("anyecg", people.sign_in(f"the-{role}", PASSWORD))
    with contextlib.ExitStack() as entered:  # one event loop each, instead of one a request
        for client in clients.values():
            entered.enter_context(client)
        yield House(app=app, a=a, b=b, clients=clients)
    store.close()


# -- cell by cell ------------------------------------------------------------------------------------------

STALE = {"version": 999, "screen": "s"}
BODIES: dict[str, dict[str, Any]] = {  # none of them changes anything, and each is refused after the role is
    "/api/alerts/{alert}/seen": {"json": STALE},
    "/api/alerts/{alert}/acknowledge": {"json": STALE},
    "/api/alerts/{alert}/resolve": {"json": {"version": 999}},
    "/api/alerts/{alert}/suppress": {"json": {**STALE, "hours": 1, "reason": "r"}},
    "/api/alerts/{alert}/undo": {"json": {"version": 999}},
    "/api/patches/{patch}/rules": {"json": {"own": {"none": 1}, "reason": "r"}},
    "/api/alerts/{alert}/escalate": {"json": {"version": 999}},
    "/api/episodes/{episode}/annotations": {"json": {"first": 0, "last": 9, "label": "none", "leads": []}},
    "/api/episodes/{episode}/report/revisions": {"json": {"version": 999, "rests_on": "", "sentences": []}},
    "/api/episodes/{episode}/report/sign": {"json": {"version": 999, "sha256": ""}},
    "/api/episodes/{episode}/report/addenda": {"json": {"version": 999, "text": "t"}},
    "/ask": {"json": {"episodes": ["{episode}"], "question": "How many beats?"}},
}
QUERIES = {
    "/fragments/together": "?episode={episode}",
    "/compare": "?episode={episode}&episode={episode}",
    "/api/compare": "?episode={episode}&episode={episode}",
    "/patches/{patch}/day": "?date=2023-11-14",
    "/patches/{patch}/disclosure": "?day=2023-11-14",
    "/api/patches/{patch}/disclosure": "?day=2023-11-14",
    "/api/patches/{patch}/disclosure/rows": "?from=1700000000&minutes=2",
    "/api/patches/{patch}/fetch": "?from=1700000000&seconds=60",  # asks again for what is asked for
    "/patches/{patch}/day.pdf": "?from=2023-11-14T00:00&to=2023-11-15T00:00",
    "/replays/diff": "?a=run&b=run",
}
# 503: the language model is off. 404 of an operator: alerts have no wards for who sees all of them.
TABLE = """
method path                                             patient viewer nurse clinician operator admin nobody
GET    /healthz                                           200    200   200       200      200   200    200
GET    /readyz                                            200    200   200       200      200   200    200
GET    /metrics                                           404    403   403       403      200   200    401
GET    /login                                             200    200   200       200      200   200    200
POST   /login                                             401    401   401       401      401   401    401
GET    /join                                              200    200   200       200      200   200    200
POST   /join                                              401    401   401       401      401   401    401
GET    /password                                          200    200   200       200      200   200    401
POST   /password                                          401    401   401       401      401   401    401
GET    /                                                  200    200   200       200      200   200    401
GET    /symptom                                           200    403   403       403      403   200    401
POST   /symptom                                           422    403   403       403      403   422    401
GET    /events                                            404    200   200       200      200   200    401
GET    /fragments/queues                                  404    200   200       200      200   200    401
GET    /fragments/episodes/{episode}                      404    200   200       200      200   200    401
GET    /fragments/together                                404    200   200       200      200   200    401
GET    /episodes/{episode}                                404    200   200       200      200   200    401
GET    /compare                                           404    200   200       200      200   200    401
GET    /people                                            404    403   403       403      403   200    401
POST   /people/add                                        404    403   403       403      403   422    401
POST   /people/wards                                      404    403   403       403      403   422    401
POST   /people/password                                   404    403   403       403      403   422    401
POST   /people/disable                                    404    403   403       403      403   422    401
GET    /patches                                           404    403   200       200      403   200    401
POST   /patches/assign                                    404    403   422       422      403   422    401
POST   /patches/end                                       404    403   422       422      403   422    401
POST   /patches/code                                      404    403   200       200      403   200    401
GET    /patches/{patch}/day                               404    200   200       200      200   200    401
GET    /patches/{patch}/disclosure                        404    200   200       200      200   200    401
GET    /api/patches                                       404    200   200       200      200   200    401
GET    /api/segments                                      404    403   403       403      200   200    401
GET    /api/stats                                         404    403   403       403      200   200    401
GET    /api/latencies                                     404    200   200       200      200   200    401
GET    /api/compare                                       404    200   200       200      200   200    401
GET    /api/patches/{patch}/disclosure                    404    200   200       200      200   200    401
GET    /api/patches/{patch}/disclosure/rows               404    200   200       200      200   200    401
GET    /api/patches/{patch}/minutes/1700000000            404    200   200       200      200   200    401
GET    /api/patches/{patch}/minutes/1700000000/samples    404    200   200       200      200   200    401
POST   /api/patches/{patch}/fetch                         404    200   200       200      200   200    401
GET    /api/episodes/{episode}                            404    200   200       200      200   200    401
GET    /api/episodes/{episode}/samples                    404    200   200       200      200   200    401
GET    /api/episodes/{episode}/annotations                404    200   200       200      200   200    401
POST   /api/episodes/{episode}/annotations                404    403   422       422      403   422    401
GET    /episodes/{episode}/report                         404    200   200       200      200   200    401
GET    /api/episodes/{episode}/report                     404    200   200       200      200   200    401
POST   /api/episodes/{episode}/report/revisions           404    403   403       409      403   409    401
POST   /api/episodes/{episode}/report/sign                404    403   403       409      403   409    401
POST   /api/episodes/{episode}/report/addenda             404    403   403       409      403   409    401
GET    /episodes/{episode}/strip.svg                      404    200   200       200      200   200    401
GET    /episodes/{episode}/report.pdf                     404    200   200       200      200   200    401
GET    /episodes/{episode}/export                         404    403   200       200      403   200    401
GET    /patches/{patch}/day.pdf                           404    200   200       200      200   200    401
GET    /patches/{patch}/study.pdf                         404    200   200       200      200   200    401
GET    /api/alerts                                        404    200   200       200      200   200    401
GET    /api/alerts/{alert}                                404    200   200       200      200   200    401
POST   /api/alerts/{alert}/seen                           404    409   409       409      409   409    401
POST   /api/alerts/{alert}/acknowledge                    404    403   409       409      403   409    401
POST   /api/alerts/{alert}/escalate                       404    403   409       409      403   409    401
POST   /api/alerts/{alert}/resolve                        404    403   409       409      403   409    401
POST   /api/alerts/{alert}/suppress                       404    403   409       409      403   409    401
POST   /api/alerts/{alert}/undo                           404    403   409       409      403   409    401
GET    /api/patches/{patch}/rules                         404    200   200       200      200   200    401
POST   /api/patches/{patch}/rules                         404    403   403       422      403   422    401
POST   /ask                                               404    403   503       503      403   503    401
GET    /replays                                           404    403   403       403      200   200    401
GET    /replays/diff                                      404    403   403       403      200   200    401
GET    /replays/run                                       404    403   403       403      200   200    401
GET    /replays/run/episodes/{episode}/strip.svg          404    403   403       403      404   404    401
POST   /replays/delete                                    404    403   403       403      404   404    401
GET    /api/replays                                       404    403   403       403      200   200    401
GET    /api/replays/run                                   404    403   403       403      200   200    401
GET    /api/replays/run/diff/run                          404    403   403       403      200   200    401
POST   /logout                                            303    303   303       303      303   303    303
"""
HEAD, *ROWS = (line.split() for line in TABLE.strip().splitlines())
CELLS = [
    (method, path, role, int(status))
    for method, path, *row in ROWS
    for role, status in zip(HEAD[2:], row, strict=True)
    if path != "/logout"  # its own test: it ends the session that the others need
]
ELSEWHERE = {"viewer", "nurse", "clinician"}  # bound to a ward


def ask(house: House, ward: Ward, method: str, path: str, role: str) -> Response:
    def named(text: str) -> str:
        return text.format(episode=ward.episode, patch=ward.patch, alert=ward.alert)

    for brake in (house.app.state.door._names, house.app.state.door._addresses):
        brake._tries.clear()  # so many wrong passwords would be slowed down
    body = BODIES.get(path, {"data": {"name": "x"}} if method == "POST" else {})
    if path == "/ask":
        body = {"json": {"episodes": [ward.episode], "question": "How many beats?"}}
    return house.clients[role].request(method, named(path + QUERIES.get(path, "")), **body)


def routes(held: Any) -> Iterator[tuple[str, str]]:
    """(method, path) of everything that is served."""
    for route in held:
        if hasattr(route, "original_router"):  # as FastAPI keeps what was included
            yield from routes(route.original_router.routes)
        for method in set(getattr(route, "methods", None) or ()) - {"HEAD"}:
            yield method, route.path


def test_the_table_holds_every_route(house: House) -> None:
    def plain(path: str) -> str:
        """With the names of its parameters, or what stands for them here, left out."""
        return re.sub(r"{\w+}|\brun\b|(?<=strip\.)svg|(?<=minutes/)\d+", "{}", path)

    told = {(method, plain(path)) for method, path, *_ in ROWS}
    served = {(method, plain(path)) for method, path in routes(house.app.routes)}
    assert told == served - {("GET", "/openapi.json")}


@pytest.mark.parametrize(("method", "path", "role", "status"), CELLS)
def test_each_route_and_role(house: House, method: str, path: str, role: str, status: int) -> None:
    answer = ask(house, house.a, method, path, role)
    assert answer.status_code == status, answer.text[:300]
    if status >= 400 and "application/json" in answer.headers["content-type"]:
        assert isinstance(answer.json()["detail"], str)


@pytest.mark.parametrize(
    ("method", "path", "role", "status"),
    [cell for cell in CELLS if "{" in cell[1] + QUERIES.get(cell[1], "") or cell[1] == "/ask"],
)
def test_what_is_in_another_ward_does_not_exist(
    house: House, method: str, path: str, role: str, status: int
) -> None:
    answer = ask(house, house.b, method, path, role)
    there = status < 400 or status in {409, 422, 503}
    assert answer.status_code == (404 if role in ELSEWHERE and there else status)
    assert not (role in ELSEWHERE and leaks(answer))


def test_a_session_that_ended_is_nobodys(house: House) -> None:
    with TestClient(house.app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        assert client.post("/login", data={"name": "a-chief", "password": PASSWORD}).status_code == 303
        assert client.get("/people").status_code == 200
        assert client.post("/logout").status_code == 303
        assert client.get("/people").status_code == 401


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/api/patches/{patch}/disclosure", said.DayOverview),
        ("/api/patches/{patch}/disclosure/rows", said.MinuteRows),
        ("/api/patches/{patch}/minutes/1700000000", said.MinuteData),
        ("/api/episodes/{episode}/report", said.ReportData),
        ("/api/compare", said.Comparison),
    ],
)
def test_what_a_guess_seldom_finds_is_answered_as_documented(
    house: House, path: str, model: type[BaseModel]
) -> None:
    model.model_validate(ask(house, house.a, "GET", path, "viewer").json())


# -- under fuzzing -----------------------------------------------------------------------------------------

FUZZ = settings(
    max_examples=12,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
CHECKS: Any = [
    not_a_server_error,
    response_schema_conformance,
    content_type_conformance,
    status_code_conformance,
]
FORMS = ("/people/add", "/people/wards", "/people/password", "/people/disable", "/patches/assign",
         "/patches/end", "/patches/code", "/replays/delete", "/login", "/join", "/password")  # fmt: skip
FIELDS = ("name", "role", "wards", "password", "new", "patch", "patient", "ward", "born", "phone", "from",
          "run", "code")  # fmt: skip
PAGES = ("/", "/patches", "/people", "/fragments/queues", "/api/alerts", "/api/patches", "/api/stats",
         "/replays", "/events?after=0")  # fmt: skip


def leaks(answer: Response) -> bool:
    return MARK in answer.text or MARK in str(answer.headers) or BYTES in answer.content


def ids(house: House) -> st.SearchStrategy[str]:
    """Of things that there are, in both wards."""
    known = [value for ward in (house.a, house.b) for value in vars(ward).values()]
    return st.sampled_from([*known, "run", "A", "B"])


def test_the_mark_shows_where_it_may_be_seen(house: House) -> None:
    """Else nothing below would be shown by its absence."""
    for path in ("/", "/api/alerts", "/api/patches", "/patches", f"/api/episodes/{house.b.episode}/samples"):
        assert leaks(house.clients["admin"].get(path)), path


@pytest.mark.timeout(400)
@pytest.mark.parametrize("role", ROLES)
def test_the_interface_answers_as_it_says_and_tells_nothing_of_another_ward(house: House, role: str) -> None:
    client = house.clients[role]
    schema = schemathesis.openapi.from_dict(house.app.openapi())
    for operation in (found.ok() for found in schema.get_all_operations()):

        @FUZZ
        @given(case=operation.as_strategy(), known=st.lists(ids(house), min_size=4, max_size=4))
        def fuzz(case: Case, known: list[str]) -> None:
            for name, value in zip(case.path_parameters or {}, known, strict=False):
                if name != "kind" and value != "A":  # sometimes what was made up stays
                    case.path_parameters[name] = value
            if case.path == "/ask" and isinstance(case.body, dict) and known[0] != "A":
                case.body["episodes"] = known[: len(known[0]) % 3 + 1]
            sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
            sent.pop("cookies", None)
            answer = client.request(**sent)
            case.validate_response(answer, checks=CHECKS)
            if role in ELSEWHERE | {"patient", "nobody"}:
                assert not leaks(answer), case.as_curl_command()

        fuzz()


@pytest.mark.timeout(400)
@pytest.mark.parametrize("role", ROLES)
def test_whatever_forms_are_sent_nothing_breaks_and_nothing_leaks(house: House, role: str) -> None:
    client = house.clients[role]
    values = st.one_of(ids(house), st.text(max_size=40), st.sampled_from(["", MARK[:3], "2023-11-14T22:00"]))
    fields = st.dictionaries(st.sampled_from(FIELDS), values, max_size=8)

    @settings(FUZZ, max_examples=60)
    @given(path=st.sampled_from(FORMS), form=st.one_of(fields, st.binary(max_size=60)))
    def fuzz(path: str, form: dict[str, str] | bytes) -> None:
        sent: dict[str, Any] = {"content": form} if isinstance(form, bytes) else {"data": form}
        answer = client.post(path, **sent)
        assert answer.status_code < 500
        if role in ELSEWHERE | {"patient", "nobody"}:
            assert not leaks(answer)

    fuzz()
    for page in PAGES:
        answer = client.get(page)
        assert answer.status_code < 500
        assert not (role in ELSEWHERE | {"patient", "nobody"} and leaks(answer)), page
