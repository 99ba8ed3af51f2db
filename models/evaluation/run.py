"""`anyecg evaluate`: annotated recordings through the serving code, and the figures of what it said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from models.dataset.annotated import Annotated
from models.errors import UsageError
from models.evaluation.atrial_strips import heard, is_strip_folder, read_strips, strip_figures
from models.evaluation.beat_figures import beat_figures
from models.evaluation.folder import Case, database_cases, read_case, record_names, with_leads
from models.evaluation.judged import Figures, Judged
from models.evaluation.localization import Answered, answered, localization_figures
from models.evaluation.noise import Noise, noisy, read_noise
from models.evaluation.quality import quality_figures
from models.evaluation.rhythm_figures import rhythm_figures
from models.evaluation.screener_figures import screener_figures
from models.evaluation.served import Serve, Served
from models.evaluation.serving import serve_each
from models.evaluation.strips import Strip, alone, strips_of
from models.evaluation.what import What
from models.recordings import Recording


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which recordings, and what is done to them before they are served."""

    data: Path
    database: str | None = None  # of `folder.DATABASES`, under `data`; None: `data` is the folder itself
    annotator: str = "atr"
    records: tuple[str, ...] | None = None
    leads: str | None = None  # names or numbers, with commas
    noise: str | None = None
    snr_db: float | None = None
    noise_data: Path | None = None
    skip_s: float = 0.0
    strips: int = 4  # for localization: positive and negative ones by record, type and protocol
    jobs: int = 1


def evaluate(what: What, chosen: Chosen, serve: Serve, step: Callable[[str], None]) -> Figures:
    """One JSON object of figures; `step` hears of every record that is through."""
    if what is What.CHAT or what is What.REPORTS:
        raise UsageError(f"anyecg evaluate {what} asks a language model: models.evaluation.chat.")
    if what is What.QUALITY:
        return quality_figures(chosen.data)
    if what is What.RHYTHM and chosen.database is None and is_strip_folder(chosen.data):
        return _of_strips(chosen, serve, step)
    if what is What.LOCALIZATION:
        return _located(chosen, serve, step)
    judged = []
    for record in judge(cases(chosen), serve, chosen.jobs):
        judged.append(record)
        step(record.truth.record)
    about = _about(chosen, [j.served for j in judged])
    match what:
        case What.BEATS:
            return about | beat_figures(judged, chosen.skip_s)
        case What.SCREENER:
            return about | screener_figures(judged)
        case What.RHYTHM:
            return about | rhythm_figures(judged)


def _located(chosen: Chosen, serve: Serve, step: Callable[[str], None]) -> Figures:
    """Each strip of each record served alone."""
    rows: list[Answered] = []
    served = []
    for strip, said, blind in serve_each(_strips(chosen), serve, chosen.jobs):
        if rows and rows[-1].strip.record != strip.record:
            step(rows[-1].strip.record)
        rows.append(answered(strip, said, blind))
        served.append(said)
    return _about(chosen, served) | localization_figures(rows)


def _strips(chosen: Chosen) -> Iterator[tuple[Strip, Recording]]:
    for case in cases(chosen):
        every = tuple(range(len(case.recording.leads)))
        for strip in strips_of(case, chosen.strips, every if chosen.leads else None):
            yield strip, alone(case.recording, strip)


def _of_strips(chosen: Chosen, serve: Serve, step: Callable[[str], None]) -> Figures:
    """A folder of short strips, each of one class."""
    rows, blind, served = [], [], []
    noise = _noise(chosen)
    found = read_strips(chosen.data, chosen.records)
    spoilt = ((key, noisy(recording, noise) if noise else recording) for key, recording in found)
    for (name, kind), said, of_zeroes in serve_each(spoilt, serve, chosen.jobs):
        rows.append(heard(name, kind, said))
        blind.append(heard(name, kind, of_zeroes))
        served.append(said)
        step(name)
    return _about(chosen, served) | strip_figures(rows, blind)


def cases(chosen: Chosen) -> Iterator[Case]:
    """The recordings, with the leads and the noise asked for."""
    noise = _noise(chosen)
    if chosen.database is not None:
        found = database_cases(chosen.data, chosen.database, chosen.records)
    else:
        names = record_names(chosen.data, chosen.records, chosen.annotator)
        found = (read_case(chosen.data, name, chosen.annotator) for name in names)
    for case in found:
        recording = with_leads(case.recording, chosen.leads)
        yield replace(case, recording=noisy(recording, noise) if noise else recording)


def judge(found: Iterable[Case], serve: Serve, jobs: int = 1) -> Iterator[Judged]:
    """Each recording served, in order."""
    items = ((_slim(case.truth), case.recording) for case in found)
    for truth, served, blind in serve_each(items, serve, jobs):
        yield Judged(truth=truth, served=served, blind=blind)


def _slim(truth: Annotated) -> Annotated:
    """Without its signal: what was said is judged, and many records are held at once."""
    return replace(truth, microvolts=np.empty((len(truth.leads), 0), dtype=np.float32))


def _noise(chosen: Chosen) -> Noise | None:
    if chosen.noise is None:
        return None
    if chosen.snr_db is None or chosen.noise_data is None:
        raise UsageError("--noise needs --snr (dB) and --noise-data (the folder of the noise records).")
    return read_noise(chosen.noise_data, chosen.noise, chosen.snr_db)


def _about(chosen: Chosen, served: Sequence[Served]) -> Figures:
    return {
        "served": len(served),
        "hours": round(sum(s.samples / s.fs for s in served) / 3600, 3),
        "leads": chosen.leads or "all",
        "noise": f"{chosen.noise} {chosen.snr_db:g} dB" if chosen.noise else "none",
        "models": sorted({model for s in served for model in s.models}),
    }
