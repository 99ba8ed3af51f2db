"""The Bluetooth adapter through bleak: who is there, and one clear sentence where there is no Bluetooth."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from bleak import BleakAdapter, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import BaseBleakScanner
from bleak.exc import BleakBluetoothNotAvailableError, BleakDeviceNotFoundError, BleakError

from firmware_bridge.codecs.openecg import SERVICE
from models.errors import RadioError

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backend:
    """bleak's two `backend=` types; None = the platform's own."""

    client: type[BaseBleakClient] | None = None
    scanner: type[BaseBleakScanner] | None = None


PLATFORM = Backend()


class Sighting(NamedTuple):
    """A patch that advertises."""

    address: str
    name: str
    rssi: int  # dBm


async def scan(timeout_s: float = 5.0, backend: Backend | None = None) -> list[Sighting]:
    """The OpenECG patches that advertise, strongest first; RadioError without Bluetooth."""
    with _bluetooth():
        try:
            async with BleakScanner(
                service_uuids=[SERVICE], backend=(backend or PLATFORM).scanner
            ) as scanner:
                await asyncio.sleep(timeout_s)
        except BleakDeviceNotFoundError as error:
            raise RadioError(f"Scanning is not possible: {error}.") from error
    found = scanner.discovered_devices_and_advertisement_data
    seen = [
        Sighting(device.address, adv.local_name or device.name or "", adv.rssi)
        for device, adv in found.values()
        if SERVICE in adv.service_uuids
    ]
    return sorted(seen, key=lambda sighting: -sighting.rssi)


async def find(patch: str | None, timeout_s: float, backend: Backend) -> BLEDevice | None:
    """The patch of this address or name (None = any): one the system is still connected to, else by scanning.

    A killed process leaves BlueZ connected; the patch then advertises nothing and only adopting it helps.
    """
    unlisted: Exception | None = None
    if backend.client is None:
        try:
            adapter = await BleakAdapter.get()
            for device in await adapter.get_connected_devices([SERVICE]):
                if _is(patch, device, device.name):
                    return device
        except (BleakError, NotImplementedError, OSError) as error:
            unlisted = error  # not every platform lists them; without an adapter the scan below says so
    with _bluetooth():
        async with BleakScanner(service_uuids=[SERVICE], backend=backend.scanner) as scanner:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    async for device, adv in scanner.advertisement_data():
                        if SERVICE in adv.service_uuids and _is(patch, device, adv.local_name):
                            return device
    if unlisted is not None:
        logger.warning("the patch does not advertise, and connected ones cannot be listed: %r", unlisted)
    return None


def _is(patch: str | None, device: BLEDevice, name: str | None) -> bool:
    return patch is None or patch == name or patch.lower() == device.address.lower()


@contextlib.contextmanager
def _bluetooth() -> Iterator[None]:
    """RadioError, one sentence, for the many ways in which bleak says that there is no Bluetooth."""
    try:
        yield
    except BleakDeviceNotFoundError:
        raise
    except (OSError, EOFError) as error:  # without D-Bus, bleak raises a bare FileNotFoundError
        raise RadioError(
            "Bluetooth is not available: the system's Bluetooth service cannot be reached "
            f"({error}); start D-Bus and bluetoothd, or use the virtual patch."
        ) from error
    except BleakBluetoothNotAvailableError as error:
        raise RadioError(
            f"Bluetooth is not available: {error.args[0]} Plug in an adapter or switch it on."
        ) from error
    except BleakError as error:
        raise RadioError(f"Bluetooth is not usable: {error}; check the adapter and bluetoothd.") from error
