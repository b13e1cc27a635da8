"""Places of features by t-SNE: neighbours stay neighbours, and features that are all alike crash nothing."""

from __future__ import annotations

import numpy as np

from dcdan.plots.embeddings import tsne


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    centres = 10 * rng.normal(size=(3, 8)).repeat(20, axis=0)
    places = tsne((centres + rng.normal(size=centres.shape)).astype(np.float32), seed=0)
    assert places.shape == (60, 2)
    distances = np.linalg.norm(places[:, None] - places, axis=2) + np.diag(np.full(60, np.inf))
    assert (distances.argmin(1) // 20 == np.arange(60) // 20).all()


def test_features_of_a_branch_that_is_not_there_lie_in_one_place() -> None:
    assert not tsne(np.zeros((60, 8), np.float32), seed=0).any()
    assert not tsne(np.full((60, 8), 3, np.float32), seed=0).any()
