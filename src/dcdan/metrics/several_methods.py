"""Comparison of several methods over several data sets: Holm's correction, ranks, and the Bayesian signed-rank test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

DRAWS = 20_000


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number (Holm, Scandinavian Journal of Statistics 1979).

    Args:
        p_values: N p-values of one family of tests, 0..1.

    Returns:
        The corrected p-values in the same order, at most 1: those below a level are rejected together with at most that
        probability of a false rejection.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    corrected, highest = [1.0] * len(p_values), 0.0
    for place, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, (len(p_values) - place) * p_values[index])
        corrected[index] = min(1.0, highest)
    return corrected


class Ranking(NamedTuple):
    """Average ranks of methods over data sets, with Friedman's test.

    Attributes:
        ranks: average rank of each method; 1 is the best.
        blocks: number of data sets.
        p_value: of Friedman's test that all methods are alike, 0..1.
        critical_difference: difference of two average ranks from which Nemenyi's test tells two methods apart.
    """

    ranks: tuple[float, ...]
    blocks: int
    p_value: float
    critical_difference: float


def rank_methods(accuracies: Sequence[Sequence[float]], level: float = 0.05) -> Ranking:
    """Return average ranks, Friedman's p-value and Nemenyi's critical difference (Demsar, JMLR 2006).

    Args:
        accuracies: a row for each of N >= 2 data sets, with a figure for each of k >= 3 methods; higher is better.
        level: significance level.

    Returns:
        The ranking. Ties share the mean of their ranks.

    Raises:
        ValueError: with fewer data sets or methods, or rows of different lengths.

    Example:
        >>> found = rank_methods([[0.9, 0.8, 0.7], [0.8, 0.7, 0.6], [0.9, 0.7, 0.8]])
        >>> [round(rank, 2) for rank in found.ranks], round(found.critical_difference, 2)
        ([1.0, 2.33, 2.67], 1.91)
    """
    figures = np.asarray(accuracies, np.float64)
    if figures.ndim != 2 or figures.shape[0] < 2 or figures.shape[1] < 3 or not np.isfinite(figures).all():
        raise ValueError(f"figures of shape {figures.shape} cannot be ranked: two data sets and three methods or more")
    from scipy.stats import friedmanchisquare, rankdata, studentized_range

    blocks, methods = figures.shape
    ranks = rankdata(-figures, axis=1).mean(0)
    same = bool((np.ptp(figures, axis=1) == 0).all())
    p_value = 1.0 if same else float(friedmanchisquare(*figures.T).pvalue)
    quantile = float(studentized_range.ppf(1 - level, methods, np.inf)) / math.sqrt(2)
    return Ranking(tuple(ranks.tolist()), blocks, p_value, quantile * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def groups_alike(ranks: Sequence[float], critical_difference: float) -> list[tuple[int, ...]]:
    """Return the largest groups of methods whose average ranks differ by less than the critical difference.

    Args:
        ranks: average ranks.
        critical_difference: as :func:`rank_methods` returns it.

    Returns:
        Groups of two or more places in ``ranks``, best first; no group is a part of another.

    Example:
        >>> groups_alike([1.0, 3.0, 1.5, 2.4], 1.0)
        [(0, 2), (2, 3), (3, 1)]
    """
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    found: list[tuple[int, ...]] = []
    furthest = 0
    for start in range(len(order)):
        end = start
        while end + 1 < len(order) and ranks[order[end + 1]] - ranks[order[start]] < critical_difference:
            end += 1
        if end > start and end > furthest:
            found.append(tuple(order[start : end + 1]))
        furthest = max(furthest, end)
    return found


class BayesianSignedRank(NamedTuple):
    """Posterior probabilities that the first method is worse, practically equivalent, or better.

    Attributes:
        worse: probability that the difference is below the region of practical equivalence.
        equivalent: that it is within.
        better: that it is above.
    """

    worse: float
    equivalent: float
    better: float


def bayesian_signed_rank(
    first: Sequence[float], second: Sequence[float], rope: float, *, draws: int = DRAWS, seed: int = 0
) -> BayesianSignedRank:
    """Return the Bayesian signed-rank test (Benavoli et al., JMLR 2017).

    The distribution of the difference has a Dirichlet process prior of strength .5 at a difference of 0. Each draw
    weighs the N differences z and the prior's z = 0, and sums the weights of all pairs whose mean (z_i + z_j) / 2 lies
    below, within or above the region. A probability is the share of draws in which that region has the largest sum.

    Args:
        first: N >= 1 figures of the first method.
        second: N figures of the second method on the same data sets.
        rope: half the width of the region of practical equivalence, in the units of the figures.
        draws: number of draws.
        seed: of the random numbers.

    Returns:
        Three probabilities that sum to 1.

    Raises:
        ValueError: when the lengths differ or there is no figure.

    Example:
        >>> bayesian_signed_rank([70.0, 71, 72, 73, 74], [60.0, 61, 62, 63, 64], rope=1.0).better > 0.9
        True
    """
    one, two = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if one.shape != two.shape or one.ndim != 1 or not one.size:
        raise ValueError(f"{one.shape} and {two.shape} figures are not pairs")
    z = np.concatenate([[0.0], one - two])
    means = (z[:, None] + z[None]) / 2
    below, above = (means < -rope).astype(np.float64), (means > rope).astype(np.float64)
    weights = np.random.default_rng(seed).dirichlet([0.5, *[1.0] * one.size], draws)
    sums = np.stack([np.einsum("di,ij,dj->d", weights, region, weights) for region in (below, above)])
    sums = np.stack([sums[0], 1 - sums.sum(0), sums[1]])
    shares = np.bincount(sums.argmax(0), minlength=3) / draws
    return BayesianSignedRank(*map(float, shares))
