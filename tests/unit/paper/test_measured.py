"""Reading results folders, in both layouts, and what is held against the paper."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dcdan.benchmark.cells import holds_cells, read_cells, write_folder
from dcdan.core.errors import DataError
from dcdan.metrics.intervals import wilson
from dcdan.paper.measured import data_set_of, read_results
from dcdan.paper.sections import sections
from dcdan.paper.study import study

CELLS = Path(__file__).parents[3] / "docs" / "results" / "weights_means" / "cells.parquet"


def write_cell(scores: Path, seed: int, accuracy: float, *, row: str = "DCD-DAN", **changed: Any) -> None:
    """Write a cell that learnt from FERPlus, adapted to RAF-DB and was tested there, with a ResNet-50."""
    metadata = {
        "spec": "rafdb:data/basic",
        "data": "packs/raf",
        "faces": "f00d",
        "trunk": "resnet50",
        "source": "ferplus:data/FERPlus",
    } | changed
    scores.parent.mkdir(parents=True, exist_ok=True)
    score = {
        "row": row,
        "test": "RAF-DB test",
        "seed": seed,
        "data": metadata["data"],
        "split": "test",
        "images": 3068,
        "accuracy": accuracy,
        "provenance": {"faces_sha256": metadata["faces"]},
    }
    run = {
        "settings": {"seed": seed, "size": 112, "network": {"trunk": metadata["trunk"]}},
        "source": {"spec": metadata["source"], "sha256": {"faces.npy": "beef"}},
        "target": {"spec": metadata["spec"], "sha256": {"faces.npy": "f00d"}},
    }
    scores.write_text(json.dumps([score]))
    scores.with_name(scores.name.removesuffix("scores.json") + "run.json").write_text(json.dumps(run))


@pytest.mark.parametrize(
    "names", [("dcdan-0/scores.json", "dcdan-1/scores.json"), ("a-0.scores.json", "a-1.scores.json")]
)
def test_a_row_is_the_mean_over_its_seeds(tmp_path: Path, names: tuple[str, str]) -> None:
    for seed, (name, accuracy) in enumerate(zip(names, (0.7, 0.8), strict=True)):
        write_cell(tmp_path / name, seed, accuracy)
    (row,) = read_results([tmp_path])
    assert (row.folder, row.row, row.seeds, row.images, row.size) == (str(tmp_path), "DCD-DAN", (0, 1), 3068, 112)
    assert (row.source, row.target, row.tested, row.trunk) == ("FERPlus", "RAF-DB", "RAF-DB", "ResNet-50")
    assert row.accuracy == pytest.approx(0.75)
    assert row.sd == pytest.approx(statistics.stdev([0.7, 0.8]))
    assert row.interval == wilson(2301, 3068)


def test_a_score_that_lies_there_twice_counts_once(tmp_path: Path) -> None:
    write_cell(tmp_path / "dcdan-0" / "scores.json", 0, 0.7)
    write_cell(tmp_path / "dcdan-0.scores.json", 0, 0.7)
    assert [row.seeds for row in read_results([tmp_path, tmp_path])] == [(0,)]
    assert read_results([tmp_path])[0].sd is None


def test_other_settings_are_another_row(tmp_path: Path) -> None:
    write_cell(tmp_path / "a" / "scores.json", 0, 0.7)
    write_cell(tmp_path / "b" / "scores.json", 0, 0.8, trunk="mobilenetv2_100")
    write_cell(tmp_path / "c" / "scores.json", 0, 0.6, trunk="mobilenetv2_050")
    assert [row.trunk for row in read_results([tmp_path])] == ["ResNet-50", "MobileNet-V2", "mobilenetv2_050"]


def test_measured_rows_stand_beside_the_paper_where_all_matches(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.7, 0.72)):
        write_cell(tmp_path / f"dcdan-{seed}" / "scores.json", seed, accuracy)
        write_cell(tmp_path / f"scn-{seed}" / "scores.json", seed, accuracy, row="scn")
        write_cell(tmp_path / f"adabn-{seed}" / "scores.json", seed, accuracy, row="AdaBN")
    write_cell(tmp_path / "small" / "scores.json", 0, 0.7, trunk="mobilenetv2_050")
    write_cell(tmp_path / "lfw" / "scores.json", 0, 0.7, spec="lfw_expressions:data/lfw")
    write_cell(tmp_path / "same" / "scores.json", 0, 0.7, source="rafdb:data/basic")
    write_cell(tmp_path / "shifted" / "scores.json", 0, 0.7, data="packs/raf?shift=blur&severity=3")
    write_cell(tmp_path / "source" / "scores.json", 0, 0.7, data="packs/ferplus", faces="beef")
    found = study(measured=read_results([tmp_path]))
    assert [(one.table, one.target, one.measured.row, one.same, one.ours) for one in found.beside] == [
        (1, "RAF-DB", "AdaBN", None, 93.18),
        (1, "RAF-DB", "DCD-DAN", 93.18, 93.18),
        (1, "RAF-DB", "scn", 71.44, 93.18),
    ]
    assert [one.against_interval for one in found.beside] == ["", "above", "within"]
    assert not study(2, read_results([tmp_path])).beside
    text = sections(found)[-1].markdown()
    low, high = wilson(round(0.71 * 3068), 3068)
    assert "### Table 1 and measured: FERPlus to RAF-DB, ResNet-50" in text
    assert f"| DCD-DAN | test | 71.00 | 1.4 | {100 * low:.2f} to {100 * high:.2f} | 2 | 3,068 | 93.18 | above |" in text
    assert "| the paper's DCD-DAN | – | – | – | – | – | – | 93.18 | – |" in text
    assert "Nothing measured" not in text


def test_a_plans_names_serve_where_specs_do_not(tmp_path: Path) -> None:
    write_cell(tmp_path / "a" / "scores.json", 0, 0.7, spec="manifest:raf.csv", source="manifest:plus.csv")
    path = tmp_path / "a" / "scores.json"
    (score,) = json.loads(path.read_text())
    path.write_text(json.dumps([score | {"source": "FERPlus", "target": "RAF-DB"}]))
    (row,) = read_results([tmp_path])
    assert (row.source, row.target, row.tested) == ("FERPlus", "RAF-DB", "RAF-DB")


def test_the_committed_results_are_read_and_match_nothing() -> None:
    rows = read_results([CELLS.parent])
    on_lfw = {row.row: row for row in rows if row.test == "LFW expressions"}
    assert f"{100 * on_lfw['+ votes as soft labels'].accuracy:.1f}" == "77.9"
    assert on_lfw["+ votes as soft labels"].seeds == (0,)
    found = study(measured=rows)
    assert found.beside == ()
    text = sections(found)[-1].markdown()
    assert "Nothing measured has a source, a target and a trunk of these tables." in text
    assert "FERPlus to lfw_expressions:data/facial_expressions, MobileNet-V2, 48 px" in text
    assert "| + votes as soft labels | LFW expressions | test | 77.92 | one seed | 76.16 to 79.58 | 1 | 2,260 |" in text


def test_cells_as_parquet_and_as_files_are_the_same_rows(tmp_path: Path) -> None:
    write_folder(read_cells(CELLS), tmp_path)
    from_files, from_table = read_results([tmp_path]), read_results([CELLS.parent])
    assert {replace(row, folder="") for row in from_files} == {replace(row, folder="") for row in from_table}
    assert len(from_files) == len(from_table) > 10
    assert {row.folder for row in from_table} == {str(CELLS.parent)}
    both = read_results([CELLS.parent, tmp_path])
    assert {row.folder for row in both} == {str(CELLS.parent)}


def test_all_committed_results_are_found_and_other_tables_left_out() -> None:
    folder = CELLS.parents[1]
    others = [file.parent.name for file in folder.glob("*/cells.parquet") if not holds_cells(file)]
    assert others
    rows = read_results([folder])
    assert {Path(row.folder).name for row in rows} == {"cross_domain", "weights_means"}
    dcdan = [row for row in rows if row.row == "DCD-DAN" and row.test == row.target == "LFW expressions"]
    assert all(row.seeds == (0, 1, 2) for row in dcdan)
    for name in others:
        with pytest.raises(DataError, match=r"holds no cells\.parquet or scores\.json"):
            read_results([folder / name])


def test_a_damaged_parquet_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cells.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match="no readable Parquet file"):
        read_results([tmp_path])


def test_without_run_json_a_row_matches_nothing(tmp_path: Path) -> None:
    write_cell(tmp_path / "a" / "scores.json", 0, 0.7)
    (tmp_path / "a" / "run.json").unlink()
    rows = read_results([tmp_path])
    assert (rows[0].source, rows[0].trunk, rows[0].size) == ("?", "?", None)
    assert study(measured=rows).beside == ()


def test_what_is_no_results_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no folder"):
        read_results([tmp_path / "nix"])
    with pytest.raises(DataError, match=r"holds no cells\.parquet or scores\.json"):
        read_results([tmp_path])
    (tmp_path / "scores.json").write_text("[{")
    with pytest.raises(DataError, match="cannot be read as JSON"):
        read_results([tmp_path])
    for content in ('[{"row": "x"}]', '["x"]', "[[]]", "7", "null"):
        (tmp_path / "scores.json").write_text(content)
        with pytest.raises(DataError, match="no list of scores"):
            read_results([tmp_path])


def test_two_scores_of_one_seed_are_refused(tmp_path: Path) -> None:
    write_cell(tmp_path / "a-0.scores.json", 0, 0.7)
    write_cell(tmp_path / "b-0.scores.json", 0, 0.8)
    with pytest.raises(DataError, match="two different scores of 'DCD-DAN' at seed 0"):
        read_results([tmp_path])


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("raf_db:x?split=test",), "RAF-DB"),
        (("sfew:x",), "SFEW 2.0"),
        (("packs/a", "SFEW 2.0"), "SFEW 2.0"),
        (("rafdb:x?shift=blur", "RAF-DB"), None),
        (("packs/ferplus64",), None),
        (("lfw_expressions:x",), None),
        ((), None),
    ],
)
def test_data_sets_are_known_by_reader_or_name(names: tuple[str, ...], found: str | None) -> None:
    assert data_set_of(*names) == found
