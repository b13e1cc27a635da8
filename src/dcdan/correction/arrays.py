"""Checks and normalisations of log-probabilities that all corrections share."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dcdan.core.errors import DataError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

FLOOR = 1e-6
"""Smallest share of a class whose logarithm is taken."""
LOWEST = 1e-12
"""Smallest probability whose logarithm is taken: answers of zero probability stay finite."""


def log_softmax(values: ArrayLike) -> Floats:
    """Normalise rows so that their exponentials sum to 1.

    Args:
        values: (..., K) finite numbers.

    Returns:
        (..., K) float64, ``values - log sum exp(values)`` along the last axis.

    Example:
        >>> np.exp(log_softmax([[0.0, 0.0], [5.0, 5.0]])).tolist()
        [[0.5, 0.5], [0.5, 0.5]]
    """
    z = np.asarray(values, np.float64)
    if z.shape[-1] == 0:
        raise DataError("Probabilities need at least one class.")
    # One pass per class is several times faster than a reduction over a short last axis.
    highest = z[..., 0].copy()
    for column in range(1, z.shape[-1]):
        np.maximum(highest, z[..., column], out=highest)
    z = z - highest[..., None]
    return np.asarray(z - np.log(np.exp(z) @ np.ones(z.shape[-1]))[..., None])


def checked_log(log_probabilities: ArrayLike) -> Floats:
    """Return log-probabilities (N, K) as finite, normalised float64; zero probabilities become ``LOWEST``.

    Args:
        log_probabilities: (N, K); minus infinity (a probability of zero) is allowed, N may be 0.

    Returns:
        (N, K) float64, rows normalised.

    Raises:
        DataError: when the shape is another, or a value is not a number or plus infinity.

    Example:
        >>> np.exp(checked_log([[0.0, -np.inf]])).round(4).tolist()
        [[1.0, 0.0]]
    """
    z = np.asarray(log_probabilities, np.float64)
    if z.ndim != 2 or z.shape[1] == 0:
        raise DataError(f"Log-probabilities must have the shape (faces, classes), not {z.shape}.")
    if np.isnan(z).any() or (len(z) and z.max() == np.inf):
        raise DataError("Log-probabilities must be numbers: leave out the faces without an answer.")
    if len(z) and (z.max(axis=1) == -np.inf).any():
        raise DataError("A face has probability zero for every class: leave it out.")
    z = log_softmax(np.maximum(z, -1e4))
    low = np.log(LOWEST)
    return z if len(z) == 0 or z.min() >= low else log_softmax(np.maximum(z, low))


def checked_shares(shares: ArrayLike, classes: int, what: str = "The class shares") -> Floats:
    """Return class shares (K,) that are at least ``FLOOR`` and sum to 1.

    Args:
        shares: (K,) numbers, 0 or more; they are divided by their sum, which must lie within 1 % of 1.
        classes: K.
        what: how the error names them.

    Returns:
        (K,) float64, all positive.

    Raises:
        DataError: when the length, a value or the sum is wrong.

    Example:
        >>> checked_shares([0.5, 0.5], 2).tolist()
        [0.5, 0.5]
    """
    found = np.asarray(shares, np.float64)
    if found.shape != (classes,):
        raise DataError(f"{what} have the shape {found.shape} and the model has {classes} classes.")
    if not np.isfinite(found).all() or (found < 0).any():
        raise DataError(f"{what} must be numbers of 0 or more.")
    if abs(found.sum() - 1) > 0.01:
        raise DataError(f"{what} add up to {found.sum():.3g} and not to 1.")
    found = np.maximum(found / found.sum(), FLOOR)
    return np.asarray(found / found.sum())


def checked_labels(labels: ArrayLike, count: int, classes: int) -> Integers:
    """Return labels (N,) int64 in ``0 <= label < classes``.

    Args:
        labels: (N,) whole numbers.
        count: N.
        classes: K.

    Returns:
        (N,) int64.

    Raises:
        DataError: when the length is another or a label is none of the classes.

    Example:
        >>> checked_labels([0, 1], 2, 2).tolist()
        [0, 1]
    """
    found = np.asarray(labels, np.int64)
    if found.shape != (count,):
        raise DataError(f"There are {count} faces and labels of the shape {found.shape}: give one label for each face.")
    if count and not 0 <= int(found.min()) <= int(found.max()) < classes:
        raise DataError(f"A label lies outside 0 to {classes - 1}: give the number of a class of the model.")
    return found


def checked_weights(weights: ArrayLike | None, count: int) -> Floats:
    """Return weights (N,) with mean 1; None stands for even ones.

    Args:
        weights: (N,) finite and positive, or None.
        count: N.

    Returns:
        (N,) float64 whose sum is N.

    Raises:
        DataError: when the length is another or a weight is not positive.

    Example:
        >>> checked_weights([1.0, 3.0], 2).tolist()
        [0.5, 1.5]
    """
    if weights is None:
        return np.ones(count)
    found = np.asarray(weights, np.float64)
    if found.shape != (count,):
        raise DataError(f"There are {count} faces and weights of the shape {found.shape}: give one for each face.")
    if not np.isfinite(found).all() or (found <= 0).any():
        raise DataError("Weights must be positive numbers.")
    return found * (count / found.sum()) if count else found


def group_numbers(groups: Sequence[str] | NDArray[np.str_], count: int) -> tuple[NDArray[np.str_], Integers]:
    """Return the names of the groups, sorted, and the number of each face's group.

    Args:
        groups: (N,) names; the empty name is a group like any other.
        count: N.

    Returns:
        (G,) names and (N,) int64 indices into them.

    Raises:
        DataError: when there is not one name for each face.

    Example:
        >>> names, numbers = group_numbers(["b", "a", "b"], 3)
        >>> names.tolist(), numbers.tolist()
        (['a', 'b'], [1, 0, 1])
    """
    given = np.asarray(groups, dtype=np.str_)
    if given.shape != (count,):
        raise DataError(f"There are {count} faces and groups of the shape {given.shape}: give one name for each face.")
    names, numbers = np.unique(given, return_inverse=True)
    return names, numbers.reshape(-1).astype(np.int64)


def group_means(values: Floats, numbers: Integers, groups: int) -> tuple[Floats, Integers]:
    """Return the mean of each group's rows and its size.

    Args:
        values: (N, K) float64.
        numbers: (N,) int64, the group of each row, ``0 <= number < groups``.
        groups: G.

    Returns:
        (G, K) float64, zeros for a group without rows, and (G,) int64.

    Example:
        >>> means, sizes = group_means(np.array([[1.0], [3.0]]), np.array([1, 1]), 2)
        >>> means.tolist(), sizes.tolist()
        ([[0.0], [2.0]], [0, 2])
    """
    sizes = np.bincount(numbers, minlength=groups)
    columns = [np.bincount(numbers, weights=values[:, k], minlength=groups) for k in range(values.shape[1])]
    sums = np.stack(columns, 1) if columns else np.zeros((groups, 0))
    return np.asarray(sums / np.maximum(sizes, 1)[:, None]), sizes.astype(np.int64)
