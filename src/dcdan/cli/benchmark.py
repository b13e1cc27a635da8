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
    plan_only: Annotated[bool, typer.Option("--plan", help="Show the plan and its estimated time, and stop.")] = False,
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
    from dcdan.benchmark.plan import read_plan
    from dcdan.benchmark.prepare import devices, plan_table, prepared_cells, remaining_work
    from dcdan.benchmark.runner import run_plan
    from dcdan.benchmark.write_up import PAGE, take_over, write_up
    from dcdan.core.atomic_io import sweep
    from dcdan.core.console import Console
    from dcdan.core.errors import TrainingError
    from dcdan.core.locks import folder_lock
    from dcdan.core.sanitize import printable

    console = Console(quiet=quiet)
    plan = read_plan(file)
    cells, packs, prepared = prepared_cells(plan, progress=not quiet)
    command = shlex.join(["dcdan", *(context.obj or ["benchmark", str(file), "--out", str(out)])])
    place = results or out / "results"
    if results is not None:
        take_over(cells, out, results, any_revision=any_revision or tables_only)
    check_cells(cells, out, any_revision=any_revision or tables_only)
    if not tables_only:
        places = devices(jobs)
        console.print(plan_table(plan, cells, remaining_work(cells, packs, out), len(places), out).rich())
        if plan_only:
            return
    failed: dict[str, str] = {}
    with nullcontext() if tables_only else folder_lock(out):
        if not tables_only:
            sweep(out)
            sweep(place)
            failed = run_plan(plan, cells, prepared, out, places, command, quiet)
        for table in write_up(plan, cells, out, place, failed, command, tsne):
            console.print(table.rich())
    typer.echo(printable(str(out / PAGE)))
    if failed:
        first, why = next(iter(failed.items()))
        raise TrainingError(f"{len(failed)} of {len(cells)} cells failed, {first} first: {why}")
