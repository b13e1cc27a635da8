"""The classification loss against loops over faces, classes and heads."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from dcdan.methods.classification import ClassificationSettings, adjusted, classification_loss, smooth, with_margins
from dcdan.models.heads import Logits

COUNTS = torch.tensor([160.0, 40.0, 10.0, 0.0])
HARD = torch.eye(4)[[0, 2, 1, 3, 0]]
VOTES = torch.tensor([[0.6, 0.4, 0, 0], [0, 1.0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0.25] * 4, [0, 0, 0.9, 0.1]])


def heads() -> Logits:
    """Return the logits of five faces and four classes."""
    return Logits(*torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(0)).double())


def naive(logits: Logits, labels: torch.Tensor, settings: ClassificationSettings) -> float:
    """The loss, face by face."""
    counts = [max(value, 1.0) for value in COUNTS.tolist()]
    total = 0.0
    for weight, head in zip(settings.weights, logits, strict=True):
        of_head = 0.0
        for row, label in zip(head.tolist(), labels.tolist(), strict=True):
            if settings.balance == "logit-adjustment":
                row = [z + settings.adjustment * math.log(n / sum(counts)) for z, n in zip(row, counts, strict=True)]
            if settings.balance == "ldam":
                margins = [settings.margin * (min(counts) / n) ** 0.25 for n in counts]
                row = [z - y * m for z, y, m in zip(row, label, margins, strict=True)]
            if max(label) == 1:
                share = settings.label_smoothing
                label = [y * (1 - share) + share / 4 for y in label]
            log_sum = math.log(sum(math.exp(z) for z in row))
            of_head -= sum(y * (z - log_sum) for y, z in zip(label, row, strict=True))
        total += weight * of_head / len(labels)
    return total / sum(settings.weights)


@pytest.mark.parametrize("labels", [HARD, VOTES], ids=["hard", "votes"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"label_smoothing": 0.0},
        {"label_smoothing": 0.3, "weights": (1.0, 0.0, 2.0)},
        {"balance": "balanced-sampler"},
        {"balance": "logit-adjustment", "adjustment": 0.7},
        {"balance": "ldam", "margin": 0.8, "label_smoothing": 0.0},
        {"balance": "ldam"},
    ],
    ids=str,
)
def test_loss_equals_a_naive_loop(labels: torch.Tensor, changes: dict[str, Any]) -> None:
    settings = ClassificationSettings(**changes)
    found = classification_loss(heads(), labels.double(), COUNTS, settings)
    assert found.shape == ()
    assert found.item() == pytest.approx(naive(heads(), labels.double(), settings), rel=1e-6)


def test_perfect_answers_cost_nothing_without_smoothing() -> None:
    sure = 60 * HARD
    settings = ClassificationSettings(label_smoothing=0)
    assert classification_loss(Logits(sure, sure, sure), HARD, COUNTS, settings).item() == pytest.approx(0, abs=1e-6)


def test_smoothing_spreads_hard_labels_and_leaves_votes() -> None:
    found = smooth(torch.stack([HARD[0], VOTES[0]]), 0.2)
    assert found[0].tolist() == pytest.approx([0.85, 0.05, 0.05, 0.05])
    assert torch.equal(found[1], VOTES[0])
    torch.testing.assert_close(found.sum(1), torch.ones(2))


def test_logit_adjustment_asks_more_of_common_classes() -> None:
    moved = adjusted(torch.zeros(1, 4), COUNTS, 1.0).softmax(1)
    torch.testing.assert_close(moved[0], COUNTS.clamp_min(1) / COUNTS.clamp_min(1).sum())
    assert torch.equal(adjusted(torch.ones(1, 4), COUNTS, 0.0), torch.ones(1, 4))


def test_ldam_takes_the_largest_margin_from_the_rarest_class() -> None:
    taken = -with_margins(torch.zeros(4, 4), torch.eye(4), COUNTS, 0.5)
    margins = taken.diagonal()
    assert margins[3].item() == pytest.approx(0.5)
    assert (margins.diff() > 0).all()
    assert (margins[0] / margins[1]).item() == pytest.approx((40 / 160) ** 0.25)
    assert (taken - margins.diag()).abs().max() == 0


def test_gradient_by_finite_differences() -> None:
    settings = ClassificationSettings(balance="ldam")

    def loss(*logits: torch.Tensor) -> torch.Tensor:
        return classification_loss(Logits(*logits), VOTES.double(), COUNTS.double(), settings)

    assert torch.autograd.gradcheck(loss, tuple(head.requires_grad_() for head in heads()))


@pytest.mark.parametrize("weights", [(0, 0, 0), (1, -1, 1), (1, 1)])
def test_weights_that_make_no_loss_are_refused(weights: tuple[float, ...]) -> None:
    with pytest.raises(ValidationError, match="weights"):
        ClassificationSettings(weights=weights)  # type: ignore[arg-type]
