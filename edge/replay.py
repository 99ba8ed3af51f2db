"""A recording sent to a node's replay lane: screened and cut as live signal is, beneath `replay/v1` only."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from edge.agent import monitor
from edge.intake import Intake
from edge.outbox import Outbox
from edge.screening import WindowScreener
from edge.uplink import Uplink
from models.errors import DeliveryError
from models.recordings import Recording, RecordingSource
from models.screener.runtime import Screener
from models.wire import REPLAY

STALL_S = 60.0  # nothing acknowledged for so long: nobody listens
POLL_S = 0.05


async def publish(
    recordings: Iterable[Recording], url: str, run: str, *, speed: float = 0.0
) -> dict[str, int]:
    """Sends them one after the other and returns when the node has committed all: {"segments"}, how many.

    Raises:
        DeliveryError: nobody takes them, or the node refuses some.
    """
    screener = Screener()
    with tempfile.TemporaryDirectory(prefix="anyecg-replay-") as folder:
        outbox = Outbox(Path(folder) / "outbox.db", run)
        uplink = Uplink(url, run, outbox, root=REPLAY)
        sending = asyncio.create_task(uplink.run())
        try:
            for recording in recordings:
                intake = Intake(WindowScreener(screener), recorded=recording.clock)
                await monitor(RecordingSource(recording, speed=speed), intake, outbox, uplink.notify)
            await _until_taken(outbox, url)
            if refused := outbox.dead() + outbox.dead("trend"):
                raise DeliveryError(f"The node behind {url} refused {refused} segments and rows of {run}.")
            return {"segments": outbox.counter("acknowledged")}
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
            outbox.close()


async def _until_taken(outbox: Outbox, url: str) -> None:
    waits, moved = -1, time.monotonic()
    while (now := outbox.depth() + outbox.depth("trend")) > 0:
        if now != waits:
            waits, moved = now, time.monotonic()
        if time.monotonic() - moved > STALL_S:
            raise DeliveryError(f"Nobody takes replays behind {url}: no answer for {STALL_S:.0f} s.")
        await asyncio.sleep(POLL_S)
