"""What databases call a rhythm, in the words of `models.verdicts.LABELS`."""

from __future__ import annotations

from models.dataset.annotated import Annotated
from models.evaluation.spans import Span, merged

FLUTTER = frozenset({"VFL", "VF", "VFIB"})  # of the ventricles
NAMES = {
    **dict.fromkeys(("N", "NSR", "SBR", "SR", "ST", "SA", "SAB"), "SINUS"),
    **dict.fromkeys(FLUTTER, "VF"),
    **dict.fromkeys(("SVTA", "SVT", "AT", "PSVT"), "SVTA"),
    **dict.fromkeys(("BI", "BII", "BIII", "AVB", "HB"), "AVB"),
    **dict.fromkeys(("P", "PM", "PACE", "PACED"), "PACED"),
    **dict.fromkeys(("NOD", "J", "JR"), "NOD"),
    **dict.fromkeys(("PREX", "WPW"), "PREX"),
    "AF": "AFIB",
}
NOT_ABNORMAL = frozenset({"SINUS", "PACED"})  # alone, pacing is stated once, not flagged for ever
SAYS_NOTHING = frozenset({"NOISE", "", "U"})  # the annotator could not tell either


def label_of(name: str) -> str:
    """`AFIB` for `AFIB` and `AF`, `VF` for `VFL`, ...; a name that is not known stays as it is."""
    return NAMES.get(name, name)


def spans_of(truth: Annotated, *labels: str) -> tuple[Span, ...]:
    """Where one of the rhythms was annotated."""
    return merged((r.first, r.last) for r in truth.rhythms if label_of(r.name) in labels)


def known_spans(truth: Annotated) -> tuple[Span, ...]:
    """Where any rhythm was annotated, noise excepted."""
    return merged((r.first, r.last) for r in truth.rhythms if r.name not in SAYS_NOTHING)


def abnormal_spans(truth: Annotated) -> tuple[Span, ...]:
    """Where a rhythm other than sinus or pacing was annotated."""
    return merged(
        (r.first, r.last)
        for r in truth.rhythms
        if r.name not in SAYS_NOTHING and label_of(r.name) not in NOT_ABNORMAL
    )
