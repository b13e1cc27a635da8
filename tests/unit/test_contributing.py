"""The worked examples of CONTRIBUTING.md, run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dcdan.corruptions.shifts import SHIFTS
from dcdan.datasets import registry
from dcdan.datasets.spec import open_reader, parse_spec
from dcdan.faces.extract import Extractor
from dcdan.images.status import Status
from dcdan.inference.table import FaceResult
from dcdan.methods import base

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
EXAMPLES = dict(re.findall(r"```python (\w+)\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))


def made(name: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": f"example_{name}"}
    exec(EXAMPLES[name], names)
    return names


def test_each_kind_has_an_example() -> None:
    assert set(EXAMPLES) == {"dataset", "method", "detector", "trunk", "corruption", "column"}


def test_a_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.readers()
    for found in [value for value in vars(registry).values() if isinstance(value, dict) and "folder" in value]:
        monkeypatch.setitem(found, "pairs", None)
    made("dataset")
    for name in ("happiness-1.png", "sadness-1.png", "joy-1.png"):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / name)
    reader = open_reader(parse_spec(f"pairs:{tmp_path}"))
    assert [(sample.path, sample.label) for sample in reader.samples()] == [
        ("happiness-1.png", 0),
        ("sadness-1.png", 1),
    ]
    assert reader.skipped == {"no expression in its name": 1}


def test_a_method(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from toy_batch import toy

    base.methods()
    monkeypatch.setitem(base._registry, "entropy", None)  # type: ignore[arg-type]
    method = made("method")["Entropy"]
    example = toy(method)
    with torch.no_grad():
        batch = example.batch()
        losses = example.method.losses(batch, 0.5)
    shares = batch.target.logits.fused.softmax(1)
    expected = -sum(float(p * p.log()) for row in shares for p in row) / len(shares)
    assert float(losses["entropy"]) == pytest.approx(0.1 * expected, rel=1e-5)
    assert base.methods()["entropy"] is method


def test_a_detector() -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    (faces,) = Extractor(32, detector=made("detector")["CentreDetector"]()).extract([picture])
    assert [face.pixels.shape for face in faces] == [(32, 32, 3)]
    np.testing.assert_allclose(faces[0].box, [20, 20, 60, 60])


def test_a_trunk() -> None:
    import torch

    network = made("trunk")["network"].eval()
    with torch.no_grad():
        assert network(torch.zeros(2, 3, 64, 64)).logits.fused.shape == (2, 8)


def test_a_corruption() -> None:
    recipe = made("corruption")["recipe"]
    faces = np.full((1, 4, 4, 3), 100, np.uint8)
    assert recipe.apply(faces, recipe.strengths[4], None).tolist() == np.full((1, 4, 4, 3), 50).tolist()
    assert all(len(each.strengths) == 5 for each in SHIFTS.values())


def test_a_column() -> None:
    column = made("column")["column"]
    assert column.cell(FaceResult("a.png", 0, Status.OK, box=(10, 20, 30, 25))) == "100.0"
    assert column.cell(FaceResult("a.png", None, Status.NO_FACE)) == ""
