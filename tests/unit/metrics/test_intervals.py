"""The Wilson interval against scipy and against its definition.

Mean, spread and Student's interval against formulas by hand, and what must not change them.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, bootstrap, norm

from dcdan.metrics.intervals import bootstrap_interval, faces_needed, summarise, target_means, wilson


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


@pytest.mark.parametrize(("half_width", "confidence"), [(0.05, 0.95), (0.1, 0.95), (0.03, 0.9), (0.2, 0.99)])
def test_faces_needed_are_the_fewest_that_suffice(half_width: float, confidence: float) -> None:
    """D6: the number of faces that is named is enough at any accuracy, and two fewer are not."""

    def widest(n: int) -> float:
        return max((w.high - w.low) / 2 for w in (wilson(k, n, confidence) for k in range(n + 1)))

    needed = faces_needed(half_width, confidence)
    assert widest(needed) <= half_width + 1e-12
    assert widest(needed - 2) > half_width
    assert faces_needed(0.49, 0.5) == 1


@pytest.mark.parametrize("half_width", [0.0, 0.5, -1.0])
def test_impossible_widths_are_refused(half_width: float) -> None:
    with pytest.raises(ValueError, match="half width"):
        faces_needed(half_width)
    with pytest.raises(ValueError, match="confidence"):
        faces_needed(0.1, 1.0)


def test_wilson_z_is_that_of_the_confidence() -> None:
    """T: half of 100 answers, by hand: z = 1.959964, z^2 = 3.841459, (.5 +- z sqrt(.25/100 + z^2/40000)) / 1.03841."""
    low, high = wilson(50, 100)
    assert (low, high) == (pytest.approx(0.403831, abs=1e-6), pytest.approx(0.596169, abs=1e-6))


def test_bootstrap_of_one_seed_is_that_of_the_faces() -> None:
    """Against the normal approximation, and scipy's percentile bootstrap."""
    correct = np.random.default_rng(1).random(2000) < 0.8
    low, high = bootstrap_interval(correct[None])
    half = norm.ppf(0.975) * math.sqrt(correct.mean() * (1 - correct.mean()) / 2000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)
    assert (high + low) / 2 == pytest.approx(correct.mean(), abs=0.002)
    theirs = bootstrap((correct,), np.mean, n_resamples=2000, method="percentile", rng=np.random.default_rng(0))
    assert (low, high) == pytest.approx(tuple(theirs.confidence_interval), abs=0.003)
    assert bootstrap_interval(correct[None]) == (low, high)
    assert bootstrap_interval(correct[None], seed=1) != (low, high)


def test_bootstrap_holds_the_spread_of_seeds() -> None:
    """Protocol rule 4: seeds that differ by tens of points give a wide interval, however many faces there are."""
    faces = np.arange(4000) / 4000
    alike = np.stack([faces < 0.7] * 3)
    spread = np.stack([faces < share for share in (0.5, 0.7, 0.9)])
    narrow, wide = bootstrap_interval(alike), bootstrap_interval(spread)
    assert narrow.high - narrow.low < 0.04
    assert wide.low < 0.55
    assert wide.high > 0.85
    # The variance of the mean of S seeds is their variance (S - 1) over S, here .04 / 3.
    ninety = bootstrap_interval(np.stack([faces < 0.4 + 0.02 * seed for seed in range(30)]), confidence=0.9)
    sd = 0.02 * math.sqrt(30 * 31 / 12) / math.sqrt(30)
    faces_sd = math.sqrt(0.2 / 4000)
    assert (ninety.high - ninety.low) / 2 == pytest.approx(norm.ppf(0.95) * math.hypot(sd, faces_sd), rel=0.1)


def test_bootstrap_covers_the_truth() -> None:
    """Three seeds of one method: over many draws the interval of 90 % holds the method's accuracy."""
    rng = np.random.default_rng(0)
    held = 0
    for draw in range(120):
        difficulty = rng.normal(size=150)
        skill = 1.0 + 0.3 * rng.normal(size=(5, 1))
        correct = rng.random((5, 150)) < 1 / (1 + np.exp(-(skill + difficulty)))
        low, high = bootstrap_interval(correct, 0.9, resamples=200, seed=draw)
        held += low <= TRUTH <= high
    assert held / 120 > 0.8


TRUTH = float(np.mean(1 / (1 + np.exp(-(1 + np.random.default_rng(9).normal(size=400_000) * math.sqrt(1 + 0.3**2))))))


@pytest.mark.parametrize("shape", [(0, 5), (3, 0), (5,)])
def test_bootstrap_without_seeds_or_faces_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="no seeds x faces"):
        bootstrap_interval(np.ones(shape, bool))


def test_bootstrap_stays_within_0_and_1() -> None:
    ones = np.ones((2, 40), bool)
    assert bootstrap_interval(ones) == (1.0, 1.0)
    mixed = np.stack([np.ones(40, bool), np.zeros(40, bool)])
    assert bootstrap_interval(mixed) == (0.0, 1.0)


def test_ends_are_exact_where_all_or_none_are_correct() -> None:
    """The formula misses 0 and 1 by a rounding error at some of these counts."""
    assert all(wilson(n, n).high == 1.0 and wilson(0, n).low == 0.0 for n in range(1, 300))


def test_the_default_confidence_is_95_per_cent() -> None:
    assert summarise([1.0, 2.0, 4.0]) == summarise([1.0, 2.0, 4.0], 0.95)
    assert wilson(3, 9) == wilson(3, 9, 0.95)
    assert faces_needed(0.1) == faces_needed(0.1, 0.95)
    answers = np.arange(40).reshape(2, 20) % 3 > 0
    assert bootstrap_interval(answers) == bootstrap_interval(answers, 0.95, resamples=2000, seed=0)
