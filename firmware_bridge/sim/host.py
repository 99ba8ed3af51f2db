"""The host device of this process on the virtual radio, and Bumble's errors in bleak's words."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterator

from bleak.exc import BleakDeviceNotFoundError, BleakError
from bumble import core
from bumble.device import Device, DeviceConfiguration
from bumble.hci import Address
from bumble.host import Host
from bumble.transport.common import Transport
from bumble.transport.tcp_client import open_tcp_client_transport

COMMAND_S = 5.0  # a command to a controller that is gone is never answered


class Radio:
    """The process's host device on one HCI port."""

    def __init__(self, port: int, host: str) -> None:
        self._spec = f"{host}:{port}"
        self._opening = asyncio.Lock()
        self._device: Device | None = None
        self._transport: Transport | None = None

    async def device(self) -> Device:
        """The device, powered on; opened again where the patch's process went away in between."""
        async with self._opening:
            if self._device is None:
                try:
                    self._transport = await open_tcp_client_transport(self._spec)
                except OSError as error:
                    raise BleakDeviceNotFoundError(
                        self._spec, f"nothing serves the virtual radio at {self._spec}"
                    ) from error
                self._device = await self._power_on(self._transport)
            return self._device

    def has(self, device: Device) -> bool:
        return self._device is device

    async def _power_on(self, transport: Transport) -> Device:
        address = Address(bytes([*secrets.token_bytes(5), 0xC0 | secrets.randbits(6)]))
        config = DeviceConfiguration(name="anyECG edge", address=address)
        device = Device(config=config, host=Host(transport.source, transport.sink))
        device.on(Device.EVENT_FLUSH, self._lost)
        try:
            async with asyncio.timeout(COMMAND_S):
                await device.power_on()
        except BaseException:
            await transport.close()
            raise
        return device

    def _lost(self) -> None:
        self._device = None

    async def close(self) -> None:
        self._device = None
        if self._transport:
            await self._transport.close()


@contextlib.contextmanager
def as_bleak_errors(what: str, kind: Callable[[str], BleakError] = BleakError) -> Iterator[None]:
    """Bumble's errors as bleak's, and the cancellation by which Bumble says that the link was lost."""
    try:
        yield
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task and task.cancelling():  # somebody really cancelled us
            raise
        raise kind(f"{what}: the link was lost") from error
    except (core.BaseBumbleError, OSError, TimeoutError) as error:
        raise kind(f"{what}: {error or type(error).__name__}") from error
