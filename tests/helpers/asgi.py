"""Ask an ASGI application without a server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from starlette.datastructures import Headers


@dataclass
class Asked:
    """An answer, and how much of the request's body was taken."""

    status: int = 0
    headers: Headers = field(default_factory=lambda: Headers({}))
    body: bytes = b""
    taken: int = 0


def ask(
    app: Any, method: str, path: str, headers: dict[str, str] | None = None, body: list[bytes] | None = None
) -> Asked:
    """Return the answer of an application to one request; ``body`` is sent in these pieces."""
    plain, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(key.lower().encode(), value.encode()) for key, value in (headers or {}).items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 8000),
    }
    found = Asked()
    pieces = list(body or [])

    ended = False

    async def receive() -> dict[str, Any]:
        nonlocal ended
        if ended:
            await asyncio.Event().wait()  # a client that waits for the answer
        ended = len(pieces) <= 1
        piece = pieces.pop(0) if pieces else b""
        found.taken += len(piece)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = Headers(raw=message["headers"])
        else:
            found.body += message.get("body", b"")

    asyncio.run(app(scope, receive, send))
    return found
