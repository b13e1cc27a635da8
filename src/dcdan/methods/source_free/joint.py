"""T3A and LAME: answers of all faces together, from the network's features; the network itself is not changed.

The methods are in :mod:`dcdan.correction.baselines`, where they need no torch.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dcdan.correction.baselines import BaselineSettings, lame, t3a
from dcdan.methods.source_free.base import Context, Recipe, SourceFreeMethod, SourceFreeSettings, Target, register
from dcdan.models.network import Network

UNTRAINED = Recipe(moves="nothing", passes=0, views=())


class T3ASettings(SourceFreeSettings):
    """Settings of T3A."""

    supports: int = Field(default=100, ge=0)
    """Features of lowest entropy that are kept for each class; 0 keeps all."""
    batch: int = Field(default=64, ge=1)


class LAMESettings(SourceFreeSettings):
    """Settings of LAME."""

    neighbours: int = Field(default=5, ge=1)
    batch: int = Field(default=64, ge=1)


@register
class T3A(SourceFreeMethod):
    """Class centroids of sure target features in place of the linear classifier."""

    name: ClassVar[str] = "t3a"
    title: ClassVar[str] = "T3A"
    paper: ClassVar[str] = "Iwasawa & Matsuo, Test-Time Classifier Adjustment Module, NeurIPS 2021"
    needs: ClassVar[str] = "weights; answers this folder only"
    recipe: ClassVar[Recipe] = UNTRAINED
    Settings: ClassVar[type[SourceFreeSettings]] = T3ASettings

    def __init__(self, settings: T3ASettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = BaselineSettings(supports=settings.supports, batch=settings.batch)

    def joint_answers(self, network: Network, target: Target) -> NDArray[np.float64]:
        """Answer all faces in their order.

        Args:
            network: the network.
            target: all faces.

        Returns:
            ``(N, K)`` log-probabilities.
        """
        head = network.heads()[0]
        features = target.answers(network).features
        weight, bias = (each.detach().cpu().numpy() for each in (head.weight, head.bias))
        return t3a(features.cpu().numpy(), weight, bias, self.options)


@register
class LAME(SourceFreeMethod):
    """Neighbours in feature space agree, by Laplacian smoothing of the answers."""

    name: ClassVar[str] = "lame"
    title: ClassVar[str] = "LAME"
    paper: ClassVar[str] = "Boudiaf et al., Parameter-free Online Test-time Adaptation, CVPR 2022"
    needs: ClassVar[str] = "weights; answers this folder only"
    recipe: ClassVar[Recipe] = UNTRAINED
    Settings: ClassVar[type[SourceFreeSettings]] = LAMESettings

    def __init__(self, settings: LAMESettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = BaselineSettings(neighbours=settings.neighbours, batch=settings.batch)

    def joint_answers(self, network: Network, target: Target) -> NDArray[np.float64]:
        """Answer all faces, batch by batch in their order.

        Args:
            network: the network.
            target: all faces.

        Returns:
            ``(N, K)`` log-probabilities.
        """
        answers = target.answers(network)
        z = answers.logits.log_softmax(1).double().cpu().numpy()
        return lame(z, answers.features.cpu().numpy(), self.options)
