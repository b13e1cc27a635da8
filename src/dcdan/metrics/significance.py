"""Significance tests: McNemar's on the same faces, and paired tests over the same targets.

McNemar's test: whether two models differ on the same faces (McNemar, Psychometrika 1947; the exact form).

Paired tests: whether two methods differ over the same targets, each a pair of figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class McNemar(NamedTuple):
    """Faces that only one of two models names rightly, and the two-sided probability of such a difference by chance."""

    only_first: int
    only_second: int
    p_value: float


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare which of N faces two models name rightly, both ``(N,)`` bool in the same order.

    Under the null hypothesis a face on which they differ is as likely to be right for one as for the other.

    Raises:
        ValueError: when the two are not of the same faces.
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
    """Mean difference (first less second), Student's t, its degrees of freedom, and the two-sided probability."""

    difference: float
    t: float
    df: int
    p_value: float


class SignedRank(NamedTuple):
    """Pairs that differ, the smaller sum of ranks, the two-sided probability, and whether that is exact."""

    pairs: int
    statistic: float
    p_value: float
    exact: bool


def paired_t(first: Sequence[float], second: Sequence[float]) -> PairedT:
    """Return the paired t test of N >= 2 pairs (Student, Biometrika 1908).

    Differences that are all alike have no spread: t is infinite with p 0, or 0 with p 1 where they are all zero.

    Raises:
        ValueError: when the two are not pairs, are fewer than two, or are not finite.
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
    """Return Wilcoxon's signed-rank test of N pairs (Biometrics Bulletin 1945); pairs without a difference are dropped.

    Exact up to 50 pairs, up to 10 where differences are equally large, else by the normal approximation with continuity
    correction. With five pairs the smallest possible p is .0625.

    Raises:
        ValueError: when the two are not pairs, or are not finite.
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
    """Return the smallest two-sided probability that the signed-rank test of so many pairs can give.

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
