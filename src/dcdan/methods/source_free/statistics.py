"""AdaBN and alpha-BN: batch-norm statistics of the target, alone or mixed with those of the source; no training.

AdaBN (Li et al., 2016) replaces mean and variance of every batch norm; alpha-BN (You et al., 2021) keeps most of the
source's: ``(1 - a) source + a target``, with a = .1 as in its authors' comparison. Statistics are those of all faces,
estimated layer by layer over batches.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from dcdan.methods.source_free.base import Context, Recipe, SourceFreeMethod, SourceFreeSettings, Target, register
from dcdan.models.network import Network


class StatisticsSettings(SourceFreeSettings):
    """Settings of alpha-BN."""

    target_share: float = Field(default=0.1, ge=0, le=1)
    """Share a of the target's statistics."""


def statistics(network: Network) -> list[tuple[Tensor, Tensor]]:
    """Return copies of the stored mean and variance of each batch norm.

    Args:
        network: the network.

    Returns:
        Pairs ``(C,)`` in the order of the layers.
    """
    return [
        (layer.running_mean.clone(), layer.running_var.clone())
        for layer in network.modules()
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None
    ]


@torch.no_grad()
def mix_statistics(network: Network, source: list[tuple[Tensor, Tensor]], share: float) -> None:
    """Mix the stored statistics of a network with those of the source, in place.

    Args:
        network: the network, with the target's statistics.
        source: from :func:`statistics`.
        share: share of the target's.
    """
    layers = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
    for layer, (mean, var) in zip(layers, source, strict=True):
        layer.running_mean.lerp_(mean, 1 - share)  # type: ignore[union-attr]
        layer.running_var.lerp_(var, 1 - share)  # type: ignore[union-attr]


@register
class AlphaBN(SourceFreeMethod):
    """Batch-norm statistics between those of the source and those of the target."""

    name: ClassVar[str] = "alpha_bn"
    title: ClassVar[str] = "alpha-BN"
    paper: ClassVar[str] = "You et al., Test-time Batch Statistics Calibration for Covariate Shift, 2021"
    recipe: ClassVar[Recipe] = Recipe(moves="nothing", passes=0, views=())
    Settings: ClassVar[type[SourceFreeSettings]] = StatisticsSettings

    def __init__(self, settings: StatisticsSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.share = settings.target_share

    def finish(self, network: Network, target: Target) -> None:
        """Estimate and mix the statistics.

        Args:
            network: the network.
            target: all faces.
        """
        source = statistics(network)
        target.estimate_statistics(network)
        mix_statistics(network, source, self.share)


@register
class AdaBN(SourceFreeMethod):
    """Batch-norm statistics of the target."""

    name: ClassVar[str] = "adabn"
    title: ClassVar[str] = "AdaBN"
    paper: ClassVar[str] = "Li et al., Revisiting Batch Normalization For Practical Domain Adaptation, 2016"
    recipe: ClassVar[Recipe] = Recipe(moves="nothing", passes=0, views=())

    def finish(self, network: Network, target: Target) -> None:
        """Replace the statistics.

        Args:
            network: the network.
            target: all faces.
        """
        target.estimate_statistics(network)
