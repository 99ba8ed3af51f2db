"""One patch, for ever: connect, take its stream in, fill what was lost, reconnect.

    async with PatchSession("208") as session:
        async for item in session:  # SampleBlock | Gap | Marker | PatchStatus | RecordingEnd, in sample order
            ...  # and an Arrival of each live frame, at once

The same code runs on the platform's Bluetooth (`backend=None`) and on the virtual radio.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType

from bleak.exc import BleakError

from firmware_bridge.codecs.openecg import Flag, Frame
from firmware_bridge.codecs.openecg_control import (
    BackfillDone,
    End,
    Range,
    RangeIs,
    Start,
    Status,
    parse_indication,
)
from firmware_bridge.link import INBOX, Event, Kind, LinkLostError, PatchLink
from firmware_bridge.radio import PLATFORM, Backend, find
from firmware_bridge.reassembly import MAX_HOLE_S, Reassembly
from models.ecg import Arrival, PatchStatus, StreamItem
from models.errors import PayloadError, RadioError

logger = logging.getLogger(__name__)

SCAN_S = 10.0
TICK_S = 0.25
SILENCE_S, SILENT_FRAMES = 3.0, 4  # the watchdog: without a frame for the longer of the two, the link is dead
FAST_TRIES = 4  # 0.1-1 s apart; then 1 -> 30 s
SLOWEST_S = 30.0
LIVE_FIRST = 2  # live frames of a boot, from which its clock is known, before anything is asked again

ResumeFrom = Callable[[str, int], int | None]


class PatchSession:
    """The patch of this address or advertised name (None = the first OpenECG patch that is seen).

    `resume_from(patch_id, boot_id)` names the sample to go on from, or None for a boot it does not know.
    Raises RadioError where there is no Bluetooth at the start, or where this patch can never be read (another
    profile version, an MTU too small); everything else is retried for ever.
    """

    def __init__(
        self,
        patch: str | None = None,
        *,
        backend: Backend | None = None,
        resume_from: ResumeFrom | None = None,
        max_hole_s: float = MAX_HOLE_S,
        inbox: int = INBOX,
    ) -> None:
        self.connections = 0
        self.broken_frames = 0
        self.overflowed = 0  # notifications a full inbox could not take; they are asked again
        self._patch = patch
        self._backend = backend or PLATFORM
        self._resume_from = resume_from
        self._max_hole_s = max_hole_s
        self._inbox = inbox
        self._reassembly: Reassembly | None = None
        self._live = 0  # frames of this boot
        self._failures = 0
        self._ready: deque[StreamItem] = (
            deque()
        )  # what has left reassembly; a link that breaks takes none of it
        self._items: AsyncGenerator[StreamItem] | None = None

    async def __aenter__(self) -> PatchSession:
        self._items = self._stream()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._items
        await self._items.aclose()

    def __aiter__(self) -> AsyncIterator[StreamItem]:
        assert self._items, "use `async with PatchSession(...)`"
        return self._items

    async def _stream(self) -> AsyncGenerator[StreamItem]:
        while True:
            try:
                async with await self._reach() as link:
                    self.connections += 1
                    await self._greet(link)
                    while True:
                        await self._step(link)
                        while self._ready:
                            yield self._ready.popleft()
            except (LinkLostError, BleakError, OSError, EOFError, TimeoutError) as error:
                logger.warning("patch %s: %s", self._patch or "", error or type(error).__name__)
            while self._ready:
                yield self._ready.popleft()
            self._failures += 1
            await asyncio.sleep(_pause(self._failures))

    async def _reach(self) -> PatchLink:
        """A link to the patch, not yet connected. No Bluetooth is fatal only before it ever worked."""
        try:
            device = await find(self._patch, SCAN_S, self._backend)
        except RadioError as error:
            if self.connections == 0:
                raise
            raise LinkLostError(str(error)) from error
        if device is None:
            raise LinkLostError("not found; is it switched on and near?")
        return PatchLink(device, self._backend, self._inbox)

    async def _greet(self, link: PatchLink) -> None:
        """Take up the boot where it was left, or begin a new one, and ask what the patch holds."""
        boot = link.patch_id, link.info.boot_id
        known = self._reassembly
        if known is None or (known.patch_id, known.info.boot_id) != boot:
            self._ready += known.flush() if known else []
            self._live = 0
            self._reassembly = Reassembly(
                link.patch_id,
                link.info,
                resume_from=self._resume_from(*boot) if self._resume_from else None,
                max_hole_s=self._max_hole_s,
            )
        link.heard = time.monotonic()
        await link.send(Range())
        await self._on_event(link, Event(Kind.STATUS, link.status, time.time(), link.heard))

    async def _step(self, link: PatchLink) -> None:
        """What the next moment brings; asks for what is missing; LinkLostError when the watchdog bites."""
        assert self._reassembly
        for event in await link.events(TICK_S):
            await self._on_event(link, event)
        now = time.monotonic()
        self._ready += self._reassembly.tick(now)
        told = self._live >= LIVE_FIRST or self._reassembly.ended
        if told and (ask := self._reassembly.wanted(now)):
            logger.info("asking the patch again for samples %d to %d", ask.first, ask.last)
            await link.send(ask)
        self._watch(link, now)

    async def _on_event(self, link: PatchLink, event: Event) -> None:
        try:
            match event.kind:
                case Kind.FRAME:
                    self._on_frame(event)
                case Kind.STATUS:
                    self._on_status(event.data)
                case Kind.CONTROL:
                    await self._on_indication(link, event.data)
        except PayloadError as error:  # what it carried is a hole now, and will be asked again
            self.broken_frames += 1
            logger.warning("patch %s sent what cannot be read: %s", link.patch_id, error)

    def _on_frame(self, event: Event) -> None:
        assert self._reassembly
        info = self._reassembly.info
        frame = Frame.parse(event.data, len(info.leads))
        if (frame.boot_low, frame.cfg_id) != (info.boot_id & 0xFF, info.cfg_id):
            raise LinkLostError("the patch began anew")
        self._failures = 0
        if not frame.flags & Flag.BACKFILL:
            self._live += 1
            self._ready.append(self._arrival(frame, event.heard_at))
        self._ready += self._reassembly.push(frame, event.received_at)

    def _arrival(self, frame: Frame, heard_at: float) -> Arrival:
        assert self._reassembly
        info = self._reassembly.info
        first = frame.sequence * info.n
        return Arrival(
            patch_id=self._reassembly.patch_id,
            boot_id=info.boot_id,
            first=first,
            last=first + frame.counts.shape[1] - 1,
            sampled_at=frame.device_us / 1e6,
            heard_at=heard_at,
        )

    async def _on_indication(self, link: PatchLink, data: bytearray) -> None:
        assert self._reassembly
        match parse_indication(data):
            case RangeIs() as ring:
                if not ring.ended:
                    await link.send(Start())
                self._ready += self._reassembly.connected(ring)
            case BackfillDone() as answer:
                self._ready += self._reassembly.answered(answer)
            case End(last):
                self._ready += self._reassembly.end(last)
            case _:
                pass  # the answers to what this session never asks

    def _on_status(self, data: bytearray) -> None:
        assert self._reassembly
        status, info = Status.parse(data), self._reassembly.info
        said = PatchStatus(
            patch_id=self._reassembly.patch_id,
            boot_id=info.boot_id,
            battery_mv=status.battery_mv,
            lead_off=frozenset(lead for i, lead in enumerate(info.leads[:8]) if status.lead_off >> i & 1),
            ring_first=status.ring_first,
            ring_last=status.ring_last,
            overruns=status.overruns,
        )
        self._ready += [said, *self._reassembly.ring_from(status.ring_first)]

    def _watch(self, link: PatchLink, now: float) -> None:
        assert self._reassembly
        if link.overflowed:
            self.overflowed += link.overflowed
            logger.warning("the inbox was full: %d notifications must be asked again", link.overflowed)
            link.overflowed = 0
        info = self._reassembly.info
        silence = max(SILENCE_S, SILENT_FRAMES * info.n / info.fs)
        if not self._reassembly.ended and now - link.heard > silence:
            raise LinkLostError(f"no frame for {now - link.heard:.1f} s")


def _pause(failures: int) -> float:
    """Seconds before the next try, with jitter so that many hosts do not try in step."""
    if failures <= FAST_TRIES:
        return random.uniform(0.1, 1.0)
    return min(SLOWEST_S, 2.0 ** (failures - FAST_TRIES)) * random.uniform(0.5, 1.0)
