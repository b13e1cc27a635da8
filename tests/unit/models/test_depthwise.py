"""Dilated depthwise convolution against PyTorch's own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dcdan.models.depthwise import DilatedDepthwise, is_dilated_depthwise, with_fast_gradients
from dcdan.models.trunk import Trunk


def twins(kernel: int, dilation: int, bias: bool) -> tuple[nn.Conv2d, nn.Conv2d]:
    plain = nn.Conv2d(6, 6, kernel, padding=kernel // 2 * dilation, dilation=dilation, groups=6, bias=bias).double()
    fast = nn.Conv2d(6, 6, kernel, padding=kernel // 2 * dilation, dilation=dilation, groups=6, bias=bias).double()
    fast.load_state_dict(plain.state_dict())
    with_fast_gradients(fast)
    assert type(fast) is DilatedDepthwise
    return plain, fast


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("dilation", [2, 3])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3), (7, 4), (8, 8)])
def test_values_and_gradients_are_those_of_pytorch(kernel: int, dilation: int, shape: tuple[int, int]) -> None:
    plain, fast = twins(kernel, dilation, bias=True)
    x = torch.randn(3, 6, *shape, dtype=torch.float64)
    weights = torch.randn(3, 6, *shape, dtype=torch.float64)
    answers = []
    for layer in (plain, fast):
        seen = x.clone().contiguous(memory_format=torch.channels_last).requires_grad_()
        out = layer(seen)
        (out * weights).sum().backward()
        assert seen.grad is not None
        assert layer.weight.grad is not None
        assert layer.bias is not None
        answers.append((out.detach(), seen.grad, layer.weight.grad, layer.bias.grad))
    for ours, theirs in zip(answers[1], answers[0], strict=True):
        torch.testing.assert_close(ours, theirs)


def test_gradients_under_autocast_have_the_weights_own_kind() -> None:
    plain, fast = (layer.float() for layer in twins(3, 2, bias=False))
    x = torch.randn(2, 6, 5, 5)
    for layer in (plain, fast):
        with torch.autocast("cpu", torch.bfloat16):
            out = layer(x)
        assert out.dtype == torch.bfloat16
        out.float().square().sum().backward()
    assert fast.weight.grad is not None
    assert plain.weight.grad is not None
    assert fast.weight.grad.dtype == torch.float32
    torch.testing.assert_close(fast.weight.grad, plain.weight.grad, rtol=0.05, atol=0.5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(6, 6, 3, padding=1, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2),
        nn.Conv2d(6, 12, 3, padding=2, dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=1, dilation=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, stride=2, groups=6),
        nn.Conv2d(6, 6, 3, padding=2, dilation=2, groups=6, padding_mode="reflect"),
        nn.Conv2d(6, 6, 4, padding=2, dilation=2, groups=6),
        nn.Linear(3, 3),
    ],
)
def test_other_layers_are_left_alone(layer: nn.Module) -> None:
    assert not is_dilated_depthwise(layer)
    kind = type(layer)
    with_fast_gradients(layer)
    assert type(layer) is kind


def test_the_trunk_of_the_paper_has_three_of_them_under_its_own_names() -> None:
    trunk = Trunk("mobilenetv2_100")
    found = [name for name, layer in trunk.named_modules() if isinstance(layer, DilatedDepthwise)]
    assert len(found) == 3
    assert all(f"{name}.weight" in trunk.state_dict() for name in found)
