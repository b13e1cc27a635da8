"""docs/results/source_free: its tables follow from its cells, and the package's rule from the same run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from experiments.source_free import cells, predictions, tables

from dcdan.correction.fitted_rule import fitted_rule

OUT = Path(__file__).parents[3] / "docs" / "results" / "source_free"


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return tables.read(OUT)


def test_the_tables_of_the_page_follow_from_the_cells(rows: list[dict]) -> None:
    page = (OUT / "README.md").read_text(encoding="utf-8")
    for name, table in tables.text(rows).items():
        inside = page.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- end of {name} -->")[0]
        assert inside.strip() == table.strip(), name


def test_bars_against_a_loop(rows: list[dict]) -> None:
    found = {row["bar"]: row for row in tables.bars(rows)}
    harmed = total = within = 0
    for row in rows:
        if row["kind"] == "decision" and row["mode"] == "declared" and row["role"] == "validate":
            total += 1
            harmed += row["gain"] < -0.01
            within += abs(row["estimate"] - row["accuracy"]) <= 0.05
    assert found["declared: cells harmed, %"]["left-out shifts"] == f"{100 * harmed / total:.1f}"
    assert found["declared: estimate within 5 points, %"]["left-out shifts"] == f"{100 * within / total:.1f}"
    gains = [row["gain"] for row in rows if row["kind"] == "labels" and row["role"] == "test"]
    assert found["40 labels: mean gain, shifted"]["LFW test"] == f"{100 * np.mean(gains):.1f}"


def test_no_number_is_chosen_by_the_shifts_left_out(rows: list[dict]) -> None:
    roles: dict[str, set[str]] = {}
    for row in rows:
        roles.setdefault(row["condition"], set()).add(row["role"])
    assert all(len(found) == 1 for found in roles.values())
    fitted = {name for name, found in roles.items() if found == {"fit"}}
    assert set(fitted_rule().provenance["fitted on"]) == fitted  # type: ignore[arg-type]
    assert not any(name.startswith("lfw-test") for name in fitted)


def test_the_rule_of_the_package_is_of_this_run() -> None:
    metadata = json.loads(parquet.read_schema(OUT / "cells.parquet").metadata[b"grid"])
    assert fitted_rule().provenance == metadata


def test_never_worse_comes_first(rows: list[dict]) -> None:
    """On shifts that no number was fitted on, decisions and labels stay within the bars of harm."""
    left_out = [row for row in rows if row["role"] == "validate"]
    for mode in ("declared", "nothing declared"):
        own = [
            row["gain"]
            for row in left_out
            if row["kind"] == "decision" and row["mode"] == mode and row["groups"] != "own mix"
        ]
        assert len(own) > 100
        assert np.mean(np.array(own) < -0.01) <= 0.05
    labelled = [row for row in left_out if row["kind"] == "labels"]
    assert np.mean([row["harmed_draws"] for row in labelled]) <= 0.06


def test_cells_have_the_shares_and_sizes_that_they_say() -> None:
    source, counts = np.array([50, 10, 6, 100, 40, 20, 100, 2]), np.array([60, 40, 25, 200, 60, 60, 300, 13])
    uniform = cells.class_shares("uniform", source, counts, 0)
    assert uniform.tolist() == pytest.approx([1 / 7] * 7 + [0])
    for seed, heavy in enumerate(cells.HEAVY):
        found = cells.class_shares("heavy", source, counts, seed)
        assert found[heavy] == pytest.approx(0.6)
        assert found.sum() == pytest.approx(1)
    kept = cells.class_shares("source", source, counts, 0)
    assert kept[:7] / kept[0] == pytest.approx(source[:7] / source[0])
    labels = np.repeat(np.arange(8), counts)
    rows = cells.drawn_rows(labels, uniform, 7000, np.random.default_rng(0))
    assert np.bincount(labels[rows], minlength=8)[:7] == pytest.approx(1000, rel=0.15)
    few = cells.drawn_rows(labels, uniform, 70, np.random.default_rng(0))
    assert len(few) == len(set(few.tolist())) == 70


def test_rare_classes_are_whole_in_a_condition() -> None:
    labels = np.repeat([0, 1, 2, -1], [500, 40, 100, 30])
    rows = predictions.chosen_rows(labels, np.arange(len(labels)), 200)
    assert np.bincount(labels[rows], minlength=3).tolist()[1] == 40
    assert np.bincount(labels[rows], minlength=3)[2] >= 60
    assert len(rows) == len(set(rows.tolist())) == 200
    assert (labels[rows] >= 0).all()


@pytest.mark.parametrize("parts", [("half",), ("film",), ("crop",), ("lowlight 3", "noise 2", "half")])
def test_mixed_shifts_change_faces_and_keep_their_form(parts: tuple[str, ...]) -> None:
    faces = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    before = faces.copy()
    found = predictions.looked(faces, parts, ["a", "b", "c"])
    assert (found.shape, found.dtype) == (faces.shape, np.uint8)
    assert (found != faces).mean() > 0.5
    assert (faces == before).all()
    assert (predictions.looked(faces[1:2], parts, ["b"]) == found[1:2]).all()
