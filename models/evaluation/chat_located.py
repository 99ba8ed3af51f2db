"""Where something is, by the paper's score: through the chat, by the localizer alone, and never looking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from models.anyecg.chat.answers import answer
from models.anyecg.chat.plans import Plan
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.wording import read
from models.dataset.anyecg.intervals import Span, clipped, iou, parse_answer, target_spans
from models.evaluation.chat_facts import annotated
from models.evaluation.chat_sample import seconds_of, spoilt
from models.evaluation.chat_strips import LOCATED, Row
from models.evaluation.judged import Figures, mean, ratio
from models.evaluation.localization import BLIND
from models.evaluation.rhythms import label_of

Spans = tuple[Span, ...] | None
MOSTLY = 0.5


@dataclass(frozen=True, slots=True)
class Where:
    """What was looked for in a strip, where it is, and where an answer says that it is."""

    reading: Reading
    label: str
    true: tuple[Span, ...]
    said: Spans

    @property
    def score(self) -> float:
        return iou(self.said, self.true, seconds_of(self.reading))


def location_figures(rows: Sequence[Row]) -> Figures:
    """IoU, positives and negatives apart; Se and PPV of single events."""
    asked = [
        (row, label, true) for row in rows for label in LOCATED if (true := _true(row, label)) is not None
    ]
    chat = [Where(row.reading, label, true, _chat(row, label)) for row, label, true in asked]
    own = [Where(row.reading, label, true, _own(row, label)) for row, label, true in asked]
    understood = [row.answers.located[label].plan == Plan("locate", label) for row, label, _ in asked]
    return {
        "chat": _figures(chat),
        "localizer": _figures(own),
        "understood": ratio(sum(understood), len(asked)),
    }


def blind_location(readings: Sequence[Reading]) -> Figures:
    """The constant that never looks, and never."""
    asked = [
        (r, label, true) for r in readings for label in LOCATED if (true := placed(r, label)) is not None
    ]
    return {
        name: _apart([Where(reading, label, true, said) for reading, label, true in asked])
        for name, said in (("constant", BLIND), ("never", ()))
    }


def located(sentences: Sequence[str], label: str) -> Spans:
    """Where an answer says that something is; None where it says neither where nor that it is not there.

    What is denied of a strip that was mostly not analysed is no answer.
    """
    claims = [claim for sentence in sentences for claim in read(sentence) or ()]
    if any(claim.kind == "unlocated" and claim.label != label for claim in claims):
        return None
    for claim in claims:
        if claim.kind == "absent_partly" and claim.label == label:
            analysed, unread = (number or 0.0 for number in claim.numbers)
            return () if unread <= MOSTLY * (analysed + unread) else None
    said = (parse_answer(sentence) for sentence in sentences)
    return next((spans for spans in said if spans is not None), None)


def placed(reading: Reading, label: str) -> Spans:
    """Where experts placed it, by the paper's interval rule; None where they did not look for it."""
    truth, seconds = reading.truth, seconds_of(reading)
    if truth is None or spoilt(reading):
        return None
    facts = annotated(truth, seconds)
    if label == "AFIB":
        spans = [(a, b) for a, b, name in truth.rhythms or () if label_of(name) in {"AFIB", "AFL"}]
        return clipped(spans, 0.0, seconds) if facts.rhythm is not None else None
    beats = truth.beats or ()
    if facts.ectopy is None:
        return None
    return target_spans([at for at, _ in beats], [kind == label for _, kind in beats], 0.0, seconds)


def _events(reading: Reading, label: str) -> tuple[Span, ...]:
    """Each single one, in seconds of the strip."""
    if label == "AFIB":
        return placed(reading, label) or ()
    beats = reading.truth.beats if reading.truth is not None else None
    return tuple((at, at) for at, kind in beats or () if kind == label)


def _true(row: Row, label: str) -> Spans:
    return placed(row.reading, label) if label in row.answers.located else None


def _chat(row: Row, label: str) -> Spans:
    """Places of something else are no answer."""
    said = row.answers.located[label]
    return located(said.sentences, label) if said.plan.subject == label else None


def _own(row: Row, label: str) -> Spans:
    return located(answer(Plan("locate", label), [row.answers.ecg]), label)


def _figures(rows: Sequence[Where]) -> Figures:
    by_label = {label: [row for row in rows if row.label == label] for label in LOCATED}
    return {
        **_apart(rows),
        "answered": ratio(sum(row.said is not None for row in rows), len(rows)),
        "by_type": {label: _apart(some) | _single(some) for label, some in by_label.items()},
    }


def _apart(rows: Sequence[Where]) -> Figures:
    return {
        "iou": mean([row.score for row in rows]),
        "positives": mean([row.score for row in rows if row.true]),
        "negatives": mean([row.score for row in rows if not row.true]),
        "strips": len(rows),
        "positive_strips": sum(bool(row.true) for row in rows),
    }


def _single(rows: Sequence[Where]) -> Figures:
    """Events inside of what was said, and of what was said that with an event inside."""
    found = true = right = told = 0
    for row in rows:
        events, spans = _events(row.reading, row.label), row.said or ()
        true, told = true + len(events), told + len(spans)
        found += sum(any(_meet(event, span) for span in spans) for event in events)
        right += sum(any(_meet(event, span) for event in events) for span in spans)
    return {"se": ratio(found, true), "ppv": ratio(right, told), "events": true}


def _meet(a: Span, b: Span) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]
