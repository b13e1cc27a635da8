"""The quotations: shapes, and sums that a slip in typing would change."""

from __future__ import annotations

import pytest

from dcdan.paper import published
from dcdan.paper import published as references
from dcdan.paper.published import OURS, TABLES

METHODS = ("SCN", "RAN", "EfficientFace", "CSG", "DGL", OURS)

# Sums of all 36 figures of a table, in hundredths, added up from the paper's text and not from the code.
SUMS = {1: 212365, 2: 196904, 3: 193859, 4: 191207}


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"table {table.number}")
def test_a_table_has_six_rows_of_five_targets_and_a_mean(table: published.PaperTable) -> None:
    assert tuple(row.method for row in table.rows) == METHODS
    assert len(table.targets) == 5
    assert all(len(row.figures) == 5 for row in table.rows)
    assert table.source not in table.targets
    assert table.ours.backbone == table.trunk
    assert OURS not in {row.method for row in table.baselines}
    printed = sum(round(100 * figure) for row in table.rows for figure in (*row.figures, row.mean))
    assert printed == SUMS[table.number]


def test_tables_cross_sources_and_trunks() -> None:
    crossed = [(table.number, table.source, table.trunk) for table in TABLES]
    assert crossed == [
        (1, "FERPlus", "ResNet-50"),
        (2, "FERPlus", "MobileNet-V2"),
        (3, "RAF-DB", "ResNet-50"),
        (4, "RAF-DB", "MobileNet-V2"),
    ]
    assert published.table(3) is TABLES[2]


def test_what_is_not_there_is_refused() -> None:
    with pytest.raises(KeyError):
        published.table(5)
    with pytest.raises(KeyError):
        TABLES[0].row("AGRA")


def test_quotations_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        TABLES[0].rows[0].mean = 0.0  # type: ignore[misc]


def test_prose_has_a_figure_for_every_target() -> None:
    assert [prose.table for prose in published.PROSE] == [1, 2, 3, 4]
    assert all(len(prose.figures) == 5 for prose in published.PROSE)
    named = {name for table in TABLES for name in (table.source, *table.targets)}
    assert {name for name, _ in published.ABSTRACT} == named == references.CLASSES.keys()


@pytest.mark.parametrize("reference", [one for one in references.REFERENCES if one.figures and one.mean])
def test_means_of_references_are_those_of_their_figures(reference: references.Reference) -> None:
    figures = [figure for _, figure in reference.figures]
    assert sum(figures) / len(figures) == pytest.approx(reference.mean, abs=0.0051)
