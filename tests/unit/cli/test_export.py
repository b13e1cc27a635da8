"""`dcdan export` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import dcdan.export.export as module
from dcdan.cli.main import run as program
from dcdan.inference.resolver import bundled_models
from tiny_model import write_run


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TIMED", {1: 1, 32: 1})


def test_a_table_or_json_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    assert program(["export", str(run), "--out", str(tmp_path / "a"), "--no-int8"]) == 0
    assert "ms a face" in capsys.readouterr().out
    assert program(["export", str(run), "--out", str(tmp_path / "b"), "--no-int8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["megabytes"]["fp32"] > 0


def test_what_stands_in_the_way_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run")
    assert program(["export", str(run), "--quiet"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "--faces" in told.err
    assert not (run / "export.json").exists()
    assert program(["export", str(tmp_path / "nix")]) == 5
    assert program(["export", str(run), "--out", str(tmp_path / "a"), "--no-int8", "-q"]) == 0
    assert program(["export", str(run), "--out", str(tmp_path / "a"), "--no-int8", "-q"]) == 6


def test_a_name_of_the_package_is_a_model_here_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """U8: `export NAME` was refused, though `predict --model NAME` worked."""
    name = bundled_models()[0]
    assert program(["export", name, "--no-int8", "--quiet"]) == 2
    assert "give a folder with --out" in capsys.readouterr().err
    assert program(["export", name, "--out", str(tmp_path / "out"), "--no-int8", "--quiet"]) == 0
    assert (tmp_path / "out" / "model.onnx").is_file()
