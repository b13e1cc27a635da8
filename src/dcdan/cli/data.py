"""`dcdan data`: which data sets can be read, whether one is whole and leaks nothing, and what it looks like."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

data = typer.Typer(
    name="data",
    help="Look at data sets: list, check, show.",
    add_completion=False,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@data.callback()
def group(context: typer.Context) -> None:
    """Look at data sets: which can be read, whether one is whole and leaks nothing, what it looks like."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit


@data.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False) -> None:
    """List the readers: classes, size, licence, and how to get each data set."""
    from dcdan.datasets.catalogue import catalogue, catalogue_table

    entries = catalogue()
    if as_json:
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
        str | None, typer.Option("--against", metavar="SPEC", help="Find doubles of this set's images in the first.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="CSV", help="Write the pairs of doubled images to this file.")
    ] = None,
    distance: Annotated[
        int | None,
        typer.Option("--distance", min=0, max=16, help="Bits of 64 that near doubles differ in (default 8)."),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Only count; open no picture.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with code 3 if anything is missing, damaged or not as published.")
    ] = False,
    workers: Annotated[int | None, typer.Option("--workers", min=1, help="Processes; one per core by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace --out if it is there already.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Check a data set: counts against the published ones, broken pictures, doubled images and leaks between splits."""
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
    if as_json:
        from json import dumps

        typer.echo(dumps(report.to_dict(), indent=2))
    else:
        from dcdan.core.console import Console

        Console().print(check_table(report))
    if strict and report.faults():
        raise DataError(f"'{spec}' is not whole: {'; '.join(report.faults())}.")


@data.command()
def show(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="reader:path?option=value, or folders.")],
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="The folder for the pictures.")],
    per_class: Annotated[int, typer.Option("--per-class", min=1, max=100, help="Faces of each class.")] = 10,
    seed: Annotated[int, typer.Option("--seed", help="Which faces are drawn.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace the pictures in a folder that is not empty.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print the paths.")] = False,
) -> None:
    """Draw contact sheets, class distributions and, of several data sets, their shares side by side."""
    from dcdan.audit.contact_sheets import show as run
    from dcdan.core.sanitize import printable

    for path in run(specs, out, per_class=per_class, seed=seed, force=force):
        if not quiet:
            typer.echo(printable(str(path)))
