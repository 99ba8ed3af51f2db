"""How well the gate tells what cannot be read: `anyecg evaluate quality`.

A window is 10 s: gated where `assess` calls it unreadable, silenced where it is gated and `never_silence`
has nothing to say either. A strip is gated by the mean log odds of its windows.
The shipped network has learned CinC 2017, MIT-BIH and half of CinC 2011: `held_out` repeats what networks
said that had not (`models.quality.fit`). Wearable, PTB-XL and CUDB taught it nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.dataset.annotated import Annotated, cinc2017, cudb_vf, mitdb
from models.dataset.clinical import NOISE_NOTES, ptbxl
from models.dataset.noisy import cinc2011
from models.errors import RecordingError
from models.evaluation.abnormal import Truth
from models.evaluation.gated import Heard, hear, mean_indices, ranking, share_of, single
from models.evaluation.rhythms import spans_of
from models.evaluation.spans import share
from models.evaluation.wearable import wearable_figures
from models.quality.rows import windows
from models.signals.gate import SHIPPED
from models.signals.windows import HOP_S

Figures = dict[str, Any]
WORST = 5


def quality_figures(data: Path) -> Figures:
    """One JSON object; a database that is not under `data` is named in `absent`."""
    sections: dict[str, Callable[[Path], Figures]] = {
        "wearable": wearable_figures,
        "strips": strip_figures,
        "cinc2011": phone_figures,
        "ptbxl": note_figures,
        "ds1": rhythm_figures,
        "cudb": fibrillation_figures,
    }
    figures: Figures = {"held_out": json.loads(SHIPPED.read_text())["held_out"], "absent": []}
    for name, section in sections.items():
        try:
            figures[name] = section(data)
        except RecordingError:
            figures["absent"].append(name)
    blind = {"positives gated": 0.0, "negatives gated": 0.0}
    return figures | {"baselines": {"nothing": blind, "everything": dict.fromkeys(blind, 1.0), "auroc": 0.5}}


def strip_figures(data: Path) -> Figures:
    """CinC 2017 by class; the mean odds of a strip's windows decide."""
    odds: dict[str, list[float]] = {kind: [] for kind in "NAO~"}
    index: dict[str, list[npt.NDArray[np.float64]]] = {kind: [] for kind in "NAO~"}
    for kind, strip in cinc2017(data):
        parts = [strip.microvolts[:, a:b] for a, b in windows(strip.microvolts.shape[1], strip.fs)]
        odds[kind].append(float(np.mean([hear(x, strip.fs).odds for x in parts])))
        found = [mean_indices(x, strip.fs) for x in parts]
        index[kind].append(np.mean(found, axis=0))
    noisy = np.repeat([False, True], [len(odds["N"]), len(odds["~"])])
    return {
        "gated": {kind: share_of(np.asarray(held) >= 0) for kind, held in odds.items()},
        "strips": {kind: len(held) for kind, held in odds.items()},
        "auroc ~ against N": ranking([*odds["N"], *odds["~"]], noisy),
        "auroc of single indices": single(np.asarray([*index["N"], *index["~"]]), noisy),
    }


def phone_figures(data: Path) -> Figures:
    """CinC 2011: unacceptable against acceptable ECGs, by the worst lead and by the mean of the leads."""
    truth, worst, mean = [], [], []
    for ecg in cinc2011(data):
        odds = [hear(lead[None], ecg.fs).odds for lead in ecg.microvolts]
        truth.append(not ecg.acceptable)
        worst.append(max(odds))
        mean.append(np.mean(odds))
    bad = np.asarray(truth)
    return {
        "auroc, worst lead": ranking(worst, bad),
        "auroc, mean of leads": ranking(mean, bad),
        "with an unreadable lead": {
            "acceptable": share_of(np.asarray(worst)[~bad] >= 0),
            "unacceptable": share_of(np.asarray(worst)[bad] >= 0),
        },
    }


def note_figures(data: Path) -> Figures:
    """PTB-XL: ECGs with a note about noise against those without any, by the worst lead and by the mean."""
    noted, worst, mean = [], [], []
    for ecg in ptbxl(data):
        odds = [hear(lead[None], ecg.fs).odds for lead in ecg.microvolts]
        noted.append(frozenset(ecg.noise))
        worst.append(max(odds))
        mean.append(float(np.mean(odds)))
    figures: Figures = {"ecgs": len(noted), "without a note": sum(not notes for notes in noted)}
    for name in ("any", *NOISE_NOTES):
        asked = [i for i, notes in enumerate(noted) if not notes or name in {*notes, "any"}]
        truth = [bool(noted[i]) for i in asked]
        ranked = {"worst lead": worst, "mean of leads": mean}
        figures[name] = {
            "ecgs": sum(truth),
            **{f"auroc, {by}": ranking([odds[i] for i in asked], truth) for by, odds in ranked.items()},
        }
    return figures


def rhythm_figures(data: Path) -> Figures:
    """MIT-BIH DS1: windows of 10 s every 5 s, of lead 0 and of both leads."""
    rows = [row for record in mitdb(data) for row in _ds1(record)]
    figures: Figures = {}
    for name in ("lead 0", "both leads"):
        for kind, wanted in (("abnormal", True), ("normal", False)):
            held = [row for row in rows if row["abnormal"] is wanted]
            figures[f"{kind}, {name}"] = {
                "windows": len(held),
                "gated": share_of([row[name].gated for row in held]),
                "silenced": share_of([row[name].silenced for row in held]),
                "worst": _worst(held, name),
            }
        for rule in ("chaos", "asystole"):
            figures[f"{rule}, {name}"] = share_of([rule in row[name].rules for row in rows])
    return figures


def _ds1(record: Annotated) -> Iterator[Figures]:
    truth = Truth(record)
    for a, b in windows(record.microvolts.shape[1], record.fs, HOP_S):
        x = record.microvolts[:, a:b]
        abnormal = truth(a, b - 1)
        both, first = hear(x, record.fs, rules=True), hear(x[:1], record.fs, rules=True)
        yield {"record": record.record, "abnormal": abnormal, "lead 0": first, "both leads": both}


def _worst(rows: Sequence[Figures], name: str) -> dict[str, float]:
    held: dict[str, list[bool]] = {}
    for row in rows:
        held.setdefault(row["record"], []).append(row[name].gated)
    shares = {record: float(np.mean(gated)) for record, gated in held.items()}
    worst = sorted(shares, key=lambda record: -shares[record])[:WORST]
    return {record: round(shares[record], 4) for record in worst}


def fibrillation_figures(data: Path) -> Figures:
    """CUDB: windows wholly inside VF, and those wholly outside."""
    inside: list[Heard] = []
    outside: list[Heard] = []
    for record in cudb_vf(data):
        marked = spans_of(record, "VF")
        for a, b in windows(record.microvolts.shape[1], record.fs, HOP_S):
            part = share((a, b - 1), marked)
            if part in (0.0, 1.0):
                (inside if part else outside).append(hear(record.microvolts[:, a:b], record.fs, rules=True))
    return {
        name: {
            "windows": len(held),
            "gated": share_of([h.gated for h in held]),
            "chaos": share_of(["chaos" in h.rules for h in held]),
            "silenced": share_of([h.silenced for h in held]),
        }
        for name, held in (("VF", inside), ("elsewhere", outside))
    }
