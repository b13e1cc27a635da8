"""Write the results of a benchmark from its finished cells: Markdown, CSV, LaTeX, figures and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dcdan.benchmark.cell import ANSWERS, EPOCHS, SCORES, cell_done, check_same
from dcdan.benchmark.plan import Cell, Plan, slug
from dcdan.benchmark.tables import ScoredCell, all_tables, done_cells, name_of, reports_of
from dcdan.core.atomic_io import copy_file, write_bytes, write_text
from dcdan.core.sanitize import inert, printable
from dcdan.evaluation.embeddings import embed
from dcdan.packs.build import pack_for
from dcdan.plots.confusion import confusion_png
from dcdan.plots.embeddings import embedding_png
from dcdan.reports.page import data_uri, render
from dcdan.reports.text_table import Table

MARKDOWN, PAGE = "table.md", "report.html"
KEPT = ("run.json", ANSWERS, EPOCHS, SCORES)
"""Files of a cell that are copied to the results; weights are not."""
Pictures = list[tuple[str, str, bytes]]
"""File name, caption, PNG."""


def write_up(
    plan: Plan, cells: Sequence[Cell], out: Path, results: Path, failed: dict[str, str], command: str, tsne: bool = True
) -> list[Table]:
    """Write everything to ``results`` and return the tables; ``failed`` gives the reason of each cell that failed."""
    scored = done_cells(cells, out)
    tables = all_tables(plan, cells, scored, out)
    pictures = confusions(plan, scored)
    if tsne:
        pictures += embeddings(plan, cells, out, results)
    missing = missing_lines(cells, out, failed)
    for name, _, png in pictures:
        write_bytes(results / name, png)
    for table in tables:
        write_text(results / "tables" / f"{slug(table.title)}.csv", table.csv())
        write_text(results / "tables" / f"{slug(table.title)}.tex", table.latex())
    keep_cells(cells, out, results)
    write_text(results / MARKDOWN, markdown(plan, tables, pictures, missing, command))
    page = render(
        "benchmark.html.j2",
        plan=plan,
        command="\n".join([*plan.commands, command]),
        tables=tables,
        pictures=[(caption, data_uri(png)) for _, caption, png in pictures],
        missing=missing,
    )
    write_text(results / PAGE, page)
    return tables


def keep_cells(cells: Sequence[Cell], out: Path, results: Path) -> None:
    """Copy what the tables need of every finished cell, and its ``run.json``, to the results."""
    place = results / "cells"
    for cell in cells:
        for name in KEPT:
            if cell_done(cell, out) and (out / cell.folder / name).exists():
                copy_file(out / cell.folder / name, place / f"{cell.folder}.{name}")


def take_over(cells: Sequence[Cell], out: Path, results: Path, *, any_revision: bool = False) -> None:
    """Take finished cells that another machine left in the results, so that they are not trained again.

    Raises UsageError for one of another plan.
    """
    for cell in cells:
        kept = {name: results / "cells" / f"{cell.folder}.{name}" for name in KEPT}
        if cell_done(cell, out) or not all(kept[name].exists() for name in (SCORES, ANSWERS)):
            continue
        check_same(cell, kept[SCORES], any_revision=any_revision)
        for name, path in kept.items():
            if path.exists() and name != SCORES:
                copy_file(path, out / cell.folder / name)
        copy_file(kept[SCORES], out / cell.folder / SCORES)


def markdown(plan: Plan, tables: Sequence[Table], pictures: Pictures, missing: Sequence[str], command: str) -> str:
    """Return the whole as one Markdown text."""
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
    parts += [table.markdown() for table in tables]
    parts += [f"![{text}]({name})\n\n{text}\n" for name, text in ((name, printable(c)) for name, c, _ in pictures)]
    return "\n".join(parts)


def missing_lines(cells: Sequence[Cell], out: Path, failed: dict[str, str]) -> list[str]:
    """Return a line for every cell that failed, with why, and one for every row of which cells have not run yet."""
    lines = [f"{cell.title}: {failed[cell.folder].rstrip('.')}." for cell in cells if cell.folder in failed]
    for name in dict.fromkeys(cell.entry.name for cell in cells):
        own = [cell for cell in cells if cell.entry.name == name]
        left = sum(not cell_done(cell, out) and cell.folder not in failed for cell in own)
        if left:
            lines.append(f"{name}: {left} of {len(own)} cells have not run yet.")
    return lines


def confusions(plan: Plan, scored: Sequence[ScoredCell]) -> Pictures:
    """Draw the reference's confusion matrix on each target, its seeds added up (the paper's Figures 4 and 5)."""
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


def embeddings(plan: Plan, cells: Sequence[Cell], out: Path, results: Path) -> Pictures:
    """Draw t-SNE of the first method and of the reference, first seed, on each target.

    Of a cell whose weights are elsewhere the picture that the results have is kept.
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
        elif (results / name).exists():
            pictures.append((name, f"t-SNE: {title}", (results / name).read_bytes()))
    return pictures


def embedding(cell: Cell, out: Path, title: str) -> bytes:
    """Draw one cell's features; return the bytes of a PNG file."""
    size, align = cell.settings.size, cell.settings.align
    source = pack_for(cell.source.data, size, align, progress=False)
    target = pack_for(cell.target.scored, size, align, progress=False)
    found, classes = embed(out / cell.folder, source, target, cell.seed)
    return embedding_png(found, classes, (cell.source.name, cell.target.name), title)
