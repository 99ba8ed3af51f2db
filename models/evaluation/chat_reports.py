"""Reports of one run: against what experts said, beside the template's, and against the evidence given."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from models.anyecg.chat.answers import answer
from models.anyecg.chat.answers import claims as claims_of
from models.anyecg.chat.names import ASSESSED
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.wording import read
from models.anyecg.evidence import Evidence
from models.evaluation.chat_facts import Facts, answered, constant, fact_figures, said, same
from models.evaluation.chat_sample import truth_of
from models.evaluation.chat_strips import REPORT, SEEN, Row, facts_seen, truth_to_see
from models.evaluation.judged import Figures, ratio


def report_figures(rows: Sequence[Row]) -> Figures:
    """Facts against the annotations; `abstained`: the share that states none of them."""
    reports = [row.answers.report for row in rows]
    shown = [said(report.sentences) for report in reports]
    true = [truth_of(row.reading) for row in rows]
    spent = [report.seconds for report in reports]
    return {
        "facts": fact_figures(list(zip(shown, true, strict=True))),
        "abstained": ratio(sum(facts == Facts() for facts in shown), len(rows)),
        "understood": ratio(sum(report.plan == REPORT for report in reports), len(rows)),
        "unfinished": sum(not report.finished for report in reports),
        "seconds": {f"p{q}": round(float(np.percentile(spent, q)), 3) for q in (50, 95)} if spent else {},
    }


def evidence_figures(rows: Sequence[Row]) -> Figures:
    """Reports against the evidence they were made from, `written` before the check and `served` after it.

    `template`: what a template says of that evidence, against the annotations.
    """
    reports = [row.answers.report for row in rows]
    written = sum(len(report.written) for report in reports)
    shown = sum(len(report.sentences) for report in reports)
    return {
        "template": fact_figures([(_template(row), truth_of(row.reading)) for row in rows]),
        "written": _held([(row, row.answers.report.written) for row in rows]),
        "served": _held([(row, row.answers.report.sentences) for row in rows]),
        "sentences": written,
        "replaced": ratio(sum(report.replaced for report in reports), written),
        "added": ratio(sum(report.added for report in reports), shown),
    }


def seen_figures(rows: Sequence[Row]) -> Figures:
    """What the eyes alone say, asked for rhythm and for each kind of ectopic beat; `evidence`: how often they
    say that something is there, where the evidence has it and where it has not, of what was understood."""
    facts = fact_figures([(facts_seen(row.answers), truth_to_see(row.reading)) for row in rows])
    return facts | {"evidence": {label: _seen_and_held(rows, label) for label in SEEN}}


def _seen_and_held(rows: Sequence[Row], label: str) -> Figures:
    found: Figures = {"held": 0, "held_seen": 0, "absent": 0, "absent_seen": 0}
    for row in rows:
        mine = row.answers.seen[label]
        if mine.plan == SEEN[label]:
            held = any(fact.label == label for fact in row.answers.ecg.findings)
            where = "held" if held else "absent"
            found[where] += 1
            found[f"{where}_seen"] += answered(mine.sentences, label) is True
    return found


def blind_facts(readings: Sequence[Reading]) -> Figures:
    """The most frequent answers: of a report, and to what the eyes alone are asked."""
    true, seen = [truth_of(r) for r in readings], [truth_to_see(r) for r in readings]
    return {
        "facts": fact_figures([(constant(true), facts) for facts in true]),
        "seen": fact_figures([(constant(seen), facts) for facts in seen]),
    }


def _template(row: Row) -> Facts:
    return said(answer(REPORT, [row.answers.ecg]))


def _held(rows: Sequence[tuple[Row, Sequence[str]]]) -> Figures:
    """Claims are compared with all that they cite, facts by value alone; the last two are counts."""
    told = kept = wanted = complete = omitted = strange = 0
    pairs: list[tuple[Facts, Facts]] = []
    for row, sentences in rows:
        ecg = row.answers.ecg
        truths = {claim for sentence in claims_of(REPORT, [ecg]) for claim in sentence}
        claims = [claim for sentence in sentences for claim in read(sentence) or ()]
        right = [claim for claim in claims if claim in truths]
        told, kept = told + len(claims), kept + len(right)
        wanted, complete = wanted + len(truths), complete + len(set(right))
        omitted += len(_findings(ecg) - {cite for claim in right for cite in claim.cites})
        strange += _strange_numbers(sentences, answer(row.answers.report.plan, [ecg]))
        pairs.append((said(sentences), _template(row)))
    return {
        "facts": fact_figures(pairs, same),
        "claims": told,
        "claims_supported": ratio(kept, told),
        "claims_complete": ratio(complete, wanted),
        "omitted_findings": omitted,
        "unsupported_numbers": strange,
    }


def _findings(ecg: Evidence) -> set[str]:
    """Ids of all that a report must name: what was found, and what could not be analysed."""
    dark = ecg.fact("NOT_ANALYSED")
    missed = {dark.id} if dark is not None and round(dark.value or 0.0, 1) > 0 else set()
    return missed | {fact.id for fact in ecg.findings if fact.label in ASSESSED and fact.spans}


def _strange_numbers(sentences: Sequence[str], made: Sequence[str]) -> int:
    """Numbers, read without any grammar, that nothing in the template's answer holds."""
    known = set(_numbers(made))
    return sum(number not in known for number in _numbers(sentences))


def _numbers(sentences: Sequence[str]) -> list[float]:
    bare = re.sub(r"\[\w+\]", "", " ".join(sentences))
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", bare)]
