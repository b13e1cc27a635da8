"""`dcdan data`: what its commands print and write, their exit codes, and what they do not import."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dcdan.cli.main import run
from dcdan.datasets.registry import readers
from drawn_data import write_classes, write_ferplus
from imported_modules import HEAVY, imported_by
from textured import texture, write


def data(*arguments: object) -> int:
    return run(["data", *map(str, arguments)])


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Six pictures in two classes; two of them are the same."""
    for number, place in enumerate(("happy/0", "happy/1", "happy/2", "sad/3", "sad/4")):
        write(tmp_path / "in" / f"{place}.png", texture(number))
    write(tmp_path / "in" / "sad" / "5.png", texture(1))
    return tmp_path / "in"


def test_the_list_has_every_reader(capsys: pytest.CaptureFixture[str]) -> None:
    assert data("list", "--json") == 0
    listed = json.loads(capsys.readouterr().out)
    assert [entry["reader"] for entry in listed] == list(readers())
    assert data("list") == 0
    text = capsys.readouterr().out
    assert all(name in text for name in readers())


@pytest.mark.parametrize("arguments", [["data"], ["data", "--help"], ["data", "check", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code, names = imported_by(arguments)
    assert code == 0
    assert names.isdisjoint({*HEAVY, "onnxruntime", "cv2", "numpy"})


def test_listing_and_checking_import_nothing_heavy(folders: Path) -> None:
    for arguments in (["data", "list"], ["data", "check", str(folders)]):
        code, names = imported_by(arguments)
        assert code == 0
        assert names.isdisjoint(HEAVY)


def test_a_check_prints_its_findings_and_ends_well(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folders / "sad" / "4.png").write_bytes(b"")
    out = folders.parent / "pairs.csv"
    assert data("check", folders, "--out", out) == 0
    text = capsys.readouterr().out
    assert "empty: sad/4.png" in text
    assert "within" in text
    with out.open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["path"], row["other_path"], row["kind"]) == ("happy/1.png", "sad/5.png", "exact")
    assert data("check", folders, "--out", out) == 6
    assert "--force" in capsys.readouterr().err
    assert data("check", folders, "--out", out, "--force", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["duplicates"][0]["conflicting"] is True
    assert found["failures"] == [{"path": "sad/4.png", "split": "", "label": "sadness", "status": "empty"}]


def test_against_another_set(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(folders.parent / "other" / "x.png", texture(3))
    assert data("check", folders, "--against", folders.parent / "other", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(pair["path"], pair["other_path"]) for pair in found["leaks"]] == [("sad/3.png", "x.png")]
    assert data("check", folders, "--against", folders, "--quick") == 2


def test_strict_ends_with_code_3_only_when_something_is_wrong(
    folders: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data("check", folders, "--strict") == 0  # a duplicate is no fault
    capsys.readouterr()
    (folders / "sad" / "4.png").write_bytes(b"no picture")
    assert data("check", folders) == 0
    assert data("check", folders, "--strict", "--quick") == 0
    capsys.readouterr()
    assert data("check", folders, "--strict") == 3
    printed = capsys.readouterr()
    assert "not_an_image: sad/4.png" in printed.out
    assert printed.err == f"dcdan: '{folders}' is not complete: 1 pictures missing or unreadable.\n"


def test_strict_holds_counts_against_the_published_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_ferplus(tmp_path / "FERPlus", [("Training", "fer0000000.png", [9, 0, 0, 0, 0, 0, 0, 0, 0, 0])])
    assert data("check", f"ferplus:{root}", "--quick") == 0
    assert "-25,059" in capsys.readouterr().out
    assert data("check", f"ferplus:{root}", "--quick", "--strict") == 3
    assert "counts other than published (train, validation, test)" in capsys.readouterr().err


def test_show_prints_the_paths_that_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_classes(tmp_path / "in", {"happy": 2, "sad": 1})
    assert data("show", root, "synthetic:studio?n=14&size=32", "--out", tmp_path / "out", "--per-class", 2) == 0
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert {path.name for path in paths} == {path.name for path in (tmp_path / "out").iterdir()}
    assert {"in-faces.png", "studio-classes.png", "distribution.png", "counts.csv"} < {path.name for path in paths}
    assert data("show", root, "--out", tmp_path / "out") == 6


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["chek"], 2, "Did you mean 'check'"),
        (["check"], 2, "Missing"),
        (["check", "nowhere"], 3, "no folder"),
        (["check", "ferpluss:x"], 2, "Did you mean 'ferplus'"),
        (["check", "x", "--distance", "99"], 2, "--distance"),
        (["show", "x"], 2, "--out"),
    ],
)
def test_mistakes_end_in_one_sentence(
    arguments: list[str], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert data(*arguments) == code
    printed = capsys.readouterr()
    assert told in printed.err
    assert printed.err.count("\n") == 1
    assert printed.out == ""
