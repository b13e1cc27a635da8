"""Drawn intensities stay in their range and belong to the expression."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.datasets.synthetic.action_units import (
    ACTION_UNITS,
    EXPRESSION_UNITS,
    INTENSITY,
    ONE_SIDED,
    draw_units,
    units_of,
)
from dcdan.expressions import EXPRESSIONS


def test_every_expression_is_made_of_known_units() -> None:
    assert set(EXPRESSION_UNITS) == set(EXPRESSIONS)
    assert {unit for units in EXPRESSION_UNITS.values() for unit in units} <= set(ACTION_UNITS)
    assert len(set(EXPRESSION_UNITS.values())) == len(EXPRESSIONS)


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_drawn_units_stand_out_of_the_idle_ones(expression: str) -> None:
    rng = np.random.default_rng(5)
    for _ in range(50):
        units = draw_units(rng, expression)
        own = [max(units[number]) for number in EXPRESSION_UNITS[expression]]
        idle = [max(units[number]) for number in ACTION_UNITS if number not in EXPRESSION_UNITS[expression]]
        assert all(INTENSITY[0] <= value <= INTENSITY[1] for value in own)
        assert all(0.0 <= value <= 0.2 for value in idle)


def test_one_sided_expressions_move_either_side_alone() -> None:
    rng = np.random.default_rng(1)
    sides = set()
    for _ in range(40):
        left, right = draw_units(rng, "contempt")[12]
        assert min(left, right) <= 0.2 < INTENSITY[0] <= max(left, right)
        sides.add(bool(left > right))
    assert sides == {True, False}


@pytest.mark.parametrize("side", [0, 1])
def test_units_of_gives_exact_intensities(side: int) -> None:
    for expression in EXPRESSIONS:
        units = units_of(expression, 0.6, side)
        for number, value in units.items():
            active = number in EXPRESSION_UNITS[expression]
            both = [0.6, 0.6] if expression not in ONE_SIDED else [0.6 * (1 - side), 0.6 * side]
            assert value.tolist() == (both if active else [0.0, 0.0])
