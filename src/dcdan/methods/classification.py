"""The classification loss on the source (Eq. 3) over the three heads, with corrections for class imbalance.

Class counts of source sets differ by 16:1 and more. Logit adjustment: Menon et al., ICLR 2021. LDAM: Cao et al.,
NeurIPS 2019.
"""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor
from torch.nn.functional import cross_entropy

from dcdan.models.heads import Logits

Balance = Literal["none", "balanced-sampler", "logit-adjustment", "ldam"]


class ClassificationSettings(BaseModel):
    """Settings of the classification loss."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: tuple[float, float, float] = (1.0, 0.5, 0.5)
    """Weights of the fused, global and local head."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Share of a label spread evenly over the classes; votes, which spread by themselves, are left as they are."""
    balance: Balance = "none"
    """Remedy for uneven classes."""
    soft_votes: bool = True
    """Use the annotators' votes as soft labels where a set has them."""
    adjustment: float = Field(default=1.0, ge=0)
    """Strength of logit adjustment (tau of its paper)."""
    margin: float = Field(default=0.5, ge=0)
    """Largest margin of LDAM."""

    @field_validator("weights")
    @classmethod
    def some_weight(cls, weights: tuple[float, float, float]) -> tuple[float, float, float]:
        """Reject negative weights and weights that are all zero.

        Args:
            weights: weights of the fused, global and local head.

        Returns:
            The weights.

        Raises:
            ValueError: when they are rejected; pydantic reports it.
        """
        if min(weights) < 0 or not sum(weights) > 0:
            raise ValueError("weights are at least 0, and one of them above 0")
        return weights


def smooth(labels: Tensor, share: float) -> Tensor:
    """Smooth one-hot labels; soft labels are not changed.

    Args:
        labels: ``(B, K)``, rows sum to 1.
        share: probability that is spread evenly over the classes.

    Returns:
        ``(B, K)``, rows sum to 1.

    Example:
        >>> smooth(torch.tensor([[1.0, 0.0]]), 0.5).tolist()
        [[0.75, 0.25]]
    """
    hard = labels.amax(1, keepdim=True) > 0.999
    return torch.where(hard, labels * (1 - share) + share / labels.shape[1], labels)


def adjusted(logits: Tensor, counts: Tensor, strength: float) -> Tensor:
    """Add ``strength * log prior`` to logits, so that the plain logits ignore the prior (Menon et al., ICLR 2021).

    Args:
        logits: ``(B, K)``.
        counts: ``(K,)`` class counts, from which the prior is computed.
        strength: tau of the paper.

    Returns:
        ``(B, K)``.
    """
    prior = counts.clamp_min(1) / counts.clamp_min(1).sum()
    return logits + strength * prior.log()


def with_margins(logits: Tensor, labels: Tensor, counts: Tensor, largest: float) -> Tensor:
    """Subtract the margins of LDAM from the logits of the labelled classes (Cao et al., NeurIPS 2019).

    Args:
        logits: ``(B, K)``.
        labels: ``(B, K)``, rows sum to 1.
        counts: ``(K,)`` class counts; margins are proportional to ``counts ** -1/4``.
        largest: margin of the rarest class.

    Returns:
        ``(B, K)``.
    """
    margins = counts.clamp_min(1).pow(-0.25)
    return logits - labels * (margins * (largest / margins.max()))


def head_loss(logits: Tensor, labels: Tensor, counts: Tensor, settings: ClassificationSettings) -> Tensor:
    """Return the cross-entropy of one head, with label smoothing and the correction for class imbalance.

    Args:
        logits: ``(B, K)``.
        labels: ``(B, K)``, rows sum to 1.
        counts: ``(K,)`` class counts of the sampled source faces.
        settings: the settings.

    Returns:
        A scalar.
    """
    if settings.balance == "logit-adjustment":
        logits = adjusted(logits, counts, settings.adjustment)
    elif settings.balance == "ldam":
        logits = with_margins(logits, labels, counts, settings.margin)
    return cross_entropy(logits, smooth(labels, settings.label_smoothing))


def classification_loss(logits: Logits, labels: Tensor, counts: Tensor, settings: ClassificationSettings) -> Tensor:
    """Return the weighted mean cross-entropy of the three heads (Eq. 3).

    Args:
        logits: ``(B, K)`` of each head.
        labels: ``(B, K)``, rows sum to 1.
        counts: ``(K,)`` class counts of the sampled source faces.
        settings: the settings.

    Returns:
        A scalar.
    """
    total = labels.new_zeros(())
    for weight, head in zip(settings.weights, logits, strict=True):
        total = total + weight * head_loss(head, labels, counts, settings)
    return total / sum(settings.weights)
