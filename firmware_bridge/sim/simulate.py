"""What `anyecg patch simulate` runs: a patch, its radio and an HCI port for the host, in one process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from firmware_bridge.sim.hci import serve_hci
from firmware_bridge.sim.link import Shape, ShapedLink
from firmware_bridge.sim.patch import MTU, VirtualPatch
from firmware_bridge.sim.playback import Playback
from models.errors import UsageError
from models.recordings import Recording


@dataclass(frozen=True, slots=True)
class Simulation:
    """What runs: the patch, the radio it is on, and the port where the radio is served."""

    patch: VirtualPatch
    link: ShapedLink
    port: int


def windows(text: str) -> list[tuple[float, float]]:
    """`10:30,50:60` (from and to, seconds since the radio began) as `Shape.out_of_range` takes it."""
    found = []
    for part in filter(None, text.split(",")):
        begin, _, end = part.partition(":")
        try:
            found.append((float(begin), float(end)))
        except ValueError:
            raise UsageError(f"'{part}' is not a window out of range: write FROM:TO in seconds.") from None
        if not found[-1][0] < found[-1][1]:
            raise UsageError(f"The window out of range {part} ends before it begins.")
    return found


@contextlib.asynccontextmanager
async def simulation(
    recording: Recording,
    *,
    hci_port: int = 0,
    speed: float = 1.0,
    epoch: float | None = None,
    ring_s: float = 900.0,
    shape: Shape | None = None,
    mtu: int = MTU,
) -> AsyncIterator[Simulation]:
    """A patch that plays `recording` (see `Playback`) and advertises on a radio served at `hci_port`."""
    playback = Playback(recording, speed=speed, epoch=epoch, ring_s=ring_s)
    async with (
        ShapedLink(shape) as link,
        VirtualPatch(playback, link, mtu=mtu) as patch,
        serve_hci(link, hci_port) as port,
    ):
        yield Simulation(patch, link, port)


async def simulate(
    recording: Recording,
    *,
    ready: Callable[[int], None],
    hci_port: int = 0,
    speed: float = 1.0,
    epoch: float | None = None,
    ring_s: float = 900.0,
    shape: Shape | None = None,
) -> None:
    """Run a simulation until cancelled (the ring outlives the recording's end); `ready` gets the port."""
    async with simulation(
        recording, hci_port=hci_port, speed=speed, epoch=epoch, ring_s=ring_s, shape=shape
    ) as running:
        ready(running.port)
        await running.link.closed()
