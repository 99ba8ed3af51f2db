"""Server-sent events: what the store committed, as it commits it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace

from cloud.console.seen import Seen
from cloud.roles import Person
from cloud.store import Event, Store
from models.errors import DeliveryError

BEAT_S = 5.0  # a page that hears nothing for twice as long says that it is not live


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """The next events after one: of those looked at the first and the last, and what the person may see."""

    first: int
    last: int
    events: list[Event]


class Hub:
    """One thread waits on the store for all pages; each page reads the events it has not seen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = asyncio.Event()  # replaced whenever it is set: who waits holds the one it saw
        self._closing = False
        self.clients = 0  # open streams
        self._lock = threading.Lock()
        self._read: dict[tuple[Person, int], News] = {}  # up to the event `_newest`
        self._newest = 0

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
            before, found = after, await asyncio.to_thread(self._since, after, seen)
            after = found.last
            if found.first > before + 1:
                yield f"id: {found.first - 1}\nevent: reload\ndata: {{}}\n\n"
            for event in found.events:
                told = time.monotonic()
                yield _message(event)
            if after == before:
                await _within(news, max(0.0, told + BEAT_S - time.monotonic()))
            if time.monotonic() >= told + BEAT_S:
                told = time.monotonic()
                yield "event: beat\ndata: {}\n\n"

    def _since(self, after: int, seen: Seen) -> News:
        """Found out once for the pages of people who see alike and have heard the same."""
        alike = replace(seen.person, name=""), after
        with self._lock:
            newest = self._store.last_event()
            if newest != self._newest:
                self._read, self._newest = {}, newest
            if alike not in self._read:
                events = self._store.events(after)
                first, last = (events[0].id, events[-1].id) if events else (after, after)
                self._read[alike] = News(first=first, last=last, events=seen.of(events))
            return self._read[alike]

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
