"""The view "Label": one face large, a key for each expression, each answer on the disk before the next face shows."""

from __future__ import annotations

from typing import Any

from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from dcdan.app.context import AppContext
from dcdan.app.label_session import LabelSession
from dcdan.app.requests import json_object
from dcdan.core.errors import DcdanError, UsageError

KEPT = {"Cache-Control": "private, max-age=3600"}


def routes(context: AppContext) -> list[Route]:
    """Return the routes of the view."""

    async def state(request: Request) -> JSONResponse:
        who = request.query_params.get("labeller", "")
        session = await run_in_threadpool(context.session)
        return JSONResponse(await run_in_threadpool(label_state, session, who))

    async def give(request: Request) -> JSONResponse:
        content = await json_object(request)
        row, label, who = content.get("row"), content.get("label"), content.get("labeller", "")
        if not isinstance(row, int) or not isinstance(who, str) or not (label is None or isinstance(label, str)):
            raise UsageError("A label needs the number of a face and an expression: reload the page.")
        whole = content.get("whole_group") is True
        session = await run_in_threadpool(context.session)
        changed = await run_in_threadpool(session.give, row, label, who, whole_group=whole)

        def tell() -> None:
            names = session.names(who)
            context.hub.publish(
                "labels",
                {
                    "run": str(session.folder),
                    "labeller": who,
                    "labels": {str(each): names.get(each) for each in changed},
                    "statistics": session.statistics(who),
                },
            )
            if not who:
                try:
                    session.update_table()
                except DcdanError as error:  # the answer has been sent; the label itself is safe
                    context.hub.publish("problem", {"error": str(error)})

        # What the labels say follows as an event: the next face must not wait for it.
        return JSONResponse({"changed": changed}, background=BackgroundTask(run_in_threadpool, tell))

    async def picture(request: Request) -> Response:
        session = await run_in_threadpool(context.session)
        large = request.path_params["size"] == "large"
        path = await run_in_threadpool(session.thumbnails.path, int(request.path_params["row"]), large=large)
        return FileResponse(path, media_type="image/jpeg", headers=KEPT)

    return [
        Route("/api/labels", state),
        Route("/api/labels", give, methods=["POST"]),
        Route("/api/faces/{row:int}/{size}", picture),
    ]


def label_state(session: LabelSession, labeller: str = "") -> dict[str, Any]:
    """Return all that the view shows; what the model thinks is not among it, so that nobody is led by it."""
    names = session.names(labeller)
    answers = session.answers
    return {
        "run": str(session.folder),
        "classes": list(session.classes),
        "labellers": session.labellers(),
        "faces": [
            {
                "row": row,
                "path": str(answers.paths[row]),
                "face": int(answers.faces[row]),
                "group": str(answers.groups[row]),
                "label": names.get(row),
            }
            for row in session.order()
        ],
        "statistics": session.statistics(labeller),
    }
