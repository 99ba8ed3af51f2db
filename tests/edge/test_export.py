"""`anyecg edge export` and `edge recorded`: sample for sample, and one sentence for what is wrong."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anyecg import app
from edge.recorder import Recorder
from models.ecg import Clock, Marker, RecordingEnd, StreamItem
from models.errors import AnyEcgError
from models.recordings import Recording, RecordingSource, make_recording, open_recording

ROOT = Path(__file__).resolve().parents[2]
Run = Callable[..., dict[str, Any]]
BEGAN = 1_772_352_000.0  # 2026-03-01T08:00:00Z


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """`anyecg edge ...` in this process: the one object that it prints."""

    def edge(*arguments: object) -> dict[str, Any]:
        app(["edge", *map(str, arguments)], standalone_mode=False)
        (line,) = capsys.readouterr().out.splitlines()
        out: dict[str, Any] = json.loads(line)
        return out

    return edge


def refused(run: Run, *arguments: object) -> str:
    with pytest.raises(AnyEcgError) as caught:
        run(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def clock_of(fs: float) -> Callable[[int], Clock]:
    return lambda _: Clock(utc_0=BEGAN, fs=fs, error_s=0.05, quality="arrival")


def keep(state: Path, recording: Recording, *more: StreamItem, sizes: list[int] | None = None) -> None:
    recorder = Recorder(state / "recorder", 50_000_000)
    for item in [*RecordingSource(recording, sizes=sizes or []).blocks(), *more]:
        recorder.push(item, clock_of(recording.fs))
        if isinstance(item, RecordingEnd):
            recorder.store()
    recorder.close()


def ramp(name: str = "ramp", *, holes: bool = False, fs: float = 250.0, seconds: int = 60) -> Recording:
    up = np.arange(round(seconds * fs), dtype=np.int32) - 7000
    missing = np.zeros((2, len(up)), dtype=np.bool_)
    if holes:
        missing[:, 5000:5600] = True
        missing[1, 9000:9100] = True
    return make_recording(name, fs, ["I", "V1"], np.stack([up, -up]), [5.0, 2.5], missing=missing)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "edge.toml"
    path.write_text(f'state = "{(tmp_path / "state").as_posix()}"\n', encoding="utf-8")
    return path


def test_an_exported_excerpt_is_the_recording_sample_for_sample_in_both_formats(
    tmp_path: Path, config: Path, excerpt: Recording, run: Run
) -> None:
    keep(tmp_path / "state", excerpt, sizes=[77, 400, 1, 360])
    out = run("export", "--from", 0, "--to", 300, "-o", tmp_path / "rec", "--config", config)
    assert out["spans"][0]["files"] == [str(tmp_path / "rec.hea"), str(tmp_path / "rec.dat")]
    again = open_recording(tmp_path / "rec")
    assert np.array_equal(again.counts, excerpt.counts)
    assert (again.fs, again.leads, again.uv_per_count) == (excerpt.fs, excerpt.leads, excerpt.uv_per_count)
    assert again.start_utc == BEGAN
    part = run(
        "export", "--from", "2026-03-01T08:00:30.5Z", "--to", "2026-03-01T09:01:30+01:00",
        "-o", tmp_path / "part.edf", "--format", "edf", "--config", config, "--patch", "excerpt",
    )  # fmt: skip
    again = open_recording(tmp_path / "part.edf")
    begin, end = round(30.5 * 360), 90 * 360
    assert np.array_equal(again.counts, excerpt.counts[:, begin:end])
    assert again.start_utc == BEGAN + 30.5
    span = part["spans"][0]
    assert (span["first"], span["last"], span["from_utc"]) == (
        begin,
        end - 1,
        "2026-03-01T08:00:30.500+00:00",
    )


def test_gaps_lead_off_and_markers_are_in_the_file_and_in_the_summary(
    tmp_path: Path, config: Path, run: Run
) -> None:
    recording = ramp(holes=True)
    boot = {"patch_id": recording.patch_id, "boot_id": recording.boot_id}
    keep(tmp_path / "state", recording, Marker(**boot, first=4000))
    out = run("export", "--from", 0, "--to", 3600, "-o", tmp_path / "rec", "--config", config)
    again = open_recording(tmp_path / "rec")
    assert np.array_equal(again.counts, recording.counts)
    assert (again.gaps, again.lead_off) == (recording.gaps, recording.lead_off)
    (span,) = out["spans"]
    assert (span["first"], span["last"], span["leads"]) == (0, 14_999, ["I", "V1"])
    assert span["gaps"] == [{"first": 5000, "count": 600, "start_s": 20.0, "s": 2.4, "reason": "unanswered"}]
    assert span["lead_off"] == [{"lead": "V1", "first": 9000, "count": 100, "start_s": 36.0, "s": 0.4}]
    assert span["markers"] == [{"first": 4000, "start_s": 16.0, "source": "button"}]
    edf = ("export", "--to", 60, "-o", tmp_path / "x", "--format", "edf", "--config", config, "--from")
    assert "EDF cannot hold the recording's gaps; write it as WFDB" in refused(run, *edf, 0)
    assert run(*edf, 37)["spans"][0]["gaps"] == []


def test_every_boot_of_the_time_is_a_recording_of_its_own(tmp_path: Path, config: Path, run: Run) -> None:
    first, second = ramp(), replace(ramp(holes=True), boot_id=5)
    keep(tmp_path / "state", first)
    keep(tmp_path / "state", second)
    when = ("--from", "2026-03-01T08:00:00Z", "--to", "2026-03-01T08:00:10Z")
    out = run("export", *when, "-o", tmp_path / "rec", "--config", config)
    assert [span["boot_id"] for span in out["spans"]] == [first.boot_id, 5]
    for number in (1, 2):
        assert np.array_equal(open_recording(tmp_path / f"rec-{number}").counts, first.counts[:, :2500])
    seconds = ("export", "--from", 0, "--to", 9, "--config", config, "-o", tmp_path / "one")
    assert "--boot" in refused(run, *seconds)
    assert run(*seconds, "--boot", 5)["spans"][0]["boot_id"] == 5


def test_what_had_to_leave_is_told_by_recorded_and_by_export(tmp_path: Path, config: Path, run: Run) -> None:
    fs, rng = 250.0, np.random.default_rng(4)
    counts = rng.integers(-30_000, 30_000, (1, 60_000), dtype=np.int32)
    recording = make_recording("noise", fs, ["II"], counts, [1.0])
    recorder = Recorder(tmp_path / "state" / "recorder", 100_000)
    for number, item in enumerate(RecordingSource(recording).blocks()):
        recorder.push(item, clock_of(fs))
        if number % 20 == 0:
            recorder.store()
    recorder.close()
    listed = run("recorded", "--config", config)
    (boot,), gone = listed["boots"], listed["evicted"]
    assert (boot["patch_id"], boot["leads"], boot["last"], boot["missing_s"]) == ("noise", ["II"], 59_999, 0)
    assert boot["first"] == gone[-1]["last"] + 1 > 0 == gone[0]["first"]
    assert boot["bytes"] <= 100_000
    out = run("export", "--from", 0, "--to", 240, "-o", tmp_path / "rec", "--config", config)
    assert out["evicted"] == gone
    assert np.array_equal(open_recording(tmp_path / "rec").counts, counts[:, boot["first"] :])
    when = ("--from", "2026-03-01T08:00:00Z", "--to", "2026-03-01T08:00:02Z")
    assert "made room for newer ones" in refused(
        run, "export", *when, "-o", tmp_path / "x", "--config", config
    )


def test_wrong_input_is_one_sentence(tmp_path: Path, config: Path, run: Run) -> None:
    stretch = ("--from", 0, "--to", 10)
    rec, of = ("-o", tmp_path / "rec"), ("--config", config)
    assert "holds no recording" in refused(run, "export", *stretch, *rec, *of)
    keep(tmp_path / "state", ramp())
    for begin, end, sentence in (
        (10, 10, "--from is before --to"),
        (0, 86_401, "at most 24 h"),
        (0, "2026-03-01T08:00:00Z", "both are times or both are seconds"),
        ("yesterday", 10, "'yesterday' is neither a time like"),
        ("nan", 10, "'nan' is neither"),
        ("2026-03-01T08:00:00", "2026-03-01T09:00:00", "has no zone"),
        (100, 200, "Nothing is recorded from --from to --to"),
        ("2025-03-01T08:00Z", "2025-03-01T09:00Z", "Nothing is recorded from --from to --to"),
    ):
        assert sentence in refused(run, "export", "--from", begin, "--to", end, *rec, *of)
    for options, sentence in (
        (("--patch", "other"), "Nothing is recorded of patch other; there is ramp"),
        (("--boot", 9), "Nothing is recorded of boot 9"),
        (("--format", "dicom"), "it is wfdb or edf"),
        (("-o", tmp_path / "nowhere" / "rec"), "is not a folder"),
        (("-o", tmp_path / "no name"), "cannot name a WFDB record"),
    ):
        assert sentence in refused(run, "export", *stretch, *rec, *of, *options)
    assert not list(tmp_path.glob("rec*"))
    keep(tmp_path / "state", ramp("second"))
    assert "give --patch ramp or second" in refused(run, "export", *stretch, *rec, *of)
    run("export", *stretch, *rec, *of, "--patch", "second")
    assert "is there already" in refused(run, "export", *stretch, *rec, *of, "--patch", "second")
    config.write_text("[recorder]\ndisc_mb = 3\n")
    assert "recorder.disk_mb" in refused(run, "recorded", *of)


def test_the_commands_print_data_on_stdout_only_and_no_traceback(tmp_path: Path, config: Path) -> None:
    def edge(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "anyecg", "edge", *map(str, arguments), "--config", str(config)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)

    keep(tmp_path / "state", ramp())
    stretch = ("--from", 0.5, "--to", 10, "-o", tmp_path / "rec", "--format", "edf")
    done = edge("export", *stretch)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["spans"][0]["files"] == [str(tmp_path / "rec.edf")]
    again = edge("export", *stretch)
    assert (again.returncode, again.stdout) == (2, "")
    assert again.stderr == f"anyecg: {tmp_path / 'rec.edf'} is there already: give another name to -o.\n"
