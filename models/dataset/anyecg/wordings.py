"""How things are asked and said: our own words, many for each purpose. Placeholders are in braces.

Answers of localization and reports have one grammar each (`intervals.py`, `Report: ...`); questions come
brief or in a sentence, and each wording says which.
"""

from __future__ import annotations

from random import Random

LAYOUTS = ("{ecg}\n{question}", "{question}\n{ecg}", "{ecg}\n{question}", "{ecg} {question}")

LOCATE = (
    "Mark all {name} in this strip.",
    "Give start and end of all {name} you can see.",
    "Any {name} here? If so, from when to when?",
    "At which times does this recording show {name}?",
    "Search the strip for {name} and list the intervals.",
    "Please localize {name}.",
    "List the time ranges, in seconds, that contain {name}.",
    "Between which seconds do you see {name}?",
    "Where in the trace do you find {name}?",
    "I am looking for {name}. Which stretches should I look at?",
    "Point out every stretch with {name}.",
    "Tell me when this strip shows {name}, or that it does not.",
    "From the first to the last second, note the intervals of {name}.",
    "Does the strip hold {name}? Answer with time intervals.",
)

DETECT_ALL = (
    "What is abnormal here, and where?",
    "Which abnormal beats and rhythms does this strip hold, and at what times?",
    "List every abnormality in the strip with its time intervals.",
    "Go through the strip and note whatever is not normal, with start and end.",
    "Name all abnormal findings and when they occur.",
    "Is anything wrong in this recording? Say what and when.",
    "Annotate the arrhythmias and abnormal beats of this strip.",
    "What would you mark on this strip, and at which seconds?",
    "Screen this strip: what do you find, and where?",
)
DETECT_PREMATURE = (
    "Which premature beats do you see, and where?",
    "List ventricular and supraventricular premature beats with their intervals.",
    "Are there premature beats? Say of which kind and at what times.",
    "Mark all premature beats, ventricular and atrial, with start and end.",
    "Find the premature beats and tell their kind and time.",
    "Go through the beats: which come early, of what kind, and when?",
)
DETECT_RHYTHM = (
    "Does this strip show {names}? Say which, and where.",
    "Look for {names} and give the intervals of what you find.",
    "Which of these occur, and when: {names}?",
    "Check the rhythm for {names}; list each with its time.",
    "Watch for {names}: what is there, from when to when?",
)
NOTHING_FOUND = "Nothing abnormal found"
NO_PREMATURE = "No premature beats found"
NONE_OF_THESE = "None of these found"

REPORT_STRIP = (
    "Write a report of this Holter strip.",
    "Describe the rhythm, the rate and any ectopic beats.",
    "Report on this stretch of a long-term recording.",
    "Summarize the strip: rate, beats and rhythm as far as they can be told.",
    "What would a Holter report say of this strip?",
    "Please report this rhythm strip.",
    "Give a short report: rate, premature beats, pauses.",
    "Document this strip as a technician would.",
)
REPORT_RHYTHM = (
    "Report the rhythm of this ECG.",
    "Give a rhythm report.",
    "Write down the rhythm this strip shows.",
    "Which rhythm would you report?",
    "State the rhythm as a report.",
    "Report only the rhythm.",
    "What rhythm does the report of this ECG give?",
    "Please write the rhythm line of the report.",
)
REPORT_TWELVE = (
    "Write the report of this 12-lead ECG.",
    "Interpret this 12-lead ECG.",
    "Please read this standard ECG and report your findings.",
    "What does this resting ECG show? Answer as a report.",
    "Give the findings of this 12-lead recording.",
    "Report rhythm, conduction and repolarization of this ECG.",
    "You are reading resting ECGs. Report this one.",
    "Compose an ECG report from these twelve leads.",
    "List what a cardiologist would note in this ECG.",
    "Summarize the diagnostic statements for this ECG.",
)

# Questions: (brief?, wording). A brief one asks for the value alone.
RATE = (
    (True, "What is the mean heart rate, to the nearest beat per minute? Just the number."),
    (True, "Heart rate in beats per minute, rounded to a whole number, nothing else."),
    (True, "Briefly: mean rate from the first to the last beat, to 1/min?"),
    (False, "How fast does the heart beat on average, to the nearest beat per minute?"),
    (False, "Work out the mean heart rate from the first to the last beat, rounded to 1/min."),
    (False, "Please determine the average rate (whole beats per minute) and say what it rests on."),
)
COUNT = (
    (True, "How many {name} are there? Just the number."),
    (True, "Number of {name}, nothing else."),
    (True, "{name}: how many? A number will do."),
    (False, "Count the {name} and compare with all beats."),
    (False, "How many of the beats in the strip are {name}?"),
    (False, "Of all beats here, how many would you call {name}?"),
)
REGULAR = (
    (True, "Is the rhythm regular? Yes or no."),
    (True, "Are the beats evenly spaced? Answer yes or no."),
    (False, "Is the pulse regular in this strip?"),
    (False, "How regular are the intervals between beats?"),
)
PRESENT = (
    (True, "Does this strip show {name}? Yes or no."),
    (True, "{name}: present? Answer yes or no."),
    (True, "Briefly: any {name}?"),
    (False, "Can you see {name} in this strip?"),
    (False, "I wonder whether this shows {name}. Does it?"),
    (False, "Would you say that this recording holds {name}?"),
)
LONGEST = (
    (True, "How long is the longest interval between two beats, to 0.1 s? Just the value."),
    (True, "Longest RR interval in seconds, one decimal, nothing else."),
    (False, "Which is the longest interval without a beat, and when does it occur?"),
    (False, "Find the longest RR interval and say where it lies."),
)
ORDER = (
    (True, "Which comes first, a ventricular or a supraventricular premature beat? Name it only."),
    (True, "First premature beat of the strip: ventricular or supraventricular?"),
    (False, "Both ventricular and supraventricular premature beats occur. Which kind comes first, and when?"),
    (False, "In what order do the kinds of premature beats first appear?"),
)
RHYTHM = (
    (True, "Name the rhythm. One term."),
    (True, "Rhythm?"),
    (True, "What is the underlying rhythm of this strip, briefly?"),
    (False, "Which rhythm does this strip show from beginning to end?"),
    (False, "How would you classify the rhythm?"),
)
RUN = (
    (True, "How many premature ventricular beats come in a row at most? Just the number."),
    (True, "Length of the longest run of premature ventricular beats, in beats, nothing else."),
    (False, "Do premature ventricular beats come singly, or in couplets or runs?"),
    (False, "What is the longest sequence of premature ventricular beats?"),
)
WHEN = (
    (True, "When does the first {name} occur? Seconds from the start, one decimal, nothing else."),
    (True, "Time of the first {name}, to 0.1 s?"),
    (False, "At what time do you see the first {name}?"),
    (False, "How many seconds into the strip is the first {name}?"),
)
BURDEN = (
    (True, "What percentage of the beats are {name}, rounded to a whole percent?"),
    (False, "How large is the share of {name} among all beats, to the nearest percent?"),
    (False, "Give the burden of {name} in this strip in whole percent."),
)
STATEMENT = (
    (True, "Does this ECG show {name}? Yes or no."),
    (True, "{name}: yes or no?"),
    (False, "Is there evidence of {name} in this ECG?"),
    (False, "Would the report of this ECG mention {name}?"),
)
CLINICAL_RHYTHM = (
    (True, "What is the rhythm of this ECG? Name it only."),
    (True, "Rhythm, in a word or two?"),
    (False, "Which rhythm does this ECG show?"),
    (False, "How would you name the rhythm in this recording?"),
)

COMPARE_COUNT = (
    "How does the number of {name} change from one strip to the next?",
    "Compare the strips: how many {name} does each hold?",
    "Are there more or fewer {name} as time goes by? Count them.",
    "Follow the {name} through these strips and give each count.",
)
COMPARE_RATE = (
    "How does the mean heart rate change, to the nearest beat per minute?",
    "Compare the mean heart rates (whole beats per minute).",
    "Is the heart faster or slower in the later strip? Give both rates, rounded to 1/min.",
    "By how many beats per minute do the mean rates differ, each rounded to a whole number?",
)
COMPARE_MOST = (
    "Which of these strips has the most {name}?",
    "Where are {name} most frequent? Name the strip.",
    "Rank by the number of {name}: which strip comes first?",
    "One of the strips holds more {name} than any other. Which?",
)
COMPARE_FASTEST = (
    "Which of these strips has the highest mean heart rate?",
    "In which strip does the heart beat fastest?",
    "Name the strip with the fastest mean rate.",
)
COMPARE_RHYTHM = (
    "What happens to the rhythm between the strips?",
    "Compare the rhythm of the strips.",
    "Has the rhythm changed? From what to what?",
    "Describe the change of rhythm, if there is one.",
)
COMPARE_WHICH = (
    "Which of these strips show {name}?",
    "In which strips do you find {name}?",
    "Look for {name} in each of these strips. Where do you see it?",
    "Sort the strips: which show {name}, and which do not?",
)
VISIT_RHYTHM = (
    "Compare the rhythm of the two visits.",
    "Is the rhythm the same on both dates?",
    "What was the rhythm then, and what is it in the later ECG?",
)
VISIT_NEW = (
    "Which findings are new in the later ECG?",
    "What does the second ECG show that the first did not?",
    "List what has been added since the earlier ECG.",
)
VISIT_GONE = (
    "Which findings of the first ECG are no longer stated in the second?",
    "What is no longer there in the later ECG?",
    "List the findings that only the earlier ECG has.",
)
VISIT_SAME = (
    "Which findings do both ECGs share?",
    "What do the two visits have in common?",
    "List what is unchanged.",
)
VISIT_ALL = (
    "Compare these two ECGs of one patient.",
    "Write a comparison of the two visits.",
    "What has changed between the visits, and how far apart are they?",
    "Two ECGs, two dates: summarize the course.",
)


def say(rng: Random, wordings: tuple[str, ...], **fields: object) -> str:
    """One of the wordings, filled in."""
    text = rng.choice(wordings).format(**fields)
    return text[:1].upper() + text[1:]


def ask(rng: Random, wordings: tuple[tuple[bool, str], ...], **fields: object) -> tuple[bool, str]:
    """(brief?, question), filled in."""
    brief, wording = rng.choice(wordings)
    text = wording.format(**fields)
    return brief, text[:1].upper() + text[1:]
