from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ecg import Gap, RecordingEnd, SampleBlock
from models.errors import RecordingError
from models.formats import write_edf, write_wfdb
from models.recordings import (
    Recording,
    RecordingSource,
    lead_name,
    make_recording,
    open_recording,
    safe_id,
)


def ramp(samples: int = 1000, missing: tuple[tuple[int, int, int], ...] = (), fs: float = 250.0) -> Recording:
    """Two leads, every sample its own number; `missing` are (lead, first, count)."""
    counts = np.stack([np.arange(samples), -np.arange(samples)])
    mask = np.zeros(counts.shape, dtype=np.bool_)
    for lead, first, count in missing:
        mask[lead, first : first + count] = True
    return make_recording("ramp", fs, ["I", "V1"], counts, [5.0, 2.5], missing=mask, start_utc=1.7e9)


def reassembled(recording: Recording, items: Iterator[SampleBlock | Gap | RecordingEnd]) -> np.ndarray:
    """The samples as the items tell them; fails where one is lost, doubled or out of order."""
    counts = np.zeros_like(recording.counts)
    at = 0
    for item in items:
        if isinstance(item, RecordingEnd):
            assert item.last == at - 1 == recording.counts.shape[1] - 1
            return counts
        assert item.first == at
        if isinstance(item, SampleBlock):
            counts[:, item.first : item.last + 1] = item.counts
        at = item.last + 1
    raise AssertionError("no RecordingEnd")


def test_the_excerpt_is_five_minutes_of_one_lead(excerpt: Recording) -> None:
    assert (excerpt.patch_id, excerpt.fs, excerpt.leads) == ("excerpt", 360.0, ("MLII",))
    assert excerpt.counts.shape == (1, 108000)
    assert excerpt.duration_s == 300.0
    assert excerpt.uv_per_count == (5.0,)
    assert excerpt.counts[0, :5].tolist() == [-49, -43, -37, -35, -34]
    assert not excerpt.counts.flags.writeable


def test_the_excerpt_is_record_208_from_sample_422820(excerpt: Recording, ecg_data: Path) -> None:
    whole = open_recording(ecg_data / "mitdb" / "208")
    assert np.array_equal(whole.counts[0, 422820 : 422820 + 108000], excerpt.counts[0])
    assert whole.leads == ("MLII", "V1")
    assert whole.uv_per_count == (5.0, 5.0)
    assert whole.counts[:, :10].tolist() == [[-21] * 8 + [-25, -29], [38] * 9 + [44]]


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_a_wfdb_record_opens_by_any_of_its_names(ecg_data: Path, suffix: str) -> None:
    recording = open_recording(str(ecg_data / "svdb" / "820") + suffix)
    assert (recording.patch_id, recording.fs, recording.leads) == ("820", 128.0, ("ECG1", "ECG2"))


def test_a_gain_of_400_per_millivolt_is_2_5_microvolts(ecg_data: Path) -> None:
    recording = open_recording(ecg_data / "cudb" / "cu01")
    assert recording.uv_per_count == (2.5,)
    assert recording.leads == ("ECG",)


def test_a_truncated_wfdb_record_says_how_many_samples_are_there(tmp_path: Path) -> None:
    write_wfdb(ramp(), tmp_path / "ramp")
    with (tmp_path / "ramp.dat").open("r+b") as file:
        file.truncate(2 * 2 * 640)
    with pytest.raises(RecordingError, match=r"header says 1000 samples, ramp\.dat holds 640"):
        open_recording(tmp_path / "ramp.hea")


def test_a_truncated_record_in_format_212_is_found_too(ecg_data: Path, tmp_path: Path) -> None:
    for suffix in ("hea", "dat"):
        shutil.copyfile(ecg_data / "mitdb" / f"208.{suffix}", tmp_path / f"208.{suffix}")
    with (tmp_path / "208.dat").open("r+b") as file:
        file.truncate(3 * 640000)
    with pytest.raises(RecordingError, match=r"header says 650000 samples, 208\.dat holds 640000"):
        open_recording(tmp_path / "208")


def test_a_flipped_byte_is_found_by_the_checksum(tmp_path: Path) -> None:
    write_wfdb(ramp(), tmp_path / "ramp")
    data = bytearray((tmp_path / "ramp.dat").read_bytes())
    data[100] ^= 1
    (tmp_path / "ramp.dat").write_bytes(data)
    with pytest.raises(RecordingError, match="damaged: the checksum of signal"):
        open_recording(tmp_path / "ramp")


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        ("", "not a WFDB header"),
        ("x 0 250 1000\n", "names no signals"),
        ("x 1 250 1000\nx.dat 16 200/mV\n", "x.dat is missing"),
        ("x 1 250 10\nx.hea 16 10/mmHg 16 0 0 0 0 ABP\n", "holds no signal in mV, uV or V"),
        ("x/2 1 250 1000\na 500\nb 500\n", "several segments"),
        ("x 2 250 10\nx.hea 16 200/mV 0 0 0 0 0 I\nx.hea 16x2 200/mV 0 0 0 0 0 II\n", "different rates"),
    ],
)
def test_a_header_that_cannot_be_followed_is_one_sentence(tmp_path: Path, header: str, sentence: str) -> None:
    (tmp_path / "x.hea").write_text(header)
    with pytest.raises(RecordingError, match=sentence):
        open_recording(tmp_path / "x")


def test_a_missing_file_and_a_foreign_format_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="not found"):
        open_recording(tmp_path / "nothing")
    with pytest.raises(RecordingError, match="not found"):
        open_recording(tmp_path / "nothing.edf")
    for folder in (".", "/"):
        with pytest.raises(RecordingError, match="not found"):
            open_recording(folder)
    (tmp_path / "table.csv").write_text("1,2\n")
    with pytest.raises(RecordingError, match="not a format we read"):
        open_recording(tmp_path / "table.csv")
    (tmp_path / "broken.edf").write_bytes(b"0" * 700)
    with pytest.raises(RecordingError, match=r"broken\.edf"):
        open_recording(tmp_path / "broken.edf")


def test_wfdb_returns_the_same_counts_gaps_and_time(tmp_path: Path) -> None:
    recording = ramp(missing=((0, 300, 50), (1, 300, 80)))
    write_wfdb(recording, tmp_path / "ramp")
    again = open_recording(tmp_path / "ramp")
    assert np.array_equal(again.counts, recording.counts)
    assert again.gaps == recording.gaps == ((300, 50),)
    assert again.lead_off == recording.lead_off == (("V1", 350, 30),)
    assert again.uv_per_count == recording.uv_per_count
    assert (again.boot_id, again.fs, again.leads) == (recording.boot_id, recording.fs, recording.leads)
    assert again.start_utc == recording.start_utc


def test_wfdb_holds_counts_beyond_16_bits(tmp_path: Path) -> None:
    counts = np.array([[0, 1 << 20, -(1 << 23), 7]])
    write_wfdb(make_recording("wide", 500, ["II"], counts, [0.04]), tmp_path / "wide")
    again = open_recording(tmp_path / "wide")
    assert np.array_equal(again.counts, counts)
    assert again.uv_per_count == pytest.approx((0.04,))


@pytest.mark.parametrize("samples", [1000, 1001, 997])
def test_edf_returns_the_same_counts_and_time(tmp_path: Path, samples: int) -> None:
    recording = ramp(samples)
    write_edf(recording, tmp_path / "ramp.edf")
    again = open_recording(tmp_path / "ramp.edf")
    assert np.array_equal(again.counts, recording.counts)
    assert again.uv_per_count == pytest.approx(recording.uv_per_count)
    assert (again.fs, again.leads, again.start_utc) == (recording.fs, recording.leads, recording.start_utc)


def test_a_truncated_edf_file_is_said_to_be_truncated(tmp_path: Path) -> None:
    write_edf(ramp(), tmp_path / "ramp.edf")
    data = (tmp_path / "ramp.edf").read_bytes()
    (tmp_path / "ramp.edf").write_bytes(data[:-1000])
    with pytest.raises(RecordingError, match="truncated"):
        open_recording(tmp_path / "ramp.edf")


def test_edf_refuses_gaps_and_wide_counts(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="gaps"):
        write_edf(ramp(missing=((0, 10, 5),)), tmp_path / "x.edf")
    with pytest.raises(RecordingError, match="16 bits"):
        write_edf(make_recording("x", 250, ["I"], np.array([[0, 1 << 20]]), [1.0]), tmp_path / "x.edf")


@given(st.lists(st.integers(1, 400), min_size=1, max_size=20))
def test_any_split_into_blocks_tells_the_same_samples(sizes: list[int]) -> None:
    recording = ramp(missing=((0, 300, 50), (1, 280, 90)))
    items = list(RecordingSource(recording, sizes=sizes).blocks())
    assert np.array_equal(reassembled(recording, iter(items)), recording.counts)
    assert [(i.first, i.count) for i in items if isinstance(i, Gap)] == [(300, 50)]
    off = {s for i in items if isinstance(i, SampleBlock) and i.lead_off for s in range(i.first, i.last + 1)}
    assert off == set(range(280, 300)) | set(range(350, 370))


async def test_a_source_waits_for_real_time_and_at_speed_0_does_not() -> None:
    recording = ramp(250)
    begun = time.monotonic()
    items = [item async for item in RecordingSource(recording, sizes=[50], speed=5)]
    assert time.monotonic() - begun >= 0.2
    fast = [item async for item in RecordingSource(recording, sizes=[50])]
    assert [i.last for i in fast] == [i.last for i in items] == [49, 99, 149, 199, 249, 249]
    assert np.array_equal(reassembled(recording, iter(fast)), recording.counts)


def test_lead_names_are_the_fields_own() -> None:
    assert [lead_name(n) for n in ("ECG MLII", "EKG ii", "AVR", "ECG", "lead V1", "CM5", "ECG1")] == [
        "MLII", "II", "aVR", "ECG", "V1", "CM5", "ECG1",
    ]  # fmt: skip
    twice = make_recording("x", 250, ["ECG", "ECG", "I"], np.zeros((3, 4)), [1.0] * 3)
    assert twice.leads == ("ECG", "ECG 2", "I")


def test_a_patch_id_is_one_level_of_a_topic() -> None:
    assert safe_id("ward 3/bed#1+x") == "ward-3-bed-1-x"
    with pytest.raises(RecordingError, match="patch id"):
        safe_id("+/#")
