"""The results of a benchmark from its finished cells, in two places.

- The folder of results is small and holds what a repository keeps: ``table.md`` with all tables, ``plot.png`` and
  ``cells.parquet`` with the values that both are computed from.
- The folder of the runs gets what can be made again: one HTML page, each table as CSV and LaTeX, the confusion
  matrices and the t-SNE pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dcdan.benchmark.cell import cell_done, check_same
from dcdan.benchmark.cells import CELLS, read_cell, read_cells, update_cells, write_folder
from dcdan.benchmark.plan import Cell, Plan, slug
from dcdan.benchmark.runner import cell_command
from dcdan.benchmark.tables import ScoredCell, all_tables, done_cells, name_of, reports_of, sees_target
from dcdan.core.atomic_io import sweep, write_bytes, write_text
from dcdan.core.sanitize import inert, printable
from dcdan.evaluation.embeddings import embed
from dcdan.packs.build import pack_for
from dcdan.plots.accuracies import accuracies_png
from dcdan.plots.confusion import confusion_png
from dcdan.plots.embeddings import embedding_png
from dcdan.reports.page import data_uri, render
from dcdan.reports.text_table import Table

MARKDOWN, PLOT = "table.md", "plot.png"
"""Files of the folder of results, beside :data:`~dcdan.benchmark.cells.CELLS`."""
PAGE, TABLES, FIGURES, COMMANDS = "report.html", "tables", "figures", "commands.txt"
"""The page, the folders of tables and of pictures, and the command lines of the cells, in the folder of the runs."""
Pictures = list[tuple[str, str, bytes]]
"""File name, caption and PNG of each picture."""


def write_up(
    plan: Plan,
    cells: Sequence[Cell],
    out: Path,
    results: Path,
    failed: dict[str, str],
    command: str,
    tsne: bool = True,
    absent: Mapping[str, str] | None = None,
) -> list[Table]:
    """Write the results of the cells that are finished.

    Args:
        plan: the plan.
        cells: its cells.
        out: folder of the runs. It gets the page, the tables as CSV and LaTeX, and the pictures.
        results: folder of the results. It gets the tables as Markdown, the plot, and the cells as Parquet.
        failed: folder of a cell that failed -> the reason.
        command: the command that made the results, as the page quotes it.
        tsne: whether to draw t-SNE pictures.
        absent: name of each data set that is not there -> the reason.

    Returns:
        The tables.

    Raises:
        DataError: when the files of a cell, or the cells that the results hold already, cannot be read.
        OutputError: when something cannot be written.
    """
    scored = done_cells(cells, out)
    tables = all_tables(plan, scored)
    pictures = confusions(plan, scored)
    if tsne:
        pictures += embeddings(plan, cells, out)
    missing = [f"{name}: {why.rstrip('.')}." for name, why in (absent or {}).items()]
    missing += missing_lines(cells, out, failed)
    keep_cells(cells, out, results)
    plot = accuracies(plan, scored)
    if plot is not None:
        write_bytes(results / PLOT, plot)
    write_text(results / MARKDOWN, markdown(plan, tables, missing, command, plot=plot is not None))
    for name, _, png in pictures:
        write_bytes(out / FIGURES / name, png)
    for table in tables:
        write_text(out / TABLES / f"{slug(table.title)}.csv", table.csv())
        write_text(out / TABLES / f"{slug(table.title)}.tex", table.latex())
    page = render(
        "benchmark.html.j2",
        plan=plan,
        command="\n".join([*plan.commands, command]),
        tables=tables,
        pictures=[(caption, data_uri(png)) for _, caption, png in pictures],
        missing=missing,
    )
    write_text(out / PAGE, page)
    return tables


def clean_up(out: Path, results: Path) -> None:
    """Remove the temporary files of killed write-ups. Those of cells belong to whoever trains them.

    Args:
        out: folder of the runs.
        results: folder of the results.
    """
    sweep(out, below=False)
    for folder in (results, out / TABLES, out / FIGURES):
        sweep(folder)


def write_commands(cells: Sequence[Cell], command: str, out: Path) -> None:
    """Write the command line of every cell, one a line.

    Args:
        cells: the cells.
        command: the command that runs the plan.
        out: folder of the runs, which gets ``commands.txt``.
    """
    write_text(out / COMMANDS, "".join(f"{cell_command(command, cell.folder)}\n" for cell in cells))


def keep_cells(cells: Sequence[Cell], out: Path, results: Path) -> None:
    """Put every finished cell into the Parquet file of the results; other cells in it stay.

    Args:
        cells: the cells of the plan.
        out: folder of the runs.
        results: folder of the results.

    Raises:
        DataError: when the files of a cell or the Parquet file cannot be read.
        OutputError: when the Parquet file cannot be written.
    """
    finished = [cell.folder for cell in cells if cell_done(cell, out)]
    if finished:
        update_cells((read_cell(out, name) for name in finished), results / CELLS)


def take_over(cells: Sequence[Cell], out: Path, results: Path, *, any_revision: bool = False) -> None:
    """Write the files of cells that another machine left in the results, so that they are not trained again.

    Cells that ``out`` has already, that the plan does not have, or that come without the predictions for each face
    are left out.

    Args:
        cells: the cells of the plan.
        out: folder of the runs.
        results: folder of the results; it need not hold any cells.
        any_revision: whether cells of another revision of the code are accepted.

    Raises:
        UsageError: when a cell was measured with something else than the plan gives it now.
        DataError: when the Parquet file cannot be read.
    """
    file = results / CELLS
    wanted = {cell.folder: cell for cell in cells if not cell_done(cell, out)}
    if not wanted or not file.is_file():
        return
    for found in read_cells(file):
        cell = wanted.get(found.name)
        if cell is not None and found.answers is not None:
            check_same(cell, found.reports, file, any_revision=any_revision)
            write_folder([found], out, nested=True)


def markdown(plan: Plan, tables: Sequence[Table], missing: Sequence[str], command: str, *, plot: bool) -> str:
    """Return all tables as one Markdown text.

    Args:
        plan: the plan.
        tables: the tables.
        missing: a line for everything that the tables do not hold.
        command: the command that made the results.
        plot: whether there is a plot beside the text.
    """
    parts = [
        f"# {printable(plan.title)}",
        "",
        inert(plan.caption.strip()),
        "",
        "```sh",
        *plan.commands,
        command,
        "```",
        "",
    ]
    if missing:
        parts += ["Not in these tables:", "", *(f"- {printable(line).replace('<', '&lt;')}" for line in missing), ""]
    if plot:
        parts += [f"![Accuracy of every method and seed on every target]({PLOT})", ""]
    parts += [table.markdown() for table in tables]
    return "\n".join(parts)


def missing_lines(cells: Sequence[Cell], out: Path, failed: dict[str, str]) -> list[str]:
    """Return what the tables lack: a line for each cell that failed, and one for each row with cells not run yet.

    Args:
        cells: the cells of the plan.
        out: folder of the runs.
        failed: folder of a cell that failed -> the reason.
    """
    lines = [f"{cell.title}: {failed[cell.folder].rstrip('.')}." for cell in cells if cell.folder in failed]
    for name in dict.fromkeys(cell.entry.name for cell in cells):
        own = [cell for cell in cells if cell.entry.name == name]
        left = sum(not cell_done(cell, out) and cell.folder not in failed for cell in own)
        if left:
            lines.append(f"{name}: {left} of {len(own)} cells have not run yet.")
    return lines


def accuracies(plan: Plan, scored: Sequence[ScoredCell]) -> bytes | None:
    """Draw the accuracy of every method and seed, with a panel for each source, target and trunk.

    Args:
        plan: the plan.
        scored: the scored cells.

    Returns:
        The bytes of a PNG file; None when no method has been scored.
    """
    panels: dict[str, dict[str, list[float]]] = {}
    for source in plan.sources:
        for trunk in plan.trunks:
            for target in plan.targets_of(source):
                title = target.name if len(plan.sources) == 1 else f"{source.name} to {target.name}"
                title += f", {trunk}" if len(plan.trunks) > 1 else ""
                found = {
                    entry.name: [
                        float(report["accuracy"])
                        for report in reports_of(scored, entry.key, target.name, source.name, trunk)
                    ]
                    for entry in plan.methods
                }
                if any(found.values()):
                    panels[title] = found
    return accuracies_png(panels, {entry.name: sees_target(plan, entry) for entry in plan.methods}) if panels else None


def confusions(plan: Plan, scored: Sequence[ScoredCell]) -> Pictures:
    """Draw the confusion matrix of the reference on each target, summed over its seeds (the paper's Figures 4 and 5).

    Args:
        plan: the plan.
        scored: the scored cells.
    """
    pictures: Pictures = []
    for source in plan.sources:
        for trunk in plan.trunks:
            for target in plan.targets:
                reports = reports_of(scored, plan.against, target.name, source.name, trunk)
                if not reports:
                    continue
                title = f"{name_of(plan, plan.against)}, {source.name} to {target.name}"
                seeds = f"{len(reports)} seed{'s' if len(reports) > 1 else ''}"
                caption = f"{title} ({trunk}, {seeds})"
                counts = np.sum([report["confusion"] for report in reports], axis=0)
                png = confusion_png(counts, reports[0]["classes"], title=title, subtitle=f"{seeds}, {trunk}")
                pictures.append((f"confusion-{slug(source.name)}-{slug(target.name)}-{slug(trunk)}.png", caption, png))
    return pictures


def embeddings(plan: Plan, cells: Sequence[Cell], out: Path) -> Pictures:
    """Draw t-SNE of the features of the first method and of the reference, first seed, on each target.

    For a cell whose weights are not in ``out``, a picture that was drawn before is used again, if there is one.

    Args:
        plan: the plan.
        cells: its cells.
        out: folder of the runs.
    """
    pictures: Pictures = []
    keys = dict.fromkeys((plan.methods[0].key, plan.against))
    for cell in cells:
        if cell.entry.key not in keys or cell.seed != plan.seeds[0] or not cell_done(cell, out):
            continue
        name = f"tsne-{cell.folder}.png"
        title = f"{cell.entry.name}, {cell.source.name} to {cell.target.name} ({cell.trunk}, seed {cell.seed})"
        if (out / cell.folder / "model.safetensors").exists():
            pictures.append((name, f"t-SNE: {title}", embedding(cell, out, title)))
        elif (out / FIGURES / name).exists():
            pictures.append((name, f"t-SNE: {title}", (out / FIGURES / name).read_bytes()))
    return pictures


def embedding(cell: Cell, out: Path, title: str) -> bytes:
    """Draw t-SNE of the features of one cell.

    Args:
        cell: a finished cell with weights.
        out: folder of the runs.
        title: line above the picture.

    Returns:
        The bytes of a PNG file.
    """
    size, align = cell.settings.size, cell.settings.align
    source = pack_for(cell.source.data, size, align, progress=False)
    target = pack_for(cell.target.scored, size, align, progress=False)
    found, classes = embed(out / cell.folder, source, target, cell.seed)
    return embedding_png(found, classes, (cell.source.name, cell.target.name), title)
