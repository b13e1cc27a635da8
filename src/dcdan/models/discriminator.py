"""Domain discriminators on global and local features, trained through gradient reversal.

Gradient reversal (Ganin and Lempitsky, ICML 2015) turns Eq. (1), (2) and (4) into one minimisation: the discriminator
learns to distinguish the domains, and the features receive the opposite gradient.

From the paper: one discriminator per branch (Eq. 1 and 2). From related work: two hidden layers of 512 with
LeakyReLU(.2) and Dropout(.5), then one logit; in CDAN-E (Long et al., NeurIPS 2018) the input is the outer product of
features and class probabilities.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ReversalFunction(torch.autograd.Function):
    """The identity in the forward pass; multiplication by ``-coefficient`` in the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, coefficient: float) -> Tensor:
        """Return ``x``.

        Args:
            ctx: the autograd context.
            x: any shape.
            coefficient: factor of the reversed gradient.

        Returns:
            A view of ``x``.
        """
        ctx.coefficient = coefficient
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        """Return the reversed gradient.

        Args:
            ctx: the autograd context.
            *grads: gradient of the output.

        Returns:
            The gradient of ``x``, and None for the coefficient.
        """
        return grads[0] * -ctx.coefficient, None


def reverse(x: Tensor, coefficient: float) -> Tensor:
    """Return the input, with a gradient that is multiplied by ``-coefficient``.

    Args:
        x: any shape.
        coefficient: factor of the reversed gradient.

    Returns:
        The same values.

    Example:
        >>> x = torch.ones(1, requires_grad=True)
        >>> reverse(x, 0.5).sum().backward()
        >>> x.grad
        tensor([-0.5000])
    """
    out: Tensor = ReversalFunction.apply(x, coefficient)
    return out


class Discriminator(nn.Sequential):
    """Distinguish source from target features, ``(B, width)`` to logits ``(B, 1)``, positive for source.

    Args:
        width: width of the features.
        hidden: width of the hidden layers.
    """

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
        self.width = width
        self.register_buffer("spread", torch.tensor(1.0))
        self.register_buffer("correct", torch.zeros(2))
        self.register_buffer("seen", torch.zeros(2))

    def domain_logits(self, source: Tensor, target: Tensor, coefficient: float) -> tuple[Tensor, Tensor]:
        """Classify the features of both domains, with a reversed gradient for the features.

        Args:
            source: ``(B, width)`` features of source faces.
            target: ``(B', width)`` features of target faces.
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
        """Return the accuracy since :meth:`restart`, the mean over both domains.

        It is measured in training mode, with dropout.

        Returns:
            A number in [0, 1]; NaN before the first face.
        """
        return float((self.correct / self.seen).mean())

    def restart(self) -> None:
        """Reset the counts of :meth:`accuracy`."""
        self.correct.zero_()
        self.seen.zero_()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Add the counts that checkpoints of version 0.1 lack."""
        for name in ("correct", "seen"):  # checkpoints of version 0.1 do not have them
            state_dict.setdefault(prefix + name, torch.zeros(2))
        super()._load_from_state_dict(state_dict, prefix, *rest)


def conditioned(features: Tensor, probabilities: Tensor) -> Tensor:
    """Return the multilinear map of CDAN (Long et al., NeurIPS 2018, Eq. 4).

    Args:
        features: ``(B, width)``.
        probabilities: ``(B, K)`` class probabilities, through which no gradient flows.

    Returns:
        ``(B, K * width)``.
    """
    return torch.einsum("bk,bw->bkw", probabilities.detach(), features).flatten(1)


def entropy_weights(probabilities: Tensor) -> Tensor:
    """Return the weights ``1 + exp(-H)`` of CDAN-E, with H the entropy of the class probabilities in nats.

    Args:
        probabilities: ``(B, K)``, rows sum to 1.

    Returns:
        ``(B,)`` in [1, 2]; 2 for a certain face. Gradients flow to the probabilities.

    Example:
        >>> entropy_weights(torch.tensor([[1.0, 0.0], [0.5, 0.5]])).tolist()
        [2.0, 1.5]
    """
    entropy = -(probabilities * probabilities.clamp_min(1e-8).log()).sum(1)
    return 1 + torch.exp(-entropy)
