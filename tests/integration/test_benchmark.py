"""A whole, tiny benchmark from its file to its page: shared stages, failures, going on, figures against naive ones."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from dcdan.benchmark.cells import CELLS, holds_cells, read_cell, read_cells
from dcdan.benchmark.plan import cells_of, merged, read_plan, slug
from dcdan.benchmark.prepare import duration, prepared_cells
from dcdan.benchmark.revision import PlanContext
from dcdan.benchmark.runner import Queue, last_step, reason
from dcdan.benchmark.tables import ablation_table, accuracy_table, compare, done_cells, figures, reports_of
from dcdan.cli.main import run as dcdan
from dcdan.core.errors import UsageError
from dcdan.core.locks import LOCK, FolderBusyError, folder_lock, is_locked, try_lock
from dcdan.inference.model_card import read_model_info
from dcdan.metrics.significance import mcnemar
from tiny_training import SIZE, TRUNK

PLAN = f"""
title = "Tiny"
caption = "Drawn faces."
seeds = [0, 1]
trunks = ["{TRUNK}"]
reference = "adabn"

[settings]
size = {SIZE}
align = "none"
pretrained = "no"
precision = "fp32"
device = "cpu"
network = {{ width = 32, groups = 4 }}
source = {{ batch = 16, epochs = 2, lr = 0.02 }}
adaptation = {{ batch = 16, epochs = 1, lr = 0.005 }}

[[sources]]
name = "Studio"
data = "$STUDIO"

[[targets]]
name = "Street"
data = "$STREET"

[[also]]
name = "Studio test"
data = "$STUDIO"

[[methods]]
key = "source-only"
name = "Source-only"
settings = {{ method = "source_only" }}

[[methods]]
key = "adabn"
name = "AdaBN"
settings = {{ method = "adabn" }}

[[ablations]]
key = "no-attention"
name = "attention off"
settings = {{ method = "adabn", network = {{ attention = "off" }} }}
"""


@pytest.fixture(scope="module")
def plan_file(domains: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plan's file, with the packs in place."""
    file = tmp_path_factory.mktemp("plan") / "tiny.toml"
    file.write_text(PLAN.replace("$STUDIO", str(domains[0])).replace("$STREET", str(domains[1])))
    return file


@pytest.fixture(scope="module")
def finished(plan_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of the plan at one seed, through the command."""
    out = tmp_path_factory.mktemp("bench") / "runs"
    short = plan_file.with_name("one-seed.toml")
    short.write_text(plan_file.read_text().replace("seeds = [0, 1]", "seeds = [0]"))
    assert dcdan(["benchmark", str(short), "--out", str(out), "--jobs", "2", "--quiet"]) == 0
    return out


def test_cells_share_a_stage_when_nothing_before_it_differs(plan_file: Path) -> None:
    cells = list(cells_of(read_plan(plan_file)))
    assert len(cells) == len({cell.folder for cell in cells}) == 2 * 3
    stages = {(cell.entry.key, cell.seed): cell.stage.folder for cell in cells}
    assert stages["source-only", 0] == stages["adabn", 0]
    assert stages["adabn", 0] != stages["adabn", 1]
    assert stages["adabn", 0] != stages["no-attention", 0]
    other = list(cells_of(read_plan(plan_file), PlanContext({cells[0].target.data: ("fear", "anger")})))
    assert other[0].stage.folder != cells[0].stage.folder


def test_a_wrong_plan_is_answered_with_a_sentence(plan_file: Path, tmp_path: Path) -> None:
    text = plan_file.read_text()
    for old, new, words in (
        ('key = "adabn"', 'key = "source-only"', "stands twice"),
        ('reference = "adabn"', 'reference = "x"', "no key of a row"),
        ('method = "adabn" }', 'method = "adabm" }', "Did you mean 'adabn'"),
        ('key = "adabn"', 'key = "adabn"\ntargets = ["Mars"]', "'adabn' names a target 'Mars'"),
        ("seeds =", "seed =", "no setting 'seed'"),
        ("size =", "sice =", "no setting 'adabn: sice'|no setting 'source-only: sice'"),
        ("title", "[[", "cannot be read"),
    ):
        file = tmp_path / "wrong.toml"
        file.write_text(text.replace(old, new))
        with pytest.raises(UsageError, match=words):
            read_plan(file)


def test_a_row_may_run_on_some_targets_only(plan_file: Path) -> None:
    plan = read_plan(plan_file)
    second = plan.targets[0].model_copy(update={"name": "other"})
    rows = (plan.methods[0].model_copy(update={"targets": ("other",)}), *plan.methods[1:])
    cells = list(cells_of(plan.model_copy(update={"targets": (*plan.targets, second), "methods": rows})))
    seen = {key: {c.target.name for c in cells if c.entry.key == key} for key in ("source-only", "adabn")}
    assert seen == {"source-only": {"other"}, "adabn": {plan.targets[0].name, "other"}}


def test_rows_of_different_face_size_are_refused(plan_file: Path, tmp_path: Path) -> None:
    file = tmp_path / "sizes.toml"
    file.write_text(plan_file.read_text().replace('method = "adabn" }', 'method = "adabn", size = 48 }'))
    with pytest.raises(UsageError, match="differ in size"):
        prepared_cells(read_plan(file), progress=False)


def test_the_page_and_tables_hold_what_the_cells_scored(finished: Path) -> None:
    results = finished / "results"
    text = (results / "table.md").read_text()
    page = (finished / "report.html").read_text()
    for scores in finished.glob("*/scores.json"):
        assert set(read_model_info(scores.parent).files) == {"model.safetensors"}
        report = json.loads(scores.read_text())[0]
        assert f"{100 * report['accuracy']:.1f}" in text
        assert f"{100 * report['accuracy']:.1f}" in page
    assert "Not in these tables" not in text
    rows = list(csv.reader((finished / "tables" / f"studio-{slug(TRUNK)}.csv").read_text().splitlines()))
    assert [row[0] for row in rows] == ["method", "Source-only", "AdaBN"]
    assert [row[1] for row in rows] == ["sees target", "no", "statistics"]
    assert {path.name for path in results.iterdir()} == {"table.md", "plot.png", "cells.parquet"}
    assert "](plot.png)" in text
    assert len(list((finished / "figures").glob("confusion-*.png"))) == 1
    assert len(list((finished / "figures").glob("tsne-*.png"))) == 2
    found = list(read_cells(results / CELLS))
    assert {cell.name for cell in found} == {path.parent.name for path in finished.glob("*/scores.json")}
    for cell in found:
        assert cell.reports == tuple(json.loads((finished / cell.name / "scores.json").read_text()))
        assert cell.run == json.loads((finished / cell.name / "run.json").read_text())
        with np.load(finished / cell.name / "answers.npz") as arrays:
            assert cell.answers is not None
            assert np.array_equal(cell.answers["Street"].correct, arrays["Street/correct"])


def test_nothing_is_trained_twice_and_a_lost_cell_alone_is_made_again(plan_file: Path, finished: Path) -> None:
    short = plan_file.with_name("one-seed.toml")
    made = [*finished.glob("*/model.safetensors"), *finished.glob("source-*/checkpoints/source.safetensors")]
    before = {path: path.stat().st_mtime_ns for path in made}
    assert len(before) == 3 + 2
    lost = next(path.parent for path in before if "-adabn-" in path.parent.name)
    shutil.rmtree(lost)
    assert dcdan(["benchmark", str(short), "--out", str(finished), "--jobs", "1", "--quiet", "--no-tsne"]) == 0
    after = {path: path.stat().st_mtime_ns for path in before}
    assert {path for path in before if before[path] != after[path]} == {lost / "model.safetensors"}


def test_a_failed_cell_is_named_and_the_rest_goes_on(
    plan_file: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "runs"
    shutil.copytree(finished, out)
    broken = next(out.glob("*-adabn-0"))
    for path in broken.iterdir():
        if path.is_file():
            path.unlink()
    (broken / "something").touch()
    shutil.rmtree(next(out.glob("*-source-only-0")))
    file = plan_file.with_name("one-seed.toml")
    assert dcdan(["benchmark", str(file), "--out", str(out), "--jobs", "1", "--quiet", "--no-tsne"]) == 7
    assert "1 of 3 cells failed" in capsys.readouterr().err
    text = (out / "results" / "table.md").read_text()
    assert "AdaBN, seed 0:" in text
    assert "holds something else" in text
    assert next(out.glob("*-source-only-0")).joinpath("scores.json").exists()


def test_figures_are_means_over_seeds_and_mcnemar_is_of_the_same_faces(plan_file: Path, finished: Path) -> None:
    plan = read_plan(plan_file)
    cells = list(cells_of(plan))
    cells = prepared_cells(plan, progress=False)[0]
    scored = done_cells(cells, finished)
    assert {one.report["kind"] for one in scored} == {"target", "also"}
    own = reports_of(scored, "adabn", "Street", "Studio", TRUNK)
    assert len(own) == 1
    faked = [own[0], {**own[0], "accuracy": own[0]["accuracy"] + 0.1, "seed": 1}]
    found = figures(faked)
    assert found.accuracy == pytest.approx(own[0]["accuracy"] + 0.05)
    assert found.deviation == pytest.approx(np.std([0, 0.1], ddof=1))
    by_key = {cell.entry.key: cell for cell in cells if cell.seed == 0}
    correct = {}
    for key, cell in by_key.items():
        record = read_cell(finished, cell.folder)
        assert record.answers is not None
        correct[key] = record.answers["Street"].correct
        assert correct[key].mean() == pytest.approx(record.reports[0]["accuracy"], abs=1e-6)
    test = compare(scored, "adabn", "source-only", "Street", "Studio", TRUNK)
    assert test is not None
    assert test.p_value == mcnemar(correct["adabn"], correct["source-only"]).p_value
    assert test.seeds == 1


def test_a_results_folder_is_enough_to_go_on(plan_file: Path, finished: Path, tmp_path: Path) -> None:
    file = str(plan_file.with_name("one-seed.toml"))
    results = tmp_path / "results"
    results.mkdir()
    shutil.copy(finished / "results" / CELLS, results / CELLS)
    arguments = ["benchmark", file, "--out", str(tmp_path / "runs"), "--results", str(results), "--quiet", "--no-tsne"]
    assert dcdan(arguments) == 0
    assert not list((tmp_path / "runs").glob("source-*"))
    tables = [path.name for path in (finished / "tables").iterdir()]
    assert tables
    for name in tables:
        assert (tmp_path / "runs" / "tables" / name).read_text() == (finished / "tables" / name).read_text()
    assert {path.name for path in results.iterdir()} == {"table.md", "plot.png", "cells.parquet"}
    assert holds_cells(results / CELLS)
    for old, new in zip(read_cells(finished / "results" / CELLS), read_cells(results / CELLS), strict=True):
        assert (old.name, old.reports, old.run, old.epochs) == (new.name, new.reports, new.run, new.epochs)


def test_a_damaged_parquet_file_of_results_is_answered_with_a_sentence(
    plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / CELLS).write_bytes(b"PAR1 no")
    file = str(plan_file.with_name("one-seed.toml"))
    arguments = ["benchmark", file, "--out", str(tmp_path / "runs"), "--results", str(tmp_path), "--quiet", "--plan"]
    assert dcdan(arguments) == 3
    assert "no readable table of cells" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('settings = { method = "adabn" }', 'settings = { method = "adabn", adaptation = { epochs = 3 } }'),
        ('name = "Street"', 'name = "Street"\nsplit = "validation"'),
    ],
)
def test_cells_of_another_plan_are_refused(
    plan_file: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str
) -> None:
    """A row whose settings have changed since keeps its folder's name, but its figures are others."""
    text = plan_file.with_name("one-seed.toml").read_text()
    assert old in text
    changed = tmp_path / "changed.toml"
    changed.write_text(text.replace(old, new, 1))
    for place in (["--out", str(finished)], ["--out", str(tmp_path / "runs"), "--results", str(finished / "results")]):
        assert dcdan(["benchmark", str(changed), *place, "--plan"]) == 2
        assert "with other settings, data or start weights than the plan gives" in " ".join(
            capsys.readouterr().err.split()
        )
    assert not list((tmp_path / "runs").glob("*-adabn-*/scores.json"))


def test_where_the_data_lie_makes_no_other_plan(plan_file: Path, domains: tuple[Path, Path]) -> None:
    plan = read_plan(plan_file)
    moved = plan_file.with_name("moved.toml")
    moved.write_text(plan_file.read_text().replace(str(domains[1]), "elsewhere/street"))
    before, after = ([cell.digest for cell in cells_of(each)] for each in (plan, read_plan(moved)))
    assert before == after
    assert len(set(before)) == len(before)


def test_tables_say_what_is_missing_by_dashes_only(plan_file: Path, finished: Path) -> None:
    plan = read_plan(plan_file)
    assert accuracy_table(plan, [], "Studio", TRUNK).rows == ()
    cells = prepared_cells(plan, progress=False)[0]
    table = ablation_table(plan, done_cells(cells, finished), "Studio", TRUNK)
    assert table.rows[0][0] == "attention off"
    assert table.rows[0][1].endswith("(1)")


def test_a_cell_waits_for_its_stage_and_fails_with_it(plan_file: Path, tmp_path: Path) -> None:
    cells = list(cells_of(read_plan(plan_file)))
    queue = Queue(cells, tmp_path)
    first = [queue.next() for _ in range(4)]
    assert set(first) == {cell.stage.folder for cell in cells}
    assert queue.next() is None
    done, lost = cells[0].stage.folder, cells[-1].stage.folder
    (tmp_path / done / "checkpoints").mkdir(parents=True)
    (tmp_path / done / "checkpoints" / "source.safetensors").touch()
    queue.failed[lost] = "no memory"
    assert [queue.next(), queue.next()] == [cell.folder for cell in cells if cell.stage.folder == done]
    assert queue.next() is None
    failed = [cell.folder for cell in cells if cell.stage.folder == lost]
    assert [queue.failed[folder] for folder in failed] == ["its source stage failed: no memory"] * len(failed)
    assert queue.left() == len(cells) - len(failed)


def test_the_plan_alone_trains_nothing(plan_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["benchmark", str(plan_file), "--out", str(tmp_path / "runs"), "--plan", "--jobs", "3"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "source stages shared 4 0" in text
    assert "with 3 processes" in text
    assert not (tmp_path / "runs").exists()


def test_small_parts(tmp_path: Path) -> None:
    assert merged({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": 4}, "d": {"e": 5}}) == {
        "a": {"b": 4, "c": 2},
        "d": {"e": 5},
    }
    assert duration(59) == "1 min"
    assert "ended with code -9" in reason(tmp_path, -9)
    log = tmp_path / "log.jsonl"
    assert last_step(log) == (0, "")
    log.write_text('{"kind": "source", "step": 40, "rate": 81.6}\n{"kind": "source", "st')
    assert last_step(log) == (40, "source 82 faces/s")


MISSING = """
[[targets]]
name = "RAF-DB"
data = "rafdb:$NO_SUCH_ROOT"

[[targets]]
name = "Wrong"
data = "rafdb:$WRONG_ROOT"

[[also]]"""


@pytest.fixture
def with_missing(plan_file: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A plan of the finished cells and of two data sets that are not there, and its roots."""
    plan = tmp_path / "missing.toml"
    text = plan_file.read_text().replace("seeds = [0, 1]", "seeds = [0]")
    plan.write_text(text.replace("[[also]]", MISSING, 1))
    (tmp_path / "other set").mkdir()
    roots = tmp_path / "roots.toml"
    roots.write_text('WRONG_ROOT = "other set"\n')
    return plan, roots


def test_missing_data_cost_their_own_cells_only(
    with_missing: tuple[Path, Path], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, roots = with_missing
    out = tmp_path / "runs"
    shutil.copytree(finished, out)
    common = ["benchmark", str(plan), "--roots", str(roots), "--out", str(out), "--jobs", "1"]
    assert dcdan([*common, "--dry-run"]) == 0
    told = capsys.readouterr()
    assert "The data of 6 more cells are not there" in " ".join(told.out.split())
    assert "Missing: RAF-DB: $NO_SUCH_ROOT is not set, here or in --roots." in told.err
    assert "Missing: Wrong: " in told.err
    assert dcdan([*common, "--quiet", "--no-tsne"]) == 7
    assert "6 cells have not run, as their data cannot be read; Wrong" in " ".join(capsys.readouterr().err.split())
    text = (out / "results" / "table.md").read_text()
    assert "- RAF-DB: $NO_SUCH_ROOT is not set, here or in --roots." in text
    rows = list(csv.reader((out / "tables" / f"studio-{slug(TRUNK)}.csv").read_text().splitlines()))
    assert rows[0][2:5] == ["Street", "RAF-DB", "Wrong"]
    assert [row[3:5] for row in rows[1:]] == [["–", "–"]] * 2
    assert rows[1][2] != "–"


def test_a_plan_without_any_data_is_answered_with_a_sentence(
    with_missing: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan, roots = with_missing
    text = plan.read_text()
    start = text.index('name = "Studio"\ndata = "') + len('name = "Studio"\ndata = "')
    plan.write_text(text[:start] + "rafdb:$NO_SUCH_ROOT" + text[text.index('"', start) :])
    out = tmp_path / "runs"
    assert dcdan(["benchmark", str(plan), "--roots", str(roots), "--out", str(out)]) == 3
    assert "No pair of data sets of the plan is there; Studio: $NO_SUCH_ROOT" in " ".join(
        capsys.readouterr().err.split()
    )
    assert not out.exists()
    roots.write_text("WRONG_ROOT = 3\n")
    assert dcdan(["benchmark", str(plan), "--roots", str(roots), "--out", str(out)]) == 2


def test_a_cell_repeated_by_its_own_command_has_the_same_figures(
    plan_file: Path, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the last digit, from a new source stage too; other cells are not trained."""
    short = plan_file.with_name("one-seed.toml")
    cell = next(finished.glob("*-no-attention-0"))
    line = json.loads((cell / "run.json").read_text())["command"]
    assert line == f"dcdan benchmark {short} --out {finished} --only {cell.name}"
    assert line in (finished / "commands.txt").read_text().splitlines()
    out = tmp_path / "again"
    assert dcdan(["benchmark", str(short), "--out", str(out), "--only", cell.name, "--jobs", "1", "--no-tsne"]) == 0
    assert f"--only {cell.name}" in capsys.readouterr().err
    assert [path.parent.name for path in out.glob("*/scores.json")] == [cell.name]
    first, second = (json.loads((folder / cell.name / "scores.json").read_text()) for folder in (finished, out))
    for one, other in zip(first, second, strict=True):
        for name in ("accuracy", "macro_f1", "uar", "ece", "confusion"):
            assert one[name] == other[name]
    weights = [(folder / cell.name / "model.safetensors").read_bytes() for folder in (finished, out)]
    assert weights[0] == weights[1]
    assert dcdan(["benchmark", str(short), "--out", str(out), "--only", "no-such-cell"]) == 2


def test_a_cell_that_another_machine_trains_is_left_to_it(plan_file: Path, tmp_path: Path) -> None:
    """The lock is held by this process; the runner passes over the cell, and starts it when the lock is free."""
    out = tmp_path / "runs"
    lost = next(cell for cell in cells_of(read_plan(plan_file)) if cell.entry.key == "adabn")
    (out / lost.folder).mkdir(parents=True)
    queue = Queue([lost], out)
    stage = out / lost.stage.folder / "checkpoints"
    stage.mkdir(parents=True, exist_ok=True)
    (stage / "source.safetensors").touch()
    held = (out / lost.folder / LOCK).open("a+b")
    with held:
        assert try_lock(held)
        assert is_locked(out / lost.folder)
        assert queue.next() is None
        assert queue.busy
        with pytest.raises(FolderBusyError), folder_lock(out / lost.folder):
            pass
    assert not is_locked(out / lost.folder)
    assert queue.next() == lost.folder
    assert not queue.busy
