"""The picture of a confusion matrix is a readable PNG of the right cells."""

from __future__ import annotations

import io

import numpy as np
import pytest
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
