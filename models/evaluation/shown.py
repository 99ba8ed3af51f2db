"""Figures and progress for people."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

EVERY = 10  # records, where nobody watches
WIDTH = 44
LEFT_OUT = frozenset({"per_record", "worst"})


def progress(say: Callable[[str], None]) -> Callable[[str], None]:
    """Says each record that is through on a terminal, every tenth elsewhere."""
    done = 0

    def step(record: str) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty() or done % EVERY == 0:
            say(f"{done} through, last {record}")

    return step


def table(figures: Mapping[str, Any]) -> str:
    """A line for each number, its place in the JSON before it; lists of records only in the JSON."""
    return "\n".join(f"{name:{WIDTH}} {value}" for name, value in _leaves(figures, ""))


def _leaves(figures: Mapping[str, Any], place: str) -> Iterator[tuple[str, str]]:
    for key, value in figures.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{place}{key}.")
        elif key not in LEFT_OUT:
            yield f"{place}{key}", "-" if value is None else str(value)
