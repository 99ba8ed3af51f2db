"""Rows of questions with their answers: those of `anyecg dataset build`, or of your own.

One of your own is `{"id", "question", "ecgs", "answer"}`, its answer in the paper's grammar of places, or
`yes` or `no` to what its question or its `type`, a label, names.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.anyecg.chat.batch import EcgRef, numbered_lines
from models.dataset.anyecg.intervals import parse_answer
from models.errors import UsageError

LOCALIZATION, REPORT, ECGQA = "localization", "report", "ecgqa"
ATTRIBUTES = {"ecgqa noise": "NOISE"}  # of ECG-QA, and the label they ask for


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A question and its true answer; `kind` is one of `chat_kinds.KINDS`, else nothing scores it."""

    id: str
    kind: str
    label: str | None
    question: str
    ecgs: tuple[EcgRef, ...]
    answer: str
    evidence: Mapping[str, Any]
    dates: tuple[str | None, ...]


def read_rows(path: Path) -> list[Row]:
    """UsageError where there is no such file, or a line is no such row."""
    rows = []
    for number, line in numbered_lines(path):
        try:
            rows.append(_row(json.loads(line)))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            raise UsageError(f"{path}, line {number} is no question with an answer: {why}.") from error
    return rows


def _row(raw: Any) -> Row:
    if not isinstance(raw, Mapping):
        raise TypeError("it is no JSON object")
    said = raw.get("messages")
    asked = str(said[0]["content"] if said else raw["question"])
    lines = [line for line in asked.replace("<ecg>", "").splitlines() if line.strip()]
    if not lines:
        raise ValueError("it asks nothing")
    ecgs = tuple(EcgRef.model_validate(ecg) for ecg in raw["ecgs"])
    if not ecgs:
        raise ValueError("it names no ECG")
    titled = len(lines) == len(ecgs) + 1
    answer = str(said[1]["content"] if said else raw["answer"])
    evidence = raw.get("evidence") or {}
    return Row(
        id=str(raw["id"]),
        kind=_kind(raw, answer),
        label=raw.get("type") or ATTRIBUTES.get(str(evidence.get("kind"))),
        question=(lines[-1] if len(ecgs) > 1 else " ".join(lines)).strip(),
        ecgs=ecgs,
        answer=answer,
        evidence=evidence,
        dates=tuple(_date(lines[i]) if titled else None for i in range(len(ecgs))),
    )


def _kind(raw: Mapping[str, Any], answer: str) -> str:
    """By the answer where the row does not say."""
    task = str(raw.get("task", ""))
    asked = str((raw.get("evidence") or {}).get("kind", ""))
    if task == LOCALIZATION or (task == REPORT and asked == "strip"):
        return task
    if asked.startswith(ECGQA):
        return ECGQA
    other = LOCALIZATION if parse_answer(answer) is not None else ECGQA
    return f"{task} {asked}".strip() or other


def _date(line: str) -> str | None:
    found = re.search(r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?", line)
    return found[0] if found else None
