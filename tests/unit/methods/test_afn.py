"""AFN: both norm losses against plain Python, and which way they pull."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.methods.afn import AFN, AFNSettings, hard_norm_loss, stepwise_norm_loss
from dcdan.methods.base import Batch
from toy_batch import CLASSES, COUNTS, WIDTH, made_up


def lengths(features: torch.Tensor) -> list[float]:
    return [math.sqrt(sum(value**2 for value in row)) for row in features.tolist()]


def test_hard_loss_equals_a_naive_loop() -> None:
    features = torch.randn(5, 8, dtype=torch.float64)
    mean = sum(lengths(features)) / 5
    assert hard_norm_loss(features, 25.0).item() == pytest.approx((mean - 25) ** 2)
    assert hard_norm_loss(features, mean).item() == pytest.approx(0)


def test_stepwise_loss_is_worth_its_gradient_only() -> None:
    features = torch.randn(5, 8, dtype=torch.float64, requires_grad=True)
    loss = stepwise_norm_loss(features, 0.5)
    assert loss.item() == pytest.approx(0.25)
    (found,) = torch.autograd.grad(loss, features)
    for row, gradient, length in zip(features.tolist(), found.tolist(), lengths(features), strict=True):
        assert gradient == pytest.approx([-2 * 0.5 * value / length / 5 for value in row])


def test_stepwise_loss_lengthens_every_face_and_hard_loss_only_those_short_on_average() -> None:
    for scale, longer in ((0.1, True), (10.0, False)):
        features = (scale * torch.randn(6, 16, dtype=torch.float64)).requires_grad_()
        before = torch.tensor(lengths(features))
        (stepwise,) = torch.autograd.grad(stepwise_norm_loss(features, 1.0), features)
        assert (torch.tensor(lengths(features - 1e-3 * stepwise)) > before).all()
        (hard,) = torch.autograd.grad(hard_norm_loss(features, 8.0), features)
        after = torch.tensor(lengths(features - 1e-4 * hard))
        assert bool((after > before).all()) == longer
        assert bool((after < before).all()) != longer


@pytest.mark.parametrize("variant", ["stepwise", "hard"])
def test_method_weighs_each_domain_by_itself(variant: str) -> None:
    method = AFN(AFNSettings(variant=variant, weight=0.2, step=0.5, radius=9.0), WIDTH, COUNTS).double()  # type: ignore[arg-type]
    labels = torch.eye(CLASSES, dtype=torch.float64)
    batch = Batch(labels, made_up(CLASSES, 0), made_up(3, 1))
    assert batch.target is not None
    losses = method.losses(batch, 0.0)
    wanted = 0.0
    for domain in (batch.source, batch.target):
        each = lengths(domain.of_global + domain.of_local)
        wanted += 0.25 if variant == "stepwise" else (sum(each) / len(each) - 9 * math.sqrt(WIDTH / 1000)) ** 2
    assert losses["norm"].item() == pytest.approx(0.2 * wanted)
    assert losses["cls"].item() == pytest.approx(method.classify(batch).item())
    inputs = [batch.source.of_global, batch.source.of_local, batch.target.of_global, batch.target.of_local]
    assert all(gradient.any() for gradient in torch.autograd.grad(losses["norm"], inputs))


def test_hard_is_the_default_with_the_papers_numbers() -> None:
    settings = AFNSettings()
    assert (settings.variant, settings.weight, settings.step, settings.radius) == ("hard", 0.05, 1.0, 25.0)
