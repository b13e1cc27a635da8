"""Scores by group of faces: for whom a recogniser is less accurate, and whether that can be chance. NumPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcdan.metrics.calibration import expected_calibration_error
from dcdan.metrics.classification import ConfusionMatrix, class_scores, confusion_matrix, mean_of_present
from dcdan.metrics.intervals import Interval, wilson

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FEW = 30
"""Number of faces below which a group is listed but takes no part in the gap and its test."""
RESAMPLES = 2000
"""Draws of the bootstrap."""
PERMUTATIONS = 4999
"""Permutations of a test. The smallest possible p-value is 1 / 5000."""


class GroupScore(NamedTuple):
    """Scores of the faces of one group, 0..1.

    Attributes:
        name: value of the column.
        faces: number of scored faces.
        accuracy: share of correct answers.
        interval: 95 % Wilson interval of the accuracy.
        uar: mean recall of the classes that have faces in this group.
        uar_interval: 95 % bootstrap interval of it; see :func:`uar_interval`.
        calibration_error: expected calibration error over 15 bins. It is too high in small groups.
        few: whether the group has fewer than ``FEW`` faces.
        confusion: ``(K, K) int64``; row = label, column = prediction.
    """

    name: str
    faces: int
    accuracy: float
    interval: Interval
    uar: float
    uar_interval: Interval
    calibration_error: float
    few: bool
    confusion: ConfusionMatrix


class Gap(NamedTuple):
    """The largest difference in accuracy between two groups.

    Attributes:
        best: group with the highest accuracy.
        worst: group with the lowest accuracy.
        gap: difference of their accuracies, 0..1.
        interval: 95 % bootstrap interval of the difference of these two groups.
        p_value: probability of differences at least as large between all groups if the group made no difference.
    """

    best: str
    worst: str
    gap: float
    interval: Interval
    p_value: float


def score_groups(
    labels: ArrayLike,
    predictions: ArrayLike,
    confidence: ArrayLike,
    groups: Sequence[str] | NDArray[np.str_],
    classes: int,
    *,
    order: Sequence[str] | None = None,
    seed: int = 0,
) -> list[GroupScore]:
    """Score each group of faces.

    Args:
        labels: ``(N,)`` true class indices in ``[0, classes)``.
        predictions: ``(N,)`` predicted class indices.
        confidence: ``(N,)`` probability of each prediction, 0..1.
        groups: ``(N,)`` the group of each face; faces of the group ``""`` are left out.
        classes: number of classes K.
        order: names of the groups in the order of the result; None sorts them.
        seed: seed of the bootstrap.

    Returns:
        One entry for each group that has faces.

    Raises:
        ValueError: the lengths differ, or an index is out of range.

    Example:
        >>> found = score_groups([0, 1, 0, 1], [0, 1, 1, 1], [0.9] * 4, ["a", "a", "b", "b"], 2)
        >>> [(each.name, each.faces, each.accuracy) for each in found]
        [('a', 2, 1.0), ('b', 2, 0.5)]
    """
    truth, chosen = np.asarray(labels, np.int64), np.asarray(predictions, np.int64)
    sure, names = np.asarray(confidence, np.float64), np.asarray(groups, np.str_)
    if not len(truth) == len(chosen) == len(sure) == len(names):
        raise ValueError(
            f"{len(truth)} labels, {len(chosen)} predictions, {len(sure)} confidences, {len(names)} groups"
        )
    rng = np.random.default_rng(seed)
    scores = []
    for name in sorted(set(names.tolist())) if order is None else order:
        rows = names == name
        count = int(rows.sum())
        if not count or not name:
            continue
        confusion = confusion_matrix(truth[rows], chosen[rows], classes)
        hits = int(np.trace(confusion))
        scores.append(
            GroupScore(
                name=str(name),
                faces=count,
                accuracy=hits / count,
                interval=wilson(hits, count),
                uar=mean_of_present(class_scores(confusion).recall),
                uar_interval=uar_interval(confusion, rng),
                calibration_error=expected_calibration_error(sure[rows], truth[rows] == chosen[rows]),
                few=count < FEW,
                confusion=confusion,
            )
        )
    return scores


def uar_interval(confusion: ConfusionMatrix, rng: np.random.Generator, *, resamples: int = RESAMPLES) -> Interval:
    """Return a 95 % bootstrap interval of the UAR, with faces drawn with replacement within each class.

    The number of correct answers of a class in such a draw is binomial. Half an answer is added to each side of the
    counts (Jeffreys), because a class of three correct answers would have no spread otherwise.

    Args:
        confusion: ``(K, K)`` counts; row = true class, column = predicted class.
        rng: source of random numbers.
        resamples: number of draws.

    Returns:
        The interval; ``(0, 1)`` without faces.

    Example:
        >>> low, high = uar_interval(np.array([[80, 20], [10, 90]]), np.random.default_rng(0))
        >>> 0.79 < low < 0.82 and 0.88 < high < 0.91
        True
    """
    support = confusion.sum(axis=1)
    present = support > 0
    if not present.any():
        return Interval(0.0, 1.0)
    counts, hits = support[present], np.diagonal(confusion)[present]
    recall = (hits + 0.5) / (counts + 1.0)
    drawn = (rng.binomial(counts, recall, size=(resamples, len(counts))) / counts).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975]).tolist()
    centre = float((hits / counts).mean())
    return Interval(min(low, centre), max(high, centre))


def largest_gap(
    correct: ArrayLike,
    groups: Sequence[str] | NDArray[np.str_],
    *,
    least: int = FEW,
    permutations: int = PERMUTATIONS,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Gap | None:
    """Return the largest gap in accuracy between groups, its interval, and a permutation test of all groups.

    The test permutes the groups among the faces. Its statistic is Pearson's chi-squared of the correct answers by
    group, which weighs large and small groups properly. With the answers fixed, the number of correct answers of each
    group is then multivariate hypergeometric, from which it is drawn.

    Args:
        correct: ``(N,)`` whether each answer is correct.
        groups: ``(N,)`` the group of each face; faces of the group ``""`` are left out.
        least: groups with fewer faces are left out.
        permutations: number of permutations.
        resamples: draws of the bootstrap, which draws faces with replacement within each group.
        seed: seed of both.

    Returns:
        The gap; None where fewer than two groups are large enough.

    Raises:
        ValueError: the lengths differ.

    Example:
        >>> right = np.r_[np.arange(100) < 90, np.arange(100) < 60]
        >>> found = largest_gap(right, ["a"] * 100 + ["b"] * 100)
        >>> found.worst, round(found.gap, 2), found.p_value < 0.001
        ('b', 0.3, True)
    """
    right, names = np.asarray(correct, np.bool_), np.asarray(groups, np.str_)
    if right.shape != names.shape or right.ndim != 1:
        raise ValueError(f"{right.shape} answers and {names.shape} groups must be vectors of one length")
    known, numbers = np.unique(names, return_inverse=True)
    sizes, hits = np.bincount(numbers), np.bincount(numbers, weights=right).astype(np.int64)
    kept = (sizes >= max(least, 1)) & (known != "")
    if kept.sum() < 2:
        return None
    known, sizes, hits = known[kept], sizes[kept], hits[kept]
    rates = hits / sizes
    best, worst = int(rates.argmax()), int(rates.argmin())
    rng = np.random.default_rng(seed)
    drawn = [rng.binomial(sizes[each], rates[each], resamples) / sizes[each] for each in (best, worst)]
    low, high = np.quantile(drawn[0] - drawn[1], [0.025, 0.975]).tolist()
    p_value = _permutation_p(hits, sizes, rng, permutations)
    return Gap(str(known[best]), str(known[worst]), float(rates[best] - rates[worst]), Interval(low, high), p_value)


def _permutation_p(hits: Integers, sizes: Integers, rng: np.random.Generator, permutations: int) -> float:
    """Return the p-value of Pearson's chi-squared of ``hits`` by group, with the groups permuted among the faces."""
    total, count = int(hits.sum()), int(sizes.sum())
    if total in (0, count):
        return 1.0
    drawn = rng.multivariate_hypergeometric(sizes, total, size=permutations)
    # The marginals are fixed, so chi-squared is this sum up to a constant factor.
    expected = total * sizes / count

    def statistic(counts: NDArray[np.int64]) -> Floats:
        return np.asarray(((counts - expected) ** 2 / sizes).sum(axis=-1), np.float64)

    at_least = int((statistic(drawn) >= float(statistic(hits)) * (1 - 1e-12)).sum())
    return (1 + at_least) / (1 + permutations)


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values for several tests (Holm, Scandinavian Journal of Statistics 1979).

    Args:
        p_values: N p-values; NaN stands for a test that was not made.

    Returns:
        N corrected p-values, never smaller than given, at most 1. Rejecting those below alpha makes at least one
        false rejection with a probability of at most alpha.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    made = [index for index, p in enumerate(p_values) if not math.isnan(p)]
    corrected = [math.nan] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(made, key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(made) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def quartiles(values: ArrayLike, digits: int = 0) -> tuple[NDArray[np.str_], tuple[str, ...]]:
    """Divide faces into four groups of about equal size by a measured value.

    Args:
        values: ``(N,)`` numbers; NaN where there is none.
        digits: decimal places in the names of the groups.

    Returns:
        ``(N,)`` names such as ``"20 to 35"``, ``""`` for NaN, and the names in ascending order. Equal values are never
        divided, so there are fewer groups where many values are equal.

    Example:
        >>> names, order = quartiles([1, 2, 3, 4, 5, 6, 7, 8])
        >>> order, names.tolist()[:3]
        (('1 to 2', '3 to 4', '5 to 6', '7 to 8'), ['1 to 2', '1 to 2', '3 to 4'])
    """
    given = np.asarray(values, np.float64)
    known = np.isfinite(given)
    if not known.any():
        return np.full(len(given), "", np.str_), ()
    cuts = np.unique(np.quantile(given[known], [0.25, 0.5, 0.75], method="inverted_cdf"))
    numbers = np.searchsorted(cuts, given, side="left")
    names: list[str] = [""] * (len(cuts) + 1)
    for number in np.unique(numbers[known]).tolist():
        own = given[known & (numbers == number)]
        names[number] = f"{own.min():.{digits}f} to {own.max():.{digits}f}"
    for number, name in enumerate(names):
        if name and names.index(name) < number:  # the digits do not tell two groups apart
            names[number] = f"{name} ({number + 1})"
    labels = np.where(known, np.array(names, np.str_)[np.where(known, numbers, 0)], "")
    return np.asarray(labels, np.str_), tuple(name for name in names if name)
