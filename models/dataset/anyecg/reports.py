"""Reports, `Report: ...`: of Holter strips from their annotations, of clinical ECGs from their statements.

A report says only what the leads in the row can show: twelve leads give all statements, fewer leads the
rhythm alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from models.dataset.anyecg.classes import FINDABLE, found
from models.dataset.anyecg.findings import clinical_reference, findings, rhythm_words
from models.dataset.anyecg.questions import count, mean_rate, one_rhythm
from models.dataset.anyecg.rows import Row, one_ecg, row
from models.dataset.anyecg.timeline import Strip, Timeline, clear
from models.dataset.anyecg.wordings import REPORT_RHYTHM, REPORT_STRIP, REPORT_TWELVE, say
from models.dataset.clinical import Clinical, rhythm

STRIPS = 30  # looked at a recording
TWELVE = 4  # wordings of one 12-lead report
FEWER_LEADS = (("II",), ("I",), ("V1",), ("V5",), ("I", "II"), ("II", "V1"), ("II", "V5"), ("I", "II", "III"))


def strip_reports(timeline: Timeline, seed: int) -> Iterator[Row]:
    rng = Random(f"{seed}/{timeline.record}/reports")
    for _ in range(min(STRIPS, max(1, int(timeline.seconds // 30)))):
        strip = clear(timeline, rng)
        lines = _lines(strip) if timeline.beats_known else _rhythm_line(strip)
        if lines:
            wordings = REPORT_STRIP if timeline.beats_known else REPORT_RHYTHM
            yield row(
                "report",
                "strip" if timeline.beats_known else "rhythm",
                None,
                [strip.reference()],
                one_ecg(say(rng, wordings), rng),
                "Report: " + ". ".join(lines) + ".",
                {"from": "annotations", "lines": len(lines)},
            )


def clinical_reports(ecg: Clinical, seed: int) -> Iterator[Row]:
    """Twelve leads with all statements, and fewer leads with the rhythm."""
    rng = Random(f"{seed}/{ecg.record}/reports")
    found_words = findings(ecg)
    if found_words:
        for wording in rng.sample(REPORT_TWELVE, TWELVE):
            answer = "Report: " + _sentence(", ".join(found_words))
            yield _clinical_row(ecg, "12-lead", ecg.leads, one_ecg(wording, rng), answer)
    words = rhythm_words(ecg)
    if words and rhythm(ecg):
        for leads in rng.sample(FEWER_LEADS, 3):
            question = one_ecg(say(rng, REPORT_RHYTHM), rng)
            yield _clinical_row(ecg, "rhythm", leads, question, "Report: " + _sentence(words))


def _clinical_row(ecg: Clinical, kind: str, leads: tuple[str, ...], question: str, answer: str) -> Row:
    evidence = {"from": "statements", "statements": list(ecg.statements)}
    return row("report", kind, None, [clinical_reference(ecg, leads)], question, answer, evidence)


def _lines(strip: Strip) -> list[str] | None:
    """Rhythm where known, block, rate, ectopic beats, pauses; None where beats leave it open."""
    rate, counts = mean_rate(strip), {label: count(FINDABLE[label], strip) for label in ("V", "S")}
    pauses = found(FINDABLE["PAUSE"], strip)
    if rate is None or pauses is None or None in counts.values():
        return None
    known = one_rhythm(strip)
    if strip.timeline.source == "mitdb" and known is None:
        return None  # several rhythms: where each begins is localization
    ventricular, supra = counts["V"], counts["S"]
    return [
        *([known.capitalize()] if known else []),
        *_conduction(strip),
        f"Mean rate {rate}/min",
        f"Ventricular premature beats: {ventricular or 'none'}",
        f"Supraventricular premature beats: {supra or 'none'}",
        f"Pauses of more than 2 s: {len(pauses) or 'none'}",
    ]


def _conduction(strip: Strip) -> list[str]:
    """Bundle branch block that most beats show."""
    return [
        FINDABLE[label].names[0].capitalize()
        for label in ("L", "R")
        if 2 * sum(symbol == label for symbol in strip.symbols) > len(strip.symbols)
    ]


def _rhythm_line(strip: Strip) -> list[str] | None:
    known = one_rhythm(strip)
    return [known.capitalize()] if known else None


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
