"""A patch on patients: what it recorded stays whose it was, whatever is assigned, moved and ended later."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloud.assignments import Assignments, begin_of, tenure
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from models.errors import UsageError

ANNA = Person(name="anna", role=Role.NURSE, wards=frozenset({"A"}))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time it is, to be set."""
    now = [1000.0]
    monkeypatch.setattr("cloud.assignments.time.time", lambda: now[0])
    return now


@pytest.fixture
def assignments(store: SqliteStore, clock: list[float]) -> Assignments:
    return Assignments(store)


def holders(assignments: Assignments, *times: float) -> list[str | None]:
    return [held and held.patient_id for t in times for held in [assignments.at("p", t)]]


def test_data_are_whose_the_patch_was_when_they_were_recorded(
    assignments: Assignments, clock: list[float]
) -> None:
    assignments.assign(LOCAL, "p", "one", "A")
    clock[0] = 2000.0
    assignments.assign(LOCAL, "p", "two", "B")
    clock[0] = 3000.0
    assignments.end(LOCAL, "p")
    assert holders(assignments, 999, 1000, 1999, 2000, 2999, 3000) == [None, "one", "one", "two", "two", None]
    everybody = [held and held.patient_id for held in assignments.during("p", 0, 9999)]
    assert everybody == [None, "one", "two", None]
    assert assignments.during("q", 0, 9999) == [None]


def test_a_start_in_the_past_is_good_as_long_as_the_patch_was_nobodys(
    assignments: Assignments, clock: list[float]
) -> None:
    assignments.assign(LOCAL, "p", "one", "A", start=500.0)
    clock[0] = 2000.0
    with pytest.raises(UsageError, match="on patient one: it can be moved from now on only"):
        assignments.assign(LOCAL, "p", "two", "A", start=1500.0)
    assignments.end(LOCAL, "p")
    clock[0] = 3000.0
    with pytest.raises(UsageError, match="was on another patient after that"):
        assignments.assign(LOCAL, "p", "two", "A", start=1999.0)
    with pytest.raises(UsageError, match="in the future"):
        assignments.assign(LOCAL, "p", "two", "A", start=3001.0)
    assignments.assign(LOCAL, "p", "two", "A", start=2000.0)
    assert holders(assignments, 499, 500, 1999, 2000) == [None, "one", "one", "two"]


CHANGE = st.tuples(st.sampled_from(["one", "two", None]), st.sampled_from("AB"), st.integers(0, 60))


@settings(max_examples=25)
@given(st.lists(CHANGE, max_size=8))
def test_nothing_done_later_changes_whose_a_time_was(changes: list[tuple[str | None, str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        now = [100.0]
        patch.setattr("cloud.assignments.time.time", lambda: now[0])
        store = SqliteStore(str(Path(folder) / "cloud.db"))
        assignments, known = Assignments(store), dict[float, str]()
        for patient, ward, back in changes:
            now[0] += 10.0
            try:
                if patient is None:
                    assignments.end(LOCAL, "p")
                else:
                    assignments.assign(LOCAL, "p", patient, ward, start=now[0] - back or None)
            except UsageError:
                pass
            for t in range(round(now[0])):
                (held,) = assignments.during("p", t, t)
                if held is not None:
                    assert known.setdefault(t, held.patient_id) == held.patient_id
                assert (t in known) == (held is not None)
        store.close()


def test_a_move_to_another_ward_ends_the_one_before(assignments: Assignments, clock: list[float]) -> None:
    assignments.assign(LOCAL, "p", "one", "A")
    with pytest.raises(UsageError, match="on patient one in ward A already"):
        assignments.assign(LOCAL, "p", "one", "A")
    clock[0] = 2000.0
    assignments.assign(LOCAL, "p", "one", "B")
    assert [held and held.ward for held in assignments.during("p", 1999.0, 2000.0)] == ["A", "B"]


def test_a_nurse_assigns_in_her_wards_only(assignments: Assignments) -> None:
    assignments.assign(ANNA, "p", "one", "A")
    assignments.assign(LOCAL, "q", "two", "B")
    for wrong in (
        lambda: assignments.assign(ANNA, "r", "three", "B"),
        lambda: assignments.assign(ANNA, "q", "one", "A"),
        lambda: assignments.assign(ANNA, "r", "two", "A"),
        lambda: assignments.end(ANNA, "q"),
    ):
        with pytest.raises(UsageError, match=r"in your wards|not of ward"):
            wrong()
    assert list(assignments.open()) == ["p", "q"]
    assert assignments.patient("three") is None


def test_each_change_is_recorded_and_told_and_a_refused_one_is_not(
    store: SqliteStore, assignments: Assignments, clock: list[float]
) -> None:
    assignments.assign(LOCAL, "p", "one", "A", name="Anna Berg", phone="0123")
    clock[0] += 1
    assignments.assign(LOCAL, "p", "two", "B")
    clock[0] += 1
    assignments.end(LOCAL, "p")
    with pytest.raises(UsageError, match="on no patient"):
        assignments.end(LOCAL, "p")
    rows = store.all("select * from audit where number > 1 order by number")
    assert {(row["who"], row["patch_id"]) for row in rows} == {("local", "p")}
    assert [row["what"] for row in rows] == ["patch assigned", "patch moved", "patch ended"]
    assert "Berg" not in json.dumps(rows)
    assert [(event.kind, event.data) for event in store.events(0)] == [("assignment", {})] * 3


def test_what_is_known_of_a_patient_is_kept_where_it_is_not_given_again(
    assignments: Assignments, clock: list[float]
) -> None:
    assignments.assign(LOCAL, "p", "one", "A", name="Anna Berg", born="1950-12-31", phone="0123")
    clock[0] += 1
    assignments.assign(LOCAL, "p", "one", "B", phone="0456")
    patient = assignments.patient("one")
    assert patient is not None
    assert (patient.name, patient.born, patient.phone, patient.ward) == (
        "Anna Berg",
        "1950-12-31",
        "0456",
        "B",
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"ward": "unassigned"}, "cannot be called 'unassigned'"),
        ({"ward": "a,b"}, "cannot be called 'a,b'"),
        ({"patient_id": "Anna Berg"}, "unlike 'Anna Berg'"),
        ({"patch_id": ""}, "Which patch"),
        ({"patch_id": "p" * 101}, "at most 100"),
        ({"name": "a\nb"}, "printable"),
        ({"born": "31.12.1950"}, "unlike '31.12.1950'"),
    ],
)
def test_words_that_will_not_do_are_said(assignments: Assignments, words: dict[str, str], said: str) -> None:
    right = {"patch_id": "p", "patient_id": "one", "ward": "A"}
    with pytest.raises(UsageError, match=said):
        assignments.assign(LOCAL, **{**right, **words})
    assert assignments.open() == {}


def test_another_process_that_assigns_is_seen_at_once(
    store: SqliteStore, assignments: Assignments, tmp_path: Path
) -> None:
    assert assignments.at("p", 1000.0) is None
    other = SqliteStore(str(tmp_path / "cloud.db"))
    Assignments(other).assign(LOCAL, "p", "one", "A")
    assert holders(assignments, 1000.0) == ["one"]
    Assignments(other).end(LOCAL, "p")
    assert assignments.open() == {}
    other.close()


def test_a_tenure_lasts_from_one_change_of_hands_to_the_next(
    store: SqliteStore, assignments: Assignments, clock: list[float]
) -> None:
    assert tenure(store, "p", 1500.0) == (float("-inf"), float("inf"))
    assignments.assign(LOCAL, "p", "one", "A")
    clock[0] = 2000.0
    assignments.end(LOCAL, "p")
    assert tenure(store, "p", 999.0) == (float("-inf"), 1000.0)
    assert tenure(store, "p", 1000.0) == (1000.0, 2000.0)
    assert tenure(store, "p", 2000.0) == (2000.0, float("inf"))


def test_a_time_without_an_offset_is_this_machines() -> None:
    assert begin_of("2026-12-31T08:30+00:00") == 1798705800.0
    local = begin_of("2026-12-31T08:30")
    assert local is not None
    assert time.localtime(local)[:5] == (2026, 12, 31, 8, 30)
    assert begin_of("") is None
    with pytest.raises(UsageError, match="unlike 'tomorrow'"):
        begin_of("tomorrow")


@pytest.mark.parametrize("text", ["0202-05-01", "1969-12-31T00:00+00:00", "2300-01-01T08:30"])
def test_a_time_of_which_there_can_be_no_recording_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="Nothing was recorded in the year of"):
        begin_of(text)
