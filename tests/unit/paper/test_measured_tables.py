"""The paper's tables, figures and discussion of measured cells that a test writes."""

from __future__ import annotations

import csv
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from dcdan.benchmark.cells import CellRecord, write_cells
from dcdan.cli.main import run as dcdan
from dcdan.core.errors import DataError
from dcdan.metrics.several_methods import holm
from dcdan.paper.figures import discussion, figures_of, most_confused
from dcdan.paper.measured_tables import measured_tables, overall_ranking, paper_cells
from dcdan.paper.published import OURS, table
from dcdan.paper.sections import probability

TARGETS = ("RAF-DB", "AffectNet", "ExpW", "SFEW 2.0", "JAFFE")
ROWS = ("Source-only", "SCN", OURS)
CLASSES = ["surprise", "fear", "anger"]


def report(row: str, target: str, seed: int, trunk: str = "mobilenetv2_100", source: str = "FERPlus") -> dict[str, Any]:
    """A report of 300 faces; every row and target has an accuracy of its own."""
    place, column = ROWS.index(row), TARGETS.index(target)
    right = 100 + 20 * place + 7 * column + 3 * seed + (place + 2) * column**2 // 3
    wrong = 300 - right
    confusion = [[right, wrong - 10, 10], [0, 0, 0], [0, 0, 0]]
    return {
        "kind": "target",
        "test": target,
        "source": source,
        "target": target,
        "trunk": trunk,
        "key": row.lower(),
        "row": row,
        "seed": seed,
        "images": 300,
        "accuracy": right / 300,
        "macro_f1": 0.5,
        "uar": 0.5,
        "ece": 0.1,
        "transductive": target == "JAFFE",
        "classes": CLASSES,
        "confusion": confusion,
    }


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder of results with three rows on five targets and two seeds."""
    folder = tmp_path / "some résults"
    cells = [
        CellRecord(
            f"{row}-{target}-{seed}".lower().replace(" ", "-"),
            (report(row, target, seed),),
            epochs=({"epoch": 0, "accuracy": 0.1}, {"epoch": 1, "accuracy": 0.99}) if row == OURS else None,
        )
        for row in ROWS
        for target in TARGETS
        for seed in (0, 1)
    ]
    folder.mkdir()
    write_cells(cells, folder / "cells.parquet")
    return folder


def of_seeds(row: str, target: str) -> list[float]:
    return [100 * report(row, target, seed)["accuracy"] for seed in (0, 1)]


def test_the_table_has_both_means_and_the_papers_rows(results: Path) -> None:
    accuracy, _ = measured_tables(paper_cells([results]))
    assert accuracy.title == "Table 2, measured: source FERPlus, MobileNet-V2"
    assert accuracy.header[1:6] == (*TARGETS[:4], "JAFFE (transductive)")
    rows = {row[0]: row for row in accuracy.rows}
    means = [statistics.mean(of_seeds("SCN", target)) for target in TARGETS]
    own = rows["SCN"]
    assert own[1] == f"{means[0]:.2f} ± {statistics.stdev(of_seeds('SCN', 'RAF-DB')):.2f}"
    assert own[6:9] == (f"{np.mean(means[1:]):.2f}", f"{np.mean(means):.2f}", f"{np.std(means, ddof=1):.2f}")
    low, high = stats.t.interval(0.95, 4, np.mean(means), stats.sem(means))
    assert own[9:] == (f"{low:.2f} to {high:.2f}", "2")
    claim = table(2).row("SCN")
    assert rows["SCN, as the paper prints it"][1:6] == tuple(f"{figure:.2f}" for figure in claim.figures)
    assert rows["SCN, as the paper prints it"][7] == "56.08"
    assert rows[OURS][1].endswith("(99.00)")
    assert "oracle" in accuracy.note
    assert "Transductive" in accuracy.note
    assert "RAN, as the paper prints it" in rows


def test_tests_are_paired_and_corrected(results: Path) -> None:
    tests = measured_tables(paper_cells([results]))[1]
    rows = {row[0]: row for row in tests.rows}
    means = {row: [statistics.mean(of_seeds(row, target)) for target in TARGETS] for row in ROWS}
    found = [stats.ttest_rel(means[OURS], means[other]) for other in ("Source-only", "SCN")]
    corrected = holm([one.pvalue for one in found])
    scn = rows["SCN"]
    assert scn[1] == f"{np.mean(np.subtract(means[OURS], means['SCN'])):+.2f}"
    assert scn[2] == f"{found[1].statistic:.3f}"
    assert scn[4] == probability(corrected[1])
    assert sum(float(value) for value in scn[7:]) == pytest.approx(1, abs=0.002)
    printed = {name: row for name, row in rows.items() if name.endswith("prints it")}
    assert len(printed) == 5
    assert printed["SCN, as the paper prints it"][2:4] == ("3.411", "0.027")
    assert float(printed["SCN, as the paper prints it"][4]) >= 0.027


def test_a_missing_column_is_a_dash(results: Path) -> None:
    cells = [cell for cell in paper_cells([results]) if cell.target != "ExpW"]
    accuracy = measured_tables(cells)[0]
    own = next(row for row in accuracy.rows if row[0] == "SCN")
    assert own[3] == own[6] == own[7] == "–"
    assert own[1] != "–"


def test_the_ranking_is_over_whole_columns(results: Path) -> None:
    cells = paper_cells([results])
    found = overall_ranking(cells)
    assert found is not None
    assert found[0] == ROWS
    assert found[1].blocks == 5
    assert found[1].ranks == (3.0, 2.0, 1.0)
    assert overall_ranking([cell for cell in cells if cell.row != "SCN"]) is None


def test_figures_and_discussion_come_from_the_cells(results: Path) -> None:
    cells = paper_cells([results])
    figures = figures_of(cells)
    assert {"figure-3.png", "figure-5-ferplus-mobilenet-v2.png", "critical-difference.png"} <= set(figures)
    assert all(png.startswith(b"\x89PNG") for png in figures.values())
    text = discussion(cells)
    right = sum(report(OURS, "RAF-DB", seed)["confusion"][0][0] for seed in (0, 1))
    assert f"From FERPlus to RAF-DB (MobileNet-V2) DCD-DAN classifies {100 * right / 600:.1f} %" in text
    assert f"The paper prints 91.72 %, a difference of {91.72 - 100 * right / 600:+.1f} points" in text
    assert "surprise is most often taken for fear" in text
    assert "In 5 of 5 columns surprise taken for fear" in text
    assert "said to show 8 categories of RAF-DB; measured here are 3" in text
    assert discussion(cells, "no such row") == ""
    assert most_confused(np.array([[0, 0], [3, 1]])) == (1, 0, 0.75)


def test_the_command_writes_all_forms(results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out put"
    assert dcdan(["paper", "--results", str(results), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out / "measured.md")
    text = (out / "measured.md").read_text(encoding="utf-8")
    assert "## Discussion" in text
    for name in ("table-2-measured-source-ferplus-mobilenet-v2", "table-2-measured-tests-over-the-targets"):
        rows = list(csv.reader((out / "tables" / f"{name}.csv").read_text(encoding="utf-8").splitlines()))
        assert len(rows) > 3
        assert "toprule" in (out / "tables" / f"{name}.tex").read_text(encoding="utf-8")
    for figure in (out / "figures").iterdir():
        assert f"](figures/{figure.name})" in text


def test_wrong_folders_are_answered_with_a_sentence(results: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"holds no cells\.parquet"):
        paper_cells([tmp_path / "empty"])
    assert dcdan(["paper", "--out", str(tmp_path / "out")]) == 2
    assert dcdan(["paper", "--results", str(tmp_path / "empty"), "--out", str(tmp_path / "out")]) == 3
    other = tmp_path / "other"
    other.mkdir()
    write_cells([CellRecord("a", (report("SCN", "JAFFE", 0, source="LFW expressions"),))], other / "cells.parquet")
    assert dcdan(["paper", "--results", str(other), "--out", str(tmp_path / "out")]) == 3
    assert not (tmp_path / "out").exists()
