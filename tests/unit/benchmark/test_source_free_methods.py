"""The table of source-free methods, computed again from the answers of each face in its Parquet file."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as parquet
import pytest

from dcdan.methods.catalogue import SOURCE_FREE, method_catalogue

RESULTS = Path(__file__).parents[3] / "docs" / "results" / "source_free_methods"
START = "source model"


def cells() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = parquet.read_table(RESULTS / "cells.parquet").to_pylist()
    return rows


def table() -> list[dict[str, str]]:
    with (RESULTS / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def uar(answers: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean([(answers[labels == k] == k).mean() for k in sorted(set(labels.tolist()))]))


def test_scores_are_those_of_the_answers() -> None:
    for cell in cells():
        answers, labels = np.array(cell["answers"]), np.array(cell["labels"])
        assert len(answers) == len(labels) == cell["faces"]
        assert cell["accuracy"] == pytest.approx((answers == labels).mean())
        assert cell["uar"] == pytest.approx(uar(answers, labels))
        largest = max(int((answers == k).sum()) for k in set(answers.tolist())) / len(answers)
        assert cell["largest_share"] == pytest.approx(largest)
        assert bool(cell["warning"]) <= (largest >= 0.98)


def test_every_method_answers_every_face_set() -> None:
    places = {(cell["set"], cell["faces"], cell["seed"]) for cell in cells()}
    methods = {entry.name for entry in method_catalogue() if entry.group == SOURCE_FREE} - {"dcdan"}
    found = {(cell["set"], cell["faces"], cell["seed"], cell["method"]) for cell in cells()}
    assert {(*place, method) for place in places for method in (START, *methods)} <= found
    for place in places:
        inside = [cell for cell in cells() if (cell["set"], cell["faces"], cell["seed"]) == place]
        assert len({tuple(cell["labels"]) for cell in inside}) == 1


def test_the_table_is_that_of_the_cells() -> None:
    everything = cells()
    for row in table():
        inside = [cell for cell in everything if row["set"] in (cell["set"], "all cells")]
        inside = [cell for cell in inside if row["faces"] in (str(cell["faces"]), "")]
        before = {
            (cell["set"], cell["faces"], cell["seed"]): cell["accuracy"] for cell in inside if cell["method"] == START
        }
        own = [cell for cell in inside if cell["method"] == row["method"]]
        gains = [cell["accuracy"] - before[cell["set"], cell["faces"], cell["seed"]] for cell in own]
        assert int(row["cells"]) == len(own) > 0
        assert float(row["accuracy"]) == pytest.approx(np.mean([cell["accuracy"] for cell in own]), abs=6e-5)
        assert float(row["uar"]) == pytest.approx(np.mean([cell["uar"] for cell in own]), abs=6e-5)
        assert float(row["accuracy_gain"]) == pytest.approx(np.mean(gains), abs=6e-5)
        assert float(row["worse_by_a_point"]) == pytest.approx(np.mean([gain < -0.01 for gain in gains]), abs=6e-5)


def test_the_page_shows_the_table() -> None:
    text, page = ((RESULTS / name).read_text(encoding="utf-8") for name in ("table.md", "README.md"))
    assert text.strip() in page
    rows = {(row["set"], row["faces"], row["method"]): row for row in table()}
    shown = 0
    for part in re.split(r"^### ", text, flags=re.M)[1:]:
        title, *lines = part.splitlines()
        name, _, faces = title.partition(", ") if title == "all cells" else title.rpartition(", ")
        key = (name, faces.removesuffix(" faces").replace(",", "")) if faces else ("all cells", "")
        for line in (line for line in lines if line.startswith("| ") and not line.startswith("| method")):
            method, accuracy, gain, recall = [value.strip() for value in line.strip("|").split("|")][:4]
            row = rows[(*key, method)]
            assert float(accuracy) == pytest.approx(100 * float(row["accuracy"]), abs=0.06)
            assert float(gain.partition(" ")[0]) == pytest.approx(100 * float(row["accuracy_gain"]), abs=0.06)
            assert float(recall) == pytest.approx(100 * float(row["uar"]), abs=0.06)
            shown += 1
    assert shown == len(rows)
