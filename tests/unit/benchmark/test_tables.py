"""Tables from made-up reports: figures by hand, intervals of several seeds, marks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dcdan.benchmark.plan import Plan, cells_of
from dcdan.benchmark.tables import ScoredCell, accuracy_table, figures, figures_table
from dcdan.metrics.intervals import bootstrap_interval, wilson
from dcdan.paper.published import TABLES
from dcdan.paper.study import _figure

PLAN = Plan.model_validate(
    {
        "title": "x",
        "seeds": [0, 1, 2],
        "settings": {"pretrained": "no"},
        "sources": [{"name": "A", "data": "packs/a"}],
        "targets": [
            {"name": "A", "data": "packs/a"},
            {"name": "B", "data": "packs/b"},
            {"name": "C", "data": "packs/c"},
        ],
        "methods": [{"key": "dcdan", "name": "DCD-DAN", "settings": {"method": "dcdan"}}],
    }
)
TRUNK = PLAN.trunks[0]


def answers(seed: int) -> np.ndarray:
    return np.arange(100) < 60 + 10 * seed


def scored(*, split: str = "test", answered: bool = True, **extra: Any) -> list[ScoredCell]:
    """Reports of every cell: accuracy .6, .7, .8 by seed."""
    return [
        ScoredCell(
            cell,
            {
                "kind": "target",
                "test": cell.target.name,
                "seed": cell.seed,
                "split": split if cell.target.name == "B" else "test",
                "images": 100,
                "accuracy": 0.6 + 0.1 * cell.seed,
                "macro_f1": 0.5,
                "uar": 0.5,
                "ece": 0.1,
                "precision": "fp32",
                "code": "abc",
                **extra,
            },
            answers(cell.seed) if answered else None,
        )
        for cell in cells_of(PLAN)
    ]


def test_the_interval_of_several_seeds_holds_their_spread() -> None:
    """Protocol rule 4: bootstrap over seeds and faces; Wilson for one seed, or where answers were not kept."""
    reports = [one.report for one in scored() if one.report["test"] == "B"]
    correct = [answers(seed) for seed in range(3)]
    found = figures(reports, correct)
    assert found.interval == bootstrap_interval(np.stack(correct))
    alone = wilson(70, 100)
    assert found.interval.high - found.interval.low > alone.high - alone.low
    assert (found.accuracy, found.deviation) == (pytest.approx(0.7), pytest.approx(0.1))
    assert figures(reports).interval == figures(reports, [None, *correct[1:]]).interval == alone
    assert figures(reports[:1], correct[:1]).interval == wilson(60, 100)
    assert figures(reports, [each[:99] for each in correct]).interval == alone


def test_tables_print_that_interval() -> None:
    table = figures_table(PLAN, scored(), "A", TRUNK, "B")
    low, high = bootstrap_interval(np.stack([answers(seed) for seed in range(3)]))
    assert table.rows[0][4] == f"{100 * low:.1f} to {100 * high:.1f}"
    assert "bootstrap over both" in table.note


def test_a_source_has_no_column_of_itself() -> None:
    """F9."""
    table = accuracy_table(PLAN, scored(), "A", TRUNK)
    assert table.header == ("method", "sees target", "B", "C", "mean")
    assert table.rows == (("DCD-DAN", "images", "70.0 ± 10.0", "70.0 ± 10.0", "70.0"),)


def test_transductive_targets_are_marked() -> None:
    """F13: B is adapted to and tested on all its images, C on its test split."""
    table = accuracy_table(PLAN, scored(split="all"), "A", TRUNK)
    assert table.header[2:4] == ("B (transductive)", "C")
    assert "Transductive: adapted to and tested on the same images." in table.note
    assert "B (transductive)" in figures_table(PLAN, scored(split="all"), "A", TRUNK, "B").title
    assert "ransductive" not in accuracy_table(PLAN, scored(), "A", TRUNK).note


def test_precision_and_mixed_revisions_are_told() -> None:
    """F10, F7."""
    assert ", fp32, last checkpoint" in accuracy_table(PLAN, scored(), "A", TRUNK).note
    mixed = [*scored(), *scored(code="old", precision="bf16")]
    note = accuracy_table(PLAN, mixed, "A", TRUNK).note
    assert "bf16 and fp32; cells of 2 revisions of the code" in note
    assert "precision not recorded" in accuracy_table(PLAN, scored(precision=""), "A", TRUNK).note


def test_rows_join_the_papers_by_name() -> None:
    """F12: a remark in brackets is no part of a method's name."""
    table = TABLES[0]
    assert _figure(table, "DGL (our reading)", "RAF-DB") == _figure(table, "DGL", "RAF-DB") == 75.09
    assert _figure(table, "AdaBN", "RAF-DB") is None


def test_further_tests_are_no_target() -> None:
    """A report of kind "also" on a test of a target's name does not enter the target's column."""
    also = [ScoredCell(one.cell, {**one.report, "kind": "also", "accuracy": 0.0}) for one in scored()]
    assert accuracy_table(PLAN, [*scored(), *also], "A", TRUNK).rows == accuracy_table(PLAN, scored(), "A", TRUNK).rows
