"""Write the measured tables and figures in the paper's form as Markdown, CSV, LaTeX and PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dcdan.benchmark.plan import slug
from dcdan.core.atomic_io import write_bytes, write_text
from dcdan.core.errors import DataError, OutputError
from dcdan.paper.figures import discussion, figures_of
from dcdan.paper.measured_tables import measured_tables, paper_cells
from dcdan.paper.published import OURS
from dcdan.reports.text_table import Table

PAGE = "measured.md"


def write_measured(folders: Sequence[Path], out: Path, reference: str = OURS) -> list[Table]:
    """Write ``measured.md``, ``tables/*.csv``, ``tables/*.tex`` and ``figures/*.png``.

    Args:
        folders: folders of results of ``dcdan benchmark``.
        out: the folder to write; files of the same names in it are replaced.
        reference: name of the row that the others are tested against, and whose confusions are drawn.

    Returns:
        The tables.

    Raises:
        DataError: when no cell has a source and a trunk of the paper's tables.
        OutputError: when something cannot be written.
    """
    cells = paper_cells(folders)
    tables = measured_tables(cells, reference)
    if not tables:
        raise DataError("No measured cell has a source and a trunk of the paper's tables: see experiments/paper.toml.")
    figures, text = figures_of(cells, reference), discussion(cells, reference)
    parts = ["# The paper's tables, measured\n", *(table.markdown() for table in tables)]
    if text:
        parts += ["## Discussion\n", f"{text}\n"]
    if figures:
        parts.append("## Figures\n")
        parts += [f"![{name.removesuffix('.png')}](figures/{name})\n" for name in figures]
    try:
        for folder in (out / "tables", out / "figures"):
            folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"The folder '{out}' cannot be made ({error.strerror or error}).") from error
    for table in tables:
        write_text(out / "tables" / f"{slug(table.title)}.csv", table.csv())
        write_text(out / "tables" / f"{slug(table.title)}.tex", table.latex())
    for name, png in figures.items():
        write_bytes(out / "figures" / name, png)
    write_text(out / PAGE, "\n".join(parts))
    return tables
