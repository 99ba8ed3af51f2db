"""ECG-QA (Oh J et al., NeurIPS Datasets and Benchmarks, 2023; CC-BY 4.0) over the PTB-XL ECGs that are here.

Questions about one ECG, and about two of different patients. Raises `RecordingError` where the folder
is missing.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random

from models.dataset.anyecg.findings import clinical_reference
from models.dataset.anyecg.rows import Row, one_ecg, row, several_ecgs
from models.dataset.clinical import Clinical
from models.dataset.files import folder_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One question of ECG-QA: `records` are "ptbxl/17", one or two."""

    sample: str  # "template-train-120000/120003"
    kind: str  # "single-verify", ...
    attribute: str
    question: str
    answers: tuple[str, ...]
    records: tuple[str, ...]


def samples(data: Path) -> Iterator[Sample]:
    """All samples on disk, in the order of their files."""
    for path in sorted(folder_of(data, "ecgqa-ptbxl").glob("*.json.gz")):
        name = path.name.removesuffix(".json.gz")
        with gzip.open(path, "rt", encoding="utf-8") as text:
            for said in json.load(text):
                yield Sample(
                    sample=f"{name}/{said['sample_id']}",
                    kind=said["question_type"],
                    attribute=said["attribute_type"],
                    question=said["question"],
                    answers=tuple(said["answer"]),
                    records=tuple(f"ptbxl/{number}" for number in said["ecg_id"]),
                )


def ecgqa(data: Path, ecgs: Mapping[str, Clinical]) -> Iterator[Row]:
    """Rows of the samples all of whose ECGs are in `ecgs`, by record."""
    for sample in samples(data):
        if not sample.answers or any(record not in ecgs for record in sample.records):
            continue
        references = [clinical_reference(ecgs[r], ecgs[r].leads) for r in sample.records]
        single = len(references) == 1
        titles = ("First ECG", "Second ECG")
        text = sample.question
        question = one_ecg(text, Random(sample.sample)) if single else several_ecgs(titles, text)
        yield row(
            "question" if single else "comparison",
            f"ecgqa {sample.attribute}",
            None,
            references,
            question,
            ", ".join(sample.answers),
            {"from": "ecgqa", "sample": sample.sample, "asked": sample.kind},
        )
