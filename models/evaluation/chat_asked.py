"""`--questions FILE`: rows put to the language model in five runs, beside the most frequent answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from models.anyecg.chat.batch import EcgRef
from models.anyecg.chat.readings import Reading
from models.anyecg.chat.runtime import Chat
from models.dataset.anyecg.intervals import parse_answer
from models.errors import AnyEcgError, UsageError
from models.evaluation.chat_choice import Choice
from models.evaluation.chat_held_out import SPOKEN, spoken_figures
from models.evaluation.chat_kinds import KINDS, constant, score
from models.evaluation.chat_rows import ECGQA, LOCALIZATION, REPORT, Row
from models.evaluation.chat_runs import Run, Runs, Said, Zeroed
from models.evaluation.chat_sample import HELD_OUT, in_turn, seconds_of, strangers
from models.evaluation.judged import Figures, mean, ratio

FOLDLESS = "not known: --networks names the training whose folds tell"
OF_FOLDS = f"fold {HELD_OUT} of --networks: learned by neither these nor what was trained on them"
Read = Callable[[EcgRef], Reading]


@dataclass(frozen=True, slots=True)
class Put:
    """A row with its ECGs as served."""

    row: Row
    readings: tuple[Reading, ...]

    @property
    def seconds(self) -> float:
        return seconds_of(self.readings[0])


@dataclass(frozen=True, slots=True)
class Answered:
    """What was said to `put.row`; held to the true answer of `true`."""

    put: Put
    said: Said
    true: Put

    @property
    def score(self) -> float:
        return score(self.put.row, self.said.sentences, self.true.row, self.true.seconds)

    @property
    def is_answer(self) -> bool:
        return KINDS[self.put.row.kind].said(self.put.row, self.said.sentences) is not None


def asked_figures(
    chat: Chat, rows: Sequence[Row], read: Read, zeroed: Zeroed, choice: Choice, step: Callable[[str], None]
) -> Figures:
    """As `chat_figures`; UsageError where no row can be scored."""
    scored = [row for row in rows if _is_scored(row) and (row.kind == REPORT or not choice.reports_only)]
    known = [row for row in scored if _held_out(row, choice)]
    chosen = in_turn(known, lambda row: row.kind, choice.size, Random(choice.seed))
    put, lost = _read(chosen, read, step)
    if not put:
        raise UsageError(
            "No row can be scored; give rows of `anyecg dataset build`, and their records in --data."
        )
    runs = Runs(chat, zeroed)
    strips = [one.readings[0] for one in put]
    more = spoken_figures(chat, runs, strips, choice, step) if not choice.reports_only else {}
    return {
        "runs": {run.value: _run(runs, run, put, choice, step) for run in Run},
        "blind": _blind(put),
        **dict.fromkeys(SPOKEN),
        **more,
        "counts": {
            "rows": len(put),
            "not_scored": len(rows) - len(scored),
            "not_held_out": len(scored) - len(known),
            "not_read": lost,
            "ecgs": len({ecg for one in put for ecg in one.row.ecgs}),
            "held_out": FOLDLESS if choice.folds is None else OF_FOLDS,
            "seed": choice.seed,
        },
        "models": {"chat": chat.model},
    }


def _is_scored(row: Row) -> bool:
    return row.kind in KINDS and KINDS[row.kind].true(row) is not None


def _held_out(row: Row, choice: Choice) -> bool:
    """Whether all its records are known to be of patients nobody learned from; without folds nobody knows.

    A record that the folds lack may be another excerpt of a patient whom they have.
    """
    folds = choice.folds
    return folds is None or all(folds.get(ecg.record) == HELD_OUT for ecg in row.ecgs)


def _read(rows: Sequence[Row], read: Read, step: Callable[[str], None]) -> tuple[list[Put], list[str]]:
    """The rows with their ECGs, and why others could not be read."""
    put, lost = [], []
    for row in rows:
        try:
            readings = [read(ecg) for ecg in row.ecgs]
        except AnyEcgError as error:
            lost.append(f"{row.id}: {error}")
            continue
        dated = zip(readings, row.dates, strict=True)
        put.append(Put(row, tuple(replace(r, evidence=replace(r.evidence, date=date)) for r, date in dated)))
        step(f"read: {row.ecgs[0].record}")
    return put, lost


def _run(runs: Runs, run: Run, put: Sequence[Put], choice: Choice, step: Callable[[str], None]) -> Figures:
    if run is not Run.EXCHANGED:
        return _figures([Answered(one, _said(runs, run, one, one, step), one) for one in put])
    met = [(one, other) for one, other in zip(put, _others(put, choice), strict=True) if other is not None]
    said = [_said(runs, run, one, other, step) for one, other in met]
    new = [
        Answered(one, s, other) for (one, other), s in zip(met, said, strict=True) if one.row.kind != ECGQA
    ]
    old = [Answered(one, s, one) for (one, _), s in zip(met, said, strict=True)]
    blind = _blind([one for one, _ in met])
    return _figures(new) | {"old_labels": _figures(old), "blind": blind, "exchanged": len(met)}


def _said(runs: Runs, run: Run, asked: Put, given: Put, step: Callable[[str], None]) -> Said:
    step(f"{run}: {asked.row.ecgs[0].record}")
    return runs.room(run, given.readings).ask(asked.row.question)


def _others(put: Sequence[Put], choice: Choice) -> list[Put | None]:
    """For each row one of the same kind and label about a stranger."""
    found: list[Put | None] = []
    for one in put:
        alike = [
            other
            for other in put
            if (other.row.kind, other.row.label, len(other.readings))
            == (one.row.kind, one.row.label, len(one.readings))
        ]
        heads = [other.readings[0] for other in alike]
        (stranger,) = strangers(one.readings[:1], heads, choice.seed)
        found.append(next((o for o in alike if o.readings[0] is stranger), None))
    return found


def _figures(rows: Sequence[Answered]) -> Figures:
    return {
        **_by_kind([(row.put.row, row.score) for row in rows]),
        "answered": ratio(sum(row.is_answer for row in rows), len(rows)),
        "declined": ratio(sum(row.said.plan.task == "decline" for row in rows), len(rows)),
        "replaced": ratio(sum(row.said.replaced for row in rows), sum(len(row.said.written) for row in rows)),
    }


def _blind(put: Sequence[Put]) -> Figures:
    """The answers that are always the same: of each kind and label the one that is worth most."""
    scored: list[tuple[Row, float]] = []
    for asked in dict.fromkeys((one.row.kind, one.row.label) for one in put):
        alike = [one for one in put if (one.row.kind, one.row.label) == asked]
        worth = constant([(one.row, one.seconds) for one in alike])
        scored += [(one.row, value) for one, value in zip(alike, worth, strict=True)]
    return _by_kind(scored)


def _by_kind(scored: Sequence[tuple[Row, float]]) -> Figures:
    kinds = sorted({row.kind for row, _ in scored})
    return {
        "score": mean([value for _, value in scored]),
        "by_kind": {kind: _apart([pair for pair in scored if pair[0].kind == kind]) for kind in kinds},
    }


def _apart(scored: Sequence[tuple[Row, float]]) -> Figures:
    """Of a kind; where things are, positives and negatives apart, which no constant has both of."""
    found: Figures = {"score": mean([value for _, value in scored]), "rows": len(scored)}
    if scored[0][0].kind == LOCALIZATION:
        there = [(bool(parse_answer(row.answer)), value) for row, value in scored]
        found["positives"] = mean([value for is_there, value in there if is_there])
        found["negatives"] = mean([value for is_there, value in there if not is_there])
    return found
