"""Whatever is done to a chain, or to what it tells of, is found; what cannot be found is said here too."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from cloud.audit import HEADS, Audit, Heads
from cloud.audit_check import MOST, verify
from cloud.chain import COLUMNS, Head, What, following
from cloud.docket import Called
from cloud.memory import Memory
from cloud.sqlite_store import SqliteStore
from cloud.store import Outcome, Written
from models.anyecg.evidence import Evidence
from models.ecg import Segment
from models.errors import DeliveryError
from models.verdicts import Alert, Measurements, Priority, Report
from models.wire import encode_segment

MakePart = Callable[..., Segment]
NOTHING = dict.fromkeys(
    ("heart_rate_mean", "heart_rate_min", "heart_rate_max", "rr_median", "pr", "qrs", "qt")
)
TRIGGERS = ("audit_no_update", "audit_no_delete", "audit_no_hole")


def report_on(part: Segment) -> Report:
    return Report(
        id=f"R{part.part}",
        episode_id=part.episode_id,
        segment_ids=(part.id,),
        findings=(),
        measurements=Measurements(beats=1, analysed_s=1.0, not_analysed_s=0.0, **NOTHING),
        narrative="made",
        abstentions=(),
        model="template/2",
    )


def alert_on(part: Segment) -> Alert:
    what = {"label": "V", "priority": Priority.LOW, "state": "raised", "at": 9, "rule": "made"}
    return Alert(id="A", patch_id="p", episode_id=part.episode_id, **what)  # type: ignore[arg-type]


def commit(store: SqliteStore, part: Segment, now: float = 1.0) -> None:
    store.commit_segment(encode_segment(part, 0, "home"), part, seq=0, site="home", now=now)


def analyse(store: SqliteStore, part: Segment, change: str | None = None, now: float = 10.0) -> None:
    job = store.claim("a", 30.0, now=now)
    assert job is not None
    known = Evidence(letter="a", leads=part.leads, start=0.0, end=1.0, facts=())
    report = report_on(part)
    outcome = Outcome(
        episode_id=part.episode_id,
        findings=(),
        open=(),
        reports=(report,),
        judge=lambda _: (Called(alert=alert_on(part), change=change),) if change else (),
        evidence={report.id: known},
        network="localizer/2 01234567",
        network_sha256="01234567" * 8,
    )
    assert store.finish(job, outcome, now=now)


def rows_of(path: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute("select * from audit order by number")]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory, make_part: MakePart) -> Path:
    """A store in which much has happened; its head was noted in the middle and at the end."""
    path = tmp_path_factory.mktemp("sound") / "cloud.db"
    store = SqliteStore(str(path))
    for number in range(3):
        commit(store, make_part(number), now=float(number))
    analyse(store, make_part(0), "raised", now=10.0)
    store.note_head(now=10.5)
    analyse(store, make_part(1), now=11.0)
    draft = store.claim_report(30.0, now=12.0)
    assert draft is not None
    written = replace(draft.report, narrative="written")
    assert store.write_report(draft, Written(report=written, claims=3), now=13.0)
    store.reject(b"x", topic="t", reason="cbor", segment_id=None, patch_id="p", now=14.0)
    with store.writing():
        store.audit.append(What.ALERT_ACKNOWLEDGED, who="m.weber", now=15.0, alert_id="A", patch_id="p")
    store.raise_technical("p", "silent", "No heartbeat.", now=16.0)
    store.clear_technical("p", "silent", now=17.0)
    store.note_head(now=18.0)
    store.close()
    return path


@pytest.fixture(scope="module")
def copy(sound: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A copy of the sound store with its heads, in the place of the copy before."""
    path = tmp_path_factory.mktemp("copy") / "cloud.db"

    def make() -> Path:
        for end in ("", HEADS):
            shutil.copy(f"{sound}{end}", f"{path}{end}")
        return path

    return make


def tamper(path: Path, *statements: str, values: tuple[object, ...] = ()) -> Path:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("pragma synchronous = off")
        for trigger in TRIGGERS:
            db.execute(f"drop trigger {trigger}")
        for statement in statements:
            db.execute(statement, values)
    return path


def found(path: Path) -> list[tuple[int | None, str]]:
    said = verify(str(path))
    assert said["problem_count"] >= len(said["problems"])
    return [(problem["number"], str(problem["kind"])) for problem in said["problems"]]


def test_a_sound_chain_has_no_problem_and_says_what_it_holds(sound: Path) -> None:
    rows = rows_of(sound)
    said = verify(str(sound))
    assert said == {
        "rows": len(rows),
        "first_at": rows[0]["at"],
        "last_at": 17.0,
        "head": {"number": len(rows), "hash": rows[-1]["hash"]},
        "heads": 2,
        "problems": [],
        "problem_count": 0,
    }
    assert {row["what"] for row in rows} >= {
        *(What.ADOPTED, What.COMMITTED, What.REFUSED, What.ANALYSED, What.REPORT_MADE, What.REPORT_WRITTEN),
        *(What.ALERT_RAISED, What.ALERT_ACKNOWLEDGED, What.TECHNICAL_RAISED, What.TECHNICAL_CLEARED),
    }


ANYTHING = st.one_of(
    st.text(), st.binary(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.none()
)


@settings(max_examples=60)
@given(data=st.data())
def test_any_column_of_any_row_altered_is_found(sound: Path, copy: Callable[[], Path], data: Any) -> None:
    before = rows_of(sound)
    number = data.draw(st.integers(1, len(before)))
    column = data.draw(st.sampled_from(COLUMNS))
    value = data.draw(st.one_of(ANYTHING, st.sampled_from([row[column] for row in before])))
    try:
        path = tamper(copy(), f"update audit set {column} = ? where number = {number}", values=(value,))
    except (sqlite3.Error, UnicodeEncodeError):
        reject()
    assume(repr(rows_of(path)) != repr(before))
    numbers = [n for n, _ in found(path)]
    assert numbers
    assert column == "number" or number in numbers


@settings(max_examples=25)
@given(data=st.data())
def test_rows_taken_out_anywhere_are_found(sound: Path, copy: Callable[[], Path], data: Any) -> None:
    count = len(rows_of(sound))
    first = data.draw(st.integers(1, count))
    last = data.draw(st.integers(first, count))
    problems = found(tamper(copy(), f"delete from audit where number between {first} and {last}"))
    if first == 1:
        assert (last + 1 if last < count else 1, "wrong start") in problems
    elif last < count:
        assert (first, "missing") in problems
    if last == count:
        assert (first, "cut off") in problems


def test_one_row_taken_out_is_one_problem(copy: Callable[[], Path]) -> None:
    rows = rows_of(copy())
    alone = next(r["number"] for r in rows if r["what"] == What.ALERT_ACKNOWLEDGED)
    assert found(tamper(copy(), f"delete from audit where number = {alone}")) == [(alone, "missing")]


def test_two_rows_that_changed_places_are_found_as_that(copy: Callable[[], Path]) -> None:
    swap = "update audit set number = case number when -3 then 7 else 3 end where number in (-3, -7)"
    away = "update audit set number = -number where number in (3, 7)"
    assert found(tamper(copy(), away, swap)) == [(3, "reordered"), (7, "reordered")]


def test_a_hole_that_was_closed_by_renumbering_is_found(copy: Callable[[], Path]) -> None:
    count = len(rows_of(copy()))
    close = (
        "update audit set number = -number where number > 5",
        "update audit set number = -number - 1 where number < 0",
    )
    problems = found(tamper(copy(), "delete from audit where number = 5", *close))
    assert [p for p in problems if p[1] == "reordered"] == [(n, "reordered") for n in range(5, count)]
    assert (count, "cut off") in problems


def put(db: sqlite3.Connection, *rows: dict[str, Any]) -> None:
    into = f"insert into audit values ({', '.join('?' * len(COLUMNS))})"
    db.executemany(into, [[row[column] for column in COLUMNS] for row in rows])


def test_a_row_put_in_between_is_found_however_well_it_is_made(copy: Callable[[], Path]) -> None:
    rows = rows_of(copy())
    away = (
        "update audit set number = -number where number > 5",
        "update audit set number = 1 - number where number < 0",
    )
    path = tamper(copy(), *away)
    with closing(sqlite3.connect(path)) as db, db:
        put(db, following(Head(5, rows[4]["hash"]), {**rows[5], "who": "nobody"}))
    assert (7, "reordered") in found(path)


def test_a_row_written_anew_with_a_right_hash_is_found_by_the_next_one(copy: Callable[[], Path]) -> None:
    rows = rows_of(copy())
    path = tamper(copy(), "delete from audit where number = 6")
    with closing(sqlite3.connect(path)) as db, db:
        put(db, following(Head(5, rows[4]["hash"]), {**rows[5], "at": 99.0}))
    assert found(path) == [(6, "altered")]


def test_a_chain_written_anew_from_a_row_on_is_found_by_the_noted_heads(copy: Callable[[], Path]) -> None:
    rows = rows_of(copy())
    path = tamper(copy(), "delete from audit where number >= 6")
    head = Head(5, rows[4]["hash"])
    with closing(sqlite3.connect(path)) as db, db:
        for row in rows[5:]:
            new = following(head, {**row, "at": row["at"] + 1})
            put(db, new)
            head = Head(new["number"], new["hash"])
    noted = [h.number for _, h in Heads(Path(f"{path}{HEADS}")).read()]
    assert found(path) == [(number, "altered") for number in noted]


def test_an_older_copy_of_the_store_is_found_also_when_it_went_on(
    sound: Path, tmp_path: Path, make_part: MakePart
) -> None:
    path = tmp_path / "cloud.db"
    store = SqliteStore(str(path))
    commit(store, make_part(0))
    store.close()
    shutil.copy(path, tmp_path / "older.db")
    store = SqliteStore(str(path))
    commit(store, make_part(1))
    store.note_head(now=2.0)
    store.close()
    assert found(path) == []
    shutil.copy(tmp_path / "older.db", path)
    assert found(path) == [(3, "cut off")]
    store = SqliteStore(str(path))
    commit(store, make_part(2))
    commit(store, make_part(3))
    store.note_head(now=3.0)
    store.close()
    assert found(path) == [(3, "altered")]


def test_a_tail_cut_off_after_the_last_noted_head_is_found_only_where_its_things_are_still_stored(
    copy: Callable[[], Path],
) -> None:
    """The limit of it: what was told after the last head, and left nothing in the store, can go unseen."""
    path = copy()
    heads = Path(f"{path}{HEADS}")
    heads.write_bytes(heads.read_bytes().splitlines(keepends=True)[0])
    ((_, noted),) = Heads(heads).read()
    numbers = {row["what"]: row["number"] for row in rows_of(path)}
    assert numbers[What.REPORT_WRITTEN] < numbers[What.REFUSED]
    assert found(tamper(path, f"delete from audit where number >= {numbers[What.REFUSED]}")) == []
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"delete from audit where number > {noted.number}")
    assert {kind for _, kind in found(path)} == {"not in the chain"}  # report R1 is still there
    with closing(sqlite3.connect(path)) as db, db:
        db.execute(f"delete from audit where number >= {noted.number}")
    assert (noted.number, "cut off") in found(path)


def test_a_chain_emptied_is_a_wrong_start(copy: Callable[[], Path]) -> None:
    assert (1, "wrong start") in found(tamper(copy(), "delete from audit"))


@pytest.mark.parametrize(
    ("statement", "row"),
    [
        (
            "update segments set payload = payload || x'00' where id = (select min(id) from segments)",
            What.COMMITTED,
        ),
        (
            "update segments set sha256 = upper(sha256) where id = (select max(id) from segments)",
            What.COMMITTED,
        ),
        (
            "update reports set report = replace(report, 'made', 'mad') where written is null",
            What.REPORT_MADE,
        ),
        (
            "update reports set written = replace(written, 'written', 'w') where written not null",
            What.REPORT_WRITTEN,
        ),
        ("update reports set written = null where written not null", What.REPORT_WRITTEN),
        ("update alerts set alert = replace(alert, 'made', 'unmade')", What.ALERT_RAISED),
    ],
)
def test_what_is_stored_otherwise_than_was_told_is_found(
    copy: Callable[[], Path], statement: str, row: What
) -> None:
    path = tamper(copy(), statement)
    ((number, kind),) = found(path)
    assert kind == "not in the chain"
    assert number is not None
    assert rows_of(path)[number - 1]["what"] == row


def test_what_came_into_the_store_past_the_chain_is_found(copy: Callable[[], Path]) -> None:
    path = tamper(
        copy(),
        "insert into alerts select 'B', patch_id, alert, priority, 0, 0, 0, 0, state, course from alerts",
    )
    assert found(path) == [(None, "not in the chain")]
    assert "alert B" in verify(str(path))["problems"][0]["text"]


def test_what_left_the_store_is_found_unless_a_row_says_that_it_was_deleted(copy: Callable[[], Path]) -> None:
    path = copy()
    committed = next(row for row in rows_of(path) if row["what"] == What.COMMITTED)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("delete from segments where id = ?", [committed["segment_id"]])
    assert found(path) == [(committed["number"], "not in the store")]
    memory = Memory(str(path))
    with memory.writing():
        Audit(memory).append(What.DELETED, who="cloud", now=20.0, segment_id=committed["segment_id"])
    memory.close()
    assert found(path) == []


def test_problems_without_end_are_counted_and_the_first_are_told(copy: Callable[[], Path]) -> None:
    path = copy()
    last = rows_of(path)[-1]
    tamper(path)
    with closing(sqlite3.connect(path)) as db, db:
        put(db, *({**last, "number": last["number"] + n} for n in range(1, MOST + 11)))
    said = verify(str(path))
    assert (len(said["problems"]), said["problem_count"]) == (MOST, MOST + 10)


def test_without_the_file_of_heads_nobody_says_that_the_end_is_whole(copy: Callable[[], Path]) -> None:
    path = copy()
    heads = Path(f"{path}{HEADS}")
    heads.unlink()
    assert found(path) == [(None, "cut off")]
    for emptied in ("", '{"number": "x"}\n', "[]\n"):
        heads.write_text(emptied, encoding="utf-8")
        assert found(path) == [(None, "cut off")]


def test_a_store_that_is_none_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text(
        "no database, and longer than a page header of one" * 99, encoding="utf-8"
    )
    for name in ("nowhere.db", "text.db"):
        with pytest.raises(DeliveryError, match=f"{name} cannot be read"):
            verify(str(tmp_path / name))
    assert not (tmp_path / "nowhere.db").exists()


@pytest.fixture
def opened(copy: Callable[[], Path]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(copy())) as db:
        yield db


@pytest.mark.parametrize(
    "statement",
    [
        "update audit set at = 0 where number = 2",
        "delete from audit where number = (select max(number) from audit)",
        "delete from audit",
        "insert or replace into audit select * from audit where number = 2",
        "insert into audit (number, at, who, what, details, previous, hash) values (99, 0, 1, 2, 3, 4, 5)",
    ],
)
def test_the_database_itself_refuses_to_change_the_chain(opened: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="a row of the audit chain"):
        opened.execute(statement)
