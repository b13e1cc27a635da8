"""`dcdan predict` from arguments to table, file and exit code."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from dcdan.cli import predict as module
from dcdan.cli.app import run as dcdan
from dcdan.expressions import EXPRESSIONS
from tiny_model import coloured


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(4):
        Image.fromarray(coloured(index)).save(folder / f"{index}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    return folder


def test_a_folder_becomes_a_table_file(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tables" / "faces.csv"
    assert dcdan(["predict", str(pictures), "nix.png", "--model", str(run), "--out", str(out)]) == 0
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["ok"] * 4 + ["unreadable", "missing"]
    assert [row["expression"] for row in rows[:4]] == list(EXPRESSIONS[:4])
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "6 inputs, 4 faces recognised (4 ok, 1 unreadable, 1 missing)" in captured.err


def test_json_lines_go_to_the_standard_output(run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["predict", str(pictures), "--model", str(run), "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert [json.loads(line)["face"] for line in captured.out.splitlines()] == [0, 0, 0, 0, None]
    assert captured.err == ""


def test_json_lines_go_to_a_file(run: Path, pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "faces.jsonl"
    assert dcdan(["predict", str(pictures), "--model", str(run), "--json", "--out", str(out)]) == 0
    assert len(out.read_text().splitlines()) == 5


def test_the_table_is_shown_without_a_file(
    run: Path, pictures: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SHOWN_ROWS", 2)
    monkeypatch.setenv("NO_COLOR", "1")
    assert dcdan(["predict", str(pictures), "--model", str(run)]) == 0
    text = capsys.readouterr().out
    assert EXPRESSIONS[0] in text
    assert EXPRESSIONS[1] in text
    assert EXPRESSIONS[2] not in text
    assert "3 more rows" in text
    assert "\x1b[" not in text


def test_an_existing_file_is_kept_unless_forced(
    run: Path, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "faces.csv"
    out.write_text("mine")
    arguments = ["predict", str(pictures), "--model", str(run), "--out", str(out)]
    assert dcdan(arguments) == 6
    assert out.read_text() == "mine"
    assert "--force" in capsys.readouterr().err
    assert dcdan([*arguments, "--force"]) == 0
    assert out.read_text().startswith("path,face,status")


def test_nothing_readable_leaves_no_file(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "empty").mkdir()
    out = tmp_path / "faces.csv"
    assert dcdan(["predict", str(tmp_path / "empty"), "--model", str(run), "--out", str(out)]) == 3
    assert "is empty or holds no picture" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "run"]


def test_a_damaged_model_is_told(run: Path, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run / "model.onnx").write_bytes(b"cut")
    assert dcdan(["predict", str(pictures), "--model", str(run)]) == 5
    assert "checksum" in capsys.readouterr().err
