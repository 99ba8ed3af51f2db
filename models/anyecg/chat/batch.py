"""Many questions at once: a JSON line each in, a JSON line each out, and on again where it was interrupted.

In: `{"id", "question", "ecgs": [{"record", "start", "end", "leads"?}]}`, the record a path without extension,
times in seconds of the recording. Out: `{"id", "answer", "findings": [{"label", "code", "start_s", "end_s",
"probability"}], "claims_checked", "claims_replaced", "abstained", "seconds"}`, findings of the ECGs in order,
in seconds of the recording, `seconds` what the row took. A row that cannot be answered has `{"id", "error"}`,
stops nobody, and is tried again the next time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.anyecg.chat.consultation import Answer, Consultation, abstained, wanted
from models.anyecg.chat.readings import Reading
from models.errors import UsageError

MOST = 6  # ECGs at once
LONGEST_QUESTION = 500  # characters
BEGINS = '{"id": '  # of an answer: what a kill may leave as a last line
Ident = str | int


class EcgRef(BaseModel):
    """Which stretch of which recording; absent bounds and leads: all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    record: str = Field(min_length=1)
    start: float = Field(0.0, ge=0, allow_inf_nan=False)
    end: float | None = Field(None, allow_inf_nan=False)
    leads: tuple[str, ...] | None = Field(None, min_length=1)


class Question(BaseModel):
    """A row of the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    id: Ident
    question: str
    ecgs: tuple[EcgRef, ...] = Field(min_length=1)


Consult = Callable[[Sequence[EcgRef]], tuple[Consultation, Sequence[Reading]]]
Say = Callable[[str], None]


def answer_all(questions: Path, out: Path, consult: Consult, say: Say, every: int = 1) -> int:
    """Appends to `out` what it lacks; returns how many rows could not be answered.

    `say` hears of each of those, and of every so many rows that are through. A half-written last line of
    `out` is written again. UsageError where `questions` or `out` cannot be read or written.
    """
    rows = numbered_lines(questions)
    if out.resolve() == questions.resolve():
        raise UsageError(f"--out {out} is the file of the questions; give another one.")
    try:
        done = _answered(out)
        answers = out.open("a", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--out {out} cannot be read or written: {error}.") from error
    told = _Told(len(rows), every, say)
    failed, asked = 0, set[Ident]()
    try:
        with answers as file:
            for number, line in rows:
                row = _row(number, line, asked, done, consult)
                if row is not None:
                    failed += "error" in row
                    file.write(json.dumps(row, allow_nan=False) + "\n")
                    file.flush()
                told.row(row)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be written: {error}; what it holds is kept.") from error
    return failed


class _Told:
    """Says how far it is, how long it will take, and what went wrong."""

    def __init__(self, size: int, every: int, say: Say) -> None:
        self._size, self._every, self._say = size, every, say
        self._begun, self._through, self._new = time.monotonic(), 0, 0

    def row(self, row: Mapping[str, Any] | None) -> None:
        """None: it had been answered before."""
        self._through += 1
        self._new += row is not None
        if row is not None and "error" in row:
            self._say(row["error"])
        last = self._through == self._size
        if self._new and (last or (row is not None and self._new % self._every == 0)):
            left = (time.monotonic() - self._begun) / self._new * (self._size - self._through)
            self._say(f"{self._through}/{self._size} through, about {left:.0f} s left.")


def numbered_lines(questions: Path) -> list[tuple[int, str]]:
    """(number, text) of the lines that hold something; UsageError where there is no such file of text."""
    if questions.is_dir() or not questions.exists():
        what = "is a folder" if questions.is_dir() else "does not exist"
        raise UsageError(f"{questions} {what}; give a file with a question as JSON in each line.")
    try:  # not splitlines: a JSON string may hold other line separators
        lines = questions.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{questions} cannot be read as UTF-8 text: {error}.") from error
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def _answered(out: Path) -> set[Ident]:
    """Ids that `out` answers; errors and what a kill left of its last line are taken out of it."""
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder; give a file for the answers.")
    out.parent.mkdir(parents=True, exist_ok=True)
    if not out.is_file():
        return set()
    text = out.read_text(encoding="utf-8")
    whole = text.rfind("\n") + 1
    lines, tail = text[:whole].splitlines(keepends=True), text[whole:]
    try:
        if not tail.startswith(BEGINS[: len(tail)]):
            raise ValueError(tail)
        rows = [(json.loads(line), line) for line in lines]
        kept = [(row["id"], line) for row, line in rows if "error" not in row]
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(f"--out {out} holds something else than answers; give another file.") from error
    if len("".join(line for _, line in kept)) < len(text):
        staging = out.with_name(f"{out.name}.new")
        staging.write_text("".join(line for _, line in kept), encoding="utf-8")
        staging.replace(out)
    return {ident for ident, _ in kept}


def _row(
    number: int, line: str, before: set[Ident], done: set[Ident], consult: Consult
) -> dict[str, Any] | None:
    """The answer to a line, whose id is then among those `before`; None where it is already there."""
    ident: Ident = f"line {number}"
    try:
        raw = json.loads(line)
        if isinstance(raw, dict) and "id" in raw:
            if type(raw["id"]) not in {str, int}:  # 7.0 and true would pass for 7 and 1
                raise UsageError("its id is neither text nor a whole number.")
            if raw["id"] in before:
                raise UsageError(f"an earlier row has the id {raw['id']} too.")
            ident = raw["id"]
            before.add(ident)
            if ident in done:
                return None
        asked = Question.model_validate(raw)
        row = {"id": ident, **answered(asked.question, asked.ecgs, consult)}
        json.dumps(row, allow_nan=False)  # what cannot be written is this row's error
        return row
    except ModuleNotFoundError:  # an extra that is not installed: no row can be answered
        raise
    except Exception as error:  # whatever is wrong with a row, the others are answered
        return {"id": ident, "error": f"line {number}: {_sentence(error)}"}


def _sentence(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "row"
        return f"{where}: {first['msg']}."
    if isinstance(error, json.JSONDecodeError):
        return f"this is no JSON: {error}."
    return str(error) or repr(error)


def short(question: str) -> str:
    """The question on one line; UsageError where there is none, or it is too long to be one, or no text."""
    line = " ".join(question.split())
    try:
        line.encode()
    except UnicodeEncodeError as error:  # bytes that this machine could not read
        raise UsageError("A question has to be UTF-8 text; this one is not.") from error
    if not 0 < len(line) <= LONGEST_QUESTION:
        raise UsageError(f"A question has 1 to {LONGEST_QUESTION} characters, this one has {len(line)}.")
    return line


def answered(question: str, ecgs: Sequence[EcgRef], consult: Consult) -> dict[str, Any]:
    """The row of an answer, without its id."""
    begun = time.monotonic()
    line = short(question)
    consultation, readings = consult(ecgs)
    answer = consultation.answer(line)
    return {
        "answer": answer.text,
        "findings": [row for reading in readings for row in _findings(answer, reading)],
        "claims_checked": answer.claims,
        "claims_replaced": answer.replaced,
        "abstained": abstained(answer, readings),
        "seconds": round(time.monotonic() - begun, 3),
    }


def _findings(answer: Answer, reading: Reading) -> Iterator[dict[str, Any]]:
    """What was found of what was asked for, in seconds of the recording."""
    if answer.plan.task == "decline" or answer.plan.ecg not in {None, reading.evidence.letter}:
        return
    asked = wanted(answer.plan)
    for finding in reading.findings:
        if reading.fs and (asked is None or finding.label in asked):
            yield {
                "label": finding.label,
                "code": finding.code,
                "start_s": round(reading.start + finding.first / reading.fs, 3),
                "end_s": round(reading.start + (finding.last + 1) / reading.fs, 3),
                "probability": finding.probability,
            }
