"""Scores by group on packs with a known gap, and corrections that are measured on other faces."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from dcdan.core.errors import DataError, UsageError
from dcdan.evaluation.evaluate import evaluate
from dcdan.evaluation.groups import check_columns, column_of, measured, mitigations
from dcdan.inference.recogniser import load
from dcdan.packs.build import pack_for
from tiny_model import coloured, write_run

CLASSES = ("surprise", "fear", "disgust", "happiness")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_run(tmp_path / "model", size=32, align="none")


def manifest(folder: Path, wrong: dict[str, int], each: int) -> str:
    """Write a manifest with ``each`` pictures a group, of which ``wrong`` have the colour of another class."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["path,label,group.camera,group.alike"]
    for group, errors in wrong.items():
        for number in range(each):
            label = number % len(CLASSES)
            shown = (label + 1) % len(CLASSES) if number < errors else label
            name = f"{group}-{number}.png"
            side = 40 + number
            cv2.imwrite(str(folder / name), coloured(shown, side)[:, :, ::-1])
            lines.append(f"{name},{CLASSES[label]},{group},same")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    return f"manifest:{folder / 'faces.csv'}?faces=crops"


def test_a_group_that_is_worse_is_named(model: Path, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", {"door": 4, "lift": 28, "yard": 2}, 60)
    report = evaluate(model, data, by=["group.camera", "size"], cache=tmp_path / "cache", progress=False)
    camera, size = report.by
    assert [(each.name, each.faces) for each in camera.scores] == [("door", 60), ("lift", 60), ("yard", 60)]
    assert camera.gap is not None
    assert (camera.gap.best, camera.gap.worst) == ("yard", "lift")
    assert camera.gap.gap == pytest.approx(26 / 60)
    assert camera.found
    assert camera.worst is not None
    assert np.trace(camera.worst.confusion) == 32
    assert "'lift' and 'yard'" in camera.sentence()
    assert camera.p_corrected == pytest.approx(min(1, 2 * camera.gap.p_value))  # two columns
    assert size.column == "size"
    assert len(size.scores) == 4
    content = json.loads(json.dumps(report.to_dict()))
    assert content["by"][0]["gap"]["worst"] == "lift"
    assert content["by"][0]["worst_confusion"] == camera.worst.confusion.tolist()


def test_columns_that_are_alike_small_or_unknown_get_a_sentence(model: Path, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", {"door": 2, "lift": 2}, 20)
    report = evaluate(model, data, by=["alike", "camera"], cache=tmp_path / "cache", progress=False)
    assert report.by[0].gap is None
    assert "nothing to compare, because 1 of 1 groups has 30 faces" in report.by[0].sentence()
    assert "0 of 2 groups have 30 faces" in report.by[1].sentence()
    assert all(each.few for each in report.by[1].scores)
    with pytest.raises(UsageError, match=r"Unknown column of groups 'camra'\. Did you mean 'camera'"):
        evaluate(model, data, by=["camra"], cache=tmp_path / "cache", progress=False)


def test_a_column_without_a_value_is_refused(model: Path, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", {"door": 2}, 8)
    with pytest.raises(DataError, match="No scored face has a value in the column 'yaw'"):
        evaluate(model, data, by=["yaw"], cache=tmp_path / "cache", progress=False)


def test_measured_columns_are_those_of_the_pictures(tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", {"door": 0}, 12)
    pack = pack_for(data, 32, align="none", cache=tmp_path / "cache", progress=False)
    rows = np.arange(12)
    assert measured(pack, "size", rows).tolist() == [40.0 + number for number in range(12)]
    assert measured(pack, "brightness", rows) == pytest.approx([pack.faces[row].mean() for row in rows])
    assert column_of(pack, "camera", rows)[1] == ("door",)


def test_column_names_are_resolved_once() -> None:
    assert check_columns(["group.size", "size"], ["size"]) == ["size"]
    assert check_columns(["group.film"], ["group.film"]) == ["group.film"]


def test_offsets_mend_a_biased_group_on_faces_they_have_not_seen() -> None:
    """One group's probabilities lean to class 0: the offsets undo it, and the reported half is the other one."""
    rng = np.random.default_rng(0)
    count = 1200
    labels = rng.integers(0, 3, count)
    groups = np.where(np.arange(count) % 2 == 0, "plain", "biased")
    z = rng.normal(0, 1, (count, 3))
    z[np.arange(count), labels] += 2.0
    z[groups == "biased", 0] += 2.5
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    fitted = rng.random(count) < 0.5
    offsets, thresholds = mitigations(labels, p, p.argmax(1), p.max(1), groups, fitted)
    test = ~fitted
    before = {name: (p.argmax(1) == labels)[test & (groups == name)].mean() for name in ("plain", "biased")}
    assert offsets.faces == test.sum()
    assert offsets.by_group["biased"][0] == pytest.approx(before["biased"])
    assert offsets.gap[0] == pytest.approx(abs(before["plain"] - before["biased"]))
    assert offsets.gap[1] < 0.6 * offsets.gap[0]
    assert offsets.accuracy[1] > offsets.accuracy[0] + 0.03
    assert offsets.values["biased"][0] < -1
    assert thresholds.answered[0] == pytest.approx(0.8, abs=0.05)
    assert thresholds.gap[1] < thresholds.gap[0]
    assert thresholds.values["biased"][0] > thresholds.values["plain"][0]


def test_too_few_faces_are_not_corrected() -> None:
    labels = np.zeros(80, int)
    p = np.tile([0.9, 0.1], (80, 1))
    groups = np.repeat(["a", "b"], 40)
    assert mitigations(labels, p, p.argmax(1), p.max(1), groups, np.arange(80) % 2 == 0) == ()


def test_without_by_the_report_is_as_before(model: Path, tmp_path: Path) -> None:
    data = manifest(tmp_path / "data", {"door": 2}, 8)
    recogniser = load(model, align="none")
    assert "by" not in evaluate(recogniser, data, cache=tmp_path / "cache", progress=False).to_dict()
