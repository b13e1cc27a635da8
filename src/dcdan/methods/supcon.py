"""SupCon: supervised contrastive learning beside cross-entropy (Khosla et al., NeurIPS 2020). Trains on source only.

With z the projections of unit length, for each face i with P(i) the other faces of its class in the batch:

    L_i = -1/|P(i)| sum over p in P(i) of log( exp(z_i z_p / T) / sum over a != i of exp(z_i z_a / T) ),   T = .1

From the paper: the loss ("out"), T, and a projection of one hidden layer to 128 numbers that is not exported.
Differences: one view of each face instead of two, and cross-entropy at once instead of a second stage with a frozen
encoder, as in contrastive recognition of expressions (Yang et al., IJNS 2023, whose relabelling is SCN's).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.methods.feature_alignment import directions
from dcdan.models.network import Network, PlainNetwork


class SupConSettings(MethodSettings):
    """Settings of SupCon."""

    weight: float = Field(default=0.5, ge=0)
    """Weight of the contrastive loss against the cross-entropy."""
    temperature: float = Field(default=0.1, gt=0)
    """Temperature T."""
    dimensions: int = Field(default=128, ge=2, le=2048)
    """Length of a projection."""


def supervised_contrastive(projections: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the supervised contrastive loss, the mean over faces that have another of their class in the batch.

    Args:
        projections: ``(B, D)`` of unit length.
        labels: ``(B,) int64``.
        temperature: temperature of the softmax.

    Returns:
        A scalar; 0 where every face is the only one of its class.
    """
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    cosines = (projections[:, None] * projections[None]).sum(2) / temperature
    logs = cosines - torch.logsumexp(cosines.masked_fill(itself, -torch.inf), 1, keepdim=True)
    positives = (labels[:, None] == labels[None]) & ~itself
    count = positives.sum(1)
    usable = count > 0
    each = -(logs * positives).sum(1) / count.clamp_min(1)
    return (each * usable).sum() / usable.sum().clamp_min(1)


@register
class SupCon(SourceMethod):
    """Cross-entropy with projections that are close within a class and apart between classes."""

    name: ClassVar[str] = "supcon"
    title: ClassVar[str] = "SupCon"
    paper: ClassVar[str] = "Khosla et al., Supervised Contrastive Learning, NeurIPS 2020"
    Settings: ClassVar[type[MethodSettings]] = SupConSettings
    network_class: ClassVar[type[Network]] = PlainNetwork

    def __init__(self, settings: SupConSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.projection = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, settings.dimensions))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification and the contrastive loss.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls`` and ``contrast``, weighted.
        """
        projections = directions(self.projection(batch.source.of_global))
        apart = supervised_contrastive(projections, batch.labels.argmax(1), self.options.temperature)
        return {"cls": self.classify(batch), "contrast": self.options.weight * apart}
