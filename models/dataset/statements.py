"""What a clinical statement says of the shape of the beats and of the rhythm, whatever its code system.

SCP-ECG codes (PTB-XL), SNOMED CT codes (CinC 2021) and the diagnosis lines of LUDB cannot be mistaken
for each other, so one table holds them all. Incomplete blocks and first-degree block are in none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping


def _table(**statements: tuple[str, ...]) -> Mapping[str, str]:
    return {statement: label for label, words in statements.items() for statement in words}


MORPHOLOGY = _table(
    L=("CLBBB", "164909002", "733534002", "Complete left bundle branch block"),
    R=("CRBBB", "59118001", "713427006", "Complete right bundle branch block"),
    P=(
        *("PACE", "10370003"),
        *("UNIpolar ventricular pacing", "BIpolar ventricular pacing", "Biventricular pacing"),
    ),
)
RHYTHMS = _table(
    SINUS=(
        *("SR", "SBRAD", "STACH", "SARRH", "426783006", "426177001", "427084000", "427393009"),
        *("Rhythm: Sinus rhythm", "Rhythm: Sinus bradycardia", "Rhythm: Sinus tachycardia"),
        *("Rhythm: Sinus arrhythmia", "Rhythm: Irregular sinus rhythm"),
    ),
    AFIB=("AFIB", "164889003", "Rhythm: Atrial fibrillation"),
    AFL=("AFLT", "164890007", "Rhythm: Atrial flutter, typical"),
    SVTA=("SVTAC", "PSVT", "426761007", "713422000", "233896004", "233897008"),
    VT=("164895002", "425856008"),
    VF=("164896001",),
    B=("11157007",),
    T=("251180001",),
    AVB=("2AVB", "3AVB", "233917008", "195042002", "27885002", "III degree AV-block"),
    PACED=tuple(statement for statement, label in MORPHOLOGY.items() if label == "P"),
    PREX=("WPW", "195060002", "74390002"),
    NOD=("29320008",),
)
UNDECIDED = frozenset({"BIGU", "TRIGU", "SVARR"})  # not sinus throughout, and not said what instead


def morphology_of(statements: Iterable[str]) -> str | None:
    """The shape of the beats: "L", "R" or "P" (paced, before either block); None where neither is stated."""
    stated = {MORPHOLOGY[s] for s in statements if s in MORPHOLOGY}
    if "P" in stated:
        return "P"
    return stated.pop() if len(stated) == 1 else None


def rhythm_of(statements: Iterable[str]) -> str | None:
    """The one rhythm (a key of `models.verdicts.LABELS`) of the strip; None where unstated or several.

    Pacing covers the rhythm beneath it; conduction (AVB, PREX) may be said of a sinus rhythm, and
    flutter is a supraventricular tachycardia with block. Any other two together mean that neither
    fills the strip, or that readers disagreed.
    """
    said = set(statements)
    stated = {RHYTHMS[s] for s in said if s in RHYTHMS}
    if "PACED" in stated:
        return "PACED"
    if said & UNDECIDED:
        return None
    if stated & {"AVB", "PREX"}:
        stated.discard("SINUS")
    if "AFL" in stated:
        stated -= {"SVTA", "AVB"}
    return stated.pop() if len(stated) == 1 else None
