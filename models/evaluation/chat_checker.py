"""The checker itself: sentences that hold, and the same with one thing changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random

from models.anyecg.chat.answers import answer
from models.anyecg.chat.names import MEASURED, NAMES
from models.anyecg.chat.plans import SUBJECTS, Plan
from models.anyecg.chat.wording import REPORT, read, say
from models.anyecg.evidence import Evidence
from models.anyecg.grounding import check
from models.evaluation.judged import Figures, ratio
from models.recordings import LEADS

EACH = 70  # sentences changed in each way: 350 in all
ROUNDS = 20  # through all plans, at most, until there are as many
_CITED = re.compile(r"(\[\w+\])")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d+)?")
_TIME = re.compile(r"\d+\.\d(?=-\d|s-|s,|s$|(?:-\d+\.\d)? s)")
_LEAD = re.compile(r"(?<=: |, )(?:" + "|".join(sorted(LEADS, key=len, reverse=True)) + r")(?=[,.])")
Told = tuple[Plan, Evidence, str]
Change = Callable[[str, Random], str | None]


def checker_figures(ecgs: Sequence[Evidence], seed: int, each: int = EACH) -> Figures:
    """Shares rejected, of the sentences changed in each way and of the unchanged ones."""
    rng = Random(seed)
    told = list(_told(ecgs, rng))
    for _ in range(ROUNDS):
        told += [] if _enough(told, each) else _told(ecgs, rng)
    rng.shuffle(told)
    kept = [check(sentence, plan, [ecg]).supported for plan, ecg, sentence in told]
    tried = {what: list(_changed(told, change, rng, each)) for what, change in CHANGES.items()}
    passed = [(what, row) for what, rows in tried.items() for row in rows if not _rejected(row)]
    changed = sum(map(len, tried.values()))
    return {
        "changed": {"sentences": changed, "rejected": ratio(changed - len(passed), changed)},
        "unchanged": {"sentences": len(kept), "rejected": ratio(kept.count(False), len(kept))},
        "by_change": {what: _share(rows) for what, rows in tried.items()},
        "passed": [f"{what}: {sentence}" for what, (_, _, sentence) in passed],
    }


def _enough(told: Sequence[Told], each: int) -> bool:
    """Leads are named least often, in some databases never."""
    return sum(plan.task == "about" and _LEAD.search(said) is not None for plan, _, said in told) >= each


def _told(ecgs: Sequence[Evidence], rng: Random) -> Iterator[Told]:
    """Every sentence of every plan for each ECG, in any wording."""
    for ecg in ecgs:
        for task, subjects in SUBJECTS.items():
            plan = Plan(task, rng.choice(subjects) if subjects else None)
            yield from ((plan, ecg, sentence) for sentence in answer(plan, [ecg], rng))


def _changed(told: Sequence[Told], change: Change, rng: Random, each: int) -> Iterator[Told]:
    found = 0
    for plan, ecg, sentence in told:
        other = change(sentence, rng) if found < each else None
        if other is not None and other != sentence:
            found += 1
            yield plan, ecg, other


def _rejected(row: Told) -> bool:
    plan, ecg, sentence = row
    return not check(sentence, plan, [ecg]).supported


def _share(rows: Sequence[Told]) -> Figures:
    return {"sentences": len(rows), "rejected": ratio(sum(map(_rejected, rows)), len(rows))}


def _swapped(pattern: re.Pattern[str], other: Callable[[str, Random], str]) -> Change:
    """One of the matches outside of citations changed."""

    def change(sentence: str, rng: Random) -> str | None:
        cited = [match.span() for match in _CITED.finditer(sentence)]
        free = [m for m in pattern.finditer(sentence) if not any(a <= m.start() < b for a, b in cited)]
        if not free:
            return None
        match = rng.choice(free)
        return sentence[: match.start()] + other(match[0], rng) + sentence[match.end() :]

    return change


def _number(text: str, rng: Random) -> str:
    digits = len(text.partition(".")[2])
    step: float = rng.choice((1, 1, 3, 10)) * 10.0**-digits
    was = float(text)
    return f"{was - step if was > step and rng.random() < 0.5 else was + step:.{digits}f}"


def _other_number(sentence: str, rng: Random) -> str | None:
    """A number that is no time."""
    return _swapped(_NUMBER, _number)(sentence, rng) if not _TIME.search(sentence) else None


def _other_lead(text: str, rng: Random) -> str:
    return rng.choice([lead for lead in LEADS if lead != text])


_FORMS: Sequence[Mapping[str, str]] = (
    {label: name.plain for label, name in NAMES.items()},
    {label: name.one for label, name in NAMES.items()},
    {label: name.many for label, name in NAMES.items()},
    MEASURED,
)
_NAMED = re.compile(
    "|".join(re.escape(t) for t in sorted({t for f in _FORMS for t in f.values()}, key=len, reverse=True)),
    re.I,
)


def _other_label(text: str, rng: Random) -> str:
    """Another name in the same form."""
    form = next(form for form in _FORMS if text.lower() in {name.lower() for name in form.values()})
    other = rng.choice([name for name in form.values() if name.lower() != text.lower()])
    return other[:1].upper() + other[1:] if text[:1].isupper() else other


def _other_sense(sentence: str, rng: Random) -> str | None:
    """What was found is denied; what was denied, or stands in any other sentence, is negated by a word."""
    claims = read(sentence) or ()
    found = [c for c in claims if c.label in NAMES and c.numbers and not c.denied and c.cites]
    if len(claims) == 1 and found and rng.random() < 0.5:
        return say(replace(found[0], kind="absent", numbers=(60.0,), times=(), leads=(), dates=()))
    bare = sentence.removeprefix(REPORT)
    for pattern, other in _NEGATIONS:
        if pattern.search(bare):
            turned = pattern.sub(other, bare, count=1)
            return turned[:1].upper() + turned[1:]
    return None


_NEGATIONS = (
    (re.compile(r"\bno ", re.I), ""),
    (re.compile(r"\bYes\b"), "No"),
    (re.compile(r"\bnot "), ""),
    (re.compile(r"\birregular"), "regular"),
    (re.compile(r"\bregular"), "irregular"),
    (re.compile(r"\b(is|are|was|were|could) "), r"\1 not "),
    (re.compile(r"\d+ (?=[a-z])"), "no "),
)
CHANGES: Mapping[str, Change] = {
    "number": _other_number,
    "label": _swapped(_NAMED, _other_label),
    "time": _swapped(_TIME, _number),
    "lead": _swapped(_LEAD, _other_lead),
    "negation": _other_sense,
}
