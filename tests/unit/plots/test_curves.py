"""Curves: numbers are found in logs, and there is a picture exactly when there is something to show."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from dcdan.core.limits import read_log
from dcdan.plots.curves import curves_png, losses_in, series

SOURCE: list[dict[str, Any]] = [
    {"kind": "precision", "step": 0, "time": 0.0, "chosen": "fp32"},
    {"kind": "source", "step": 20, "time": 1.0, "cls": 1.9, "lr": 0.1, "rate": 80.0, "wait": 0.0},
    {"kind": "source", "step": 40, "time": 2.0, "cls": 1.2, "lr": 0.0, "rate": 80.0, "wait": 0.0},
    {"kind": "source-epoch", "step": 40, "time": 2.0, "epoch": 1, "source_validation": 0.7},
]
ADAPTATION: list[dict[str, Any]] = [
    {"kind": "adaptation", "step": 20, "time": 3.0, "cls": 1.0, "adv_g": 0.14, "pl": 0.2, "lr": 0.1, "rate": 9.0},
    {
        "kind": "adaptation-epoch",
        "step": 20,
        "time": 3.0,
        "source_validation": 0.8,
        "entropy": 0.9,
        "diversity": 1.8,
        "confidence": 0.7,
        "counted": 0.4,
        "threshold_min": 0.5,
        "threshold_max": 0.8,
    },
]


def log(folder: Path, records: list[dict[str, Any]], name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def panels(png: bytes | None) -> tuple[int, int]:
    """Return the size of a picture in panels."""
    assert png is not None
    width, height = Image.open(BytesIO(png)).size
    return round(width / (4.9 * 130)), round(height / (3.0 * 130))


def test_numbers_are_found_by_kind_and_name(tmp_path: Path) -> None:
    records = read_log(log(tmp_path, SOURCE + ADAPTATION))
    assert series(records, "source", "cls") == ([20, 40], [1.9, 1.2])
    assert series(records, "source-epoch", "source_validation") == ([40], [0.7])
    assert series(records, "source", "counted") == ([], [])
    assert losses_in(records, "adaptation") == ["cls", "adv_g", "pl"]


def test_a_line_that_a_killed_run_began_is_dropped(tmp_path: Path) -> None:
    path = log(tmp_path, SOURCE)
    path.write_text(path.read_text() + '{"kind": "source", "st')
    assert read_log(path) == SOURCE


def test_only_panels_with_something_to_show_are_drawn(tmp_path: Path) -> None:
    source, whole = log(tmp_path, SOURCE, "source.jsonl"), log(tmp_path, SOURCE + ADAPTATION)
    assert panels(curves_png({"run": source})) == (2, 1)
    assert panels(curves_png({"run": whole})) == (2, 3)
    assert panels(curves_png({"run": whole}, columns=1)) == (1, 5)
    assert curves_png({"run": log(tmp_path, SOURCE[:1], "none.jsonl")}) is None


def test_stages_in_two_logs_make_the_same_panels_as_in_one(tmp_path: Path) -> None:
    logs = {"a": log(tmp_path, SOURCE, "a.jsonl"), "b": log(tmp_path, ADAPTATION, "b.jsonl")}
    assert panels(curves_png(logs)) == (2, 3)


def test_thresholds_and_discriminators_have_panels_with_a_line_for_each_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 19 point 1. Each class's threshold and accepted share, and the discriminators, are drawn over the steps."""
    epochs = [
        {"kind": "adaptation-epoch", "step": step, "time": 1.0, "epoch": step, "discriminator_global": 0.6,
         "discriminator_local": 0.7, "thresholds": [0.3, 0.2 + step / 10], "accepted": [0.1 * step, 0.9]}
        for step in (1, 2, 3)
    ]  # fmt: skip
    drawn: list[tuple[str, list[tuple[str, list[float]]]]] = []
    plain = FigureCanvasAgg.print_png

    def recorded(canvas: FigureCanvasAgg, *arguments: Any, **options: Any) -> None:
        for axes in canvas.figure.axes:
            lines = [(str(line.get_label()), list(map(float, line.get_ydata()))) for line in axes.lines]
            drawn.append((axes.get_title(loc="left"), lines))
        plain(canvas, *arguments, **options)

    monkeypatch.setattr(FigureCanvasAgg, "print_png", recorded)
    assert curves_png({"run": log(tmp_path, epochs)}, classes=("fear", "anger"))
    found = dict(drawn)
    thresholds = found["Pseudo-label threshold of each class"]
    assert [name for name, _ in thresholds] == ["fear", "anger"]
    assert thresholds[0][1] == [0.3, 0.3, 0.3]
    assert thresholds[1][1] == pytest.approx([0.3, 0.4, 0.5])
    assert found["Share of each class's pseudo-labels that count"][0] == ("fear", pytest.approx([0.1, 0.2, 0.3]))
    assert found["Accuracy of the discriminators"][:2] == [("global", [0.6] * 3), ("local", [0.7] * 3)]
