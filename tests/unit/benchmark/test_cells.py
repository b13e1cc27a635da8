"""Cells as one Parquet file: the same values and the same text come back, whatever a cell holds."""

from __future__ import annotations

import json
import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from dcdan.benchmark.cells import (
    COLUMNS,
    SCHEMA,
    Answers,
    CellRecord,
    holds_cells,
    read_cell,
    read_cells,
    read_folder,
    update_cells,
    write_cells,
    write_folder,
)
from dcdan.core.errors import DataError, OutputError


def report(test: str = "street", seed: int = 0, **changed: Any) -> dict[str, Any]:
    """A report as the benchmark writes it, with what is awkward in JSON: order of keys, floats, letters, null."""
    return {
        "kind": "target",
        "test": test,
        "key": "dcdan",
        "row": "DCD-DAN, ½ | «größer»",
        "seed": seed,
        "images": 5,
        "accuracy": 0.1 + 0.2,
        "macro_f1": 1e-17,
        "uar": 1.0,
        "ece": 0.0,
        "confusion": [[3, 0], [1, 1]],
        "per_class": {"sadness": {"recall": None}, "anger": {"recall": 0.5}},
        "provenance": {"model_sha256": "c0ffee"},
    } | changed


def answers(*tests: str, faces: int = 5, seed: int = 0) -> dict[str, Answers]:
    """Predictions on each test set."""
    rng = np.random.default_rng(seed)
    return {test: Answers(rng.random(faces) < 0.7, rng.random(faces, np.float32)) for test in tests}


def cell(name: str = "dcdan-0", seed: int = 0) -> CellRecord:
    """A cell with all parts: two reports, epochs, run and predictions."""
    epochs = tuple({"epoch": epoch, "scores": {"entropy": -0.1 * epoch, "dev": None}} for epoch in range(3))
    run = {"command": "dcdan benchmark x.toml", "settings": {"seed": seed, "lr": 3e-3}, "commit": "abc", "seconds": 1.0}
    return CellRecord(
        name, (report(seed=seed), report("studio", seed)), run, epochs, answers("street", "studio", seed=seed)
    )


def assert_same(found: CellRecord, expected: CellRecord) -> None:
    """Compare two cells value for value; JSON by its text, so that the order of keys and 1 against 1.0 count."""
    assert found.name == expected.name
    for name in ("reports", "run", "epochs"):
        assert json.dumps(getattr(found, name)) == json.dumps(getattr(expected, name))
    assert (found.answers is None) == (expected.answers is None)
    for test, (correct, confidence) in (expected.answers or {}).items():
        assert found.answers is not None
        assert list(found.answers) == list(expected.answers or {})
        assert found.answers[test].correct.dtype == np.bool_
        assert found.answers[test].confidence.dtype == np.float32
        assert found.answers[test].correct.tobytes() == correct.tobytes()
        assert found.answers[test].confidence.tobytes() == confidence.tobytes()


@pytest.mark.parametrize("nested", [False, True])
def test_files_become_a_table_and_the_same_files_again(tmp_path: Path, nested: bool) -> None:
    assert write_folder((cell(f"dcdan-{seed}", seed) for seed in range(3)), tmp_path / "a", nested=nested) == 3
    assert write_cells(read_folder(tmp_path / "a"), tmp_path / "cells.parquet") == 3
    write_folder(read_cells(tmp_path / "cells.parquet"), tmp_path / "b", nested=nested)
    first, second = (
        {path.relative_to(tmp_path / side): path for path in (tmp_path / side).rglob("*") if path.is_file()}
        for side in "ab"
    )
    assert first.keys() == second.keys()
    assert len(first) == 12
    for name, path in first.items():
        if path.suffix == ".json":
            assert path.read_bytes() == second[name].read_bytes()
        else:
            with np.load(path) as one, np.load(second[name]) as two:
                assert one.files == two.files
                assert all(np.array_equal(one[key], two[key]) and one[key].dtype == two[key].dtype for key in one.files)


@pytest.mark.parametrize("name", ["cross_domain", "weights_means"])
def test_the_committed_cells_survive_the_way_through_files(tmp_path: Path, name: str) -> None:
    file = Path(__file__).parents[3] / "docs" / "results" / name / "cells.parquet"
    write_folder(read_cells(file), tmp_path / "files")
    for found, expected in zip(read_folder(tmp_path / "files"), read_cells(file), strict=True):
        assert_same(found, expected)


def test_what_a_cell_lacks_stays_absent(tmp_path: Path) -> None:
    bare = CellRecord("old-0", ({"test": "street", "seed": 0, "row": "AdaBN"},))
    empty = CellRecord("a-1", (report(),), {}, (), answers("street", faces=0))
    write_cells([cell(), bare, empty], tmp_path / "c.parquet")
    for found, expected in zip(read_cells(tmp_path / "c.parquet"), (cell(), bare, empty), strict=True):
        assert_same(found, expected)
    found = list(read_cells(tmp_path / "c.parquet", answers=False))
    assert [each.answers for each in found] == [None, None, None]
    assert found[0].reports == cell().reports
    assert found[0].epochs == cell().epochs
    write_folder([bare], tmp_path / "files")
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["old-0.scores.json"]


def test_numbers_that_json_and_floats_find_hard(tmp_path: Path) -> None:
    values = np.array([0.0, -0.0, 1.0, np.nextafter(np.float32(1), np.float32(0)), 1e-45, np.nan, np.inf], np.float32)
    odd = {"street": Answers(np.ones(len(values), bool), values)}
    hard = CellRecord("hard", (report(accuracy=math.nan, ece=5e-324, loss=[math.inf, -0.0, 2**63]),), answers=odd)
    write_cells([hard], tmp_path / "c.parquet")
    (found,) = read_cells(tmp_path / "c.parquet")
    assert_same(found, hard)


def test_columns_for_queries_repeat_the_report(tmp_path: Path) -> None:
    write_cells([cell("a", 1), cell("b", 2)], tmp_path / "c.parquet")
    table = parquet.read_table(tmp_path / "c.parquet")
    assert table.column_names == list(COLUMNS)
    assert table["cell"].to_pylist() == ["a", "a", "b", "b"]
    assert table["position"].to_pylist() == [0, 1, 0, 1]
    for row in table.to_pylist():
        found = json.loads(row["report"])
        assert [row[name] for name in ("test", "seed", "row", "accuracy", "ece", "images")] == [
            found[name] for name in ("test", "seed", "row", "accuracy", "ece", "images")
        ]
        assert (row["model_sha256"], row["commit"], row["source"]) == ("c0ffee", "abc", None)
        assert len(row["correct"]) == len(row["confidence"]) == 5
    assert [row is None for row in table["run"].to_pylist()] == [False, True, False, True]


def test_cells_of_the_same_name_are_replaced_and_others_stay(tmp_path: Path) -> None:
    file = tmp_path / "new" / "c.parquet"
    assert update_cells([cell("a"), cell("b")], file) == 2
    assert update_cells([cell("b", 7), cell("c")], file) == 3
    found = list(read_cells(file))
    assert [each.name for each in found] == ["a", "b", "c"]
    assert_same(found[1], cell("b", 7))


def test_a_table_of_cells_is_known_by_its_metadata(tmp_path: Path) -> None:
    write_cells([cell()], tmp_path / "a.parquet")
    parquet.write_table(arrow.table({"cell": ["a"]}), tmp_path / "b.parquet")
    assert holds_cells(tmp_path / "a.parquet")
    assert not holds_cells(tmp_path / "b.parquet")
    (tmp_path / "c.parquet").write_bytes(b"PAR1 no")
    for name in ("c.parquet", "d.parquet"):
        with pytest.raises(DataError, match="no readable Parquet file"):
            holds_cells(tmp_path / name)


def test_a_cell_is_read_without_its_answers(tmp_path: Path) -> None:
    write_folder([cell("a")], tmp_path, nested=True)
    (tmp_path / "a" / "answers.npz").write_bytes(b"damaged")
    assert read_cell(tmp_path, "a", answers=False).answers is None
    with pytest.raises(DataError, match="cannot be read"):
        read_cell(tmp_path, "a")


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    write_cells([cell("a")], file)
    before = file.read_bytes()
    for wrong, message in (
        ([cell("a"), cell("a")], "comes twice"),
        ([CellRecord("x", ())], "no report"),
        ([CellRecord("x", (report(), report()))], "no report, or one without a test set of its own"),
        ([CellRecord("x", (report(),), answers=answers("other"))], "other test sets"),
        ([CellRecord("x", (report(seed="one"),))], "wrong type"),
        (
            [CellRecord("x", (report(),), answers={"street": Answers(np.ones(2, bool), np.ones(2))})],  # type: ignore[arg-type]
            "type float64",
        ),
    ):
        with pytest.raises(DataError, match=message):
            write_cells(wrong, file)
        assert file.read_bytes() == before
        assert [path.name for path in tmp_path.iterdir()] == ["c.parquet"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        write_cells([cell()], tmp_path / "file" / "c.parquet")


def test_what_is_no_table_of_cells_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "c.parquet"
    with pytest.raises(DataError, match="no readable table of cells"):
        list(read_cells(file))
    file.write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no readable table of cells"):
        list(read_cells(file))
    parquet.write_table(arrow.table({"cell": ["a"]}), file)
    with pytest.raises(DataError, match="no readable table of cells"):
        list(read_cells(file))
    write_cells([cell()], file)
    newer = parquet.read_table(file).replace_schema_metadata({"dcdan_cells": str(SCHEMA + 1)})
    parquet.write_table(newer, file)
    with pytest.raises(DataError, match="upgrade dcdan"):
        list(read_cells(file))


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "", "a\\b", "/x"])
def test_a_name_that_leaves_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="no file name"):
        write_folder([CellRecord(name, (report(),))], tmp_path / "out")
    assert not list(tmp_path.rglob("*.json"))


def test_folders_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        list(read_folder(tmp_path / "none"))
    (tmp_path / "a.run.json").write_text("{}")
    assert list(read_folder(tmp_path)) == []
    with pytest.raises(DataError, match="no finished cell"):
        read_cell(tmp_path, "a")
    (tmp_path / "a.scores.json").write_text("[{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        list(read_folder(tmp_path))
    (tmp_path / "a.scores.json").write_text("[]")
    (tmp_path / "a.answers.npz").write_bytes(b"PK no")
    with pytest.raises(DataError, match=r"a\.answers\.npz' cannot be read"):
        list(read_folder(tmp_path))


def test_memory_does_not_grow_with_the_number_of_cells(tmp_path: Path) -> None:
    def many(count: int) -> Iterator[CellRecord]:
        for number in range(count):
            yield CellRecord(f"c{number}", (report(),), {}, None, answers("street", faces=2000, seed=number))

    def peak(count: int) -> int:
        tracemalloc.start()
        arrow_before = arrow.total_allocated_bytes()
        write_cells(many(count), tmp_path / "c.parquet")
        seen = sum(len(each.reports) for each in read_cells(tmp_path / "c.parquet"))
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert seen == count
        assert arrow.total_allocated_bytes() - arrow_before < 1 << 20
        return found

    peak(1)  # what is imported once
    assert peak(900) < 1.5 * peak(200)
