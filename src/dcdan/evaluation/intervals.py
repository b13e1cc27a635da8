"""The Wilson score interval of a proportion: honest near 0 and 1 and for small sets, unlike the textbook one."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import NamedTuple


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
