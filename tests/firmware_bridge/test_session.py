"""The session over bleak, the virtual patch and the shaped link: the real Bumble stack in one process."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np
import pytest
from bleak.exc import BleakError

from firmware_bridge.codecs import openecg
from firmware_bridge.codecs.openecg_control import (
    Backfill,
    BackfillDone,
    Config,
    TimePing,
    TimePong,
    parse_indication,
)
from firmware_bridge.link import Kind, LinkLostError, PatchLink
from firmware_bridge.radio import Backend, find, scan
from firmware_bridge.session import PatchSession
from firmware_bridge.sim.bleak_backend import bumble_backend, close_radio
from firmware_bridge.sim.link import Shape
from firmware_bridge.sim.simulate import Simulation, simulation, windows
from models.ecg import Arrival, Gap, GapReason, Marker, PatchStatus, RecordingEnd, SampleBlock, StreamItem
from models.errors import RadioError, UsageError
from models.recordings import Recording, RecordingSource

FAST = {"interval_s": 0.005, "packets": 12}


@asynccontextmanager
async def patch(recording: Recording, **kwargs: object) -> AsyncIterator[Simulation]:
    kwargs.setdefault("shape", Shape(**FAST))
    async with simulation(recording, **kwargs) as running:
        try:
            yield running
        finally:
            await close_radio(running.port)


async def take_all(session: PatchSession) -> list[StreamItem]:
    items = []
    async for item in session:
        items.append(item)
        if isinstance(item, RecordingEnd):
            return items
    raise AssertionError("the session never ends by itself")


async def take(running: Simulation, **kwargs: object) -> list[StreamItem]:
    async with PatchSession(backend=bumble_backend(running.port), **kwargs) as session:
        return await take_all(session)


async def test_a_ramp_arrives_sample_by_sample(ramp, check_stream):
    recording = ramp(30)
    before = time.time()
    async with patch(recording, speed=20) as running:
        items = await take(running, patch="ramp")
    assert check_stream(items, recording) == ()
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    assert blocks[0].patch_id == recording.patch_id
    assert {b.boot_id for b in blocks} == {recording.boot_id}
    assert (blocks[0].fs, blocks[0].leads, blocks[0].uv_per_count) == (250.0, ("II", "V1"), (5.0, 2.5))
    assert all(before <= b.received_at <= time.time() for b in blocks)
    taken = np.array([(b.first, b.sampled_at) for b in blocks])
    assert np.allclose(taken[:, 1], taken[:, 0] / (20 * 250), atol=1e-5)  # the patch's own clock
    assert isinstance(items[0], PatchStatus)
    assert items[0].battery_mv == 4200
    assert items[-1] == RecordingEnd(patch_id="ramp", boot_id=recording.boot_id, last=7499)


async def take_with_a_cut(running: Simulation, seconds: float) -> list[StreamItem]:
    """Out of range for so long, once some samples have come."""
    items: list[StreamItem] = []
    async with PatchSession(backend=bumble_backend(running.port)) as session:
        async for item in session:
            items.append(item)
            if len(items) == 20:
                running.link.in_range = False
                asyncio.get_running_loop().call_later(seconds, setattr, running.link, "in_range", 1)
            if isinstance(item, RecordingEnd):
                break
        assert session.connections >= 2
    return items


async def test_a_link_cut_for_four_seconds_leaves_nothing_missing(ramp, check_stream):
    recording = ramp(90)
    async with patch(recording, speed=15, shape=Shape(**FAST, supervision_s=0.5)) as running:
        items = await take_with_a_cut(running, 4.0)
    assert check_stream(items, recording) == ()


@pytest.mark.slow
async def test_a_link_cut_for_twenty_seconds_leaves_nothing_missing(ramp, check_stream):
    recording = ramp(120)
    shape = Shape(out_of_range=[(5.0, 25.0)])  # the ordinary radio: 30 ms, 6 packets, 2 s supervision
    async with patch(recording, speed=3, shape=shape) as running:
        items = await take(running)
    assert check_stream(items, recording) == ()


async def test_a_ring_of_five_seconds_leaves_exactly_one_gap_of_the_right_length(ramp, check_stream):
    recording = ramp(20)
    async with patch(recording, speed=5, ring_s=5, shape=Shape(**FAST, supervision_s=0.5)) as running:
        items = await take_with_a_cut(running, 2.0)
    begin = next(item.first for item in items if isinstance(item, SampleBlock))
    (gap,) = check_stream(items, recording, begin)
    assert gap.reason is GapReason.EVICTED
    # 2 s out of range at 5 x: at least those 10 s of signal less the 5 s that the ring holds, and at most
    # what had been sampled when the link was up again.
    assert (10 - 5 - 0.5) * 250 <= gap.count <= (20 - 5) * 250
    assert (gap.last + 1) % running.patch.playback.info.n == 0


async def test_a_lossy_radio_loses_nothing(ramp, check_stream):
    recording = ramp(30)
    async with patch(recording, speed=15, shape=Shape(interval_s=0.01, packets=6, loss=0.05)) as running:
        items = await take(running)
        assert running.link.retransmissions > 0
    assert check_stream(items, recording) == ()


async def test_a_patch_too_fast_for_its_link_slows_down_and_says_so(ramp, check_stream, caplog):
    recording = ramp(90)
    with caplog.at_level(logging.WARNING):
        async with patch(recording, speed=40, shape=Shape(interval_s=0.01, packets=1)) as running:
            items = await take(running)
            assert running.patch.slow_s > 0
    assert check_stream(items, recording) == ()
    assert "the link cannot carry this speed" in caplog.text


async def test_an_edge_that_resumes_gets_the_samples_from_there_on(ramp):
    recording = ramp(10)
    async with patch(recording, speed=10) as running:
        await take(running)
        items = await take(running, resume_from=lambda patch_id, boot_id: 1234)
    blocks = [item for item in items if isinstance(item, SampleBlock)]
    assert blocks[0].first == 1234
    assert np.array_equal(np.hstack([b.counts for b in blocks]), recording.counts[:, 1234:])
    assert isinstance(items[-1], RecordingEnd)


async def test_a_late_edge_gets_what_the_ring_holds(ramp, check_stream):
    recording = ramp(40)
    async with patch(recording, speed=10, epoch=time.time() - 3) as running:  # 30 s have been sampled
        items = await take(running)
    assert check_stream(items, recording) == ()


async def test_a_full_inbox_is_reported_and_asked_again(ramp, check_stream):
    recording = ramp(30)
    async with (
        patch(recording, speed=15) as running,
        PatchSession(backend=bumble_backend(running.port), inbox=8) as session,
    ):
        items = []
        async for item in session:
            items.append(item)
            if isinstance(item, SampleBlock) and item.first == 2000 - 2000 % item.counts.shape[1]:
                await asyncio.sleep(0.5)  # a consumer that is slow once
            if isinstance(item, RecordingEnd):
                break
        assert session.overflowed > 0
    assert check_stream(items, recording) == ()


async def test_the_patients_button_is_a_marker_in_the_stream(ramp):
    recording = ramp(20)
    async with patch(recording, speed=10) as running:
        asyncio.get_running_loop().call_later(1.0, running.patch.press)
        items = await take(running)
    (at,) = [i for i, item in enumerate(items) if isinstance(item, Marker)]
    assert items[at].first == items[at + 1].first


async def test_gaps_and_lead_off_of_a_recording_are_those_of_its_replay(ramp):
    recording = with_holes(ramp(20))
    async with patch(recording, speed=10) as running:
        live = await take(running)
    replayed = list(RecordingSource(recording).blocks())
    assert spans(live) == spans(replayed)
    assert np.array_equal(samples(live), samples(replayed))


def with_holes(recording: Recording) -> Recording:
    from models.recordings import make_recording

    missing = np.zeros(recording.counts.shape, dtype=bool)
    missing[:, 1003:1390] = True
    missing[1, 2000:2511] = True
    return make_recording("holes", 250.0, recording.leads, recording.counts, [5.0, 2.5], missing=missing)


def spans(items: list[StreamItem]) -> dict[str, list[int]]:
    """Sample by sample: what is missing, and which leads are off."""
    found: dict[str, list[int]] = {}
    for item in items:
        if isinstance(item, Gap):
            found.setdefault("gap", []).extend(range(item.first, item.last + 1))
        elif isinstance(item, SampleBlock):
            for lead in item.lead_off:
                found.setdefault(lead, []).extend(range(item.first, item.last + 1))
    return found


def samples(items: list[StreamItem]) -> np.ndarray:
    return np.hstack([item.counts for item in items if isinstance(item, SampleBlock)])


async def test_counts_beyond_sixteen_bits_travel_as_twentyfour(ramp, check_stream):
    recording = ramp(20, step=14)  # the ramp reaches 70,000
    async with patch(recording, speed=15) as running:
        assert running.patch.playback.info.format is openecg.Format.INT24
        items = await take(running)
    assert check_stream(items, recording) == ()


async def test_a_link_with_a_small_mtu_is_refused_with_a_sentence(ramp, monkeypatch):
    monkeypatch.setattr("firmware_bridge.link.MTU_S", 0.3)
    async with patch(ramp(20), mtu=100) as running:
        with pytest.raises(RadioError, match=r"carries 100 bytes \(MTU\) and its frames need 247"):
            await take(running)


async def test_a_patch_of_another_version_is_refused_with_a_sentence(ramp, monkeypatch):
    monkeypatch.setattr(openecg.StreamInfo, "__bytes__", lambda self: b"\x02" + bytes(40))
    async with patch(ramp(20)) as running:
        with pytest.raises(RadioError, match="OpenECG version 2, we read version 1"):
            await take(running)


async def test_a_patch_that_falls_silent_is_left_and_found_again(ramp, check_stream, monkeypatch):
    recording = ramp(25)
    monkeypatch.setattr("firmware_bridge.session.SILENCE_S", 0.5)
    async with (
        patch(recording, speed=10) as running,
        PatchSession(backend=bumble_backend(running.port)) as session,
    ):
        items = []
        async for item in session:
            items.append(item)
            if session.connections == 1 and len(items) == 50:
                running.patch._tasks["live"].cancel()  # firmware that hangs: the link stays up
            if isinstance(item, RecordingEnd):
                break
        assert session.connections >= 2
    assert check_stream(items, recording) == ()


async def test_what_came_before_a_link_broke_is_not_lost_with_it(ramp, check_stream, monkeypatch):
    recording = ramp(30)
    watch, steps = PatchSession._watch, []

    def breaks_at_times(self: PatchSession, link: PatchLink, now: float) -> None:
        steps.append(now)
        if len(steps) in (10, 40):
            raise LinkLostError("broke in the step that took samples in")
        watch(self, link, now)

    monkeypatch.setattr(PatchSession, "_watch", breaks_at_times)
    async with patch(recording, speed=10) as running:
        items = await take(running)
    assert check_stream(items, recording) == ()


async def test_a_patch_that_began_anew_is_a_new_boot(ramp, check_stream, free_port: Callable[[], int]):
    port, old, new = free_port(), ramp(30), ramp(10, step=3)
    items: list[StreamItem] = []
    async with PatchSession("ramp", backend=bumble_backend(port)) as session:
        async with simulation(old, hci_port=port, speed=10, shape=Shape(**FAST)):
            async for item in session:
                items.append(item)
                if isinstance(item, SampleBlock) and item.first > 1000:
                    break
        async with simulation(new, hci_port=port, speed=10, shape=Shape(**FAST)):
            items += await take_all(session)
    await close_radio(port)
    assert check_stream([item for item in items if item.boot_id == new.boot_id], new) == ()
    assert items[-1].boot_id == new.boot_id
    before = [item for item in items if item.boot_id == old.boot_id]
    assert not any(isinstance(item, RecordingEnd) for item in before)  # it lost power, it did not end
    lengths = [item.last + 1 - item.first for item in before if isinstance(item, SampleBlock | Gap)]
    assert np.array_equal(
        np.cumsum([0, *lengths])[:-1], [i.first for i in before if not isinstance(i, PatchStatus | Arrival)]
    )


async def test_after_the_end_the_link_is_kept_and_nothing_is_repeated(ramp, monkeypatch):
    monkeypatch.setattr("firmware_bridge.session.SILENCE_S", 0.8)
    async with (
        patch(ramp(5), speed=10) as running,
        PatchSession(backend=bumble_backend(running.port)) as session,
    ):
        await take_all(session)
        more = asyncio.ensure_future(anext(aiter(session)))
        await asyncio.sleep(1.6)
        assert not more.done()
        assert session.connections == 1
        more.cancel()
        await asyncio.wait([more])


async def test_scanning_names_the_patch(ramp):
    async with patch(ramp(10)) as running:
        (sighting,) = await scan(0.5, bumble_backend(running.port))
    assert sighting.name == "ramp"
    assert sighting.address.count(":") == 5


async def test_connected_patches_that_cannot_be_listed_are_told_where_none_advertises(
    ramp, monkeypatch, tmp_path, caplog
):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    async with patch(ramp(10)) as running:
        platform = Backend(scanner=bumble_backend(running.port).scanner)  # its connections, the virtual radio
        assert await find("ramp", 5.0, platform) is not None
        assert caplog.messages == []
        assert await find("another", 0.3, platform) is None
    (said,) = (record.getMessage() for record in caplog.records if record.name == "firmware_bridge.radio")
    assert said.startswith("the patch does not advertise, and connected ones cannot be listed: ")


async def test_the_control_point_answers_a_time_ping_and_refuses_what_it_cannot(ramp):
    async with patch(ramp(10)) as running:
        backend = bumble_backend(running.port)
        device = await find("ramp", 5.0, backend)
        async with PatchLink(device, backend) as link:
            with pytest.raises(BleakError, match="did not answer"):
                await link._client.write_gatt_char(openecg.CONTROL, b"\x33", response=True)
            await link.send(TimePing(77))
            await link.send(Config(3))
            answers = []
            while len(answers) < 2:
                answers += [parse_indication(e.data) for e in await link.events(1.0)]
    pong, refused = answers
    assert isinstance(pong, TimePong)
    assert pong.token == 77
    assert (refused.request, refused.result) == (3, 1)


async def test_the_patch_sends_again_only_what_its_ring_holds(ramp):
    async with patch(ramp(20), ring_s=5, epoch=time.time() - 30) as running:  # it is over
        backend = bumble_backend(running.port)
        device = await find("ramp", 5.0, backend)
        async with PatchLink(device, backend) as link:
            await link.send(Backfill(0, 4999))
            events = []
            while not events or events[-1].kind is not Kind.CONTROL:
                events += await link.events(1.0)
    info = running.patch.playback.info
    oldest = (running.patch.playback.frames - 5 * 250 // info.n) * info.n
    assert parse_indication(events.pop().data) == BackfillDone(oldest, 4999)
    frames = [openecg.Frame.parse(event.data, 2) for event in events]
    assert frames[0].sequence * info.n == oldest
    assert sum(frame.counts.shape[1] for frame in frames) == 5000 - oldest
    assert all(frame.flags & openecg.Flag.BACKFILL for frame in frames)


async def test_nothing_at_the_port_is_retried_by_the_session_and_told_by_scan(free_port: Callable[[], int]):
    port = free_port()
    with pytest.raises(RadioError, match="nothing serves the virtual radio"):
        await scan(0.1, bumble_backend(port))
    async with PatchSession(backend=bumble_backend(port)) as session:
        waiting = asyncio.ensure_future(anext(aiter(session)))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    await close_radio(port)


def test_windows_out_of_range_are_written_from_to():
    assert windows("10:30,50.5:60") == [(10.0, 30.0), (50.5, 60.0)]
    assert windows("") == []
    for wrong in ("10", "10:x", "30:10"):
        with pytest.raises(UsageError, match="out of range"):
            windows(wrong)
