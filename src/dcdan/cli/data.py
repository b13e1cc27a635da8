"""`dcdan data`: the data sets that can be read, checks of one, and pictures of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcdan.cli import options

data = typer.Typer(
    name="data",
    help="List, check and show data sets.",
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@data.callback()
def group(context: typer.Context) -> None:
    """List the data sets that can be read, check one against its published counts, or draw pictures of it."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@data.command("list")
def list_(json: options.Json = False) -> None:
    """List the readers: classes, size, licence, and how to get each data set."""
    from dcdan.datasets.catalogue import catalogue, catalogue_table

    entries = catalogue()
    if json:
        from json import dumps

        typer.echo(dumps([entry.to_dict() for entry in entries], indent=2))
        return
    from dcdan.core.console import Console

    console = Console()
    console.print(catalogue_table(entries, console.width))


@data.command()
def check(
    spec: Annotated[str, typer.Argument(metavar="SPEC", help="reader:path?option=value, or a folder or manifest.")],
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="SPEC", help="Find duplicates between this data set and the first."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="PATH", help="Write the pairs of duplicate images to this CSV file."),
    ] = None,
    distance: Annotated[
        int | None,
        typer.Option(
            "--distance",
            min=0,
            max=16,
            metavar="BITS",
            help="Near duplicates differ in at most so many of 64 bits.",
            show_default="8",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Count the samples, and open no picture.")] = False,
    strict: options.Strict = False,
    workers: options.Workers = None,
    json: options.Json = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Check a data set: counts against the published ones, damaged pictures, duplicates, leaks between splits.

    With --strict, anything that is missing, damaged or not as published ends the command with exit code 3.
    """
    from dcdan.audit.check import check as run
    from dcdan.audit.duplicates import DISTANCE
    from dcdan.audit.report import check_table
    from dcdan.core.atomic_io import check_target
    from dcdan.core.errors import DataError

    if out is not None:
        check_target(out, force=force)
    limit = DISTANCE if distance is None else distance
    report = run(spec, against=against, distance=limit, quick=quick, workers=workers, progress=not quiet)
    if out is not None:
        report.write_duplicates(out)
    if json:
        from json import dumps

        typer.echo(dumps(report.to_dict(), indent=2))
    else:
        from dcdan.core.console import Console

        Console().print(check_table(report))
    if strict and report.faults():
        raise DataError(f"'{spec}' is not complete: {'; '.join(report.faults())}.")


@data.command()
def show(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="reader:path?option=value, or folders.")],
    out: options.Out,
    per_class: Annotated[
        int, typer.Option("--per-class", min=1, max=100, metavar="N", help="Faces of each class.")
    ] = 10,
    seed: options.Seed = 0,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Draw contact sheets, class distributions and, of several data sets, their shares side by side."""
    from dcdan.audit.contact_sheets import show as run
    from dcdan.core.sanitize import printable

    for path in run(specs, out, per_class=per_class, seed=seed, force=force):
        if not quiet:
            typer.echo(printable(str(path)))
