"""`anyecg evaluate chat` and `reports`: the language model on ECGs it never learned from, in five runs.

Each figure is made as served, with the waveform zeroed, with another patient's, with the ECG tokens zeroed,
and with the evidence removed; `blind` is the most frequent answer. `reports` asks for reports only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np

from models.anyecg.chat.batch import EcgRef
from models.anyecg.chat.readings import Read, Reading, digest, eyes_digest, load
from models.anyecg.chat.runtime import Chat
from models.errors import UsageError
from models.evaluation.chat_asked import asked_figures
from models.evaluation.chat_choice import Choice
from models.evaluation.chat_held_out import chat_figures
from models.evaluation.chat_records import patient_of, stretch
from models.evaluation.chat_rows import read_rows
from models.evaluation.chat_sample import seconds_of
from models.evaluation.judged import Figures
from models.recordings import make_recording

ZEROED_FS = 250.0  # Hz


def evaluate(
    choice: Choice, load_chat: Callable[[], Chat], read: Read, step: Callable[[str], None]
) -> Figures:
    """One JSON object; `read` reads a recording as the serving code does.

    Raises:
        UsageError: neither readings nor questions are given, or both, or questions without their records.
    """
    if (choice.readings is None) == (choice.questions is None):
        raise UsageError("Give either --readings DIR or --questions FILE.")

    def zeroed(reading: Reading) -> Reading:
        return read_zeroes(read, reading)

    if choice.readings is not None:
        readings, chat = load(choice.readings), load_chat()
        eyes = eyes_digest(choice.readings)
        if chat.encoder and eyes not in {"", chat.encoder}:
            raise UsageError(f"{chat.model} and the readings in {choice.readings} are of different encoders.")
        return chat_figures(chat, readings, zeroed, choice, step, digest(choice.readings))
    if choice.questions is None or choice.data is None:
        raise UsageError("--questions needs --data DIR, the folder of the records that its rows name.")
    rows, data = read_rows(choice.questions), choice.data

    @cache
    def served(ecg: EcgRef) -> Reading:
        return replace(read(stretch(data, ecg), ecg.record), patient=patient_of(data, ecg.record))

    return asked_figures(load_chat(), rows, served, zeroed, choice, step)


def read_zeroes(read: Read, reading: Reading) -> Reading:
    """What the serving code reads of the same leads and length with nothing in them."""
    leads = reading.evidence.leads
    counts = np.zeros((len(leads), round(seconds_of(reading) * ZEROED_FS)), dtype=np.int32)
    return read(make_recording("zeroes", ZEROED_FS, leads, counts, [1.0] * len(leads)), reading.record)
