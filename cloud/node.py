"""The cloud node, as a story: commit what comes, analyse it, watch the patches, show it all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import time
from collections.abc import Callable
from pathlib import Path

from cloud.ask import Asking
from cloud.broker import check_port
from cloud.chain import Who
from cloud.config import CloudConfig
from cloud.dispatcher import Dispatcher, check_alerts, dispatchers
from cloud.health import HEAD_S, HeadNote, Health, standing_still, writable
from cloud.inbox import Inbox
from cloud.language import load_language
from cloud.metrics import Metrics
from cloud.people import People
from cloud.replay_lane import ReplayInbox, ReplayLane
from cloud.replays import Replays
from cloud.reporter import Reporter
from cloud.retention import Retention
from cloud.sqlite_store import SqliteStore
from cloud.store import Patch, Store, open_store, path_of
from cloud.strips import Readings
from cloud.turns import Turns
from cloud.worker import Worker
from models.anyecg.localizer import Localizer
from models.errors import UsageError

logger = logging.getLogger(__name__)

TICK_S = 1.0
MOST_STANDING = 100_000  # technical alerts: all that there are
UNDELIVERED = "delivery"  # kind of technical alert
SWEEP_S = 3600.0  # between two looks at what is due to be deleted


async def serve(config: CloudConfig, say: Callable[[str], None] = logger.warning) -> None:
    """Run until cancelled or SIGTERM; a first user's code is told to `say`.

    Raises:
        DeliveryError: the port is taken, or the store cannot be opened.
        UsageError, RecordingError: the weights cannot be loaded, or there are none; a webhook has no secret;
            or the page would be open to others than its users.
    """
    check_encrypted(config)
    check_port(config.port, config.host, "page")
    network = _network(config.weights)
    check_alerts(config.alerts)
    store = open_store(config.store, config.alerts.escalation)
    try:
        check_people(config, People(store, config.people), say)
    except BaseException:
        store.close()
        raise
    metrics = Metrics(store)
    inbox = Inbox(config.broker, config.site, store, metrics.received)
    await asyncio.to_thread(warm_up)
    workers = [Worker(store, network, config, metrics.analysed) for _ in range(config.workers)]
    replays = Replays(Path(path_of(config.store) + ".replays"), store)
    lane = ReplayLane(replays, network, config)
    replay_inbox = ReplayInbox(config.broker, config.site, replays, lane.news)
    threads: list[Worker | Reporter | Dispatcher | ReplayLane] = [
        *workers,
        *dispatchers(store, config),
        lane,
    ]
    head = HeadNote(store)
    health = Health(
        {
            "store": writable(store),
            "broker": lambda: None if inbox.connected else f"No connection to the broker {config.broker}.",
            "workers": lambda: standing_still(workers, config.lease_s),
            "audit": head.wrong,
        }
    )
    ended = asyncio.Event()
    _on_end(lambda _: ended.set())  # until the page is there: what runs from here on ends in order
    for thread in threads:
        thread.start()
    inbox.start()
    replay_inbox.start()
    watching = (
        _watch_patches(store, config),
        _note_heads(head),
        _deliver_commands(store, inbox),
        _sweep(replays, config),
    )
    watches = [asyncio.create_task(watch) for watch in watching]
    try:  # an alert does not wait for a language model to be loaded either
        asking, reporter = await asyncio.to_thread(_language, config, store, network)
        if reporter is not None:
            reporter.start()
            threads.append(reporter)
        if not ended.is_set():
            await _serve_page(store, config, asking, metrics, health, replays)
    finally:
        for watch in watches:
            watch.cancel()
        await asyncio.to_thread(inbox.stop)
        await asyncio.to_thread(replay_inbox.stop)
        for thread in threads:
            thread.stop()
        store.wake()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        await asyncio.to_thread(head.note)
        store.close()


def _language(config: CloudConfig, store: Store, network: Localizer) -> tuple[Asking | None, Reporter | None]:
    """Who answers questions and who writes reports; nobody where the language model is off."""
    loaded = load_language(config.chat)
    if loaded is None:
        return None, None
    chat, eyes = loaded
    readings = Readings(store, network, eyes, config.rules)
    turns = Turns(_cores() if config.chat.size == "small" else 1)  # torch takes all cores by itself
    return (
        Asking(store, readings, chat, turns, config.chat.budget_s),
        Reporter(store, readings, chat, turns, config.chat.budget_s),
    )


def check_encrypted(config: CloudConfig) -> None:
    """UsageError where the page would leave this machine in the clear, or its certificate cannot be used."""
    if config.tls is None:
        if not config.local:
            raise UsageError(
                f"host = {config.host!r} is beyond this machine, which needs encryption: give certificate "
                "and key under [tls] in cloud.toml."
            )
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:  # an empty passphrase: else the terminal would be asked for one
        context.load_cert_chain(config.tls.certificate, config.tls.key, password="")
    except OSError as error:
        raise UsageError(
            f"[tls] {config.tls.certificate} and {config.tls.key} cannot be used: {error.strerror or error}."
        ) from error


def check_people(config: CloudConfig, people: People, say: Callable[[str], None]) -> None:
    """UsageError where the page would be open to everybody; where somebody must sign in and nobody can yet,
    a code for the first user is said."""
    if not config.local and not (people.required and people.any()):
        raise UsageError(
            f"host = {config.host!r} is beyond this machine, and nobody would have to sign in: make an admin "
            "with `anyecg cloud user add NAME --role admin`, and do not set people.required = false."
        )
    if people.required and not people.any():
        say(f"The first user: open {config.url}/join within 10 minutes and enter {people.first_code()}")


def _network(weights: Path | None) -> Localizer:
    try:
        return Localizer(weights)
    except Exception as error:  # ONNX Runtime's errors have no common type
        raise UsageError(f"The weights {weights} cannot be loaded: {error}") from error


def warm_up() -> None:
    """neurokit2 takes seconds to import: better now than while the first part waits."""
    import neurokit2  # noqa: F401


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


async def _serve_page(
    store: SqliteStore,
    config: CloudConfig,
    asking: Asking | None,
    metrics: Metrics,
    health: Health,
    replays: Replays,
) -> None:
    import uvicorn

    from cloud.console.app import create_app

    app = create_app(
        store,
        config.site,
        asking,
        config.rules,
        config.people,
        local=config.local,
        metrics=metrics,
        health=health,
        replays=replays,
    )
    options = uvicorn.Config(
        app,
        host=config.host,
        port=config.port,
        log_config=None,  # ours
        log_level="warning",
        lifespan="on",
        timeout_graceful_shutdown=1,
        proxy_headers=False,  # whoever is on this machine could claim another address
        ssl_certfile=config.tls.certificate if config.tls else None,
        ssl_keyfile=config.tls.key if config.tls else None,
    )
    server = uvicorn.Server(options)
    # uvicorn would raise the signal again when it is done, and end the process before everybody else has.
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign,assignment]

    def stop(number: int) -> None:
        app.state.hub.close()  # live pages never end by themselves
        server.handle_exit(number, None)

    _on_end(stop)
    await server.serve()


def _on_end(stop: Callable[[int], object]) -> None:
    """What is done when somebody wants this process to end, in place of what was said before."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop, number)


async def _watch_patches(store: Store, config: CloudConfig) -> None:
    """Technical alerts come and go, and an acknowledged alert resolves by itself."""
    while True:
        try:
            await asyncio.to_thread(check_patches, store, config, time.time())
            await asyncio.to_thread(check_deliveries, store, time.time())
            await asyncio.to_thread(store.book.hear, time.time())
        except Exception:  # a watch that ends is a silence that nobody notices
            logger.exception("the patches could not be checked")
        await asyncio.sleep(TICK_S)


async def _deliver_commands(store: Store, inbox: Inbox) -> None:
    """Every second, and at once when anything new was committed."""
    while True:
        try:
            last = await asyncio.to_thread(store.last_event)
            await asyncio.to_thread(inbox.deliver, time.time())
            await asyncio.to_thread(store.wait, last, TICK_S)
        except Exception:  # what waits, waits on
            logger.exception("the commands could not be sent")
            await asyncio.sleep(TICK_S)


async def _note_heads(head: HeadNote) -> None:
    """Now and every hour: a chain whose end is cut off tells nobody so itself."""
    while True:
        await asyncio.to_thread(head.note)
        await asyncio.sleep(HEAD_S)


async def _sweep(replays: Replays, config: CloudConfig) -> None:
    """Now and every hour."""
    retention, days = Retention(replays.live, config.retention), config.retention.replays_days
    while True:
        try:
            await asyncio.to_thread(retention.sweep, time.time())
            if days is not None:
                await asyncio.to_thread(replays.expire, days, who=Who.RETENTION, now=time.time())
        except Exception:  # what is due stays due
            logger.exception("what is due to be deleted could not be")
        await asyncio.sleep(SWEEP_S)


def check_patches(store: Store, config: CloudConfig, now: float) -> None:
    """Raise and clear where something changed."""
    stands = {(alert.patch_id, alert.kind) for alert in store.technical_alerts(limit=MOST_STANDING)}
    for patch in store.patches():
        for kind, holds, text in _technical(patch, config, now):
            if holds == ((patch.patch_id, kind) in stands):
                continue
            if holds:
                store.raise_technical(patch.patch_id, kind, text, now=now)
            else:
                store.clear_technical(patch.patch_id, kind, now=now)


def check_deliveries(store: Store, now: float) -> None:
    """A patch with an alert that reaches nobody is a technical alert until it does or somebody answered."""
    failing = store.book.deliveries.failing()
    for patch_id, text in failing.items():
        store.raise_technical(patch_id, UNDELIVERED, text, now=now)
    for standing in store.technical_alerts(limit=MOST_STANDING):
        if standing.kind == UNDELIVERED and standing.patch_id not in failing:
            store.clear_technical(standing.patch_id, UNDELIVERED, now=now)


def _technical(patch: Patch, config: CloudConfig, now: float) -> list[tuple[str, bool, str]]:
    ended = bool(patch.heartbeat.get("ended"))
    silent = not ended and now - patch.heard_at > config.silent_s
    lost = not ended and not silent and (patch.newest_age_s(now) or 0.0) > config.silent_s
    lag = patch.newest_age_s(patch.heard_at) or 0.0  # when it was heard: it grows between heartbeats
    late = patch.online and not ended and not silent and not lost and lag > config.lag_s
    off = ", ".join(patch.heartbeat.get("lead_off") or ())
    battery = patch.heartbeat.get("battery_mv")
    low = not ended and battery is not None and battery < config.battery_mv
    dark = patch.unreadable_run_s > config.unreadable_s
    refused = int(patch.heartbeat.get("refused", 0))
    return [
        ("silent", silent, f"No heartbeat for more than {config.silent_s:.0f} s: nothing is analysed."),
        ("no signal", lost, f"No new sample for more than {config.silent_s:.0f} s: out of range or off?"),
        ("lag", late, f"Samples come more than {config.lag_s:.0f} s late: an alert does, too."),
        ("lead off", bool(off) and not ended, f"Lead off: {off}."),
        (
            "battery",
            low,
            f"The patch's battery is below {config.battery_mv / 1000:.2f} V: charge or change it.",
        ),
        ("unreadable", dark, f"Not analysable for more than {config.unreadable_s:.0f} s."),
        ("refused", refused > 0, "The cloud refused segments; they are kept at the edge, not analysed."),
    ]
