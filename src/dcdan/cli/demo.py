"""`dcdan demo`: the whole way from labelled to unlabelled faces, on drawn ones, in four minutes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for everything that is made.")] = Path(
        "demo"
    ),
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier demonstration in --out.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the page's path.")] = False,
) -> None:
    """Draw faces of two domains, adapt from one to the other, and show the gain on a page.

    Needs no data and no network. A demonstration that was stopped goes on with the same command.
    """
    from dcdan.core.locks import folder_lock
    from dcdan.reports.demo import RESULTS, run_demo

    def say(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with folder_lock(out):
        page = run_demo(out, force=force, quiet=quiet, say=say)
    if json:
        typer.echo((page.parent / RESULTS).read_text(encoding="utf-8"), nl=False)
        say(str(page))
        return
    if not quiet:
        from dcdan.reports.demo import table

        for line in table(page.parent):
            typer.echo(line)
    typer.echo(str(page))
