"""The server of `dcdan app`: on 127.0.0.1 only, with a token in its first address; there is no way to share it."""

from __future__ import annotations

import asyncio
import socket
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import uvicorn
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import dcdan
from dcdan.app import adapt_view, compare_view, label_view, try_view
from dcdan.app.adaptation_job import choice
from dcdan.app.context import AppContext
from dcdan.app.requests import fault, sentence
from dcdan.app.security import Access, Guard
from dcdan.core.errors import DcdanError, UsageError

HERE = Path(__file__).parent
HOST = "127.0.0.1"
VIEWS = {"/": "try", "/label": "label", "/adapt": "adapt", "/compare": "compare"}


def open_context(model: str | None, target: str | None, out: Path, threads: int | None = None) -> AppContext:
    """Return what the page starts with.

    Args:
        model: a model, or the run folder of an adaptation, whose faces are then labelled.
        target: a folder of faces.
        out: folder of the runs that the page makes.
        threads: of ONNX Runtime and OpenCV.

    Raises:
        ModelError: when there is no such model.
        UsageError: when the target is no folder.
    """
    from dcdan.adaptation.folder import KIND, RUN, read_run
    from dcdan.core.limits import read_json
    from dcdan.inference.resolver import resolve_model

    resolved = resolve_model(model).folder
    context = AppContext(out, model, target, threads=threads)
    if target is not None and not Path(target).exists() and ":" not in target:
        raise UsageError(f"There is no folder '{target}': give a folder of photographs.")
    if (resolved / RUN).is_file():
        try:
            kind = read_json(resolved / RUN).get("kind")
        except (OSError, ValueError, AttributeError):
            kind = None
        if kind == KIND:
            settings, _ = read_run(resolved)
            context.run = resolved
            if choice(resolved) == "keep":
                context.chosen = settings.model
    return context


def build(context: AppContext, access: Access) -> Starlette:
    """Return the ASGI application.

    Args:
        context: what the views share.
        access: who may use it.
    """
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, auto_reload=False
    )

    def page(request: Request) -> HTMLResponse:
        view = VIEWS[request.url.path]
        content = environment.get_template(f"{view}.html.j2").render(view=view, version=dcdan.__version__)
        return HTMLResponse(content)

    async def events(_: Request) -> StreamingResponse:
        return StreamingResponse(context.hub.stream(), media_type="text/event-stream")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        context.hub.bind(asyncio.get_running_loop())
        # The first page must not wait for a model; the first photograph then need not either.
        context.spawn(lambda: _warm(context))
        yield
        await asyncio.to_thread(context.close)

    handlers: dict[Any, Any] = {DcdanError: sentence, ClientDisconnect: fault, Exception: fault}
    return Starlette(
        routes=[
            *(Route(path, page) for path in VIEWS),
            Route("/api/events", events),
            *try_view.routes(context),
            *label_view.routes(context),
            *adapt_view.routes(context),
            *compare_view.routes(context),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Guard, access=access)],
        exception_handlers=handlers,
        lifespan=lifespan,
    )


def listen(port: int) -> socket.socket:
    """Return a socket that is bound on this machine only.

    Args:
        port: 0 for any that is free.

    Raises:
        UsageError: when the port is in use or may not be used.
    """
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen()
    except (OSError, OverflowError) as error:
        bound.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"Port {port} cannot be used ({reason}): give another --port, or 0 for a free one.") from error
    return bound


def serve(context: AppContext, port: int, announce: Callable[[str], None], *, browser: bool) -> None:
    """Serve until Ctrl-C or SIGTERM.

    Args:
        context: what the page starts with.
        port: 0 for any that is free.
        announce: told the address with its token, when it can be opened.
        browser: open it in the browser.

    Raises:
        UsageError: when the port is in use.
    """
    with listen(port) as bound:
        access = Access(bound.getsockname()[1])
        config = uvicorn.Config(
            build(context, access),
            log_level="error",
            access_log=False,
            server_header=False,
            http="h11",
            ws="none",
            timeout_graceful_shutdown=1,
        )
        server = _Server(config, context, lambda: _opened(access.address, announce, browser))
        server.run(sockets=[bound])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, context: AppContext, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._context = context
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._context.hub.close()
        await super().shutdown(sockets)


def _opened(address: str, announce: Callable[[str], None], browser: bool) -> None:
    announce(address)
    if browser:
        Thread(target=webbrowser.open, args=(address,), daemon=True).start()


def _warm(context: AppContext) -> None:
    import numpy as np

    try:
        context.recogniser().recognise(np.zeros((96, 96, 3), np.uint8))
    except DcdanError:
        return  # the page says it when the model is first used
