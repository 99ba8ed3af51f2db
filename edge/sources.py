"""Where the stream comes from: a patch over this computer's Bluetooth, or over a virtual radio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from edge.config import PatchConfig
from firmware_bridge.session import PatchSession, ResumeFrom


@contextlib.asynccontextmanager
async def open_patch(config: PatchConfig, resume_from: ResumeFrom) -> AsyncIterator[PatchSession]:
    """The configured patch; `resume_from(patch_id, boot_id)` is the sample a restarted edge goes on from.

    Raises:
        RadioError: there is no Bluetooth, or the patch can never be read.
    """
    if config.radio == "platform":
        async with PatchSession(config.address, resume_from=resume_from) as session:
            yield session
        return
    from firmware_bridge.sim.bleak_backend import bumble_backend, close_radio

    _, host, port = config.radio.split(":")
    async with PatchSession(
        config.address, backend=bumble_backend(int(port), host), resume_from=resume_from
    ) as session:
        yield session
    await close_radio(int(port), host)
