"""Who may use the language model now: one a core; who comes beyond waits, and not for ever."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Iterator
from typing import Any

from models.errors import AnyEcgError

MOST_WAITING = 8
PATIENCE_S = 30.0


class BusyError(AnyEcgError):
    """The language model is busy with others, or does not answer."""


class Turns:
    """`with turns.taken(): ...` holds one of so many."""

    def __init__(self, count: int, most_waiting: int = MOST_WAITING) -> None:
        self.free, self.waiting = count, 0
        self._most = most_waiting
        self._changed = threading.Condition()

    def refuse_if_full(self) -> None:
        """BusyError where too many wait already."""
        if self.free <= 0 and self.waiting >= self._most:
            raise BusyError(f"{self.waiting} others are waiting already; try again in a minute.")

    @contextlib.contextmanager
    def taken(self, patience_s: float = PATIENCE_S) -> Iterator[None]:
        """BusyError where too many wait already, or after `patience_s`."""
        with self._changed:
            self.refuse_if_full()
            self.waiting += 1
            came = self._changed.wait_for(lambda: self.free > 0, patience_s)
            self.waiting -= 1
            if not came:
                raise BusyError(f"The language model was busy for {patience_s:.0f} s; try again in a minute.")
            self.free -= 1
        try:
            yield
        finally:
            with self._changed:
                self.free += 1
                self._changed.notify()


def apart(lines: Iterator[Any], silence_s: float) -> Iterator[Any]:
    """The same lines, made in a thread of their own: one that hangs keeps that thread and nobody else.

    BusyError after `silence_s` without a line. Whoever stops listening ends the making at the next line.
    """
    made: queue.SimpleQueue[Any] = queue.SimpleQueue()
    gone, end = threading.Event(), object()

    def make() -> None:
        try:
            for line in lines:
                made.put(line)
                if gone.is_set():
                    return
            made.put(end)
        except BaseException as error:  # raised again where it is heard
            made.put(error)

    threading.Thread(target=make, name="answer", daemon=True).start()
    try:
        while (line := _next(made, silence_s)) is not end:
            if isinstance(line, BaseException):
                raise line
            yield line
    finally:
        gone.set()


def _next(made: queue.SimpleQueue[Any], silence_s: float) -> Any:
    try:
        return made.get(timeout=silence_s)
    except queue.Empty:
        raise BusyError(f"The language model has not answered for {silence_s:.0f} s.") from None
