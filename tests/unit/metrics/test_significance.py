"""McNemar's test against counts by hand.

The paired tests against formulas and enumerations by hand.
"""

from __future__ import annotations

import math
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcdan.metrics.significance import least_rank_p, mcnemar, paired_t, signed_rank


def answers(only_first: int, only_second: int, both: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.array([True] * only_first + [False] * only_second + [True] * both)
    second = np.array([False] * only_first + [True] * only_second + [True] * both)
    return first, second


@pytest.mark.parametrize(("only_first", "only_second"), [(2, 9), (9, 2), (0, 5), (1, 1)])
def test_probability_is_that_of_the_binomial_tails(only_first: int, only_second: int) -> None:
    n, least = only_first + only_second, min(only_first, only_second)
    by_hand = min(1.0, 2 * sum(comb(n, k) for k in range(least + 1)) / 2**n)
    found = mcnemar(*answers(only_first, only_second, both=20))
    assert found[:2] == (only_first, only_second)
    assert found.p_value == pytest.approx(by_hand)


def test_equal_answers_do_not_differ() -> None:
    assert mcnemar(*answers(0, 0, both=3)) == (0, 0, 1.0)


def test_other_faces_are_refused() -> None:
    with pytest.raises(ValueError, match="same faces"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


# Whole hundredths, as figures are printed.
pairs = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 10_000)), min_size=2, max_size=6).map(
    lambda drawn: tuple(zip(*[(one / 100, two / 100) for one, two in drawn], strict=True))
)


def tail(t: float, df: int) -> float:
    """Two-sided probability of Student's t, by integrating the density over the angle atan(x / sqrt(df))."""
    angle = np.linspace(math.atan(abs(t) / math.sqrt(df)), math.pi / 2, 200_001)
    constant = math.gamma((df + 1) / 2) / (math.sqrt(math.pi) * math.gamma(df / 2))
    return float(2 * np.trapezoid(constant * np.cos(angle) ** (df - 1), angle))


def by_hand(first: list[float], second: list[float]) -> tuple[float, float]:
    """Return the smaller sum of ranks and its two-sided probability, over all signs."""
    differences = [round(a - b, 6) for a, b in zip(first, second, strict=True) if round(a - b, 6)]
    sizes = [abs(d) for d in differences]
    ranks = [sum(o < s for o in sizes) + (sum(o == s for o in sizes) + 1) / 2 for s in sizes]
    total = sum(ranks)
    plus = sum(rank for rank, d in zip(ranks, differences, strict=True) if d > 0)
    sums = [
        sum(r for r, sign in zip(ranks, signs, strict=True) if sign) for signs in product((0, 1), repeat=len(ranks))
    ]
    low = sum(s <= plus for s in sums) / len(sums)
    high = sum(s >= plus for s in sums) / len(sums)
    return min(plus, total - plus), min(1.0, 2 * min(low, high))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([93.18, 82.13, 78.37, 72.47, 70.68], [91.72, 62.75, 72.18, 59.82, 63.18]),
        ([1.0, 2.0, 4.0], [2.0, 1.0, 1.5]),
        ([0.3, 0.9], [0.1, 0.2]),
    ],
)
def test_t_is_that_of_the_formula(first: list[float], second: list[float]) -> None:
    d = [a - b for a, b in zip(first, second, strict=True)]
    mean = sum(d) / len(d)
    sd = math.sqrt(sum((x - mean) ** 2 for x in d) / (len(d) - 1))
    found = paired_t(first, second)
    assert found.difference == pytest.approx(mean)
    assert found.t == pytest.approx(mean / (sd / math.sqrt(len(d))))
    assert found.df == len(d) - 1
    assert found.p_value == pytest.approx(tail(found.t, found.df), rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(pairs, st.integers(-5000, 5000))
def test_t_turns_with_the_sides_and_stays_when_both_move(
    drawn: tuple[tuple[float, ...], tuple[float, ...]], shift: int
) -> None:
    first, second = drawn
    found, turned = paired_t(first, second), paired_t(second, first)
    moved = paired_t([x + shift / 100 for x in first], [x + shift / 100 for x in second])
    assert (turned.t, turned.p_value) == (pytest.approx(-found.t), pytest.approx(found.p_value))
    assert (moved.t, moved.p_value) == (pytest.approx(found.t), pytest.approx(found.p_value))
    assert 0.0 <= found.p_value <= 1.0


@settings(max_examples=40, deadline=None)
@given(pairs)
def test_signed_rank_is_that_of_all_signs(drawn: tuple[tuple[float, ...], tuple[float, ...]]) -> None:
    found = signed_rank(*drawn)
    if not found.pairs:
        assert found == (0, 0.0, 1.0, True)
        return
    statistic, p = by_hand(*map(list, drawn))
    assert found.exact
    assert (found.statistic, found.p_value) == (pytest.approx(statistic), pytest.approx(p))


def test_rounding_errors_make_neither_ties_nor_differences() -> None:
    tied = signed_rank([0.3, 0.6, 1.0], [0.1, 0.4, 0.7])
    assert (tied.pairs, tied.p_value) == (3, pytest.approx(0.25))
    assert signed_rank([0.1 + 0.2, 2.0], [0.3, 1.0]).pairs == 1


@pytest.mark.parametrize("n", [1, 4, 5, 6, 10])
def test_least_probability_is_reached_when_all_differ_in_one_sense(n: int) -> None:
    assert signed_rank([float(i) for i in range(1, n + 1)], [0.0] * n).p_value == pytest.approx(least_rank_p(n))


def test_many_ties_are_approximated() -> None:
    assert signed_rank([1.0, 1.0, 1.0, 2.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [0.0] * 10).exact
    found = signed_rank([1.0] * 6 + [-1.0] * 5, [0.0] * 11)
    assert (found.exact, found.statistic) == (False, 30.0)


def test_many_pairs_are_approximated() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(0.4, 1, 60).round(3), np.zeros(60)
    found = signed_rank(first.tolist(), second.tolist())
    ranks = np.argsort(np.argsort(np.abs(first))) + 1
    z = (abs(ranks[first > 0].sum() - 60 * 61 / 4) - 0.5) / math.sqrt(60 * 61 * 121 / 24)
    assert not found.exact
    # Rounded to thousandths a pair or two is tied, which hardly moves it.
    assert found.p_value == pytest.approx(math.erfc(z / math.sqrt(2)), rel=0.02)


def test_differences_without_spread() -> None:
    assert paired_t([1.0, 2.0], [1.0, 2.0]) == (0.0, 0.0, 1, 1.0)
    assert paired_t([0.3, 1.3], [0.1, 1.1])[1:] == (math.inf, 1, 0.0)
    assert paired_t([0.1, 1.1], [0.3, 1.3]).t == -math.inf


@pytest.mark.parametrize(("first", "second"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([1.0, math.nan], [1.0, 2.0])])
def test_what_is_no_pairs_is_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs|finite"):
        paired_t(first, second)
