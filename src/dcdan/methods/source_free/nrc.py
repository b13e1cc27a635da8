"""NRC: neighbourhood reciprocity clustering (Yang et al., NeurIPS 2021, Eq. 2 to 6).

A face agrees with its K nearest neighbours, with weight 1 for those that have it among their own M nearest and .1 for
the others, and with the neighbours of its neighbours, all with weight .1; the mean probabilities are spread. Settings
of the authors' code for VisDA: K = M = 5, otherwise as :mod:`dcdan.methods.source_free.aad`. As there, the face itself
stays among the neighbours of its neighbours, in place of a term of its own.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from dcdan.methods.source_free.aad import RECIPE, BankMethod, attraction
from dcdan.methods.source_free.base import (
    Context,
    Recipe,
    SourceFreeSettings,
    TargetBatch,
    register,
)
from dcdan.methods.source_free.losses import nearest_neighbours, negative_diversity
from dcdan.models.network import Network


class NrcSettings(SourceFreeSettings):
    """Settings of NRC."""

    neighbours: int = Field(default=5, ge=1)
    """K of a face."""
    expanded: int = Field(default=5, ge=1)
    """M of each neighbour."""
    one_sided: float = Field(default=0.1, ge=0)
    """Weight of neighbours that are not mutual, and of neighbours of neighbours."""


def mutual_weights(rows: Tensor, around: Tensor, one_sided: float) -> Tensor:
    """Return the weights of neighbours.

    Args:
        rows: ``(B,)`` int64, rows of the faces.
        around: ``(B, K, M)`` int64, the neighbours of their neighbours.
        one_sided: weight of neighbours that are not mutual.

    Returns:
        ``(B, K)``: 1 where the face is among the neighbours of its neighbour.

    Example:
        >>> mutual_weights(torch.tensor([7]), torch.tensor([[[7, 1], [2, 3]]]), 0.1)
        tensor([[1.0000, 0.1000]])
    """
    mutual = (around == rows[:, None, None]).any(2)
    return torch.where(mutual, 1.0, one_sided)


@register
class Nrc(BankMethod):
    """Mutual neighbours in feature space agree, and their neighbours a little."""

    name: ClassVar[str] = "nrc"
    title: ClassVar[str] = "NRC"
    paper: ClassVar[str] = "Yang et al., Exploiting the Intrinsic Neighborhood Structure, NeurIPS 2021"
    recipe: ClassVar[Recipe] = RECIPE
    Settings: ClassVar[type[SourceFreeSettings]] = NrcSettings

    def __init__(self, settings: NrcSettings, network: Network, context: Context) -> None:
        super().__init__(settings, network, context)
        self.options = settings

    def losses(self, network: Network, batch: TargetBatch) -> dict[str, Tensor]:
        """Return the agreement with near and expanded neighbours, and the diversity.

        Args:
            network: the network.
            batch: the weak view.

        Returns:
            ``near``, ``expanded`` and ``diversity``.
        """
        options = self.options
        probabilities = self.store(network, batch)
        near = nearest_neighbours(self.features[batch.rows], self.features, batch.rows, options.neighbours)
        flat = near.flatten()
        around = nearest_neighbours(self.features[flat], self.features, flat, options.expanded)
        around = around.reshape(*near.shape, -1)
        expanded = self.scores[around.flatten(1)]
        return {
            "near": attraction(probabilities, self.scores[near], mutual_weights(batch.rows, around, options.one_sided)),
            "expanded": options.one_sided * attraction(probabilities, expanded),
            "diversity": negative_diversity(batch.outputs["weak"].logits.fused),
        }
