"""Intervals: Wilson's of a proportion, and mean, spread and Student's interval of a few figures.

The Wilson score interval of a proportion: honest near 0 and 1 and for small sets, unlike the textbook one.

Mean, spread and confidence interval of a few figures, and the two means of a cross-domain row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """A closed interval of a proportion, both ends in 0..1."""

    low: float
    high: float


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval (Wilson, JASA 1927, without continuity correction).

    Args:
        successes: number of right answers, ``0..trials``.
        trials: number of answers.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        The interval; ``(0, 1)`` without any trial, because then nothing is known.

    Raises:
        ValueError: when the counts or the confidence are impossible.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    if trials == 0:
        return Interval(0.0, 1.0)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    share = successes / trials
    scale = 1.0 + z * z / trials
    centre = (share + z * z / (2.0 * trials)) / scale
    half = z / scale * math.sqrt(share * (1.0 - share) / trials + z * z / (4.0 * trials * trials))
    # At the ends the formula gives exactly 0 or 1, but floating point misses them by a rounding error.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(low, high)


LAST = 4
"""Columns that the printed means of the paper's tables are of: the last four of five."""


class Summary(NamedTuple):
    """Of ``n`` figures: mean, standard deviation (n - 1), and the ends of the mean's confidence interval."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


class TargetMeans(NamedTuple):
    """Means over all targets and over the last four; the latter None where there are fewer."""

    all: float
    last_four: float | None


def summarise(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Summarise N figures by Student's t interval, which takes them for a sample of a normal distribution.

    One figure has no spread: its sd is NaN and its interval unbounded, because then nothing is known of it.

    Raises:
        ValueError: without figures, with one that is not finite, or with an impossible confidence.
    """
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or not figures.size or not np.isfinite(figures).all():
        raise ValueError(f"{figures.size} figures of shape {figures.shape} with NaN or infinity have no summary")
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
    count, mean = len(figures), float(figures.mean())
    if count == 1:
        return Summary(1, mean, math.nan, -math.inf, math.inf)
    from scipy.stats import t

    sd = float(figures.std(ddof=1))
    half = float(t.ppf(0.5 + confidence / 2.0, count - 1)) * sd / math.sqrt(count)
    return Summary(count, mean, sd, mean - half, mean + half)


def target_means(values: Sequence[float]) -> TargetMeans:
    """Return both means of a row, its figures in the order of the table's targets.

    Raises:
        ValueError: without figures.
    """
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or not figures.size:
        raise ValueError(f"no mean of figures of shape {figures.shape}")
    last = float(figures[-LAST:].mean()) if len(figures) >= LAST else None
    return TargetMeans(float(figures.mean()), last)
