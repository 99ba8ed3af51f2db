"""The edge, as a story: take the stream in, record it, decide, store, and let the uplink send."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from typing import Any

from edge.commands import Commands
from edge.config import EdgeConfig
from edge.intake import Intake
from edge.outbox import Outbox
from edge.recorded import Recorded
from edge.recorder import Recorder
from edge.screening import WindowScreener
from edge.sources import open_patch
from edge.uplink import Uplink
from models.ecg import Gap, SampleBlock, StreamItem
from models.verdicts import Screening

IDLE_S = 30.0  # without samples: what is held of an open part leaves


async def monitor(
    source: AsyncIterable[StreamItem],
    intake: Intake,
    outbox: Outbox,
    stored: Callable[[], None],
    record: Callable[[StreamItem], None] = lambda _: None,
) -> None:
    """One patch, for as long as the source lasts.

    Every segment and trend row is on disk, with the state that goes with it, before `stored()` tells the
    uplink; so is where a boot began. A row a minute bounds what a restart has to screen again. `record` takes
    everything that comes, and never waits.
    """
    begun: tuple[str, int] | None = None  # the boot whose beginning is on disk
    async with aclosing(_noticing_silence(source, IDLE_S)) as items:
        async for item in items:
            outputs = intake.push(item) if item is not None else intake.idle()
            if item is not None:
                record(item)
            made = [output for output in outputs if not isinstance(output, Screening)]
            begins = intake.state.origin is not None and intake.boot != begun
            if (made or intake.ended or begins) and intake.boot is not None:
                outbox.commit(intake.boot, made, intake.state)
                begun = intake.boot if intake.state.origin is not None else None
                stored()


async def run(config: EdgeConfig) -> None:
    """The edge process: `monitor()` beside uplink, commands, recorder and heartbeat, until cancelled.

    Raises:
        RadioError, DeliveryError: no adapter, or no outbox.
    """
    from models.screener.runtime import Screener

    config.state.mkdir(parents=True, exist_ok=True)
    outbox = Outbox(config.state / "outbox.db", config.site, config.outbox_mb * 1_000_000)
    uplink = Uplink(config.broker, config.site, outbox)
    intake = Intake(WindowScreener(Screener(config.weights)), outbox.restore, marks=outbox.marks)
    recorder = Recorder(config.recordings, config.recorder.max_bytes, days=config.recorder.days)
    commands = Commands(outbox, intake, recorder, Recorded(config.recordings), uplink.answer)
    uplink.command = commands.take

    def resume_at(patch_id: str, boot_id: int) -> int | None:
        state = outbox.restore(patch_id, boot_id)
        return state.resume_at if state else None

    try:
        async with open_patch(config.patch, resume_at) as patch, asyncio.TaskGroup() as tasks:
            tasks.create_task(uplink.run())
            tasks.create_task(recorder.run())
            tasks.create_task(commands.run(uplink.notify))
            tasks.create_task(_heartbeats(intake, outbox, uplink, recorder, config.heartbeat_s))
            await monitor(
                patch, intake, outbox, uplink.notify, lambda item: recorder.push(item, intake.clock.at)
            )
    finally:
        outbox.close()
        recorder.close()


async def _heartbeats(
    intake: Intake, outbox: Outbox, uplink: Uplink, recorder: Recorder, every_s: float
) -> None:
    """One every `every_s`, and one at once when the recording has ended or the last segment has gone."""
    before: dict[str, Any] = {}
    said: tuple[bool, int] | None = None
    due = time.monotonic()
    while True:
        await asyncio.sleep(0.2)
        now = (intake.ended, outbox.depth())
        if intake.newest is None or (time.monotonic() < due and not (now[0] and now != said)):
            continue
        uplink.announce(intake.newest.patch_id)
        beat = heartbeat(intake, outbox)
        uplink.heartbeat(beat | since(before, beat) | recorder.status.fields())
        before, said, due = beat, now, time.monotonic() + every_s


def since(before: dict[str, Any], beat: dict[str, Any]) -> dict[str, float]:
    """Seconds unreadable and missing since the heartbeat before; none after a restart or of another boot."""
    same = before.get("boot_id") == beat["boot_id"]
    return {
        f"{kind}_s": beat[f"{kind}_total_s"] - before[f"{kind}_total_s"] if same else 0.0
        for kind in ("unreadable", "missing")
    }


def heartbeat(intake: Intake, outbox: Outbox) -> dict[str, Any]:
    """What the edge says of itself and its patch; seconds are seconds of signal."""
    newest, status, state = intake.newest, intake.status, intake.state
    assert newest is not None
    depth = outbox.depth()
    heard = newest.last + 1 - (state.origin or 0) - state.missing
    return {
        "v": 1,
        "patch_id": newest.patch_id,
        "boot_id": newest.boot_id,
        "at": time.time(),
        "newest": newest.last,
        "newest_utc": intake.clock.at(newest.last).utc(newest.last),
        "fs": newest.fs,
        "windows": state.windows,
        "flagged": state.flagged,
        "unreadable_total_s": state.unreadable / newest.fs,
        "missing_total_s": state.missing / newest.fs,
        "battery_mv": status.battery_mv if status else None,
        "lead_off": sorted(newest.lead_off),
        "outbox_depth": depth,
        "outbox_oldest_s": outbox.oldest_age_s(),
        "trend_depth": outbox.depth("trend"),
        "trend_refused": outbox.dead("trend"),
        "range_refused": outbox.dead("range"),
        "segments": outbox.counter("acknowledged") + depth + outbox.dead(),
        "acknowledged": outbox.counter("acknowledged"),
        "refused": outbox.dead(),
        "uplink_bytes": outbox.counter("uplink_bytes"),
        "raw_bytes": 2 * heard * len(newest.leads),
        "ended": intake.ended,
    }


async def _noticing_silence(
    source: AsyncIterable[StreamItem], seconds: float
) -> AsyncGenerator[StreamItem | None]:
    """The source's items, and None each time neither samples nor a gap came for `seconds`."""
    items = aiter(source)
    coming = asyncio.ensure_future(anext(items))
    due = time.monotonic() + seconds
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=max(0.0, due - time.monotonic()))
            item = None
            if done:
                try:
                    item = coming.result()
                except StopAsyncIteration:
                    return
                coming = asyncio.ensure_future(anext(items))
                yield item
            if isinstance(item, SampleBlock | Gap):
                due = time.monotonic() + seconds
            elif time.monotonic() >= due:
                yield None
                due = time.monotonic() + seconds
    finally:  # the source must not be closed while it is asked
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)
