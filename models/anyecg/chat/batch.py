"""Many questions at once: a JSON line each in, a JSON line each out, and on again where it was interrupted.

In: `{"id", "question", "ecgs": [{"record", "start", "end", "leads"?}]}`, the record a path without extension,
times in seconds of the recording. Out: `{"id", "answer", "findings": [{"label", "code", "start_s", "end_s",
"probability"}], "claims_checked", "claims_replaced", "abstained", "seconds"}`, findings of the ECGs in order,
in seconds of the recording; a row that cannot be answered has `{"id", "error"}` and stops nobody.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.anyecg.chat.consultation import Answer, Consultation, abstained, wanted
from models.anyecg.chat.readings import Reading
from models.errors import AnyEcgError, UsageError


class EcgRef(BaseModel):
    """Which stretch of which recording; absent bounds and leads: all of it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    record: str
    start: float = Field(0.0, ge=0)
    end: float | None = None
    leads: tuple[str, ...] | None = None


class Question(BaseModel):
    """A row of the file."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    id: str
    question: str
    ecgs: tuple[EcgRef, ...] = Field(min_length=1)


Consult = Callable[[Sequence[EcgRef]], tuple[Consultation, Sequence[Reading]]]


def answer_all(questions: Path, out: Path, consult: Consult, progress: Callable[[str], None]) -> int:
    """Appends to `out` what it lacks; returns how many rows could not be answered.

    UsageError where there is no such file. A half-written last line of `out` is written again.
    """
    if not questions.is_file():
        raise UsageError(f"{questions} does not exist; give a file with a question as JSON in each line.")
    rows = [line for line in questions.read_text(encoding="utf-8").splitlines() if line.strip()]
    done = _answered(out)
    failed = 0
    with out.open("a", encoding="utf-8") as file:
        for number, line in enumerate(rows, start=1):
            row = _row(number, line, done, consult)
            if row is None:
                continue
            failed += "error" in row
            file.write(json.dumps(row) + "\n")
            file.flush()
            progress(f"{number}/{len(rows)} {row['id']}: {row.get('error') or row['seconds']}")
    return failed


def _answered(out: Path) -> set[str]:
    """Ids that `out` holds; what a kill left of its last line is cut off."""
    if not out.is_file():
        return set()
    text = out.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        out.write_text(whole, encoding="utf-8")
    return {json.loads(line)["id"] for line in whole.splitlines()}


def _row(number: int, line: str, done: set[str], consult: Consult) -> dict[str, Any] | None:
    """The answer to a line; None where it is already there."""
    ident = f"line {number}"
    try:
        raw = json.loads(line)
        ident = str(raw["id"]) if isinstance(raw, dict) and "id" in raw else ident
        if ident in done:
            return None
        asked = Question.model_validate(raw)
        consultation, readings = consult(asked.ecgs)
        return {"id": ident, **_answer(consultation.answer(asked.question), readings)}
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "row"
        return {"id": ident, "error": f"line {number}: {where}: {first['msg']}"}
    except json.JSONDecodeError as error:
        return {"id": ident, "error": f"line {number} is no JSON: {error}"}
    except (AnyEcgError, ValueError) as error:
        return {"id": ident, "error": f"line {number}: {error}"}


def _answer(answer: Answer, readings: Sequence[Reading]) -> dict[str, Any]:
    return {
        "answer": answer.text,
        "findings": [row for reading in readings for row in _findings(answer, reading)],
        "claims_checked": answer.claims,
        "claims_replaced": answer.replaced,
        "abstained": abstained(answer, readings),
        "seconds": answer.seconds,
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
