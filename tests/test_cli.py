"""Wrong input: one clear sentence, a non-zero exit code, and no traceback."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def anyecg(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "anyecg", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **environment},
    )


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """The one sentence on stderr."""
    assert done.returncode != 0
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    (line,) = done.stderr.strip().splitlines()
    assert line.startswith("anyecg: ")
    return line


def test_a_missing_recording() -> None:
    for command in (
        ["replay", "nowhere/100", "--jsonl"],
        ["analyze", "nowhere/100"],
        ["demo", "--record", "nowhere/100"],
    ):
        assert "not found" in refused(anyecg(*command))


def test_a_truncated_wfdb_record(tmp_path: Path, excerpt: object) -> None:
    from models.formats import write_wfdb
    from models.recordings import Recording

    assert isinstance(excerpt, Recording)
    write_wfdb(excerpt, tmp_path / "cut")
    data = (tmp_path / "cut.dat").read_bytes()
    (tmp_path / "cut.dat").write_bytes(data[: len(data) // 2])
    assert "truncated" in refused(anyecg("replay", str(tmp_path / "cut"), "--jsonl"))


def test_from_after_to_and_a_stretch_after_the_end() -> None:
    assert "--from 60 must be before --to 30" in refused(
        anyecg("analyze", "excerpt", "--from", "60", "--to", "30")
    )
    assert "lasts 300 s" in refused(anyecg("analyze", "excerpt", "--to", "301"))


def test_a_busy_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert "already" in refused(anyecg("broker", "run", "--port", port))
        assert "already" in refused(anyecg("demo", "--port", port, "--headless"))


@pytest.mark.parametrize(
    ("process", "wrong", "right"), [("edge", "borker", "broker"), ("cloud", "stor", "store")]
)
def test_an_unknown_key_names_the_nearest_known_one(
    tmp_path: Path, process: str, wrong: str, right: str
) -> None:
    config = tmp_path / f"{process}.toml"
    config.write_text(f'{wrong} = "x"\n', encoding="utf-8")
    sentence = refused(anyecg(process, "run", "--config", str(config)))
    assert wrong in sentence
    assert right in sentence


def test_a_configuration_that_is_not_there_or_is_not_toml(tmp_path: Path) -> None:
    assert "nothing.toml" in refused(anyecg("edge", "run", "--config", str(tmp_path / "nothing.toml")))
    (tmp_path / "bad.toml").write_text("= 3", encoding="utf-8")
    assert "bad.toml" in refused(anyecg("cloud", "run", "--config", str(tmp_path / "bad.toml")))


def test_no_bluetooth_adapter(tmp_path: Path) -> None:
    without = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={tmp_path}/nobody"}
    config = tmp_path / "edge.toml"
    config.write_text(f'state = "{tmp_path.as_posix()}"\n', encoding="utf-8")
    edge = ["edge", "run", "--config", str(config)]
    for command in (["scan"], edge, ["run", "--state", str(tmp_path / "state")]):
        assert "Bluetooth is not available" in refused(anyecg(*command, **without))


def test_help_is_everywhere() -> None:
    for command in (
        [],
        ["edge", "run"],
        ["edge", "recorded"],
        ["edge", "export"],
        ["cloud", "run"],
        ["broker", "run"],
        ["patch", "simulate"],
        ["replay"],
        ["demo"],
    ):
        done = anyecg(*command, "--help")
        assert done.returncode == 0
        assert "Usage" in done.stdout


def test_analyze_as_json_is_one_object() -> None:
    done = anyecg("analyze", "excerpt", "--from", "20", "--to", "50", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert all(20 <= finding["start_s"] < finding["end_s"] <= 50 for finding in said["findings"])
    assert "Decision support" in said["reports"][0]["text"]


def test_a_command_whose_extra_is_not_installed_says_which(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n", encoding="utf-8")
    train = ("train", "screener", "--out", str(tmp_path / "out"))
    said = refused(anyecg(*train, PYTHONPATH=str(tmp_path), ANYECG_DATA=str(tmp_path)))
    assert "needs torch" in said
    assert "anyecg[train]" in said
