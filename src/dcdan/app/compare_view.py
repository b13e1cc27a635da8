"""The view "Compare": two models on one folder."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dcdan.adaptation.sheet import SKIP
from dcdan.app.comparison import ComparedFace, compare
from dcdan.app.context import AppContext
from dcdan.app.label_session import NOT_A_FACE
from dcdan.app.requests import json_object
from dcdan.app.thumbnails import SMALL, jpeg, surroundings
from dcdan.core.errors import DataError, DcdanError, UsageError
from dcdan.images.inputs import read_picture

MOST_SHOWN = 1000


@dataclass
class _Comparison:
    first: str
    second: str
    target: str
    state: str = "running"
    error: str = ""
    done: int = 0
    total: int = 0
    faces: list[ComparedFace] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    pictures: dict[int, bytes] = field(default_factory=dict)

    def view(self) -> dict[str, Any]:
        names = ("first", "second", "target", "state", "error", "done", "total")
        return {name: getattr(self, name) for name in names}


def routes(context: AppContext) -> list[Route]:
    """Return the routes of the view."""
    last: list[_Comparison] = []
    starting = threading.Lock()

    def work(job: _Comparison) -> None:
        def advance(done: int, total: int) -> None:
            job.done, job.total = done, total
            if context.stopping.is_set():
                job.stop.set()
            context.hub.publish("compare", job.view())

        try:
            one, other = context.recogniser(job.first), context.recogniser(job.second)
            job.faces, job.counts = compare(one, other, job.target, advance, job.stop)
            job.state = "stopped" if job.stop.is_set() else "done"
        except DcdanError as error:
            job.state, job.error = "failed", str(error)
        except Exception as error:  # a thread has nobody else who would tell the page
            job.state, job.error = "failed", f"Internal error ({type(error).__name__}: {error}); please report it."
        context.hub.publish("compare", job.view())

    def begin(content: dict[str, Any]) -> dict[str, Any]:
        first, second, target = (content.get(name) for name in ("first", "second", "target"))
        if not all(isinstance(each, str) for each in (first, second, target)):
            raise UsageError("Choose two models and a folder.")
        known = context.models()
        for each in (first, second):
            if each not in known:
                raise UsageError(f"'{each}' is none of the models of this page.")
        with starting:
            if last and last[-1].state == "running":
                raise UsageError("A comparison is running: stop it, or wait for its end.")
            job = _Comparison(str(first), str(second), context.check_target(str(target)))
            last[:] = [job]
        context.spawn(lambda: work(job))
        return job.view()

    async def start(request: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(begin, await json_object(request)))

    async def stop(_: Request) -> JSONResponse:
        if last:
            last[-1].stop.set()
        return JSONResponse({})

    async def state(_: Request) -> JSONResponse:
        return JSONResponse(await run_in_threadpool(show))

    def show() -> dict[str, Any]:
        content: dict[str, Any] = {"models": context.models(), "targets": context.targets(), "job": None}
        if last:
            job = last[-1]
            labels = labels_of(context)
            shown = [face.to_dict(labels.get((face.path, face.face))) for face in job.faces[:MOST_SHOWN]]
            differ = sum(face.first[0] != face.second[0] for face in job.faces)
            right = [
                sum(labels.get((face.path, face.face)) == each for face, each in pairs)
                for pairs in (
                    [(face, face.first[0]) for face in job.faces],
                    [(face, face.second[0]) for face in job.faces],
                )
            ]
            known = sum((face.path, face.face) in labels for face in job.faces)
            content["job"] = job.view()
            content["result"] = {
                "rows": shown,
                "faces": len(job.faces),
                "differ": differ,
                "labelled": known,
                "right": right,
                "counts": job.counts,
            }
        return content

    def face(number: int) -> bytes:
        if not last or not 0 <= number < len(last[-1].faces):
            raise DataError("There is no such face: reload the page.")
        job = last[-1]
        if number not in job.pictures:
            compared = job.faces[number]
            picture = read_picture(compared.path)
            (found,) = context.recogniser(job.first).faces([picture])
            if picture.pixels is None or compared.face >= len(found):
                raise DataError(f"'{compared.path}' cannot be read any more, or its faces have changed.")
            job.pictures[number] = jpeg(surroundings(picture.pixels, found[compared.face], picture.scale), SMALL)
        return job.pictures[number]

    async def picture(request: Request) -> Response:
        content = await run_in_threadpool(face, int(request.path_params["number"]))
        return Response(content, media_type="image/jpeg")

    return [
        Route("/api/compare", state),
        Route("/api/compare", start, methods=["POST"]),
        Route("/api/compare/stop", stop, methods=["POST"]),
        Route("/api/compare/faces/{number:int}", picture),
    ]


def labels_of(context: AppContext) -> dict[tuple[str, int], str]:
    """Return (path, face) -> expression of the labels of the open run; none where no run is open."""
    if context.run is None:
        return {}
    session = context.session()
    return {
        (str(session.answers.paths[row]), int(session.answers.faces[row])): name
        for row, name in session.names().items()
        if name not in (SKIP, NOT_A_FACE)
    }
