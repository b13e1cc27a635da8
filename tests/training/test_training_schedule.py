"""Learning rates over a stage."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.training.schedule import learning_rate


@pytest.mark.parametrize(
    ("schedule", "progress", "factor"),
    [
        ("one-cycle", 0.0, 0.1),
        ("one-cycle", 0.125, 0.55),
        ("one-cycle", 0.25, 1.0),
        ("one-cycle", 0.625, 0.5),
        ("one-cycle", 1.0, 0.0),
        ("cosine", 0.0, 0.1),
        ("cosine", 0.01, 0.55),
        ("cosine", 0.02, 1.0),
        ("cosine", 0.51, 0.5),
        ("cosine", 1.0, 0.0),
    ],
)
def test_values(schedule: str, progress: float, factor: float) -> None:
    assert learning_rate(schedule, progress) == pytest.approx(factor, abs=1e-9)


@pytest.mark.parametrize(("schedule", "top"), [("one-cycle", 0.25), ("cosine", 0.02)])
def test_it_rises_to_one_top_and_falls_without_a_jump(schedule: str, top: float) -> None:
    progress = np.linspace(0, 1, 2001)
    values = np.array([learning_rate(schedule, float(p)) for p in progress])
    assert (np.diff(values[progress <= top]) > 0).all()
    assert (np.diff(values[progress >= top]) < 0).all()
    assert abs(np.diff(values)).max() < 0.04
    assert values.min() >= 0
    assert values.max() <= 1


@pytest.mark.parametrize("schedule", ["one-cycle", "cosine"])
def test_each_cycle_is_the_whole_schedule_at_half_the_height_of_the_one_before(schedule: str) -> None:
    within = np.linspace(0, 0.999, 50)
    once = np.array([learning_rate(schedule, float(p)) for p in within])
    for cycle in range(3):
        values = [learning_rate(schedule, float(cycle + p) / 3, cycles=3) for p in within]
        np.testing.assert_allclose(values, once / 2**cycle, atol=1e-9)
    assert learning_rate(schedule, 1.0, cycles=3) == pytest.approx(0, abs=1e-9)
