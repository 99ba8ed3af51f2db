"""The recorder: what comes is on the disk once, bit for bit, whatever kills, fills or damages it."""

from __future__ import annotations

import contextlib
import logging
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.agent import monitor
from edge.intake import Intake
from edge.outbox import Outbox
from edge.recorded import Recorded
from edge.recorder import Recorder
from edge.records import Kind, Record, encode, pages, scan
from models.ecg import Clock, Gap, GapReason, Marker, SampleBlock, Segment, StreamItem, Window, read_only
from models.errors import RecordingError
from models.recordings import RecordingSource, make_recording
from models.verdicts import Quality, Screening
from models.wire import pack

ROOT = Path(__file__).resolve().parents[2]
BOOT = ("p/1 ä", 7)  # no file could be called that
FS = 10.0  # an hour is 36,000 samples
HOUR = round(3600 * FS)
BUDGET = 10_000_000


def block(first: int, count: int, *, leads: int = 1, off: Iterable[str] = (), fs: float = FS) -> SampleBlock:
    """Every sample tells its own index."""
    ramp = np.arange(first, first + count, dtype=np.int32) * 3
    return SampleBlock(
        patch_id=BOOT[0],
        boot_id=BOOT[1],
        first=first,
        fs=fs,
        leads=("II", "V1", "V5")[:leads],
        counts=read_only(np.stack([ramp * (-1) ** i - i for i in range(leads)])),
        uv_per_count=(5.0, 2.5, 1.0)[:leads],
        lead_off=frozenset(off),
    )


def gap(first: int, count: int, reason: GapReason = GapReason.UNANSWERED) -> Gap:
    return Gap(patch_id=BOOT[0], boot_id=BOOT[1], first=first, count=count, reason=reason)


def noise(blocks: int) -> list[SampleBlock]:
    """Seconds of 100 samples that no codec makes smaller than 400 bytes."""
    counts = np.random.default_rng(1).integers(-(2**31), 2**31 - 1, (blocks, 1, 100), dtype=np.int32)
    return [replace(block(i * 100, 100, fs=10 * FS), counts=read_only(counts[i])) for i in range(blocks)]


def now_and_then(window: Window) -> Screening:
    """Flags one window of 40."""
    flagged = window.first // round(5 * window.fs) % 40 == 7
    return Screening(
        first=window.first,
        last=window.last,
        scores={},
        quality=Quality(readable=True),
        flagged=flagged,
        model="by hand",
    )


@contextlib.contextmanager
def damaged_head(folder: Path) -> Iterator[None]:
    """The head at the beginning of the oldest file, for a while."""
    path = folder / pages(folder)[0].name
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    yield
    path.write_bytes(whole)


def at(sample: int) -> Clock:
    return Clock(utc_0=1.7e9, fs=FS, error_s=0.05, quality="arrival")


def recorded(
    folder: Path, items: Iterable[StreamItem], *, stored_every: int = 1, budget: int = BUDGET
) -> Recorder:
    recorder = Recorder(folder, budget, headroom=0)
    for number, item in enumerate(items):
        recorder.push(item, at)
        if number % stored_every == 0:
            recorder.store()
    recorder.close()
    return recorder


def told(folder: Path, first: int, last: int) -> list[tuple[int, int, object]]:
    """(first, last, the samples or the reason); every sample exactly once, or this fails."""
    items = list(Recorded(folder).read(BOOT, first, last))
    assert items[0].first == first
    assert items[-1].last == last
    assert all(a.last + 1 == b.first for a, b in pairwise(items))
    return [(i.first, i.last, i.reason if isinstance(i, Gap) else i.counts.tolist()) for i in items]


def there(folder: Path, first: int, last: int) -> list[int]:
    """The samples that are on disk; fails where one is not its own."""
    out = []
    for item in Recorded(folder).read(BOOT, first, last):
        if isinstance(item, SampleBlock):
            assert np.array_equal(
                item.counts, block(item.first, item.last + 1 - item.first, leads=len(item.leads)).counts
            )
            out += range(item.first, item.last + 1)
    assert len(set(out)) == len(out)
    return out


def test_blocks_gaps_and_markers_come_back_bit_for_bit_across_hours(tmp_path: Path) -> None:
    marker = Marker(patch_id=BOOT[0], boot_id=BOOT[1], first=HOUR - 40)
    lead_off = block(HOUR + 50, 30, leads=2, off=["V1"])
    items = [
        block(HOUR - 100, 90, leads=2),
        marker,
        block(HOUR - 10, 30, leads=2),
        gap(HOUR + 20, 30),
        lead_off,
    ]
    recorded(tmp_path, items, stored_every=9)
    assert [page.hour for page in pages(tmp_path)] == [0, 1]
    again = list(Recorded(tmp_path).read(BOOT, HOUR - 100, HOUR + 79))
    assert [i.reason for i in again if isinstance(i, Gap)] == [GapReason.UNANSWERED]
    assert there(tmp_path, HOUR - 100, HOUR + 79) == [
        *range(HOUR - 100, HOUR + 20),
        *range(HOUR + 50, HOUR + 80),
    ]
    assert {
        s for i in again if isinstance(i, SampleBlock) and i.lead_off for s in range(i.first, i.last + 1)
    } == set(range(HOUR + 50, HOUR + 80))
    assert Recorded(tmp_path).markers(BOOT, 0, 2 * HOUR) == [marker]
    first = next(i for i in again if isinstance(i, SampleBlock))
    assert replace(first, counts=items[0].counts, first=0) == replace(
        items[0], first=0, counts=items[0].counts
    )  # type: ignore[arg-type, union-attr]
    assert Recorded(tmp_path).clock(BOOT, HOUR) == at(0)


@settings(max_examples=40)
@given(
    pieces=st.lists(
        st.tuples(st.integers(1, 60), st.sampled_from(["block", "block", "block", "gap"])), min_size=1
    ),
    begin=st.sampled_from([0, HOUR - 70, 3 * HOUR - 1]),
    batch=st.integers(1, 7),
    restarts=st.lists(st.integers(0, 40), max_size=3),
    leads=st.integers(1, 3),
    asked=st.tuples(st.integers(-20, 300), st.integers(1, 400)),
)
def test_any_blocks_gaps_batches_and_restarts_are_read_as_they_were(
    pieces: list[tuple[int, str]],
    begin: int,
    batch: int,
    restarts: list[int],
    leads: int,
    asked: tuple[int, int],
) -> None:
    """After a restart the patch is asked again from before: what overlaps is there once."""
    items: list[SampleBlock | Gap] = []
    sample = begin
    for count, kind in pieces:
        items.append(block(sample, count, leads=leads) if kind == "block" else gap(sample, count))
        sample += count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for cut in [*restarts, len(items)]:
            recorded(folder, items[max(0, cut - 12) : cut], stored_every=batch)
        recorded(folder, items, stored_every=batch)
        size = sum(path.stat().st_size for path in folder.iterdir())
        recorded(folder, items, stored_every=batch)
        assert sum(path.stat().st_size for path in folder.iterdir()) == size  # all of it was there
        if not any(isinstance(item, SampleBlock) for item in items):
            assert Recorded(folder).boots() == []  # whose leads they are is not known
            return
        first = max(0, begin + asked[0])
        last = first + asked[1] - 1
        assert there(folder, first, last) == [
            s
            for i in items
            if isinstance(i, SampleBlock)
            for s in range(i.first, i.last + 1)
            if first <= s <= last
        ]
        missing = {
            s: item for item in items if isinstance(item, Gap) for s in range(item.first, item.last + 1)
        }
        for begin_, end, what in told(folder, first, last):
            if isinstance(what, GapReason):
                assert all((s in missing) == (what is GapReason.UNANSWERED) for s in range(begin_, end + 1))


def test_samples_that_come_after_all_take_the_place_of_their_gap(tmp_path: Path) -> None:
    recorded(tmp_path, [block(0, 50), gap(50, 20), block(70, 30)])
    recorded(tmp_path, [block(40, 60)])
    assert there(tmp_path, 0, 99) == list(range(100))


def test_a_change_of_leads_or_scale_begins_a_new_file(tmp_path: Path) -> None:
    other = replace(block(20, 10, leads=2), uv_per_count=(5.0, 5.0))
    recorded(tmp_path, [block(0, 10), block(10, 10, leads=2), other], stored_every=9)
    assert len(pages(tmp_path)) == 3
    assert there(tmp_path, 0, 29) == list(range(30))
    assert [len(i.leads) for i in Recorded(tmp_path).read(BOOT, 0, 29) if isinstance(i, SampleBlock)] == [
        1,
        2,
        2,
    ]


def test_a_clock_that_backfill_made_late_is_put_right_by_a_later_one(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, BUDGET)
    for number in range(100):
        late = 60.0 if number < 20 else 0.0
        recorder.push(
            block(number * 10, 10), lambda sample, late=late: replace(at(sample), utc_0=1.7e9 + late)
        )  # type: ignore[misc]
        recorder.store()
    folder = Recorded(tmp_path)
    for sample in (0, 50, 500, 999):
        assert folder.clock(BOOT, sample).utc(sample) == 1.7e9 + sample / FS
        assert folder.sample_at(BOOT, 1.7e9 + sample / FS) == sample
    recorder.close()


def test_the_clock_of_one_boot_never_times_another(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, BUDGET)
    recorder.push(replace(block(0, 10), boot_id=1), at)
    recorder.push(gap(0, 10), at)
    recorder.push(block(10, 10), lambda _: Clock())
    recorder.close()
    assert Recorded(tmp_path).clock(BOOT, 5) == Clock()
    assert Recorded(tmp_path).clock((BOOT[0], 1), 5) == at(5)


def test_ten_minutes_that_leave_reassembly_at_once_are_all_kept(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, BUDGET)
    for number in range(6000):  # frames of a tenth of a second
        recorder.push(block(number * 25, 25, fs=250.0), at)
    recorder.close()
    assert there(tmp_path, 0, 149_999) == list(range(150_000))


def test_a_gap_before_any_sample_waits_for_what_tells_its_leads(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, BUDGET)
    recorder.push(gap(100, 50, GapReason.EVICTED), at)
    recorder.store()
    recorder.push(block(150, 10), at)
    recorder.close()
    assert [what for _, _, what in told(tmp_path, 90, 149)] == [GapReason.NOT_RECORDED, GapReason.EVICTED]


def test_a_gap_of_days_is_one_record_and_known_where_it_ends(tmp_path: Path) -> None:
    days = 72 * HOUR
    recorded(tmp_path, [block(0, 10), gap(10, days, GapReason.TOO_LONG), block(10 + days, 10)])
    assert len(pages(tmp_path)) == 2
    assert told(tmp_path, 10, 9 + days) == [(10, 9 + days, GapReason.TOO_LONG)]
    assert told(tmp_path, days - 500, 9 + days) == [(days - 500, 9 + days, GapReason.TOO_LONG)]


# -- damage -------------------------------------------------------------------------------------------------


def test_a_file_cut_at_any_byte_is_read_to_its_last_whole_record_and_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorded(tmp_path, [block(0, 30), gap(30, 5), block(35, 25)], stored_every=9)
    (page,) = pages(tmp_path)
    path = tmp_path / page.name
    whole = path.read_bytes()
    ends = [end for end in range(len(whole) + 1) if scan(whole[:end]).end == end]
    for cut in range(len(whole)):
        assert scan(whole[:cut]).end == max(end for end in ends if end <= cut)
    for cut in range(0, len(whole), 17):
        path.write_bytes(whole[:cut])
        caplog.clear()
        recorded(tmp_path, [block(35, 25)])
        assert ("torn" in caplog.text) == (cut not in ends)
        assert set(there(tmp_path, 0, 59)) >= set(range(35, 60))


@pytest.fixture(scope="module")
def minutes(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """A file of 200 samples in records of 10: its name and its bytes."""
    folder = tmp_path_factory.mktemp("minutes")
    recorded(folder, [block(i * 10, 10) for i in range(20)], stored_every=99)
    (page,) = pages(folder)
    return page.name, (folder / page.name).read_bytes()


@given(flips=st.dictionaries(st.integers(0, 10_000), st.integers(1, 255), min_size=1, max_size=4))
def test_flipped_bytes_cost_their_own_records_only_and_are_said(
    minutes: tuple[str, bytes], flips: dict[int, int]
) -> None:
    name, raw = minutes
    head = raw.index(b"aECG", 1)
    damaged = bytearray(raw)
    for place, flip in flips.items():
        damaged[head + place % (len(raw) - head)] ^= flip
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(damaged)
        assert len(there(Path(folder), 0, 199)) >= 200 - 10 * len(flips)
        lost = {what for _, _, what in told(Path(folder), 0, 199) if isinstance(what, GapReason)}
        assert lost == ({GapReason.CORRUPT} if damaged != raw else set())


def test_a_damaged_head_costs_no_sample_where_it_is_repeated_and_is_said_where_it_is_not(
    tmp_path: Path,
) -> None:
    recorded(tmp_path, noise(10), stored_every=99)
    with damaged_head(tmp_path), pytest.raises(RecordingError, match="holds nothing"):
        list(Recorded(tmp_path).read(BOOT, 0, 999))
    recorded(tmp_path, [block(HOUR, 10)])
    with damaged_head(tmp_path):
        said = [(0, 999, GapReason.CORRUPT), (1000, HOUR - 1, GapReason.NOT_RECORDED)]
        assert told(tmp_path, 0, HOUR - 1) == said
    recorded(tmp_path, noise(350), stored_every=99)
    with damaged_head(tmp_path):
        again = [i.counts for i in Recorded(tmp_path).read(BOOT, 0, 34_999) if isinstance(i, SampleBlock)]
    assert np.array_equal(
        np.concatenate(again, axis=1), np.concatenate([i.counts for i in noise(350)], axis=1)
    )


# -- kill -9 ------------------------------------------------------------------------------------------------


CHILD = """
import asyncio, sys, time
from pathlib import Path
import numpy as np
from edge.recorder import Recorder
from models.ecg import Clock, SampleBlock

async def run(folder, first):
    recorder = Recorder(Path(folder), 50_000_000)
    task = asyncio.create_task(recorder.run())
    while True:
        counts = np.arange(first, first + 10, dtype=np.int32)[None] * 3
        recorder.push(SampleBlock(patch_id="p/1 \u00e4", boot_id=7, first=first, fs=10.0, leads=("II",),
                                  counts=counts, uv_per_count=(5.0,)), lambda sample: Clock())
        print(first + 9, time.time(), flush=True)
        first += 10
        await asyncio.sleep(0.02)

asyncio.run(run(sys.argv[1], int(sys.argv[2])))
"""


def test_kill_9_at_any_point_loses_at_most_the_last_2_s_and_every_file_stays_readable(tmp_path: Path) -> None:
    """Five lives; each begins 45 s of signal before the end of the last, as a restarted edge asks."""
    chance, next_first, ages = random.Random(6), HOUR - 900, []
    begun = next_first
    for _ in range(5):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(next_first)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert child.stdout is not None
        for _ in range(3):  # it is under way
            child.stdout.readline()
        time.sleep(chance.uniform(0.2, 2.8))
        killed = time.time()
        child.send_signal(signal.SIGKILL)
        pushed = [
            (int(n), float(when))
            for n, when in (line.split() for line in child.stdout.read().splitlines()[:-1])
        ]
        child.wait()
        child.stdout.close()
        for page in pages(tmp_path):
            scan((tmp_path / page.name).read_bytes())
        newest = Recorded(tmp_path).extent(BOOT)[1] if pages(tmp_path) else -1
        ages += [killed - when for sample, when in pushed if sample > newest]
        next_first = max(begun, pushed[-1][0] - 450)
    assert max(ages) < 2.0, ages
    held = there(tmp_path, begun, Recorded(tmp_path).extent(BOOT)[1])
    assert held == list(range(begun, held[-1] + 1))
    assert held[-1] > HOUR  # two files


# -- budget and full disks ----------------------------------------------------------------------------------


def test_the_oldest_leave_when_the_budget_is_used_up_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = recorded(tmp_path, noise(1800), stored_every=100, budget=400_000)
    gone = Recorded(tmp_path).evicted()
    first, last = Recorded(tmp_path).extent(BOOT)
    assert (
        sum((tmp_path / page.name).stat().st_size for page in pages(tmp_path))
        == recorder.status.bytes
        <= 400_000
    )
    assert (recorder.status.state, recorder.status.oldest, last) == ("ok", first, 179_999)
    assert recorder.status.oldest_utc == 1.7e9 + first / FS
    assert [(e.patch_id, e.boot_id) for e in gone] == [BOOT] * len(gone)
    assert [0, *(e.last + 1 for e in gone)] == [*(e.first for e in gone), first]  # type: ignore[operator]
    assert (gone[0].from_utc, gone[-1].to_utc) == (1.7e9, 1.7e9 + (first - 1) / FS)
    assert caplog.text.count("the recorder gives up samples") == len(gone)
    assert told(tmp_path, 0, first - 1) == [(0, first - 1, GapReason.EVICTED)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """16 MB of a file system of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", disk], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield disk
    subprocess.run(["umount", "-l", disk], check=True)


def fill(disk: Path) -> None:
    """Somebody else takes what is left."""
    with contextlib.suppress(OSError), (disk / "others").open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass


@pytest.mark.parametrize("headroom", [0, -(10**12)], ids=["that tells", "of a quota that does not tell"])
def test_a_full_disk_evicts_the_oldest_and_says_so(
    small_disk: Path, caplog: pytest.LogCaptureFixture, headroom: int
) -> None:
    recorder = Recorder(small_disk / "recorder", BUDGET // 20, headroom)
    for number, item in enumerate(noise(3000)):
        recorder.push(item, at)
        if number == 1000:
            fill(small_disk)
        if number % 50 == 0:
            recorder.store()
    recorder.close()
    assert recorder.status.state == "full"
    folder = Recorded(small_disk / "recorder")
    first, last = folder.extent(BOOT)
    assert last == 299_999
    lost = [i for i in folder.read(BOOT, 0, last) if isinstance(i, Gap)]
    assert [(i.first, i.last, i.reason) for i in lost] == [(0, first - 1, GapReason.EVICTED)]
    assert caplog.text.count("disk is full: the oldest recordings make room") == 1
    assert {e.why for e in folder.evicted()} >= {"the disk is full"}


def test_a_disk_that_others_filled_is_a_failure_and_heals(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(small_disk / "recorder", BUDGET, headroom=0)
    recorder.push(noise(1)[0], at)
    recorder.store()
    fill(small_disk)
    for number in range(1, 40):
        recorder.push(noise(40)[number], at)
        recorder.store()
    assert recorder.status.state == "failed: No space left on device"
    assert caplog.text.count("the recorder failed: No space left") == 1
    (small_disk / "others").unlink()
    recorder.close()
    assert recorder.status.state == "full"  # within the hour
    assert Recorded(small_disk / "recorder").held(BOOT).samples == 100 * 40


async def test_a_full_disk_stops_neither_screening_nor_the_outbox(small_disk: Path) -> None:
    rng = np.random.default_rng(2)
    counts = rng.integers(-(2**30), 2**30, (3, 1_200_000), dtype=np.int32)
    recording = make_recording("noise", 1000, ["I", "II", "V1"], counts, [1.0] * 3)
    recorder = Recorder(small_disk / "recorder", 2 * BUDGET)

    def record(item: StreamItem) -> None:
        recorder.push(item, at)
        recorder.store()

    box = Outbox(small_disk / "outbox.db", "home")
    await monitor(RecordingSource(recording), Intake(now_and_then), box, lambda: None, record)
    recorder.close()
    assert recorder.status.state == "full"
    intake = Intake(now_and_then)
    wanted = [
        o for i in RecordingSource(recording).blocks() for o in intake.push(i) if isinstance(o, Segment)
    ]
    assert [pending.id for pending in box.oldest(1000)] == [segment.id for segment in wanted]
    box.close()
    assert Recorded(small_disk / "recorder").extent((recording.patch_id, recording.boot_id))[1] == 1_199_999


# -- other failures -----------------------------------------------------------------------------------------


async def test_a_recorder_that_cannot_write_is_said_once_and_stops_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "recorder").write_text("in the way")
    recorder = Recorder(tmp_path / "recorder", BUDGET)

    async def source() -> AsyncIterator[StreamItem]:
        for number in range(60):
            yield block(number * 10, 10)

    def record(item: StreamItem) -> None:
        recorder.push(item, at)
        recorder.store()

    intake = Intake(now_and_then)
    box = Outbox(tmp_path / "outbox.db", "home")
    await monitor(source(), intake, box, lambda: None, record)
    assert intake.state.windows == 10
    assert recorder.status.fields()["recorder"].startswith("failed: ")
    assert len([r for r in caplog.records if r.levelno == logging.ERROR]) == 1
    box.close()
    (tmp_path / "recorder").unlink()
    recorder.close()
    assert recorder.status.state == "ok"
    assert there(tmp_path / "recorder", 0, 599) == list(range(600))


def test_a_disk_that_does_not_answer_keeps_nobody_waiting_and_costs_the_oldest(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.recorder.WAITING", 500)
    recorder = Recorder(tmp_path, BUDGET)
    with recorder._lock:  # `store` hangs
        for number in range(510):
            recorder.push(block(number * 10, 10), at)
        assert recorder.status.state == "failed: the disk is too slow"
    recorder.close()
    assert "blocks given up: 10" in caplog.text
    assert there(tmp_path, 0, 5099) == list(range(100, 5100))


def test_a_recorder_that_is_off_keeps_nothing(tmp_path: Path) -> None:
    recorder = recorded(tmp_path / "recorder", [block(0, 10)], budget=0)
    assert recorder.status.fields()["recorder"] == "off"
    assert not (tmp_path / "recorder").exists()


def test_a_file_of_a_later_version_is_left_alone_and_said(tmp_path: Path) -> None:
    recorded(tmp_path, [block(0, 10)])
    (page,) = pages(tmp_path)
    later = encode(Record(kind=Kind.HEAD, payload=pack({"v": 2})))
    (tmp_path / page.name).write_bytes(later)
    recorded(tmp_path, [block(10, 10)])
    assert (tmp_path / page.name).read_bytes() == later
    with pytest.raises(RecordingError, match="later anyECG"):
        list(Recorded(tmp_path).read(BOOT, 0, 19))


def test_files_whose_every_sample_is_too_old_leave_and_those_of_no_known_time_stay(tmp_path: Path) -> None:
    """Six hours that ended from 50 to 45 h ago, the third with an unknown clock; two days are kept."""
    begin = time.time() - 51 * 3600.0
    recorder = Recorder(tmp_path, BUDGET, headroom=0)
    for hour in range(6):
        clock = Clock() if hour == 2 else replace(at(0), utc_0=begin)
        recorder.push(block(hour * HOUR, HOUR), lambda _, clock=clock: clock)
        recorder.store()
    recorder.close()
    assert [page.hour for page in pages(tmp_path)] == [0, 1, 2, 3, 4, 5]
    younger = Recorder(tmp_path, BUDGET, headroom=0, days=2.0)
    younger.push(block(6 * HOUR, 10), lambda _: replace(at(0), utc_0=begin))
    younger.close()
    assert [page.hour for page in pages(tmp_path)] == [2, 3, 4, 5, 6]
    items = list(Recorded(tmp_path).read(BOOT, 0, HOUR - 1))
    assert [item.reason for item in items if isinstance(item, Gap)] == [GapReason.EVICTED]
