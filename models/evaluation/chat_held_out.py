"""`--readings DIR`: held-out strips put to the language model in five runs, and all else it is asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat
from models.evaluation.chat_checker import checker_figures
from models.evaluation.chat_choice import Choice
from models.evaluation.chat_comparison import Compared, blind_comparison, compared, comparison_figures, pairs
from models.evaluation.chat_located import blind_location, location_figures
from models.evaluation.chat_reports import blind_facts, evidence_figures, report_figures, seen_figures
from models.evaluation.chat_runs import Run, Runs, Zeroed
from models.evaluation.chat_sample import HELD_OUT, drawn, held_out, strangers
from models.evaluation.chat_strips import Answers, Row, answers_of
from models.evaluation.chat_wordings import off_topic_figures, paraphrase_figures, understood_figures
from models.evaluation.judged import Figures

COMPARED_SHARE, PARAPHRASED_SHARE = 0.2, 0.15  # questions of that kind for each strip
SPOKEN = ("checker", "paraphrases", "off_topic", "understood")
CHECKED = 40  # ECGs whose sentences the checker is tried on
HELD_OUT_AS = (
    f"fold {HELD_OUT}: learned by neither the language model, its eyes nor the localizer; "
    "the quality gate was fitted on every fold"
)
OF_OTHERS = (
    f"fold {HELD_OUT} of these readings; the weights note others or none: their folds have to have been these"
)
ASKED = (Run.SERVED, Run.ZEROED, Run.TOKENS_ZEROED, Run.EVIDENCE_REMOVED)


def chat_figures(
    chat: Chat,
    readings: Sequence[Reading],
    zeroed: Zeroed,
    choice: Choice,
    step: Callable[[str], None] = lambda _: None,
    learned: str = "",
) -> Figures:
    """One JSON object; `learned` is the digest of the readings. RecordingError where none is of the held-out
    fold."""
    known = held_out(readings)
    strips = drawn(known, choice.size, choice.seed)
    runs = Runs(chat, zeroed)
    said = {run: _asked(runs, run, strips, choice, step) for run in ASKED}
    others = strangers(strips, strips, choice.seed)
    figures = {run: _figures(run, rows) for run, rows in said.items()}
    figures[Run.EXCHANGED] = _exchanged(said[Run.SERVED], others)
    blind = blind_facts(strips)
    more: Figures = dict.fromkeys(SPOKEN)  # reports alone
    if not choice.reports_only:
        for run, rows in (met := _comparisons(runs, known, choice, step)).items():
            figures[run]["comparison"] = comparison_figures(rows)
        blind |= {"localization": blind_location(strips), "comparison": blind_comparison(met[Run.SERVED])}
        more = spoken_figures(chat, runs, strips, choice, step)
    return {
        "runs": {run.value: figures[run] for run in Run},
        "blind": blind,
        "ecgqa": {"score": None, "why": "no ECG of ECG-QA is among the readings; ask it by --questions"},
        **more,
        "counts": {
            "strips": len(strips),
            "patients": len({strip.patient for strip in strips}),
            "exchanged": sum(other is not None for other in others),
            "held_out": HELD_OUT_AS if chat.data and chat.data == learned else OF_OTHERS,
            "seed": choice.seed,
        },
        "models": {"chat": chat.model},
    }


def _asked(
    runs: Runs, run: Run, strips: Sequence[Reading], choice: Choice, step: Callable[[str], None]
) -> list[Row]:
    rows = []
    for strip in strips:
        rows.append(Row(answers_of(runs, run, strip, choice.seed, reports_only=choice.reports_only), strip))
        step(f"{run}: {strip.record}")
    return rows


def _figures(run: Run, rows: Sequence[Row]) -> Figures:
    if run is Run.EVIDENCE_REMOVED:  # no sentence can be checked, and nothing is located
        return {"report": report_figures(rows), "seen": seen_figures(rows)}
    found = {"report": report_figures(rows), "evidence": evidence_figures(rows)}
    return found | ({"localization": location_figures(rows)} if rows and rows[0].answers.located else {})


def _exchanged(served: Sequence[Row], others: Sequence[Reading | None]) -> Figures:
    """What is said of another patient's ECG, held to its own truth, and to that of the strip asked about."""
    of: Mapping[int, Answers] = {id(row.reading): row.answers for row in served}
    met = [(row.reading, other) for row, other in zip(served, others, strict=True) if other is not None]
    new = [Row(of[id(other)], other) for _, other in met]
    old = [Row(of[id(other)], reading) for reading, other in met]
    stale = {"report": report_figures(old)}
    if old and old[0].answers.located:
        stale["localization"] = location_figures(old)
    blind = blind_facts([reading for reading, _ in met])
    return _figures(Run.EXCHANGED, new) | {"old_labels": stale, "blind": blind}


def spoken_figures(
    chat: Chat, runs: Runs, strips: Sequence[Reading], choice: Choice, step: Callable[[str], None]
) -> Figures:
    """Of the served model alone: the checker, paraphrases, questions about something else, and very many."""
    step("paraphrases")
    size = round(PARAPHRASED_SHARE * choice.size)
    paraphrases = paraphrase_figures(runs, strips, size, choice.seed)
    step("off-topic questions")
    off_topic = off_topic_figures(runs, strips, choice.seed)
    step("wordings")
    understood = understood_figures(chat, strips, choice.seed)
    step("the checker")
    return {
        "checker": checker_figures([strip.evidence for strip in strips[:CHECKED]], choice.seed),
        "paraphrases": paraphrases,
        "off_topic": off_topic,
        "understood": understood,
    }


def _comparisons(
    runs: Runs, known: Sequence[Reading], choice: Choice, step: Callable[[str], None]
) -> dict[Run, list[Compared]]:
    """In every run but the one without evidence: what the eyes see alone cannot be compared."""
    asked = pairs(known, round(COMPARED_SHARE * choice.size), choice.seed)
    others = strangers([reading for pair in asked for reading in pair], known, choice.seed)
    met = [(a, b) for a, b in zip(others[::2], others[1::2], strict=True) if a is not None and b is not None]
    found: dict[Run, list[Compared]] = {}
    for run in Run:
        if run is not Run.EVIDENCE_REMOVED:
            found[run] = compared(runs, run, met if run is Run.EXCHANGED else asked, choice.seed)
            step(f"{run}: comparisons")
    return found
