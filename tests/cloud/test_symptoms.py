"""What patients tell: kept once, with its audit row and the mark it asks the edge for, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cloud.assignments import Assignments
from cloud.audit_check import verify
from cloud.chain import sha256_of_text
from cloud.roles import LOCAL, Person, Role
from cloud.sqlite_store import SqliteStore
from cloud.symptoms import AT_ONCE, EARLIEST_MIN, LONGEST_NOTE, WITHIN_S, Kind, Told, TooOftenError
from models.errors import DeliveryError, UsageError

START = 1000.0
NOW = 100_000.0


@pytest.fixture
def eve(store: SqliteStore) -> Person:
    """Who has worn patch `p` since `START`."""
    held = Assignments(store).assign(LOCAL, "p", "one", "A", start=START)
    return Person(name="eve", role=Role.PATIENT, assignment_id=held.id)


def counts(store: SqliteStore) -> dict[str, int]:
    """How much of a symptom there is, in each place that tells of it."""
    places = {
        "symptoms": "symptoms",
        "commands": "commands",
        "audited": "audit where what in ('symptom told', 'command asked')",
        "events": "events where kind in ('symptom', 'command')",
    }
    return {name: store.scalar(f"select count(*) from {where}") for name, where in places.items()}


def test_a_symptom_is_kept_audited_told_and_marked(store: SqliteStore, eve: Person, tmp_path: Path) -> None:
    said = store.symptoms.tell(eve, Told(kind="dizziness", minutes="5", note=" on the\nstairs "), NOW)
    assert (said.kind, said.note, said.at, said.said_at) == (Kind.DIZZINESS, "on the stairs", NOW - 300, NOW)
    assert (said.patch_id, said.patient_id, said.assignment_id) == ("p", "one", eve.assignment_id)
    assert store.symptoms.during("p", NOW - 300, NOW - 300) == store.symptoms.of(eve) == [said]
    mark = store.commands.of(said.command)
    assert mark is not None
    assert (mark.kind, mark.patch_id, mark.asked_by) == ("mark", "p", "eve")
    assert mark.body == {"at": NOW - 300, "symptom_id": said.id}
    told = json.loads(store.scalar("select details from audit where what = 'symptom told'"))
    assert told == {
        "felt_at": NOW - 300,
        "kind": "dizziness",
        "note": sha256_of_text(said.note),
        "symptom": said.id,
    }
    assert counts(store) == {"symptoms": 1, "commands": 1, "audited": 2, "events": 2}
    store.note_head(now=NOW)
    assert verify(str(tmp_path / "cloud.db"))["problems"] == []


def test_a_form_that_is_sent_twice_is_kept_once(store: SqliteStore, eve: Person) -> None:
    told = Told(kind="fainting", minutes="0", form="f1")
    assert store.symptoms.tell(eve, told, NOW) == store.symptoms.tell(eve, told, NOW + 30)
    assert counts(store) == {"symptoms": 1, "commands": 1, "audited": 2, "events": 2}
    store.symptoms.tell(eve, Told(kind="fainting", minutes="0", form="f2"), NOW + 30)
    assert len(store.symptoms.of(eve)) == 2


@pytest.mark.parametrize("other", [{"kind": "fainting"}, {"minutes": "1"}, {"note": "on the stairs"}])
def test_a_form_that_is_filled_in_anew_after_going_back_is_kept_too(
    store: SqliteStore, eve: Person, other: dict[str, str]
) -> None:
    first = {"kind": "other", "minutes": "0", "form": "f1"}
    for filled in (first, first | other, first | other):
        store.symptoms.tell(eve, Told(**filled), NOW)
    assert counts(store) == {"symptoms": 2, "commands": 2, "audited": 4, "events": 4}


@pytest.mark.parametrize("table", ["symptoms", "commands", "audit", "events"])
def test_where_one_of_its_rows_cannot_be_written_none_is(store: SqliteStore, eve: Person, table: str) -> None:
    with store.writing() as db:
        db.execute(f"create trigger full before insert on {table} begin select raise(abort, 'full'); end")
    told = Told(kind="fainting", minutes="0", form="f1")
    with pytest.raises(DeliveryError, match="cannot be written: full"):
        store.symptoms.tell(eve, told, NOW)
    assert set(counts(store).values()) == {0}
    with store.writing() as db:
        db.execute("drop trigger full")
    store.symptoms.tell(eve, told, NOW)
    assert counts(store)["symptoms"] == 1


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (Told(kind="love", minutes="0"), "Choose what you feel: palpitations"),
        (Told(kind="", minutes="0"), "Choose what you feel"),
        (Told(kind="other", minutes=""), "Choose when you felt it"),
        (Told(kind="other", minutes="-1"), "Choose when you felt it"),
        (Told(kind="other", minutes="\N{ARABIC-INDIC DIGIT FIVE}"), "Choose when you felt it"),
        (Told(kind="other", minutes=str(EARLIEST_MIN + 1)), "0 .now. to 720 minutes ago"),
        (Told(kind="other", minutes="0", note="x" * (LONGEST_NOTE + 1)), "The note has 301 characters: 300"),
        (Told(kind="other", minutes="30"), "did not wear this patch then"),
    ],
)
def test_what_will_not_do_is_said_and_not_kept(
    store: SqliteStore, eve: Person, told: Told, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        store.symptoms.tell(eve, told, START + 60)
    assert set(counts(store).values()) == {0}


def test_only_who_has_the_patch_now_tells_and_what_was_told_stays(store: SqliteStore, eve: Person) -> None:
    now = {"kind": "other", "minutes": "0"}
    for other in (LOCAL, Person(name="nurse", role=Role.NURSE, wards=frozenset({"A"}))):
        with pytest.raises(UsageError, match="Only a patient with a patch"):
            store.symptoms.tell(other, Told(**now), NOW)
    said = store.symptoms.tell(eve, Told(**now), NOW)
    Assignments(store).assign(LOCAL, "p", "two", "A")
    with pytest.raises(UsageError, match="Your time with this patch is over"):
        store.symptoms.tell(eve, Told(**now), NOW + 1)
    assert store.symptoms.of(eve) == [said]


def test_the_button_waits_after_many_and_another_patient_s_does_not(store: SqliteStore, eve: Person) -> None:
    held = Assignments(store).assign(LOCAL, "q", "two", "A", start=START)
    eva = Person(name="eva", role=Role.PATIENT, assignment_id=held.id)
    now = Told(kind="other", minutes="0")
    for number in range(AT_ONCE):
        store.symptoms.tell(eve, now, NOW + number)
    with pytest.raises(TooOftenError, match="they are kept: wait 580 s") as refused:
        store.symptoms.tell(eve, now, NOW + 20)
    assert refused.value.seconds == WITHIN_S - 20
    store.symptoms.tell(eva, now, NOW + 20)
    store.symptoms.tell(eve, now, NOW + WITHIN_S)
    with pytest.raises(TooOftenError):
        store.symptoms.tell(eve, now, NOW + WITHIN_S + 0.5)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(note=st.text(max_size=2 * LONGEST_NOTE))
def test_any_note_is_kept_in_what_can_be_seen_of_it_or_refused_with_its_length(
    store: SqliteStore, eve: Person, note: str
) -> None:
    at = NOW + 2 * WITHIN_S * (1 + len(store.symptoms.of(eve, 1000)))
    shown = "".join(c for c in note if c.isprintable() and not c.isspace())
    try:
        said = store.symptoms.tell(eve, Told(kind="other", minutes="0", note=note), at)
    except UsageError:
        assert len(note) > LONGEST_NOTE
        return
    assert len(said.note) <= LONGEST_NOTE
    assert said.note.isprintable()
    assert said.note.replace(" ", "") == shown
    assert store.symptoms.during("p", at, at) == [said]
