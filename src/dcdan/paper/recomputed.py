"""The paper's statistics, computed again from its own tables.

One-way analysis of variance, kept only to recompute what the paper prints.

It takes the groups for independent samples. Figures of two methods on the same targets are not: how hard a target is
moves both, that spread lands in the error term, and real differences vanish. Use :mod:`dcdan.metrics.significance`.

The paper's statistics, computed again from its own tables: means, spreads, and the tests that fit the figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np

from dcdan.metrics.intervals import LAST, Summary, TargetMeans, summarise, target_means
from dcdan.metrics.significance import PairedT, SignedRank, paired_t, signed_rank
from dcdan.paper.published import PaperRow, PaperTable


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


@dataclass(frozen=True, slots=True)
class TableSummary:
    """The paper's own row of a table: over all targets, over the last four, and what is printed as the mean."""

    table: int
    trunk: str
    summary: Summary
    last_four: float
    printed: float


@dataclass(frozen=True, slots=True)
class Versus:
    """The paper's method less a baseline, over all targets and over those of the printed mean."""

    table: int
    baseline: str
    all: PairedT
    last_four: PairedT
    rank: SignedRank


@dataclass(frozen=True, slots=True)
class TrunkComparison:
    """The paper's method with two trunks on the same source and targets; ``trunks`` and ``tables`` in one order."""

    tables: tuple[int, int]
    source: str
    trunks: tuple[str, str]
    anova: Anova
    paired: PairedT
    rank: SignedRank


def means_of(row: PaperRow) -> tuple[float, float]:
    """Return the means of a row over all five targets and over the last four."""
    means: TargetMeans = target_means(row.figures)
    assert means.last_four is not None  # the paper's rows have five figures
    return means.all, means.last_four


def table_summaries(tables: Sequence[PaperTable]) -> tuple[TableSummary, ...]:
    """Return the summary of the paper's own row of each table."""
    return tuple(
        TableSummary(table.number, table.trunk, summarise(table.ours.figures), means_of(table.ours)[1], table.ours.mean)
        for table in tables
    )


def against_baselines(tables: Sequence[PaperTable]) -> tuple[Versus, ...]:
    """Compare the paper's method with every baseline of its own table."""
    return tuple(
        Versus(
            table.number,
            row.method,
            paired_t(table.ours.figures, row.figures),
            paired_t(table.ours.figures[-LAST:], row.figures[-LAST:]),
            signed_rank(table.ours.figures, row.figures),
        )
        for table in tables
        for row in table.baselines
    )


def trunk_comparisons(tables: Sequence[PaperTable]) -> tuple[TrunkComparison, ...]:
    """Compare the paper's method between the trunks, for every two tables of one source and the same targets."""
    return tuple(
        TrunkComparison(
            (one.number, two.number),
            one.source,
            (one.trunk, two.trunk),
            one_way_anova(one.ours.figures, two.ours.figures),
            paired_t(one.ours.figures, two.ours.figures),
            signed_rank(one.ours.figures, two.ours.figures),
        )
        for one, two in combinations(tables, 2)
        if one.source == two.source and one.targets == two.targets
    )


def best_baseline(table: PaperTable, mean: str = "printed") -> PaperRow:
    """Return the baseline with the highest mean: as ``printed``, of the ``last_four`` targets, or of ``all``."""
    scores = {
        "printed": lambda row: row.mean,
        "last_four": lambda row: means_of(row)[1],
        "all": lambda row: means_of(row)[0],
    }
    return max(table.baselines, key=scores[mean])
