"""Significance tests: McNemar's of two models on the same faces, paired ones of two methods on the same targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class McNemar(NamedTuple):
    """Result of McNemar's test.

    Attributes:
        only_first: number of faces that only the first model classifies correctly.
        only_second: number of faces that only the second model classifies correctly.
        p_value: two-sided probability of a difference at least as large, 0..1.
    """

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare two models on the same faces by the exact form of McNemar's test (McNemar, Psychometrika 1947).

    Under the null hypothesis, of the faces that only one model classifies correctly either has half: a binomial test.

    Args:
        first: ``(N,) bool``, whether the first model classifies each face correctly.
        second: ``(N,) bool``, the same of the second model, faces in the same order.

    Returns:
        The counts and the p-value; p = 1 where the models are correct on the same faces.

    Raises:
        ValueError: the two differ in length.

    Example:
        >>> first = np.array([True] * 8 + [False] * 2)
        >>> mcnemar(first, np.array([False] * 8 + [True] * 2))
        McNemar(only_first=8, only_second=2, p_value=0.109375)
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} answers cannot be of the same faces")
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    if not only_first + only_second:
        return McNemar(0, 0, 1.0)
    from scipy.stats import binomtest

    return McNemar(only_first, only_second, float(binomtest(only_first, only_first + only_second, 0.5).pvalue))


# Differences of printed figures carry rounding errors, which would break ties and hide zeros.
_DECIMALS = 9
# Up to these counts the exact distribution takes less than a second: all 2^n signs with ties, a recursion without.
_EXACT_WITH_TIES, _EXACT = 10, 50


class PairedT(NamedTuple):
    """Result of a paired t test.

    Attributes:
        difference: mean of first minus second.
        t: Student's t.
        df: degrees of freedom.
        p_value: two-sided, 0..1.
    """

    difference: float
    t: float
    df: int
    p_value: float


class SignedRank(NamedTuple):
    """Result of Wilcoxon's signed-rank test.

    Attributes:
        pairs: number of pairs that differ.
        statistic: the smaller of the two sums of ranks.
        p_value: two-sided, 0..1.
        exact: whether the p-value is that of the exact distribution.
    """

    pairs: int
    statistic: float
    p_value: float
    exact: bool


def paired_t(first: Sequence[float], second: Sequence[float]) -> PairedT:
    """Return the paired t test (Student, Biometrika 1908).

    Differences are rounded to nine decimals first, so that the rounding errors of printed figures count for nothing.

    Args:
        first: N >= 2 figures of the first method.
        second: N figures of the second method on the same targets, in the same order.

    Returns:
        The test. Equal differences have no spread: t is infinite and p 0, or t 0 and p 1 where all are zero.

    Raises:
        ValueError: the lengths differ, there are fewer than two pairs, or a figure is not finite.

    Example:
        >>> found = paired_t([93.18, 82.13, 78.37], [91.72, 62.75, 72.18])
        >>> round(found.difference, 2), round(found.t, 2), found.df, round(found.p_value, 2)
        (9.01, 1.68, 2, 0.23)
    """
    differences = _differences(first, second)
    if len(differences) < 2:
        raise ValueError("a paired t test needs two pairs or more")
    df, mean = len(differences) - 1, float(differences.mean())
    if not np.ptp(differences):
        return PairedT(mean, math.copysign(math.inf, mean), df, 0.0) if mean else PairedT(0.0, 0.0, df, 1.0)
    from scipy.stats import ttest_1samp

    found = ttest_1samp(differences, 0.0)
    return PairedT(mean, float(found.statistic), df, float(found.pvalue))


def signed_rank(first: Sequence[float], second: Sequence[float]) -> SignedRank:
    """Return Wilcoxon's signed-rank test (Biometrics Bulletin 1945); pairs without a difference are dropped.

    The p-value is exact up to 50 pairs, and up to 10 where some differences are equally large. Beyond that it is the
    normal approximation with continuity correction. With five pairs the smallest possible p is .0625.

    Args:
        first: N figures of the first method.
        second: N figures of the second method on the same targets, in the same order.

    Returns:
        The test; p = 1 where no pair differs.

    Raises:
        ValueError: the lengths differ, or a figure is not finite.

    Example:
        >>> signed_rank([5.0, 6.0, 7.0, 8.0, 9.0], [1.0, 1.0, 1.0, 1.0, 1.0])
        SignedRank(pairs=5, statistic=0.0, p_value=0.0625, exact=True)
    """
    differences = _differences(first, second)
    differences = differences[differences != 0]
    count = len(differences)
    if not count:
        return SignedRank(0, 0.0, 1.0, True)
    from scipy.stats import PermutationMethod, wilcoxon

    tied = len(np.unique(np.abs(differences))) < count
    exact = count <= (_EXACT_WITH_TIES if tied else _EXACT)
    method = "asymptotic" if not exact else PermutationMethod(n_resamples=2**count) if tied else "exact"
    found = wilcoxon(differences, method=method, correction=not exact)
    return SignedRank(count, float(found.statistic), min(1.0, float(found.pvalue)), exact)


def least_rank_p(pairs: int) -> float:
    """Return the smallest two-sided p-value that the signed-rank test can give.

    Args:
        pairs: number of pairs that differ.

    Returns:
        ``2^(1 - pairs)``, at most 1.

    Example:
        >>> least_rank_p(5), least_rank_p(6)
        (0.0625, 0.03125)
    """
    return min(1.0, 2.0 ** (1 - pairs))


def _differences(first: Sequence[float], second: Sequence[float]) -> NDArray[np.float64]:
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape or one.ndim != 1:
        raise ValueError(f"{one.shape} and {two.shape} figures are not pairs")
    if not (np.isfinite(one).all() and np.isfinite(two).all()):
        raise ValueError("figures that are not finite cannot be compared")
    return np.round(one - two, _DECIMALS)
