"""How two samples differ: effect sizes, tests, and distances between feature distributions. NumPy alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

PERMUTATIONS = 999
"""Permutations of a test. The smallest possible p-value is 1 / 1000."""
RIDGE = 1.0
"""Penalty of the linear classifier of the proxy A-distance, times the number of standardised features."""


class Difference(NamedTuple):
    """How much larger the values of a second sample are.

    Attributes:
        delta: Cliff's delta, -1..1; see :func:`cliffs_delta`.
        p_value: two-sided p-value of the Mann-Whitney test.
    """

    delta: float
    p_value: float


class Distance(NamedTuple):
    """A distance between two samples of vectors.

    Attributes:
        value: the distance.
        p_value: permutation p-value.
    """

    value: float
    p_value: float


def cliffs_delta(first: ArrayLike, second: ArrayLike) -> Difference:
    """Return Cliff's delta (Psychological Bulletin 1993) and the Mann-Whitney test with it.

    Delta is the probability that a value of the second sample is larger than one of the first, minus the probability
    that it is smaller. It assumes no distribution and compares measurements of different units. The p-value is the
    normal approximation with correction for ties and for continuity (Annals of Mathematical Statistics 1947).

    Args:
        first: ``(M,)`` numbers.
        second: ``(N,)`` numbers.

    Returns:
        Delta and p-value; 0 and 1 where all values are equal.

    Raises:
        ValueError: a sample is empty or holds a value that is not finite.

    Example:
        >>> cliffs_delta([1, 2, 3], [2, 3, 4]).delta.__round__(3)
        0.556
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if not (one.size and two.size and np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError(f"{one.size} and {two.size} values, or values that are not finite, cannot be compared")
    ordered = np.sort(one)
    below = np.searchsorted(ordered, two, side="left").sum()
    up_to = np.searchsorted(ordered, two, side="right").sum()
    pairs = one.size * two.size
    # Pairs that are smaller plus half of the ties: the statistic U.
    u = 0.5 * (float(below) + float(up_to))
    count = one.size + two.size
    ties = np.unique(np.concatenate([one, two]), return_counts=True)[1].astype(np.float64)
    variance = pairs / 12 * (count + 1 - (ties**3 - ties).sum() / (count * max(count - 1, 1)))
    if variance <= 0:
        return Difference(0.0, 1.0)
    z = max(0.0, abs(u - pairs / 2) - 0.5) / math.sqrt(variance)
    return Difference(2 * u / pairs - 1, math.erfc(z / math.sqrt(2)))


def mmd(first: ArrayLike, second: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0) -> Distance:
    """Return the maximum mean discrepancy of two samples (Gretton et al., JMLR 2012) with a permutation test.

    The kernel is ``exp(-d^2 / m)`` with the median m of the squared distances. The estimate of the squared MMD is the
    unbiased one (Eq. 3), which can be negative.

    Args:
        first: ``(M, D)``, M >= 2.
        second: ``(N, D)``, N >= 2.
        permutations: number of permutations of the samples.
        seed: seed of the permutations.

    Returns:
        The squared MMD, and the p-value. Time and memory grow with ``(M + N)^2``.

    Raises:
        ValueError: a sample has fewer than two vectors, or the widths differ.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> same, other = rng.normal(0, 1, (60, 3)), rng.normal(1, 1, (60, 3))
        >>> mmd(same, other).p_value
        0.001
    """
    one, two = _vectors(first, second)
    kernel = _gaussian(np.concatenate([one, two]))
    m, count = len(one), len(kernel)
    rng = np.random.default_rng(seed)
    # Column 0 is the division as it is; the others are random ones of the same sizes.
    members = np.zeros((count, permutations + 1))
    members[:m, 0] = 1
    order = rng.random((count, permutations)).argsort(axis=0)
    members[:, 1:] = order < m
    diagonal = np.diagonal(kernel)
    rows = kernel @ members
    inside = (members * rows).sum(axis=0)
    outside = kernel.sum() - 2 * rows.sum(axis=0) + inside
    across = rows.sum(axis=0) - inside
    own = diagonal @ members
    n = count - m
    values = (inside - own) / (m * (m - 1)) + (outside - (diagonal.sum() - own)) / (n * (n - 1)) - 2 * across / (m * n)
    at_least = int((values[1:] >= values[0] - 1e-12).sum())
    return Distance(float(values[0]), (1 + at_least) / (1 + permutations))


def proxy_a_distance(first: ArrayLike, second: ArrayLike, *, folds: int = 5, seed: int = 0) -> float:
    """Return the proxy A-distance of two samples (Ben-David et al., NIPS 2006): ``2 (1 - 2 error)``.

    The error is that of a linear classifier (ridge regression on standardised features) that tells the samples apart,
    on faces that it was not fitted on. Both samples count alike, whatever their sizes.

    Args:
        first: ``(M, D)``, M >= ``folds``.
        second: ``(N, D)``, N >= ``folds``.
        folds: number of parts of the cross-validation.
        seed: seed of the division.

    Returns:
        0 (cannot be told apart) to 2 (no error).

    Raises:
        ValueError: a sample has fewer vectors than folds, or the widths differ.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> proxy_a_distance(rng.normal(0, 1, (100, 2)), rng.normal(9, 1, (100, 2)))
        2.0
    """
    one, two = _vectors(first, second)
    if min(len(one), len(two)) < folds:
        raise ValueError(f"{len(one)} and {len(two)} vectors are fewer than {folds} folds")
    rng = np.random.default_rng(seed)
    parts = [np.arange(len(sample)) % folds for sample in (one, two)]
    for part in parts:
        rng.shuffle(part)
    x, fold = np.concatenate([one, two]), np.concatenate(parts)
    side = np.r_[-np.ones(len(one)), np.ones(len(two))]
    wrong = np.zeros(len(x), bool)
    for number in range(folds):
        fitted = fold != number
        wrong[~fitted] = _predict_side(x[fitted], side[fitted], x[~fitted]) * side[~fitted] <= 0
    error = 0.5 * (float(wrong[side < 0].mean()) + float(wrong[side > 0].mean()))
    return min(2.0, max(0.0, 2 * (1 - 2 * error)))


def share_difference(
    first: ArrayLike, second: ArrayLike, *, permutations: int = PERMUTATIONS, seed: int = 0
) -> Distance:
    """Return the total variation distance between the class shares of two samples, with a permutation test.

    The statistic of the test is Pearson's chi-squared of the counts.

    Args:
        first: ``(K,)`` counts of the classes in the first sample.
        second: ``(K,)`` counts in the second sample.
        permutations: number of permutations.
        seed: seed of the permutations.

    Returns:
        Half the sum of the absolute differences of the shares, 0..1, and the p-value.

    Raises:
        ValueError: a sample is empty.

    Example:
        >>> share_difference([90, 10], [50, 50])
        Distance(value=0.4, p_value=0.001)
    """
    one, two = np.asarray(first, np.int64), np.asarray(second, np.int64)
    if not (one.sum() and two.sum()):
        raise ValueError("no shares of an empty sample")
    distance = 0.5 * float(np.abs(one / one.sum() - two / two.sum()).sum())
    both = one + two
    both, one = both[both > 0], one[both > 0]
    expected = one.sum() * both / both.sum()
    drawn = np.random.default_rng(seed).multivariate_hypergeometric(both, int(one.sum()), size=permutations)
    # With both marginals fixed, chi-squared is this sum up to a constant factor.
    given = float(((one - expected) ** 2 / both).sum())
    at_least = int((((drawn - expected) ** 2 / both).sum(axis=1) >= given * (1 - 1e-12)).sum())
    return Distance(distance, (1 + at_least) / (1 + permutations))


def _vectors(first: ArrayLike, second: ArrayLike) -> tuple[Floats, Floats]:
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.ndim != 2 or two.ndim != 2 or one.shape[1] != two.shape[1] or min(len(one), len(two)) < 2:
        raise ValueError(f"samples of shape {one.shape} and {two.shape} cannot be compared")
    return one, two


def _gaussian(x: Floats) -> Floats:
    """Return the Gaussian kernel of all pairs, scaled by the median squared distance."""
    centred = x - x.mean(axis=0)  # large means would cost digits
    squares = (centred**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * centred @ centred.T, 0.0)
    median = float(np.median(distances[np.triu_indices(len(x), 1)]))
    return np.asarray(np.exp(-distances / (median if median > 0 else 1.0)))


def _predict_side(x: Floats, side: Floats, other: Floats) -> Floats:
    """Return the decision values of ridge regression to -1 and 1 for other vectors, with both sides weighted alike."""
    weights = np.where(side > 0, 0.5 / (side > 0).sum(), 0.5 / (side < 0).sum())
    mean = weights @ x
    spread = np.sqrt(weights @ (x - mean) ** 2)
    scale = np.where(spread > 1e-9, 1.0 / np.maximum(spread, 1e-9), 0.0)
    scaled = (x - mean) * scale
    root = np.sqrt(weights)[:, None]
    gram = (root * scaled).T @ (root * scaled)
    gram[np.diag_indices_from(gram)] += RIDGE * x.shape[1] / len(x)
    solution = np.linalg.solve(gram, scaled.T @ (weights * side))
    return np.asarray((other - mean) * scale @ solution)
