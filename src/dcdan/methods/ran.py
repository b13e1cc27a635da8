"""RAN: Region Attention Network (Wang et al., IEEE TIP 2020). Trains on source faces only; uses no target images.

Six inputs, the whole face and five crops, pass through one trunk, which gives six features f. Two attentions weight
them:

    self-attention        a = sigmoid(q0 f),        v = sum(a f) / sum(a)
    relation attention    b = sigmoid(q1 [f; v])
    output                sum(a b [f; v]) / sum(a b), twice as wide as f, then one linear head
    region-bias loss      max(0, margin - (max over the crops of a - a of the whole face)), added to cross-entropy

The crops are the fixed ones of the paper: three of .75 of the side (top left, top right, bottom centre) and two centred
ones, of .85 and .90, each enlarged to the size of the face. They are cut inside the network, so that the exported model
does the same as the trained one. The method costs six times the trunk, in training and in use.

Differences from the paper: f is the output of the common 1x1 convolution on the last map of the trunk. The margin is
the printed .02, and nothing follows the sigmoids (the authors' code has .1, and a softmax over the six).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import interpolate, relu

from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.models.domain_norm import fold
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings, PlainNetwork

CROPS = ((0.0, 0.0, 0.75), (0.25, 0.0, 0.75), (0.125, 0.25, 0.75), (0.075, 0.075, 0.85), (0.05, 0.05, 0.9))
"""Left, top and side of each crop, in units of the face side."""


class RANSettings(MethodSettings):
    """Settings of RAN."""

    margin: float = Field(default=0.02, ge=0, le=1)
    """By how much one crop must count for more than the whole face."""
    weight: float = Field(default=1.0, ge=0)
    """Weight of the region-bias loss against the cross-entropy."""


def cut(faces: Tensor) -> Tensor:
    """Return the whole face and its five crops, enlarged to the size of the face.

    Args:
        faces: ``(B, C, S, S)``.

    Returns:
        ``(B, 6, C, S, S)``, the whole face first.
    """
    size = faces.shape[3]
    parts = [faces]
    for left, top, share in CROPS:
        x, y, side = round(left * size), round(top * size), round(share * size)
        crop = faces[:, :, y : y + side, x : x + side]
        parts.append(interpolate(crop, size=(size, size), mode="bilinear", align_corners=False))
    return torch.stack(parts, 1)


def attended(features: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean of features.

    Args:
        features: ``(B, N, W)``.
        weights: ``(B, N)``, positive.

    Returns:
        ``(B, W)``.
    """
    return (features * weights[:, :, None]).sum(1) / weights.sum(1, keepdim=True)


def region_bias_loss(weights: Tensor, margin: float) -> Tensor:
    """Return the mean of ``max(0, margin - (largest weight of the crops - weight of the whole face))``.

    Args:
        weights: ``(B, 6)`` self-attention weights, the whole face first.
        margin: the margin.

    Returns:
        A scalar.

    Example:
        >>> round(float(region_bias_loss(torch.tensor([[0.5, 0.4, 0.2, 0.2, 0.2, 0.2]]), 0.02)), 4)
        0.12
    """
    return relu(margin - (weights[:, 1:].amax(1) - weights[:, 0])).mean()


class RegionAttentionNetwork(PlainNetwork):
    """The plain network on six inputs, merged by both attentions.

    The auxiliary output ``attention`` ``(B, 6)`` is the self-attention weights a.
    """

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__(settings, classes, size, features=2 * settings.width)
        self.itself = nn.Linear(settings.width, 1)
        self.relation = nn.Linear(2 * settings.width, 1)
        for part in (self.trunk, self.squeeze):
            fold(part, 1 + len(CROPS))

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Compute the outputs for a batch of faces.

        Args:
            faces: ``(B, 3 or 1, S, S) float32`` in [0, 1].
            landmarks: not used.

        Returns:
            The outputs.
        """
        inputs = cut(self.normalised(faces))
        features = self.pooled_features(inputs.flatten(0, 1)).reshape(*inputs.shape[:2], -1)
        weights = self.itself(features).squeeze(2).sigmoid()
        middle = attended(features, weights)
        related = torch.cat([features, middle[:, None].expand_as(features)], 2)
        merged = attended(related, weights * self.relation(related).squeeze(2).sigmoid())
        return self.single_head_outputs(merged, self.head(merged), attention=weights)


@register
class RAN(SourceMethod):
    """Cross-entropy on six views of a face, weighted by attention."""

    name: ClassVar[str] = "ran"
    title: ClassVar[str] = "RAN"
    paper: ClassVar[str] = (
        "Wang et al., Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition, TIP 2020"
    )
    Settings: ClassVar[type[MethodSettings]] = RANSettings
    network_class: ClassVar[type[Network]] = RegionAttentionNetwork

    def __init__(self, settings: RANSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the classification and the region-bias loss.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls`` and ``bias``, weighted.
        """
        bias = region_bias_loss(batch.source.auxiliary["attention"].float(), self.options.margin)
        return {"cls": self.classify(batch), "bias": self.options.weight * bias}
