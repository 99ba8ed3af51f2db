"""Questions in very many wordings: what the language model learns to understand, and what it is tested on.

A question is made of parts that can be exchanged (`asked/`): a template of the task in one of five forms, a
name of the subject, the ECG that is meant, an opening, an ending. The two parts share no template.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from random import Random
from typing import Any

from models.anyecg.chat.asked.grammar import Part, choose, fill, lines, slots_of, table
from models.anyecg.chat.asked.manner import finished, framed, punctuated, refilled
from models.anyecg.chat.asked.places import Places
from models.anyecg.chat.asked.subjects import named, quantity, slots
from models.anyecg.chat.asked.words import arithmetic, everyday, made_up, noise
from models.anyecg.chat.plans import ECTOPIC, FOUND, QTC, ST, SUBJECTS, Plan

_FORMS = {"ask": 0.44, "clause": 0.18, "tell": 0.16, "noun": 0.08, "note": 0.14}
_SPECIAL = 0.4  # of the questions for a quantity that has wordings of its own
_PLACED, _EACH, _BARE = 0.25, 0.5, 0.3  # of the questions: one ECG named, each of several, no "between"
_WHOLE = frozenset(
    {"limits", "about", "report", "compare"}
)  # tasks that name the ECG themselves or not at all
_BEYOND = 0.25  # of the questions about limits: about what no one here assesses
_DECLINED = {"treatment": 0.16, "prognosis": 0.14, "other": 0.46, "unclear": 0.24}
_NEAR = 0.5  # of the questions about other things: asked as one asks about an ECG
_NEAR_WHOLE = 0.4  # of those that are learned: about all of the thing, not about a part of it
_NEAR_TASKS = ("report", "findings", "rhythm", "regular", "quality", "about", "measure")
_MADE_UP = 0.3  # of those, about a thing that does not exist
_FOUND_TASKS = ("present", "locate", "count", "burden", "when", "sure")
_COMPARED = ("V", "S", ECTOPIC)
Template = tuple[str, str]  # form, text


def ask(
    plan: Plan,
    rng: Random,
    part: Part = "train",
    letters: Sequence[str] = ("a",),
    dates: Sequence[str] = (),
) -> str:
    """A question whose plan is `plan`, in a wording of `part`.

    `letters` are those of the ECGs given, in order; `dates` theirs (YYYY-MM-DD), where a question may go by
    them. ValueError where `plan.ecg` is none of the letters.
    """
    if plan.ecg is not None and plan.ecg not in letters:
        raise ValueError(f"'{plan}' asks about an ECG that is not given; given are {', '.join(letters)}.")
    if plan.task == "decline":
        return _declined(rng, plan.subject or "unclear", part)
    places = Places(rng, letters, dates, plan.ecg)
    form, template, filled = _drawn(rng, plan, part)
    return _put(rng, form, template, filled, places, plan.task, part)


def off_topic(rng: Random, part: Part = "train") -> tuple[str, Plan]:
    """A question that is to be declined, and its plan."""
    subject = rng.choices(list(_DECLINED), list(_DECLINED.values()))[0]
    return _declined(rng, subject, part), Plan("decline", subject)


@cache
def templates(plan: Plan, part: Part) -> tuple[Template, ...]:
    """All templates of a plan in a part, (form, text): choices not made, slots not filled."""
    if plan.task == "decline":
        return tuple(("line", line) for line in lines(table("declined")[plan.subject or ""][part]["lines"]))
    missing = _missing(plan)
    return tuple(
        row for block in _blocks(plan, part) for row in _rows(block) if slots_of(row[1]).isdisjoint(missing)
    )


def _missing(plan: Plan) -> frozenset[str]:
    """The slots that the subject of a plan cannot fill."""
    row = table("names").get(plan.subject or "", {}) if plan.task in _FOUND_TASKS else {}
    missing = set() if "acts" in row else {"act", "acts", "acting"}
    return frozenset(missing if row.get("kind") == "rhythm" else {*missing, "state"})


def _blocks(plan: Plan, part: Part) -> tuple[Mapping[str, str], ...]:
    """The blocks of templates that can ask for a plan: the subject's own last."""
    if plan.task in _FOUND_TASKS:
        return _with_own(table("found")[plan.task], plan, part)
    if plan.task == "measure":
        return _with_own(table("measured")["measure"], plan, part)
    if plan.task == "compare":
        return (table("measured")["compare"][_compared(plan)][part],)
    return (table("whole")[plan.task][part],)


def _with_own(task: Mapping[str, Any], plan: Plan, part: Part) -> tuple[Mapping[str, str], ...]:
    own = task.get(plan.subject or "", {}).get(part)
    return (task[part], own) if own else (task[part],)


def _compared(plan: Plan) -> str:
    if plan.subject in _COMPARED:
        return "beats"
    return plan.subject if plan.subject in ("ALL", "RHYTHM") else "quantity"


def _rows(block: Mapping[str, str]) -> Iterator[Template]:
    return ((form, line) for form in _FORMS if form in block for line in lines(block[form]))


def _drawn(rng: Random, plan: Plan, part: Part) -> tuple[str, str, dict[str, str]]:
    """Form, template and what fills the slots of the subject."""
    if plan.task == "limits" and rng.random() < _BEYOND:
        beyond = Plan("present", "BEYOND")
        return *_template(rng, beyond, part), slots(rng, "BEYOND", part)
    form, template = _template(rng, plan, part)
    subject = plan.subject or ""
    if subject in (*FOUND, ECTOPIC, ST, QTC) and plan.task != "measure":
        return form, template, slots(rng, subject, part)
    return form, template, quantity(rng, subject, part) if subject in table("quantities") else {}


def _template(rng: Random, plan: Plan, part: Part) -> Template:
    special = plan.task == "measure" and rng.random() < _SPECIAL
    forms = _by_form(plan, part, special)
    form = rng.choices(list(forms), [_FORMS[form] for form in forms])[0]
    return form, choose(rng, rng.choice(forms[form]))


@cache
def _by_form(plan: Plan, part: Part, special: bool) -> Mapping[str, tuple[str, ...]]:
    """The templates by form; the special ones are those that do not name the quantity."""
    rows = templates(plan, part)
    if special:
        rows = tuple(row for row in rows if "q" not in slots_of(row[1])) or rows
    found = {form: tuple(text for at, text in rows if at == form) for form in _FORMS}
    return {form: texts for form, texts in found.items() if texts}


def _put(
    rng: Random, form: str, template: str, filled: Mapping[str, str], places: Places, task: str, part: Part
) -> str:
    """A template as a question: filled in, placed, framed, finished."""
    if form != "note" and rng.random() < _BARE:
        template = template.replace(" {between}", "")
    wanted = slots_of(template)
    named_already = not wanted.isdisjoint({"this", "here", "between"})
    text = fill(template, {**places.slots(wanted), **filled})
    whole = "? " in text or ". " in text
    if not named_already and not whole:
        text = _placed(rng, text, places, task)
    elif not named_already and places.ecg:
        text = places.around(text, "before")
    text = text if whole else framed(rng, form, text, part)
    return finished(rng, punctuated(rng, form, text), task, part)


def _placed(rng: Random, text: str, places: Places, task: str) -> str:
    if places.ecg:
        return places.around(text, "after")
    if task in _WHOLE or rng.random() >= (_EACH if places.several else _PLACED):
        return text
    return f"{text} {places.here()}"


def _declined(rng: Random, subject: str, part: Part) -> str:
    if subject == "other" and rng.random() < _NEAR:
        return _near_miss(rng, part)
    template = choose(rng, rng.choice(templates(Plan("decline", subject), part))[1])
    text = refilled(rng, template, part, _fillers(rng, part))
    form = "ask" if len(text.split()) > 2 else "note"
    return finished(rng, punctuated(rng, form, text), "decline", part) if text.strip() else text


def _near_miss(rng: Random, part: Part) -> str:
    """Asked as one asks about an ECG, about something else: `how many eggs are premature`."""
    if part == "train" and rng.random() < _NEAR_WHOLE:
        return _near_miss_of_whole(rng)
    plan = Plan(rng.choice(_FOUND_TASKS), "BEYOND")
    form, template = _template(rng, plan, part)
    noun = _no_ecg(rng, part)
    filled = named(rng, f"{noun}{rng.choice(('*', '*', ''))}")
    return _put(rng, form, template, filled, Places(rng, ("a",), (), None), "decline", part)


def _near_miss_of_whole(rng: Random) -> str:
    """`which leads does this cheese have`; a wording that does not name the thing is drawn again."""
    thing = _no_ecg(rng, "train")
    while True:
        task = rng.choice(_NEAR_TASKS)
        plan = Plan(task, rng.choice(SUBJECTS[task]) if SUBJECTS[task] else None)
        form, template, filled = _drawn(rng, plan, "train")
        places = Places(rng, ("a",), (), None, thing)
        text = _put(rng, form, template, filled, places, "decline", "train")
        if thing in text.lower():
            return text


def _no_ecg(rng: Random, part: Part) -> str:
    return made_up(rng) if rng.random() < _MADE_UP else everyday(rng, part)


def _fillers(rng: Random, part: Part) -> Mapping[str, str]:
    """What stands in declined questions: drugs, what they are for, sums and noise."""
    fills: Mapping[str, Any] = table("declined")["fill"]
    drugs = lines(fills["drug"]) + (lines(fills["unseen_drug"]) if part == "test" else ())
    return {
        "drug": choose(rng, rng.choice(drugs)),
        "subject": slots(rng, rng.choice((*FOUND, ECTOPIC)), part)["any"],
        "ecg": "ECG",
        "noise": noise(rng),
        "sum": arithmetic(rng),
        "lp": "(",
        "rp": ")",
    }
