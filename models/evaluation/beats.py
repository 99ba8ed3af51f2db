"""Beats found against beats annotated, after AAMI EC57: a match is within 150 ms, each beat matches once.

Classes are those of de Chazal et al., IEEE Trans Biomed Eng 51:1196-1206, 2004: escape beats of the atria and
of the junction (`e`, `j`) are N here, although they are supraventricular. Beats between `[` and `]`
(ventricular flutter) are not compared.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import Annotated
from models.evaluation.rhythms import spans_of
from models.evaluation.served import SaidBeat
from models.evaluation.spans import Span

TOLERANCE_S = 0.150
CLASSES = ("N", "S", "V", "F", "Q")
AAMI = {
    **dict.fromkeys("NLRBejn", "N"),
    **dict.fromkeys("AaJS", "S"),
    **dict.fromkeys("VEr", "V"),
    "F": "F",
}  # paced, fusion of paced and normal, and unclassifiable beats are Q
MORPHOLOGIES = {"L": "L", "R": "R", "/": "PACED"}
MISSED, EXTRA = "missed", "extra"
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Matches:
    """`found_of` (truth,): index of the found beat, -1 where missed; `truth_of` (found,): the reverse."""

    found_of: Indices
    truth_of: Indices


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """An annotated beat and the served one it matches, or one of them without the other."""

    r: int
    symbol: str | None  # as annotated; None: nothing was there
    said: SaidBeat | None  # None: missed

    @property
    def truth(self) -> str:
        return EXTRA if self.symbol is None else AAMI.get(self.symbol, "Q")

    @property
    def label(self) -> str:
        return MISSED if self.said is None else self.said.label


def match_beats(truth: npt.ArrayLike, found: npt.ArrayLike, fs: float) -> Matches:
    """Pairs two ascending lists of samples at `fs` Hz, the closest pairs first."""
    true, seen = np.asarray(truth, dtype=np.int64), np.asarray(found, dtype=np.int64)
    found_of, truth_of = np.full(len(true), -1), np.full(len(seen), -1)
    reach = round(TOLERANCE_S * fs)
    firsts = np.searchsorted(seen, true - reach)
    ends = np.searchsorted(seen, true + reach, side="right")
    pairs = [(abs(int(true[i] - seen[j])), i, j) for i in range(len(true)) for j in range(firsts[i], ends[i])]
    for _, i, j in sorted(pairs):
        if found_of[i] < 0 and truth_of[j] < 0:
            found_of[i], truth_of[j] = j, i
    return Matches(found_of, truth_of)


def paired(truth: Annotated, said: Iterable[SaidBeat], skip_s: float = 0.0) -> list[Pair]:
    """Every beat that was annotated or said, from `skip_s` on and outside of flutter, in order."""
    beats = sorted(said, key=lambda beat: beat.r)
    matches = match_beats(truth.beats, [beat.r for beat in beats], truth.fs)
    pairs = [
        Pair(r=int(r), symbol=str(symbol), said=beats[j] if j >= 0 else None)
        for r, symbol, j in zip(truth.beats, truth.symbols, matches.found_of, strict=True)
    ]
    extra = [beat for beat, i in zip(beats, matches.truth_of, strict=True) if i < 0]
    pairs += [Pair(r=beat.r, symbol=None, said=beat) for beat in extra]
    flutter = spans_of(truth, "VF")
    kept = [p for p in pairs if p.r >= skip_s * truth.fs and not _inside(p.r, flutter)]
    return sorted(kept, key=lambda pair: pair.r)


def _inside(sample: int, spans: Sequence[Span]) -> bool:
    return any(first <= sample <= last for first, last in spans)
