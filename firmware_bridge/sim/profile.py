"""The virtual patch's GATT services and its host and controller on the radio."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from bumble import att, data_types, gatt
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection, Device, DeviceConfiguration
from bumble.hci import Address
from bumble.host import Host
from bumble.transport.common import AsyncPipeSink

from firmware_bridge.codecs import openecg
from firmware_bridge.codecs.openecg import StreamInfo
from firmware_bridge.sim.link import AirController, ShapedLink

ADVERTISING_MS = 100
_P = gatt.Characteristic.Properties
_A = att.Attribute.Permissions


class Profile:
    """OpenECG, Battery and Device Information; the serial number is the patch_id."""

    def __init__(
        self,
        info: StreamInfo,
        *,
        serial: str,
        on_control: Callable[[Connection, bytes], None],
        status: Callable[[], bytes],
        battery: Callable[[], int],
    ) -> None:
        self.live = _characteristic(openecg.LIVE, _P.NOTIFY)
        self.backfill = _characteristic(openecg.BACKFILL, _P.NOTIFY)
        self.control = _characteristic(
            openecg.CONTROL, _P.WRITE | _P.INDICATE, gatt.CharacteristicValue(write=on_control)
        )
        self.status = _characteristic(
            openecg.STATUS, _P.READ | _P.NOTIFY, gatt.CharacteristicValue(read=lambda _: status())
        )
        stream_info = _characteristic(openecg.STREAM_INFO, _P.READ | _P.INDICATE, bytes(info))
        percent = gatt.CharacteristicValue(read=lambda _: bytes([battery()]))
        self.services = [
            gatt.Service(
                UUID(openecg.SERVICE), [stream_info, self.live, self.control, self.backfill, self.status]
            ),
            gatt.Service(
                gatt.GATT_BATTERY_SERVICE,
                [_characteristic(gatt.GATT_BATTERY_LEVEL_CHARACTERISTIC, _P.READ, percent)],
            ),
            gatt.Service(
                gatt.GATT_DEVICE_INFORMATION_SERVICE,
                [
                    _characteristic(gatt.GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC, _P.READ, b"anyECG"),
                    _characteristic(gatt.GATT_MODEL_NUMBER_STRING_CHARACTERISTIC, _P.READ, b"virtual patch"),
                    _characteristic(openecg.SERIAL_NUMBER, _P.READ, serial.encode()),
                ],
            ),
        ]


def _characteristic(
    uuid: str | UUID,
    properties: gatt.Characteristic.Properties,
    value: bytes | gatt.CharacteristicValue[bytes] = b"",
) -> gatt.Characteristic[bytes]:
    permissions = _A.READABLE | _A.WRITEABLE if properties & _P.WRITE else _A.READABLE
    return gatt.Characteristic(uuid, properties, permissions, value)


def make_device(name: str, link: ShapedLink) -> Device:
    """A host and its controller on the radio; the address follows from the name, as a serial would."""
    digest = hashlib.sha256(name.encode()).digest()
    address = Address(bytes([*digest[:5], digest[5] | 0xC0]), Address.RANDOM_DEVICE_ADDRESS)
    advertising = AdvertisingData(
        [
            data_types.Flags(AdvertisingData.Flags.LE_GENERAL_DISCOVERABLE_MODE),
            data_types.CompleteListOf128BitServiceUUIDs([UUID(openecg.SERVICE)]),
            data_types.CompleteLocalName(name),
        ]
    )
    config = DeviceConfiguration(
        name=name,
        address=address,
        advertising_data=bytes(advertising),
        advertising_interval_min=ADVERTISING_MS,
        advertising_interval_max=ADVERTISING_MS,
    )
    controller = AirController(name, link=link)
    return Device(config=config, host=Host(controller, AsyncPipeSink(controller)))
