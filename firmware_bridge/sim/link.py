"""A shaped radio link between Bumble controllers: connection events, loss, out of range, supervision timeout.

Bumble's `LocalLink` has no radio. Here a controller's data packets wait for their connection event, a lost
packet is sent again at the next one (as the link layer does: loss costs time, never data), and a connection
that hears nothing for the supervision timeout ends on both sides with reason 0x08. A packet counts as
completed towards its host only when it has been delivered, so both hosts feel what the link can carry.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink

CONNECTION_TIMEOUT = 0x08


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What the radio between a patch and its host is like."""

    interval_s: float = 0.03  # between connection events
    packets: int = 6  # per event and direction
    loss: float = 0.0  # probability that a packet must be sent again
    supervision_s: float = 2.0  # silence after which both sides give up
    out_of_range: Sequence[tuple[float, float]] = ()  # (from, to) in seconds since the link began
    seed: int = 0


class AirController(Controller):
    """A controller whose data packets go through a `ShapedLink`'s connection events."""

    le_acl_data_packet_length = 251  # Bumble's default of 27 costs three quarters of the throughput
    total_num_le_acl_data_packets = 16
    link: ShapedLink
    writable = True  # false while its host does not read: then nothing is acknowledged to the other side

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        connection = self.find_le_connection_by_handle(packet.connection_handle)
        if connection is not None:
            self.link.enqueue(connection, packet)

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        if self.le_connections.get(connection.peer_address) is connection:  # the other side may be first
            super().on_le_disconnected(connection, reason)

    def on_hci_le_create_connection_cancel_command(
        self, _command: hci.HCI_LE_Create_Connection_Cancel_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Bumble's own leaves the attempt pending, and every later one is disallowed."""
        pending, self.pending_le_connection = self.pending_le_connection, None
        if pending:
            self.send_hci_packet(
                hci.HCI_LE_Connection_Complete_Event(
                    status=hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR,
                    connection_handle=0,
                    role=hci.Role.CENTRAL,
                    peer_address_type=pending.peer_address.address_type,
                    peer_address=pending.peer_address,
                    connection_interval=0,
                    peripheral_latency=0,
                    supervision_timeout=0,
                    central_clock_accuracy=0,
                )
            )
        return hci.HCI_StatusReturnParameters(hci.HCI_ErrorCode.SUCCESS)


@dataclass(slots=True)
class _Air:
    """What one side of a connection has to send, and when it last heard the other."""

    connection: Connection
    heard: float
    waiting: deque[hci.HCI_AclDataPacket | ll.ControlPdu]


class ShapedLink(LocalLink):
    """`async with ShapedLink(shape) as link`; `link.in_range` may be set at any time."""

    def __init__(self, shape: Shape | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.shape = shape or Shape()
        self.in_range = True
        self.retransmissions = 0
        self._random = random.Random(self.shape.seed)
        self._air: dict[int, _Air] = {}  # by identity: Bumble's connections have no hash
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ShapedLink:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task
        self._task.cancel()
        await asyncio.wait([self._task])

    async def closed(self) -> None:
        """Wait for the end, or for what broke the radio."""
        assert self._task
        await self._task

    def enqueue(self, connection: Connection, packet: hci.HCI_AclDataPacket | ll.ControlPdu) -> None:
        self._air_of(connection).waiting.append(packet)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """A termination goes at once or never (its sender forgets the link); the rest waits for an event."""
        sender = self._connection(sender_address, receiver_address)
        receiver = self._connection(receiver_address, sender_address)
        if isinstance(packet, ll.TerminateInd):
            if receiver and self.in_range:
                asyncio.get_running_loop().call_soon(
                    receiver.controller.on_ll_control_pdu, sender_address, packet
                )
        elif sender:
            self.enqueue(sender, packet)

    def send_advertising_pdu(self, sender_controller: Controller, packet: ll.AdvertisingPdu) -> None:
        if self.in_range:
            super().send_advertising_pdu(sender_controller, packet)

    def detach(self, controller: Controller) -> None:
        """This controller's host is gone: what it was connected to is told."""
        self.remove_controller(controller)
        for connection in list(controller.le_connections.values()):
            peer = self._peer(connection)
            if peer:
                peer.controller.on_le_disconnected(peer, CONNECTION_TIMEOUT)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began = due = loop.time()
        inside = False
        while True:
            now = loop.time()
            windows = [a <= now - began < b for a, b in self.shape.out_of_range]
            if any(windows) != inside:  # only the edges: a test may set in_range by hand
                inside = any(windows)
                self.in_range = not inside
            self._event(now)
            due = max(due + self.shape.interval_s, now)
            await asyncio.sleep(due - now)

    def _event(self, now: float) -> None:
        """One connection event of every connection."""
        connections = [c for controller in self.controllers for c in controller.le_connections.values()]
        for connection in connections:
            air = self._air_of(connection)
            peer = self._peer(connection) if self.in_range else None
            if peer:
                air.heard = now
                self._send(air, peer)
            elif now - air.heard > self.shape.supervision_s:
                connection.controller.on_le_disconnected(connection, CONNECTION_TIMEOUT)
        for gone in self._air.keys() - {id(c) for c in connections}:
            del self._air[gone]

    def _air_of(self, connection: Connection) -> _Air:
        air = self._air.get(id(connection))
        if air is None:
            air = self._air[id(connection)] = _Air(connection, asyncio.get_running_loop().time(), deque())
        return air

    def _send(self, air: _Air, peer: Connection) -> None:
        for _ in range(self.shape.packets):
            if not air.waiting or not getattr(peer.controller, "writable", True):
                return
            if self._random.random() < self.shape.loss:
                self.retransmissions += 1
                return  # a broken packet closes the event
            self._deliver(air.connection, peer, air.waiting.popleft())

    @staticmethod
    def _deliver(
        connection: Connection, peer: Connection, packet: hci.HCI_AclDataPacket | ll.ControlPdu
    ) -> None:
        if isinstance(packet, ll.ControlPdu):
            peer.controller.on_ll_control_pdu(peer.peer_address, packet)
        else:
            connection.on_hci_acl_data_packet(packet)  # delivers whole PDUs, and tells the host it is done

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """By the connection's own addresses: Bumble's uses the sender's current random address."""
        for connection in sender_controller.le_connections.values():
            if connection.peer_address == destination_address and (peer := self._peer(connection)):
                peer.controller.on_link_acl_data(connection.self_address, transport, data)

    def _peer(self, connection: Connection) -> Connection | None:
        return self._connection(connection.peer_address, connection.self_address)

    def _connection(self, own: hci.Address, peer: hci.Address) -> Connection | None:
        for controller in self.controllers:
            found = controller.le_connections.get(peer)
            if found and found.self_address == own:
                return found
        return None
