"""The view "Adapt": choose a folder and what is known of it, start, watch, stop, go on, and take the result or not."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from dcdan.adaptation.folder import OutputRun, read_run
from dcdan.adaptation.groups import Grouping
from dcdan.adaptation.sheet import COUNT
from dcdan.app.adaptation_job import AdaptationJob, busy, choose, result, run_folder, unfinished
from dcdan.app.context import AppContext
from dcdan.app.requests import json_object
from dcdan.core.errors import UsageError
from dcdan.correction.shares import parse_shares

MOST_FACES = 1000


def routes(context: AppContext) -> list[Route]:
    """Return the routes of the view."""

    async def state(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(adapt_state, context))

    async def start(request: Request) -> JSONResponse:
        content = await json_object(request)
        return JSONResponse(await run_in_threadpool(begin, context, content))

    async def finish(request: Request) -> JSONResponse:
        content = await json_object(request)
        return JSONResponse(await run_in_threadpool(conclude, context, content.get("count")))

    async def stop(_: Request) -> JSONResponse:
        if context.job is None or context.job.state != "running":
            raise UsageError("No adaptation is running.")
        context.job.stop()
        return JSONResponse(context.job.view())

    async def answer(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(result, _open_run(context)))

    async def take(request: Request) -> JSONResponse:
        taken = (await json_object(request)).get("take") is True
        run = _open_run(context)
        await run_in_threadpool(choose, run, taken)
        context.chosen = str(run) if taken else read_run(run)[0].model
        return JSONResponse({"current": context.current})

    async def export(_: Request) -> JSONResponse:
        return JSONResponse(await export_run(_open_run(context)))

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        run = _open_run(context)
        if name not in ("predictions.csv", "model.json", "model.onnx", "model-int8.onnx", "run.json"):
            raise UsageError(f"A run has no file '{name}' to save.")
        if not (run / name).is_file():
            raise UsageError(f"'{run / name}' is not there: adapt again.")
        return FileResponse(run / name, filename=name)

    return [
        Route("/api/adapt", state),
        Route("/api/adapt", start, methods=["POST"]),
        Route("/api/adapt/finish", finish, methods=["POST"]),
        Route("/api/adapt/stop", stop, methods=["POST"]),
        Route("/api/adapt/result", answer),
        Route("/api/adapt/choice", take, methods=["POST"]),
        Route("/api/adapt/export", export, methods=["POST"]),
        Route("/api/adapt/files/{name}", file),
    ]


def adapt_state(context: AppContext) -> dict[str, Any]:
    """Return what the view shows."""
    recogniser = context.recogniser(_start(context))
    return {
        "targets": context.targets(),
        "classes": list(recogniser.classes),
        "source_shares": dict(zip(recogniser.classes, recogniser.info.class_prior or (), strict=False)),
        "groups": [each.value for each in Grouping],
        "job": None if context.job is None else context.job.view(),
        "unfinished": unfinished(context.out),
        "run": None if context.run is None else str(context.run),
    }


def begin(context: AppContext, content: dict[str, Any]) -> dict[str, Any]:
    """Start an adaptation, or go on with the same one that was stopped.

    Raises:
        UsageError: when one is running, the folder is not a given one, or shares are impossible.
    """
    target, groups, shares = content.get("target"), content.get("groups", "auto"), content.get("shares", "")
    if not isinstance(target, str) or not isinstance(shares, str) or groups not in list(Grouping):
        raise UsageError("Choose a folder, and how its groups are to be taken.")
    start = _start(context)
    if shares:
        recogniser = context.recogniser(start)
        parse_shares(shares, recogniser.classes, recogniser.info.class_prior or None)
    settings = OutputRun(target=context.check_target(target), model=start, shares=shares, groups=Grouping(groups))
    return _run(context, run_folder(context.out, settings), settings, None)


def conclude(context: AppContext, count: object) -> dict[str, Any]:
    """Make the verdict of the open run anew from its labels, or draw more faces.

    Raises:
        UsageError: when there is no run, one is running, or the count is impossible.
    """
    run = _open_run(context)
    if count is not None and (not isinstance(count, int) or not COUNT <= count <= MOST_FACES):
        raise UsageError(f"Draw between {COUNT} and {MOST_FACES} faces.")
    return _run(context, run, None, count)


def _run(context: AppContext, out: Path, settings: OutputRun | None, count: int | None) -> dict[str, Any]:
    def changed(view: dict[str, Any]) -> None:
        if view["state"] == "done":
            context.forget(out)
            context.run = out
        context.hub.publish("adapt", view)

    with context.starting:
        busy(context.job)
        job = AdaptationJob(out, changed)
        job.start(settings, count, context.threads)
        context.job = job
    return job.view()


async def export_run(run: Path) -> dict[str, Any]:
    """Make the int8 graph of a run with `dcdan export`; return what that printed, or its sentence."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "dcdan", "export", str(run), "--json", "--force"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, error = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    if process.returncode:
        lines = error.decode("utf-8", "replace").strip().splitlines() or ["dcdan: the export failed."]
        raise UsageError(lines[-1].removeprefix("dcdan: "))
    found: dict[str, Any] = json.loads(out)
    return found


def _open_run(context: AppContext) -> Path:
    if context.run is None:
        raise UsageError("There is no run yet: adapt to a folder first.")
    return context.run


def _start(context: AppContext) -> str:
    """Return the model that an adaptation starts from: never one that was corrected already."""
    if context.run is not None and (context.model is None or Path(context.model) == context.run):
        return read_run(context.run)[0].model
    return context.model or ""
