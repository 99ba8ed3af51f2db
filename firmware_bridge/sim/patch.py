"""A virtual patch: OpenECG, Battery and Device Information on a Bumble GATT server, playing a recording.

It streams frame k when its last sample has been taken and keeps sampling into its ring while nobody listens.
Where the link carries less than the recording's speed asks for, it slows down, and says so, rather than
overrun its link; where the link is dead, it samples on.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from types import TracebackType
from typing import Any

from bumble import att, gatt
from bumble.device import Connection, Device

from firmware_bridge.codecs import openecg_control as control
from firmware_bridge.codecs.openecg import Flag
from firmware_bridge.sim.link import ShapedLink
from firmware_bridge.sim.playback import Playback
from firmware_bridge.sim.profile import Profile, make_device
from models.errors import PayloadError

logger = logging.getLogger(__name__)

MTU = 247
LIVE_QUEUE = 32  # packets waiting for the link beyond which the patch slows down
BACKFILL_QUEUE = 8  # fewer, so that live frames never wait behind a long backfill
STATUS_S = 5.0
FULL_MV, EMPTY_MV, MV_PER_HOUR = 4200, 3000, 10
MALFORMED = 0x80  # an application error of the Attribute Protocol


class VirtualPatch:
    """`async with VirtualPatch(playback, link) as patch`: it advertises, and serves one host at a time."""

    def __init__(
        self, playback: Playback, link: ShapedLink, *, mtu: int = MTU, status_s: float = STATUS_S
    ) -> None:
        self.playback = playback
        self.overruns = 0  # frames that no host got live
        self.slow_s = 0.0  # how far the patch has fallen behind its speed
        self._status_s = status_s
        self._live_next: int | None = None
        self._connection: Connection | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}  # of the connection, by what they do
        self._profile = Profile(
            playback.info,
            serial=playback.recording.patch_id,
            on_control=self._on_control,
            status=lambda: bytes(self._status_now()),
            battery=self._battery_percent,
        )
        self.device = make_device(playback.recording.patch_id, link)
        self.device.add_services(self._profile.services)
        self.device.gatt_server.max_mtu = mtu
        self.device.on(Device.EVENT_CONNECTION, self._on_connection)

    async def __aenter__(self) -> VirtualPatch:
        await self.device.power_on()
        await self.device.start_advertising(auto_restart=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for what in self._tasks:
            self._drop(what)
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        await self.device.power_off()

    def press(self) -> int:
        """The patient presses the button; returns the first sample of the frame that is being taken."""
        frame = self.playback.sampled
        self.playback.markers.add(frame)
        return frame * self.playback.info.n

    # -- one host --------------------------------------------------------------------------------------------

    def _on_connection(self, connection: Connection) -> None:
        self._connection = connection
        connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)
        self._spawn("status", self._send_status())

    def _on_disconnection(self, reason: int) -> None:
        logger.info("link to the host ended with reason %#04x", reason)
        self._connection = None
        for what in self._tasks:
            self._drop(what)

    def _spawn(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        """One task of each kind: a newer request replaces the one under way."""
        self._drop(what)
        self._tasks[what] = asyncio.create_task(work)
        self._tasks[what].add_done_callback(_tell_failure)

    def _drop(self, what: str) -> None:
        if what in self._tasks:
            self._tasks[what].cancel()

    def _on_control(self, _connection: Connection, data: bytes) -> None:
        try:
            request = control.parse_request(data)
        except PayloadError as error:
            raise att.ATT_Error(error_code=MALFORMED) from error
        match request:
            case control.Start():
                self._start()
                self._answer(request.OPCODE)
            case control.Stop():
                self._drop("live")
                self._answer(request.OPCODE)
            case control.Abort():
                self._drop("backfill")
                self._answer(request.OPCODE)
            case control.Backfill(first, last):
                self._spawn("backfill", self._send_backfill(first, last))
            case control.Range():
                self._say("range", self._range())
            case control.TimePing(token):
                self._say("time", control.TimePong(token, self.playback.device_us))
            case control.Config():
                self._answer(request.OPCODE, control.Result.REFUSED)

    def _answer(self, opcode: int, result: control.Result = control.Result.OK) -> None:
        self._say(f"answer {opcode}", control.Answer(opcode, result))

    def _say(self, what: str, message: control.Indication) -> None:
        self._spawn(what, self._indicate(message))

    async def _indicate(self, message: control.Indication) -> None:
        if self._connection:
            await self.device.indicate_subscriber(self._connection, self._profile.control, bytes(message))

    async def _notify(self, characteristic: gatt.Characteristic[bytes], data: bytes) -> None:
        if self._connection:
            await self.device.notify_subscriber(self._connection, characteristic, data)

    # -- what it sends ---------------------------------------------------------------------------------------

    def _start(self) -> None:
        head = self.playback.sampled
        if self._live_next is not None:
            self.overruns += max(0, head - self._live_next)
        self._live_next = head
        self._spawn("live", self._send_live(head))

    async def _send_live(self, frame: int) -> None:
        play = self.playback
        while frame < play.frames:
            await asyncio.sleep(max(0.0, play.due(frame) - time.monotonic()))
            if await self._waited_for_room(LIVE_QUEUE):
                self._slow_down(frame)
            await self._notify(self._profile.live, bytes(play.frame(frame)))
            frame += 1
            self._live_next = frame
        await self._indicate(control.End(play.total - 1))

    def _slow_down(self, frame: int) -> None:
        late = time.monotonic() - self.playback.due(frame)
        if late <= 0:
            return
        before, self.slow_s = self.slow_s, self.playback.slip(frame, late)
        if int(before) != int(self.slow_s) or not before:
            logger.warning("the link cannot carry this speed: the patch is %.1f s behind", self.slow_s)

    async def _send_backfill(self, first: int, last: int) -> None:
        play = self.playback
        n = play.info.n
        begin, end = max(first // n, play.ring_first), min(last // n + 1, play.sampled)
        for frame in range(begin, end):
            await self._waited_for_room(BACKFILL_QUEUE)
            await self._notify(self._profile.backfill, bytes(play.frame(frame, Flag.BACKFILL)))
        sent_first = max(first, begin * n)
        sent_last = min(last, play.end_of(end - 1) - 1) if end > begin else sent_first - 1
        await self._indicate(control.BackfillDone(sent_first, sent_last))

    async def _waited_for_room(self, limit: int) -> bool:
        """Wait until fewer packets than `limit` are queued; whether it had to."""
        waited = False
        while self._connection:
            queue = self.device.host.get_data_packet_queue(self._connection.handle)
            if queue is None or queue.pending < limit:
                break
            waited = True
            await asyncio.sleep(0.005)
        return waited

    async def _send_status(self) -> None:
        while True:
            await asyncio.sleep(self._status_s)
            await self._notify(self._profile.status, bytes(self._status_now()))

    def _range(self) -> control.RangeIs:
        play = self.playback
        return control.RangeIs(play.ring_first * play.info.n, play.end_of(play.sampled - 1) - 1, play.ended)

    def _status_now(self) -> control.Status:
        held = self._range()
        return control.Status(
            battery_mv=self._battery_mv(),
            lead_off=self.playback.lead_off(),
            ring_first=held.first,
            ring_last=held.last,
            overruns=self.overruns,
        )

    def _battery_mv(self) -> int:
        hours = self.playback.device_us / 3.6e9
        return max(EMPTY_MV, round(FULL_MV - MV_PER_HOUR * hours))

    def _battery_percent(self) -> int:
        return round(100 * (self._battery_mv() - EMPTY_MV) / (FULL_MV - EMPTY_MV))


def _tell_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        logger.warning("the patch could not send: %s", error or type(error).__name__)
