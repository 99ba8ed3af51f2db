"""The supervisor with real processes, killed for real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from cloud.broker import free_port
from cloud.supervisor import ProcessSpec, Supervisor, SupervisorError, listening

ROOT = Path(__file__).resolve().parents[2]
SLEEPER = "from cloud.supervisor import die_with_parent; die_with_parent(); import time; time.sleep(600)"
ELSEWHERE = SLEEPER.replace("; ", "; import sys; sys.platform = 'darwin'; ", 1)
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = DEAF + SLEEPER
# A supervisor of two in a process of its own; writes their pids as JSON once both run.
PROGRAM = """
import asyncio, json, sys
from cloud.supervisor import ProcessSpec, Supervisor
async def main():
    specs = [ProcessSpec(name=n, argv=[sys.executable, "-c", sys.argv[1]]) for n in ("one", "two")]
    async with Supervisor(specs, say=lambda line: print(line, file=sys.stderr)) as running:
        while len(running.pids) < 2:
            await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)  # both have asked to die with it
        print(json.dumps(running.pids), flush=True)
        await asyncio.Event().wait()
try:
    asyncio.run(main())
except KeyboardInterrupt:
    sys.exit(130)
"""


def sleeper(name: str, code: str = SLEEPER) -> ProcessSpec:
    return ProcessSpec(name=name, argv=[sys.executable, "-c", code], env={"PYTHONPATH": str(ROOT)})


def alive(pid: int) -> bool:
    """Running: a zombie that waits for its new parent to notice is not."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def eventually(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def test_a_killed_process_is_back_within_a_second_with_the_same_arguments() -> None:
    said: list[str] = []
    async with Supervisor([sleeper("patch"), sleeper("edge")], say=said.append) as running:
        assert await eventually(lambda: len(running.pids) == 2, 10)
        for _ in range(3):
            before = running.pids
            arguments = psutil.Process(before["edge"]).cmdline()
            os.kill(before["edge"], signal.SIGKILL)
            assert await eventually(lambda old=before: running.pids["edge"] != old["edge"], 1.0)
            assert psutil.Process(running.pids["edge"]).cmdline() == arguments
            assert running.pids["patch"] == before["patch"]
        last = running.pids
    assert not any(alive(pid) for pid in last.values())
    assert said.count(f"edge: process {before['edge']} was ended by SIGKILL") == 1
    assert f"edge: process {last['edge']}" in said
    assert running.exit_codes == {"patch": -signal.SIGTERM, "edge": -signal.SIGTERM}


def started(code: str = SLEEPER) -> tuple[subprocess.Popen[str], list[int]]:
    command = [sys.executable, "-c", PROGRAM, code]
    program = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert program.stdout is not None
    return program, list(json.loads(program.stdout.readline()).values())


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
async def test_none_is_left_behind_when_the_supervisor_ends(number: signal.Signals, code: int) -> None:
    program, pids = started()
    assert all(alive(pid) for pid in pids)
    program.send_signal(number)
    assert await eventually(lambda: not any(map(alive, pids)), 2.0)
    _, said = program.communicate(timeout=10)
    assert program.returncode == code
    assert "Traceback" not in said


async def test_without_the_signal_of_linux_the_pipe_ends_them() -> None:
    """The way of other systems: the children's `sys.platform` says that they are on one."""
    program, pids = started(ELSEWHERE)
    program.kill()
    assert await eventually(lambda: not any(map(alive, pids)), 2.0)
    program.communicate(timeout=10)


async def test_an_exception_in_the_body_ends_them_too() -> None:
    pids: dict[str, int] = {}
    with pytest.raises(LookupError, match="mine"):
        async with Supervisor([sleeper("one"), sleeper("two")], say=lambda _: None) as running:
            assert await eventually(lambda: len(running.pids) == 2, 10)
            pids = running.pids
            raise LookupError("mine")
    assert len(pids) == 2
    assert not any(map(alive, pids.values()))


async def test_a_process_deaf_to_sigterm_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.supervisor.PATIENCE_S", 0.5)
    code = DEAF + "print('deaf', flush=True); " + SLEEPER
    said: list[str] = []
    async with Supervisor([sleeper("one", code)], say=said.append, verbose=True) as running:
        assert await eventually(lambda: "one | deaf" in said, 10)
    assert running.exit_codes == {"one": -signal.SIGKILL}


async def test_a_process_that_cannot_start_ends_everything_with_its_last_words() -> None:
    fails = sleeper("edge", "import sys; print('edge.toml: unknown key', file=sys.stderr); sys.exit(2)")
    pids: dict[str, int] = {}
    with pytest.raises(SupervisorError, match=r"edge process ended with exit code 2 5 times.*unknown key"):
        async with Supervisor([sleeper("cloud"), fails], say=lambda _: None) as running:
            assert await eventually(lambda: "cloud" in running.pids, 10)
            pids = running.pids
            await asyncio.wait_for(asyncio.Event().wait(), 30)
    assert not alive(pids["cloud"])


async def test_a_process_that_is_never_ready_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cloud.supervisor.READY_S", 0.5)
    spec = ProcessSpec(name="cloud", argv=[sys.executable, "-c", SLEEPER], ready=listening(free_port()))
    with pytest.raises(SupervisorError, match="cloud process was not ready"):
        async with Supervisor([spec], say=lambda _: None):
            pytest.fail("the body must not begin")


async def test_what_a_process_writes_never_blocks_it_and_is_passed_on_by_line() -> None:
    code = "print('x' * 200_000); print('after', flush=True); " + SLEEPER
    said: list[str] = []
    async with Supervisor([sleeper("cloud", code)], say=said.append, verbose=True) as running:
        assert await eventually(lambda: "cloud | after" in said, 10)
        assert running.last_lines("cloud")[-1] == "after"
