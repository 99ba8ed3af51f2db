"""Users and assignments from the command line: passwords are never arguments, lists are JSON."""

from __future__ import annotations

import io
import json
import os
import pty
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from anyecg import main
from cloud.assignments import Assignments
from cloud.people import People, RefusedError
from cloud.sqlite_store import SqliteStore

ROOT = Path(__file__).resolve().parents[1]
PASSWORD, OTHER = "correct horse battery", "another horse battery"
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """`anyecg cloud ...` with what is typed: exit code, stdout and stderr."""
    config = tmp_path / "cloud.toml"
    config.write_text(f'store = "sqlite:///{tmp_path}/cloud.db"\n')

    def run(*arguments: str, typed: str = "") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["anyecg", "cloud", *arguments, "--config", str(config)])
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def refused(done: tuple[int, str, str]) -> str:
    """The one sentence on stderr."""
    code, out, err = done
    assert (code, out) == (2, "")
    (line,) = err.strip().splitlines()
    return line


def test_users_are_made_listed_disabled_and_get_new_passwords(cloud: Command, tmp_path: Path) -> None:
    add = ("user", "add", "anna", "--role", "nurse", "--wards", "A, B")
    assert "must be an admin" in refused(cloud(*add, typed=f"{PASSWORD}\n"))
    for made in (("user", "add", "chief", "--role", "admin"), add):
        assert cloud(*made, typed=f"{PASSWORD}\n") == (0, "", "")
    assert "12 to 256" in refused(cloud("user", "password", "anna", typed="short\n"))
    assert cloud("user", "password", "anna", typed=f"{OTHER}\n") == (0, "", "")
    assert cloud("user", "disable", "anna") == (0, "", "")
    assert "last admin" in refused(cloud("user", "disable", "chief"))
    assert json.loads(cloud("user", "list")[1]) == [
        {"name": "anna", "role": "nurse", "wards": ["A", "B"], "disabled": True},
        {"name": "chief", "role": "admin", "wards": [], "disabled": False},
    ]
    store = SqliteStore(str(tmp_path / "cloud.db"))
    people = People(store)
    assert people.person(people.sign_in("chief", PASSWORD))
    with pytest.raises(RefusedError):
        people.sign_in("anna", OTHER)
    whos = {row["who"] for row in store.all("select who from audit where what like 'user %'")}
    assert all(who.endswith(" at the terminal") for who in whos)
    store.close()


def test_patches_are_assigned_moved_and_ended(cloud: Command, tmp_path: Path) -> None:
    begin = "2026-01-02T03:04+00:00"
    done = cloud("assign", "p", "--patient", "one", "--ward", "A", "--from", begin)
    assert json.loads(done[1])["start"] == 1767323040.0
    assert "from now on only" in refused(
        cloud("assign", "p", "--patient", "two", "--ward", "A", "--from", begin)
    )
    assert json.loads(cloud("assign", "p", "--patient", "two", "--ward", "B")[1])["end"] is None
    assert json.loads(cloud("unassign", "p")[1])["patient_id"] == "two"
    assert "on no patient" in refused(cloud("unassign", "p"))
    store = SqliteStore(str(tmp_path / "cloud.db"))
    held = Assignments(store).during("p", 1767323040.0, time.time())
    assert [one and one.patient_id for one in held] == ["one", "two", None]
    store.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("user", "add", "anna", "--role", "king"), "There is no role 'king'"),
        (("user", "add", "Anna Berg", "--role", "admin"), "cannot be called 'anna berg'"),
        (("user", "disable", "somebody"), "There is no store"),
        (("assign", "p", "--patient", "one", "--ward", "A", "--from", "soon"), "unlike 'soon'"),
        (("assign", "p", "--patient", "one", "--ward", "unassigned"), "cannot be called 'unassigned'"),
    ],
)
def test_wrong_words_are_one_sentence(cloud: Command, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(cloud(*arguments, typed=f"{PASSWORD}\n"))


@pytest.mark.parametrize(
    "arguments",
    [("user", "list"), ("user", "disable", "anna"), ("user", "password", "anna"), ("unassign", "p")],
)
def test_what_only_looks_or_takes_away_makes_no_store(
    cloud: Command, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    assert "There is no store" in refused(cloud(*arguments, typed=f"{PASSWORD}\n"))
    assert [path.name for path in tmp_path.iterdir()] == ["cloud.toml"]


def test_at_a_terminal_the_password_is_asked_for_twice_and_never_shown(
    tmp_path: Path, cloud: Command
) -> None:
    command = ["user", "add", "chief", "--role", "admin", "--config", str(tmp_path / "cloud.toml")]
    for second, code in ((OTHER, 2), (PASSWORD, 0)):
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(ROOT)
            os.execv(sys.executable, [sys.executable, "-m", "anyecg", "cloud", *command])
        shown = b""
        for prompt, typed in ((b"Password: ", PASSWORD), (b"Again: ", second)):
            while not shown.endswith(prompt):
                shown += os.read(terminal, 1)
            os.write(terminal, f"{typed}\n".encode())
        _, status = os.waitpid(child, 0)
        os.close(terminal)
        assert os.waitstatus_to_exitcode(status) == code
        assert b"horse" not in shown
    (chief,) = json.loads(cloud("user", "list")[1])
    assert chief["name"] == "chief"
