"""Durations in words, budgets, and an estimate that is renewed when it is wrong."""

from __future__ import annotations

import pytest

from dcdan.training.duration import Estimate, duration_text, steps_within


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "1 s"), (89, "89 s"), (90, "2 min"), (5340, "89 min"), (5400, "1 h 30 min"), (86_400, "24 h 00 min")],
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "left", "later", "steps"),
    [(100, 1000, 0, 50), (100, 30, 0, 30), (100, 100, 300, 12), (-5, 100, 0, 0), (100, 0, 50, 0)],
)
def test_steps_within_a_budget(seconds: float, left: int, later: float, steps: int) -> None:
    """U5. At 2 s a step; a later stage of three times the length takes three quarters of the budget."""
    assert steps_within(seconds, 2.0, left, later) == steps


def test_an_estimate_is_announced_once_and_renewed_when_it_is_wrong() -> None:
    """U5. 100 steps of 2 s are announced; after 50 steps of 2 s nothing is new; at 5 s a step it is."""
    estimate = Estimate()
    assert estimate.sentence(0.0, 2.0, 100, 0) == "About 3 min of training left (2.00 s a step)."
    assert estimate.sentence(100.0, 2.0, 50, 0) == ""
    assert estimate.sentence(110.0, 2.2, 50, 0) == ""
    assert estimate.sentence(120.0, 5.0, 40, 0) == "More exactly, about 3 min of training left (5.00 s a step)."
    assert estimate.sentence(122.0, 5.0, 39, 100).startswith(
        "More exactly, about 12 min of training left in this stage"
    )


def test_a_long_training_names_the_option_for_a_shorter_one_once() -> None:
    """U5: five hours were begun without a word."""
    assert "--minutes" not in Estimate().sentence(0.0, 1.0, 1700, 0)
    estimate = Estimate()
    assert "start another with --minutes N" in estimate.sentence(0.0, 1.0, 1000, 900)
    assert "--minutes" not in estimate.sentence(0.0, 9.0, 1000, 900)
    assert "--minutes" not in Estimate(budget=True).sentence(0.0, 1.0, 1000, 900)
