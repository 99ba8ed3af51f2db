"""`monitor()` over the virtual patch, through bleak: the segments of a replay, gaps said, nothing heavy."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from cloud.broker import free_port
from edge.agent import _noticing_silence, heartbeat, monitor, since
from edge.intake import Intake
from edge.outbox import Outbox
from edge.segments import SegmenterState
from firmware_bridge.session import PatchSession
from firmware_bridge.sim.bleak_backend import bumble_backend, close_radio
from firmware_bridge.sim.link import Shape
from firmware_bridge.sim.simulate import simulation
from models.ecg import PatchStatus, SampleBlock, Segment, StreamItem, Window
from models.recordings import Recording, RecordingSource, make_recording
from models.verdicts import Quality, Screening
from models.wire import decode_segment

ROOT = Path(__file__).resolve().parents[2]
FS = 250.0


def flags_all(window: Window) -> Screening:
    return Screening(
        first=window.first,
        last=window.last,
        scores={},
        quality=Quality(readable=True),
        flagged=not window.missing.all(),
        model="by hand",
    )


def ramp(seconds: float) -> Recording:
    """Every lost or doubled sample of it shows."""
    up = np.arange(round(seconds * FS), dtype=np.int32) - 15_000
    return make_recording("ramp", FS, ["II"], up[None], [5.0])


def replayed(recording: Recording) -> list[Segment]:
    intake = Intake(flags_all)
    out = [o for item in RecordingSource(recording).blocks() for o in intake.push(item)]
    return [o for o in out if isinstance(o, Segment)]


def stored(box: Outbox) -> list[Segment]:
    return [decode_segment(pending.payload)[0] for pending in box.oldest(1000)]


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox(tmp_path / "outbox.db", "home")
    yield outbox
    outbox.close()


async def take_in(
    recording: Recording,
    box: Outbox,
    *,
    speed: float = 1.0,
    epoch: float | None = None,
    ring_s: float = 900.0,
    shape: Shape | None = None,
) -> Intake:
    """`monitor()` from the patch's first sample until its recording has ended."""
    intake = Intake(flags_all, box.restore)
    async with simulation(recording, speed=speed, epoch=epoch, ring_s=ring_s, shape=shape) as running:
        async with PatchSession(backend=bumble_backend(running.port)) as patch:
            task = asyncio.ensure_future(monitor(patch, intake, box, lambda: None))
            async with asyncio.timeout(90):
                while not intake.ended:
                    await asyncio.sleep(0.05)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await close_radio(running.port)
    return intake


async def test_the_live_segments_are_those_of_the_replay(box: Outbox) -> None:
    recording = ramp(120)
    intake = await take_in(recording, box, speed=20)
    live, again = stored(box), replayed(recording)
    assert [(s.id, s.sha256, s.final) for s in live] == [(s.id, s.sha256, s.final) for s in again]
    assert intake.state.missing == 0
    beat = heartbeat(intake, box)
    assert (beat["newest"], beat["ended"]) == (recording.counts.shape[1] - 1, True)
    assert beat["segments"] == len(live)
    clock = live[-1].clock
    assert clock.fs == pytest.approx(20 * FS, rel=0.01)
    utc = clock.utc(live[-1].last)
    assert utc is not None
    assert abs(time.time() - utc) < 5


async def test_what_is_fetched_at_first_contact_is_stamped_with_the_time_at_which_it_was(box: Outbox) -> None:
    began = time.time() - 98.0
    await take_in(ramp(108), box, epoch=began)
    parts = stored(box)
    assert parts[0].first == 0
    for part in parts:
        utc = part.clock.utc(part.last)
        assert utc is not None
        assert part.clock.error_s is not None
        assert abs(utc - (began + part.last / FS)) < part.clock.error_s


async def test_a_clock_that_is_set_puts_neither_parts_nor_marks_hours_away(
    box: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, intake = time.time, Intake(flags_all, box.restore)
    seen: list[tuple[float, float]] = []  # seconds ahead of the newest sample: a mark of now, a part's clock
    async with simulation(ramp(60), speed=5) as running:
        async with PatchSession(backend=bumble_backend(running.port)) as patch:
            task = asyncio.ensure_future(monitor(patch, intake, box, lambda: None))
            async with asyncio.timeout(30):
                while intake.newest is None or intake.newest.last < 10 * FS:
                    await asyncio.sleep(0.05)
                monkeypatch.setattr(time, "time", lambda: real() + 3 * 3600)
                while intake.newest.last < 55 * FS:
                    now, last = intake.sample_at(time.time()), intake.newest.last
                    utc = intake.clock.at(last).utc(last)
                    assert now is not None
                    assert utc is not None
                    seen.append(((now - last) / FS, time.time() - utc))
                    await asyncio.sleep(0.2)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        await close_radio(running.port)
    assert len(seen) > 3
    assert all(0 <= ahead < 10 and 0 <= late < 2 for ahead, late in seen), seen


async def test_where_a_boot_began_is_on_disk_from_its_first_samples_on(box: Outbox) -> None:
    first, second = ramp(1), make_recording("ramp", FS, ["II"], np.zeros((1, 250), dtype=np.int32), [5.0])

    async def source() -> AsyncIterator[StreamItem]:
        for recording in (first, second):
            for item in RecordingSource(recording).blocks():
                if isinstance(item, SampleBlock):
                    yield item

    commits: list[None] = []
    await monitor(source(), Intake(flags_all, box.restore), box, lambda: commits.append(None))
    states = [box.restore(one.patch_id, one.boot_id) for one in (first, second)]
    assert [state and state.origin for state in states] == [0, 0]
    assert len(commits) == 2  # once each, however many blocks


async def test_a_cut_within_the_ring_loses_nothing(box: Outbox) -> None:
    recording = ramp(120)
    shape = Shape(out_of_range=[(2.0, 5.0)], supervision_s=0.5)
    intake = await take_in(recording, box, speed=10, shape=shape)
    assert intake.state.missing == 0
    assert [(s.id, s.sha256) for s in stored(box)] == [(s.id, s.sha256) for s in replayed(recording)]


async def test_a_cut_longer_than_the_ring_is_exactly_one_gap_in_the_segments(box: Outbox) -> None:
    recording = ramp(60)
    shape = Shape(out_of_range=[(3.0, 8.0)], supervision_s=0.5)
    intake = await take_in(recording, box, speed=4, ring_s=5, shape=shape)
    parts = stored(box)
    gaps = [gap for part in parts for gap in part.gaps]  # a gap is cut where a part ends
    assert all(first + count == then for (first, count), (then, _) in pairwise(gaps)), gaps
    assert 10 * FS < sum(count for _, count in gaps) == intake.state.missing < 30 * FS
    for part in parts:  # everything outside the gap is the ramp, sample by sample
        here = ~part.missing
        assert np.array_equal(part.counts[0][here], (np.arange(part.first, part.last + 1) - 15_000)[here])
        assert not part.counts[0][~here].any()


def test_seconds_since_the_last_heartbeat_never_run_across_a_restart_or_a_boot() -> None:
    def beat(boot: int, unreadable: float, missing: float) -> dict[str, float]:
        return {"boot_id": boot, "unreadable_total_s": unreadable, "missing_total_s": missing}

    assert since({}, beat(1, 300.0, 40.0)) == {"unreadable_s": 0.0, "missing_s": 0.0}
    assert since(beat(1, 5.0, 1.0), beat(1, 9.0, 1.5)) == {"unreadable_s": 4.0, "missing_s": 0.5}
    assert since(beat(1, 300.0, 40.0), beat(2, 3.0, 0.0)) == {"unreadable_s": 0.0, "missing_s": 0.0}


async def test_30_s_of_silence_are_noticed_and_the_source_is_not_disturbed() -> None:
    got: list[object] = []
    noticed = asyncio.Event()  # twice

    async def slow() -> object:
        yield 1
        await noticed.wait()
        yield 2

    async for item in _noticing_silence(slow(), 0.1):  # type: ignore[arg-type]
        got.append(item)
        if got == [1, None, None]:
            noticed.set()
    assert got == [1, None, None, 2]


async def test_a_patch_that_connects_again_and_again_and_sends_no_frame_is_silent() -> None:
    block = next(i for i in RecordingSource(ramp(1)).blocks() if isinstance(i, SampleBlock))
    status = PatchStatus(
        patch_id="p", boot_id=1, battery_mv=4000, lead_off=frozenset(), ring_first=0, ring_last=0, overruns=0
    )

    async def knocking() -> AsyncIterator[StreamItem]:
        yield block
        for _ in range(12):
            await asyncio.sleep(0.05)
            yield status
        yield block
        yield status

    got = [item async for item in _noticing_silence(knocking(), 0.25)]
    assert [item for item in got if item is not None] == [block, *12 * [status], block, status]
    assert None in got[: got.index(block, 1)]
    assert got[-2:] == [block, status]


async def test_a_killed_monitor_goes_on_from_the_saved_state(tmp_path: Path) -> None:
    """kill -9 in the middle of the stream, twice; then to the end: the segments of the replay, once each."""
    port, state = free_port(), tmp_path / "outbox.db"
    recording = ramp(100)
    async with simulation(recording, hci_port=port, speed=10):
        for _ in range(2):
            child = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CHILD, str(port), str(state), "x", cwd=ROOT, stdout=subprocess.PIPE
            )
            await asyncio.sleep(3.5)
            child.kill()
            await child.wait()
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, str(port), str(state), "x", cwd=ROOT, stdout=subprocess.PIPE
        )
        out, _ = await asyncio.wait_for(child.communicate(), 60)
    assert child.returncode == 0
    assert json.loads(out)["heavy"] == []
    box = Outbox(state, "home")
    assert [(s.id, s.sha256) for s in stored(box)] == [(s.id, s.sha256) for s in replayed(recording)]
    state_after = box.restore(recording.patch_id, recording.boot_id)
    assert isinstance(state_after, SegmenterState)
    assert state_after.missing == 0
    box.close()


CHILD = """
import asyncio, json, sys
from pathlib import Path
from edge.agent import monitor
from edge.config import PatchConfig
from edge.intake import Intake
from edge.outbox import Outbox
from edge.screening import WindowScreener
from edge.sources import open_patch
from models.screener.runtime import Screener
from dataclasses import replace

screen = WindowScreener(Screener())
box = Outbox(Path(sys.argv[2]), "home")
intake = Intake(lambda window: replace(screen(window), flagged=True), box.restore)

def resume_at(patch_id, boot_id):
    state = box.restore(patch_id, boot_id)
    return state.resume_at if state else None

async def run():
    async with open_patch(PatchConfig(radio=f"tcp-client:127.0.0.1:{sys.argv[1]}"), resume_at) as patch:
        task = asyncio.ensure_future(monitor(patch, intake, box, lambda: None))
        while not intake.ended and not task.done():
            await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

asyncio.run(run())
heavy = {"torch", "transformers", "pandas", "sklearn", "matplotlib", "wfdb"} & set(sys.modules)
print(json.dumps({"heavy": sorted(heavy)}))
"""
