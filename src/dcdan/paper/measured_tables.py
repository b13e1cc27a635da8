"""The paper's tables of measured cells: its rows and columns, both means, tests over the targets, its own figures.

:func:`paper_cells` reads the cells of ``dcdan benchmark``, :func:`measured_tables` makes the tables.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dcdan.benchmark.cells import holds_cells, read_cells
from dcdan.core.errors import DataError
from dcdan.metrics.intervals import LAST, summarise
from dcdan.metrics.several_methods import Ranking, bayesian_signed_rank, holm, rank_methods
from dcdan.metrics.significance import paired_t, signed_rank
from dcdan.paper.measured import TRUNKS, data_set_of
from dcdan.paper.published import OURS, TABLES, PaperTable
from dcdan.paper.sections import probability
from dcdan.reports.text_table import Table

ROPE = 1.0
"""Half the width of the region of practical equivalence, in points of accuracy."""
Pair = tuple[str, str]
"""Source and trunk, as the paper names them."""


@dataclass(frozen=True)
class PaperCell:
    """A measured cell under the names of the paper.

    Attributes:
        row: name of the row.
        source: the labelled data set.
        target: the data set that was adapted to and scored.
        trunk: the trunk.
        seed: the seed.
        accuracy: accuracy of the last checkpoint, per cent.
        transductive: whether the scored images are among those of the adaptation.
        oracle: accuracy of the epoch that is best on the target's labels, per cent; None where no epochs were kept.
        classes: names of the classes.
        confusion: ``(K, K) int64`` counts; row = true class.
    """

    row: str
    source: str
    target: str
    trunk: str
    seed: int
    accuracy: float
    transductive: bool
    oracle: float | None
    classes: tuple[str, ...]
    confusion: NDArray[np.int64]

    @property
    def labelled(self) -> dict[str, int]:
        """Number of scored faces of each class."""
        return dict(zip(self.classes, self.confusion.sum(1).tolist(), strict=True))


def paper_cells(folders: Sequence[Path]) -> list[PaperCell]:
    """Read the cells of folders of results, of sources, targets and trunks that the paper has or a plan calls so.

    Args:
        folders: folders of results; every ``cells.parquet`` below them is read.

    Returns:
        The cells that were scored on their target, in the order of the files.

    Raises:
        DataError: when a folder holds no cells, or a file cannot be read.
    """
    found: list[PaperCell] = []
    for folder in folders:
        files = [file for file in sorted(folder.rglob("*.parquet")) if file.is_file() and holds_cells(file)]
        if not files:
            raise DataError(f"'{folder}' holds no cells.parquet: give the folder of a benchmark's results.")
        for file in files:
            for cell in read_cells(file, answers=False):
                found += [_cell(report, cell.epochs) for report in cell.reports if report.get("kind") == "target"]
    return found


def _cell(report: dict[str, Any], epochs: Sequence[dict[str, Any]] | None) -> PaperCell:
    source, target = (data_set_of(report[side]) or str(report[side]) for side in ("source", "target"))
    return PaperCell(
        str(report["row"]),
        source,
        target,
        TRUNKS.get(str(report["trunk"]).partition(".")[0], str(report["trunk"])),
        int(report["seed"]),
        100 * float(report["accuracy"]),
        bool(report.get("transductive", False)),
        100 * max(float(epoch["accuracy"]) for epoch in epochs) if epochs else None,
        tuple(report["classes"]),
        np.array(report["confusion"], np.int64),
    )


def accuracies(cells: Sequence[PaperCell], source: str, trunk: str) -> dict[str, dict[str, list[float]]]:
    """Return the accuracies of each row on each target, over the seeds.

    Args:
        cells: the cells.
        source: the source.
        trunk: the trunk.

    Returns:
        Row -> target -> accuracies, per cent.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for cell in cells:
        if (cell.source, cell.trunk) == (source, trunk):
            found.setdefault(cell.row, {}).setdefault(cell.target, []).append(cell.accuracy)
    return found


def measured_tables(cells: Sequence[PaperCell], reference: str = OURS) -> list[Table]:
    """Return the tables of the paper with measured rows, and the tests over their targets.

    Args:
        cells: the cells.
        reference: name of the row that the others are tested against.

    Returns:
        For each of the paper's tables of which a cell was measured: accuracies, then tests.
    """
    tables: list[Table] = []
    for printed in TABLES:
        found = accuracies(cells, printed.source, printed.trunk)
        if found:
            tables.append(accuracy_table(cells, printed))
            tables.append(significance_table(found, printed, reference))
    return [table for table in tables if table.rows]


def accuracy_table(cells: Sequence[PaperCell], printed: PaperTable) -> Table:
    """Return one of the paper's tables with measured rows, each above the paper's own of the same name.

    Args:
        cells: the cells.
        printed: the paper's table.
    """
    own = [cell for cell in cells if (cell.source, cell.trunk) == (printed.source, printed.trunk)]
    found = accuracies(own, printed.source, printed.trunk)
    marked = {cell.target for cell in own if cell.transductive}
    heads = [f"{name} (transductive)" if name in marked else name for name in printed.targets]
    header = ("method", *heads, f"mean of the last {LAST}", f"mean of all {len(heads)}", "sd", "95 % interval", "seeds")
    claims = {row.method: row for row in printed.rows}
    rows: list[tuple[str, ...]] = []
    for name in [*found, *(name for name in claims if name not in found)]:
        if name in found:
            rows.append((name, *_measured(own, found[name], name, printed.targets)))
        if name in claims:
            claim = claims[name]
            numbers = (f"{figure:.2f}" for figure in claim.figures)
            rows.append((f"{name}, as the paper prints it", *numbers, *_spread(claim.figures), "–"))
    note = (
        "Accuracy in per cent: mean of the seeds and, with several, their standard deviation; last checkpoint. "
        "Standard deviation and interval (Student's t) of the last columns are those of the targets. "
        "A dash is a cell that has not been run."
    )
    if marked:
        note += " Transductive: adapted to and tested on the same images."
    if any(cell.oracle is not None for cell in own):
        note += " In brackets the oracle: the epoch that is best on the target's labels, which no user has."
    return Table(
        f"Table {printed.number}, measured: source {printed.source}, {printed.trunk}", header, tuple(rows), note
    )


def _measured(
    cells: Sequence[PaperCell], of_row: dict[str, list[float]], name: str, targets: Sequence[str]
) -> tuple[str, ...]:
    texts = []
    for target in targets:
        values = of_row.get(target, [])
        text = f"{statistics.mean(values):.2f}" if values else "–"
        text += f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
        oracles = [cell.oracle for cell in cells if (cell.row, cell.target) == (name, target)]
        known = [oracle for oracle in oracles if oracle is not None]
        texts.append(text + (f" ({statistics.mean(known):.2f})" if known else ""))
    whole = all(target in of_row for target in targets)
    means = [statistics.mean(of_row[target]) for target in targets] if whole else []
    counts = sorted({len(values) for values in of_row.values()})
    seeds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return (*texts, *_spread(means), seeds)


def _spread(figures: Sequence[float]) -> tuple[str, str, str, str]:
    """Return both means, the standard deviation and the interval as texts; dashes where a target is missing."""
    if not figures:
        return ("–",) * 4
    found = summarise(figures)
    last = statistics.mean(figures[-LAST:])
    return f"{last:.2f}", f"{found.mean:.2f}", f"{found.sd:.2f}", f"{found.low:.2f} to {found.high:.2f}"


def significance_table(found: dict[str, dict[str, list[float]]], printed: PaperTable, reference: str = OURS) -> Table:
    """Return the tests of the reference against every other row, over the targets, measured and as printed.

    Args:
        found: row -> target -> accuracies.
        printed: the paper's table.
        reference: name of the reference.
    """
    means = {
        name: [statistics.mean(by_target[target]) for target in printed.targets]
        for name, by_target in found.items()
        if all(target in by_target for target in printed.targets)
    }
    claims = {row.method: list(row.figures) for row in printed.rows}
    rows = [*_tests(means, reference, ""), *_tests(claims, OURS, ", as the paper prints it")]
    header = (
        *("against", "difference", "t", "p", "p, Holm", "Wilcoxon p", "Wilcoxon p, Holm"),
        *("P(worse)", "P(equivalent)", "P(better)"),
    )
    note = (
        f"{reference} less each row, paired by target; Holm's correction over the rows of each family, measured and "
        f"printed. P: Bayesian signed-rank test, equivalent within {ROPE:g} point."
    )
    return Table(f"Table {printed.number}, measured: tests over the targets", header, tuple(rows), note)


def _tests(figures: dict[str, list[float]], reference: str, suffix: str) -> list[tuple[str, ...]]:
    if reference not in figures:
        return []
    own = figures[reference]
    others = {name: values for name, values in figures.items() if name != reference}
    t = [paired_t(own, values) for values in others.values()]
    ranks = [signed_rank(own, values) for values in others.values()]
    of_t, of_ranks = holm([test.p_value for test in t]), holm([test.p_value for test in ranks])
    rows = []
    for index, (name, values) in enumerate(others.items()):
        posterior = bayesian_signed_rank(own, values, ROPE)
        rows.append(
            (
                f"{name}{suffix}",
                f"{t[index].difference:+.2f}",
                f"{t[index].t:.3f}",
                probability(t[index].p_value),
                probability(of_t[index]),
                f"{ranks[index].p_value:.4f}",
                f"{of_ranks[index]:.4f}",
                *(f"{value:.3f}" for value in posterior),
            )
        )
    return rows


def overall_ranking(cells: Sequence[PaperCell]) -> tuple[tuple[str, ...], Ranking] | None:
    """Return the ranks of the rows over all columns of the paper's tables in which every one of them was measured.

    Args:
        cells: the cells.

    Returns:
        Names and ranking; None with fewer than three rows or two such columns.
    """
    columns: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for cell in cells:
        columns.setdefault((cell.source, cell.target, cell.trunk), {}).setdefault(cell.row, []).append(cell.accuracy)
    names = tuple(dict.fromkeys(cell.row for cell in cells))
    whole = [[statistics.mean(rows[name]) for name in names] for rows in columns.values() if set(names) <= set(rows)]
    if len(names) < 3 or len(whole) < 2:
        return None
    return names, rank_methods(whole)
