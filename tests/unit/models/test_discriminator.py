"""Gradient reversal, discriminators, and CDAN-E's condition, against plain computations."""

from __future__ import annotations

import math

import pytest
import torch

from dcdan.models.discriminator import Discriminator, conditioned, entropy_weights, reverse


def test_reversal_flips_exactly_the_features_gradients() -> None:
    torch.manual_seed(0)
    judge, features = Discriminator(6, 8).double().eval(), torch.nn.Linear(4, 6).double()
    x, coefficient = torch.randn(5, 4, dtype=torch.float64), 0.37

    def gradients(reversed_: bool) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
        f = features(x)
        logits = torch.cat(judge.domain_logits(f[:2], f[2:], coefficient)) if reversed_ else judge(f).squeeze(1)
        loss = torch.nn.functional.softplus(-logits).mean()
        grads = torch.autograd.grad(loss, [*judge.parameters(), *features.parameters()])
        count = len(list(judge.parameters()))
        return logits, list(grads[:count]), list(grads[count:])

    logits, of_judge, of_features = gradients(True)
    plain_logits, plain_judge, plain_features = gradients(False)
    torch.testing.assert_close(logits, plain_logits, rtol=0, atol=0)
    for one, other in zip(of_judge, plain_judge, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for one, other in zip(of_features, plain_features, strict=True):
        assert other.abs().max() > 0
        torch.testing.assert_close(one, -coefficient * other)


def test_reversal_with_coefficient_nought_stops_the_gradient() -> None:
    x = torch.ones(3, requires_grad=True)
    reverse(x, 0.0).sum().backward()
    assert x.grad.abs().sum() == 0


def test_discriminator_has_the_documented_layers() -> None:
    judge = Discriminator(20)
    kinds = [type(part).__name__ for part in judge]
    assert kinds == ["Linear", "LeakyReLU", "Dropout", "Linear", "LeakyReLU", "Dropout", "Linear"]
    assert [(part.in_features, part.out_features) for part in judge if isinstance(part, torch.nn.Linear)] == [
        (20, 512),
        (512, 512),
        (512, 1),
    ]
    assert {part.negative_slope for part in judge if isinstance(part, torch.nn.LeakyReLU)} == {0.2}
    assert {part.p for part in judge if isinstance(part, torch.nn.Dropout)} == {0.5}
    source, target = judge.domain_logits(torch.randn(3, 20), torch.randn(2, 20), 1.0)
    assert (source.shape, target.shape) == ((3,), (2,))


def test_the_accuracy_of_a_discriminator_is_the_mean_of_both_domains() -> None:
    """F2. By hand: of 3 source faces 2 are named correctly, of 2 target faces 1: (2/3 + 1/2) / 2, over two batches."""
    judge = Discriminator(1, 2).eval()
    assert math.isnan(judge.accuracy())
    judge.forward = lambda features: features  # type: ignore[method-assign]
    judge.domain_logits(torch.tensor([[2.0], [-1.0]]), torch.tensor([[-1.0]]), 1.0)
    judge.domain_logits(torch.tensor([[0.1]]), torch.tensor([[3.0]]), 1.0)
    assert judge.accuracy() == pytest.approx((2 / 3 + 1 / 2) / 2)
    judge.restart()
    judge.domain_logits(torch.tensor([[1.0]]), torch.tensor([[0.0]]), 1.0)
    assert judge.accuracy() == 1.0


def test_a_discriminator_of_an_older_checkpoint_loads() -> None:
    judge = Discriminator(4, 2)
    state = {name: value for name, value in judge.state_dict().items() if name not in ("correct", "seen")}
    Discriminator(4, 2).load_state_dict(state)


def test_condition_is_the_outer_product_of_detached_probabilities_and_features() -> None:
    features = torch.randn(3, 4, requires_grad=True)
    logits = torch.randn(3, 5, requires_grad=True)
    p = logits.softmax(1)
    found = conditioned(features, p)
    assert found.shape == (3, 20)
    for b in range(3):
        for k in range(5):
            for w in range(4):
                assert found[b, 4 * k + w].item() == pytest.approx((p[b, k] * features[b, w]).item())
    found.square().sum().backward()
    assert features.grad is not None
    assert logits.grad is None


def test_entropy_weights_are_between_one_and_two() -> None:
    rows = [[1.0, 0.0, 0.0], [1 / 3, 1 / 3, 1 / 3], [0.7, 0.2, 0.1]]
    wanted = [1 + math.exp(sum(p * math.log(p) for p in row if p)) for row in rows]
    found = entropy_weights(torch.tensor(rows))
    assert found.tolist() == pytest.approx(wanted, rel=1e-6)
    assert wanted[:2] == pytest.approx([2.0, 4 / 3])
