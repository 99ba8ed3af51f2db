"""Where on a strip the facts stand that a sentence cites: what a click on `[a11]` shows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from models.anyecg.chat.readings import Reading
from models.anyecg.chat.wording import read
from models.anyecg.evidence import QUANTITIES, Evidence
from models.verdicts import Finding

_CITE = re.compile(r"\[([a-z])(\d+)\]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cited:
    """Of an ECG: its letter, what is known of it, and the exact samples of what was found."""

    evidence: Evidence
    findings: Sequence[Finding]
    fs: float

    @classmethod
    def of(cls, reading: Reading) -> Cited:
        assert reading.fs is not None
        return cls(evidence=reading.evidence, findings=reading.findings, fs=reading.fs)

    def samples(self, ident: str) -> list[tuple[int, int]]:
        """(first, last) samples of a fact's spans; a quantity was measured over the whole of the ECG."""
        bounds = self.seconds(self.evidence.start, self.evidence.end)
        fact = next((fact for fact in self.evidence.facts if fact.id == ident), None)
        if fact is None:
            return []
        if fact.label == "NOT_ANALYSED":
            return [self.seconds(*span) for span in self.evidence.dark] or [bounds]
        spans = [(f.first, f.last) for f in self.findings if f.label == fact.label]
        if fact.label in QUANTITIES and not spans:
            return [bounds]
        inside = ((max(bounds[0], first), min(bounds[1], last)) for first, last in spans)
        return [(first, last) for first, last in inside if first <= last]

    def seconds(self, first: float, last: float) -> tuple[int, int]:
        """(first, last) samples of a stretch in seconds of the ECG's own clock."""
        return round(first * self.fs), round(last * self.fs) - 1


def cites(sentence: str, ecgs: Sequence[Cited]) -> list[dict[str, Any]]:
    """`{"text", "id", "ecg", "spans": [{"from_s", "to_s", "first", "last"}]}` for every place that the
    sentence cites; `text` is how it stands in the sentence, `id` None for an interval of the paper's grammar.
    """
    by_letter = {ecg.evidence.letter: ecg for ecg in ecgs}
    found = [*_facts(sentence, by_letter), *_intervals(sentence, by_letter)]
    return [
        {"text": text, "id": ident, "ecg": ecg.evidence.letter, "spans": _said(spans, ecg.fs)}
        for text, ident, ecg, spans in found
        if spans
    ]


def pieces(sentence: str, ecgs: Sequence[Cited]) -> list[dict[str, Any]]:
    """`[{"text", "cite"}]`: the sentence cut at its citations; `cite` is None for the words between."""
    found = {str(cite["text"]): cite for cite in cites(sentence, ecgs)}
    if not found:
        return [{"text": sentence, "cite": None}]
    texts = re.split("(" + "|".join(map(re.escape, found)) + ")", sentence)
    return [{"text": text, "cite": found.get(text)} for text in texts if text]


Place = tuple[str, str | None, Cited, list[tuple[int, int]]]


def _facts(sentence: str, ecgs: dict[str, Cited]) -> Iterator[Place]:
    for text in dict.fromkeys(match[0] for match in _CITE.finditer(sentence)):
        ident = text[1:-1]
        if ident[0] in ecgs:
            yield text, ident, ecgs[ident[0]], ecgs[ident[0]].samples(ident)


def _intervals(sentence: str, ecgs: dict[str, Cited]) -> Iterator[Place]:
    """`Duration: 1.9s-3.1s`, in seconds from the ECG's start."""
    for claim in read(sentence) or ():
        ecg = ecgs.get(claim.ecgs[0] if claim.ecgs else next(iter(ecgs), ""))
        if claim.kind == "located" and ecg is not None:
            for first, last in zip(claim.times[::2], claim.times[1::2], strict=True):
                start = ecg.evidence.start
                yield f"{first:.1f}s-{last:.1f}s", None, ecg, [ecg.seconds(start + first, start + last)]


def _said(spans: Iterable[tuple[int, int]], fs: float) -> list[dict[str, float]]:
    return [
        {"from_s": round(first / fs, 3), "to_s": round((last + 1) / fs, 3), "first": first, "last": last}
        for first, last in spans
    ]
