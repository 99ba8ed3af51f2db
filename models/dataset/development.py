"""Every development record the networks learn from, as tracks, and the beat sequences without a waveform."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import DS1, Annotated, cinc2017, cpsc2021, cudb_vf, mitdb, svdb, vfdb
from models.dataset.atrial import afpdb, aftdb
from models.dataset.clinical import Clinical, cinc2021, ludb, morphology, ptbxl, rhythm
from models.dataset.sequences import vitaldb
from models.dataset.tracks import (
    AF,
    LBBB,
    NOT_AF,
    PACED,
    PLAIN,
    RBBB,
    UNKNOWN,
    VT,
    Codes,
    N,
    S,
    Track,
    V,
    track_of,
)
from models.signals.conditioning import filtered
from models.signals.rpeaks import r_peaks

PACED_RECORDS = ("102", "104", "107", "217")  # of MIT-BIH
LEAST_S = 9.0  # a shorter strip is left out
STATED = {"L": LBBB, "R": RBBB, "P": PACED}
STATED_RHYTHM = {"AFIB": AF, "AFL": AF, "VT": VT, "SINUS": NOT_AF}


def development_tracks(data: Path) -> Iterator[Track]:
    """Records with annotated beats or rhythm, then strips with a class, then clinical 12-lead ECGs."""
    for record in (
        *mitdb(data, DS1 + PACED_RECORDS),
        *svdb(data),
        *cpsc2021(data),
        *afpdb(data),
        *aftdb(data),
    ):
        yield track_of(record)
    for record in (*cudb_vf(data), *vfdb(data)):
        yield _with_found_beats(record)
    for kind, strip in cinc2017(data):
        if kind != "~" and strip.microvolts.shape[1] >= LEAST_S * strip.fs:
            yield _strip_track(kind, strip)
    for ecg in (*ptbxl(data), *ludb(data), *cinc2021(data)):
        yield _clinical_track(ecg)


def _with_found_beats(record: Annotated) -> Track:
    """Peaks as a detector finds them, in fibrillation too: a network that is told the beats is told those."""
    return replace(
        track_of(record),
        beats=(found := r_peaks(record.microvolts, record.fs)) / record.fs,
        kinds=np.full(len(found), UNKNOWN, dtype=np.int8),
        morphology=np.full(len(found), UNKNOWN, dtype=np.int8),
    )


def _strip_track(kind: str, strip: Annotated) -> Track:
    """A class for the whole strip: "other" is at least no atrial fibrillation."""
    track = _with_found_beats(strip)
    return track if kind in {"N", "A"} else replace(track, rhythm=np.full_like(track.rhythm, NOT_AF))


def _clinical_track(ecg: Clinical) -> Track:
    """Statements hold for the whole ECG; beats are where `r_peaks` finds them."""
    signal = filtered(ecg.microvolts, ecg.fs)
    beats = r_peaks(ecg.microvolts, ecg.fs) / ecg.fs
    form = STATED.get(morphology(ecg) or "", PLAIN)
    return Track(
        record=ecg.record,
        patient=ecg.patient,
        source="clinical",
        leads=ecg.leads,
        signal=signal,
        beats=beats,
        kinds=np.full(len(beats), UNKNOWN, dtype=np.int8),
        morphology=np.full(len(beats), form, dtype=np.int8),
        beats_known=False,
        rhythm=np.full(signal.shape[1], STATED_RHYTHM.get(rhythm(ecg) or "", UNKNOWN), dtype=np.int8),
    )


def interval_records(data: Path) -> list[tuple[npt.NDArray[np.float64], Codes]]:
    """(beats in seconds, their kinds) of VitalDB's sequences."""
    code = {"N": N, "S": S, "V": V}
    return [
        (r.beats_s, np.asarray([code.get(s, UNKNOWN) for s in r.symbols], dtype=np.int8))
        for r in vitaldb(data)
    ]
