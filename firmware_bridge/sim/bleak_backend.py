"""bleak's own `backend=` seam to the virtual radio: unmodified bleak code talks to a Bumble host.

The host is connected to a controller over HCI on TCP (`firmware_bridge.sim.hci`), usually in the patch's
process. One host device per process and port, shared by scanners and clients, opened when first needed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from functools import partial
from typing import Any, cast

from bleak.args import SizedBuffer
from bleak.assigned_numbers import CharacteristicPropertyName
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError
from bleak.uuids import normalize_uuid_str
from bumble import att, core, gatt
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt_client import CharacteristicProxy
from bumble.hci import Address

from firmware_bridge.radio import Backend
from firmware_bridge.sim.host import COMMAND_S, Radio, as_bleak_errors

MTU = 517  # what the host offers; the patch decides
DISCONNECT_S = 2.0
# Unlike a missing adapter, the virtual radio may come back: the session retries what is "not found".
_NOT_THERE = partial(BleakDeviceNotFoundError, "the virtual radio")


_radios: dict[tuple[asyncio.AbstractEventLoop, str, int], Radio] = {}


def bumble_backend(port: int, host: str = "127.0.0.1") -> Backend:
    """bleak's backend types for the virtual radio served at this port; call it inside the event loop."""
    key = asyncio.get_running_loop(), host, port
    radio = _radios.setdefault(key, Radio(port, host))
    return Backend(
        client=type("BumbleClient", (_Client,), {"radio": radio}),
        scanner=type("BumbleScanner", (_Scanner,), {"radio": radio}),
    )


async def close_radio(port: int, host: str = "127.0.0.1") -> None:
    """Close this process's host on that port; its links end."""
    radio = _radios.pop((asyncio.get_running_loop(), host, port), None)
    if radio:
        await radio.close()


class _Scanner(BaseBleakScanner):
    radio: Radio

    def __init__(
        self,
        detection_callback: Any,
        service_uuids: list[str] | None,
        _scanning_mode: str,
        **_kwargs: Any,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._device: Device | None = None

    async def start(self) -> None:
        self.seen_devices = {}
        with as_bleak_errors("scanning failed", _NOT_THERE):
            device = await self.radio.device()
            async with asyncio.timeout(COMMAND_S):
                await device.start_scanning()
            device.on(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
            self._device = device

    async def stop(self) -> None:
        device, self._device = self._device, None
        if device:
            device.remove_listener(Device.EVENT_ADVERTISEMENT, self._on_advertisement)
            if self.radio.has(device):
                with as_bleak_errors("scanning could not be stopped", _NOT_THERE):
                    async with asyncio.timeout(COMMAND_S):
                        await device.stop_scanning()

    def _on_advertisement(self, advertisement: Advertisement) -> None:
        kinds = core.AdvertisingData.Type
        name = advertisement.data.get(kinds.COMPLETE_LOCAL_NAME)
        uuids = advertisement.data.get(kinds.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS) or []
        data = AdvertisementData(
            local_name=name,
            manufacturer_data={},
            service_data={},
            service_uuids=[uuid.to_hex_str("-").lower() for uuid in uuids],
            tx_power=None,
            rssi=advertisement.rssi,
            platform_data=(advertisement,),
        )
        address = advertisement.address.to_string(with_type_qualifier=False)
        device = self.create_or_update_device(address, address, data.local_name, advertisement.address, data)
        if self.is_allowed_uuid(data.service_uuids):
            self.call_detection_callbacks(device, data)


class _Client(BaseBleakClient):
    radio: Radio

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(
            address_or_ble_device,
            disconnected_callback=kwargs.get("disconnected_callback"),
            timeout=kwargs["timeout"],
        )
        self._peer_address = (
            address_or_ble_device.details
            if isinstance(address_or_ble_device, BLEDevice)
            else Address(address_or_ble_device)
        )
        self._connection: Connection | None = None

    @property
    def name(self) -> str:
        return self.address

    @property
    def mtu_size(self) -> int:
        return self._connection.att_mtu if self._connection else att.ATT_DEFAULT_MTU

    @property
    def is_connected(self) -> bool:
        return self._connection is not None

    async def connect(self, pair: bool, **_kwargs: Any) -> None:
        if pair:
            raise BleakError("the virtual radio does not pair")
        with as_bleak_errors(f"{self.address} could not be connected"):
            device = await self.radio.device()
            async with asyncio.timeout(self._timeout + COMMAND_S):
                self._connection = await device.connect(self._peer_address, timeout=self._timeout)
            self._connection.on(Connection.EVENT_DISCONNECTION, self._on_disconnection)
            peer = Peer(self._connection)
            await peer.request_mtu(MTU)
            await self._discover(peer)

    async def disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.remove_listener(Connection.EVENT_DISCONNECTION, self._on_disconnection)
            with contextlib.suppress(BleakError), as_bleak_errors("disconnecting failed"):
                async with asyncio.timeout(DISCONNECT_S):
                    await connection.disconnect()

    def _on_disconnection(self, _reason: int) -> None:
        self._connection = None
        if self._disconnected_callback:
            self._disconnected_callback()

    async def _discover(self, peer: Peer) -> None:
        await peer.discover_services()
        self.services = BleakGATTServiceCollection()
        for service in peer.services:
            await service.discover_characteristics()
            known = BleakGATTService(service, service.handle, _uuid(service.uuid))
            self.services.add_service(known)
            for found in service.characteristics:
                self.services.add_characteristic(self._characteristic(found, known))

    def _characteristic(
        self, found: CharacteristicProxy[bytes], service: BleakGATTService
    ) -> BleakGATTCharacteristic:
        named = gatt.Characteristic.Properties
        names = {
            named.READ: "read",
            named.WRITE: "write",
            named.WRITE_WITHOUT_RESPONSE: "write-without-response",
            named.NOTIFY: "notify",
            named.INDICATE: "indicate",
        }
        properties = [name for bit, name in names.items() if found.properties & bit]
        return BleakGATTCharacteristic(
            found,
            found.handle,
            _uuid(found.uuid),
            cast("list[CharacteristicPropertyName]", properties),
            lambda: self.mtu_size - 3,
            service,
        )

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_kwargs: Any
    ) -> bytearray:
        del use_cached  # values change: always read
        return bytearray(await self._do(characteristic.obj.read_value()))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        await self._do(characteristic.obj.write_value(bytes(data), with_response=response))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_kwargs: Any
    ) -> None:
        await self._do(characteristic.obj.subscribe(lambda value: callback(bytearray(value))))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        await self._do(characteristic.obj.unsubscribe(force=True))

    async def _do(self, request: Awaitable[Any]) -> Any:
        """One ATT request, ended by the disconnection where that comes first."""
        with as_bleak_errors(f"{self.address} did not answer"):
            return await request

    async def read_gatt_descriptor(self, descriptor: BleakGATTDescriptor, **_kwargs: Any) -> bytearray:  # noqa: ARG002
        raise BleakError("the virtual radio's backend does not read descriptors")

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:  # noqa: ARG002
        raise BleakError("the virtual radio's backend does not write descriptors")

    async def pair(self, *_args: Any, **_kwargs: Any) -> None:
        raise BleakError("the virtual radio does not pair")

    async def unpair(self) -> None:
        raise BleakError("the virtual radio does not pair")


def _uuid(uuid: core.UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-"))
