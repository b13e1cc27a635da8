"""The dual attention block: its formula, and what each switch leaves."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dcdan.models.afc import AFC
from dcdan.models.dual_attention import DualAttention
from dcdan.models.gate import gate


def block(**switches: object) -> DualAttention:
    """Return a small block in evaluation mode whose norm is not the identity."""
    torch.manual_seed(0)
    made = DualAttention(16, 4, 2, AFC, **switches).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        made.norm.weight.uniform_(0.5, 1.5)
        made.norm.bias.normal_()
        made.norm.running_mean.normal_()
        made.norm.running_var.uniform_(0.5, 2)
    return made


def merged(made: DualAttention, stacked: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Z of the documentation for what W3 gets."""
    mixed = torch.einsum("oi,bihw->bohw", made.merge.weight[:, :, 0, 0], stacked)
    mean, var = made.norm.running_mean[:, None, None], made.norm.running_var[:, None, None]
    normed = (mixed - mean) / (var + 1e-5).sqrt() * made.norm.weight[:, None, None] + made.norm.bias[:, None, None]
    return made.activation(normed) + x


X = torch.randn(2, 16, 7, 7, generator=torch.Generator().manual_seed(1))


def test_block_is_the_documented_formula() -> None:
    made = block()
    y_s, y_c = X + made.spatial(X), X + made.channel(X)
    a = gate(y_c.mean((2, 3)) @ made.channel_gate.weight.T + made.channel_gate.bias)
    b = gate(torch.einsum("i,bihw->bhw", made.place_gate.weight[0, :, 0, 0], y_s) + made.place_gate.bias)
    stacked = torch.cat([y_s * a[:, :, None, None], y_c * b[:, None]], 1)
    torch.testing.assert_close(made(X), merged(made, stacked, X), rtol=1e-4, atol=1e-5)


def test_without_interaction_the_branches_are_only_merged() -> None:
    made = block(interaction=False)
    assert not hasattr(made, "channel_gate")
    stacked = torch.cat([X + made.spatial(X), X + made.channel(X)], 1)
    torch.testing.assert_close(made(X), merged(made, stacked, X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("only", ["spatial", "channel"])
def test_one_branch_alone(only: str) -> None:
    made = block(attention=only)
    assert (made.spatial is None, made.channel is None) == (only == "channel", only == "spatial")
    assert not made.interaction
    branch = made.spatial if only == "spatial" else made.channel
    assert branch is not None
    torch.testing.assert_close(made(X), merged(made, X + branch(X), X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attention", ["dual", "spatial", "channel"])
@pytest.mark.parametrize("activation", [AFC, nn.GELU, lambda: nn.ReLU(inplace=True)])
def test_every_parameter_gets_a_gradient(attention: str, activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    made = DualAttention(16, 4, 2, activation, attention)  # type: ignore[arg-type]
    made(X).square().sum().backward()
    for name, parameter in made.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
