"""Metric learning: centre loss (Wen et al., ECCV 2016) or triplet loss, beside cross-entropy. Trains on source only.

    centre     1/2 mean |f - c_y|^2, where the centres follow c_y <- c_y - a mean(c_y - f) of each batch, a = .5
    triplet    mean log(1 + exp(d_positive - d_negative)) over anchors, with the farthest face of the anchor's class and
               the nearest of another (batch-hard, soft margin; Hermans et al., 2017)

From the papers: both losses, a = .5, and the weight .003 of the centre loss. Triplets use features of unit length, and
weight .1. The work that the paper of this project cites for metric learning (Huang et al., TMM 2021) synthesises faces
of one identity with a GAN, which this row does not do.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import softplus

from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.methods.feature_alignment import directions
from dcdan.models.network import Network, PlainNetwork


class MetricLearningSettings(MethodSettings):
    """Settings of metric learning."""

    variant: Literal["centre", "triplet"] = "centre"
    """Which loss stands beside the cross-entropy."""
    centre: float = Field(default=0.003, ge=0)
    """Weight of the centre loss."""
    rate: float = Field(default=0.5, gt=0, le=1)
    """Step a of the centres in each batch."""
    triplet: float = Field(default=0.1, ge=0)
    """Weight of the triplet loss."""


def centre_loss(features: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """Return ``1/2 mean |f - c_y|^2``.

    Args:
        features: ``(B, width)``.
        labels: ``(B,) int64``.
        centres: ``(K, width)``, which receive no gradient.

    Returns:
        A scalar.
    """
    return 0.5 * (features - centres.detach()[labels]).square().sum(1).mean()


def moved_centres(centres: Tensor, features: Tensor, labels: Tensor, rate: float) -> Tensor:
    """Return the centres after a batch: ``c_k - rate sum_(y = k) (c_k - f) / (1 + n_k)`` (Wen et al., Eq. 4).

    Args:
        centres: ``(K, width)``.
        features: ``(B, width)``.
        labels: ``(B,) int64``.
        rate: the step.

    Returns:
        ``(K, width)``.
    """
    away = torch.zeros_like(centres).index_add_(0, labels, centres[labels] - features.to(centres))
    count = torch.bincount(labels, minlength=len(centres)).to(centres)
    return centres - rate * away / (1 + count)[:, None]


def batch_hard_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Return the batch-hard triplet loss with a soft margin.

    Args:
        features: ``(B, width)`` of unit length.
        labels: ``(B,) int64``.

    Returns:
        A scalar; 0 where no face has both another face of its class and one of another class.
    """
    squares = (features[:, None] - features[None]).square().sum(2)
    distances = squares.clamp_min(1e-12).sqrt()
    same = labels[:, None] == labels[None]
    others = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    farthest = distances.masked_fill(~others, -torch.inf).amax(1)
    nearest = distances.masked_fill(same, torch.inf).amin(1)
    usable = others.any(1) & (~same).any(1)
    if not usable.any():
        return 0 * features.sum()
    return softplus(farthest[usable] - nearest[usable]).mean()


@register
class MetricLearning(SourceMethod):
    """Cross-entropy with a centre or a triplet loss on the features."""

    name: ClassVar[str] = "metric_learning"
    title: ClassVar[str] = "Metric learning (centre loss)"
    paper: ClassVar[str] = "Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, ECCV 2016"
    Settings: ClassVar[type[MethodSettings]] = MetricLearningSettings
    network_class: ClassVar[type[Network]] = PlainNetwork

    centres: Tensor

    def __init__(self, settings: MetricLearningSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings
        self.register_buffer("centres", torch.zeros(len(class_counts), width))

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification loss and the loss of the features.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls`` and ``centre`` or ``triplet``, weighted.
        """
        features, labels = batch.source.of_global, batch.labels.argmax(1)
        if self.options.variant == "triplet":
            apart = batch_hard_triplet(directions(features), labels)
            return {"cls": self.classify(batch), "triplet": self.options.triplet * apart}
        loss = centre_loss(features.float(), labels, self.centres)
        self.centres.copy_(moved_centres(self.centres, features.detach(), labels, self.options.rate))
        return {"cls": self.classify(batch), "centre": self.options.centre * loss}
