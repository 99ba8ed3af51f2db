"""Every sentence of an answer is held to the evidence: what does not hold is replaced, what lacks is added.

A sentence is split into claims. A claim holds where it is, number for number, one that the evidence gives for
the plan: same kind, label, ECG, rounded numbers, times, leads, and the very facts cited. A sentence that
cannot be read, or that answers something else, is unsupported. Standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from models.anyecg.chat.answers import claims as claims_of
from models.anyecg.chat.comparison import Sentence
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.wording import REPORT, Claim, read, say
from models.anyecg.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Checked:
    """`claims` were read (0: none could be); `why` is the first reason against it."""

    supported: bool
    claims: int
    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounded:
    """An answer that holds: what the template says, each in the model's wording where that held."""

    sentences: tuple[str, ...]
    checked: tuple[Checked, ...]  # of each sentence the model wrote
    replaced: int  # sentences that did not hold
    added: int  # sentences it left out


def check(sentence: str, plan: Plan, ecgs: Sequence[Evidence]) -> Checked:
    """Whether a sentence holds for these ECGs and belongs to the plan."""
    return _checked(sentence, plan, [claim for said in claims_of(plan, ecgs) for claim in said])


def ground(sentences: Sequence[str], plan: Plan, ecgs: Sequence[Evidence]) -> Grounded:
    """The answer as it may be served: complete, without repetition, in the template's order.

    `Report: ` is put in front of a report's first sentence wherever the model had it.
    """
    template = claims_of(plan, ecgs)
    place = {claim: index for index, said in enumerate(template) for claim in said}
    checked = tuple(_checked(sentence, plan, place) for sentence in sentences)
    rows: list[tuple[int, str]] = []
    lacking = dict(place)
    for sentence, result in zip(sentences, checked, strict=True):
        said = read(sentence) or ()
        if result.supported and any(claim in lacking for claim in said):
            rows.append((min(place[claim] for claim in said), sentence.removeprefix(REPORT)))
            lacking = {claim: index for claim, index in lacking.items() if claim not in said}
    made = _sentences_of(lacking, template)
    rows += made
    texts = [text for _, text in sorted(rows, key=lambda row: row[0])]
    replaced = sum(not result.supported for result in checked)
    return Grounded(
        sentences=(REPORT + texts[0], *texts[1:]) if plan.task == "report" else tuple(texts),
        checked=checked,
        replaced=replaced,
        added=max(0, len(made) - replaced),
    )


def _sentences_of(lacking: Iterable[Claim], template: Sequence[Sentence]) -> list[tuple[int, str]]:
    """The template's sentences, or the parts of them, that hold what lacks; each with its place."""
    wanted = set(lacking)
    parts = [tuple(claim for claim in said if claim in wanted) for said in template]
    return [(index, say(*part)) for index, part in enumerate(parts) if part]


def _checked(sentence: str, plan: Plan, holding: Iterable[Claim]) -> Checked:
    said = read(sentence)
    if said is None:
        return Checked(supported=False, claims=0, why="no claim can be read from it")
    if sentence.startswith(REPORT) and plan.task != "report":
        return Checked(supported=False, claims=len(said), why=f"a report does not answer '{plan}'")
    truths = list(holding)
    wrong = next((claim for claim in said if claim not in truths), None)
    why = None if wrong is None else _against(wrong, plan, truths)
    return Checked(supported=wrong is None, claims=len(said), why=why)


def _against(claim: Claim, plan: Plan, truths: Sequence[Claim]) -> str:
    """What of a claim does not hold, by the truth nearest to it."""
    same = [truth for truth in truths if truth.kind == claim.kind]
    if not same:
        return f"nothing in the evidence says '{claim.kind}' in answer to '{plan}'"
    nearest = min((_differing(claim, truth) for truth in same), key=len)
    return f"'{claim.kind}' does not hold by its {', '.join(nearest)}"


def _differing(claim: Claim, truth: Claim) -> list[str]:
    return [f.name for f in fields(Claim) if getattr(claim, f.name) != getattr(truth, f.name)]
