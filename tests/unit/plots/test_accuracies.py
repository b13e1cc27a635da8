"""The picture of accuracies: what is drawn where, and what is refused."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from dcdan.plots.accuracies import COLOURS, accuracies_png

SEES = {"Source-only": "no", "AdaBN": "statistics", "DCD-DAN": "images"}


def pixels(png: bytes) -> np.ndarray:
    with Image.open(BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"), np.int16)


def dots(png: bytes, sees: str) -> np.ndarray:
    """Where the colour of a dot is within the axes, which hold no text: rows and columns, pixels."""
    wanted = np.array([int(COLOURS[sees][i : i + 2], 16) for i in (1, 3, 5)])
    found = np.argwhere(np.abs(pixels(png) - wanted).max(2) < 24)
    return found[(found[:, 0] > 78) & (found[:, 0] < 146) & (found[:, 1] > 95)]


def test_methods_lie_from_above_and_accuracy_grows_to_the_right() -> None:
    png = accuracies_png({"LFW": {"DCD-DAN": [0.9] * 3, "AdaBN": [0.5] * 3, "Source-only": [0.7] * 3}}, SEES)
    first, second, third = (dots(png, sees).mean(0) for sees in ("no", "statistics", "images"))
    assert first[0] < second[0] < third[0]
    assert second[1] < first[1] < third[1]


def test_a_method_may_be_missing_and_panels_wrap() -> None:
    one = pixels(accuracies_png({"a": {"AdaBN": [0.5]}}, SEES))
    five = pixels(accuracies_png({name: {"AdaBN": [0.5]} for name in "abcde"}, SEES))
    assert five.shape[0] == pytest.approx(2 * one.shape[0], abs=2)
    assert five.shape[1] == one.shape[1]
    assert not len(dots(accuracies_png({"a": {"AdaBN": [0.5]}}, SEES), "images"))


def test_the_same_figures_give_the_same_bytes() -> None:
    panels = {"a": {"AdaBN": [0.5, 0.6]}}
    assert accuracies_png(panels, SEES) == accuracies_png(panels, SEES)


def test_nothing_to_draw_is_refused() -> None:
    for panels, sees in (({}, SEES), ({"a": {}}, {})):
        with pytest.raises(ValueError, match="cannot be drawn"):
            accuracies_png(panels, sees)
    with pytest.raises(KeyError):
        accuracies_png({"a": {"SCN": [0.5]}}, SEES)
