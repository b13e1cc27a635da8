"""ROID: weight ensembling, diversity weighting and prior correction (Marsden et al., WACV 2024).

The loss is the soft likelihood ratio, weighted by how sure and how unlike the mean each face is (Eq. 4 to 6), plus a
symmetric cross-entropy between the face and an augmented view. After each step the norm layers go 1 % of the way back
to the start (weight ensembling). At the end logits are multiplied by the smoothed class shares of the answers.

Settings for ImageNet of the authors' code. Differences: the augmented view is the strong view; the prior is that of the
whole target, so that its correction can be part of the fused head.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import cosine_similarity
from torch.optim import Optimizer

from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeMethod,
    SourceFreeSettings,
    Target,
    TargetBatch,
    descend,
    moved_parameters,
    register,
)
from dcdan.methods.source_free.losses import entropy
from dcdan.models.network import Network


class RoidSettings(SourceFreeSettings):
    """Settings of ROID."""

    keep: float = Field(default=0.99, gt=0, le=1)
    """Share of the adapted weights in the ensemble with the start."""
    momentum: float = Field(default=0.9, ge=0, lt=1)
    """Of the moving average of the probabilities."""
    temperature: float = Field(default=1 / 3, gt=0)
    """Of the weights of the faces."""


def soft_likelihood_ratio(logits: Tensor) -> Tensor:
    """Return the soft likelihood ratio loss ``-sum_k p_k log(p_k / (1 - p_k))`` with p of at most .99.

    Args:
        logits: ``(B, K)``.

    Returns:
        ``(B,)``.

    Example:
        >>> soft_likelihood_ratio(torch.zeros(1, 2)).abs() < 1e-4
        tensor([True])
    """
    p = logits.softmax(1).clamp(max=0.99)
    return -(p * (p / (1 - p) + 1e-5).log()).sum(1)


def symmetric_cross_entropy(logits: Tensor, other: Tensor) -> Tensor:
    """Return the mean of the cross-entropies in both directions.

    Args:
        logits: ``(B, K)``.
        other: ``(B, K)``.

    Returns:
        ``(B,)``.
    """
    there = -(other.softmax(1) * logits.log_softmax(1)).sum(1)
    back = -(logits.softmax(1) * other.log_softmax(1)).sum(1)
    return (there + back) / 2


def diverse_certain_weights(logits: Tensor, mean: Tensor, temperature: float) -> Tensor:
    """Return ``exp(diversity certainty / temperature)``, each scaled to [0, 1] in the batch.

    Args:
        logits: ``(B, K)``.
        mean: ``(K,)`` moving average of the probabilities.
        temperature: temperature.

    Returns:
        ``(B,)`` without gradient; 0 where the diversity is below its mean.
    """
    logits = logits.detach()
    diversity = _scaled(1 - cosine_similarity(mean[None], logits.softmax(1), dim=1))
    weights = (diversity * _scaled(-entropy(logits)) / temperature).exp()
    return torch.where(diversity < diversity.mean(), torch.zeros_like(weights), weights)


def smoothed_prior(probabilities: Tensor) -> Tensor:
    """Return the mean probabilities with additive smoothing.

    Args:
        probabilities: ``(B, K)``.

    Returns:
        ``(K,)``, sums to 1.

    Example:
        >>> smoothed_prior(torch.tensor([[0.75, 0.25], [0.75, 0.25]]))
        tensor([0.6071, 0.3929])
    """
    faces, classes = probabilities.shape
    prior = probabilities.mean(0)
    smooth = max(1 / faces, 1 / classes) / prior.max()
    return (prior + smooth) / (1 + smooth * classes)


def _scaled(values: Tensor) -> Tensor:
    return (values - values.min()) / (values.max() - values.min()).clamp_min(1e-12)


@register
class Roid(SourceFreeMethod):
    """Likelihood ratio of sure and different faces, held to the start by averaging weights."""

    name: ClassVar[str] = "roid"
    title: ClassVar[str] = "ROID"
    paper: ClassVar[str] = "Marsden et al., Universal Test-time Adaptation through Weight Ensembling, WACV 2024"
    recipe: ClassVar[Recipe] = Recipe(moves="norms", norms="batch", views=("plain", "strong"), lr=0.00025)
    Settings: ClassVar[type[SourceFreeSettings]] = RoidSettings

    mean: Tensor

    def __init__(self, settings: RoidSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings
        classes = len(context.classes)
        self.register_buffer("mean", torch.full((classes,), 1 / classes))
        for number, parameter in enumerate(moved_parameters(network, self.recipe.moves).values()):
            self.register_buffer(f"start_{number}", parameter.detach().clone())

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the weighted likelihood ratio and consistency.

        Args:
            network: not used.
            batch: the plain and the strong view.

        Returns:
            ``ratio`` and ``consistency``.
        """
        logits, changed = batch.outputs["plain"].logits.fused, batch.outputs["strong"].logits.fused
        weights = diverse_certain_weights(logits, self.mean, self.options.temperature)
        with torch.no_grad():
            self.mean.lerp_(logits.softmax(1).mean(0), 1 - self.options.momentum)
        return {
            "ratio": (soft_likelihood_ratio(logits) * weights).sum() / len(logits),
            "consistency": (symmetric_cross_entropy(changed, logits) * weights).sum() / len(logits),
        }

    def step(self, network: Network, batch: TargetBatch, optimiser: Optimizer) -> dict[str, Tensor]:
        """Update, and go a little back to the start.

        Args:
            network: the network.
            batch: both views.
            optimiser: over the norm layers.

        Returns:
            The losses.
        """
        losses = self.losses(network, batch)
        descend(losses, batch, optimiser)
        with torch.no_grad():
            for number, each in enumerate(moved_parameters(network, self.recipe.moves).values()):
                each.lerp_(self.get_buffer(f"start_{number}"), 1 - self.options.keep)
        return losses

    def finish(self, network: Network, target: Target) -> None:
        """Multiply the logits of the fused head by the smoothed prior.

        Args:
            network: the network.
            target: all faces.
        """
        prior = smoothed_prior(target.answers(network).logits.softmax(1))
        head = network.heads()[0]
        head.weight.mul_(prior[:, None].to(head.weight))
        head.bias.mul_(prior.to(head.bias))
