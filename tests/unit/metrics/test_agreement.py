"""Cohen's kappa against scikit-learn and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dcdan.metrics.agreement import cohen_kappa


@pytest.mark.parametrize("seed", range(5))
def test_kappa_is_that_of_the_library(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn")
    rng = np.random.default_rng(seed)
    one = rng.integers(0, 5, 60)
    two = np.where(rng.random(60) < 0.6, one, rng.integers(0, 5, 60))
    found = cohen_kappa(one, two, 7)
    assert found.kappa == pytest.approx(metrics.cohen_kappa_score(one, two))
    assert found.observed == pytest.approx(np.mean(one == two))
    assert found.faces == 60


def test_bounds() -> None:
    assert cohen_kappa([0, 1, 2], [0, 1, 2], 3).kappa == 1
    assert cohen_kappa([0, 1], [1, 0], 2).kappa == -1
    assert math.isnan(cohen_kappa([0, 0], [0, 0], 2).kappa)
    assert math.isnan(cohen_kappa([], [], 2).kappa)
    assert cohen_kappa([], [], 2).faces == 0
