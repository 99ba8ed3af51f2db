"""The whole loop as people run it: every segment once, whatever is killed, and no process left behind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[1]
BROWSER = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PID = re.compile(r"^(\w+): process (\d+)$")


class Demo:
    """`anyecg demo --headless` as a process of its own; `pids` follows its words on stderr."""

    def __init__(self, state: Path, *options: str, headless: bool = True) -> None:
        self.state = state
        self.pids: dict[str, int] = {}
        self.every_pid: set[int] = set()
        self.said: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "anyecg", "demo", "--state", str(state), *options]
            + ["--headless"] * headless,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self._listener = threading.Thread(target=self._listen, args=(self.process.stderr,))
        self._listener.start()

    def _listen(self, lines: IO[str]) -> None:
        for line in lines:
            self.said.append(line.strip())
            if match := PID.match(line.strip()):
                self.pids[match[1]] = int(match[2])
                self.every_pid.add(int(match[2]))

    def wait_for(self, word: str, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not any(word in line for line in self.said):
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)

    def figures(self, seconds: float) -> dict[str, Any]:
        """What it prints at its end, the only thing on stdout."""
        self.process.wait(seconds)  # `communicate` would read, and close, what the listener reads
        self._listener.join()
        assert self.process.returncode == 0, self.said
        assert self.process.stdout is not None
        (line,) = self.process.stdout
        figures: dict[str, Any] = json.loads(line)
        return figures

    def left_behind(self) -> list[int]:
        """Processes it started that still run."""
        return [
            process.pid
            for process in psutil.process_iter(["cmdline", "status"])
            if process.pid in self.every_pid
            and process.info["status"] != psutil.STATUS_ZOMBIE
            and "anyecg" in " ".join(process.info["cmdline"] or [])
        ]

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._listener.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Any]:
    running: list[Demo] = []

    def begin(*options: str, headless: bool = True) -> Demo:
        running.append(Demo(tmp_path / "state", *options, headless=headless))
        return running[-1]

    yield begin
    for demo in running:
        demo.close()


def replayed() -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "anyecg", "replay", "excerpt", "--jsonl"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def check_against_replay(state: Path, figures: dict[str, Any]) -> None:
    lines = replayed()
    segments = {line["id"]: line["sha256"] for line in lines if line["type"] == "segment"}
    alerts = {line["id"] for line in lines if line["type"] == "alert"}
    with sqlite3.connect(state / "cloud.db") as db:
        assert dict(db.execute("select id, sha256 from segments")) == segments
        assert {row[0] for row in db.execute("select id from alerts")} == alerts
        raised = [json.loads(row[0]) for row in db.execute("select data from events where kind = 'alert'")]
        found = db.execute("select label, first from findings order by 1, 2").fetchall()
        assert db.execute("select count(*) from rejects").fetchone() == (0,)
    db.close()
    assert [told["change"] for told in raised].count("raised") == len(alerts)
    assert figures["segments"] == {"sent": len(segments), "acknowledged": len(segments), "lost": 0}
    assert figures["missing_s"] == 0
    again = sorted(
        (line["label"], round(line["start_s"] * 360)) for line in lines if line["type"] == "finding"
    )
    assert [tuple(row) for row in found] == again


def test_a_recording_becomes_an_alert_and_every_segment_arrives(start: Any, tmp_path: Path) -> None:
    demo = start("--speed", "12")
    figures = demo.figures(110)
    check_against_replay(tmp_path / "state", figures)
    assert figures["segments"]["acknowledged"] >= 15
    assert figures["findings"]["V"] > 50
    assert figures["alerts"] == 1
    assert figures["latency_s"]["n"] == figures["pipeline_s"]["n"] > 50
    assert figures["uplink_bytes"] < figures["raw_bytes"]
    assert demo.left_behind() == []


def test_a_demo_that_is_itself_killed_leaves_nothing_behind(start: Any) -> None:
    demo = start("--speed", "4")
    demo.wait_for("edge: process")
    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait()
    deadline = time.monotonic() + 5
    while demo.left_behind():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_ctrl_c_ends_a_demo_without_a_traceback(start: Any) -> None:
    demo = start("--speed", "4")
    demo.wait_for("edge: process")
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(15) != 0
    demo._listener.join()
    assert not any("Traceback" in line for line in demo.said)
    assert demo.left_behind() == []


def test_an_open_page_shows_an_alert_of_record_208_soon_and_marks_its_ectopic_beats(
    start: Any, tmp_path: Path, chromium: str, ecg_data: Path
) -> None:
    """A training record: this checks the wiring from sample to pixel, not accuracy."""
    import wfdb
    from playwright.sync_api import sync_playwright

    demo = start("--speed", "12", headless=False)
    demo.wait_for("The nurse's page")
    (url,) = {word for line in demo.said for word in line.split() if word.startswith("http://")}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=BROWSER)
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.goto(url)
        assert page.locator("[data-alert]").count() == 0
        page.wait_for_selector("[data-alert]", timeout=110_000)
        came = time.time()
        page.wait_for_selector("ecg-strip[data-ready]")
        with contextlib.closing(sqlite3.connect(tmp_path / "state" / "cloud.db")) as db:
            (committed,) = db.execute("select min(written_at) from events where kind = 'alert'").fetchone()
        crowd = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))  # who else wants the cores meanwhile
        assert came - committed < 2 * crowd
        demo.wait_for("The page stays up", 110)
        assert "ventricular" in page.locator("[data-alert]").first.inner_text()
        spans = json.loads(page.locator("ecg-strip").get_attribute("data-spans") or "[]")
        page.screenshot(path=tmp_path / "page.png", full_page=True)
        browser.close()
    ectopic = [(span["first"], span["last"]) for span in spans if span["label"] in {"V", "F"}]
    first, last = 422_820, 530_819  # of record 208: 1174.5 s to 1474.5 s
    marks = wfdb.rdann(str(ecg_data / "mitdb" / "208"), "atr", sampfrom=first, sampto=last)
    peaks = [s - first for s, symbol in zip(marks.sample, marks.symbol, strict=True) if symbol in "VEF"]
    assert len(peaks) > 140
    marked = sum(any(a <= peak <= b for a, b in ectopic) for peak in peaks) / len(peaks)
    right = sum(any(a <= peak <= b for peak in peaks) for a, b in ectopic) / len(ectopic)
    assert marked >= 0.9
    assert right >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["broker", "cloud", "edge"])
def test_kill_9_three_times_while_parts_are_in_flight_loses_and_doubles_nothing(
    start: Any, tmp_path: Path, victim: str
) -> None:
    rng = random.Random(victim)
    demo = start("--speed", "4")
    demo.wait_for("1 segments")
    for _ in range(3):
        time.sleep(rng.uniform(2, 18))
        before = demo.pids[victim]
        psutil.Process(before).kill()
        deadline = time.monotonic() + 10
        while demo.pids[victim] == before:
            assert time.monotonic() < deadline, demo.said
            time.sleep(0.02)
    figures = demo.figures(240)
    check_against_replay(tmp_path / "state", figures)
    assert demo.left_behind() == []
