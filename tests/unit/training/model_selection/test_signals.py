"""Label-free signals and the guards."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.core.errors import TrainingError
from dcdan.models.discriminator import Discriminator
from dcdan.training.model_selection.signals import (
    check_discriminator_alive,
    check_finite,
    check_prediction_collapse,
    signals,
)


def test_signals_equal_a_naive_computation() -> None:
    p = torch.rand(50, 7, generator=torch.Generator().manual_seed(0)).pow(3)
    p = p / p.sum(1, keepdim=True)
    rows = p.tolist()
    entropy = sum(-sum(v * math.log(v) for v in row) for row in rows) / 50
    mean = [sum(row[k] for row in rows) / 50 for k in range(7)]
    diversity = -sum(v * math.log(v) for v in mean)
    votes = [row.index(max(row)) for row in rows]
    found = signals(p)
    assert found.entropy == pytest.approx(entropy, abs=1e-6)
    assert found.diversity == pytest.approx(diversity, abs=1e-6)
    assert found.information == pytest.approx(diversity - entropy, abs=1e-6)
    assert found.confidence == pytest.approx(sum(map(max, rows)) / 50, abs=1e-6)
    assert found.largest_share == pytest.approx(max(votes.count(k) for k in range(7)) / 50)


def test_certain_and_even_predictions() -> None:
    certain = signals(torch.eye(4))
    assert certain.entropy == pytest.approx(0, abs=1e-9)
    assert certain.diversity == pytest.approx(math.log(4))
    assert (certain.confidence, certain.largest_share) == (1, 0.25)
    even = signals(torch.full((8, 4), 0.25))
    assert even.information == pytest.approx(0, abs=1e-9)


def test_a_collapse_is_refused_above_95_percent() -> None:
    labels = torch.zeros(100, dtype=torch.long)
    labels[:5] = 1
    at_the_bar = signals(torch.eye(3)[labels])
    check_prediction_collapse(at_the_bar, 1)
    labels[0] = 0
    with pytest.raises(TrainingError, match=r"collapsed in epoch 3 .* 96% .* Lower adaptation.lr"):
        check_prediction_collapse(signals(torch.eye(3)[labels]), 3)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_named(value: float) -> None:
    with pytest.raises(
        TrainingError, match=r"'adv_l' .* step 40 of the adaptation stage; lower adaptation.lr"
    ) as caught:
        check_finite({"cls": 1.0, "adv_l": value, "pl": 0.0}, "adaptation", 40)
    assert "\n" not in str(caught.value)
    check_finite({"cls": 1.0, "pl": 0.0, "big": 1e30}, "adaptation", 40)


def test_what_to_change_depends_on_the_precision() -> None:
    with pytest.raises(TrainingError, match=r"The gradient .*; set precision=fp32, or lower source.lr"):
        check_finite({"gradient": math.inf}, "source", 1, bf16=True)


def test_a_discriminator_that_says_the_same_of_all_is_named() -> None:
    torch.manual_seed(0)
    method = torch.nn.ModuleDict({"alive": Discriminator(8, 16), "dead": Discriminator(8, 16)})
    check_discriminator_alive(method, 1)
    features = torch.randn(32, 8)
    with torch.no_grad():
        method["dead"][6].weight.zero_()  # type: ignore[index]
    for part in method.values():
        part.domain_logits(features[:16], features[16:], 1.0)  # type: ignore[operator]
    with pytest.raises(TrainingError, match=r"'dead' died in epoch 2 .*; lower adaptation.lr"):
        check_discriminator_alive(method, 2)
    check_discriminator_alive(method["alive"], 2)
