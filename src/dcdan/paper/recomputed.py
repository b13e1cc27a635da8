"""The statistics of the paper, recomputed from its own tables: means, spreads, and tests that suit paired figures.

The one-way analysis of variance is here only because the paper prints one. It assumes independent samples. Figures of
two methods on the same targets are paired: the difficulty of a target moves both, this variance enters the error term,
and real differences are missed. Use :mod:`dcdan.metrics.significance` for results of your own.
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
    """A one-way analysis of variance.

    Attributes:
        f: the F statistic.
        between: degrees of freedom between the groups.
        within: degrees of freedom within the groups.
        p_value: probability of an F at least as large, 0..1.
    """

    f: float
    between: int
    within: int
    p_value: float


def one_way_anova(*groups: Sequence[float]) -> Anova:
    """Return the one-way analysis of variance of independent groups (Fisher 1925). It is wrong for paired figures.

    Args:
        groups: two or more samples.

    Returns:
        F, its degrees of freedom and its p-value.

    Raises:
        ValueError: with fewer than two groups, with an empty one, or when no group has any spread.

    Example:
        >>> found = one_way_anova([1, 2, 3], [2, 3, 4])
        >>> round(found.f, 3), found.between, found.within, round(found.p_value, 3)
        (1.5, 1, 4, 0.288)
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
    """Statistics of the DCD-DAN row of a table, in per cent.

    Attributes:
        table: number of the table.
        trunk: trunk of its caption.
        summary: mean, standard deviation and interval over all targets.
        last_four: mean over the last four targets.
        printed: the mean that the table prints.
    """

    table: int
    trunk: str
    summary: Summary
    last_four: float
    printed: float


@dataclass(frozen=True, slots=True)
class Versus:
    """DCD-DAN minus a baseline of its table, paired by target.

    Attributes:
        table: number of the table.
        baseline: name of the baseline.
        all: paired t test over all targets.
        last_four: paired t test over the last four targets, of which the printed means are.
        rank: Wilcoxon's signed-rank test over all targets.
    """

    table: int
    baseline: str
    all: PairedT
    last_four: PairedT
    rank: SignedRank


@dataclass(frozen=True, slots=True)
class TrunkComparison:
    """DCD-DAN with two trunks on the same source and targets.

    Attributes:
        tables: numbers of the two tables.
        source: their source.
        trunks: their trunks, in the order of ``tables``.
        anova: analysis of variance, as the paper computes it.
        paired: paired t test over the targets.
        rank: Wilcoxon's signed-rank test over the targets.
    """

    tables: tuple[int, int]
    source: str
    trunks: tuple[str, str]
    anova: Anova
    paired: PairedT
    rank: SignedRank


def means_of(row: PaperRow) -> tuple[float, float]:
    """Return the means of a row over all five targets and over the last four.

    Args:
        row: a row of one of the paper's tables.

    Example:
        >>> from dcdan.paper.published import table
        >>> [round(mean, 3) for mean in means_of(table(1).ours)]
        [79.366, 75.912]
    """
    means: TargetMeans = target_means(row.figures)
    assert means.last_four is not None  # the paper's rows have five figures
    return means.all, means.last_four


def table_summaries(tables: Sequence[PaperTable]) -> tuple[TableSummary, ...]:
    """Return the statistics of the DCD-DAN row of each table.

    Args:
        tables: tables of the paper.
    """
    return tuple(
        TableSummary(table.number, table.trunk, summarise(table.ours.figures), means_of(table.ours)[1], table.ours.mean)
        for table in tables
    )


def against_baselines(tables: Sequence[PaperTable]) -> tuple[Versus, ...]:
    """Compare DCD-DAN with every baseline of its own table.

    Args:
        tables: tables of the paper.

    Returns:
        One entry for each baseline, table by table.
    """
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
    """Compare DCD-DAN between trunks, for every two tables of one source and the same targets.

    Args:
        tables: tables of the paper.
    """
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
    """Return the baseline with the highest mean.

    Args:
        table: a table of the paper.
        mean: which mean: as ``printed``, of the ``last_four`` targets, or of ``all``.

    Raises:
        KeyError: for another mean.

    Example:
        >>> from dcdan.paper.published import table
        >>> best_baseline(table(1)).method, best_baseline(table(1), "all").method
        ('SCN', 'RAN')
    """
    scores = {
        "printed": lambda row: row.mean,
        "last_four": lambda row: means_of(row)[1],
        "all": lambda row: means_of(row)[0],
    }
    return max(table.baselines, key=scores[mean])
