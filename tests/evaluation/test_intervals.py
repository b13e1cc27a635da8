"""The Wilson interval against scipy and against its definition."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest, norm

from dcdan.evaluation.intervals import wilson


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
