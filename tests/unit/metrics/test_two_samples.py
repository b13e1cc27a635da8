"""Differences of two samples, against SciPy, scikit-learn and naive loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chi2_contingency, mannwhitneyu
from sklearn.linear_model import RidgeClassifier

from dcdan.metrics.two_samples import cliffs_delta, mmd, proxy_a_distance, share_difference


def test_cliffs_delta_is_that_of_all_pairs_and_its_test_that_of_scipy() -> None:
    rng = np.random.default_rng(0)
    for shift, digits in ((0.0, 3), (0.4, 1), (-1.0, 0)):
        one, two = rng.normal(0, 1, 80).round(digits), rng.normal(shift, 1, 60).round(digits)
        found = cliffs_delta(one, two)
        assert found.delta == pytest.approx(np.sign(two[:, None] - one[None]).mean())
        assert found.p_value == pytest.approx(mannwhitneyu(one, two, method="asymptotic").pvalue, rel=1e-6)
    assert cliffs_delta([1, 1], [1, 1, 1]) == (0.0, 1.0)
    assert cliffs_delta([1, 2], [3, 4]).delta == 1.0
    with pytest.raises(ValueError, match="cannot be compared"):
        cliffs_delta([], [1.0])
    with pytest.raises(ValueError, match="cannot be compared"):
        cliffs_delta([1.0], [np.nan])


def naive_mmd(one: np.ndarray, two: np.ndarray) -> float:
    both = np.concatenate([one, two])
    pairs = [((both[i] - both[j]) ** 2).sum() for i in range(len(both)) for j in range(i)]
    scale = np.median(pairs)

    def kernel(x: np.ndarray, y: np.ndarray) -> float:
        return float(np.exp(-((x - y) ** 2).sum() / scale))

    m, n = len(one), len(two)
    inside = sum(kernel(one[i], one[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    outside = sum(kernel(two[i], two[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    return inside + outside - 2 * sum(kernel(x, y) for x in one for y in two) / (m * n)


def test_mmd_is_that_of_a_naive_loop() -> None:
    rng = np.random.default_rng(1)
    one, two = rng.normal(5, 1, (14, 3)), rng.normal(5.5, 2, (9, 3))
    assert mmd(one, two).value == pytest.approx(naive_mmd(one, two), abs=1e-10)


def test_mmd_finds_a_shift_and_keeps_its_level() -> None:
    rng = np.random.default_rng(2)
    assert mmd(rng.normal(0, 1, (60, 4)), rng.normal(0.7, 1, (50, 4))).p_value <= 0.002
    p_values = [mmd(rng.normal(0, 1, (20, 3)), rng.normal(0, 1, (30, 3)), permutations=99).p_value for _ in range(200)]
    assert 0.01 <= np.mean(np.array(p_values) <= 0.05) <= 0.09
    assert mmd(np.ones((5, 2)), np.ones((6, 2))).p_value == 1.0
    with pytest.raises(ValueError, match="cannot be compared"):
        mmd(np.ones((1, 2)), np.ones((6, 2)))


def test_proxy_a_distance_is_that_of_a_ridge_classifier() -> None:
    rng = np.random.default_rng(3)
    one, two = rng.normal(0, 1, (1000, 4)), rng.normal([1, 0, 0, 0], 1, (1000, 4))
    x, y = np.concatenate([one, two]), np.repeat([0, 1], 1000)
    test = np.arange(2000) % 2 == 0
    error = 1 - RidgeClassifier().fit(x[~test], y[~test]).score(x[test], y[test])
    assert proxy_a_distance(one, two) == pytest.approx(2 * (1 - 2 * error), abs=0.12)


def test_proxy_a_distance_is_about_zero_for_one_distribution_of_any_sizes() -> None:
    rng = np.random.default_rng(4)
    assert proxy_a_distance(rng.normal(0, 1, (300, 3)), rng.normal(0, 1, (60, 3))) < 0.4
    assert proxy_a_distance(rng.normal(0, 1, (30, 256)), rng.normal(40, 1, (30, 256))) == 2.0
    assert proxy_a_distance(np.ones((9, 2)), np.ones((9, 2))) == 0.0
    with pytest.raises(ValueError, match="fewer than 5"):
        proxy_a_distance(np.ones((4, 2)), np.ones((9, 2)))


def test_share_difference_is_pearsons() -> None:
    one, two = [50, 30, 20, 0], [38, 40, 22, 0]
    found = share_difference(one, two, permutations=20_000)
    assert found.value == pytest.approx(0.5 * np.abs(np.array(one) / 100 - np.array(two) / 100).sum())
    expected = chi2_contingency([one[:3], two[:3]], correction=False).pvalue
    assert found.p_value == pytest.approx(expected, abs=0.02)
    with pytest.raises(ValueError, match="empty"):
        share_difference([0, 0], [1, 2])
