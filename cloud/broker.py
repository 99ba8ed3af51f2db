"""The embedded MQTT broker: iotcore (rumqttd in a wheel), for one machine, demonstrations and tests.

Messages live in its memory and die with it: an edge deletes a segment only when the cloud has said that it
committed it, so a killed broker costs a second and no segment. It has no topic rights, no encryption, and
listens on this machine only; a ward runs mosquitto with client certificates.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import random
import signal
import socket
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from models.errors import DeliveryError

if TYPE_CHECKING:
    from iotcore import IotCoreBroker

LARGEST_PAYLOAD = 4 * 1024 * 1024
"""Bytes in one message; the broker's own default of 20,480 is less than one part of a segment."""

_CONFIG = """\
id = 0

[router]
id = 0
max_connections = 1000
max_outgoing_packet_count = 200
max_segment_size = 16777216
max_segment_count = 8

[v5.1]
name = "anyecg"
listen = "{host}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 10000
max_payload_size = {largest}
max_inflight_count = 100
"""


def free_port(host: str = "127.0.0.1") -> int:
    """Port nobody listens on at the moment; for servers that cannot choose one and tell us.

    Below the range that systems take the ports of outgoing connections from: there, a client that keeps
    knocking while its server is being restarted may be given the very port, and connect to itself.
    """
    for port in random.sample(range(20_000, 32_000), 200):
        with contextlib.suppress(DeliveryError):
            check_port(port, host, "server")
            return port
    raise DeliveryError(f"No free port between 20000 and 32000 on {host}; end some of the programs there.")


def check_port(port: int, host: str, what: str) -> None:
    """Raise DeliveryError if `what` could not listen on `host:port`.

    SO_REUSEADDR as servers set it: connections of a killed predecessor in TIME_WAIT do not count.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except (OSError, OverflowError) as error:
            raise DeliveryError(_refusal(error, port, host, what)) from error


def _refusal(error: OSError | OverflowError, port: int, host: str, what: str) -> str:
    if isinstance(error, OverflowError):
        return f"The {what} cannot listen on port {port}: ports end at 65535; choose another with --port."
    if error.errno == errno.EADDRINUSE:
        return (
            f"The {what} cannot listen on {host}:{port}: another program already does; choose another --port."
        )
    return f"The {what} cannot listen on {host}:{port} ({error.strerror}); choose another --port."


def run_broker(port: int, host: str = "127.0.0.1") -> None:
    """Serve MQTT 5 on `host:port` in this process until SIGTERM or Ctrl-C.

    Main thread only: it installs the handlers of both signals. Raises DeliveryError if the port is taken.
    """
    check_port(port, host, "broker")
    broker = _configured(port, host)
    stop = threading.Event()
    failures: list[str] = []

    def serve() -> None:
        reason = "its server ended"
        try:
            broker.run_forever()
        except (OSError, RuntimeError) as error:
            reason = str(error)
        finally:  # whatever ends it: the process must not go on without its broker
            failures.append(reason)
            stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # run_forever() lets Python see no signal, and rumqttd has no way to be stopped: it ends with the process.
    threading.Thread(target=serve, name="broker", daemon=True).start()
    stop.wait()
    if failures:
        raise DeliveryError(f"The broker on {host}:{port} stopped: {failures[0]}.")


def _configured(port: int, host: str) -> IotCoreBroker:
    from iotcore import IotCoreBroker

    # Its tracing spans arrive as ERROR records for every packet.
    logging.getLogger("rumqttd").setLevel(logging.CRITICAL)
    logging.getLogger("tracing").setLevel(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix="anyecg-broker-") as folder:
        path = Path(folder) / "broker.toml"
        path.write_text(_CONFIG.format(host=host, port=port, largest=LARGEST_PAYLOAD), encoding="utf-8")
        return IotCoreBroker(config_path=str(path))  # reads the file now; a kill later leaves nothing behind
