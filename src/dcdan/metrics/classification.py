"""Scores of a classifier, computed from counts with numpy alone.

All functions take a confusion matrix, or labels and predictions as class indices in ``[0, K)``. Classes without a
sample have no recall, so they are left out of the means (as in scikit-learn's balanced accuracy) instead of counting
as zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ConfusionMatrix = NDArray[np.int64]
Floats = NDArray[np.float64]


class ClassScores(NamedTuple):
    """Scores per class, each of shape (K,); ``recall`` and ``f1`` are NaN where ``support`` is zero."""

    precision: Floats
    recall: Floats
    f1: Floats
    support: ConfusionMatrix


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> ConfusionMatrix:
    """Count the pairs of label and prediction.

    Args:
        labels: (N,) true class indices in ``[0, classes)``.
        predictions: (N,) predicted class indices in ``[0, classes)``.
        classes: number of classes K.

    Returns:
        (K, K) int64; row = true class, column = predicted class.

    Raises:
        ValueError: when the lengths differ or an index is out of range.
    """
    true = np.asarray(labels, dtype=np.int64)
    predicted = np.asarray(predictions, dtype=np.int64)
    if true.shape != predicted.shape or true.ndim != 1:
        raise ValueError(f"labels {true.shape} and predictions {predicted.shape} must be vectors of one length")
    for name, values in (("label", true), ("prediction", predicted)):
        if values.size and not (values.min() >= 0 and values.max() < classes):
            raise ValueError(f"a {name} lies outside 0..{classes - 1}")
    counts = np.bincount(true * classes + predicted, minlength=classes * classes)
    return counts.reshape(classes, classes).astype(np.int64)


def accuracy(confusion: ConfusionMatrix) -> float:
    """Share of samples on the diagonal of a (K, K) confusion matrix, 0..1; NaN without samples."""
    total = int(confusion.sum())
    return float(np.trace(confusion)) / total if total else float("nan")


def class_scores(confusion: ConfusionMatrix) -> ClassScores:
    """Return precision, recall, F1 and support of each class of a (K, K) confusion matrix, 0..1.

    A class that is never predicted has precision 0; a class without samples has recall and F1 NaN.
    """
    hits = np.diagonal(confusion).astype(np.float64)
    support = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    precision = hits / np.maximum(predicted, 1)
    recall = np.where(support > 0, hits / np.maximum(support, 1), np.nan)
    f1 = np.where(support > 0, 2.0 * hits / np.maximum(support + predicted, 1), np.nan)
    return ClassScores(precision, recall, f1, support.astype(np.int64))


def mean_of_present(values: Floats) -> float:
    """Mean of a (K,) vector over the classes that have a value; NaN when none has."""
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def macro_f1(confusion: ConfusionMatrix) -> float:
    """Mean F1 over the classes with samples, 0..1."""
    return mean_of_present(class_scores(confusion).f1)


def unweighted_average_recall(confusion: ConfusionMatrix) -> float:
    """Mean recall over the classes with samples (UAR, balanced accuracy), 0..1."""
    return mean_of_present(class_scores(confusion).recall)
