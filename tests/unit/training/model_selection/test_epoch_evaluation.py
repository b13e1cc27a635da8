"""Judging a model, and when an adaptation is said to have done harm."""

from __future__ import annotations

import numpy as np
import pytest

from dcdan.training.model_selection.epoch_evaluation import (
    EVALUATED_FACES,
    harm_warning,
    idle_discriminators,
    subsample,
)


def test_faces_to_judge_by_are_drawn_from_all_and_alike_each_time() -> None:
    rows = np.arange(100, 100 + 3 * EVALUATED_FACES)
    drawn = subsample(rows)
    assert len(drawn) == len(set(drawn)) == EVALUATED_FACES
    assert (np.diff(drawn) > 0).all()
    assert (subsample(rows) == drawn).all()
    assert np.histogram(drawn, 3)[0].min() > EVALUATED_FACES / 4
    assert (subsample(rows[:50]) == rows[:50]).all()


def epochs(*accuracies: float) -> list[dict[str, object]]:
    judged = [
        {"kind": "adaptation-epoch", "epoch": i, "source_validation": value} for i, value in enumerate(accuracies)
    ]
    return [{"kind": "source-epoch", "epoch": 1, "source_validation": 0.99}, *judged]


@pytest.mark.parametrize(
    ("accuracies", "taken", "said"),
    [
        ((0.80, 0.70, 0.77), None, "fell from 80.0% to 77.0%"),
        ((0.80, 0.70, 0.79), 1, "fell from 80.0% to 70.0%"),
        ((0.80, 0.70, 0.79), None, ""),
        ((0.80, 0.70), 0, ""),
        ((0.80, 0.90), None, ""),
        ((), None, ""),
    ],
)
def test_a_fall_on_held_out_source_faces_is_said(accuracies: tuple[float, ...], taken: int | None, said: str) -> None:
    found = harm_warning(epochs(*accuracies), taken)
    assert said in found
    assert bool(found) == bool(said)


@pytest.mark.parametrize(
    ("accuracies", "said"),
    [
        ((0.49, 0.515), "discriminator_local stays at chance from start to end (accuracy 0.49 to 0.52)"),
        ((0.49, 0.55), ""),
        ((0.985, 0.999), "discriminator_local tells the domains apart from start to end (accuracy 0.98 to 1.00)"),
        ((0.97, 0.999), ""),
        ((0.5, 0.99), ""),
    ],
)
def test_a_discriminator_that_teaches_nothing_is_said(accuracies: tuple[float, ...], said: str) -> None:
    """F2. The epoch before the first step has no accuracy; a healthy discriminator beside it gets no sentence."""
    first = {"kind": "adaptation-epoch", "epoch": 0}
    records = [
        {"kind": "adaptation-epoch", "epoch": i + 1, "discriminator_local": value, "discriminator_global": 0.7}
        for i, value in enumerate(accuracies)
    ]
    found = idle_discriminators([first, *records])
    assert said in found
    assert bool(found) == bool(said)
    assert "global" not in found
    assert idle_discriminators([first]) == ""
