"""Exports read back by the programs others read them with: every sample, every gap, every finding."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import edfio
import numpy as np
import pytest
import wfdb

from cloud.console.seen import everything
from cloud.prints.command import Wanted, print_to
from cloud.prints.export import export, wfdb_rows, zipped
from cloud.prints.tracing import Tracing, of_episode, of_patch
from cloud.sqlite_store import SqliteStore
from models.errors import RecordingError, UsageError
from models.recordings import open_recording
from models.verdicts import LABELS, Finding

ROOT = Path(__file__).resolve().parents[3]
UTC_0 = 1_700_000_000.0
Make = Callable[..., Tracing]
Found = Callable[..., Finding]


def test_wfdb_reads_back_sample_for_sample_with_the_gap(
    kept: SqliteStore, episode_id: str, tmp_path: Path
) -> None:
    tracing = of_episode(everything(kept), episode_id)
    (hea, *_), path = export([tracing], "wfdb", tmp_path), tmp_path
    record = wfdb.rdrecord(str(hea.with_suffix("")), physical=False)
    assert (path / "RECORDS").read_text().split() == [hea.stem]
    gone = record.d_signal[:, 0] == -(2**15)
    assert np.array_equal(gone, tracing.missing)
    assert np.array_equal(record.d_signal[~gone, 0], tracing.counts[0, ~gone])
    assert record.base_datetime.isoformat() == "2023-11-14T22:13:20"
    again = open_recording(hea)
    assert np.array_equal(again.counts, tracing.counts)
    assert again.gaps == tracing.gaps
    assert any("not yet reviewed" in comment for comment in record.comments)


def test_wfdb_annotations_are_the_findings(kept: SqliteStore, episode_id: str, tmp_path: Path) -> None:
    tracing = of_episode(everything(kept), episode_id)
    hea = export([tracing], "wfdb", tmp_path)[0]
    marks = wfdb.rdann(str(hea.with_suffix("")), "atr")
    beats = [(int(s), m) for s, m in zip(marks.sample, marks.symbol, strict=True) if m in "SVF"]
    said = [(f.evidence["r_peak"], LABELS[f.label].wfdb) for f in tracing.findings if f.label in "SVF"]
    assert beats == sorted(said)
    assert marks.fs == tracing.fs
    changes = [(s, n) for s, m, n in zip(marks.sample, marks.symbol, marks.aux_note, strict=True) if m == "+"]
    trigeminy = [(f.first, f.last + 1) for f in tracing.findings if f.label == "T"]
    expected = [(0, "(U"), *(row for a, b in trigeminy for row in ((a, "(T"), (b, "(U")))]
    assert changes == expected
    notes = dict(zip(marks.sample.tolist(), marks.aux_note, strict=True))
    v = next(f for f in tracing.findings if f.label == "V")
    assert notes[v.evidence["r_peak"]] == f"p={v.probability:.2f} threshold={v.evidence['threshold']:.2f}"


def test_edf_reads_back_sample_for_sample_in_the_stretches_between_gaps(
    kept: SqliteStore, episode_id: str, tmp_path: Path
) -> None:
    tracing = of_episode(everything(kept), episode_id)
    files = export([tracing], "edf", tmp_path)
    read = [edfio.read_edf(path) for path in files]
    assert len(files) == 2
    assert np.array_equal(
        np.concatenate([edf.signals[0].digital for edf in read]), tracing.counts[0, ~tracing.missing]
    )
    assert [edf.startdatetime.isoformat()[:19] for edf in read] == [
        "2023-11-14T22:13:20",
        "2023-11-14T22:13:55",
    ]
    texts = [a.text for edf in read for a in edf.annotations]
    assert sum(text.startswith("V ventricular premature beat p=0.") for text in texts) == sum(
        f.label == "V" for f in tracing.findings
    )
    v = next(f for f in tracing.findings if f.label == "V")
    mark = next(a for a in read[0].annotations if a.text.startswith("V "))
    assert mark.onset == pytest.approx(v.first / 360)
    assert mark.duration == pytest.approx((v.last + 1 - v.first) / 360)


@pytest.mark.parametrize("count", [601, 3601, 39_997, 118_793])
def test_edf_of_any_number_of_samples(made: Make, tmp_path: Path, count: int) -> None:
    tracing = made(count / 360, fs=360.0)
    (path,) = export([tracing], "edf", tmp_path)
    (signal,) = edfio.read_edf(path).signals
    assert np.array_equal(signal.digital, tracing.counts[0])
    assert signal.sampling_frequency == pytest.approx(360, rel=1e-6)
    assert np.array_equal(open_recording(path).counts, tracing.counts)


def test_a_stretch_of_an_episode_has_only_what_lies_in_it(
    kept: SqliteStore, episode_id: str, tmp_path: Path
) -> None:
    whole, cut = (
        of_episode(everything(kept), episode_id),
        of_episode(everything(kept), episode_id, 50.5, 62.0),
    )
    assert (cut.first, cut.last) == (round(50.5 * 360), 62 * 360 - 1)
    assert np.array_equal(cut.counts, whole.counts[:, cut.first : cut.last + 1])
    hea = export([cut], "wfdb", tmp_path)[0]
    marks = wfdb.rdann(str(hea.with_suffix("")), "atr")
    beats = [s + cut.first for s, m in zip(marks.sample, marks.symbol, strict=True) if m in "SVF"]
    peaks = sorted(f.evidence["r_peak"] for f in whole.findings if f.label in "SVF")
    assert beats == [r for r in peaks if cut.first <= r <= cut.last]


def test_a_patch_between_two_moments(kept: SqliteStore) -> None:
    (tracing,) = of_patch(everything(kept), "excerpt", UTC_0 + 10, UTC_0 + 20)
    assert (tracing.first, tracing.last) == (3600, 7199)
    with pytest.raises(UsageError, match="Of patch excerpt nothing came between 2023"):
        list(of_patch(everything(kept), "excerpt", UTC_0 + 1000, UTC_0 + 2000))


def test_of_two_rhythms_at_once_the_one_that_began_last_is_told(made: Make, found: Found) -> None:
    tracing = made(40, findings=(found("AFIB", 500, 5999), found("VT", 2000, 2999, None)))
    changes = [(sample, note) for sample, symbol, note in wfdb_rows(tracing) if symbol == "+"]
    assert changes == [(0, "(U"), (500, "(AFIB"), (2000, "(VT"), (3000, "(AFIB"), (6000, "(U")]


def test_rules_and_unreadable_signal_are_notes(made: Make, found: Found) -> None:
    tracing = made(
        10, findings=(found("PAUSE", 250, 999, None), found("NOISE", 1250, 1749, None)), lead_off=((0, 5),)
    )
    rows = wfdb_rows(tracing)
    assert (250, '"', "PAUSE 3.00 s by rule") in rows
    assert (1250, "~", "NOISE 2.00 s by rule") in rows
    assert (0, "~", "lead off 0.02 s") in rows


def test_an_archive_is_the_same_bytes_every_time(kept: SqliteStore, episode_id: str) -> None:
    first, second = (zipped([of_episode(everything(kept), episode_id)], "wfdb") for _ in range(2))
    assert first == second
    names = zipfile.ZipFile(io.BytesIO(first)).namelist()
    assert {name.rpartition(".")[2] for name in names} == {"RECORDS", "hea", "dat", "atr"}


def test_a_hostile_lead_name_cannot_write_a_line_of_a_header(made: Make, tmp_path: Path) -> None:
    tracing = made(2, leads=("II\nevil.dat 16 200 0", "II\nevil.dat 16 200 0"), patch_id="../../x")
    hea = export([tracing], "wfdb", tmp_path)[0]
    assert hea.parent == tmp_path
    record = wfdb.rdheader(str(hea.with_suffix("")))
    assert record.n_sig == 2
    assert all(name == f"{hea.stem}.dat" for name in record.file_name)


def test_counts_beyond_edf_are_refused_in_a_sentence(made: Make, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="do not fit into EDF; write it as WFDB"):
        export([made(2, millivolts=40.0)], "edf", tmp_path)
    with pytest.raises(RecordingError, match="cannot be written as EDF"):
        export([replace(made(2), leads=("a name of more than sixteen letters",))], "edf", tmp_path)
    hea = export([made(2, millivolts=40.0)], "wfdb", tmp_path)[0]
    assert wfdb.rdrecord(str(hea.with_suffix("")), physical=False).d_signal.max() == 40_000


def test_the_command_exports_from_a_store_that_is_open(
    kept: SqliteStore, kept_path: Path, episode_id: str, tmp_path: Path
) -> None:
    config = tmp_path / "cloud.toml"
    config.write_text(f'store = "sqlite:///{kept_path.as_posix()}"\n', encoding="utf-8")
    what = ["--episode", episode_id, "--from", "40", "--to", "50", "--config", str(config)]
    command = [sys.executable, "-m", "anyecg", "cloud", "export", *what, "-o", str(tmp_path / "x")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert [Path(line).suffix for line in done.stdout.split()] == [".hea", ".dat", ".atr", ""]
    assert kept.episode(episode_id) is not None


def test_prints_of_the_command(kept_path: Path, episode_id: str, tmp_path: Path) -> None:
    url = f"sqlite:///{kept_path.as_posix()}"
    day = Wanted(episode=None, patch="excerpt", start="2023-11-14", end="2023-11-15")
    strip = Wanted(episode=episode_id, patch=None, start="3", end="9")
    whole = Wanted(episode=episode_id, patch=None, start=None, end=None)
    for wanted, name, begin in (
        (day, "day.pdf", b"%PDF"),
        (whole, "report.pdf", b"%PDF"),
        (strip, "strip.svg", b"<svg"),
        (strip, "strip.png", b"\x89PNG"),
    ):
        print_to(tmp_path / name, url, wanted, UTC_0)
        assert (tmp_path / name).read_bytes().startswith(begin)
    for wanted, name in ((day, "day.png"), (strip, "part.pdf"), (whole, "report.doc")):
        with pytest.raises(UsageError, match=r"A report is a \.pdf"):
            print_to(tmp_path / name, url, wanted, UTC_0)
    with pytest.raises(UsageError, match=r"cannot be written: No such file"):
        print_to(tmp_path / "no" / "report.pdf", url, whole, UTC_0)


def test_a_command_that_is_not_clear_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one of them"):
        Wanted(episode=None, patch=None, start=None, end=None)
    with pytest.raises(UsageError, match="needs --from T and --to T"):
        Wanted(episode=None, patch="p", start=None, end=None)
    wanted = Wanted(episode="E", patch=None, start="soon", end=None)
    with pytest.raises(UsageError, match="There is no store"):
        print_to(tmp_path / "x.svg", f"sqlite:///{tmp_path.as_posix()}/cloud.db", wanted, UTC_0)
    assert not (tmp_path / "cloud.db").exists()
