"""Pooling is the plain mean, and its gradient keeps the layout of training."""

from __future__ import annotations

import pytest
import torch

from dcdan.models.pooling import pooled


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
def test_pooled_is_the_mean_over_places(layout: torch.memory_format) -> None:
    maps = torch.randn(2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    found = pooled(maps)
    torch.testing.assert_close(found, maps.mean((2, 3)))
    weight = torch.randn(2, 3)
    (grad,) = torch.autograd.grad((found * weight).sum(), maps)
    torch.testing.assert_close(grad, (weight / 20)[:, :, None, None].expand_as(maps))
