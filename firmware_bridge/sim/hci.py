"""Controllers over TCP: a host in another process has its own controller on the virtual radio.

One fresh controller per accepted socket; when the socket closes (kill -9 of the host included) its links are
dropped on the other side, so that the patch advertises again. Bumble's own socket servers clean up nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from bumble.transport.common import StreamPacketSink, StreamPacketSource

from firmware_bridge.sim.link import AirController, ShapedLink
from models.errors import RadioError

HIGH_WATER = 32 * 1024  # bytes a host may leave unread before the radio holds back


class _HostSocket(StreamPacketSource):
    """One host's HCI stream, and the controller it speaks to."""

    def __init__(self, link: ShapedLink, open_sockets: set[asyncio.BaseTransport]) -> None:
        super().__init__()
        self._link = link
        self._open = open_sockets
        self._transport: asyncio.BaseTransport | None = None
        self._controller: AirController | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        self._open.add(transport)
        transport.set_write_buffer_limits(high=HIGH_WATER)
        self._controller = AirController("host", self, StreamPacketSink(transport), self._link)

    def pause_writing(self) -> None:
        if self._controller:
            self._controller.writable = False

    def resume_writing(self) -> None:
        if self._controller:
            self._controller.writable = True

    def connection_lost(self, _error: Exception | None) -> None:
        if self._transport and self._controller:
            self._open.discard(self._transport)
            self._controller.host = None
            self._link.detach(self._controller)


@contextlib.asynccontextmanager
async def serve_hci(link: ShapedLink, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """Serve the radio on a TCP port (0 = any free one); yields the port."""
    sockets: set[asyncio.BaseTransport] = set()
    try:
        server = await asyncio.get_running_loop().create_server(
            lambda: _HostSocket(link, sockets), host, port
        )
    except OSError as error:
        raise RadioError(
            f"The virtual radio cannot listen on {host}:{port} ({error.strerror}): choose another port."
        ) from error
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in list(sockets):
            transport.close()
