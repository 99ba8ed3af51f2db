"""What the screening network answers, in the order of its outputs."""

from __future__ import annotations

LABELS = ("S", "V", "AFIB", "VF", "RHYTHM")  # V: V or F beat; AFIB: AF or flutter; RHYTHM: not sinus
NEIGHBOUR_S = 0.06  # an R peak this close to a token's edge belongs to both
