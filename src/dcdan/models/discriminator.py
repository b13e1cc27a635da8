"""Domain discriminators on the global and local features, trained through gradient reversal.

Gradient reversal (Ganin and Lempitsky, ICML 2015): turns Eq. (1), (2) and (4) into one minimisation.

The discriminator below it learns to tell the domains apart; the features above it receive the opposite gradient.

P: one for each branch (Eq. 1 and 2). R: two hidden layers of 512 with LeakyReLU(.2) and Dropout(.5), then one logit.
CDAN-E (Long et al., NeurIPS 2018): the feature is replaced by its outer product with the class probabilities.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


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


class Discriminator(nn.Sequential):
    """``(B, width)`` features -> ``(B,)`` logits, positive for source."""

    spread: Tensor
    """How far its answers differ within the last batch: their standard deviation, 1 before the first."""

    def __init__(self, width: int, hidden: int = 512) -> None:
        super().__init__(
            nn.Linear(width, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Linear(hidden, hidden),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Linear(hidden, 1),
        )
        self.register_buffer("spread", torch.tensor(1.0))

    def evaluate_epoch(self, features: Tensor, coefficient: float) -> Tensor:
        """Return ``(B,)`` logits of reversed features ``(B, width)``."""
        logits: Tensor = self(reverse(features, coefficient)).squeeze(1)
        self.spread.copy_(logits.detach().float().std(correction=0))
        return logits


def conditioned(features: Tensor, probabilities: Tensor) -> Tensor:
    """Return CDAN's multilinear map ``(B, K * width)`` of features ``(B, width)`` and detached softmax ``(B, K)``."""
    return torch.einsum("bk,bw->bkw", probabilities.detach(), features).flatten(1)


def entropy_weights(probabilities: Tensor) -> Tensor:
    """Return CDAN-E's weights ``(B,)``, ``1 + exp(-H)``: certain faces count up to twice; detached."""
    p = probabilities.detach()
    entropy = -(p * p.clamp_min(1e-8).log()).sum(1)
    return 1 + torch.exp(-entropy)
