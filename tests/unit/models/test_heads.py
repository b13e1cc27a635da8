"""Pooling is the plain mean, and its gradient keeps the layout of training.

The semantic-aware module: what its heads see, and how they lean.
"""

from __future__ import annotations

import pytest
import torch

from dcdan.models.heads import SemanticModule, pooled


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pooled_is_the_mean_over_places(layout: torch.memory_format) -> None:
    maps = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    found = pooled(maps)
    torch.testing.assert_close(found, maps.mean((2, 3)))
    weight = torch.randn(2, 3)
    (grad,) = torch.autograd.grad((found * weight).sum(), maps)
    torch.testing.assert_close(grad, (weight / 20)[:, :, None, None].expand_as(maps))


def test_the_fused_head_sees_the_sum_and_the_others_their_own() -> None:
    torch.manual_seed(0)
    module = SemanticModule(8, 3)
    f_g, f_l = torch.randn(4, 8), torch.randn(4, 8)
    logits = module(f_g, f_l)
    torch.testing.assert_close(logits.fused, (f_g + f_l) @ module.fused.weight.T + module.fused.bias)
    torch.testing.assert_close(logits.of_global, f_g @ module.of_global.weight.T + module.of_global.bias)
    torch.testing.assert_close(logits.of_local, f_l @ module.of_local.weight.T + module.of_local.bias)
