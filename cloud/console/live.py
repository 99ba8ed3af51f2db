"""Server-sent events: what the store committed, as it commits it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable

from cloud.console.seen import Seen
from cloud.store import Event, Store
from models.errors import DeliveryError

BEAT_S = 5.0  # a page that hears nothing for twice as long says that it is not live


class Hub:
    """One thread waits on the store for all pages; each page reads the events it has not seen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = asyncio.Event()  # replaced whenever it is set: who waits holds the one it saw
        self._closing = False
        self.clients = 0  # open streams

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self.close()
            self._store.wake()
            await watch

    def close(self) -> None:
        """End the streams of all pages: they never end by themselves, and a server that stops would wait."""
        self._closing = True
        self._announce()

    async def stream(self, after: int, look: Callable[[], Seen | None]) -> AsyncIterator[str]:
        """Events newer than `after`, as text/event-stream; a `beat` when nothing was told for 5 s.

        `look` says each time anew what the page may see; the stream ends where that is None. Where events
        after the page's last one are kept no more, a `reload` says so before the stream goes on.
        """
        self.clients += 1
        try:
            async for message in self._told(after, look):
                yield message
        finally:
            self.clients -= 1

    async def _told(self, after: int, look: Callable[[], Seen | None]) -> AsyncIterator[str]:
        # A new store begins anew: asked for before the page knows it is connected, or news between are lost.
        after = min(after, await asyncio.to_thread(self._store.last_event))
        yield "retry: 1000\n\n"
        told = time.monotonic()
        while not self._closing and (seen := await asyncio.to_thread(look)) is not None:
            news = self._news  # before reading: what is committed meanwhile is not slept over
            events = await asyncio.to_thread(self._store.events, after)
            if events and events[0].id > after + 1:
                yield f"id: {events[0].id - 1}\nevent: reload\ndata: {{}}\n\n"
            for event in await asyncio.to_thread(seen.of, events):
                told = time.monotonic()
                yield _message(event)
            if events:
                after = events[-1].id
            else:
                await _within(news, max(0.0, told + BEAT_S - time.monotonic()))
            if time.monotonic() >= told + BEAT_S:
                told = time.monotonic()
                yield "event: beat\ndata: {}\n\n"

    async def _watch(self) -> None:
        while not self._closing:
            try:
                last = await asyncio.to_thread(self._store.last_event)
                await asyncio.to_thread(self._store.wait, last, BEAT_S)
            except DeliveryError:  # away for a while: the pages' own reading says so
                await asyncio.sleep(1.0)
            self._announce()

    def _announce(self) -> None:
        self._news.set()
        self._news = asyncio.Event()


async def _within(news: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(news.wait(), seconds)


def _message(event: Event) -> str:
    data = json.dumps({**event.data, "written_at": event.written_at})
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
