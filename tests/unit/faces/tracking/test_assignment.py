"""The least-cost assignment against scipy's, and against every permutation for small matrices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import linear_sum_assignment

from dcdan.faces.tracking.assignment import assign, assign_within

SIDES = st.integers(0, 9)
WHOLE = arrays(np.float64, st.tuples(SIDES, SIDES), elements=st.integers(-3, 3).map(float))
REAL = arrays(np.float64, st.tuples(SIDES, SIDES), elements=st.floats(-1e3, 1e3))


def total(costs: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> float:
    return float(costs[pairs].sum())


@settings(deadline=None)
@given(st.one_of(WHOLE, REAL))
def test_the_total_is_scipys_and_the_shorter_side_is_all_paired(costs: np.ndarray) -> None:
    rows, columns = assign(costs)
    assert len(rows) == len(columns) == min(costs.shape)
    assert np.all(np.diff(rows) > 0)
    assert len(set(columns.tolist())) == len(columns)
    assert total(costs, (rows, columns)) == pytest.approx(total(costs, linear_sum_assignment(costs)), abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
def test_without_ties_the_pairs_are_scipys(seed: int, rows: int, columns: int) -> None:
    costs = np.random.default_rng(seed).random((rows, columns))
    for ours, theirs in zip(assign(costs), linear_sum_assignment(costs), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@settings(deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(0, 2)))
def test_leaving_apart_costs_the_limit(costs: np.ndarray) -> None:
    """Every partial pairing, by brute force: none is cheaper when each pair left out costs the limit."""
    limit = 1.0
    rows, columns = assign_within(costs, limit)
    assert np.all(costs[rows, columns] < limit)
    most = min(costs.shape)
    ours = total(costs, (rows, columns)) + limit * (most - len(rows))
    best = min(
        sum(costs[r, c] for r, c in zip(some, others, strict=True)) + limit * (most - count)
        for count in range(most + 1)
        for some in itertools.combinations(range(costs.shape[0]), count)
        for others in itertools.permutations(range(costs.shape[1]), count)
    )
    assert ours == pytest.approx(best, abs=1e-9)


def test_forbidden_pairs_stay_apart() -> None:
    rows, columns = assign_within([[np.inf, 0.1], [np.inf, 0.2], [0.5, np.inf]], 0.4)
    assert (rows.tolist(), columns.tolist()) == ([0], [1])


@pytest.mark.parametrize("costs", [[1.0, 2.0], [[np.inf, 1.0]], [[np.nan]]])
def test_what_is_no_finite_matrix_is_refused(costs: object) -> None:
    with pytest.raises(ValueError, match="finite matrix"):
        assign(costs)  # type: ignore[arg-type]
