"""Mean, spread and confidence interval of a few figures, and the two means of a cross-domain row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

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
