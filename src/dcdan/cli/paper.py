"""`dcdan paper`: the paper's tables and statistics, recomputed, its inconsistencies, and our figures beside them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcdan.cli import options

NARROWEST = 80


def paper(
    results: Annotated[
        list[Path] | None,
        typer.Option("--results", metavar="DIR", help="Folder of measured results; may be given several times."),
    ] = None,
    table: Annotated[
        int | None, typer.Option("--table", min=1, max=4, metavar="N", help="Only this table, 1 to 4.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help="Write the tables and figures of --results in its form here."),
    ] = None,
    json: options.Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print a Markdown page.")] = False,
    errata: Annotated[
        bool, typer.Option("--errata", help="Print a Markdown page of the inconsistencies, with what dcdan does.")
    ] = False,
) -> None:
    """Recompute the paper's tables and statistics, list its inconsistencies, and put measured results beside them."""
    from dcdan.core.errors import UsageError

    if json + markdown + errata > 1:
        raise UsageError("--json, --markdown and --errata are forms of the same: give one of them.")
    if out is not None:
        if not results or json or markdown or errata:
            raise UsageError("--out writes the tables and figures of measured results: give --results with it, alone.")
        from dcdan.paper.write_measured import PAGE, write_measured

        write_measured(results, out)
        typer.echo(str(out / PAGE))
        return
    if errata:
        from dcdan.paper.errata import errata_page

        typer.echo(errata_page(), nl=False)
        return
    from dcdan.paper.measured import read_results
    from dcdan.paper.study import study

    found = study(table, None if not results else read_results(results))
    if json:
        from json import dumps

        typer.echo(dumps(found.to_dict(), indent=2, allow_nan=False))
        return
    from dcdan.paper.sections import TITLE, sections

    if markdown:
        from dcdan.paper.sections import markdown_page

        typer.echo(markdown_page(TITLE, f"Made by `{command(results or [], table)}`.", sections(found)), nl=False)
        return
    from dcdan.core.console import Console

    console = Console()
    console.width = max(console.width, NARROWEST)  # where the tables fit; a narrower terminal breaks the lines itself
    for section in sections(found):
        console.print(section.rich())


def command(results: list[Path], table: int | None) -> str:
    """Return the command that makes the page.

    >>> command([Path("docs/results")], 2)
    'dcdan paper --results docs/results --table 2 --markdown'
    """
    from shlex import join

    folders = [part for folder in results for part in ("--results", str(folder))]
    number = [] if table is None else ["--table", str(table)]
    return join(["dcdan", "paper", *folders, *number, "--markdown"])
