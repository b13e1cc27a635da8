"""The adversarial losses against Eq. (1) and (2) and CDAN-E, written out in plain Python."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.methods.adversarial import adversarial_loss, domain_loss, reversal_coefficient
from dcdan.methods.base import Batch
from dcdan.methods.cdan_e import CDANE
from dcdan.methods.dann import DANN
from dcdan.methods.dcdan import DCDAN
from dcdan.models.discriminator import Discriminator
from dcdan.models.heads import Logits
from dcdan.models.network import NetworkOutputs


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def log_losses(source: list[float], target: list[float]) -> tuple[list[float], list[float]]:
    """``-log D`` of source faces and ``-log(1 - D)`` of target faces."""
    return [-math.log(sigmoid(z)) for z in source], [-math.log(1 - sigmoid(z)) for z in target]


def weighted_mean(values: list[float], weights: list[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def test_domain_loss_is_equations_one_and_two() -> None:
    source, target = torch.randn(5).double(), torch.randn(3).double()
    of_source, of_target = log_losses(source.tolist(), target.tolist())
    wanted = sum(of_source) / 5 + sum(of_target) / 3
    assert domain_loss(source, target).item() == pytest.approx(wanted)


def test_domain_loss_of_a_discriminator_that_cannot_tell() -> None:
    assert domain_loss(torch.zeros(4), torch.zeros(4)).item() == pytest.approx(2 * math.log(2))
    assert domain_loss(torch.full((4,), 30.0), torch.full((4,), -30.0)).item() == pytest.approx(0, abs=1e-6)


def test_domain_loss_weighs_within_each_domain() -> None:
    source, target = torch.randn(3).double(), torch.randn(4).double()
    weights = (torch.rand(7) + 0.5).double()
    of_source, of_target = log_losses(source.tolist(), target.tolist())
    wanted = weighted_mean(of_source, weights[:3].tolist()) + weighted_mean(of_target, weights[3:].tolist())
    assert domain_loss(source, target, weights).item() == pytest.approx(wanted)
    assert domain_loss(source, target, 5 * weights).item() == pytest.approx(wanted)


@pytest.mark.parametrize("conditional", ["none", "cdan-e"])
def test_adversarial_loss_of_a_branch(conditional: str) -> None:
    torch.manual_seed(0)
    judge = Discriminator(6 * (4 if conditional == "cdan-e" else 1), 8).double().eval()
    source, target = torch.randn(3, 6).double(), torch.randn(5, 6).double()
    logits = torch.randn(3, 4).double(), torch.randn(5, 4).double()
    found = adversarial_loss(judge, source, target, *logits, 0.3, conditional)  # type: ignore[arg-type]
    judged, weights = [], []
    for features, of_head in zip((source, target), logits, strict=True):
        for face, row in zip(features, of_head.softmax(1), strict=True):
            seen = torch.cat([p * face for p in row]) if conditional == "cdan-e" else face
            judged.append(judge(seen).item())
            entropy = -sum(p * math.log(p) for p in row.tolist())
            weights.append(1 + math.exp(-entropy) if conditional == "cdan-e" else 1.0)
    of_source, of_target = log_losses(judged[:3], judged[3:])
    wanted = weighted_mean(of_source, weights[:3]) + weighted_mean(of_target, weights[3:])
    assert found.item() == pytest.approx(wanted / 2 if conditional == "cdan-e" else wanted)


@pytest.mark.parametrize("conditional", ["none", "cdan-e"])
def test_features_climb_what_the_discriminator_descends(conditional: str) -> None:
    torch.manual_seed(0)
    judge = Discriminator(3 * (2 if conditional == "cdan-e" else 1), 8).double().eval()
    source, target = (torch.randn(4, 3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    logits = [torch.randn(4, 2, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    wanted = (source, target, *judge.parameters())

    def gradients(coefficient: float) -> tuple[torch.Tensor, ...]:
        loss = adversarial_loss(judge, source, target, *logits, coefficient, conditional)  # type: ignore[arg-type]
        return torch.autograd.grad(loss, wanted)

    plain, reversed_ = gradients(-1.0), gradients(0.6)
    for one, other in zip(reversed_[:2], plain[:2], strict=True):
        torch.testing.assert_close(one, -0.6 * other)
    for one, other in zip(reversed_[2:], plain[2:], strict=True):
        torch.testing.assert_close(one, other)
    loss = adversarial_loss(judge, source, target, *logits, 0.6, conditional)  # type: ignore[arg-type]
    of_logits = torch.autograd.grad(loss, logits, allow_unused=True)
    assert [grad is not None for grad in of_logits] == [conditional == "cdan-e"] * 2


class Reversed(torch.autograd.Function):
    """The identity whose gradient is multiplied by -0.6, as the hooks of CDAN's code do it."""

    @staticmethod
    def forward(_ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(_ctx: object, *grads: torch.Tensor) -> torch.Tensor:
        return -0.6 * grads[0]


def test_cdan_e_equals_the_code_of_its_authors() -> None:
    """F16. Loss and gradients of ``loss.CDAN`` of thuml/CDAN, written out face by face."""
    torch.manual_seed(1)
    judge = Discriminator(3 * 2, 8).double().eval()
    features = torch.randn(8, 3, dtype=torch.float64, requires_grad=True)
    logits = torch.randn(8, 2, dtype=torch.float64, requires_grad=True)
    softmax = logits.softmax(1)
    entropy = Reversed.apply(-(softmax * softmax.log()).sum(1))
    weight = 1 + torch.exp(-entropy)
    losses, weights = [], []
    for domain in (range(4), range(4, 8)):
        total = sum(weight[i].item() for i in domain)
        for i in domain:
            joined = torch.cat([softmax[i, k].detach() * features[i] for k in range(2)])
            p = judge(Reversed.apply(joined)[None]).squeeze().sigmoid()
            losses.append(-(p if i < 4 else 1 - p).log())
            weights.append(weight[i] / total)
    oracle = sum(w * one for w, one in zip(weights, losses, strict=True)) / 2
    found = adversarial_loss(judge, features[:4], features[4:], logits[:4], logits[4:], 0.6, "cdan-e")
    assert found.item() == pytest.approx(oracle.item())
    wanted = (features, logits, *judge.parameters())
    for ours, theirs in zip(torch.autograd.grad(found, wanted), torch.autograd.grad(oracle, wanted), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("weight", [0.01, 1.0])
def test_the_weight_scales_what_features_learn_and_not_what_the_discriminator_learns(weight: float) -> None:
    """F2. A small lambda must not slow the discriminator down; the features' gradient is proportional to it."""
    torch.manual_seed(0)
    source, target = toy_outputs(0), toy_outputs(1)
    labels = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    made = {}
    for own in (weight, 0.5):
        for kind, settings in (
            (DANN, {"weight": own}),
            (CDANE, {"weight": own}),
            (DCDAN, {"lambda_global": own, "lambda_local": own, "pseudo_labels": "off"}),
        ):
            torch.manual_seed(0)
            method = kind(kind.Settings(**settings), 4, torch.ones(3)).eval()
            losses = method.losses(Batch(labels, source, target), 0.7)
            loss = torch.stack([value for name, value in losses.items() if name.startswith("adv")]).sum()
            made[kind, own] = torch.autograd.grad(loss, [*method.parameters(), source.of_global])
    for kind in (DANN, CDANE, DCDAN):
        one, other = made[kind, weight], made[kind, 0.5]
        for mine, theirs in zip(one[:-1], other[:-1], strict=True):
            torch.testing.assert_close(mine, theirs)
        torch.testing.assert_close(one[-1], other[-1] * (weight / 0.5))


def toy_outputs(seed: int) -> NetworkOutputs:
    """Return made-up outputs for four faces and three classes."""
    generator = torch.Generator().manual_seed(seed)
    of_global, of_local = torch.randn(2, 4, 4, generator=generator).requires_grad_()
    logits = Logits(*torch.randn(3, 4, 3, generator=generator))
    return NetworkOutputs(of_global, of_local, logits, torch.full((4, 5), 0.2))


@pytest.mark.parametrize(
    ("progress", "wanted"), [(0, 0), (0.1, 0.4621172), (0.25, 0.8482836), (0.5, 0.9866143), (1, 0.9999092)]
)
def test_reversal_coefficient(progress: float, wanted: float) -> None:
    assert reversal_coefficient(progress) == pytest.approx(wanted, abs=1e-7)
