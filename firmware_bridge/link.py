"""One connection to one patch: what it says of itself, a bounded inbox of what it sends, and requests."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from types import TracebackType
from typing import Any, NamedTuple

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from firmware_bridge.codecs import openecg
from firmware_bridge.codecs.openecg import StreamInfo
from firmware_bridge.codecs.openecg_control import Request
from firmware_bridge.radio import Backend
from models.errors import PayloadError, RadioError

logger = logging.getLogger(__name__)

CONNECT_S = 20.0
DISCONNECT_S = 5.0
MTU_S = 2.0  # some stacks report the true MTU late
ATT_HEADER = 3
INBOX = 4096  # notifications: minutes of stream


class LinkLostError(Exception):
    """The connection is no longer of use: disconnect, then connect again."""


class Kind(Enum):
    """Which characteristic spoke."""

    FRAME = auto()  # live or backfill
    STATUS = auto()
    CONTROL = auto()


class Event(NamedTuple):
    """One notification or indication."""

    kind: Kind
    data: bytearray
    received_at: float  # Unix seconds
    heard_at: float  # monotonic seconds


class PatchLink:
    """`async with PatchLink(device, backend) as link`; leaving always disconnects.

    A dead client that is not disconnected makes BlueZ deliver every later notification once more. The
    callbacks only stamp and enqueue; what a full inbox cannot take is counted in `overflowed`, and is then a
    hole like any other. RadioError where this link can never carry the stream.
    """

    def __init__(self, device: BLEDevice, backend: Backend, inbox: int = INBOX) -> None:
        self._client = BleakClient(device, self._on_disconnected, timeout=CONNECT_S, backend=backend.client)
        self._inbox: deque[Event] = deque()
        self._size = inbox
        self._something = asyncio.Event()
        self._lost = False
        self.overflowed = 0
        self.heard = time.monotonic()  # when a frame last came
        self.patch_id = ""
        self.info: StreamInfo
        self.status = bytearray()

    async def __aenter__(self) -> PatchLink:
        try:
            await self._client.connect()
            await self._introduce()
        except BaseException:
            await self._disconnect()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._disconnect()

    async def send(self, request: Request) -> None:
        await self._client.write_gatt_char(openecg.CONTROL, bytes(request), response=True)

    async def events(self, timeout_s: float) -> list[Event]:
        """Everything that has come, after at most this long; LinkLostError once it is disconnected."""
        if not self._inbox and not self._lost:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._something.wait()
        self._something.clear()
        events = list(self._inbox)
        self._inbox.clear()
        if self._lost and not events:
            raise LinkLostError("the link was lost")
        return events

    async def _introduce(self) -> None:
        read = self._client.read_gatt_char
        self.patch_id = (await read(openecg.SERIAL_NUMBER)).decode(errors="replace")
        try:
            self.info = StreamInfo.parse(await read(openecg.STREAM_INFO))
        except PayloadError as error:
            raise RadioError(f"Patch {self.patch_id} cannot be read: {error}.") from error
        await self._check_mtu()
        self.status = await read(openecg.STATUS)
        for uuid, kind in (
            (openecg.CONTROL, Kind.CONTROL),
            (openecg.STATUS, Kind.STATUS),
            (openecg.BACKFILL, Kind.FRAME),
            (openecg.LIVE, Kind.FRAME),
        ):
            await self._client.start_notify(uuid, self._enqueue(kind))

    async def _check_mtu(self) -> None:
        """`mtu_size` is 23 on some stacks whatever the truth; a characteristic's writable size is not."""
        live = self._client.services.get_characteristic(openecg.LIVE)
        if live is None:
            raise RadioError(
                f"Patch {self.patch_id} has no OpenECG live characteristic: its firmware differs."
            )
        needed = self.info.frame_bytes + ATT_HEADER
        give_up = time.monotonic() + MTU_S
        while (mtu := live.max_write_without_response_size + ATT_HEADER) < needed:
            if time.monotonic() > give_up:
                raise RadioError(
                    f"The link to patch {self.patch_id} carries {mtu} bytes (MTU) and its frames need "
                    f"{needed}: use an adapter or system that negotiates a larger MTU."
                )
            await asyncio.sleep(0.1)

    def _enqueue(self, kind: Kind) -> Callable[[Any, bytearray], None]:
        def on_notification(_characteristic: Any, data: bytearray) -> None:
            now = time.monotonic()
            if kind is Kind.FRAME:
                self.heard = now
                if len(self._inbox) >= self._size:
                    self.overflowed += 1
                    return
            self._inbox.append(Event(kind, data, time.time(), now))
            self._something.set()

        return on_notification

    def _on_disconnected(self, _client: BleakClient) -> None:
        self._lost = True
        self._something.set()

    async def _disconnect(self) -> None:
        try:
            async with asyncio.timeout(DISCONNECT_S):
                await self._client.disconnect()
        except (BleakError, OSError, EOFError, TimeoutError) as error:
            logger.info("disconnecting the dead link failed: %r", error)
