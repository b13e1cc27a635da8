"""One-way analysis of variance, kept only to recompute what the paper prints.

It takes the groups for independent samples. Figures of two methods on the same targets are not: how hard a target is
moves both, that spread lands in the error term, and real differences vanish. Use :mod:`dcdan.evaluation.paired`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Anova(NamedTuple):
    """F with its degrees of freedom between and within groups, and its probability."""

    f: float
    between: int
    within: int
    p_value: float


def one_way_anova(*groups: Sequence[float]) -> Anova:
    """Return the one-way analysis of variance of two or more groups (Fisher 1925); wrong for paired figures.

    Raises:
        ValueError: with fewer than two groups, with an empty one, or when no group has any spread.
    """
    samples = [np.asarray(group, np.float64) for group in groups]
    if len(samples) < 2 or not all(sample.size for sample in samples):
        raise ValueError("an analysis of variance needs two groups or more, none empty")
    if not any(np.ptp(sample) for sample in samples):
        raise ValueError("groups without any spread have no analysis of variance")
    from scipy.stats import f_oneway

    found = f_oneway(*samples)
    within = sum(len(sample) for sample in samples) - len(samples)
    return Anova(float(found.statistic), len(samples) - 1, within, float(found.pvalue))
