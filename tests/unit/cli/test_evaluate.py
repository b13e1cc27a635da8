"""`dcdan evaluate` from arguments to files and exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from dcdan.cli.evaluate import folder_name
from dcdan.cli.main import run as dcdan
from tiny_model import coloured


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes that the model gets right, and one picture that it gets wrong."""
    monkeypatch.setenv("DCDAN_CACHE", str(tmp_path / "cache"))
    for name, colours in (("surprise", [0, 0]), ("fear", [1, 0])):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        for number, colour in enumerate(colours):
            Image.fromarray(coloured(colour)).save(folder / f"{number}.png")
    return tmp_path / "data"


def test_table_picture_and_report_are_written(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["evaluate", "--model", str(run), "--data", str(data)]) == 0
    text = capsys.readouterr().out
    assert "75.00 %" in text
    assert "UAR" in text
    folder = run / "evaluation-data"
    assert (folder / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((folder / "evaluation.json").read_text())["accuracy"] == 0.75


def test_json_is_the_report(run: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "report"
    arguments = ["evaluate", "--model", str(run), "--data", str(data), "--out", str(out), "--json", "--quiet"]
    assert dcdan(arguments) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((out / "evaluation.json").read_text())
    assert captured.err == ""
    assert dcdan(arguments) == 6
    assert "exists already" in capsys.readouterr().err
    assert dcdan([*arguments, "--force"]) == 0


def test_data_without_labels_end_with_a_sentence(run: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dcdan(["evaluate", "--model", str(run), "--data", f"folder:{data}"]) == 3
    assert "has no labels" in capsys.readouterr().err
    assert not list(run.glob("evaluation*"))


@pytest.mark.parametrize(
    ("data", "split", "name"),
    [
        ("ferplus:/data/FERPlus?votes=majority", "test", "ferplus-test"),
        ("synthetic:street?n=2000", "all", "synthetic-street"),
        ("packs/lfw/", "all", "lfw"),
        ("packs/lfw?split=test", "test", "lfw-test"),
        ("../..", "all", "data"),
    ],
)
def test_folders_are_named_after_the_data(data: str, split: str, name: str) -> None:
    assert folder_name(data, split) == name
