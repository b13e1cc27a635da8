"""The classification loss on source (Eq. 3), over the three heads, with the known remedies for uneven classes.

Source sets are uneven, 16:1 and worse. Logit adjustment: Menon et al., ICLR 2021. LDAM: Cao et al., NeurIPS 2019.
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
    """How source labels teach."""

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
        """Refuse weights that leave no loss, or turn one around."""
        if min(weights) < 0 or not sum(weights) > 0:
            raise ValueError("weights are at least 0, and one of them above 0")
        return weights


def smooth(labels: Tensor, share: float) -> Tensor:
    """Spread ``share`` of one-hot rows ``(B, K)`` evenly; rows that are already soft are returned as they are."""
    hard = labels.amax(1, keepdim=True) > 0.999
    return torch.where(hard, labels * (1 - share) + share / labels.shape[1], labels)


def adjusted(logits: Tensor, counts: Tensor, strength: float) -> Tensor:
    """Add ``strength * log prior`` to logits ``(B, K)``, so that the plain logits learn to ignore the prior."""
    prior = counts.clamp_min(1) / counts.clamp_min(1).sum()
    return logits + strength * prior.log()


def with_margins(logits: Tensor, labels: Tensor, counts: Tensor, largest: float) -> Tensor:
    """Take LDAM's margin, proportional to ``n_c ** -1/4`` and ``largest`` for the rarest, from the labelled logits."""
    margins = counts.clamp_min(1).pow(-0.25)
    return logits - labels * (margins * (largest / margins.max()))


def head_loss(logits: Tensor, labels: Tensor, counts: Tensor, settings: ClassificationSettings) -> Tensor:
    """Return the cross-entropy of one head, a scalar, with the remedies in force; shapes as below."""
    if settings.balance == "logit-adjustment":
        logits = adjusted(logits, counts, settings.adjustment)
    elif settings.balance == "ldam":
        logits = with_margins(logits, labels, counts, settings.margin)
    return cross_entropy(logits, smooth(labels, settings.label_smoothing))


def classification_loss(logits: Logits, labels: Tensor, counts: Tensor, settings: ClassificationSettings) -> Tensor:
    """Return the weighted mean cross-entropy of the three heads, a scalar.

    Logits and labels ``(B, K)`` (label rows sum to 1), ``counts`` ``(K,)`` source faces per class.
    """
    total = labels.new_zeros(())
    for weight, head in zip(settings.weights, logits, strict=True):
        total = total + weight * head_loss(head, labels, counts, settings)
    return total / sum(settings.weights)
