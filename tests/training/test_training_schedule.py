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
