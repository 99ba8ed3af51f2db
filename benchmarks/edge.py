"""What the edge costs, beside neurokit2's `ecg_process` on the same signal, in one run.

    python -m benchmarks.edge [RECORD]

Time per 10 s window and per 30 min through the whole edge (intake, quality, network, episodes, envelope,
outbox on disk), cold start, resident memory, uplink bytes an hour against raw. The two are timed in turn,
median of several runs; machines differ and are noisy, so read the ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from edge.intake import Intake
from edge.outbox import Outbox
from edge.screening import WindowScreener
from models.ecg import Segment, Window, read_only
from models.recordings import Recording, RecordingSource, open_recording
from models.screener.runtime import Screener
from models.verdicts import Screening
from models.wire import encode_segment

RUNS = 5
HALF_HOUR_S = 1800
COLD_START = "import edge.agent; from models.screener.runtime import Screener; Screener()"


def half_hour(recording: Recording) -> Recording:
    """The recording, repeated or cut to 30 min."""
    wanted = round(HALF_HOUR_S * recording.fs)
    times = -(-wanted // recording.counts.shape[1])
    return replace(recording, counts=read_only(np.tile(recording.counts, times)[:, :wanted]))


def through_the_edge(recording: Recording) -> list[Segment]:
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder) / "outbox.db", "bench")
        intake = Intake(WindowScreener(Screener()))
        segments: list[Segment] = []
        for item in RecordingSource(recording).blocks():
            made = [o for o in intake.push(item) if not isinstance(o, Screening)]
            if made and intake.boot:
                outbox.commit(intake.boot, made, intake.state)
            segments += [o for o in made if isinstance(o, Segment)]
        outbox.close()
    return segments


def neurokit(signal_uv: np.ndarray, fs: float) -> None:
    import neurokit2 as nk

    nk.ecg_process(signal_uv / 1000, sampling_rate=round(fs))


def median_s(ours: Callable[[], object], theirs: Callable[[], object], runs: int) -> tuple[float, float]:
    """Medians of alternating runs, after one of each that is not counted."""
    times: tuple[list[float], list[float]] = ([], [])
    for run in range(runs + 1):
        for work, spent in zip((ours, theirs), times, strict=True):
            begun = time.perf_counter()
            work()
            if run:
                spent.append(time.perf_counter() - begun)
    return statistics.median(times[0]), statistics.median(times[1])


def cold_start_s(statement: str) -> float:
    spent = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", statement], check=True)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent)


def resident_mb() -> float:
    """Peak resident memory (Linux's VmHWM) of a process that only takes 30 min through the edge."""
    code = (
        "import sys; from benchmarks.edge import half_hour, open_recording, through_the_edge;"
        "through_the_edge(half_hour(open_recording(sys.argv[1])));"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    done = subprocess.run([sys.executable, "-c", code, record()], check=True, capture_output=True, text=True)
    return int(done.stdout) / 1024


def record() -> str:
    return sys.argv[1] if len(sys.argv) > 1 else "excerpt"


def main() -> None:
    recording = open_recording(record())
    long, fs = half_hour(recording), recording.fs
    ten = recording.counts[:, : round(10 * fs)]
    scale = np.asarray(recording.uv_per_count, dtype=np.float32)[:, None]
    window = Window(
        first=0,
        fs=fs,
        leads=recording.leads,
        microvolts=read_only(ten.astype(np.float32) * scale),
        missing=np.zeros(ten.shape[1], dtype=np.bool_),
    )
    screen = WindowScreener(Screener())
    per_window = median_s(lambda: screen(window), lambda: neurokit(window.microvolts[0], fs), 20)
    whole = (long.counts[0] * scale[0]).astype(np.float64)
    per_record = median_s(lambda: through_the_edge(long), lambda: neurokit(whole, fs), 2)
    segments = through_the_edge(long)
    sent = sum(len(encode_segment(segment, seq, "bench")) for seq, segment in enumerate(segments))
    raw = 2 * long.counts.size
    figures = {
        "record": record(),
        "leads": len(recording.leads),
        "fs": fs,
        "window_ms": {"edge": 1e3 * per_window[0], "neurokit2": 1e3 * per_window[1]},
        "half_hour_s": {"edge": per_record[0], "neurokit2": per_record[1]},
        "cold_start_s": {"edge": cold_start_s(COLD_START), "neurokit2": cold_start_s("import neurokit2")},
        "resident_mb": resident_mb(),
        "bytes_per_hour": {"uplink": 2 * sent, "raw_int16": 2 * raw, "share": sent / raw},
        "forwarded_share": sum(s.counts.shape[1] for s in segments) / long.counts.shape[1],
        "cpus": os.cpu_count(),
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
