"""docs/results/explain computed again from its raw values, and what the program claims of its maps held against it."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from scipy import stats

from dcdan.explanation.explainer import DEFAULT_MAPS, FAITHFUL_MAPS

FOLDER = Path(__file__).parents[3] / "docs" / "results" / "explain"


@pytest.fixture(scope="module")
def raw() -> dict[tuple[str, str], np.ndarray]:
    """(kind, name) -> (faces, 2), in the order of the faces."""
    found: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    columns = parquet.read_table(FOLDER / "cells.parquet").to_pydict()
    names = ("kind", "name", "face", "first", "second")
    for kind, name, face, first, second in zip(*(columns[each] for each in names), strict=True):
        found.setdefault((kind, name), []).append((face, first, second))
    return {key: np.array(sorted(rows))[:, 1:] for key, rows in found.items()}


def table() -> list[dict[str, str]]:
    with (FOLDER / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_correlations(raw: dict[tuple[str, str], np.ndarray]) -> None:
    rows = [row for row in table() if row["kind"] == "action"]
    assert {row["name"] for row in rows} == {name for kind, name in raw if kind == "action"}
    for row in rows:
        values = raw["action", row["name"]]
        assert int(row["faces"]) == len(values)
        assert row["correlation"] == f"{stats.pearsonr(values[:, 0], values[:, 1]).statistic:.3f}"
        assert 0 <= values.min() <= values.max() <= 1


def test_maps(raw: dict[tuple[str, str], np.ndarray]) -> None:
    """Means from the raw areas; p-values by SciPy's t test, which must agree on what is below .05."""
    rows = {row["name"]: row for row in table() if row["kind"] == "map"}
    assert set(rows) == {name for kind, name in raw if kind == "map"}
    assert {"random", "centre"} < set(rows)
    for name, row in rows.items():
        values = raw["map", name]
        assert int(row["faces"]) == len(values)
        assert float(row["deletion"]) == pytest.approx(values[:, 0].mean(), abs=6e-5)
        assert float(row["insertion"]) == pytest.approx(values[:, 1].mean(), abs=6e-5)
        if name in ("random", "centre"):
            assert row["largest_p"] == ""
            continue
        worst = max(
            stats.ttest_rel(values[:, column], raw["map", baseline][:, column], alternative=side).pvalue
            for baseline in ("random", "centre")
            for column, side in ((0, "less"), (1, "greater"))
        )
        assert float(row["largest_p"]) == pytest.approx(worst, abs=max(0.01, 0.1 * worst))
        assert (float(row["largest_p"]) < 0.05) == (worst < 0.05)


def test_maps_are_offered_by_these_figures() -> None:
    rows = {row["name"]: row for row in table() if row["kind"] == "map"}
    better = {name for name, row in rows.items() if row["largest_p"] and float(row["largest_p"]) < 0.05}
    assert set(FAITHFUL_MAPS) == better
    assert set(DEFAULT_MAPS) <= better


def test_the_page_prints_figures_of_the_table() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    for row in table():
        figure = row["correlation"] if row["kind"] == "action" else row["deletion"]
        line = re.search(rf"^\| {re.escape(row['name'])} \|.*$", page, re.M)
        if row["kind"] == "map":
            assert line is not None
            assert figure in line[0]
            assert row["insertion"] in line[0]
        elif line is not None:
            assert figure in line[0]
