"""The whole loop on one machine: four processes, or three and a real patch, kept alive until it is over.

Knows the edge and the patch only by their commands, and the cloud by its HTTP interface, like anybody else.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import sys
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloud.broker import check_port, free_port
from cloud.supervisor import ProcessSpec, Supervisor
from models.errors import AnyEcgError

START_S = 3.0  # the patch takes sample 0 this long after the demo begins
STALL_S = 120.0  # nothing moved for so long: give up
POLL_S = 0.5
HEARTBEAT_S = 2.0
HOST = "127.0.0.1"

Say = Callable[[str], None]
Json = dict[str, Any]


class StalledError(AnyEcgError):
    """The loop stopped moving before the recording was through."""


@dataclass(kw_only=True)
class Loop:
    """Ports, files and commands of one run; `record` None = the platform's Bluetooth."""

    state: Path
    record: str | None = None
    speed: float = 1.0
    port: int = 0
    edge: Mapping[str, Any] = field(default_factory=dict)  # further keys of edge.toml's [patch]

    def __post_init__(self) -> None:
        if self.port:
            check_port(self.port, HOST, "page")
        self.port = self.port or free_port()
        self._broker_port, self._radio_port = free_port(), free_port()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def processes(self) -> list[ProcessSpec]:
        """Broker and cloud first, so that the first part finds them; every port is fixed for restarts."""
        self.state.mkdir(parents=True, exist_ok=True)
        broker = f"mqtt://{HOST}:{self._broker_port}"
        (self.state / "cloud.toml").write_text(
            f'site = "home"\nbroker = "{broker}"\nhost = "{HOST}"\nport = {self.port}\n'
            f'store = "sqlite:///{(self.state / "cloud.db").as_posix()}"\n'
            + ("[people]\nrequired = false\n" if self.record else ""),  # its figures come over HTTP
            encoding="utf-8",
        )
        radio = f"tcp-client:{HOST}:{self._radio_port}" if self.record else "platform"
        patch = {"radio": radio} | dict(self.edge)
        (self.state / "edge.toml").write_text(
            f'site = "home"\nbroker = "{broker}"\nheartbeat_s = {HEARTBEAT_S}\n'
            f'state = "{self.state.as_posix()}"\n\n[patch]\n'
            + "".join(f"{key} = {json.dumps(value)}\n" for key, value in patch.items()),
            encoding="utf-8",
        )
        specs = [
            _spec("broker", "broker", "run", "--port", str(self._broker_port)),
            _spec("cloud", "cloud", "run", "--config", str(self.state / "cloud.toml"), ready=self._serves),
        ]
        if self.record:
            timing = ["--speed", str(self.speed), "--epoch", f"{time.time() + START_S:.3f}"]
            specs.append(
                _spec("patch", "patch", "simulate", self.record, "--hci-port", str(self._radio_port), *timing)
            )
        return [*specs, _spec("edge", "edge", "run", "--config", str(self.state / "edge.toml"))]

    async def get(self, path: str) -> Any:
        """JSON of the cloud's HTTP interface; OSError while it is down."""
        return await asyncio.to_thread(_get, self.url + path)

    async def _serves(self) -> bool:
        try:
            await self.get("/healthz")
        except OSError:
            return False
        return True


async def run_until_done(loop: Loop, say: Say, *, verbose: bool, stay: bool) -> Json:
    """Play the recording to its end and return the figures; `stay` keeps the page up until cancelled."""
    async with Supervisor(loop.processes(), say=say, verbose=verbose):
        say(f"The nurse's page: {loop.url}")
        beat, stats = await _until_done(loop, say)
        figures = await _figures(loop, beat, stats)
        if stay:
            say(table(figures))
            say(f"The page stays up: {loop.url} (Ctrl-C ends it)")
            await asyncio.Event().wait()
    return figures


async def run_for_ever(loop: Loop, say: Say, *, verbose: bool) -> None:
    """A real patch: until cancelled."""
    async with Supervisor(loop.processes(), say=say, verbose=verbose):
        say(f"The nurse's page: {loop.url}")
        await asyncio.Event().wait()


async def _until_done(loop: Loop, say: Say) -> tuple[Json, Json]:
    """Waits for: the recording has ended, the outbox is empty, the cloud's queue is empty."""
    moved, before, told = time.monotonic(), None, 0
    while True:
        await asyncio.sleep(POLL_S)
        try:
            patches, stats = await loop.get("/api/patches"), await loop.get("/api/stats")
        except OSError:  # killed, and back in a second
            patches, stats = [], {}
        beat: Json = patches[0]["heartbeat"] if patches else {}
        if beat.get("ended") and not beat["outbox_depth"] and stats and not stats["pending"]:
            return beat, stats
        now = (beat.get("newest"), beat.get("outbox_depth"), stats.get("segments"), stats.get("pending"))
        if now != before:
            moved, before = time.monotonic(), now
        if time.monotonic() - moved > STALL_S:
            raise StalledError(f"Nothing moved for {STALL_S:.0f} s: {_progress(beat, stats)}.")
        if stats and stats["segments"] > told:
            told = stats["segments"]
            say(_progress(beat, stats))


def _progress(beat: Json, stats: Json) -> str:
    """One line of how far things are."""
    at = f"{beat['newest'] / beat['fs']:.0f} s of the recording" if beat else "no heartbeat yet"
    found = sum(stats.get("findings", {}).values())
    return f"{at}, {stats.get('segments', 0)} segments, {found} findings, {stats.get('alerts', 0)} alerts"


async def _figures(loop: Loop, beat: Json, stats: Json) -> Json:
    assert loop.record is not None
    derived = await _replayed_segments(loop.record)
    held = {row["id"]: row["sha256"] for row in await loop.get("/api/segments")}
    return {
        "windows": beat["windows"],
        "flagged": beat["flagged"],
        "missing_s": round(beat["missing_total_s"], 3),
        "segments": {
            "sent": beat["segments"],
            "acknowledged": beat["acknowledged"],
            "lost": sum(held.get(segment) != sha256 for segment, sha256 in derived.items()),
        },
        "findings": stats["findings"],
        "alerts": stats["alerts"],
        "latency_s": stats["latency_s"],
        "pipeline_s": stats["pipeline_s"],
        "uplink_bytes": beat["uplink_bytes"],
        "raw_bytes": beat["raw_bytes"],
    }


async def _replayed_segments(record: str) -> dict[str, str]:
    """Segment id -> sha256 as `anyecg replay` derives them, in a process of its own."""
    replay = await asyncio.create_subprocess_exec(
        *_anyecg("replay", record, "--jsonl"), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await replay.communicate()
    if replay.returncode:
        raise AnyEcgError(f"The replay to compare with failed: {err.decode(errors='replace').strip()}")
    lines = (json.loads(line) for line in out.splitlines())
    return {line["id"]: line["sha256"] for line in lines if line["type"] == "segment"}


def table(figures: Json) -> str:
    """The figures for people."""

    def spread(name: str) -> str:
        row = figures[name]
        return f"{row['p50']:.2f} s / {row['p95']:.2f} s (n = {row['n']})" if row["n"] else "none"

    segments, share = figures["segments"], figures["uplink_bytes"] / max(1, figures["raw_bytes"])
    rows = {
        "windows, flagged": f"{figures['windows']}, {figures['flagged']}",
        "signal missing": f"{figures['missing_s']:.1f} s",
        "segments sent, acknowledged, lost": ", ".join(str(segments[k]) for k in segments),
        "findings": ", ".join(f"{label} {n}" for label, n in sorted(figures["findings"].items())) or "none",
        "alerts": str(figures["alerts"]),
        "sample to screen, p50 / p95": spread("latency_s"),
        "edge to screen, p50 / p95": spread("pipeline_s"),
        "uplink bytes, of raw": f"{figures['uplink_bytes']:,} of {figures['raw_bytes']:,} ({share:.0%})",
    }
    width = max(map(len, rows))
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in rows.items())


def _spec(name: str, *arguments: str, ready: Callable[[], Any] | None = None) -> ProcessSpec:
    return ProcessSpec(name=name, argv=_anyecg(*arguments), ready=ready)


def _anyecg(*arguments: str) -> list[str]:
    """This command in this Python; -P keeps a folder called `models` where we stand from shadowing ours."""
    return [sys.executable, "-P", "-m", "anyecg", *arguments]


def _get(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310  our own loopback address
            return json.load(answer)
    except (http.client.HTTPException, ValueError) as error:  # killed in the middle of its answer
        raise OSError(f"{url}: {error!r}") from error
