"""Gradient reversal (Ganin and Lempitsky, ICML 2015): turns Eq. (1), (2) and (4) into one minimisation.

The discriminator below it learns to tell the domains apart; the features above it receive the opposite gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class ReversalFunction(torch.autograd.Function):
    """Identity forward, multiplication by ``-coefficient`` backward."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficient: float) -> Tensor:
        """Return ``x`` itself."""
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Return the reversed gradient."""
        return grads[0] * -ctx.coefficient, None


def reverse(x: Tensor, coefficient: float) -> Tensor:
    """Return ``x``, any shape, whose gradient will be multiplied by ``-coefficient``."""
    out: Tensor = ReversalFunction.apply(x, coefficient)
    return out
