"""The view "Try": a picture, a video or a camera frame in, the rows of `dcdan predict` out."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dcdan.app.context import AppContext
from dcdan.app.requests import body, pieces
from dcdan.core.errors import DcdanError, UsageError
from dcdan.images.decode import MAX_BYTES
from dcdan.images.inputs import Picture
from dcdan.images.media import HEAD, InputKind, format_of_head
from dcdan.images.status import Status
from dcdan.inference.recogniser import Recogniser
from dcdan.inference.table import FaceResult, FaceResults, columns

MOST_PICTURE_BYTES = 100 << 20
MOST_VIDEO_BYTES = MAX_BYTES
MOST_FILES = 2000
AT_ONCE = 2
LONGEST_NAME = 1000
EVERY_SECONDS = 0.2


def routes(context: AppContext) -> list[Route]:
    """Return the routes of the view."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def model(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(describe, context.recogniser(), context))

    async def picture(request: Request) -> JSONResponse:
        name = _name(request)
        content = await body(request, MOST_PICTURE_BYTES, name)
        async with gate:
            recogniser = await run_in_threadpool(context.recogniser, request.query_params.get("model"))
            return JSONResponse(await run_in_threadpool(recognise, recogniser, name, content))

    async def video(request: Request) -> Response:
        name = _name(request)
        # The decoder of videos needs a file; it is gone as soon as the answer ends.
        file = tempfile.NamedTemporaryFile(prefix="dcdan-", suffix=Path(name).suffix[:8])  # noqa: SIM115
        try:
            async for piece in pieces(request, MOST_VIDEO_BYTES, name):
                await run_in_threadpool(file.write, piece)
            file.flush()
            recogniser = await run_in_threadpool(context.recogniser, request.query_params.get("model"))
        except BaseException:
            file.close()
            raise

        async def lines() -> AsyncIterator[str]:
            try:
                async with gate:
                    async for line in iterate_in_threadpool(watch(recogniser, name, Path(file.name))):
                        yield line
            finally:
                file.close()

        return StreamingResponse(lines(), media_type="application/x-ndjson")

    return [
        Route("/api/model", model),
        Route("/api/recognise", picture, methods=["POST"]),
        Route("/api/video", video, methods=["POST"]),
    ]


def describe(recogniser: Recogniser, context: AppContext) -> dict[str, Any]:
    """Return what the page needs to know of a model."""
    return {
        "name": context.current or "the model of the package",
        "models": context.models(),
        "current": context.current,
        "classes": list(recogniser.classes),
        "columns": columns(recogniser.classes, recogniser.info.actions),
        "most_picture_bytes": MOST_PICTURE_BYTES,
        "most_video_bytes": MOST_VIDEO_BYTES,
        "most_files": MOST_FILES,
    }


def recognise(recogniser: Recogniser, name: str, content: bytes) -> dict[str, Any]:
    """Recognise the faces of one uploaded picture.

    Args:
        recogniser: the model.
        name: of the file, as the browser has it.
        content: its bytes.

    Returns:
        The rows as JSON values and as cells of the table, the size of the picture, and why there is no face.
    """
    found = format_of_head(content[:HEAD])
    if found is not None and found.kind is InputKind.VIDEO:
        picture = Picture(name, None, Status.UNSUPPORTED, "it is a video with the name of a picture")
    else:
        picture = replace(_decode(content), path=name)
    results = next(recogniser.stream([picture]))
    size = None
    if picture.pixels is not None:
        height, width = picture.pixels.shape[:2]
        size = [round(width * picture.scale), round(height * picture.scale)]
    return {**_rows(recogniser, results), "size": size, "reason": picture.reason}


def watch(recogniser: Recogniser, name: str, path: Path) -> Iterator[str]:
    """Yield a JSON line for each frame of a video that is read, five a second; the last has ``done``."""
    from dcdan.images.video_reader import open_video

    try:
        with open_video(path) as video:
            rate = video.rate or 25.0
            every = max(1, round(rate * EVERY_SECONDS))
            total = -(-video.expected // every)
            frames = recogniser.watch(video, every=every, with_frames=True)
            for number, (frame, results) in enumerate(frames, 1):
                height, width = frame.pixels.shape[:2]
                named = FaceResults([replace(each, path=name) for each in results])
                content = {**_rows(recogniser, named), "time": frame.time, "frame": number, "frames": total}
                yield json.dumps({**content, "size": [width, height]}) + "\n"
            warning = frames.warning
        yield json.dumps({"done": True, "warning": (warning or "").replace(str(path), name)}) + "\n"
    except DcdanError as error:
        yield json.dumps({"error": str(error).replace(str(path), name)}) + "\n"


def _rows(recogniser: Recogniser, results: FaceResults) -> dict[str, Any]:
    rows: list[FaceResult] = results.rows
    cells = [row.to_row(recogniser.classes, recogniser.info.actions) for row in rows]
    return {"rows": [row.to_dict() for row in rows], "cells": cells}


def _decode(content: bytes) -> Picture:
    from dcdan.images.inputs import read_picture

    return read_picture(content)


def _name(request: Request) -> str:
    name = request.query_params.get("name", "")
    if not name or len(name) > LONGEST_NAME or "\0" in name:
        raise UsageError("The file has no name, or a very long one: rename it.")
    return name
