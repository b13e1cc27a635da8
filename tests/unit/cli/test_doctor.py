"""`dcdan doctor` and `dcdan models`: what a bug report holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dcdan.cli.main import run as dcdan
from dcdan.inference import resolver
from dcdan.inference.diagnosis import check_recognition
from tiny_model import write_run


def test_doctor_reports_as_text_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    """U, issue 18 point 8. Versions, extras, devices, cache, models with checksums, and a self-test."""
    assert dcdan(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["self_test"]["ok"]
    assert found["self_test"]["expression"] == "happiness"
    assert found["problems"] == []
    assert "cpu" in found["devices"]
    assert found["packages"]["numpy"]
    assert found["extras"]["train"] == []
    (model,) = [each for each in found["models"] if each["default"]]
    assert len(model["files"]["model.onnx"]) == 64
    assert dcdan(["doctor"]) == 0
    text = capsys.readouterr().out
    assert model["files"]["model.onnx"] in text
    assert "self-test  happiness" in text


def test_a_damaged_model_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_run(tmp_path / "weights" / "colours")
    (folder / "model.onnx").write_bytes((folder / "model.onnx").read_bytes()[:-1] + b"x")
    monkeypatch.setattr(resolver, "WEIGHTS", tmp_path / "weights")
    assert dcdan(["doctor"]) == 1
    captured = capsys.readouterr()
    assert "The model colours is damaged: model.onnx differs from the checksum in model.json" in captured.err
    assert "self-test  failed" in captured.out
    assert dcdan(["models"]) == 0
    assert "colours (default): model.onnx differs from the checksum in model.json" in capsys.readouterr().out


def test_a_model_that_answers_nothing_useful_fails_the_self_test(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(resolver, "WEIGHTS", tmp_path / "weights")
    found = check_recognition()
    assert not found["ok"]
    assert "comes without a trained model" in found["error"]


def test_models_lists_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    """The licence of the weights is part of the list (U15)."""
    assert dcdan(["models", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in entries] == resolver.bundled_models()
    assert sum(entry["default"] for entry in entries) == 1
    assert all(entry["licence"] for entry in entries)
    assert dcdan(["models"]) == 0
    assert "licence: " in capsys.readouterr().out
