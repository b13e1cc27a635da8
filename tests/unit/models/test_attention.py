"""Condensation, both attentions and the windows against naive loops.

The dual attention block: its formula, and what each switch leaves.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from dcdan.core.errors import UsageError
from dcdan.models.afc import AFC, gate
from dcdan.models.attention import (
    ChannelGroupAttention,
    Condensation,
    DualAttention,
    SpatialGroupAttention,
    enlarge,
    from_windows,
    to_windows,
    window_side,
)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def naive_spatial(layer: SpatialGroupAttention, x: Tensor, condensed: Tensor, groups: int) -> Tensor:
    """Attention face by face, group by group, head by head: ``(B, C, H, W)``."""
    b, c, h, w = x.shape
    per_group, heads = c // groups, layer.heads // groups
    depth = per_group // heads
    out = torch.zeros(b, c, h * w)
    for n in range(b):
        for g in range(groups):
            own = slice(g * per_group, (g + 1) * per_group)
            both = slice(2 * g * per_group, 2 * (g + 1) * per_group)
            queries = layer.query.weight[own, :, 0, 0] @ x[n, own].flatten(1) + layer.query.bias[own, None]
            pairs = layer.key_value.weight[both, :, 0, 0] @ condensed[n, own].flatten(1)
            pairs = pairs + layer.key_value.bias[both, None]
            seen = []
            for head in range(heads):
                q = queries[head * depth : (head + 1) * depth]
                k = pairs[2 * head * depth : (2 * head + 1) * depth]
                v = pairs[(2 * head + 1) * depth : (2 * head + 2) * depth]
                shares = (q.T @ k / depth**0.5).softmax(1)
                seen.append((shares @ v.T).T)
            out[n, own] = layer.project.weight[own, :, 0, 0] @ torch.cat(seen) + layer.project.bias[own, None]
    return out.reshape(b, c, h, w)


def test_spatial_attention_at_ratio_one_is_plain_attention() -> None:
    layer, x = SpatialGroupAttention(16, 4, 1, AFC).eval(), torch.randn(2, 16, 7, 7)
    torch.testing.assert_close(layer(x), naive_spatial(layer, x, x, 4), rtol=1e-4, atol=1e-5)


def test_spatial_attention_with_one_group_is_multi_head_attention() -> None:
    layer, x = SpatialGroupAttention(8, 1, 1, AFC).eval(), torch.randn(3, 8, 4, 4)
    oracle = nn.MultiheadAttention(8, 2, batch_first=True)
    keys = [0, 1, 2, 3, 8, 9, 10, 11]
    values = [4, 5, 6, 7, 12, 13, 14, 15]
    pairs, bias = layer.key_value.weight.flatten(1), layer.key_value.bias
    with torch.no_grad():
        oracle.in_proj_weight.copy_(torch.cat([layer.query.weight.flatten(1), pairs[keys], pairs[values]]))
        oracle.in_proj_bias.copy_(torch.cat([layer.query.bias, bias[keys], bias[values]]))
        oracle.out_proj.weight.copy_(layer.project.weight.flatten(1))
        oracle.out_proj.bias.copy_(layer.project.bias)
    tokens = x.flatten(2).transpose(1, 2)
    wanted = oracle(tokens, tokens, tokens)[0].transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(layer(x), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("ratio", [2, 4])
def test_spatial_attention_with_condensed_keys(ratio: int) -> None:
    layer, x = SpatialGroupAttention(16, 2, ratio, nn.GELU).eval(), torch.randn(2, 16, 7, 7)
    condensed = layer.condense(x)
    up = nn.functional.interpolate(condensed, size=(7, 7), mode="bilinear", align_corners=False)
    torch.testing.assert_close(layer(x), naive_spatial(layer, x, condensed, 2) + up, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", [2, 4, 6, 7, 14])
@pytest.mark.parametrize("ratio", [1, 2, 4])
def test_condensed_sizes(ratio: int, side: int) -> None:
    x = torch.randn(2, 8, side, side)
    found = Condensation(8, ratio, AFC)(x)
    assert found.shape == (2, 8, -(-side // ratio), -(-side // ratio))
    assert enlarge(found, x).shape == x.shape
    if ratio == 1:
        assert found is x


def test_condensation_at_two_is_a_strided_depthwise_convolution() -> None:
    layer, x = Condensation(3, 2, nn.ReLU).eval(), torch.randn(1, 3, 7, 7)
    weight = layer[0].weight
    padded = nn.functional.pad(x, (1, 1, 1, 1))
    found = layer(x)
    for c in range(3):
        for i in range(4):
            for j in range(4):
                value = (padded[0, c, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] * weight[c, 0]).sum() / (1 + 1e-5) ** 0.5
                assert found[0, c, i, j].item() == pytest.approx(max(value.item(), 0), abs=1e-5)


def test_condensation_refuses_other_ratios() -> None:
    with pytest.raises(ValueError, match="1, 2 or 4, not 3"):
        Condensation(8, 3, AFC)


def test_channel_attention_equals_a_naive_loop() -> None:
    groups, per_group = 4, 3
    layer, x = ChannelGroupAttention(12, groups).eval(), torch.randn(2, 12, 5, 7)
    out = torch.zeros(2, 12, 35)
    for n in range(2):
        for g in range(groups):
            own = slice(g * per_group, (g + 1) * per_group)
            three = slice(3 * g * per_group, 3 * (g + 1) * per_group)
            qkv = layer.query_key_value.weight[three, :, 0, 0] @ x[n, own].flatten(1)
            q, k, v = (qkv + layer.query_key_value.bias[three, None]).split(per_group)
            shares = torch.zeros(per_group, per_group)
            for i in range(per_group):
                shares[i] = torch.stack([(q[i] * k[j]).sum() / per_group**0.5 for j in range(per_group)]).softmax(0)
            out[n, own] = layer.project.weight[own, :, 0, 0] @ (shares @ v) + layer.project.bias[own, None]
    torch.testing.assert_close(layer(x), out.reshape(x.shape), rtol=1e-4, atol=1e-5)


def test_windows_are_cut_and_put_back() -> None:
    x = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6)
    cut = to_windows(x, 2, 3)
    assert cut.shape == (12, 3, 2, 2)
    for face in range(2):
        for row in range(2):
            for column in range(3):
                wanted = x[face, :, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
                assert torch.equal(cut[face * 6 + row * 3 + column], wanted)
    assert torch.equal(from_windows(cut, 2, 3), x)
    assert to_windows(x, 1, 1) is x


@pytest.mark.parametrize(
    ("side", "wanted"), [(1, 1), (2, 2), (4, 4), (6, 6), (7, 7), (8, 4), (9, 3), (11, 11), (14, 7), (22, 22), (28, 7)]
)
def test_window_sides_leave_something_to_attend_to(side: int, wanted: int) -> None:
    assert window_side(side) == wanted


@pytest.mark.parametrize("ratio", [1, 2])
def test_large_maps_are_seen_window_by_window(ratio: int) -> None:
    layer, x = SpatialGroupAttention(8, 2, ratio, AFC).eval(), torch.randn(2, 8, 14, 7)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), torch.cat([layer(x[:, :, :7]), layer(x[:, :, 7:])], 2))


def test_indivisible_channels_are_named() -> None:
    with pytest.raises(UsageError, match="multiple of 16"):
        SpatialGroupAttention(24, 8, 2, AFC)
    with pytest.raises(UsageError, match="multiple of 5"):
        ChannelGroupAttention(24, 5)


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
