"""A benchmark written up: Markdown, CSV, LaTeX, pictures and one HTML page, all from what the cells left behind."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dcdan.data.build import pack_for
from dcdan.durable import write_bytes, write_text
from dcdan.evaluation.benchmark.cell import cell_done
from dcdan.evaluation.benchmark.plan import Cell, Plan, slug
from dcdan.evaluation.benchmark.scores import Scored, done_cells, reports_of
from dcdan.evaluation.benchmark.table import Table
from dcdan.evaluation.benchmark.tables import all_tables, name_of
from dcdan.evaluation.confusion import confusion_png
from dcdan.evaluation.embedding import embed, embedding_png
from dcdan.evaluation.page import data_uri, render

MARKDOWN, PAGE = "table.md", "report.html"
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
        pictures += embeddings(plan, cells, out)
    missing = missing_lines(cells, out, failed)
    for name, _, png in pictures:
        write_bytes(results / name, png)
    for table in tables:
        write_text(results / "tables" / f"{slug(table.title)}.csv", table.csv())
        write_text(results / "tables" / f"{slug(table.title)}.tex", table.latex())
    for cell in cells:
        for name in ("run.json", "scores.json"):
            if cell_done(cell, out):
                (results / "cells").mkdir(parents=True, exist_ok=True)
                shutil.copy(out / cell.folder / name, results / "cells" / f"{cell.folder}.{name}")
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


def markdown(plan: Plan, tables: Sequence[Table], pictures: Pictures, missing: Sequence[str], command: str) -> str:
    """Return the whole as one Markdown text."""
    parts = [f"# {plan.title}", "", plan.caption.strip(), "", "```sh", *plan.commands, command, "```", ""]
    if missing:
        parts += ["Not in these tables:", "", *(f"- {line}" for line in missing), ""]
    parts += [table.markdown() for table in tables]
    parts += [f"![{caption}]({name})\n\n{caption}\n" for name, caption, _ in pictures]
    return "\n".join(parts)


def missing_lines(cells: Sequence[Cell], out: Path, failed: dict[str, str]) -> list[str]:
    """Return a line for every cell that is not done: failed and why, or not run yet."""
    return [
        f"{cell.title}: {failed.get(cell.folder, 'not run yet').rstrip('.')}."
        for cell in cells
        if not cell_done(cell, out)
    ]


def confusions(plan: Plan, scored: Sequence[Scored]) -> Pictures:
    """Draw the reference's confusion matrix on each target, its seeds added up (the paper's Figures 4 and 5)."""
    pictures: Pictures = []
    for source in plan.sources:
        for trunk in plan.trunks:
            for target in plan.targets:
                reports = reports_of(scored, plan.against, target.name, source.name, trunk)
                if not reports:
                    continue
                title = f"{name_of(plan, plan.against)}, {source.name} to {target.name}"
                caption = f"{title} ({trunk}, {len(reports)} seeds together)"
                counts = np.sum([report["confusion"] for report in reports], axis=0)
                png = confusion_png(
                    counts, reports[0]["classes"], title=title, subtitle=f"{len(reports)} seeds, {trunk}"
                )
                pictures.append((f"confusion-{slug(source.name)}-{slug(target.name)}-{slug(trunk)}.png", caption, png))
    return pictures


def embeddings(plan: Plan, cells: Sequence[Cell], out: Path) -> Pictures:
    """Draw t-SNE of the first method and of the reference, first seed, on each target."""
    pictures: Pictures = []
    keys = dict.fromkeys((plan.methods[0].key, plan.against))
    for cell in cells:
        if cell.entry.key not in keys or cell.seed != plan.seeds[0] or not cell_done(cell, out):
            continue
        size, align = cell.settings.size, cell.settings.align
        source = pack_for(cell.source.data, size, align, progress=False)
        target = pack_for(cell.target.scored, size, align, progress=False)
        found, classes = embed(out / cell.folder, source, target, cell.seed)
        title = f"{cell.entry.name}, {cell.source.name} to {cell.target.name} ({cell.trunk}, seed {cell.seed})"
        png = embedding_png(found, classes, (cell.source.name, cell.target.name), title)
        pictures.append((f"tsne-{cell.folder}.png", f"t-SNE: {title}", png))
    return pictures
