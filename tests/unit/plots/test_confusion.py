"""The picture of a confusion matrix is a readable PNG of the right cells."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from PIL import Image

from dcdan.plots.confusion import confusion_png, row_percentages


def test_rows_are_percentages_and_empty_rows_have_none() -> None:
    shares = row_percentages(np.array([[3, 1, 0], [0, 0, 0], [0, 2, 2]]))
    assert shares[0].tolist() == [75.0, 25.0, 0.0]
    assert np.isnan(shares[1]).all()
    assert shares[2].tolist() == [0.0, 50.0, 50.0]


def test_diagonal_is_dark_where_predictions_are_right() -> None:
    names = ["fear", "anger", "neutral"]
    right = _pixels(confusion_png(np.diag([50, 60, 70]), names))
    wrong = _pixels(confusion_png(np.array([[0, 50, 0], [0, 0, 60], [70, 0, 0]]), names))
    assert right.shape == wrong.shape
    assert min(right.shape[:2]) > 500
    # Two off-diagonal cells a row are white in both; the dark cell has moved.
    assert np.abs(right.astype(int) - wrong).max() > 100


def test_a_class_without_samples_is_drawn_without_a_warning() -> None:
    assert confusion_png(np.array([[1, 0], [0, 0]]), ["fear", "anger"], title="t", subtitle="s").startswith(b"\x89PNG")


def test_names_must_fit_the_matrix() -> None:
    with pytest.raises(ValueError, match="3 names"):
        confusion_png(np.eye(2, dtype=np.int64), ["a", "b", "c"])


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def test_numbers_stand_in_the_cells_of_their_label_and_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    """T: a transposed matrix would put the 25 % of the first label into the first column."""
    written: dict[tuple[int, int], list[str]] = {}
    real = Axes.text

    def text(self: Axes, x: float, y: float, words: str, **options: Any) -> Any:
        written.setdefault((round(y), round(x)), []).append(words)
        return real(self, x, y, words, **options)

    monkeypatch.setattr(Axes, "text", text)
    shown: list[np.ndarray] = []
    image = Axes.imshow
    monkeypatch.setattr(Axes, "imshow", lambda self, data, **o: shown.append(data) or image(self, data, **o))
    confusion_png(np.array([[3, 1], [0, 4]]), ["fear", "anger"])
    assert written[0, 1] == ["25%", "1"] or written[0, 1] == ["25.0%", "1"]
    assert written[1, 0] == ["0%", "0"]
    assert written[1, 1] == ["100%", "4"]
    assert shown[0].tolist() == [[75.0, 25.0], [0.0, 100.0]]
