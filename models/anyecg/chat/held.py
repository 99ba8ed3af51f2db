"""Which sentence may come next in an answer: the next one that the evidence holds, in any of its wordings.

A model under this rule has understood what is asked for, chooses the wording and where to end. It cannot
write a number, a label or a time that was not measured; what it leaves out `grounding` adds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.anyecg.chat.answers import answer, claims, possibly_seen
from models.anyecg.chat.comparison import Sentence
from models.anyecg.chat.plans import Plan, parse
from models.anyecg.chat.runtime import DONE, Rule
from models.anyecg.chat.wording import REPORT, Claim, pattern, read
from models.anyecg.evidence import Evidence


def allowed(lines: Sequence[str], ecgs: Sequence[Evidence]) -> Rule:
    """After the plan's line and the sentences so far. Intervals are given word for word."""
    plan = parse(lines[0]) if lines else None
    if plan is None:
        return None if not lines else DONE
    if plan.task == "locate":
        said = answer(plan, ecgs)
        return said[len(lines) - 1] if len(lines) <= len(said) else DONE
    told = _told(lines[1:])
    left = [said for said in claims(plan, ecgs) if not told.issuperset(said)]
    return _one_of(plan, lines, left[:1])


def allowed_unseen(lines: Sequence[str], letters: Sequence[str]) -> Rule:
    """The same without evidence: what the ECG tokens alone may tell, of one ECG nothing that contradicts."""
    plan = parse(lines[0]) if lines else None
    if plan is None:
        return None if not lines else DONE
    told = _told(lines[1:])
    ruled = {claim.ecgs for claim in told if claim.kind != "seen"}
    seen = {claim.ecgs for claim in told if claim.kind == "seen"}
    left = [
        claim
        for claim in possibly_seen(plan, letters)
        if claim not in told and claim.ecgs not in ruled and (claim.kind == "seen" or claim.ecgs not in seen)
    ]
    return _one_of(plan, lines, [(claim,) for claim in left])


def _told(sentences: Sequence[str]) -> set[Claim]:
    return {claim for sentence in sentences for claim in read(sentence) or ()}


def _one_of(plan: Plan, lines: Sequence[str], left: Sequence[Sentence]) -> Rule:
    if not left:
        return DONE
    front = REPORT if plan.task == "report" and len(lines) == 1 else ""
    return re.compile(front + "(?:" + "|".join(pattern(*said) for said in left) + ")")
