"""One-way analysis of variance against sums of squares by hand, and the pooled t test that it is for two groups."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dcdan.evaluation.paired import paired_t
from dcdan.evaluation.paper.anova import one_way_anova


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
