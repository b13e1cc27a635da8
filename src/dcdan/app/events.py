"""Server-sent events: what one browser or a job changes reaches every browser that is open."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

_WAITING = 256
_ALIVE_SECONDS = 10.0


class EventHub:
    """Queues of the browsers that listen; :meth:`publish` may be called from any thread."""

    def __init__(self) -> None:
        self._queues: set[asyncio.Queue[str | None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def bind(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say on which loop the queues live."""
        self._loop = loop

    def publish(self, kind: str, content: dict[str, Any]) -> None:
        """Send an event to all who listen; a browser that does not read loses events, not the server's memory."""
        if self._loop is not None and not self._loop.is_closed():
            text = f"event: {kind}\ndata: {json.dumps(content)}\n\n"
            self._loop.call_soon_threadsafe(self._put, text)

    def close(self) -> None:
        """End all streams."""
        self._put(None)

    def _put(self, text: str | None) -> None:
        for queue in self._queues:
            with suppress(asyncio.QueueFull):
                queue.put_nowait(text)

    async def stream(self) -> AsyncIterator[str]:
        """Yield the events from now on as text of the event stream format."""
        queue: asyncio.Queue[str | None] = asyncio.Queue(_WAITING)
        self._queues.add(queue)
        try:
            yield "retry: 1000\n\n"
            while True:
                try:
                    text = await asyncio.wait_for(queue.get(), _ALIVE_SECONDS)
                except TimeoutError:
                    text = ": alive\n\n"
                if text is None:
                    return
                yield text
        finally:
            self._queues.discard(queue)
