"""The Wilson interval against scipy and against its definition.

Mean, spread and Student's interval against formulas by hand, and what must not change them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm

from dcdan.metrics.intervals import summarise, target_means, wilson


@pytest.mark.parametrize(("successes", "trials"), [(0, 10), (10, 10), (1, 3), (87, 129), (151, 213), (2790, 3153)])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_interval_equals_scipy(successes: int, trials: int, confidence: float) -> None:
    expected = binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert wilson(successes, trials, confidence) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "trials"), [(3, 40), (30, 40), (700, 1000)])
def test_both_ends_lie_z_standard_errors_from_the_share(successes: int, trials: int) -> None:
    z = norm.ppf(0.975)
    for end in wilson(successes, trials):
        assert abs(successes / trials - end) == pytest.approx(z * math.sqrt(end * (1 - end) / trials))


def test_nothing_is_known_without_trials() -> None:
    assert wilson(0, 0) == (0.0, 1.0)


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(-1, 4, 0.95), (5, 4, 0.95), (1, 4, 1.0)])
def test_impossible_counts_are_refused(successes: int, trials: int, confidence: float) -> None:
    with pytest.raises(ValueError, match=r"trials|confidence"):
        wilson(successes, trials, confidence)


figures = st.lists(st.floats(0, 100), min_size=2, max_size=8)


def t_mass(within: float, df: int) -> float:
    """Probability of Student's t between -within and within, by integrating its density."""
    x = np.linspace(-within, within, 400_001)
    constant = math.gamma((df + 1) / 2) / (math.sqrt(df * math.pi) * math.gamma(df / 2))
    return float(np.trapezoid(constant * (1 + x * x / df) ** (-(df + 1) / 2), x))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("values", [[93.18, 82.13, 78.37, 72.47, 70.68], [1.0, 2.0], [0.1, 0.1, 0.4, 0.8, 0.9, 1.5]])
def test_summary_is_that_of_the_formulas(values: list[float], confidence: float) -> None:
    n = len(values)
    mean = sum(values) / n
    sd = math.sqrt(sum((value - mean) ** 2 for value in values) / (n - 1))
    found = summarise(values, confidence)
    assert (found.n, found.mean, found.sd) == (n, pytest.approx(mean), pytest.approx(sd))
    assert found.high - found.mean == pytest.approx(found.mean - found.low)
    quantile = (found.high - found.mean) / (sd / math.sqrt(n))
    assert t_mass(quantile, n - 1) == pytest.approx(confidence, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(figures, st.floats(-50, 50), st.floats(0.1, 10))
def test_summary_moves_and_stretches_with_the_figures(values: list[float], shift: float, scale: float) -> None:
    one, two = summarise(values), summarise([shift + scale * value for value in values])
    assert two.mean == pytest.approx(shift + scale * one.mean, abs=1e-6)
    assert two.sd == pytest.approx(scale * one.sd, abs=1e-6)
    assert (two.low, two.high) == pytest.approx((shift + scale * one.low, shift + scale * one.high), abs=1e-5)


@settings(max_examples=50, deadline=None)
@given(figures)
def test_order_does_not_matter_and_more_confidence_is_wider(values: list[float]) -> None:
    one, reverse, wide = summarise(values), summarise(values[::-1]), summarise(values, 0.99)
    assert reverse == pytest.approx(one, abs=1e-9)
    assert wide.low <= one.low <= one.mean <= one.high <= wide.high


def test_one_figure_has_no_spread() -> None:
    n, mean, sd, low, high = summarise([3.0])
    assert (n, mean, low, high) == (1, 3.0, -math.inf, math.inf)
    assert math.isnan(sd)


def test_both_means_of_a_row() -> None:
    assert target_means([10.0, 1.0, 2.0, 3.0, 4.0]) == (4.0, 2.5)
    assert target_means([1.0, 2.0, 3.0, 4.0]) == (2.5, 2.5)
    assert target_means([1.0, 2.0]) == (1.5, None)


@pytest.mark.parametrize(("values", "confidence"), [([], 0.95), ([1.0, math.nan], 0.95), ([1.0, 2.0], 1.0)])
def test_what_has_no_summary_is_refused(values: list[float], confidence: float) -> None:
    with pytest.raises(ValueError, match=r"summary|confidence"):
        summarise(values, confidence)


def test_no_figures_have_no_means() -> None:
    with pytest.raises(ValueError, match="no mean"):
        target_means([])
