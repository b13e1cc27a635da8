"""Figures of the models of the package: card, README and results page are recomputed from the raw values."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dcdan.core.atomic_io import sha256
from dcdan.inference.model_card import read_model_info
from dcdan.inference.resolver import WEIGHTS, bundled_models
from dcdan.metrics.intervals import wilson

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results" / "base_model"


def raw(name: str) -> dict[str, Any]:
    """Return the raw values of a model."""
    found: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def scores(report: dict[str, Any]) -> tuple[float, float, int]:
    """Return accuracy, mean recall and number of faces from the confusion matrix alone."""
    confusion = np.array(report["confusion"])
    present = confusion.sum(1) > 0
    recall = confusion.diagonal()[present] / confusion.sum(1)[present]
    return confusion.trace() / confusion.sum(), float(recall.mean()), int(confusion.sum())


def rows(page: str) -> dict[str, list[str]]:
    """Return the rows of all tables of a page by their first cell."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in cells}


@pytest.mark.parametrize("name", bundled_models())
def test_the_raw_values_are_of_the_weights_in_the_package(name: str) -> None:
    info = read_model_info(WEIGHTS / name)
    assert raw(name)["weights"] == info.files["model.safetensors"] == sha256(WEIGHTS / name / "model.safetensors")
    assert raw(name)["commit"]


@pytest.mark.parametrize("name", bundled_models())
def test_the_card_states_what_the_confusion_matrices_say(name: str) -> None:
    """Accuracy, its interval, mean recall of every test in fp32, and accuracy in int8."""
    found = rows((WEIGHTS / name / "README.md").read_text(encoding="utf-8"))
    for test, pair in raw(name)["tests"].items():
        accuracy, recall, faces = scores(pair["fp32"])
        low, high = wilson(round(accuracy * faces), faces)
        cells = found[test]
        assert cells[:3] == [str(faces), f"{100 * accuracy:.1f}", f"{100 * low:.1f} to {100 * high:.1f}"]
        assert cells[4] == f"{recall:.3f}"
        assert cells[6] == f"{100 * scores(pair['int8'])[0]:.1f}"


def test_the_results_page_states_what_the_confusion_matrices_say() -> None:
    """Each cell is accuracy / mean recall / calibration error; the means are over the four known shifts."""
    page = (RESULTS / "README.md").read_text(encoding="utf-8")
    found = rows(page)
    names = found["test"]
    for column, name in enumerate(names):
        tests = raw(name)["tests"]
        for test, pair in tests.items():
            accuracy, recall, _ = scores(pair["fp32"])
            assert found[test][column] == f"{100 * accuracy:.1f} / {recall:.3f} / {pair['fp32']['ece']:.3f}"
        for severity in (3, 5):
            shifted = [
                scores(tests[f"FERPlus, {kind} {severity}"]["fp32"])
                for kind in ("blur", "noise", "low light", "occlusion")
            ]
            cell = found[f"mean of four shifts, severity {severity}"][column]
            assert cell.startswith(
                f"{100 * np.mean([a for a, _, _ in shifted]):.1f} / {np.mean([u for _, u, _ in shifted]):.3f}"
            )


def test_the_readme_states_what_the_results_page_states() -> None:
    """The table of the README is a part of that of the results page."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = rows(readme[readme.index("## The models of the package") :])
    for test in ("FERPlus (majority)", "LFW expressions"):
        for name, cells in zip(("base", "small"), (table[f"{test}, base"], table[f"{test}, small"]), strict=True):
            accuracy, recall, _ = scores(raw(name)["tests"][test]["fp32"])
            assert cells[0] == f"{100 * accuracy:.1f}"
            assert cells[2] == f"{recall:.3f}"


def test_no_model_is_larger_than_it_may_be() -> None:
    """25 MB a file, 40 MB in all; the small model's int8 graph 3.5 MB."""
    sizes = {path: path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()}
    assert max(sizes.values()) <= 25e6
    assert sum(sizes.values()) <= 40e6
    assert (WEIGHTS / "small" / "model-int8.onnx").stat().st_size <= 3.5e6
    assert re.fullmatch("base\\n?", (WEIGHTS / "default").read_text())
