"""Scores of a classifier, computed from counts with NumPy alone.

All functions take a confusion matrix, or labels and predictions as class indices in ``[0, K)``. A class without samples
has no recall. It is left out of the means, as in scikit-learn's balanced accuracy, and does not count as zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

ConfusionMatrix = NDArray[np.int64]
Floats = NDArray[np.float64]


class ClassScores(NamedTuple):
    """Scores of each class.

    Attributes:
        precision: ``(K,) float64``, 0..1.
        recall: ``(K,) float64``, 0..1; NaN where ``support`` is 0.
        f1: ``(K,) float64``, 0..1; NaN where ``support`` is 0.
        support: ``(K,) int64``, number of samples.
    """

    precision: Floats
    recall: Floats
    f1: Floats
    support: ConfusionMatrix


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, classes: int) -> ConfusionMatrix:
    """Count the pairs of true and predicted class.

    Args:
        labels: ``(N,)``, true class indices in ``[0, classes)``.
        predictions: ``(N,)``, predicted class indices in ``[0, classes)``.
        classes: number of classes K.

    Returns:
        ``(K, K) int64``; row = true class, column = predicted class.

    Raises:
        ValueError: the lengths differ, or an index is out of range.

    Example:
        >>> confusion_matrix([0, 0, 1], [0, 1, 1], 2).tolist()
        [[1, 1], [0, 1]]
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
    """Return the share of correct predictions.

    Args:
        confusion: ``(K, K)`` counts of :func:`confusion_matrix`.

    Returns:
        0..1; NaN without samples.

    Example:
        >>> accuracy(np.array([[3, 1], [0, 4]]))
        0.875
    """
    total = int(confusion.sum())
    return float(np.trace(confusion)) / total if total else float("nan")


def majority_share(confusion: ConfusionMatrix) -> float:
    """Return the share of the commonest true class: the accuracy of the answer that is always this class.

    Args:
        confusion: ``(K, K)`` counts of :func:`confusion_matrix`.

    Returns:
        0..1; NaN without samples.

    Example:
        >>> majority_share(np.array([[3, 1], [0, 6]]))
        0.6
    """
    total = int(confusion.sum())
    return float(confusion.sum(axis=1).max()) / total if total else float("nan")


def chance_accuracy(confusion: ConfusionMatrix) -> float:
    """Return the accuracy to expect of answers drawn uniformly from the K classes that can be predicted.

    Args:
        confusion: ``(K, K)`` counts of :func:`confusion_matrix`.

    Returns:
        ``1 / K``.

    Example:
        >>> chance_accuracy(np.zeros((4, 4), int))
        0.25
    """
    return 1.0 / len(confusion)


def class_scores(confusion: ConfusionMatrix) -> ClassScores:
    """Return precision, recall, F1 and support of each class.

    Args:
        confusion: ``(K, K)`` counts of :func:`confusion_matrix`.

    Returns:
        Four vectors ``(K,)``, scores in 0..1. A class that is never predicted has precision 0; a class without samples
        has recall and F1 NaN.

    Example:
        >>> scores = class_scores(np.array([[3, 1], [0, 4]]))
        >>> scores.recall.tolist(), scores.precision.tolist(), scores.support.tolist()
        ([0.75, 1.0], [1.0, 0.8], [4, 4])
    """
    hits = np.diagonal(confusion).astype(np.float64)
    support = confusion.sum(axis=1)
    predicted = confusion.sum(axis=0)
    precision = hits / np.maximum(predicted, 1)
    recall = np.where(support > 0, hits / np.maximum(support, 1), np.nan)
    f1 = np.where(support > 0, 2.0 * hits / np.maximum(support + predicted, 1), np.nan)
    return ClassScores(precision, recall, f1, support.astype(np.int64))


def mean_of_present(values: Floats) -> float:
    """Return the mean of a vector over the classes that have a value.

    Args:
        values: ``(K,)``, NaN for a class without a value.

    Returns:
        The mean; NaN when no class has a value.

    Example:
        >>> mean_of_present(np.array([0.5, np.nan, 1.0]))
        0.75
    """
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")


def macro_f1(confusion: ConfusionMatrix) -> float:
    """Return the mean F1 of the classes with samples.

    Args:
        confusion: ``(K, K)`` counts of :func:`confusion_matrix`.

    Returns:
        0..1; NaN without samples.

    Example:
        >>> round(macro_f1(np.array([[3, 1], [0, 4]])), 4)
        0.873
    """
    return mean_of_present(class_scores(confusion).f1)


def unweighted_average_recall(confusion: ConfusionMatrix) -> float:
    """Return the mean recall of the classes with samples (UAR, balanced accuracy).

    Args:
        confusion: ``(K, K)`` counts of :func:`confusion_matrix`.

    Returns:
        0..1; NaN without samples.

    Example:
        >>> unweighted_average_recall(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
        0.875
    """
    return mean_of_present(class_scores(confusion).recall)
