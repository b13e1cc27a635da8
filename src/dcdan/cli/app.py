"""`dcdan app`: a local page to try a model, label faces, adapt and compare; nothing leaves the machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcdan.cli import options
from dcdan.core.errors import MissingExtraError
from dcdan.core.extras import EXTRAS


def app(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="[MODEL|RUN]",
            help="A model as for --model, or a run of `dcdan adapt`, whose faces are labelled.",
            show_default="the package's model",
        ),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option("--target", "-t", metavar="SPEC", help="Unlabelled faces; only these can be adapted to."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="PATH", help="Where runs that the page makes are written.")
    ] = Path("runs"),
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, metavar="N", help="Port on 127.0.0.1; 0 for a free one.")
    ] = 0,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")] = True,
    threads: options.Threads = None,
) -> None:
    """Open a local page: try a model on pictures, label forty faces, adapt, compare two models."""
    try:
        from dcdan.app.server import open_context, serve
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRAS["app"]:
            raise
        raise MissingExtraError(
            f"The page needs the package '{error.name}', which is not installed: pip install 'dcdan[app]'."
        ) from error

    context = open_context(model, target, out, threads)
    serve(context, port, lambda address: typer.echo(f"dcdan app: {address}"), browser=browser)
