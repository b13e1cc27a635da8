"""`dcdan demo`: an adaptation from labelled to unlabelled faces, on drawn ones, in four minutes."""

from __future__ import annotations

from pathlib import Path

import typer

from dcdan.cli import options


def demo(
    out: options.Out = Path("demo"),
    force: options.Force = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw faces of two domains, adapt from one to the other, and show the gain on a page.

    Needs no data and no network. The same command resumes a demonstration that was stopped.
    """
    from dcdan.core.locks import folder_lock
    from dcdan.reports.demo import RESULTS, run_demo

    def tell(text: str) -> None:
        if not quiet:
            typer.echo(text, err=True)

    with folder_lock(out):
        page = run_demo(out, force=force, quiet=quiet, say=tell)
    if json:
        typer.echo((page.parent / RESULTS).read_text(encoding="utf-8"), nl=False)
        tell(str(page))
        return
    if not quiet:
        from dcdan.reports.demo import table

        for line in table(page.parent):
            typer.echo(line)
    typer.echo(str(page))
