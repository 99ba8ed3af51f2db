"""What a question asks for: the language model says it in one line before it answers.

`locate V`, `measure RATE`, `report`, `decline treatment`: a task, for some a subject, and where several ECGs
were given perhaps the letter of one. The answer is checked against this line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.verdicts import LABELS

ECTOPIC, ST, QTC = "ECTOPIC", "ST", "QTC"  # V and S together; not assessed
FOUND = tuple(label for label in LABELS if label not in {"N", "SINUS"})
SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "report": (),  # of one ECG or each of several
    "findings": (),  # what is abnormal, and where
    "rhythm": (),
    "locate": (*FOUND, ECTOPIC, ST, QTC),  # the paper's `Duration: ...`
    "present": (*FOUND, ECTOPIC, ST, QTC),
    "count": (*FOUND, ECTOPIC),
    "burden": ("V", "S", ECTOPIC),  # per cent of the beats
    "when": (*FOUND, ECTOPIC),  # first and last
    "sure": (*FOUND, ECTOPIC),  # probability
    "measure": ("RATE", "SLOWEST", "FASTEST", "RR", "PR", "QRS", "QT", "BEATS", ST, QTC),
    "regular": (),
    "quality": (),  # what could not be analysed, and whether it looks familiar
    "limits": (),  # what is not assessed
    "about": (),  # length and leads
    "compare": ("ALL", "RATE", "RHYTHM", "V", "S", ECTOPIC, "PR", "QRS", "QT"),  # two or more ECGs
    "decline": ("treatment", "prognosis", "other", "unclear"),  # other: no matter of an ECG
}


@dataclass(frozen=True, slots=True)
class Plan:
    """A task of SUBJECTS, its subject, and the ECG asked about (a letter; None: all of them)."""

    task: str
    subject: str | None = None
    ecg: str | None = None

    def __str__(self) -> str:
        return " ".join(part for part in (self.task, self.subject, self.ecg) if part)


def parse(line: str) -> Plan | None:
    """The plan of a line, None where it is none."""
    task, *rest = line.split() or [""]
    if task not in SUBJECTS:
        return None
    subject = rest.pop(0) if SUBJECTS[task] and rest and rest[0] in SUBJECTS[task] else None
    ecg = rest.pop(0) if rest and len(rest[0]) == 1 and rest[0].isalpha() else None
    return None if rest or bool(SUBJECTS[task]) != bool(subject) else Plan(task, subject, ecg)
