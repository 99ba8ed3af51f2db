"""Server-sent events: what the store committed, as it commits it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from cloud.store import Event, Store

BEAT_S = 5.0  # a page that hears nothing for twice as long says that it is not live


class Hub:
    """One thread waits on the store for all pages; each page reads the events it has not seen."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._news = asyncio.Condition()
        self._wakes = 0
        self._closing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        watch = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._closing = True
            self._store.wake()
            await watch

    async def stream(self, after: int) -> AsyncIterator[str]:
        """Events newer than `after`, as text/event-stream; a `beat` when nothing happened for 5 s."""
        yield "retry: 1000\n\n"
        after = min(after, await asyncio.to_thread(self._store.last_event))  # a new store begins anew
        while not self._closing:
            wakes = self._wakes  # before reading: what is committed meanwhile is not slept over
            events = await asyncio.to_thread(self._store.events, after)
            for event in events:
                after = event.id
                yield _message(event)
            if not events and not await self._woken(wakes):
                yield "event: beat\ndata: {}\n\n"

    async def _woken(self, wakes: int) -> bool:
        """True once something may have been committed since `wakes` was read, False after 5 s."""
        async with self._news:
            try:
                await asyncio.wait_for(self._news.wait_for(lambda: self._wakes != wakes), BEAT_S)
            except TimeoutError:
                return False
        return True

    async def _watch(self) -> None:
        while not self._closing:
            last = await asyncio.to_thread(self._store.last_event)
            await asyncio.to_thread(self._store.wait, last, BEAT_S)
            async with self._news:
                self._wakes += 1
                self._news.notify_all()


def _message(event: Event) -> str:
    data = json.dumps({**event.data, "written_at": event.written_at})
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"
