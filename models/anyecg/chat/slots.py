"""The slots of sentence forms: each knows how a part of a claim is written, and how it is read back.

A sentence is accepted only where the claim read from it, written with the same wording, is that very
sentence. So a pattern here need only find its text; number formats, units, plurals and verbs are held by the
writing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from models.anyecg.chat.names import MEASURED, NAMES
from models.anyecg.evidence import QUANTITIES
from models.recordings import LEADS


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One thing said. `kind` is a key of `forms.FORMS`, where the meaning of `numbers` stands.

    `ecgs` are the letters named in the text, `cites` the ids of the facts it rests on, in the text's order.
    """

    kind: str
    label: str | None = None  # a key of NAMES or of MEASURED
    numbers: tuple[float | None, ...] = ()  # as rounded for print; None: not measured
    times: tuple[float, ...] = ()  # s; spans lie flat: first, last, first, last
    leads: tuple[str, ...] = ()
    ecgs: tuple[str, ...] = ()
    dates: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()

    @property
    def denied(self) -> bool:
        """Whether it says that something is not there."""
        return self.kind in DENIALS


DENIALS = frozenset({"absent", "absent_partly", "familiar", "unlocated", "unseen"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A kind of claim: what its numbers are called, and the wordings that say it.

    `unit` stands for that of a `value`, a `delta` or a `series` where the label has none of its own. A `bare`
    form is the paper's: it ends without a full stop and stands alone.
    """

    wordings: tuple[str, ...]
    numbers: tuple[str, ...] = ()
    unit: str | None = None
    bare: bool = False


@dataclass(slots=True)
class Parts:
    """What has been read of a claim so far."""

    label: str | None = None
    named: dict[str, float] = field(default_factory=dict)
    series: tuple[float | None, ...] = ()
    times: list[float] = field(default_factory=list)
    leads: tuple[str, ...] = ()
    ecgs: list[str] = field(default_factory=list)
    dates: tuple[str, ...] = ()
    cites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Slot:
    """`read` is None where the text follows from the rest of the claim."""

    pattern: str
    write: Callable[[Claim, Form], str]
    read: Callable[[str, Parts], None] | None = None


def amount(number: float | None, claim: Claim, form: Form) -> str:
    """A number with the unit of its form or quantity: `72/min`, `160 ms`, `6.9 %`."""
    if number is None:
        return "not measured"
    unit = QUANTITIES[claim.label or ""].unit if form.unit is None else form.unit
    digits = 1 if unit in {"%", "points"} else 0
    gap = "" if unit in {"", "/min"} else " "
    return f"{number:.{digits}f}{gap}{unit}"


def _numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def _of_number(name: str, pattern: str, style: str) -> Slot:
    def write(claim: Claim, form: Form) -> str:
        return style.format(claim.numbers[form.numbers.index(name)])

    def read(text: str, parts: Parts) -> None:
        parts.named[name] = _numbers(text)[0]

    return Slot(pattern, write, read)


def _of_amount(name: str) -> Slot:
    def write(claim: Claim, form: Form) -> str:
        return amount(claim.numbers[form.numbers.index(name)], claim, form)

    def read(text: str, parts: Parts) -> None:
        parts.named[name] = _numbers(text)[0]

    return Slot(_AMOUNT, write, read)


def _of_label(table: Mapping[str, str]) -> Slot:
    labels = {text: label for label, text in table.items()}

    def read(text: str, parts: Parts) -> None:
        parts.label = labels[text]

    return Slot(_any_of(labels), lambda claim, _: table[claim.label or ""], read)


def _of_time(place: int) -> Slot:
    def read(text: str, parts: Parts) -> None:
        parts.times.append(_numbers(text)[0])

    return Slot(_TIME, lambda claim, _: f"{claim.times[place]:.1f} s", read)


def _of_ecg(place: int) -> Slot:
    def read(text: str, parts: Parts) -> None:
        parts.ecgs.append(text[-1])

    return Slot(r"ECG [a-z]", lambda claim, _: f"ECG {claim.ecgs[place]}", read)


def _any_of(texts: Iterable[str]) -> str:
    return "(?:" + "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True)) + ")"


_AMOUNT = r"\d+(?:\.\d+)?(?:/min| ms| s| %| points)?"
_TIME = r"\d+\.\d s"
_COUNTED = {text: label for label, name in NAMES.items() for text in (name.one, name.many)}


def _read_counted(text: str, parts: Parts) -> None:
    count, _, name = text.partition(" ")
    parts.named["count"], parts.label = float(count), _COUNTED[name]


def _write_counted(claim: Claim, form: Form) -> str:
    return NAMES[claim.label or ""].counted(claim.numbers[form.numbers.index("count")] or 0)


def _read_spans(text: str, parts: Parts) -> None:
    parts.times.extend(_numbers(text))


def _write_spans(style: str) -> Callable[[Claim, Form], str]:
    def write(claim: Claim, _: Form) -> str:
        # Not strict: of what a model wrote a time may lack, and what is written here then differs from it.
        pairs = zip(claim.times[::2], claim.times[1::2], strict=False)
        return ", ".join(style.format(first, last) for first, last in pairs)

    return write


def _write_rest(claim: Claim, form: Form) -> str:
    rest = (claim.numbers[form.numbers.index("count")] or 0) - len(claim.times) // 2
    return f" and {rest:.0f} more" if rest > 0 else ""


def _write_leads(claim: Claim, _: Form) -> str:
    return ", ".join(claim.leads) or _UNNAMED


def _read_leads(text: str, parts: Parts) -> None:
    parts.leads = () if text == _UNNAMED else tuple(text.split(", "))


def _write_series(claim: Claim, form: Form) -> str:
    pairs = zip(claim.ecgs, claim.numbers, strict=False)  # as above
    return ", ".join(f"ECG {letter} {amount(number, claim, form)}" for letter, number in pairs)


def _read_series(text: str, parts: Parts) -> None:
    rows = [row.removeprefix("ECG ").split(" ", 1) for row in text.split(", ")]
    parts.ecgs.extend(letter for letter, _ in rows)
    parts.series = tuple(None if said == "not measured" else _numbers(said)[0] for _, said in rows)


def _write_order(claim: Claim, _: Form) -> str:
    pairs = zip(claim.ecgs, claim.dates, strict=True)
    return ", ".join(f"ECG {letter} ({date})" for letter, date in pairs)


def _read_order(text: str, parts: Parts) -> None:
    parts.ecgs.extend(re.findall(r"ECG ([a-z]) ", text))
    parts.dates = tuple(re.findall(r"\(([^)]*)\)", text))


def _read_cites(text: str, parts: Parts) -> None:
    parts.cites = tuple(re.findall(r"\[(\w+)\]", text))


DATE = r"\d{4}-\d\d-\d\d(?: \d\d:\d\d)?"
_UNNAMED = "of other names"
_LEAD = _any_of(LEADS)
_ONE = rf"ECG [a-z] (?:{_AMOUNT}|not measured)"
_DATED = rf"ECG [a-z] \({DATE}\)"

SLOTS: Mapping[str, Slot] = {
    "count": _of_number("count", r"\d+", "{:.0f}"),
    "beats": _of_number("beats", r"\d+ beats", "{:.0f} beats"),
    "analysed": _of_number("analysed", r"\d+ s", "{:.0f} s"),
    "unanalysed": _of_number("unanalysed", _TIME, "{:.1f} s"),
    "seconds": _of_number("seconds", _TIME, "{:.1f} s"),
    "least": _of_number("least", r"\d+ s", "{:.0f} s"),
    "share": _of_number("share", r"\d+\.\d %", "{:.1f} %"),
    "deviation": _of_number("deviation", r"\d+ %", "{:.0f} %"),
    "low": _of_number("low", r"\d\.\d\d", "{:.2f}"),
    "high": _of_number("high", r"\d\.\d\d", "{:.2f}"),
    "threshold": _of_number("threshold", r"\d\.\d\d", "{:.2f}"),
    "value": _of_amount("value"),
    "delta": _of_amount("delta"),
    "plain": _of_label({label: name.plain for label, name in NAMES.items()}),
    "singular": _of_label({k: name.singular[:1].upper() + name.singular[1:] for k, name in NAMES.items()}),
    "quantity": _of_label(MEASURED),
    "verb": Slot("(?:is|are)", lambda claim, _: "are" if NAMES[claim.label or ""].plural else "is"),
    "past": Slot("(?:was|were)", lambda claim, _: "were" if NAMES[claim.label or ""].plural else "was"),
    "counted": Slot(rf"\d+ {_any_of(_COUNTED)}", _write_counted, _read_counted),
    "first": _of_time(0),
    "last": _of_time(1),
    "spans": Slot(r"\d[\d.,s -]* s", _write_spans("{:.1f}-{:.1f} s"), _read_spans),
    "durations": Slot(r"\d[\d.,s -]*s", _write_spans("{:.1f}s-{:.1f}s"), _read_spans),
    "rest": Slot(r"(?: and \d+ more)?", _write_rest),
    "leads": Slot(rf"(?:{_LEAD}(?:, {_LEAD})*|{_UNNAMED})", _write_leads, _read_leads),
    "series": Slot(rf"{_ONE}(?:, {_ONE})*", _write_series, _read_series),
    "order": Slot(rf"{_DATED}(?:, {_DATED})*", _write_order, _read_order),
    "ecg": _of_ecg(0),
    "other": _of_ecg(1),
    "cites": Slot(
        r"(?:\[[a-z]\d+\])+", lambda claim, _: "".join(f"[{cite}]" for cite in claim.cites), _read_cites
    ),
}
