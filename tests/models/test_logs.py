"""Logs: an object a line for machines, words for people, and one set-up for every process."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAYS = """
import logging, sys
from models.logs import set_up
set_up("edge", *sys.argv[1:])
logging.getLogger("a.b").info("not asked for")
try:
    1 / 0
except ZeroDivisionError:
    logging.getLogger("a.b").exception("two\\nlines")
"""


def said(*form: str, terminal: bool = False, told: str | None = None) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "ANYECG_LOG"} | {"PYTHONPATH": str(ROOT)}
    if told:
        environment["ANYECG_LOG"] = told
    ours, theirs = pty.openpty() if terminal else os.pipe()
    where = theirs  # of both pairs the end that is written to
    subprocess.run([sys.executable, "-c", SAYS, *form], stderr=where, env=environment, check=True)
    text = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    return text.replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("form", "terminal", "told", "machine"),
    [
        ("auto", False, None, True),
        ("auto", True, None, False),
        ("json", True, None, True),
        ("human", False, None, False),
        ("json", False, "human", False),
    ],
)
def test_logs_are_json_where_nobody_reads_them_unless_told_otherwise(
    form: str, terminal: bool, told: str | None, machine: bool
) -> None:
    text = said(form, terminal=terminal, told=told)
    if not machine:
        assert text.startswith("ERROR a.b: two\nlines\nTraceback")
        return
    (line,) = text.strip().splitlines()
    read = json.loads(line)
    assert read["at"].endswith("+00:00")
    assert "ZeroDivisionError" in read.pop("error")
    del read["at"]
    assert read == {"level": "error", "process": "edge", "logger": "a.b", "text": "two\nlines"}
