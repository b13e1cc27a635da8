"""Bounded reading of what a browser sends, and sentences for what it cannot have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse

from dcdan.core.errors import DcdanError, UsageError
from dcdan.core.limits import parse_json

MOST_JSON = 1 << 20
_STATUS = {2: 400, 3: 422, 5: 422, 6: 409, 8: 501}


class TooLarge(DcdanError):
    """More bytes were sent than are taken."""


async def pieces(request: Request, most: int, name: str) -> AsyncIterator[bytes]:
    """Yield the body of a request.

    Raises:
        TooLarge: when it has more bytes than ``most``; no more is read then.
    """
    sentence = f"'{name}' is larger than {most >> 20} MB: make it smaller, or use `dcdan predict`."
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        raise TooLarge(sentence)
    count = 0
    async for piece in request.stream():
        count += len(piece)
        if count > most:
            raise TooLarge(sentence)
        yield piece


async def body(request: Request, most: int, name: str) -> bytes:
    """Return the body of a request; see :func:`pieces`."""
    return b"".join([piece async for piece in pieces(request, most, name)])


async def json_object(request: Request) -> dict[str, Any]:
    """Return the JSON object that a request holds.

    Raises:
        UsageError: when it holds none.
    """
    try:
        content = parse_json((await body(request, MOST_JSON, "the request")).decode())
    except ValueError as error:
        raise UsageError("The request holds no JSON: reload the page.") from error
    if not isinstance(content, dict):
        raise UsageError("The request holds no JSON object: reload the page.")
    return content


async def sentence(_: Request, error: Exception) -> JSONResponse:
    """Answer an error that a user can cause."""
    code = error.exit_code if isinstance(error, DcdanError) else 1
    status = 413 if isinstance(error, TooLarge) else _STATUS.get(code, 500)
    return JSONResponse({"error": str(error)}, status)


async def fault(_: Request, error: Exception) -> JSONResponse:
    """Answer a fault of the program."""
    if isinstance(error, ClientDisconnect):
        return JSONResponse({"error": "The browser has gone."}, 499)
    kind = f"{type(error).__name__}: {error}".splitlines()[0]
    return JSONResponse({"error": f"Internal error ({kind}); please report it."}, 500)
