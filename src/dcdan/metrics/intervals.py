"""Confidence intervals: of a proportion (Wilson), of a mean of few figures (Student), of several seeds (bootstrap)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

LAST = 4
"""Number of targets in the printed means of the paper's tables: the last four of five."""
RESAMPLES = 2000
_RESAMPLES_AT_A_TIME = 50


class Interval(NamedTuple):
    """A closed interval of a proportion.

    Attributes:
        low: lower end, 0..1.
        high: upper end, 0..1.
    """

    low: float
    high: float


class Summary(NamedTuple):
    """Mean and spread of a few figures.

    Attributes:
        n: number of figures.
        mean: their mean.
        sd: their standard deviation, with n - 1 in the denominator; NaN for one figure.
        low: lower end of the confidence interval of the mean.
        high: upper end of it.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


class TargetMeans(NamedTuple):
    """The two means of a row of a cross-domain table.

    Attributes:
        all: mean over all targets.
        last_four: mean over the last four targets; None with fewer than four.
    """

    all: float
    last_four: float | None


def wilson(successes: int, trials: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of a proportion (Wilson, JASA 1927, without continuity correction).

    It keeps its coverage near 0 and 1 and for small samples, where the interval ``p +- z sqrt(p (1 - p) / n)`` fails.

    Args:
        successes: number of correct answers, ``0..trials``.
        trials: number of answers.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        The interval; ``(0, 1)`` without any trial.

    Raises:
        ValueError: the counts or the confidence are impossible.

    Example:
        >>> low, high = wilson(8, 10)
        >>> round(low, 3), round(high, 3)
        (0.49, 0.943)
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    _check_confidence(confidence)
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


def faces_needed(half_width: float, confidence: float = 0.95) -> int:
    """Return the number of faces that bounds the Wilson interval of any accuracy to ``+- half_width``.

    The interval is widest at an accuracy of .5, where its half width is ``z / (2 sqrt(n + z^2))``.

    Args:
        half_width: half the width of the interval, strictly between 0 and .5.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        Number of faces, at least 1.

    Raises:
        ValueError: the width or the confidence is impossible.

    Example:
        >>> faces_needed(0.05), faces_needed(0.1)
        (381, 93)
    """
    if not 0.0 < half_width < 0.5:
        raise ValueError(f"the half width must lie between 0 and .5, not {half_width}")
    _check_confidence(confidence)
    z = NormalDist().inv_cdf(0.5 + confidence / 2.0)
    return max(1, math.ceil((z / (2.0 * half_width)) ** 2 - z * z))


def bootstrap_interval(
    correct: ArrayLike, confidence: float = 0.95, *, resamples: int = RESAMPLES, seed: int = 0
) -> Interval:
    """Return an interval of the mean accuracy over several seeds that holds the spread of seeds and of faces.

    The bootstrap draws faces and seeds with replacement, each independently of the other (the pigeonhole bootstrap,
    Owen, Annals of Applied Statistics 2007), and takes percentiles of the mean. With S seeds, resampled means spread
    by a factor ``sqrt((S - 1) / S)`` too little, which is a fifth for three seeds; the deviations of the seeds are
    scaled up by its inverse.

    Args:
        correct: ``(S, N) bool``, for S seeds whether each of the same N faces is classified correctly.
        confidence: coverage, strictly between 0 and 1.
        resamples: number of resamples; 2,000 give the ends of an interval of 3 points to .1 point.
        seed: of the random numbers. The same seed gives the same interval.

    Returns:
        The interval. One seed has no spread, so its interval is that of the faces alone.

    Raises:
        ValueError: there is no face or no seed, or the confidence is impossible.

    Example:
        >>> one_seed = [[True] * 70 + [False] * 30]
        >>> low, high = bootstrap_interval(one_seed)
        >>> 0.59 < low < 0.63 and 0.77 < high < 0.81
        True
    """
    answers = np.asarray(correct, np.float64)
    if answers.ndim != 2 or not answers.size:
        raise ValueError(f"answers of shape {answers.shape} are no seeds x faces")
    _check_confidence(confidence)
    seeds, faces = answers.shape
    rng = np.random.default_rng(seed)
    scale = math.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0
    means = []
    for start in range(0, resamples, _RESAMPLES_AT_A_TIME):
        count = min(_RESAMPLES_AT_A_TIME, resamples - start)
        drawn = np.stack([np.bincount(rng.integers(faces, size=faces), minlength=faces) for _ in range(count)], axis=1)
        of_seed = answers @ drawn / faces
        centre = of_seed.mean(axis=0)
        chosen = rng.integers(seeds, size=(seeds, count))
        means.append(centre + scale * (np.take_along_axis(of_seed, chosen, axis=0).mean(axis=0) - centre))
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(np.concatenate(means), [tail, 1.0 - tail]).tolist()
    return Interval(max(0.0, low), min(1.0, high))


def summarise(values: Sequence[float], confidence: float = 0.95) -> Summary:
    """Summarise figures by mean, standard deviation and Student's t interval of the mean.

    The interval takes the figures as a sample of a normal distribution.

    Args:
        values: N figures.
        confidence: coverage, strictly between 0 and 1.

    Returns:
        The summary. The standard deviation of one figure is NaN and its interval unbounded.

    Raises:
        ValueError: there are no figures, one is not finite, or the confidence is impossible.

    Example:
        >>> summary = summarise([93.18, 82.13, 78.37, 72.47, 70.68])   # the paper's table 1
        >>> f"{summary.mean:.2f} {summary.sd:.2f} {summary.low:.2f} {summary.high:.2f}"
        '79.37 8.98 68.22 90.51'
    """
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or not figures.size or not np.isfinite(figures).all():
        raise ValueError(f"{figures.size} figures of shape {figures.shape} with NaN or infinity have no summary")
    _check_confidence(confidence)
    count, mean = len(figures), float(figures.mean())
    if count == 1:
        return Summary(1, mean, math.nan, -math.inf, math.inf)
    from scipy.stats import t

    sd = float(figures.std(ddof=1))
    half = float(t.ppf(0.5 + confidence / 2.0, count - 1)) * sd / math.sqrt(count)
    return Summary(count, mean, sd, mean - half, mean + half)


def target_means(values: Sequence[float]) -> TargetMeans:
    """Return both means of a row of a cross-domain table.

    Args:
        values: the figures, in the order of the table's targets.

    Returns:
        The mean over all targets and over the last four.

    Raises:
        ValueError: there are no figures.

    Example:
        >>> means = target_means([90.0, 80.0, 70.0, 60.0, 50.0])
        >>> means.all, means.last_four
        (70.0, 65.0)
    """
    figures = np.asarray(values, np.float64)
    if figures.ndim != 1 or not figures.size:
        raise ValueError(f"no mean of figures of shape {figures.shape}")
    last = float(figures[-LAST:].mean()) if len(figures) >= LAST else None
    return TargetMeans(float(figures.mean()), last)


def _check_confidence(confidence: float) -> None:
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
