"""McNemar's test against counts by hand."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from dcdan.evaluation.mcnemar import mcnemar


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
