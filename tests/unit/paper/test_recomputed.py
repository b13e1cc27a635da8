"""One-way analysis of variance against sums of squares by hand, and the pooled t test that it is for two groups.

The paper's statistics as `dcdan paper` computes them, to the digit, and against scipy on the raw figures.

Figures written out are quoted from the project's protocol, where they were computed before this code was written.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from dcdan.metrics.significance import paired_t
from dcdan.paper.published import TABLES
from dcdan.paper.recomputed import (
    against_baselines,
    best_baseline,
    means_of,
    one_way_anova,
    table_summaries,
    trunk_comparisons,
)
from dcdan.paper.sections import probability


@pytest.mark.parametrize(
    "groups", [([1.0, 2.0, 4.0], [3.0, 5.0, 9.0]), ([1.0, 2.0], [2.0, 4.0, 4.5], [0.0, 1.0, 1.5, 8.0])]
)
def test_f_is_that_of_the_sums_of_squares(groups: tuple[list[float], ...]) -> None:
    every = [x for group in groups for x in group]
    grand = sum(every) / len(every)
    means = [sum(group) / len(group) for group in groups]
    between = sum(len(group) * (mean - grand) ** 2 for group, mean in zip(groups, means, strict=True))
    within = sum((x - mean) ** 2 for group, mean in zip(groups, means, strict=True) for x in group)
    found = one_way_anova(*groups)
    assert (found.between, found.within) == (len(groups) - 1, len(every) - len(groups))
    assert found.f == pytest.approx((between / found.between) / (within / found.within))


def test_probability_of_two_groups_is_that_of_the_pooled_t() -> None:
    first, second = [93.18, 82.13, 78.37, 72.47, 70.68], [91.72, 62.75, 72.18, 59.82, 63.18]
    found = one_way_anova(first, second)
    angle = np.linspace(math.atan(math.sqrt(found.f / 8)), math.pi / 2, 200_001)
    constant = math.gamma(4.5) / (math.sqrt(math.pi) * math.gamma(4))
    assert found.p_value == pytest.approx(2 * np.trapezoid(constant * np.cos(angle) ** 7, angle), rel=1e-6)


def test_it_misses_what_the_pairs_show() -> None:
    first, second = [10.0, 50.0, 90.0], [11.0, 51.2, 91.1]
    assert one_way_anova(first, second).p_value > 0.9
    assert paired_t(first, second).p_value < 0.01


@pytest.mark.parametrize("groups", [([1.0, 2.0],), ([1.0], []), ([1.0, 1.0], [2.0, 2.0])])
def test_what_cannot_be_analysed_is_refused(groups: tuple[list[float], ...]) -> None:
    with pytest.raises(ValueError, match=r"analysis of variance"):
        one_way_anova(*groups)


@pytest.mark.parametrize(
    ("number", "mean", "sd", "low", "high", "last_four", "printed"),
    [
        (1, "79.366", "8.979", "68.22", "90.51", "75.912", "75.91"),
        (2, "69.930", "13.031", "53.75", "86.11", "64.483", "64.48"),
        (3, "74.414", "11.929", "59.60", "89.23", "69.925", "69.95"),
        (4, "72.962", "11.585", "58.58", "87.35", "68.448", "68.75"),
    ],
)
def test_mean_and_spread_of_our_row(
    number: int, mean: str, sd: str, low: str, high: str, last_four: str, printed: str
) -> None:
    own = table_summaries(TABLES)[number - 1]
    assert own.table == number
    assert (f"{own.summary.mean:.3f}", f"{own.summary.sd:.3f}") == (mean, sd)
    assert (f"{own.summary.low:.2f}", f"{own.summary.high:.2f}") == (low, high)
    assert (f"{own.last_four:.3f}", f"{own.printed:.2f}") == (last_four, printed)
    figures = TABLES[number - 1].ours.figures
    ends = stats.t.interval(0.95, 4, np.mean(figures), stats.sem(figures))
    assert (own.summary.low, own.summary.high) == pytest.approx(ends)


def test_trunks_are_compared_within_a_source() -> None:
    first, second = trunk_comparisons(TABLES)
    assert (first.tables, second.tables) == ((1, 2), (3, 4))
    assert (first.anova.between, first.anova.within, first.paired.df) == (1, 8, 4)
    assert (f"{first.anova.f:.3f}", f"{first.anova.p_value:.3f}") == ("1.778", "0.219")
    assert (f"{first.paired.t:.3f}", f"{first.paired.p_value:.3f}") == ("3.085", "0.037")
    assert (f"{second.paired.t:.3f}", f"{second.paired.p_value:.3f}") == ("2.088", "0.105")


def test_every_baseline_is_compared_over_all_and_over_four() -> None:
    found = {(one.table, one.baseline): one for one in against_baselines(TABLES)}
    assert len(found) == 20
    for table in TABLES:
        for row in table.baselines:
            one = found[table.number, row.method]
            for test, start in ((one.all, 0), (one.last_four, 1)):
                expected = stats.ttest_rel(table.ours.figures[start:], row.figures[start:])
                assert (test.t, test.p_value) == pytest.approx((expected.statistic, expected.pvalue))
            assert one.rank.p_value == pytest.approx(stats.wilcoxon(table.ours.figures, row.figures).pvalue)


def test_smallest_and_largest_t_against_a_baseline() -> None:
    ordered = sorted(against_baselines(TABLES), key=lambda one: one.all.t)
    least, most = ordered[0], ordered[-1]
    assert (most.table, most.baseline, f"{most.all.t:.3f}") == (3, "RAN", "27.775")
    assert probability(most.all.p_value) == "1.0e-5"
    assert (least.table, least.baseline, f"{least.all.t:.3f}") == (2, "SCN", "3.411")
    assert probability(least.all.p_value) == "0.027"
    assert (f"{least.last_four.t:.3f}", probability(least.last_four.p_value)) == ("2.670", "0.076")
    assert least.last_four.df == 3
    assert [one for one in ordered if one.last_four.p_value >= 0.05] == [least]


@pytest.mark.parametrize(
    ("number", "method", "last_four"), [(4, "DCD-DAN", "68.448"), (4, "CSG", "43.458"), (4, "RAN", "48.013")]
)
def test_means_that_are_printed_wrongly(number: int, method: str, last_four: str) -> None:
    assert f"{means_of(TABLES[number - 1].row(method))[1]:.3f}" == last_four


def test_best_baseline_depends_on_the_mean() -> None:
    assert [best_baseline(table).method for table in TABLES] == ["SCN", "SCN", "SCN", "DGL"]
    assert [best_baseline(table, "last_four").method for table in TABLES] == ["SCN", "SCN", "SCN", "DGL"]
    assert [best_baseline(table, "all").method for table in TABLES] == ["RAN", "SCN", "RAN", "DGL"]


@pytest.mark.parametrize(
    ("p", "text"), [(0.0, "0.000"), (1.0, "1.000"), (0.0005, "0.001"), (0.00049, "4.9e-4"), (9.99e-6, "1.0e-5")]
)
def test_probabilities_are_short(p: float, text: str) -> None:
    assert probability(p) == text
