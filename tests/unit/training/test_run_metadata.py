"""What run.json and model.json say."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from dcdan.training import run_metadata
from dcdan.training.calibration import Calibrated
from dcdan.training.run_metadata import model_description, versions
from tiny_training import tiny


def test_a_package_installed_under_another_name_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_metadata, "PACKAGES", ("numpy", "no-such-package"))
    found = versions()
    assert found.keys() == {"python", "numpy", "no-such-package"}
    assert found["no-such-package"] == ""
    assert found["numpy"]


def side(alignment: str) -> dict[str, Any]:
    return {"alignment": alignment, "spec": f"of {alignment}", "licence": "research only"}


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [("none", "none", "none"), ("mtcnn", "none", "mtcnn"), ("none", "mtcnn", "mtcnn"), ("mtcnn", "mtcnn", "mtcnn")],
)
def test_a_model_aligns_as_its_faces_were_aligned(tmp_path: Path, source: str, target: str, expected: str) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "model.onnx").write_bytes(b"graph")
    about = {"source": side(source), "target": side(target)}
    found = model_description(tmp_path, tiny(), ("fear", "neutral"), [0.5, 0.25000004], about, Calibrated())
    assert found.face.align == expected
    assert found.files["model.onnx"] == hashlib.sha256(b"graph").hexdigest()
    assert found.files["model.safetensors"] == hashlib.sha256(b"weights").hexdigest()
    assert found.thresholds == (0.5, 0.25)
    assert found.name == tmp_path.name
    assert "research only" in found.licence
