"""Keeps the processes of one machine alive, and leaves none behind.

Each process gets the read end of a pipe whose other end only the supervisor holds: when that is gone, for
whatever reason, so is every process that called `die_with_parent()`.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import NoReturn, Self

from models.errors import AnyEcgError
from models.logs import FORM

PARENT = "ANYECG_PARENT"
"""Environment variable: number of the inherited file descriptor that closes when the supervisor ends."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 0.8
"""Between a death and the next start; longer after each early failure, always under a second."""
EARLY_S, EARLY_FAILURES = 10.0, 5
"""A process that fails this many times in a row, each within this time of its start, cannot start."""
READY_S = 60.0
PATIENCE_S = 5.0
"""From SIGTERM to SIGKILL."""
LONGEST_LINE = 10_000


class SupervisorError(AnyEcgError):
    """A process cannot start; the sentence carries the last line it wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSpec:
    """A process to keep alive; `ready`, if given, is waited for before the next one is started."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Callable[[], Awaitable[bool]] | None = None


def die_with_parent() -> None:
    """End this process when the supervisor that started it is gone; does nothing without one.

    Linux tells us by a signal, which also ends a process stuck in native code. The pipe works on every POSIX
    system, and covers a supervisor that died before we asked for the signal.
    """
    descriptor = os.environ.pop(PARENT, None)
    if descriptor is None:
        return
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    threading.Thread(target=_exit_at_end_of, args=(int(descriptor),), name="parent", daemon=True).start()


def _exit_at_end_of(descriptor: int) -> NoReturn:
    os.read(descriptor, 1)
    os._exit(1)


class Supervisor:
    """`async with Supervisor(specs, say=print): ...` runs `specs` in order and restarts what dies.

    The body is cancelled and SupervisorError raised when a process cannot start, SystemExit(143) on SIGTERM.
    `say` gets one line for each start and death and, with `verbose`, every line the processes write.
    """

    def __init__(
        self, specs: Sequence[ProcessSpec], *, say: Callable[[str], None], verbose: bool = False
    ) -> None:
        self._specs = specs
        self._say = say
        self._form = {FORM: "human"} if sys.stderr.isatty() and FORM not in os.environ else {}
        self._verbose = verbose
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._last_lines: dict[str, deque[str]] = {spec.name: deque(maxlen=20) for spec in specs}
        self._keepers: list[asyncio.Task[None]] = []
        self._outcome: BaseException | None = None
        self.exit_codes: dict[str, int] = {}

    @property
    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    def last_lines(self, name: str) -> tuple[str, ...]:
        return tuple(self._last_lines[name])

    async def __aenter__(self) -> Self:
        task = asyncio.current_task()
        assert task is not None
        self._owner = task
        self._watched, self._held = os.pipe()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, self._end, SystemExit(143))
        try:
            for spec in self._specs:
                await self._launch(spec)
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        stopping = asyncio.create_task(self._stop_all())
        try:
            await asyncio.shield(stopping)
        except asyncio.CancelledError:  # a cancellation that was on its way when the body ended
            await stopping
            if self._outcome is None:
                raise
        if self._outcome is not None:
            self._owner.uncancel()
            raise self._outcome from None

    def _end(self, outcome: BaseException) -> None:
        """Cancel the body; `outcome` is what comes out of the context instead of the cancellation."""
        if self._outcome is None:
            self._outcome = outcome
            self._owner.cancel()

    async def _launch(self, spec: ProcessSpec) -> None:
        self._keepers.append(asyncio.create_task(self._keep(spec), name=f"keeper of {spec.name}"))
        deadline = time.monotonic() + READY_S
        while spec.ready is not None and not await spec.ready():
            if time.monotonic() > deadline:
                sentence = f"The {spec.name} process was not ready {READY_S:.0f} s after its start"
                raise SupervisorError(f"{sentence}; {self._words(spec.name)}")
            await asyncio.sleep(0.1)

    async def _keep(self, spec: ProcessSpec) -> None:
        failures = 0
        while True:
            started = time.monotonic()
            code = await self._run_once(spec)
            early = time.monotonic() - started < EARLY_S
            killed = code in (-signal.SIGKILL, -signal.SIGTERM)  # by somebody: no fault of its own
            failures = failures + 1 if early and not killed else 0
            if failures == EARLY_FAILURES:
                sentence = f"The {spec.name} process {_ending(code)} {failures} times in a row at its start"
                self._end(SupervisorError(f"{sentence}; {self._words(spec.name)}"))
                return
            await asyncio.sleep(min(FIRST_PAUSE_S * 2**failures, LONGEST_PAUSE_S))

    async def _run_once(self, spec: ProcessSpec) -> int:
        """Run `spec` to its end and return its exit code, negative for a signal."""
        process = await asyncio.create_subprocess_exec(
            *spec.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **self._form, **spec.env, PARENT: str(self._watched)},
            pass_fds=(self._watched,),
            start_new_session=True,  # Ctrl-C reaches the supervisor alone, which ends them in good order
        )
        self._running[spec.name] = process
        self._say(f"{spec.name}: process {process.pid}")
        await self._read(spec.name, process)
        code = await process.wait()
        self._say(f"{spec.name}: process {process.pid} {_ending(code)}")
        return code

    async def _read(self, name: str, process: asyncio.subprocess.Process) -> None:
        """Take in all that a process writes, so that it never blocks, until its end of the pipe closes."""
        assert process.stdout is not None
        rest = b""
        while chunk := await process.stdout.read(65_536):
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-LONGEST_LINE:]
            for line in lines:
                self._take_line(name, line)
        if rest:
            self._take_line(name, rest)

    def _take_line(self, name: str, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip()
        if text:
            self._last_lines[name].append(text)
        if self._verbose:
            self._say(f"{name} | {text}")

    def _words(self, name: str) -> str:
        lines = self._last_lines[name]
        return f"its last line: {lines[-1]}" if lines else "it wrote nothing"

    async def _stop_all(self) -> None:
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        await asyncio.gather(*(self._stop(name, process) for name, process in self._running.items()))
        os.close(self._held)
        os.close(self._watched)

    async def _stop(self, name: str, process: asyncio.subprocess.Process) -> None:
        """SIGTERM, then SIGKILL to the process and whatever it started."""
        if process.returncode is None:
            reader = asyncio.create_task(self._read(name, process))
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), PATIENCE_S)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await reader
        self.exit_codes[name] = await process.wait()


def _ending(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def listening(port: int, host: str = "127.0.0.1") -> Callable[[], Awaitable[bool]]:
    """Predicate: somebody accepts connections on `host:port`."""

    async def accepts() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        writer.close()
        return True

    return accepts
