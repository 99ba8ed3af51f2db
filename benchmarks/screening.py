"""What a look at the ECG costs, beside neurokit2, wfdb's xqrs and sleepecg on the same signal, in one run.

    python -m benchmarks.screening [RECORD]

Milliseconds of a 10 s window through the screener (conditioning included, and the network alone), of a minute
through the localizer, and seconds of 30 min in windows as the edge screens them; sizes of the networks. All
are run in turn; medians of the process's CPU time, which other programs on the machine disturb least. Set
OMP_NUM_THREADS=1, so that nobody uses a second core. Machines differ: read the ratios. A recording of one
lead is its own second lead, upside down at half the size.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from benchmarks.edge import half_hour, neurokit, record
from edge.screening import WindowScreener
from models.anyecg.labels import TOKEN, lead_indices
from models.anyecg.localizer import NETWORKS, Localizer
from models.anyecg.localizer import WEIGHTS as LOCALIZER
from models.ecg import Microvolts, Window, read_only
from models.recordings import Recording, open_recording
from models.screener.runtime import WEIGHTS as SCREENER
from models.screener.runtime import Screener
from models.signals.conditioning import condition
from models.signals.windows import grid

RUNS, LONG_RUNS = 10, 1
BUDGETS = {"screener_network_ms": 1.0, "screener_mb": 3.0, "localizer_minute_one_lead_ms": 60.0}
Work = Callable[[], object]


def two_leads(recording: Recording) -> tuple[Microvolts, tuple[str, ...]]:
    """(lead, sample) microvolts of two leads, and their names."""
    scale = np.asarray(recording.uv_per_count, dtype=np.float32)[:, None]
    x = recording.counts.astype(np.float32) * scale
    if len(x) > 1:
        return x[:2], recording.leads[:2]
    return np.concatenate([x, -x / 2]), (recording.leads[0], "V1")


def xqrs(microvolts: Microvolts, fs: float) -> None:
    from wfdb.processing import xqrs_detect

    xqrs_detect(microvolts[0].astype(np.float64) / 1000, fs=fs, verbose=False)


def sleepecg(microvolts: Microvolts, fs: float) -> None:
    from sleepecg import detect_heartbeats

    detect_heartbeats(microvolts[0].astype(np.float64) / 1000, fs)


def peers(microvolts: Microvolts, fs: float) -> dict[str, Work]:
    """They read one lead."""
    return {
        "neurokit2": lambda: neurokit(microvolts[0], fs),
        "xqrs": lambda: xqrs(microvolts, fs),
        "sleepecg": lambda: sleepecg(microvolts, fs),
    }


def network_alone(microvolts: Microvolts, fs: float, leads: tuple[str, ...]) -> Work:
    """The screener's network on what was conditioned before."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(SCREENER, options, providers=["CPUExecutionProvider"])
    x, gain = condition(microvolts, fs)
    x = np.pad(x, ((0, 0), (0, -x.shape[1] % TOKEN)))
    return lambda: session.run(None, {"signal": x, "lead": lead_indices(leads), "gain": gain})


def windows(microvolts: Microvolts, fs: float, leads: tuple[str, ...]) -> list[Window]:
    """10 s every 5 s, as the edge cuts them."""
    found = []
    for k in range(microvolts.shape[1]):
        first, end = grid(k, fs), grid(k + 2, fs)
        if end > microvolts.shape[1]:
            return found
        missing = np.zeros(end - first, dtype=np.bool_)
        cut = read_only(microvolts[:, first:end])
        found.append(Window(first=first, fs=fs, leads=leads, microvolts=cut, missing=missing))
    return found


def screen_all(screen: WindowScreener, all_windows: list[Window]) -> None:
    for window in all_windows:
        screen(window)


def medians(works: Mapping[str, Work], runs: int, unit: float) -> dict[str, float]:
    """CPU time of each, in `1 / unit` seconds; run in turn, after one of each that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for run in range(runs + 1):
        for name, work in works.items():
            begun = time.process_time()
            work()
            if run:
                times[name].append(unit * (time.process_time() - begun))
    return {name: round(statistics.median(spent), 3) for name, spent in times.items()}


def ratios(spent: Mapping[str, float]) -> dict[str, float]:
    """Each over neurokit2's."""
    return {name: round(value / spent["neurokit2"], 5) for name, value in spent.items()}


def megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 3)


def main() -> None:
    recording = open_recording(record())
    fs = recording.fs
    both, names = two_leads(half_hour(recording))
    ten, minute = both[:, : round(10 * fs)], both[:, : round(60 * fs)]
    screener, localizer = Screener(), Localizer()
    window_ms = medians(
        {
            "screener, 1 lead": lambda: screener.run(ten[:1], fs, names[:1]),
            "screener, 2 leads": lambda: screener.run(ten, fs, names),
            "its network alone, 1 lead": network_alone(ten[:1], fs, names[:1]),
            "its network alone, 2 leads": network_alone(ten, fs, names),
            **peers(ten, fs),
        },
        RUNS,
        1e3,
    )
    minute_ms = medians(
        {
            "localizer, 1 lead": lambda: localizer.run(minute[:1], fs, names[:1]),
            "localizer, 2 leads": lambda: localizer.run(minute, fs, names),
            **peers(minute, fs),
        },
        RUNS,
        1e3,
    )
    screen, cut = WindowScreener(screener), {n: windows(both[:n], fs, names[:n]) for n in (1, 2)}
    half_hour_s = medians(
        {
            "windows of 1 lead": lambda: screen_all(screen, cut[1]),
            "windows of 2 leads": lambda: screen_all(screen, cut[2]),
            **peers(both, fs),
        },
        LONG_RUNS,
        1.0,
    )
    figures = {
        "record": record(),
        "fs": fs,
        "models": [screener.model, localizer.model],
        "budgets": BUDGETS,
        "window_ms": window_ms,
        "window_ratio": ratios(window_ms),
        "minute_ms": minute_ms,
        "minute_ratio": ratios(minute_ms),
        "half_hour_s": half_hour_s,
        "half_hour_ratio": ratios(half_hour_s),
        "mb": {"screener": megabytes(SCREENER)}
        | {name: megabytes(LOCALIZER / f"{name}.onnx") for name in NETWORKS},
        "cpus": os.cpu_count(),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
