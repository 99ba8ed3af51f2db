"""Patch and host in different processes over HCI on TCP, and kill -9 of either."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_bridge.radio import scan
from firmware_bridge.session import PatchSession
from firmware_bridge.sim.bleak_backend import bumble_backend, close_radio
from firmware_bridge.sim.simulate import simulation
from models.ecg import RecordingEnd, StreamItem
from models.formats import write_wfdb

ROOT = Path(__file__).resolve().parents[2]
PATCH = """
import asyncio, sys
from firmware_bridge.sim.link import Shape
from firmware_bridge.sim.simulate import simulate
from models.recordings import open_recording
record, port, speed, epoch = sys.argv[1], *map(float, sys.argv[2:])
shape = Shape(interval_s=0.01, supervision_s=0.5)
asyncio.run(simulate(open_recording(record), ready=lambda p: print("ready", p, flush=True),
                     hci_port=int(port), speed=speed, epoch=epoch, shape=shape))
"""
EDGE = """
import asyncio, sys
from firmware_bridge.session import PatchSession
from firmware_bridge.sim.bleak_backend import bumble_backend
async def main():
    async with PatchSession(backend=bumble_backend(int(sys.argv[1]))) as session:
        async for item in session:
            print(getattr(item, "first", ""), flush=True)
asyncio.run(main())
"""


async def start(code: str, *args: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, *map(str, args), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def kill(process: asyncio.subprocess.Process) -> None:
    process.send_signal(signal.SIGKILL)
    await process.communicate()  # also closes the pipes


async def test_a_killed_host_leaves_a_patch_that_advertises_again(ramp, check_stream):
    recording = ramp(40)
    async with simulation(recording, speed=10) as running:
        edge = await start(EDGE, running.port)
        for _ in range(20):  # it streams
            await edge.stdout.readline()
        await kill(edge)
        assert [s.name for s in await scan(0.5, bumble_backend(running.port))] == ["ramp"]
        async with PatchSession(backend=bumble_backend(running.port)) as session:
            items = await all_of(session)
        await close_radio(running.port)
    assert check_stream(items, recording) == ()


async def test_a_killed_patch_goes_on_where_real_time_is(
    ramp, check_stream, tmp_path, free_port: Callable[[], int]
):
    pytest.importorskip("wfdb", reason="the recordings extra is not installed")
    recording = ramp(40, name="twice")
    write_wfdb(recording, tmp_path / "twice")
    port, epoch = free_port(), time.time()
    args = PATCH, tmp_path / "twice", port, 8, epoch
    patch = await start(*args)
    try:
        assert await patch.stdout.readline() == f"ready {port}\n".encode()
        async with PatchSession("twice", backend=bumble_backend(port)) as session:
            reading = asyncio.create_task(all_of(session))
            while not session.connections:
                await asyncio.sleep(0.05)
            await asyncio.sleep(1.0)  # some of it has come
            await kill(patch)
            patch = await start(*args)
            items = await reading
            assert session.connections == 2
        await close_radio(port)
    finally:
        await kill(patch)
    assert check_stream(items, recording) == ()


async def all_of(session: PatchSession) -> list[StreamItem]:
    items = []
    async for item in session:
        items.append(item)
        if isinstance(item, RecordingEnd):
            break
    return items
