"""The one table of sentence forms: every wording of every kind of claim, used to write and to read.

The first wording is the canonical one. Wordings hold no `; `, which joins claims, and end without their full
stop. Those that name no ECG follow `ECG b: ` where several are asked about (`wording.py`).
"""

from __future__ import annotations

from collections.abc import Mapping

from models.anyecg.chat.forms_apart import APART
from models.anyecg.chat.forms_several import SEVERAL
from models.anyecg.chat.slots import Form

FORMS: Mapping[str, Form] = {
    # what could be read
    "analysed": Form(
        numbers=("analysed",),
        wordings=(
            "{analysed} of the ECG were analysed {cites}",
            "{analysed} could be analysed {cites}",
        ),
    ),
    "missed": Form(
        numbers=("unanalysed",),
        wordings=(
            "{unanalysed} could not be analysed and may hide something {cites}",
            "absence of findings is not normality: {unanalysed} could not be analysed {cites}",
        ),
    ),
    "nothing": Form(
        numbers=("unanalysed",),
        wordings=(
            "nothing could be analysed, so nothing is ruled out: {unanalysed} are unreadable {cites}",
            "too noisy: none of the {unanalysed} could be analysed, nothing is ruled out {cites}",
        ),
    ),
    "strange": Form(
        numbers=("seconds",),
        wordings=(
            "{seconds} are unlike what the network has learned, be wary of what it says there {cites}",
            "unfamiliar signal: be wary of findings in {seconds} unlike what the network has learned {cites}",
        ),
    ),
    "familiar": Form(
        numbers=("analysed",),
        wordings=(
            "nothing in the {analysed} analysed is unlike what the network has learned {cites}",
            "the {analysed} analysed look familiar to the network {cites}",
        ),
    ),
    # what is not there
    "absent": Form(
        numbers=("analysed",),
        wordings=(
            "no {plain} {past} found in the {analysed} analysed {cites}",
            "no {plain} could be found in the {analysed} analysed {cites}",
        ),
    ),
    "absent_partly": Form(
        numbers=("analysed", "unanalysed"),
        wordings=(
            "no {plain} {past} found in the {analysed} that could be analysed, {unanalysed} could not"
            " {cites}",
            "no {plain} could be found, but only {analysed} could be analysed, {unanalysed} not {cites}",
        ),
    ),
    "untold": Form(
        numbers=("least", "seconds"),
        wordings=(
            "{plain} cannot be told here: it takes {least} in one piece, there are {seconds} {cites}",
            "there are {seconds} in one piece, and it takes {least} to tell {plain} {cites}",
        ),
    ),
    "unlocated": Form(wordings=("No {singular} Found",), bare=True),
    # what is there
    "located": Form(wordings=("Duration: {durations}",), bare=True),
    "counted_from": Form(
        wordings=(
            "these seconds count from the beginning of the ECG, which is at {first}",
            "counted from the beginning of the ECG, at {first}",
        )
    ),
    "event": Form(
        numbers=("count",),
        wordings=("{counted} at {first} {cites}", "there is {counted}, at {first} {cites}"),
    ),
    "events": Form(
        numbers=("count",),
        wordings=(
            "{counted}, first at {first}, last at {last} {cites}",
            "there are {counted}, from {first} to {last} {cites}",
        ),
    ),
    "episodes": Form(
        numbers=("count", "seconds"),
        wordings=(
            "{counted} from {first} to {last}, {seconds} in all {cites}",
            "{counted}, {seconds} in all, between {first} and {last} {cites}",
        ),
    ),
    "spans": Form(
        numbers=("count",),
        wordings=("{counted}: {spans}{rest} {cites}", "{counted} at {spans}{rest} {cites}"),
    ),
    "present": Form(
        numbers=("count",),
        wordings=("yes, {counted} {cites}", "yes: {counted} {past} found {cites}"),
    ),
    "count": Form(
        numbers=("count",),
        wordings=("{counted} in all {cites}", "{plain}: {count} {cites}", "I count {counted} {cites}"),
    ),
    "burden": Form(
        numbers=("count", "beats", "share"),
        wordings=(
            "{counted} among {beats}, {share} {cites}",
            "{share} of the beats are {plain}, {count} of {beats} {cites}",
        ),
    ),
    "rhythm": Form(
        numbers=("seconds",),
        wordings=("{plain} for {seconds} {cites}", "the rhythm shows {plain}, {seconds} in all {cites}"),
    ),
    "runs": Form(
        numbers=("count", "beats"),
        wordings=(
            "runs of ventricular beats at 100/min or less: {count}, the longest of {beats}, between {first}"
            " and {last} {cites}",
            "ventricular beats come in runs at 100/min or less, number of runs {count}, the longest of"
            " {beats}, from {first} to {last} {cites}",
        ),
    ),
    "sure": Form(
        numbers=("low", "high"),
        wordings=(
            "{plain}: probability {low} to {high} {cites}",
            "the network gives {plain} a probability from {low} to {high} {cites}",
        ),
    ),
    "sure_above": Form(
        numbers=("low", "high", "threshold"),
        wordings=(
            "{plain}: probability {low} to {high}, threshold {threshold} {cites}",
            "the network gives {plain} a probability from {low} to {high}, {threshold} is enough {cites}",
        ),
    ),
    "ruled": Form(
        wordings=(
            "{plain}: decided by rule, without a probability {cites}",
            "a rule decided on {plain}, so there is no probability {cites}",
        )
    ),
    # what was measured
    "value": Form(
        numbers=("value",),
        wordings=("{quantity} {value} {cites}", "the {quantity} is {value} {cites}"),
    ),
    "unmeasured": Form(
        wordings=("{quantity} not measured {cites}", "the {quantity} could not be measured {cites}")
    ),
    "no_share": Form(
        wordings=(
            "the share of {plain} cannot be told without a count of beats {cites}",
            "without a count of beats there is no share of {plain} {cites}",
        )
    ),
    "regular": Form(
        numbers=("deviation",),
        wordings=(
            "regular: RR intervals stay within {deviation} of their median {cites}",
            "the beats come regularly, RR intervals differ from their median by at most {deviation} {cites}",
        ),
    ),
    "irregular": Form(
        numbers=("deviation",),
        wordings=(
            "irregular: RR intervals differ from their median by up to {deviation} {cites}",
            "the beats come irregularly, up to {deviation} off the median RR interval {cites}",
        ),
    ),
    "mixed": Form(
        numbers=("deviation",),
        wordings=(
            "neither clearly regular nor irregular: RR intervals are up to {deviation} off their median"
            " {cites}",
            "regularity is not clear, with RR intervals up to {deviation} off their median {cites}",
        ),
    ),
    "few_beats": Form(
        wordings=(
            "too few beats to say whether the rhythm is regular {cites}",
            "whether the rhythm is regular cannot be told from so few beats {cites}",
        )
    ),
    "about": Form(
        numbers=("seconds", "count"),
        wordings=(
            "the ECG lasts {seconds}, from {first} to {last}, number of leads {count}: {leads}",
            "{seconds} of ECG from {first} to {last}, number of leads {count}: {leads}",
        ),
    ),
    **APART,
    **SEVERAL,
}
