"""Localization: a class is named, the answer is where it is, or that it is not there.

Positives are of two kinds: `early` after the paper's protocol (the first event begins within 2 s of the
strip's start, two in three strips last 10 s) and `anywhere` (the event lies anywhere, 10 s to 5 min).
Negatives are `absent` from the whole recording, `elsewhere` in it, or beside `another` ectopic class.
Open detection asks what there is, and where.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random

from models.dataset.anyecg.classes import Findable, assessed, events, found, plural
from models.dataset.anyecg.intervals import Span, format_answer
from models.dataset.anyecg.rows import Row, one_ecg, row
from models.dataset.anyecg.timeline import Strip, Timeline, anywhere, cut, some_leads, some_seconds
from models.dataset.anyecg.wordings import (
    DETECT_ALL,
    DETECT_PREMATURE,
    DETECT_RHYTHM,
    LOCATE,
    NO_PREMATURE,
    NONE_OF_THESE,
    NOTHING_FOUND,
    say,
)

EARLY, ANYWHERE, ELSEWHERE, ANOTHER, ABSENT = 24, 24, 14, 10, 6  # rows a recording and class
OPEN, QUIET = 60, 8  # rows a recording, and one in which nothing happens
EARLY_S = 2.0
LONGEST_S = 300.0
_TRIES = 6  # strips looked at for each row wanted
_ECTOPIC = ("V", "S", "F", "E")
_SCOPES = {"mitdb": DETECT_ALL, "svdb": DETECT_PREMATURE, "qtdb": DETECT_PREMATURE}

Cut = Callable[[Random], Strip | None]


def localization(timeline: Timeline, seed: int) -> Iterator[Row]:
    """Rows of every class that the recording's database annotates."""
    for item in assessed(timeline.source):
        rng = Random(f"{seed}/{timeline.record}/localization/{item.label}")
        happened = events(item, timeline)
        if not happened:
            yield from _rows(item, "absent", _any(timeline), _room(ABSENT, timeline), rng, wanted=False)
            continue
        most = _most(timeline, happened)
        for kind, limit, cutter, wanted in (
            ("early", EARLY, _early(timeline, happened), True),
            ("anywhere", ANYWHERE, _around(timeline, happened), True),
            ("elsewhere", ELSEWHERE, _after(timeline, happened), False),
            ("another", ANOTHER, _beside(item, timeline), False),
        ):
            yield from _rows(item, kind, cutter, min(limit, most), rng, wanted=wanted)


def open_detection(timeline: Timeline, seed: int) -> Iterator[Row]:
    """What is abnormal, and where; for databases without rhythm or beats, within what they annotate."""
    rng = Random(f"{seed}/{timeline.record}/open")
    wordings = _SCOPES.get(timeline.source, DETECT_RHYTHM)
    items = [i for i in assessed(timeline.source) if i.label != "PAUSE" or wordings is DETECT_ALL]
    if len(items) < 2:
        return  # one class is localization
    cutters = [_around(timeline, happened) for item in items if (happened := events(item, timeline))]
    for _ in range(_room(OPEN if cutters else QUIET, timeline)):
        cutter = rng.choice(cutters) if cutters and rng.random() < 0.7 else _any(timeline)
        strip = cutter(rng)
        if strip is None or (answers := _every(items, strip)) is None:
            continue
        question = say(rng, wordings, names=_listed(items))
        yield row(
            "open_detection",
            "what and where",
            None,
            [strip.reference()],
            one_ecg(question, rng),
            _findings(answers, wordings),
            {"found": [item.label for item, _ in answers], "assessed": [item.label for item in items]},
        )


def _every(items: Sequence[Findable], strip: Strip) -> list[tuple[Findable, tuple[Span, ...]]] | None:
    """The classes that are there, or None where one of them cannot be settled."""
    answers = []
    for item in items:
        spans = found(item, strip)
        if spans is None:
            return None
        if spans:
            answers.append((item, spans))
    return answers


def _findings(answers: list[tuple[Findable, tuple[Span, ...]]], wordings: tuple[str, ...]) -> str:
    """`Premature ventricular contraction: 1.9s-3.1s; ...`, a class a line."""
    if not answers:
        return {DETECT_PREMATURE: NO_PREMATURE, DETECT_RHYTHM: NONE_OF_THESE}.get(wordings, NOTHING_FOUND)
    return "\n".join(
        f"{item.names[0][:1].upper()}{item.names[0][1:]}: "
        + format_answer(spans, item.names[0]).removeprefix("Duration: ")
        for item, spans in answers
    )


def _listed(items: Sequence[Findable]) -> str:
    return " or ".join(item.names[0] for item in items)


def _rows(item: Findable, kind: str, cutter: Cut, limit: int, rng: Random, *, wanted: bool) -> Iterator[Row]:
    made = 0
    for _ in range(limit * _TRIES):
        if made == limit:
            return
        strip = cutter(rng)
        spans = found(item, strip) if strip is not None else None
        if strip is None or spans is None or bool(spans) is not wanted:
            continue
        if kind == "early" and spans[0][0] > EARLY_S:
            continue
        made += 1
        name = rng.choice(item.names)
        yield row(
            "localization",
            kind,
            item.label,
            [strip.reference()],
            one_ecg(say(rng, LOCATE, name=plural(name)), rng),
            format_answer(spans, name),
            {"from": item.kind, "name": name, "spans": len(spans)},
        )


def _room(limit: int, timeline: Timeline) -> int:
    """A short recording has fewer different strips."""
    return min(limit, 1 + int(timeline.seconds // 20))


def _most(timeline: Timeline, happened: list[tuple[int, int]]) -> int:
    """Rows a recording gives of one class and kind: three an event, more where an event lasts."""
    lasting = sum(last - first for first, last in happened) / timeline.fs
    return min(3 * len(happened) + int(lasting // 20), max(1, int(timeline.seconds // 20)))


def _any(timeline: Timeline) -> Cut:
    return lambda rng: anywhere(timeline, rng)


def _early(timeline: Timeline, happened: list[tuple[int, int]]) -> Cut:
    def strip(rng: Random) -> Strip | None:
        seconds = 10.0 if rng.random() < 2 / 3 else some_seconds(timeline, rng)
        start = rng.choice(happened)[0] / timeline.fs - rng.uniform(0.0, EARLY_S)
        start = min(max(start, 0.0), max(timeline.seconds - seconds, 0.0))
        return cut(timeline, start, min(seconds, timeline.seconds), some_leads(timeline, rng))

    return strip


def _around(timeline: Timeline, happened: list[tuple[int, int]]) -> Cut:
    def strip(rng: Random) -> Strip | None:
        seconds = some_seconds(timeline, rng, 60.0 if rng.random() < 0.75 else LONGEST_S)
        first, last = rng.choice(happened)
        inside = rng.uniform(first, last) / timeline.fs
        start = min(max(inside - rng.random() * seconds, 0.0), timeline.seconds - seconds)
        return cut(timeline, start, seconds, some_leads(timeline, rng))

    return strip


def _after(timeline: Timeline, happened: list[tuple[int, int]]) -> Cut:
    """Half of the strips begin within 5 s after an event, so that only looking tells."""

    def strip(rng: Random) -> Strip | None:
        if rng.random() < 0.5:
            return anywhere(timeline, rng)
        start = rng.choice(happened)[1] / timeline.fs + rng.uniform(0.0, 5.0)
        return cut(timeline, start, some_seconds(timeline, rng, 30.0), some_leads(timeline, rng))

    return strip


def _beside(item: Findable, timeline: Timeline) -> Cut:
    """Around events of the other ectopic classes."""
    others = [
        event
        for other in assessed(timeline.source)
        if other.label in _ECTOPIC and other.label != item.label
        for event in events(other, timeline)
    ]
    around = _around(timeline, others)
    return lambda rng: around(rng) if others and item.kind == "beat" else None
