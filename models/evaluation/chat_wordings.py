"""The same question in ten wordings, half of them never learned; questions about something else; and what
very many questions in wordings never learned are understood as."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from random import Random

from models.anyecg.chat.answers import answer
from models.anyecg.chat.asked.grammar import Part
from models.anyecg.chat.corpus import Corpus
from models.anyecg.chat.plans import SUBJECTS, Plan, parse
from models.anyecg.chat.questions import ask, off_topic
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat, State, UnfinishedError
from models.anyecg.chat.wording import facts
from models.evaluation.chat_runs import Run, Runs, Said
from models.evaluation.judged import Figures, ratio

EACH = 5  # wordings of templates that were learned, and as many that were not
OFF_TOPIC = 100
TRIES = 40  # to find another wording
CONVERSATIONS = 60  # of eight questions each, a fifth of them off topic
ECGS = 5  # that the off-topic questions are asked about in turn
PARTS: tuple[Part, ...] = ("train", "test")
APART = frozenset({"decline", "compare"})


def paraphrase_figures(runs: Runs, readings: Sequence[Reading], size: int, seed: int) -> Figures:
    """`agree`: share of the ten that give the commonest answer; `plan`, `answer`: share that is as meant."""
    groups = list(_groups(runs, readings, size, seed))
    said = [(plan, reading, part, one) for plan, reading, some in groups for part, one in some]
    right = [facts(one.sentences) == facts(answer(plan, [r.evidence])) for plan, r, _, one in said]
    return {
        "agree": ratio(sum(_commonest(some) for *_, some in groups), len(said)),
        "plan": ratio(sum(one.plan == plan for plan, _, _, one in said), len(said)),
        "answer": ratio(sum(right), len(said)),
        **{f"plan_{part}": _share(said, part, meant=True) for part in PARTS},
        **{f"declined_{part}": _share(said, part, meant=False) for part in PARTS},
        "questions": len(groups),
        "wordings": len(said),
    }


def off_topic_figures(runs: Runs, readings: Sequence[Reading], seed: int, count: int = OFF_TOPIC) -> Figures:
    """What is no matter of the ECG, in wordings that were never learned; `subject`: for the right reason."""
    rng = Random(seed)
    rooms = [runs.room(Run.SERVED, [reading]) for reading in readings[:ECGS]]
    asked = [off_topic(rng, "test") for _ in range(count)]
    said = [rooms[i % len(rooms)].ask(question) for i, (question, _) in enumerate(asked)]
    declined = [one.plan.task == "decline" for one in said]
    missed = [question for (question, _), ok in zip(asked, declined, strict=True) if not ok]
    return {
        "declined": ratio(sum(declined), count),
        "subject": ratio(sum(one.plan == plan for one, (_, plan) in zip(said, asked, strict=True)), count),
        "questions": count,
        "missed": missed,
    }


def understood_figures(chat: Chat, readings: Sequence[Reading], seed: int) -> Figures | None:
    """The plans alone, of one ECG to six that go by letters and dates: cheap, so many can be asked.

    None of a model that has not learned what questions mean of ECGs that are not shown.
    """
    if not chat.apart:
        return None
    said = []
    for talk in Corpus(readings, held_out=None, part="test").draw(0, CONVERSATIONS, seed):
        state = chat.prompt(talk.ecgs, talk.evidence)
        said += [(parse(plan), _understood(chat, state, asked)) for asked, plan in talk.turns]
    known = [(plan, mine) for plan, mine in said if plan and plan.task != "decline"]
    others = [mine for plan, mine in said if plan and plan.task == "decline"]
    right = sum(mine == plan for plan, mine in known)
    declined = sum(_declined(mine) for _, mine in known)
    return {
        "right": ratio(right, len(known)),
        "declined": ratio(declined, len(known)),
        "another": ratio(len(known) - right - declined, len(known)),
        "questions": len(known),
        "off_topic_declined": ratio(sum(map(_declined, others)), len(others)),
        "off_topic": len(others),
    }


def _understood(chat: Chat, state: State, question: str) -> Plan | None:
    """None: it came to no plan."""
    try:
        return parse(next(chat.ask(state, question), ""))
    except UnfinishedError:
        return None


def _declined(plan: Plan | None) -> bool:
    return plan is None or plan.task == "decline"


def meant(reading: Reading, count: int, seed: int) -> list[Plan]:
    """Plans that one ECG can answer: what was found in it as often as what was not."""
    held = {fact.label for fact in reading.evidence.findings}
    rng = Random(f"{seed} {reading.record} {reading.start}")
    tasks = [task for task in SUBJECTS if task not in APART]
    out = []
    for task in rng.sample(tasks, min(count, len(tasks))):
        found = [subject for subject in SUBJECTS[task] if subject in held]
        subjects = found if found and rng.random() < 0.5 else SUBJECTS[task]
        out.append(Plan(task, rng.choice(subjects) if subjects else None))
    return out


def wordings(plan: Plan, seed: str) -> Iterator[tuple[Part, str]]:
    """(part, question): up to EACH different ones of either part."""
    for part in PARTS:
        rng = Random(f"{seed} {plan} {part}")
        drawn = (ask(plan, rng, part) for _ in range(TRIES))
        yield from ((part, question) for question in list(dict.fromkeys(drawn))[:EACH])


def _groups(
    runs: Runs, readings: Sequence[Reading], size: int, seed: int
) -> Iterator[tuple[Plan, Reading, list[tuple[str, Said]]]]:
    for i in range(size):
        reading = readings[i % len(readings)]
        plans = meant(reading, 1 + i // len(readings), seed)
        room = runs.room(Run.SERVED, [reading])
        asked = wordings(plans[-1], f"{seed} {i}")
        yield plans[-1], reading, [(part, room.ask(question)) for part, question in asked]


def _commonest(some: Sequence[tuple[str, Said]]) -> int:
    """How many give it; to be understood by none is no agreement."""
    understood = [one for _, one in some if one.plan.task != "decline"]
    answers = Counter((str(one.plan), frozenset(facts(one.sentences))) for one in understood)
    return max(answers.values(), default=0)


def _share(said: Sequence[tuple[Plan, Reading, str, Said]], part: str, *, meant: bool) -> float | None:
    """Of the wordings of a part: understood as meant, or declined."""
    some = [(plan, one.plan) for plan, _, of, one in said if of == part]
    hits = [mine == plan if meant else mine.task == "decline" for plan, mine in some]
    return ratio(sum(hits), len(some))
