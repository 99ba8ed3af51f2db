"""Forms of what rests on no evidence: what is not assessed or declined, and what ECG tokens alone suggest."""

from __future__ import annotations

from collections.abc import Mapping

from models.anyecg.chat.names import UNASSESSED_LIST
from models.anyecg.chat.slots import Form

_CAN = "I can report rhythm, rate, premature beats, pauses and intervals"
_EYES = "seen in the ECG alone, uncertain: "

APART: Mapping[str, Form] = {
    # what this version does not do
    "unassessed": Form(
        wordings=(
            "{plain} {verb} not assessed by this version",
            "this version does not assess {plain}",
        )
    ),
    "limits": Form(
        wordings=(f"not assessed: {UNASSESSED_LIST}", f"this version does not assess: {UNASSESSED_LIST}")
    ),
    "no_ecg": Form(
        wordings=("there is no {ecg} among those asked about", "{ecg} is not among those asked about")
    ),
    "decline_treatment": Form(
        wordings=(
            f"I do not advise on treatment, ask a clinician: {_CAN}",
            f"treatment is for a clinician to decide: {_CAN}",
        )
    ),
    "decline_prognosis": Form(
        wordings=(
            f"I cannot tell what will happen, ask a clinician: {_CAN}",
            f"an outlook is for a clinician to give: {_CAN}",
        )
    ),
    "decline_other": Form(
        wordings=(f"that is not a matter of this ECG: {_CAN}", f"I answer only about this ECG: {_CAN}")
    ),
    "decline_unclear": Form(
        wordings=(f"I did not understand the question: {_CAN}", f"please ask differently: {_CAN}")
    ),
    # what the network sees where the evidence is withheld
    "seen": Form(
        wordings=(_EYES + "{plain} {verb} present", "{plain} {verb} perhaps present, seen in the ECG alone")
    ),
    "unseen": Form(
        wordings=(_EYES + "no {plain} {verb} seen", "perhaps no {plain}, seen in the ECG alone"),
    ),
    "blurred": Form(
        wordings=(_EYES + "too noisy to tell", "perhaps too noisy to tell, seen in the ECG alone"),
    ),
}
