"""What labels and quantities are called in a sentence: the one table, used to write and to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from models.anyecg.chat.plans import ECTOPIC, FOUND, QTC, ST
from models.anyecg.evidence import QUANTITIES
from models.verdicts import LABELS, DecidedBy, Kind

ANY, ANY_RHYTHM = "ANY", "ANY_RHYTHM"  # denied as a whole
RATES = "RATES"  # slow and fast ones: told by the same rule


@dataclass(frozen=True, slots=True)
class Name:
    """`plain` alone (`slow heart rate`), `one` and `many` after a number; does `plain` take `are`?"""

    plain: str
    one: str
    many: str
    plural: bool = False

    def counted(self, count: float) -> str:
        """`1 pause`, `2 episodes of atrial fibrillation`."""
        return f"{count:.0f} {self.one if count == 1 else self.many}"

    @property
    def singular(self) -> str:
        return self.one if self.plural else self.plain


def _name(label: str) -> Name:
    plain, kind = LABELS[label].plain, LABELS[label].kind
    if kind is Kind.BEAT or label == "PAUSE":
        return Name(f"{plain}s", plain, f"{plain}s", plural=True)
    if kind is Kind.RHYTHM:
        return Name(plain, f"episode of {plain}", f"episodes of {plain}")
    return Name(plain, f"stretch of {plain}", f"stretches of {plain}")


NAMES: Mapping[str, Name] = {
    **{label: _name(label) for label in LABELS},
    ECTOPIC: Name("premature beats", "premature beat", "premature beats", plural=True),
    ST: Name("ST deviation", "ST deviation", "ST deviations"),
    QTC: Name("QTc interval", "QTc interval", "QTc intervals"),
    RATES: Name("slow or fast heart rate", "slow or fast heart rate", "slow or fast heart rates"),
    ANY: Name("abnormal beat or rhythm", "abnormal beat or rhythm", "abnormal beats or rhythms"),
    ANY_RHYTHM: Name("abnormal rhythm", "abnormal rhythm", "abnormal rhythms"),
}
MEASURED: Mapping[str, str] = {
    **{name: row.plain for name, row in QUANTITIES.items()},
    "BEATS": "number of beats",
}
NOT_ASSESSED = (*(name for name, row in LABELS.items() if row.decided_by is DecidedBy.NOT_ASSESSED), ST, QTC)
ASSESSED = tuple(label for label in FOUND if label not in NOT_ASSESSED)  # what a finding may be called
CLINICAL = tuple(label for label in ASSESSED if LABELS[label].kind is not Kind.TECHNICAL)
RHYTHMS = tuple(label for label in CLINICAL if LABELS[label].kind is not Kind.BEAT)  # and pauses and rates
UNREADABLE = ("NOISE", "LEADOFF")
_NOBODY_LOOKS = ("electrical axis", "form of P and T waves")  # nor has a label
UNASSESSED_LIST = ", ".join([*(NAMES[label].plain for label in NOT_ASSESSED), *_NOBODY_LOOKS])
