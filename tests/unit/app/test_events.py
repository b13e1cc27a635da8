"""Events reach all who listen, in order; a browser that does not read costs no memory."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dcdan.app.events import EventHub


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a thread of its own: the browser's tests leave a loop running in theirs."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, main).result()


def test_all_listen_and_threads_publish() -> None:
    async def main() -> list[list[str]]:
        hub = EventHub()
        hub.bind(asyncio.get_running_loop())

        async def listen() -> list[str]:
            return [text async for text in hub.stream()]

        tasks = [asyncio.create_task(listen()) for _ in range(2)]
        await asyncio.sleep(0)
        worker = threading.Thread(target=lambda: [hub.publish("labels", {"n": n}) for n in range(3)])
        worker.start()
        await asyncio.to_thread(worker.join)
        await asyncio.sleep(0.05)
        hub.close()
        return list(await asyncio.gather(*tasks))

    for found in run(main()):
        events = [text for text in found if text.startswith("event")]
        assert [json.loads(text.split("data: ")[1])["n"] for text in events] == [0, 1, 2]
        assert all(text.startswith("event: labels\n") and text.endswith("\n\n") for text in events)


def test_a_browser_that_does_not_read_is_bounded() -> None:
    async def main() -> int:
        hub = EventHub()
        hub.bind(asyncio.get_running_loop())
        stream = hub.stream()
        await anext(stream)
        for number in range(5000):
            hub.publish("labels", {"n": number})
        await asyncio.sleep(0.05)
        (queue,) = hub._queues
        size = queue.qsize()
        await stream.aclose()
        assert not hub._queues
        return size

    assert run(main()) <= 256


def test_without_a_server_nothing_happens() -> None:
    EventHub().publish("labels", {})
