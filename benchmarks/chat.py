"""What a report and the findings of a minute cost, as the cloud node makes them: no torch in the process.

    ANYECG_DATA=DIR python -m benchmarks.chat [WEIGHTS]

At least 20 minutes of real records (mitdb, svdb and afdb where they are, else the excerpt in steps): each is
read (localizer, measurements, what the language model sees), then it writes the report and says what is
abnormal and where. Wall seconds of all of that, p50 and p95, tokens' and reading's share, peak memory.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from cloud.config import ChatConfig
from cloud.language import load_language
from cloud.node import warm_up
from cloud.reading import read
from edge.intake import Intake
from edge.screening import WindowScreener
from models.anyecg.chat.consultation import Answer, Consultation
from models.anyecg.localizer import Localizer
from models.ecg import Segment
from models.evaluation.served import cut
from models.recordings import Recording, RecordingSource, open_recording
from models.screener.runtime import Screener

SECONDS, STRIPS = 60.0, 24
DATABASES = ("mitdb", "svdb", "afdb", "ltafdb")
QUESTIONS = ("Write a report.", "What is abnormal, and where?")
BUDGETS = {"p95_s": 3.0, "peak_mb": 600.0}
FORBIDDEN = {"torch", "transformers", "peft"}


def strips() -> Iterator[Recording]:
    """Minutes of as many records as there are, in turn."""
    for number in range(STRIPS):
        for path in records():
            recording = open_recording(path)
            fs, minutes = recording.fs, int(recording.duration_s // SECONDS)
            first = round((7 * number) % max(1, minutes) * SECONDS * fs)
            yield cut(recording, first, first + round(SECONDS * fs) - 1)


def records() -> list[str]:
    data = Path(os.environ.get("ANYECG_DATA", "/nowhere"))
    found = [sorted(data.glob(f"{name}/*.hea"))[: STRIPS // 2] for name in DATABASES]
    return [str(path.with_suffix("")) for group in found for path in group] or ["excerpt"]


def parts_of(recording: Recording) -> list[Segment]:
    """All of it, as the edge cuts it; the edge's own time is not counted."""
    screen = WindowScreener(Screener())
    intake = Intake(lambda window: replace(screen(window), flagged=True))
    items = RecordingSource(recording).blocks()
    return [part for item in items for part in intake.push(item) if isinstance(part, Segment)]


def spread(seconds: Sequence[float]) -> dict[str, float]:
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return {"p50": round(statistics.median(seconds), 3), "p95": round(cuts[-1], 3)}


def main() -> None:
    loaded = load_language(ChatConfig(weights=Path(sys.argv[1]) if len(sys.argv) > 1 else None))
    assert loaded is not None
    (chat, eyes), localizer = loaded, Localizer()
    warm_up()
    spent: dict[str, list[float]] = {"reading": [], "report": [], "findings": [], "all": []}
    answers: list[Answer] = []
    for number, recording in enumerate(islice(strips(), STRIPS + 1)):
        parts, begun = parts_of(recording), time.monotonic()
        asked = Consultation(chat, [read(parts, localizer, eyes)])
        was_read = time.monotonic() - begun
        said = [asked.answer(question) for question in QUESTIONS]
        if number:  # the first one warms up
            times = (was_read, said[0].seconds, said[1].seconds, time.monotonic() - begun)
            for name, seconds in zip(spent, times, strict=True):
                spent[name].append(seconds)
            answers += said
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    figures = {
        "model": chat.model,
        "strips": len(spent["all"]),
        "budgets": BUDGETS,
        "seconds": {name: spread(values) for name, values in spent.items()},
        "peak_mb": round(peak),
        "sentences": sum(len(answer.sentences) for answer in answers),
        "replaced": sum(answer.replaced for answer in answers),
        "added": sum(answer.added for answer in answers),
        "unfinished": sum(not answer.finished for answer in answers),
        "declined": sum(answer.plan.task == "decline" for answer in answers),
        "in_the_process": sorted(FORBIDDEN & set(sys.modules)),
        "cpus": os.cpu_count(),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
