"""Holm, ranks and the Bayesian signed-rank test against naive computations and SciPy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from dcdan.metrics.several_methods import bayesian_signed_rank, groups_alike, holm, rank_methods


def test_holm_is_the_step_down_rule() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        p = rng.random(6) ** 3
        found = holm(p.tolist())
        for level in (0.01, 0.05, 0.2):
            rejected = set()
            for place, index in enumerate(np.argsort(p)):
                if p[index] > level / (6 - place):
                    break
                rejected.add(int(index))
            assert {index for index in range(6) if found[index] <= level} == rejected
    assert holm([]) == []
    assert holm([0.6, 0.7]) == [1.0, 1.0]


def test_ranks_equal_a_naive_loop_and_friedman_is_scipys() -> None:
    figures = np.random.default_rng(1).random((7, 4)).round(1)
    wanted = []
    for column in range(4):
        ranks = []
        for row in figures:
            above = sum(value > row[column] for value in row)
            same = sum(value == row[column] for value in row)
            ranks.append(above + (same + 1) / 2)
        wanted.append(sum(ranks) / 7)
    found = rank_methods(figures.tolist())
    assert found.ranks == pytest.approx(wanted)
    assert found.p_value == pytest.approx(stats.friedmanchisquare(*figures.T).pvalue)
    assert found.blocks == 7


@pytest.mark.parametrize(("methods", "q"), [(3, 2.343), (5, 2.728), (10, 3.164)])
def test_the_critical_difference_has_the_printed_quantiles(methods: int, q: float) -> None:
    """Demsar, JMLR 2006, Table 5a, to the third decimal place."""
    found = rank_methods(np.random.default_rng(0).random((6, methods)).tolist())
    assert found.critical_difference == pytest.approx(q * math.sqrt(methods * (methods + 1) / 36), rel=1e-3)


def test_what_cannot_be_ranked_is_refused() -> None:
    for figures in ([[1, 2, 3]], [[1, 2], [2, 1]], [[1, 2, math.nan], [1, 2, 3]]):
        with pytest.raises(ValueError, match="cannot be ranked"):
            rank_methods(figures)
    assert rank_methods([[1, 1, 1], [1, 1, 1]]).p_value == 1


def test_groups_are_the_largest_that_are_close() -> None:
    ranks = np.random.default_rng(3).permutation(np.linspace(1, 6, 6)).tolist()
    for gap in (0.5, 1.5, 2.5, 10):
        found = {frozenset(group) for group in groups_alike(ranks, gap)}
        every = [
            frozenset(chosen)
            for size in range(2, 7)
            for chosen in itertools.combinations(range(6), size)
            if max(ranks[i] for i in chosen) - min(ranks[i] for i in chosen) < gap
        ]
        assert found == {one for one in every if not any(one < other for other in every)}


def test_the_bayesian_test_equals_a_naive_loop() -> None:
    first, second = [71.0, 70.5, 75.0, 69.0], [70.0, 70.2, 71.0, 72.0]
    draws = 400
    found = bayesian_signed_rank(first, second, 1.0, draws=draws, seed=4)
    z = [0.0, *(a - b for a, b in zip(first, second, strict=True))]
    counts = [0, 0, 0]
    for weights in np.random.default_rng(4).dirichlet([0.5, 1, 1, 1, 1], draws):
        sums = [0.0, 0.0, 0.0]
        for i, j in itertools.product(range(5), repeat=2):
            mean = (z[i] + z[j]) / 2
            sums[0 if mean < -1 else 2 if mean > 1 else 1] += weights[i] * weights[j]
        counts[int(np.argmax(sums))] += 1
    assert list(found) == pytest.approx([count / draws for count in counts])
    mirrored = bayesian_signed_rank(second, first, 1.0, draws=draws, seed=4)
    assert (mirrored.worse, mirrored.better) == (found.better, found.worse)
    assert bayesian_signed_rank(first, first, 1.0).equivalent == 1
    with pytest.raises(ValueError, match="are not pairs"):
        bayesian_signed_rank([1.0], [1.0, 2.0], 1.0)
