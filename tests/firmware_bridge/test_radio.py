"""Machines without Bluetooth: one sentence, through the platform's own bleak backend."""

from __future__ import annotations

import sys

import pytest
from bleak.exc import (
    BleakBluetoothNotAvailableError,
    BleakBluetoothNotAvailableReason,
    BleakDBusError,
    BleakError,
)

from firmware_bridge.radio import Backend, scan
from firmware_bridge.session import PatchSession
from firmware_bridge.sim.bleak_backend import _Scanner
from models.errors import RadioError


@pytest.mark.skipif(sys.platform != "linux", reason="D-Bus is how Linux reaches Bluetooth")
async def test_without_d_bus_there_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/nothing")
    sentence = "Bluetooth is not available: the system's Bluetooth service cannot be reached"
    with pytest.raises(RadioError, match=sentence):
        await scan(0.1)
    async with PatchSession("208") as session:
        with pytest.raises(RadioError, match=sentence):
            await anext(aiter(session))


NO_ADAPTER = BleakBluetoothNotAvailableError(
    "No Bluetooth adapters found.", BleakBluetoothNotAvailableReason.NO_BLUETOOTH
)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (NO_ADAPTER, "Bluetooth is not available: No Bluetooth adapters found. Plug in an adapter"),
        (
            BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", ["no bluez"]),
            "Bluetooth is not usable: ",
        ),
        (BleakError("the adapter hangs"), "Bluetooth is not usable: the adapter hangs; check the adapter"),
    ],
)
async def test_every_way_of_saying_no_bluetooth_becomes_one_sentence(error, sentence):
    class Broken(_Scanner):
        async def start(self) -> None:
            raise error

    with pytest.raises(RadioError, match=sentence) as raised:
        await scan(0.1, Backend(scanner=Broken))
    assert "\n" not in str(raised.value)
