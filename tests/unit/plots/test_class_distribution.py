"""Class distributions: bars as high as the counts and shares say."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from dcdan.plots.class_distribution import counts_png, shares_png

COUNTS = {"train": {"fear": 30, "anger": 10, "": 5}, "test": {"fear": 6, "anger": 4}}


@pytest.fixture
def bars(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[float], list[float]]]:
    """Return label, heights and bottoms of every series of bars that is drawn."""
    drawn: list[tuple[str, list[float], list[float]]] = []
    real = Axes.bar

    def bar(self: Axes, x: Any, height: Any, *args: Any, bottom: Any = 0, **options: Any) -> Any:
        heights = np.asarray(height, float)
        drawn.append((options["label"], heights.tolist(), (np.zeros_like(heights) + bottom).tolist()))
        return real(self, x, height, *args, bottom=bottom, **options)

    monkeypatch.setattr(Axes, "bar", bar)
    return drawn


def test_splits_stand_upon_each_other(bars: list[tuple[str, list[float], list[float]]]) -> None:
    picture = Image.open(BytesIO(counts_png(COUNTS, title="Set")))
    assert picture.format == "PNG"
    assert bars == [("train (40)", [30, 10], [0, 0]), ("test (10)", [6, 4], [30, 10])]


def test_shares_are_of_the_labelled_images_of_each_set(bars: list[tuple[str, list[float], list[float]]]) -> None:
    sets = {"one": {"fear": 30, "anger": 10}, "two": {"anger": 3, "contempt": 1}}
    shares_png(sets, ("fear", "anger", "contempt"))
    assert [(label, heights) for label, heights, _ in bars] == [("one (40)", [75, 25, 0]), ("two (4)", [0, 75, 25])]


def test_many_sets_and_classes_fit() -> None:
    classes = tuple(f"class {number}" for number in range(11))
    sets = {f"a set with a long name {number}": dict.fromkeys(classes, number + 1) for number in range(7)}
    width, height = Image.open(BytesIO(shares_png(sets, classes))).size
    assert width > 2000 > height


def test_nothing_labelled_is_refused() -> None:
    for counts in ({}, {"train": {"": 3}}, {"train": {"fear": 0}}):
        with pytest.raises(ValueError, match="no image has a label"):
            counts_png(counts, title="Set")
    with pytest.raises(ValueError, match="without labelled images"):
        shares_png({"one": {"fear": 1}, "two": {"fear": 0}}, ("fear",))
