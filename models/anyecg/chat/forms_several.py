"""Forms of what is said of several ECGs together."""

from __future__ import annotations

from collections.abc import Mapping

from models.anyecg.chat.slots import Form


def _series(subject: str, unit: str | None) -> Form:
    return Form(
        unit=unit,
        wordings=(f"{subject}: {{series}} {{cites}}", f"the {subject} one by one: {{series}} {{cites}}"),
    )


def _changes(kind: str, subject: str, unit: str | None) -> Mapping[str, Form]:
    """How a number goes through several ECGs, and from the first to the last of them."""
    points = "points" if unit == "%" else unit
    return {
        f"{kind}_series": _series(subject, unit),
        f"{kind}_up": Form(
            unit=points,
            numbers=("delta",),
            wordings=(
                f"from {{ecg}} to {{other}} the {subject} rises by {{delta}} {{cites}}",
                f"{{ecg}} to {{other}}: {subject} up by {{delta}} {{cites}}",
            ),
        ),
        f"{kind}_down": Form(
            unit=points,
            numbers=("delta",),
            wordings=(
                f"from {{ecg}} to {{other}} the {subject} falls by {{delta}} {{cites}}",
                f"{{ecg}} to {{other}}: {subject} down by {{delta}} {{cites}}",
            ),
        ),
        f"{kind}_same": Form(
            unit=points,
            wordings=(
                f"from {{ecg}} to {{other}} the {subject} stays the same {{cites}}",
                f"{{ecg}} to {{other}}: {subject} unchanged {{cites}}",
            ),
        ),
    }


SEVERAL: Mapping[str, Form] = {
    # several ECGs
    "too_few": Form(
        wordings=("a comparison needs two or more ECGs", "with one ECG there is nothing to compare")
    ),
    "order": Form(wordings=("from earlier to later: {order}", "in order of time: {order}")),
    "alike": Form(
        wordings=(
            "the abnormal rhythms found are the same in {ecg} and {other} {cites}",
            "{ecg} and {other} do not differ in the abnormal rhythms found {cites}",
        )
    ),
    "unlike": Form(
        wordings=(
            "the abnormal rhythms found differ between {ecg} and {other} {cites}",
            "{ecg} and {other} differ in the abnormal rhythms found {cites}",
        )
    ),
    **_changes("value", "{quantity}", None),
    "count_series": _series("number of {plain}", ""),
    **_changes("burden", "share of {plain}", "%"),
}
