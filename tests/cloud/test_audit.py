"""The chain is written with what it tells of: in one transaction and one order, by many hands."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cloud.audit import HEADS, Heads
from cloud.audit_check import verify
from cloud.audit_history import history, in_words
from cloud.chain import Head, What, Who
from cloud.config import CloudConfig
from cloud.rows import segment_row
from cloud.schema import migrations
from cloud.sqlite_store import SqliteStore
from cloud.store import Receipt, Written
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.ecg import Clock, Segment
from models.errors import DeliveryError, UsageError
from models.sqlite import connect
from models.wire import decode_segment, encode_segment

ROOT = Path(__file__).resolve().parents[2]
MakePart = Callable[..., Segment]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def commit(store: SqliteStore, part: Segment) -> Receipt:
    return store.commit_segment(encode_segment(part, 7, "home"), part, seq=7, site="home", now=2000.0)


def told(path: str | Path) -> list[str]:
    with closing(sqlite3.connect(path)) as db:
        return [what for (what,) in db.execute("select what from audit order by number")]


def problems(path: str | Path) -> list[Any]:
    found: list[Any] = verify(str(path))["problems"]
    return found


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "cloud.db")


def test_a_commit_is_one_row_with_what_the_edge_said_of_it(
    store: SqliteStore, path: str, make_part: MakePart
) -> None:
    part = make_part(1)
    assert commit(store, part) is Receipt.COMMITTED
    assert commit(store, part) is Receipt.DUPLICATE
    assert commit(store, make_part(1, value=2)) is Receipt.CONFLICT
    assert told(path) == [What.ADOPTED, What.COMMITTED]
    (row,) = history(path, {"episode": part.episode_id}, 9)
    assert (row["at"], row["who"], row["segment_id"], row["patch_id"]) == (2000.0, Who.CLOUD, part.id, "p")
    details = row["details"]
    assert (details["sampled_at"], details["edge_received_at"], details["seq"]) == (1001.0, 1002.0, 7)
    assert (details["sha256"], details["first"], details["last"]) == (part.sha256, 100, 199)


@pytest.mark.parametrize(
    "clock",
    [
        Clock(utc_0=math.nan, fs=100.0, received_at=math.inf),
        Clock(utc_0=1.0, fs=0.0, received_at=-math.inf),
        Clock(utc_0=1e308, fs=1e-300, received_at=math.nan),
    ],
)
def test_a_clock_that_tells_nothing_refuses_no_part(
    store: SqliteStore, path: str, make_part: MakePart, clock: Clock
) -> None:
    payload = encode_segment(replace(make_part(1), clock=clock), 0, "home")
    part, _ = decode_segment(payload)
    assert store.commit_segment(payload, part, seq=0, site="home", now=1.0) is Receipt.COMMITTED
    (row,) = history(path, {"episode": part.episode_id}, 9)
    assert next(in_words(row)).split()[1:5] == ["time", "unknown", "edge", "captured"]


def test_a_refused_message_and_a_technical_alert_are_told_once(store: SqliteStore, path: str) -> None:
    store.reject(b"x", topic="t", reason="conflict", segment_id="S", patch_id="p", now=1.0)
    for now in (2.0, 3.0):
        store.raise_technical("p", "silent", "No heartbeat.", now=now)
    for now in (4.0, 5.0):
        store.clear_technical("p", "silent", now=now)
    rows = history(path, {"patch": "p"}, 9)
    assert [(row["what"], row["at"]) for row in rows] == [
        (What.REFUSED, 1.0),
        (What.TECHNICAL_RAISED, 2.0),
        (What.TECHNICAL_CLEARED, 4.0),
    ]
    assert rows[0]["details"]["reason"] == "conflict"
    assert rows[1]["details"] == {"kind": "silent", "text": "No heartbeat."}


def test_an_episode_is_told_from_the_electrode_to_the_alert_and_the_nurse(
    store: SqliteStore, path: str, network: Localizer, excerpt_parts: list[Segment]
) -> None:
    worker = Worker(store, network, CloudConfig())
    for part in excerpt_parts:
        commit(store, part)
        job = store.claim("test", 30.0, now=time.time())
        assert job is not None
        assert worker.work(job)
    draft = store.claim_report(30.0, now=time.time())
    assert draft is not None
    store.write_report(draft, Written(report=draft.report, claims=9, replaced=1, added=2), now=time.time())
    (stored,) = store.alerts()
    with store.writing():
        store.audit.append(What.ALERT_SEEN, who="m.weber", now=time.time(), alert_id=stored.alert.id)
    store.note_head(now=time.time())
    assert problems(path) == []
    rows = history(path, {"alert": stored.alert.id}, 100)
    assert list(dict.fromkeys(row["what"] for row in rows)) == [
        *(What.COMMITTED, What.ANALYSED, What.REPORT_MADE, What.ALERT_RAISED),
        *(What.REPORT_WRITTEN, What.ALERT_SEEN),
    ]
    assert [row["who"] for row in rows[-2:]] == [Who.REPORTER, "m.weber"]
    analysed = [row for row in rows if row["what"] == What.ANALYSED]
    assert [row["segment_id"] for row in analysed] == [part.id for part in excerpt_parts]
    assert {row["details"]["network"] for row in analysed} == {network.model}
    assert {row["details"]["weights"] for row in analysed} == {network.sha256}
    assert (
        rows[-2]["details"].items() >= {"claims": 9, "replaced": 1, "added": 2, "model": "template/2"}.items()
    )
    said = [line for row in rows for line in in_words(row)]
    assert [line.split()[4:6] for line in said[:4]] == [
        *(["edge", "captured"], ["cloud", "committed"], ["worker", "analysed"], ["worker", "report"])
    ]
    assert f"alert {stored.alert.id}" in next(line for line in said if "alert raised" in line)
    made = next(row for row in rows if row["what"] == What.REPORT_MADE)
    reports = store.reports(draft.report.episode_id)
    assert store.report_head(reports[0]) == Head(made["number"], made["hash"])
    assert store.report_head(reports[-1]) == Head(rows[-2]["number"], rows[-2]["hash"])


def test_nothing_to_tell_is_one_sentence(store: SqliteStore, path: str) -> None:
    with pytest.raises(UsageError, match="nothing of alert X"):
        history(path, {"alert": "X"}, 9)


def test_a_number_that_is_none_is_refused_and_leaves_no_row(store: SqliteStore, path: str) -> None:
    with pytest.raises(ValueError, match="JSON"), store.writing():
        store.audit.append(What.DELETED, who="cloud", now=1.0, days=float("nan"))
    assert told(path) == [What.ADOPTED]


# -- many hands ---------------------------------------------------------------------------------------------

WRITER = """
import sys
from cloud.sqlite_store import SqliteStore
from models.wire import decode_segment
store = SqliteStore(sys.argv[1])
for path in sys.argv[2:]:
    payload = open(path, "rb").read()
    part, _ = decode_segment(payload)
    store.commit_segment(payload, part, seq=0, site="home", now=1.0)
    store.raise_technical(part.id, "made", "made", now=1.0)
store.close()
"""


def test_processes_and_threads_that_write_at_once_make_one_chain_which_is_sound_at_any_moment(
    store: SqliteStore, path: str, tmp_path: Path, make_part: MakePart
) -> None:
    store.note_head(now=1.0)
    writers = []
    for process in range(3):
        files = []
        for number in range(20):
            files.append(str(tmp_path / f"{process}-{number}"))
            part = make_part(number, patch=f"p{process}")
            Path(files[-1]).write_bytes(encode_segment(part, 0, "home"))
        writers.append(
            subprocess.Popen([sys.executable, "-c", WRITER, path, *files], cwd=ROOT, env=ENVIRONMENT)
        )

    def write(patch: str) -> None:
        for number in range(20):
            commit(store, make_part(number, patch=patch))

    threads = [threading.Thread(target=write, args=(f"t{n}",)) for n in range(2)]
    for thread in threads:
        thread.start()
    seen = set()
    while any(writer.poll() is None for writer in writers):
        said = verify(path)
        assert said["problems"] == []
        seen.add(said["rows"])
        time.sleep(0.02)
    for thread in threads:
        thread.join()
    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(seen) > 2
    assert verify(path)["rows"] == 1 + 3 * 20 * 2 + 2 * 20
    assert problems(path) == []


KILLED = """
import os, signal, sys
from cloud.audit import Audit
from cloud.sqlite_store import SqliteStore
from models.wire import decode_segment
store = SqliteStore(sys.argv[1])
append = Audit.append
def dying(self, *what, **more):
    if {after}:
        append(self, *what, **more)
    os.kill(os.getpid(), signal.SIGKILL)
Audit.append = dying
payload = open(sys.argv[2], "rb").read()
part, _ = decode_segment(payload)
store.commit_segment(payload, part, seq=0, site="home", now=1.0)
"""


@pytest.mark.parametrize("after", [False, True])
def test_a_kill_between_the_thing_and_its_row_leaves_neither(
    store: SqliteStore, path: str, tmp_path: Path, make_part: MakePart, after: bool
) -> None:
    store.note_head(now=1.0)
    part = make_part(0)
    (tmp_path / "part").write_bytes(encode_segment(part, 7, "home"))
    command = [
        sys.executable,
        "-c",
        textwrap.dedent(KILLED).format(after=after),
        path,
        str(tmp_path / "part"),
    ]
    ended = subprocess.run(command, cwd=ROOT, check=False, env=ENVIRONMENT)
    assert ended.returncode == -signal.SIGKILL
    assert store.segment(part.id) is None
    assert told(path) == [What.ADOPTED]
    assert commit(store, part) is Receipt.COMMITTED
    assert told(path) == [What.ADOPTED, What.COMMITTED]
    assert problems(path) == []


# -- a store from before ------------------------------------------------------------------------------------


@pytest.fixture
def older(path: str, make_part: MakePart) -> list[Segment]:
    """What a store without a chain held."""
    parts = [make_part(number) for number in range(3)]
    db = connect(path)
    migrations.apply(db, stop_before="0004")
    for part in parts:
        db.table("segments").insert(segment_row(encode_segment(part, 0, "home"), part, 0, "home", 1.0))
    db.table("alerts").insert(
        {"id": "A", "patch_id": "p", "alert": "{}", "priority": 1, "shown_at": 1.0, "updated_at": 1.0}
    )
    db.close()
    return parts


def test_a_store_from_before_is_adopted_by_one_row_and_goes_on(
    path: str, older: list[Segment], make_part: MakePart
) -> None:
    store = SqliteStore(path)
    store.note_head(now=1.0)
    (row,) = history(path, {}, 9)
    counts = {name: row["details"][name] for name in ("segments", "reports", "alerts")}
    assert (row["number"], row["what"], counts) == (
        1,
        What.ADOPTED,
        {"segments": 3, "reports": 0, "alerts": 1},
    )
    assert commit(store, older[0]) is Receipt.DUPLICATE
    assert commit(store, make_part(3)) is Receipt.COMMITTED
    assert problems(path) == []
    with store.writing() as db:
        db.table("segments").delete(older[1].id)
    assert [(problem["number"], problem["kind"]) for problem in problems(path)] == [(1, "not in the chain")]
    with store.writing():
        store.audit.append(What.DELETED, who="cloud", now=2.0, segment_id=older[1].id)
    assert problems(path) == []
    store.close()


def test_a_store_from_before_that_is_only_read_stays_as_it_was(path: str, older: list[Segment]) -> None:
    with pytest.raises(DeliveryError, match="no such table: audit"):
        verify(path)
    db = connect(path)
    assert "0004" in {migration.name for migration in migrations.pending(db)}
    db.close()


# -- heads --------------------------------------------------------------------------------------------------


def test_heads_are_lines_that_come_and_a_torn_one_goes(tmp_path: Path) -> None:
    heads = Heads(tmp_path / "heads")
    heads.append(Head(1, "a"), 1.0)
    whole = heads.path.read_bytes()
    heads.path.write_bytes(whole + b'{"hash":"b","numb')
    assert heads.read() == [(1.0, Head(1, "a"))]
    heads.append(Head(3, "c"), 3.0)
    assert heads.path.read_bytes().startswith(whole)
    assert heads.read() == [(1.0, Head(1, "a")), (3.0, Head(3, "c"))]


def test_heads_that_cannot_be_written_are_one_sentence(store: SqliteStore, path: str) -> None:
    Path(path + HEADS).mkdir()
    with pytest.raises(DeliveryError, match=r"heads of the audit .* cannot be written"):
        store.note_head(now=1.0)


# -- the command line ---------------------------------------------------------------------------------------


def anyecg(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "anyecg", "audit", *arguments]
    return subprocess.run(command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_the_command_tells_the_history_and_says_by_its_exit_code_whether_it_is_sound(
    store: SqliteStore, path: str, tmp_path: Path, make_part: MakePart
) -> None:
    for number in range(3):
        commit(store, make_part(number))
    store.note_head(now=1.0)
    (tmp_path / "cloud.toml").write_text(f'store = "sqlite:///{path}"\n', encoding="utf-8")
    where = ("--config", str(tmp_path / "cloud.toml"))
    sound = anyecg("verify", *where)
    assert (sound.returncode, json.loads(sound.stdout)["problems"]) == (0, [])
    assert sound.stderr == f"The audit chain of {path} is sound: 4 rows, 1 heads noted.\n"
    shown = anyecg("show", "--store", f"sqlite:///{path}", "--limit", "2").stdout.splitlines()
    assert len(shown) == 4
    rows = [json.loads(line) for line in anyecg("show", *where, "--patch", "p", "--json").stdout.splitlines()]
    assert [row["number"] for row in rows] == [2, 3, 4]
    shutil.copy(path + HEADS, tmp_path / "elsewhere")
    store.close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("drop trigger audit_no_delete")
        db.execute("delete from audit where number = 3")
    broken = anyecg("verify", "--store", f"sqlite:///{path}", "--heads", str(tmp_path / "elsewhere"))
    assert broken.returncode == 1
    assert [p["kind"] for p in json.loads(broken.stdout)["problems"]] == ["missing", "not in the chain"]
    (sentence,) = broken.stderr.splitlines()
    assert sentence.endswith("is not sound; problems: 2, the first (missing): Row 3 is not there.")
