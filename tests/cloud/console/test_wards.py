"""Wards apart, on every surface: what is in another ward does not exist, and what was recorded stays."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from cloud.alerts import State
from cloud.assignments import Assignments
from cloud.console.seen import Seen
from cloud.console.views import moment
from cloud.people import People
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from models.ecg import Segment
from models.verdicts import Priority

Enter = Callable[[str], httpx.Client]
Commit = Callable[..., Segment]
UTC_0 = 1_700_000_000.0


@pytest.fixture
def assignments(store: SqliteStore) -> Assignments:
    return Assignments(store)


@pytest.fixture
def wards(assignments: Assignments, commit: Commit, beat: Callable[..., None]) -> dict[str, Segment]:
    """A patch, a heartbeat and an alert in each of the wards A and B, and of nobody."""
    assignments.assign(LOCAL, "patch-a", "one", "A", start=UTC_0 - 1, name="Anna Berg", phone="0123")
    assignments.assign(LOCAL, "patch-b", "two", "B", start=UTC_0 - 1, name="Bert Holm")
    for patch in ("patch-a", "patch-b", "patch-x"):
        beat(patch)
    return {ward: commit(patch_id=f"patch-{ward}") for ward in "abx"}


def statuses(client: httpx.Client, episode: str) -> set[int]:
    """Of everything that is about an episode."""
    paths = [f"/api/episodes/{episode}", f"/api/episodes/{episode}/samples", f"/fragments/episodes/{episode}"]
    found = {client.get(path).status_code for path in [*paths, f"/fragments/together?episode={episode}"]}
    asked = {"question": "How many beats?"}
    for wanted in (episode, {"episode": episode, "from": 0, "to": 1000}):
        found.add(client.post("/ask", json={"episodes": [wanted], **asked}).status_code)
    return found


def told(client: httpx.Client, count: int) -> list[dict[str, Any]]:
    """The first events of the stream."""
    found: list[dict[str, Any]] = []
    with client.stream("GET", "/events?after=0") as answer:
        for line in answer.iter_lines():
            if line.startswith("data: ") and len(line) > len("data: {}"):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == count:
                return found
    raise AssertionError(f"The stream ended after {len(found)} events.")


def test_a_nurse_is_told_nothing_of_another_ward_not_even_that_it_is_there(
    enter: Enter, wards: dict[str, Segment]
) -> None:
    client = enter("nurse-a")
    assert statuses(client, wards["a"].episode_id) == {200}
    assert statuses(client, wards["x"].episode_id) == {200}  # nobody's is everybody's
    assert statuses(client, wards["b"].episode_id) == {404}
    unknown = client.get("/api/episodes/NONE").text
    assert client.get(f"/api/episodes/{wards['b'].episode_id}").text == unknown.replace(
        "NONE", wards["b"].episode_id
    )
    for path in ("/", "/fragments/queues", "/api/alerts", "/api/patches", "/patches"):
        page = client.get(path).text
        assert "patch-a" in page
        assert "patch-x" in page
        assert not any(word in page for word in ("patch-b", "Bert Holm", wards["b"].episode_id))


def test_a_stream_tells_of_its_wards_only(enter: Enter, wards: dict[str, Segment], commit: Commit) -> None:
    events = told(enter("nurse-a"), 8)  # of each of two patches a heartbeat, a part, findings and an alert
    assert "patch-b" not in json.dumps(events)
    assert sum("patch-a" in json.dumps(event) for event in events) == 4


def test_an_ask_about_several_strips_fails_for_the_one_of_another_ward(
    enter: Enter, wards: dict[str, Segment]
) -> None:
    both = [wards[ward].episode_id for ward in "ab"]
    client = enter("clinician-a")
    assert client.post("/ask", json={"episodes": both, "question": "Compare."}).status_code == 404
    query = "&".join(f"episode={episode}" for episode in both)
    assert client.get(f"/fragments/together?{query}").status_code == 404


def test_a_viewer_reads_and_does_not_ask(enter: Enter, wards: dict[str, Segment]) -> None:
    client = enter("viewer-a")
    assert statuses(client, wards["a"].episode_id) == {200, 403}
    assert statuses(client, wards["b"].episode_id) == {404, 403}
    assert statuses(client, wards["x"].episode_id) == {404, 403}
    assert "Ask together" not in client.get("/").text


def test_an_operator_sees_every_ward_and_no_name(enter: Enter, wards: dict[str, Segment]) -> None:
    client = enter("operator")
    for episode in wards.values():
        assert client.get(f"/api/episodes/{episode.episode_id}").status_code == 200
    for path in ("/", "/api/alerts", "/api/patches", f"/fragments/episodes/{wards['a'].episode_id}"):
        page = client.get(path).text
        assert "P-" in page
        assert not any(word in page for word in ("Anna Berg", "Bert Holm", "0123"))
    names = {
        row["patch_id"]: row["patient"] and row["patient"]["name"] for row in client.get("/api/alerts").json()
    }
    assert names["patch-x"] is None
    assert len(set(names.values())) == 3


def test_who_may_know_a_name_reads_it_beside_the_alert(enter: Enter, wards: dict[str, Segment]) -> None:
    rows = enter("nurse-a").get("/api/alerts").json()
    assert {row["patch_id"]: row["patient"] for row in rows} == {
        "patch-a": {"name": "Anna Berg", "ward": "A", "born": "", "phone": "0123"},
        "patch-x": None,
    }


def test_a_reassigned_patch_leaves_its_old_data_with_its_old_patient(
    enter: Enter,
    assignments: Assignments,
    commit: Commit,
    beat: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assignments.assign(LOCAL, "patch", "one", "A", start=UTC_0 - 1, name="Anna Berg")
    old = commit(patch_id="patch")
    moved = UTC_0 + 100.0
    with monkeypatch.context() as then:
        then.setattr("cloud.assignments.time.time", lambda: moved)
        assignments.assign(LOCAL, "patch", "two", "B", name="Bert Holm")
    spans = [("V", 50_500, 50_530)]
    new = commit(10, patch_id="patch", begin=10, spans=spans, at=50_530)  # 202 s after sample 0
    beat("patch")
    before, after = enter("nurse-a"), enter("nurse-b")
    assert (statuses(before, old.episode_id), statuses(before, new.episode_id)) == ({200}, {404})
    assert (statuses(after, old.episode_id), statuses(after, new.episode_id)) == ({404}, {200})
    for client, name in ((before, "Anna Berg"), (after, "Bert Holm")):
        assert [row["patient"]["name"] for row in client.get("/api/alerts").json()] == [name]
    assert before.get("/api/patches").json() == []
    assert [row["patient"]["name"] for row in after.get("/api/patches").json()] == ["Bert Holm"]


def test_an_episode_across_a_change_of_hands_is_seen_by_both(
    enter: Enter, assignments: Assignments, commit: Commit, monkeypatch: pytest.MonkeyPatch
) -> None:
    assignments.assign(LOCAL, "patch", "one", "A", start=UTC_0 - 1)
    monkeypatch.setattr("cloud.assignments.time.time", lambda: UTC_0 + 10.0)
    assignments.assign(LOCAL, "patch", "two", "B")
    part = commit(patch_id="patch")  # 20 s from sample 0
    for name in ("nurse-a", "nurse-b"):
        assert statuses(enter(name), part.episode_id) == {200}


def test_a_strip_across_a_change_of_hands_names_all_whom_it_is_of_and_until_when(
    enter: Enter,
    assignments: Assignments,
    commit: Commit,
    beat: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assignments.assign(LOCAL, "patch", "one", "A", start=UTC_0 - 86_400, name="Anna Berg")
    monkeypatch.setattr("cloud.assignments.time.time", lambda: UTC_0 + 10.0)
    assignments.assign(LOCAL, "patch", "two", "B", name="Bert Holm")
    part = commit(patch_id="patch")  # 20 s from sample 0
    beat("patch")
    episode, day = part.episode_id, datetime.fromtimestamp(UTC_0).astimezone().date()
    anna, bert = f"Anna Berg until {moment(UTC_0 + 10)}", f"Bert Holm from {moment(UTC_0 + 10)}"
    paths = [
        f"/fragments/episodes/{episode}",
        f"/fragments/together?episode={episode}",
        f"/episodes/{episode}/report",
        f"/compare?episode={episode}&episode={episode}",
        f"/patches/patch/disclosure?day={day}",
        f"/patches/patch/day?date={day}",
    ]
    for name, told in (("chief", f"{anna}; {bert}"), ("nurse-a", anna), ("nurse-b", bert)):
        for path in paths:
            said = " ".join(re.sub("<[^>]*>", "", enter(name).get(path).text).split())
            assert told in said, (name, path)
            assert name == "chief" or said.count("Berg") * said.count("Holm") == 0
    assert "a Anna Berg and Bert Holm, patch patch" in enter("chief").get(paths[3]).text


def test_alerts_of_many_other_patches_do_not_hide_ones_own(
    enter: Enter, assignments: Assignments, commit: Commit, store: SqliteStore
) -> None:
    assignments.assign(LOCAL, "mine", "one", "A", start=UTC_0 - 1)
    commit(patch_id="mine")
    assignments.assign(LOCAL, "theirs", "two", "B", start=UTC_0 - 1)
    with store.writing() as db:
        (row,) = db.query("select * from alerts")
        for number in range(150):
            alert = json.loads(row["alert"]) | {"id": f"A{number}", "patch_id": "theirs"}
            more = {"id": f"A{number}", "patch_id": "theirs", "alert": json.dumps(alert)}
            db.table("alerts").insert(row | more | {"updated_at": row["updated_at"] + 1})
    assert [row["patch_id"] for row in enter("nurse-a").get("/api/alerts").json()] == ["mine"]
    assert len(enter("nurse-b").get("/api/alerts").json()) == 100


def test_the_alerts_of_a_patch_are_found_behind_those_of_any_others(
    wards: dict[str, Segment], store: SqliteStore, assignments: Assignments
) -> None:
    for patch in ("patch-a", "patch-b", "patch-x"):
        assert [stored.alert.patch_id for stored in store.alerts(1, patch_id=patch)] == [patch]
    assert store.alerts(1, [State.RESOLVED], patch_id="patch-a") == []
    seen = Seen(store, assignments, Person(name="ann", role=Role.NURSE, wards=frozenset({"A"})))
    assert [len(seen.alerts_of(patch)) for patch in ("patch-a", "patch-b", "patch-x")] == [1, 0, 1]


def test_a_new_alert_comes_before_all_that_are_over_and_that_there_are_more_is_said(
    enter: Enter, commit: Commit, store: SqliteStore
) -> None:
    commit(patch_id="old")
    (over,) = store.alerts()
    store.book.see(over.alert.id, "ann", "s", 1, now=time.time())
    store.book.acknowledge(over.alert.id, "ann", "s", 1, now=time.time())
    store.book.resolve(over.alert.id, "ann", 3, None, now=time.time())
    with store.writing() as db:
        (row,) = db.query("select * from alerts")
        for number in range(99):
            alert = json.dumps(json.loads(row["alert"]) | {"id": f"A{number}"})
            db.table("alerts").insert(row | {"id": f"A{number}", "alert": alert})
    commit(patch_id="new", priority=Priority.MEDIUM)
    client = enter("nurse-a")
    some, all_ = client.get("/api/alerts"), client.get("/api/alerts?limit=101")
    assert [(row["priority"], row["state"]) for row in some.json()[:2]] == [
        ("medium", "raised"),
        ("high", "resolved"),
    ]
    assert [(len(answer.json()), answer.headers["X-AnyECG-More"]) for answer in (some, all_)] == [
        (100, "true"),
        (101, "false"),
    ]


def test_a_technical_alert_is_for_who_had_the_patch_and_for_who_has_it(
    enter: Enter, assignments: Assignments, store: SqliteStore, people: People
) -> None:
    assignments.assign(LOCAL, "patch", "one", "A", start=UTC_0 - 1)
    store.raise_technical("patch", "silent", "Nothing heard.", now=UTC_0)
    assert "Nothing heard." not in enter("nurse-b").get("/fragments/queues").text
    assignments.assign(LOCAL, "patch", "two", "B")
    for name in ("nurse-a", "nurse-b"):
        assert "Nothing heard." in enter(name).get("/fragments/queues").text


def test_a_stream_ends_with_its_session(enter: Enter, people: People, wards: dict[str, Segment]) -> None:
    client = enter("nurse-a")
    with client.stream("GET", "/events") as answer:
        lines = answer.iter_lines()
        next(lines)
        people.disable(LOCAL, "nurse-a")
        begun = time.monotonic()
        assert not any("patch" in line for line in lines)
    assert time.monotonic() - begun < 10
    assert client.get("/events").status_code == 401


def test_a_stream_beats_while_only_others_have_news(
    enter: Enter, wards: dict[str, Segment], beat: Callable[..., None]
) -> None:
    with enter("nurse-a").stream("GET", "/events") as answer:
        begun, lines = time.monotonic(), answer.iter_lines()
        while (line := next(lines)) != "event: beat":
            assert "patch" not in line
            if line.startswith("retry"):
                for _ in range(3):
                    beat("patch-b")
    assert time.monotonic() - begun < 9
