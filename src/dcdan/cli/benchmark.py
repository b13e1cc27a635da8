"""`dcdan benchmark`: sources x targets x trunks x methods x seeds, as tables, tests, pictures and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dcdan.cli import options


def benchmark(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="PLAN", help="The plan, a TOML file: see docs/benchmark.md.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="PATH", help="Folder of the runs; the same command resumes in it.")
    ],
    results: Annotated[
        Path | None,
        typer.Option(
            "--results",
            metavar="DIR",
            help="Folder of table.md, plot.png and cells.parquet; cells in it are not trained again.",
            show_default="OUT/results",
        ),
    ] = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs", min=1, metavar="N", help="Trainings at a time.", show_default="one per GPU, else one per core"
        ),
    ] = None,
    roots: Annotated[
        Path | None,
        typer.Option(
            "--roots", metavar="TOML", help='Where data sets are here: NAME = "folder" for $NAME in the plan.'
        ),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="NAME", help="Only this cell, or those that fit '*': the name of its folder."),
    ] = None,
    plan_only: Annotated[
        bool, typer.Option("--plan", "--dry-run", help="Show the plan, its time and what data are missing, and stop.")
    ] = False,
    tables_only: Annotated[
        bool, typer.Option("--tables", help="Train nothing: write the tables of what is done.")
    ] = False,
    any_revision: Annotated[
        bool, typer.Option("--any-revision", help="Keep cells that another revision of the code trained.")
    ] = False,
    tsne: Annotated[bool, typer.Option("--tsne/--no-tsne", help="Draw t-SNE of features.")] = True,
    quiet: options.Quiet = False,
) -> None:
    """Train and score every method on every pair of data sets, and write tables, pictures and a page.

    Ends with exit code 7 when a cell failed. The tables name it and the reason, and the same command runs it again.
    """
    import shlex
    from contextlib import nullcontext

    from dcdan.benchmark.cell import check_cells
    from dcdan.benchmark.plan import available_plan, read_plan
    from dcdan.benchmark.prepare import (
        blank_cells,
        check_some,
        chosen_cells,
        devices,
        missing_data,
        plan_table,
        prepared_cells,
        remaining_work,
    )
    from dcdan.benchmark.runner import run_plan
    from dcdan.benchmark.write_up import COMMANDS, PAGE, clean_up, take_over, write_commands, write_up
    from dcdan.core.console import Console
    from dcdan.core.errors import TrainingError
    from dcdan.core.locks import waiting_lock
    from dcdan.core.sanitize import printable

    console = Console(quiet=quiet)
    plan = read_plan(file, roots)
    cells, packs, prepared = prepared_cells(plan, progress=not quiet, build=not plan_only or tables_only)
    absent = missing_data(plan, prepared)
    blank = blank_cells(plan, cells, prepared)
    every = [*cells, *blank]
    cells, blank = chosen_cells(cells, blank, only or ())
    places = ["--out", str(out), *(["--results", str(results)] if results else [])]
    places += ["--roots", str(roots)] if roots else []
    again = shlex.join(["dcdan", "benchmark", str(file), *places])
    command = shlex.join(["dcdan", *(context.obj or ["benchmark", str(file), *places])])
    place = results or out / "results"
    packed = all(f"target {cell.target.data}" in packs and f"source {cell.source.data}" in packs for cell in cells)
    if packed:
        if results is not None:
            take_over(cells, out, results, any_revision=any_revision or tables_only)
        check_cells(cells, out, any_revision=any_revision or tables_only)
    if not tables_only:
        hosts = devices(jobs)
        work = remaining_work(cells, packs, out, blank)
        console.print(plan_table(plan, cells, work, len(hosts), out).rich())
    for name, why in absent.items():
        typer.echo(printable(f"Missing: {name}: {why.rstrip('.')}."), err=True)
    if plan_only and not tables_only:
        return
    check_some(plan, cells, prepared)
    failed: dict[str, str] = {}
    if not tables_only:
        with waiting_lock(out):
            clean_up(out, place)
            write_commands(every, again, out)
        if not quiet:
            typer.echo(printable(f"The command line of every cell: {out / COMMANDS}"), err=True)
        here = available_plan(plan, prepared.missing)
        assert here is not None
        show = (lambda line: typer.echo(printable(line), err=True)) if not quiet else (lambda _: None)
        failed = run_plan(here, cells, prepared, out, hosts, again, quiet, show)
    with nullcontext() if tables_only else waiting_lock(out):
        for table in write_up(plan, cells, out, place, failed, command, tsne, absent):
            console.print(table.rich())
    typer.echo(printable(str(out / PAGE)))
    if failed:
        first, why = next(iter(failed.items()))
        raise TrainingError(f"{len(failed)} of {len(cells)} cells failed, {first} first: {why}")
    wrong = {name: why for name, why in absent.items() if not why.startswith("$")}
    if wrong:
        name, why = next(iter(wrong.items()))
        raise TrainingError(f"{len(blank)} cells have not run, as their data cannot be read; {name}: {why}")
