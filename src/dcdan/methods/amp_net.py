"""AMP-Net: Adaptive Multilayer Perceptual Attention Network (Liu et al., TCSVT 2022). Trains on source faces only.

Three kinds of features of one face:

    local      four windows of the stride-8 map (eyes, nose, mouth), each through channel and spatial attention (CBAM)
    salient    five soft attention maps over the last map, each a weighted mean of its places
    global     the pooled last map

    L = .5 CE(W_d (local + salient)) + .5 CE(W_g global);  answer: mean of both logits

From the paper: the three granularities, four landmark regions with CBAM, five salient regions found by attention, and
the weights. Differences: windows lie at the points of the alignment template instead of detected landmarks, one trunk
serves all three, and the salient regions are soft maps without the authors' cropping.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dcdan.faces.align import TEMPLATE
from dcdan.methods.base import Batch, MethodSettings, SourceMethod, register
from dcdan.methods.classification import head_loss
from dcdan.models.heads import pooled
from dcdan.models.network import Network, NetworkOutputs, NetworkSettings, PlainNetwork

CENTRES = (*((float(x), float(y)) for x, y in TEMPLATE[:3]), (0.5, float(TEMPLATE[3, 1])))
"""Centres of the local windows: left eye, right eye, nose, mouth; x and y in units of the face side."""
SIDE = 0.35
"""Side of a local window."""
SALIENT = 5
"""Number of salient regions."""


class AMPNetSettings(MethodSettings):
    """Settings of AMP-Net."""

    detail: float = Field(default=0.5, ge=0, le=1)
    """Weight of the classifier of local and salient features; the global one has the rest."""


def window(centre: float, cells: int, side: float = SIDE) -> slice:
    """Return the cells of a map that a window covers along one axis, at least one.

    Args:
        centre: its centre, in units of the side of the face.
        cells: cells of the map.
        side: side of the window.

    Returns:
        A slice.

    Example:
        >>> window(0.5, 14), window(0.0, 14)
        (slice(5, 9, None), slice(0, 2, None))
    """
    low = min(max(round((centre - side / 2) * cells), 0), cells - 1)
    return slice(low, max(low + 1, min(round((centre + side / 2) * cells), cells)))


class CBAM(nn.Module):
    """Channel, then spatial attention (Woo et al., ECCV 2018), ``(B, C, H, W)`` to the same shape.

    Args:
        channels: channels C.
        reduction: how much narrower the hidden layer of the channel attention is.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        hidden = max(channels // reduction, 4)
        self.channel = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.spatial = nn.Conv2d(2, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend.

        Args:
            x: ``(B, C, H, W)``.

        Returns:
            ``(B, C, H, W)``.
        """
        gate = (self.channel(x.mean((2, 3))) + self.channel(x.amax((2, 3)))).sigmoid()
        x = x * gate[:, :, None, None]
        maps = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
        attended: Tensor = x * self.spatial(maps).sigmoid()
        return attended


def salient_features(features: Tensor, scores: Tensor) -> Tensor:
    """Return the mean feature under each attention map.

    Args:
        features: ``(B, width, H, W)``.
        scores: ``(B, R, H, W)``; a softmax over the places of each makes its attention map.

    Returns:
        ``(B, R, width)``.
    """
    weights = scores.flatten(2).softmax(2)
    return weights @ features.flatten(2).transpose(1, 2)


class AMPNetwork(PlainNetwork):
    """The plain network with local and salient features; ``detail`` and ``whole`` are auxiliary outputs, logits."""

    def __init__(self, settings: NetworkSettings, classes: int, size: int) -> None:
        super().__init__(settings, classes, size)
        channels = self.trunk.shape.middle
        self.attend = nn.ModuleList(CBAM(channels) for _ in CENTRES)
        self.local_width = nn.Linear(channels * len(CENTRES), settings.width)
        self.salient_scores = nn.Conv2d(settings.width, SALIENT, 1)
        self.salient_width = nn.Linear(settings.width * SALIENT, settings.width)
        self.detail = nn.Linear(settings.width, classes)

    def heads(self) -> tuple[nn.Linear, ...]:
        """Return both heads, whose logits are averaged.

        Returns:
            The global head, and that of local and salient features.
        """
        return self.head, self.detail

    def forward(self, faces: Tensor, landmarks: Tensor | None = None) -> NetworkOutputs:  # noqa: ARG002
        """Compute the outputs for a batch of faces.

        Args:
            faces: ``(B, 3 or 1, S, S) float32`` in [0, 1].
            landmarks: not used.

        Returns:
            The outputs.
        """
        middle, last = self.trunk(self.normalised(faces))
        last = self.squeeze(last)
        rows, columns = middle.shape[2:]
        parts = [
            attend(middle[:, :, window(y, rows), window(x, columns)]).mean((2, 3))
            for attend, (x, y) in zip(self.attend, CENTRES, strict=True)
        ]
        salient = salient_features(last, self.salient_scores(last))
        details = (self.local_width(torch.cat(parts, 1)) + self.salient_width(salient.flatten(1))).relu()
        features = pooled(last)
        whole, detail = self.head(features), self.detail(details)
        return self.single_head_outputs(features + details, (whole + detail) / 2, whole=whole, detail=detail)


@register
class AMPNet(SourceMethod):
    """Classifiers of global features, and of local windows with salient regions found by attention."""

    name: ClassVar[str] = "amp_net"
    title: ClassVar[str] = "AMP-Net"
    paper: ClassVar[str] = "Liu et al., Adaptive Multilayer Perceptual Attention Network for FER, TCSVT 32(9), 2022"
    reading: ClassVar[str] = "our reading of its abstract, with its printed weights"
    Settings: ClassVar[type[MethodSettings]] = AMPNetSettings
    network_class: ClassVar[type[Network]] = AMPNetwork

    def __init__(self, settings: AMPNetSettings, width: int, class_counts: Tensor) -> None:
        super().__init__(settings, width, class_counts)
        self.options = settings

    def losses(self, batch: Batch, progress: float) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the weighted cross-entropy of both classifiers.

        Args:
            batch: source faces.
            progress: not used.

        Returns:
            ``cls``.
        """
        detail, whole = (
            head_loss(batch.source.auxiliary[name], batch.labels, self.sampled_counts, self.settings.classification)
            for name in ("detail", "whole")
        )
        return {"cls": self.options.detail * detail + (1 - self.options.detail) * whole}
