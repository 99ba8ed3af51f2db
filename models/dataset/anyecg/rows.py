"""One row of the dataset: a question about one or more ECGs, its answer, and what the answer rests on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from models.dataset.anyecg.wordings import LAYOUTS
from models.ecg import make_id

Row = dict[str, Any]
ECG = "<ecg>"
TASKS = ("report", "localization", "open_detection", "question", "comparison")


def row(
    task: str,
    kind: str,
    label: str | None,
    ecgs: Sequence[Mapping[str, Any]],
    question: str,
    answer: str,
    evidence: Mapping[str, Any],
) -> Row:
    """A row in chat form; the build adds `split`. `kind` says what is asked, `label` of which class.

    `question` holds one `<ecg>` for each of `ecgs`. The id is a hash of what is asked of what, so the
    same question of the same strip is the same row.
    """
    if question.count(ECG) != len(ecgs):
        raise ValueError(f"{question.count(ECG)} markers for {len(ecgs)} ECGs in {question!r}")
    return {
        "id": make_id(task, kind, label, [dict(ecg) for ecg in ecgs], question),
        "task": task,
        "type": label,
        "ecgs": [dict(ecg) for ecg in ecgs],
        "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
        "evidence": {"kind": kind, **evidence},
    }


def one_ecg(question: str, rng: Random) -> str:
    """The question with its strip before or after it."""
    return rng.choice(LAYOUTS).format(ecg=ECG, question=question)


def several_ecgs(titles: Sequence[str], question: str) -> str:
    """The strips, each under its title, and the question after them."""
    return "\n".join([*(f"{title}: {ECG}" for title in titles), question])
