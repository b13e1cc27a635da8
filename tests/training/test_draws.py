"""Draw weights against the shares that they promise."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dcdan.training.domains import Source
from dcdan.training.draws import draw_weights

HARD = np.array([0] * 60 + [1] * 30 + [2] * 10)
SOURCE = Source(
    np.zeros((100, 4, 4), np.uint8),
    ("fear", "anger", "neutral"),
    np.arange(100),
    np.arange(0),
    HARD,
    torch.eye(3)[torch.from_numpy(HARD)],
    0,
)
SEEN = np.tile([0.2, 0.3, 0.5], (40, 1))


def shares(weights: np.ndarray | None) -> list[float]:
    assert weights is not None
    return [float(weights[c == HARD].sum()) for c in range(3)]


def never() -> np.ndarray:
    raise AssertionError("the target is looked at for nothing")


def test_an_even_draw_has_no_weights_and_asks_nothing() -> None:
    assert draw_weights("even", "none", SOURCE, never) == (None, None)


def test_the_source_takes_the_shares_seen_in_the_target() -> None:
    found = draw_weights("source-as-target", "none", SOURCE, lambda: SEEN)
    assert shares(found.source) == pytest.approx([0.2, 0.3, 0.5])
    assert found.target is None


def test_soft_labels_move_the_shares_too() -> None:
    soft = torch.full((100, 3), 1 / 3) * 0.3 + SOURCE.labels * 0.7
    source = Source(SOURCE.faces, SOURCE.classes, SOURCE.train, SOURCE.validation, HARD, soft, 0)
    weights = draw_weights("source-as-target", "none", source, lambda: SEEN).source
    assert weights is not None
    before, after = soft.double().mean(0).numpy(), weights @ soft.double().numpy()
    assert np.abs(after - SEEN[0]).sum() < 0.75 * np.abs(before - SEEN[0]).sum()


def test_the_balanced_sampler_goes_first() -> None:
    found = draw_weights("source-as-target", "balanced-sampler", SOURCE, never)
    assert shares(found.source) == pytest.approx([1 / 3] * 3)


def test_the_target_takes_the_source_s_shares_of_what_is_seen() -> None:
    seen = np.eye(3)[[0] * 10 + [1] * 10 + [2] * 20]
    found = draw_weights("target-as-source", "none", SOURCE, lambda: seen)
    assert found.source is None
    assert found.target is not None
    assert [float(found.target[seen[:, c] == 1].sum()) for c in range(3)] == pytest.approx([0.6, 0.3, 0.1])
