"""The claims of the paper, what its own tables give, and what was measured here, as one record."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dcdan.paper import published
from dcdan.paper import published as references
from dcdan.paper.inconsistencies import Finding, find_inconsistencies
from dcdan.paper.measured import MeasuredRow
from dcdan.paper.published import TABLES, PaperTable
from dcdan.paper.recomputed import (
    TableSummary,
    TrunkComparison,
    Versus,
    against_baselines,
    means_of,
    table_summaries,
    trunk_comparisons,
)

DOI = "10.7717/peerj-cs.2866"


@dataclass(frozen=True, slots=True)
class Beside:
    """A measured row and the paper's figures for the same source, target and trunk, in per cent.

    Attributes:
        table: number of the paper's table, 1..4.
        target: name of the target in that table.
        measured: the measured row.
        same: the paper's figure of the method of the same name; None where the table has no such row.
        ours: the paper's figure of DCD-DAN.
    """

    table: int
    target: str
    measured: MeasuredRow
    same: float | None
    ours: float

    @property
    def against_interval(self) -> str:
        """Position of the paper's figure relative to the measured 95 % interval.

        It is ``above``, ``below`` or ``within``; empty where the table has no row of this name.
        """
        if self.same is None:
            return ""
        low, high = self.measured.interval
        return "above" if self.same > 100 * high else "below" if self.same < 100 * low else "within"


@dataclass(frozen=True)
class Paper:
    """Some of the paper's tables with everything that is computed from them.

    Attributes:
        tables: the tables as printed.
        summaries: statistics of the DCD-DAN row of each table.
        trunks: comparisons between tables of one source with different trunks.
        baselines: comparisons of DCD-DAN with each baseline of its table.
        findings: the inconsistencies.
        measured: rows of measured results; None when no results were given.
        beside: the measured rows that a figure of the tables can be compared with.
    """

    tables: tuple[PaperTable, ...]
    summaries: tuple[TableSummary, ...]
    trunks: tuple[TrunkComparison, ...]
    baselines: tuple[Versus, ...]
    findings: tuple[Finding, ...]
    measured: tuple[MeasuredRow, ...] | None
    beside: tuple[Beside, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON types, figures unrounded."""
        measured = self.measured
        quoted = {
            "abstract": dict(published.ABSTRACT),
            "prose": published.PROSE,
            "spreads": published.SPREADS,
            "anova": published.ANOVA,
            "gains": published.GAINS,
            "ablations": published.ABLATIONS,
            "confusions": published.CONFUSIONS,
        }
        found = {
            "schema": 1,
            "doi": DOI,
            "tables": [_table(table) for table in self.tables],
            "prose": quoted,
            "recomputed": {"tables": self.summaries, "trunks": self.trunks, "baselines": self.baselines},
            "inconsistencies": self.findings,
            "references": {
                "in_domain": references.IN_DOMAIN,
                "cross_domain": references.REFERENCES,
                "supervised": references.SUPERVISED,
            },
            "measured": None if measured is None else [row.to_dict() for row in measured],
            "beside": [_plain(pair) | {"measured": pair.measured.to_dict()} for pair in self.beside],
        }
        plain: dict[str, Any] = _plain(found)
        return plain


def study(number: int | None = None, measured: Sequence[MeasuredRow] | None = None) -> Paper:
    """Compute the statistics and inconsistencies of the paper, or of one of its tables.

    Args:
        number: number of a table, 1..4; None for all. With a number, inconsistencies are still searched in all tables,
            and those that concern it are returned.
        measured: measured rows to compare with the tables; None when there are none.

    Returns:
        The record of everything.

    Example:
        >>> [table.number for table in study(2).tables], study(2).measured
        ([2], None)
    """
    tables = tuple(table for table in TABLES if number in (None, table.number))
    return Paper(
        tables,
        table_summaries(tables),
        tuple(pair for pair in trunk_comparisons(TABLES) if number is None or number in pair.tables),
        against_baselines(tables),
        tuple(found for found in find_inconsistencies(TABLES) if number is None or number in found.tables),
        None if measured is None else tuple(measured),
        match_published(tables, measured or ()),
    )


def match_published(tables: Sequence[PaperTable], measured: Sequence[MeasuredRow]) -> tuple[Beside, ...]:
    """Pair measured rows with the figures of the tables.

    A row is paired when its source and trunk are those of the table, and it was scored on the target it adapted to.

    Args:
        tables: the paper's tables.
        measured: the measured rows.

    Returns:
        One entry for each pair, in the order of the tables.
    """
    return tuple(
        Beside(table.number, row.tested, row, _figure(table, row.row, row.tested), ours)
        for table in tables
        for row in measured
        if (row.source, row.trunk, row.target) == (table.source, table.trunk, row.tested)
        and row.tested in table.targets
        and (ours := _figure(table, published.OURS, row.tested)) is not None
    )


def _figure(table: PaperTable, method: str, target: str) -> float | None:
    names = {_letters(row.method): row for row in table.rows}
    row = names.get(_letters(method))
    return None if row is None else row.figures[table.targets.index(target)]


def _letters(name: str) -> str:
    """Return the letters of a method's name; a remark in brackets, as in "DGL (our reading)", is no part of it."""
    return "".join(letter for letter in name.partition("(")[0].lower() if letter.isalnum())


def _table(table: PaperTable) -> dict[str, Any]:
    rows = []
    for row in table.rows:
        every, last_four = means_of(row)
        rows.append(_plain(row) | {"mean_of_all": every, "mean_of_last_four": last_four})
    plain: dict[str, Any] = _plain(table)
    return plain | {"rows": rows}


def _plain(value: Any) -> Any:
    """Return records and tuples as dicts and lists; named tuples and dataclasses by the names of their fields."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _plain(item) for name, item in value._asdict().items()}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
