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
    """Tells source features from target features: ``(B, width)`` -> ``(B, 1)`` logits, positive for source."""

    spread: Tensor
    """Standard deviation of its logits within the last batch; 1 before the first."""
    correct: Tensor
    """Source and target faces that it has named correctly since :meth:`restart`, ``(2,)``."""
    seen: Tensor
    """Source and target faces that it has seen since :meth:`restart`, ``(2,)``."""

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
        self.register_buffer("correct", torch.zeros(2))
        self.register_buffer("seen", torch.zeros(2))

    def domain_logits(self, source: Tensor, target: Tensor, coefficient: float) -> tuple[Tensor, Tensor]:
        """Classify the features of both domains, whose gradient is reversed.

        Args:
            source: features ``(B, width)`` of source faces.
            target: features ``(B', width)`` of target faces.
            coefficient: the gradient of the features is multiplied by ``-coefficient``; that of this module is not.

        Returns:
            Logits ``(B,)`` of the source and ``(B',)`` of the target faces, positive for source.
        """
        logits: Tensor = self(reverse(torch.cat([source, target]), coefficient)).squeeze(1)
        found = logits.detach()
        self.spread.copy_(found.float().std(correction=0))
        of_source, of_target = found[: len(source)], found[len(source) :]
        self.correct.add_(torch.stack([(of_source > 0).sum(), (of_target <= 0).sum()]))
        self.seen.add_(self.seen.new_tensor([len(of_source), len(of_target)]))
        return logits[: len(source)], logits[len(source) :]

    def accuracy(self) -> float:
        """Return the share of faces named correctly since :meth:`restart`, the mean of both domains.

        Dropout was on while it answered. Not a number when it has seen no face.
        """
        return float((self.correct / self.seen).mean())

    def restart(self) -> None:
        """Count anew for :meth:`accuracy`."""
        self.correct.zero_()
        self.seen.zero_()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in ("correct", "seen"):  # checkpoints of version 0.1 do not have them
            state_dict.setdefault(prefix + name, torch.zeros(2))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def conditioned(features: Tensor, probabilities: Tensor) -> Tensor:
    """Return CDAN's multilinear map ``(B, K * width)`` of features ``(B, width)`` and detached softmax ``(B, K)``."""
    return torch.einsum("bk,bw->bkw", probabilities.detach(), features).flatten(1)


def entropy_weights(probabilities: Tensor) -> Tensor:
    """Return CDAN-E's weights ``1 + exp(-H)`` of faces, with H the entropy of their class probabilities in nats.

    Args:
        probabilities: ``(B, K)``, rows sum to 1.

    Returns:
        ``(B,)`` in [1, 2]: 2 for a certain face. The gradient reaches the probabilities.

    Example:
        >>> entropy_weights(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [2.0, 1.5]
    """
    entropy = -(probabilities * probabilities.clamp_min(1e-8).log()).sum(1)
    return 1 + torch.exp(-entropy)
