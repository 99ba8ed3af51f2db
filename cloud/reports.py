"""The report of an episode: sentences of anyECG-chat's grammar, each citing facts, by a template or a model.

The template writes it at once; it stays where a language model is late, fails, or is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cloud.analyst import EpisodeAnalyst
from models.anyecg.chat import answers
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.wording import say
from models.anyecg.evidence import Evidence
from models.ecg import Segment, make_id
from models.verdicts import Report

PLAN = Plan("report")
MODEL = "template/2"
EVERY_PARTS = 4
TEMPLATE = "Template report"
BY_A_MODEL = "Written by a language model, every sentence held to the findings"
REVIEW = "AI-generated, not yet reviewed."
NOT_NORMAL = "No alerts is not normal: {:.1f} s could not be analysed."
FOOT = "Decision support. Not a diagnosis. Not for emergency monitoring."
ABSTAINED = {"nothing", "missed", "strange", "limits"}  # kinds of claims


def is_due(segment: Segment) -> bool:
    """With part 0, every fourth part and the final one."""
    return segment.final or segment.part % EVERY_PARTS == 0


def write_report(
    analyst: EpisodeAnalyst, segments: tuple[str, ...], newest: Segment, evidence: Evidence
) -> Report:
    """`segments` are the ids of the parts covered, `newest` the last of them."""
    said = [claim for sentence in answers.claims(PLAN, [evidence]) for claim in sentence]
    return Report(
        id=make_id(newest.episode_id, newest.part),
        episode_id=newest.episode_id,
        segment_ids=segments,
        findings=tuple(sorted([*analyst.findings, *analyst.open], key=lambda f: (f.first, f.label))),
        measurements=analyst.measurements(),
        narrative=_narrative(TEMPLATE, answers.answer(PLAN, [evidence]), evidence),
        abstentions=tuple(say(claim) for claim in said if claim.kind in ABSTAINED),
        model=MODEL,
    )


def written_by(report: Report, sentences: Sequence[str], evidence: Evidence, model: str) -> Report:
    """The report in a model's sentences, which were checked."""
    return replace(report, narrative=_narrative(BY_A_MODEL, sentences, evidence), model=model)


def left_to_the_template(report: Report, why: str, evidence: Evidence) -> Report:
    """The template's report with the reason why no model wrote it."""
    said = answers.answer(PLAN, [evidence])
    return replace(report, narrative=_narrative(f"{TEMPLATE}: {why}", said, evidence))


def _narrative(head: str, sentences: Sequence[str], evidence: Evidence) -> str:
    lost = evidence.value("NOT_ANALYSED")
    caution = [NOT_NORMAL.format(lost)] if lost else []
    return "\n".join([f"{head}. {REVIEW}", *sentences, *caution, FOOT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A narrative taken apart: a person edits its sentences, and not what they stand in."""

    origin: str  # who wrote it
    sentences: tuple[str, ...]
    kept: tuple[str, ...]  # what was not analysed, and what the report is not

    def text(self, sentences: Sequence[str] | None = None) -> str:
        """Whole, with these sentences or its own."""
        return "\n".join([self.origin, *(self.sentences if sentences is None else sentences), *self.kept])


def framed(narrative: str) -> Frame:
    """Without the words that nobody has reviewed it: whoever shows it says how that is."""
    origin, *rest = narrative.split("\n")
    kept = tuple(line for line in rest if line == FOOT or line.startswith(NOT_NORMAL.partition("{")[0]))
    return Frame(
        origin=origin.removesuffix(REVIEW).rstrip(),
        sentences=tuple(line for line in rest if line not in kept),
        kept=kept,
    )
